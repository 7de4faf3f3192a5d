//! What lies and runs on a host, read past sshd.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tarsops_testkit::Host;

use super::{BINARY, CONF, INSTALL, STATE};

/// Files whose content or times changed since a snapshot, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Differences, one line each.
    pub fn changes(&self, later: &Snapshot) -> String {
        let mut out = String::new();
        for (path, old) in &self.0 {
            match later.0.get(path) {
                None => writeln!(out, "gone: {path}").unwrap(),
                Some(new) if new != old => writeln!(out, "{path}: {old} -> {new}").unwrap(),
                Some(_) => {}
            }
        }
        for path in later.0.keys().filter(|p| !self.0.contains_key(*p)) {
            writeln!(out, "new: {path}").unwrap();
        }
        out
    }
}

/// A process of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Whose it is.
    pub user: String,
    /// Its arguments, joined by blanks.
    pub command: String,
}

/// A running agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its process id.
    pub pid: u32,
    /// Whose it is.
    pub user: String,
    /// What follows `--nodeid=`.
    pub nodeid: String,
    /// The sha256 of the file that it runs.
    pub digest: String,
}

/// Questions to a host.
pub trait HostExt {
    /// Mode, owner, size, times and inode of every file that a change could touch.
    fn snapshot(&self) -> Snapshot;
    /// Mode, owner and sha256 of every file of the framework, without data and logs.
    fn state(&self) -> Snapshot;
    /// What a script prints of files, one `NAME|WORDS` a line.
    fn files(&self, script: &str) -> Snapshot;
    /// All processes but the kernel's and those that ask.
    fn processes(&self) -> Vec<Process>;
    /// Every running agent.
    fn agents(&self) -> Vec<Agent>;
    /// The one running agent.
    fn agent(&self) -> Agent;
    /// A user's crontab; none if there is none.
    fn crontab(&self, user: &str) -> Option<String>;
    /// Sets a user's crontab.
    fn set_crontab(&self, user: &str, text: &[u8]);
    /// The agent's configuration.
    fn conf(&self) -> String;
    /// The sha256 of a file; `none` if there is none.
    fn sha256(&self, path: &str) -> String;
    /// What `stat -c FORMAT` says.
    fn stat(&self, format: &str, path: &str) -> String;
    /// Whether there is something under this path.
    fn has(&self, path: &str) -> bool;
    /// Kills every running agent and waits until it is gone.
    fn kill_agents(&self);
    /// No trace of a change that is in progress: lock free, nothing staged, no guard, no `current`.
    fn assert_tidy(&self);
    /// One healthy agent of this digest under this name, as `user`, port open, file the same.
    fn assert_runs(&self, nodeid: &str, user: &str, digest: &str);
}

fn lines_of(host: &Host, script: &str, split: char) -> BTreeMap<String, String> {
    let text = host.sh(script).unwrap();
    text.lines()
        .filter_map(|l| l.split_once(split))
        .map(|(path, rest)| (path.to_owned(), rest.to_owned()))
        .collect()
}

impl HostExt for Host {
    fn snapshot(&self) -> Snapshot {
        // What logging in itself writes is not ours: logs, sudo's and login's records.
        let script = format!(
            "find {INSTALL} /etc /home /root /tmp /opt /var -xdev \
             \\( -path /var/log -o -path /var/lib/sudo -o -path '*/app_log' \\) -prune -o \
             -exec stat -c '%n|%a %U:%G %s %i %y %z' {{}} + 2>/dev/null || :"
        );
        Snapshot(lines_of(self, &script, '|'))
    }

    fn state(&self) -> Snapshot {
        let script = format!(
            "[ -d {INSTALL}/tars ] || exit 0; cd {INSTALL}/tars && find . \
             \\( -path ./app_log -o -path ./tarsnode/data \\) -prune -o -print | sort | \
             while read -r f; do d=-; [ ! -f \"$f\" ] || d=$(openssl dgst -sha256 -r <\"$f\" | cut -d' ' -f1); \
             echo \"$f|$(stat -c '%a %U:%G' \"$f\") $d\"; done"
        );
        Snapshot(lines_of(self, &script, '|'))
    }

    fn files(&self, script: &str) -> Snapshot {
        Snapshot(lines_of(self, script, '|'))
    }

