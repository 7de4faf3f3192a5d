//! Examples for the end of each command's help.

pub const INIT: &str = "\
Examples:
  tarsops init                                 cluster.yaml and its schema, here
  tarsops init --name prod clusters/prod.yaml  for the cluster `prod`, in a folder";

pub const ADOPT: &str = "\
Examples:
  tarsops adopt --from 10.0.0.1 --ssh-user root
          as much as the hosts and AdminRegistry show
  tarsops adopt --from 10.0.0.1 --database-password env:TARS_DB_PASSWORD
          the rows too; the registry's configuration names the database and the user
  tarsops adopt --from 10.0.0.1 --packages './packages/{version}' -o prod.yaml
          binaries are recognised by the packages of their releases";

pub const VALIDATE: &str = "\
Examples:
  tarsops validate                        ./cluster.yaml, or what TARSOPS_SPEC names
  tarsops validate -f prod.yaml --json    for an editor or a pipeline";

pub const PLAN: &str = "\
Examples:
  tarsops plan                            what would be changed, and why
  tarsops plan --on tarsconfig            one component only
  tarsops plan --on '10.0.1.*,!10.0.1.9'  some nodes, but not that one
  tarsops plan -o release.plan            save it, for `tarsops apply release.plan`";

pub const APPLY: &str = "\
Examples:
  tarsops apply                           plan, show, ask, change, verify
  tarsops apply release.plan              what was reviewed, and nothing else
  tarsops apply --on @idc=sz -y           the nodes of one label, without a question
  tarsops apply -y --allow-blocked        what can be done, in a pipeline";

pub const RECOVER: &str = "\
Examples:
  tarsops recover 10.0.0.7                try again to put the old state back
  tarsops recover --accept 10.0.0.7       end the change with what runs there now";

pub const DRIFT: &str = "\
Examples:
  tarsops drift                           exit code 0 in sync, 2 drift, 4 something unseen
  tarsops drift --strict --json           for a pipeline; what is beyond the spec counts, too";

pub const CHECK: &str = "\
Examples:
  tarsops check                           before a change, or where something is odd
  tarsops check --on 10.0.0.2             the checks of one node";

pub const STATUS: &str = "\
Examples:
  tarsops status                          every component on every host
  tarsops status --on tarsconfig          one component
  tarsops status -v                       with what each source reports";

pub const HISTORY: &str = "\
Examples:
  tarsops history -n 3                    the newest three runs
  tarsops history RUN                     what one of them did, host by host";

pub const ROLLBACK: &str = "\
Examples:
  tarsops rollback                        the newest run
  tarsops rollback RUN -o back.plan       save the plan; nothing is changed";

pub const SCHEMA: &str = "\
Examples:
  tarsops schema > cluster.schema.json    beside the spec, for the editor";

pub const PACKAGE: &str = "\
Examples:
  tarsops package lock                    pin what the spec asks for; commit the lock file
  tarsops package ls                      what is pinned
  tarsops help package add                the help of one of these";

pub const PACKAGE_LOCK: &str = "\
Examples:
  tarsops package lock                    pin what the spec asks for; commit the lock file";

pub const PACKAGE_WEB: &str = "\
Examples:
  tarsops package web ./TarsWeb -o packages/tars-web-3.0.15.tgz
  tarsops package web ./TarsWeb -o packages/tars-web-3.0.15.tgz --machine x86_64";

pub const PACKAGE_LS: &str = "\
Examples:
  tarsops package ls                      what the lock file has
  tarsops package ls --json               with whole digests";

pub const PACKAGE_ADD: &str = "\
Examples:
  tarsops package add --component tarsnode --version 3.0.16 ./tarsnode --note 'hot fix of May'
  tarsops package add --component tarsnode --version 3.0.16 SHA256";

pub const PACKAGE_RM: &str = "\
Examples:
  tarsops package rm --component tarsnode --version 3.0.16
  tarsops package rm --component tarsnode --version 3.0.16 1f2e3d4c";

#[cfg(feature = "demo")]
pub const DEMO: &str = "\
Examples:
  tarsops demo                            the whole story, then it cleans up
  tarsops demo up --dir /tmp/demo         leave a cluster running, to try things
  tarsops demo down --dir /tmp/demo       and remove it";

#[cfg(feature = "demo")]
pub const DEMO_UP: &str = "\
Examples:
  tarsops demo up --nodes 8 --dir /tmp/demo";

#[cfg(feature = "demo")]
pub const DEMO_DOWN: &str = "\
Examples:
  tarsops demo down --dir /tmp/demo";

pub const COMPLETIONS: &str = "\
Examples, for the file that your shell reads at its start:
  source <(tarsops completions bash)      bash, in ~/.bashrc
  source <(tarsops completions zsh)       zsh, in ~/.zshrc
  tarsops completions fish | source       fish, in ~/.config/fish/config.fish

Nodes and components come from the spec, runs from this machine's journals; no host is asked.";