    fn processes(&self) -> Vec<Process> {
        let script = r#"for p in /proc/[0-9]*; do
            [ "${p#/proc/}" != "$$" ] || continue
            c=$(tr '\0\n' '  ' <"$p/cmdline" 2>/dev/null) || continue
            [ -n "$c" ] || continue
            echo "${p#/proc/}|$(stat -c %U "$p" 2>/dev/null)|$c"
        done"#;
        let text = self.sh(script).unwrap();
        text.lines()
            .filter_map(|line| {
                let mut words = line.splitn(3, '|');
                Some(Process {
                    pid: words.next()?.parse().ok()?,
                    user: words.next()?.to_owned(),
                    command: words.next()?.trim().to_owned(),
                })
            })
            .collect()
    }

    fn agents(&self) -> Vec<Agent> {
        self.processes()
            .into_iter()
            .filter(|p| p.command.starts_with(BINARY) && !p.command.contains("--monitor"))
            .map(|p| Agent {
                nodeid: p
                    .command
                    .split(' ')
                    .find_map(|w| w.strip_prefix("--nodeid="))
                    .unwrap_or_default()
                    .to_owned(),
                digest: self.sha256(&format!("/proc/{}/exe", p.pid)),
                pid: p.pid,
                user: p.user,
            })
            .collect()
    }

    #[track_caller]
    fn agent(&self) -> Agent {
        let agents = self.agents();
        assert_eq!(agents.len(), 1, "{}: {agents:?}", self.name());
        agents[0].clone()
    }

    fn crontab(&self, user: &str) -> Option<String> {
        let bytes = self
            .read(&format!("/var/spool/cron/crontabs/{user}"))
            .ok()?;
        // Debian's cron puts three lines of its own first, one with the name of the file it was given.
        let text = String::from_utf8_lossy(&bytes);
        let own =
            |line: &str| line.starts_with("# DO NOT EDIT THIS FILE") || line.starts_with("# (");
        Some(
            text.split_inclusive('\n')
                .skip_while(|line| own(line))
                .collect(),
        )
    }

    fn set_crontab(&self, user: &str, text: &[u8]) {
        self.write("/root/crontab.new", text).unwrap();
        self.sh(&format!(
            "crontab -u {user} /root/crontab.new && rm /root/crontab.new"
        ))
        .unwrap();
    }

    fn conf(&self) -> String {
        String::from_utf8(self.read(CONF).unwrap()).unwrap()
    }

    fn sha256(&self, path: &str) -> String {
        let script = format!("[ -e {path} ] && openssl dgst -sha256 -r <{path} || echo none");
        let text = self.sh(&script).unwrap();
        text.split(' ').next().unwrap_or_default().to_owned()
    }

    fn stat(&self, format: &str, path: &str) -> String {
        self.sh(&format!("stat -c '{format}' '{path}'")).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.sh(&format!("test -e '{path}'")).is_ok()
    }

    fn kill_agents(&self) {
        for agent in self.agents() {
            let pid = agent.pid;
            self.sh(&format!(
                "kill -9 {pid}; while [ -e /proc/{pid}/exe ]; do sleep 0.02; done"
            ))
            .unwrap();
        }
    }

    #[track_caller]
    fn assert_tidy(&self) {
        let base = STATE;
        let name = self.name();
        if !self.has(base) {
            return;
        }
        assert!(!self.has(&format!("{base}/current")), "{name}: current");
        let staged = self.sh(&format!("ls -A {base}/stage 2>/dev/null || :"));
        assert_eq!(staged.unwrap(), "", "{name}: staged files are left");
        for user in ["root", "tars"] {
            let text = self.crontab(user).unwrap_or_default();
            assert!(
                !text.contains("tarsops"),
                "{name}: crontab of {user}: {text}"
            );
        }
        let busy: Vec<_> = self
            .processes()
            .into_iter()
            .filter(|p| p.command.starts_with("sh /") && p.command.contains("/change.sh "))
            .collect();
        assert!(busy.is_empty(), "{name}: {busy:?}");
        let left = format!("find {INSTALL}/tars -name '*.tarsops-new' 2>/dev/null || :");
        assert_eq!(self.sh(&left).unwrap(), "", "{name}");
    }

    #[track_caller]
    fn assert_runs(&self, nodeid: &str, user: &str, digest: &str) {
        let agent = self.agent();
        let name = self.name();
        assert_eq!(agent.nodeid, nodeid, "{name}");
        assert_eq!(agent.user, user, "{name}");
        assert_eq!(agent.digest, digest, "{name}: the running binary");
        assert_eq!(self.sha256(BINARY), digest, "{name}: the installed binary");
        self.sh(&format!("{BINARY} --monitor --config={CONF}"))
            .unwrap();
    }
}
