//! Reasons in words, and how to remove each.

use std::fmt;

use tarsops_model::component::Component;

use super::{Blocked, ContainerWork};

impl Blocked {
    /// What to do about it, as one lowercase clause.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::WrongAddress { .. } => {
                "correct `address` or `ip` of the node in the spec".to_owned()
            }
            Self::SameMachine { .. } => {
                "two nodes reach one machine (or it was cloned with its machine-id): correct the addresses".to_owned()
            }
            Self::NotInstalled { .. } => {
                "install it there by hand, or correct the node's roles in the spec".to_owned()
            }
            Self::IncompletePackageOf { .. } => {
                "put a deploy tree, or a package of the layout X/{bin,conf,util}, there and run `tarsops package lock`".to_owned()
            }
            Self::NoStartPath { .. } => {
                "a component is installed only if the database and AdminRegistry can be asked: name both in the spec and start them".to_owned()
            }
            Self::RunsUnknown { component } => {
                format!("stop it there with `util/stop.sh` of {component}, then apply again")
            }
            Self::PortTakenOf { port, .. } => {
                format!("find it with `ss -ltnp sport = :{port}` there and move it away")
            }
            Self::FrameworkMoved { .. } => {
                "expand a slave at the new address first, then remove the old one: see \"Moving a framework host\" in the operators' guide".to_owned()
            }
            Self::LastEndpoint { .. } => {
                "start the others first, or stop them through the platform if they should not run".to_owned()
            }
            Self::OnlyEndpoint { .. } => {
                "start another one on a node that stays (a component of the framework: place it there with `components`), or find out why the others do not answer; a server that nobody needs any more: stop it through the platform; then apply again".to_owned()
            }
            Self::OnlyRegistry => {
                "start another registry first; or set `registry_gap: true` under `rollout` if an interruption is acceptable".to_owned()
            }
            Self::StartedAs { .. } => {
                "its tarsnode is corrected first: see above why that is not done, or name it with `--on` as well".to_owned()
            }
            Self::NoPackage { .. } | Self::NoPackageOf { .. } => "put the package there and run `tarsops package lock`".to_owned(),
            Self::IncompletePackage { .. } => {
                "use a deploy tree or a package of the layout X/{bin,conf,util}".to_owned()
            }
            Self::Downgrade { .. } => "set `allow_downgrade: true` if this is intended".to_owned(),
            Self::NoRunUser { comes: true, .. } => {
                "it is created with tarsnode: apply again after that".to_owned()
            }
            Self::NoRunUser { .. } => {
                "name the user that the framework runs as (`run_user` under `framework`); or create this one, or set `create_run_user: true`".to_owned()
            }
            Self::InstalledElsewhere { path, .. } => format!(
                "write `install_path: {path}` under `framework` to adopt what runs there; or stop that tarsnode first, if it is not of this cluster"
            ),
            Self::RunsAs { runs_as, .. } => format!(
                "write `run_user: {runs_as}` under `framework` to adopt the cluster as it is, or `change_run_user: true` to change it"
            ),
            Self::NoRights { run_user, .. } => format!(
                "set `become: sudo` under `ssh`, or connect as root or as {run_user}"
            ),
            Self::NeedsRoot { .. } => "set `become: sudo`, or connect as root or the run user".to_owned(),
            Self::NoProgram { package, .. } => format!("install the package {package} there"),
            Self::NoSpace { .. } => "free space there".to_owned(),
            Self::NotWritable { .. } => "make it writable for the SSH user, or set `become: sudo`".to_owned(),
            Self::ServersRunning { .. } => {
                "move them away, or set `stop_servers: true` in the node's override".to_owned()
            }
            Self::ChangeInProgress { .. } => "wait for it, then run the command again".to_owned(),
            Self::UnsafeFolder { .. } => {
                "let only root, or only whom tarsops logs in as, write there".to_owned()
            }
            Self::FenceAhead { path, .. } => {
                format!("remove {path} there once no other run is in progress")
            }
            Self::NoImage { .. } => {
                "name its archive as `docker.archive` and run `tarsops package lock`".to_owned()
            }
            Self::OtherImage { .. } => {
                "correct `docker.image` or `framework.version`, then run `tarsops package lock`".to_owned()
            }
            Self::ForeignContainer { .. } => {
                "rename it there, or correct `docker.container` in the spec".to_owned()
            }
            Self::ImageNotThere { image } => format!(
                "load it there with `docker load` from the archive of the lock file, or pull {image} by its digest"
            ),
            Self::ContainerRebuilds { .. } => {
                "take REBUILD out of that place; neither stop nor restart the container, its engine, or the host before"
                    .to_owned()
            }
            Self::ContainerPaused { name } => format!("run `docker unpause {name}` there"),
            Self::RestartPolicy { name, .. } => {
                format!("run `docker update --restart=always {name}` there")
            }
            Self::PublishedOver { .. } => {
                "publish the image's version of them in the management platform, or leave them: the next replacement of the container puts the image's back".to_owned()
            }
            Self::RunsBeside { .. } => {
                "stop it there, and keep it from starting by itself".to_owned()
            }
            Self::DatabaseUnread { .. } => {
                "make the database readable for the account of `database`, then run the command again".to_owned()
            }
            Self::LacksColumns { .. } => {
                "run `tarsops apply` without `--on`, which adds columns; tables come with a management platform of the release".to_owned()
            }
            Self::ConsoleDrops { .. } => {
                "name an image whose management platform knows these columns".to_owned()
            }
            Self::NoContainerWork { .. } => {
                "do it by hand as \"Docker\" in the operators' guide says, or change the spec".to_owned()
            }
            Self::NoConsoleWork { .. } => {
                "replace it by hand, or remove `web.version`: it is only looked at then".to_owned()
            }
            Self::OtherConsoleInImage { .. } => {
                "correct `web.version` or `docker.image`, or remove `web.version`".to_owned()
            }
            Self::Unreadable { .. } => "repair or remove it by hand".to_owned(),
            Self::StillAnswers { .. } => "wait until nothing has answered for a minute; `state: absent` removes it from a machine that still runs".to_owned(),
            Self::LastRegistry { .. } => "start a registry of the spec first".to_owned(),
            Self::NoRegistry => "start a registry of the spec first".to_owned(),
            Self::PortTaken { port } => {
                format!("find it with `ss -ltnp sport = :{port}` there and move it away")
            }
            Self::NoDatabase { bootstrap: true } => {
                "tarsops does not create one yet; correct `database.address` if it is the wrong server".to_owned()
            }
            Self::NoDatabase { bootstrap: false } => {
                "correct `database.address` if it is the wrong server; tarsops creates none".to_owned()
            }
            Self::TemplateConflict { .. } => {
                "to take the release's value, write it into the template in the management platform; to keep yours, change nothing: it stays, and the template does not follow the release".to_owned()
            }
            Self::NoCredentials { .. } => {
                "add them in the management platform: they are the database's host, port, user and password for the framework".to_owned()
            }
            Self::NoParent { parent } => format!("add {parent} first"),
            Self::Watched => "take the line with check.sh out of the crontab there".to_owned(),
            Self::WatchedElsewhere { place, .. } => format!("take that line out of {place} there"),
            Self::Unseen { .. } => "make it readable for the SSH user, or set `become: sudo`".to_owned(),
            Self::VersionsApart {
                component,
                to,
                other,
                at,
                its,
                since,
                ..
            } => match its {
                None if *other == Component::TarsAdminRegistry => {
                    "allow `rpc`, or pin the package that it came from".to_owned()
                }
                None => format!("pin the package of {other} that it came from"),
                Some(_) if to >= since => format!(
                    "upgrade {other} on {at} to {since} or later first: it may be in maintenance, of an unknown binary, or left out by `--on`"
                ),
                Some(_) => format!(
                    "downgrade {other} on {at} below {since} first, or leave {component} at {since} or later"
                ),
            },
            Self::NoTemplate { .. } => {
                "put it back in the management platform, or lock a deploy tree of the release, from which `tarsops apply` without `--on` adds it".to_owned()
            }
            Self::OtherPath { .. } => {
                "publish it by hand, or put `exe_path` right in the management platform".to_owned()
            }
            Self::ConsoleSilent { .. } => {
                "start it; if it does not accept the ticket, create a new token there and store it where `web.ticket` says; or use `--without-console` to apply what does not need it".to_owned()
            }
            Self::NoPublishPath { .. } => {
                "name `web`, or `database` with `rpc`, in the spec".to_owned()
            }
            Self::Finding { cure, .. } => cure.clone(),
            Self::MaintenanceOver { .. } => "set `state: present`, or a later `until`".to_owned(),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongAddress { ip, has } => {
                write!(
                    f,
                    "the host does not carry {ip} on an interface (it has {})",
                    has.join(", ")
                )
            }
            Self::NoImage { image } => write!(f, "no lock file pins the image {image}"),
            Self::OtherImage {
                image,
                holds,
                wanted,
            } => write!(
                f,
                "the image {image} holds framework {holds}, and the spec wants {wanted}"
            ),
            Self::ForeignContainer { name } => write!(
                f,
                "the container {name} does not run the framework: it is somebody else's"
            ),
            Self::NoConsoleWork {
                from,
                to,
                obstacles,
            } => {
                match from {
                    Some(from) => write!(f, "the platform is {from}, and the spec wants {to}")?,
                    None => write!(f, "there is no platform, and the spec wants {to}")?,
                }
                f.write_str("; tarsops cannot yet replace a console")?;
                obstacles
                    .iter()
                    .try_for_each(|obstacle| write!(f, "; {obstacle}"))
            }
            Self::OtherConsoleInImage { image, has, wanted } => {
                let has = has.map_or_else(|| "none".to_owned(), |v| v.to_string());
                write!(f, "the image {image} has the platform {has}, and the spec wants {wanted}")
            }
            Self::ImageNotThere { image } => {
                write!(f, "the engine there does not have the image {image}")
            }
            Self::ContainerRebuilds { place } => write!(
                f,
                "a start of the container would drop the framework's databases: {place}"
            ),
            Self::ContainerPaused { name } => write!(f, "the container {name} is paused"),
            Self::RestartPolicy { name, policy } => write!(
                f,
                "the restart policy of the container {name} is `{policy}`, which is changed without a start of it"
            ),
            Self::PublishedOver { components } => {
                let names: Vec<&str> = components.iter().map(|c| c.name()).collect();
                write!(
                    f,
                    "{} does not run the image's program: a replacement of the container for this alone would install everything again",
                    names.join(", ")
                )
            }
            Self::RunsBeside { what } => write!(
                f,
                "the framework runs there beside the container, on the same addresses: {}",
                what.join(", ")
            ),
            Self::DatabaseUnread { why } => write!(
                f,
                "a container that starts without its database waits for ever, and the database is not read: {why}"
            ),
            Self::LacksColumns { columns } => write!(
                f,
                "the release needs {}, which the database does not have",
                columns.join(", ")
            ),
            Self::ConsoleDrops { console, columns } => write!(
                f,
                "the management platform {console} of the image drops {}, which it does not know",
                columns.join(", ")
            ),
            Self::NoContainerWork { work } => {
                let work = match work {
                    ContainerWork::Create => "made",
                    ContainerWork::Remove => "removed",
                };
                write!(
                    f,
                    "the container would have to be {work}, which this version of tarsops does not do"
                )
            }
            Self::SameMachine { other } => {
                write!(f, "the host answers with the machine-id of node {other}")
            }
            Self::NoPackage { version } => write!(f, "no pinned package has tarsnode {version}"),
            Self::NoPackageOf { component, version } => {
                write!(f, "no pinned package has {component} {version}")
            }
            Self::NotInstalled { component } => {
                write!(
                    f,
                    "the spec places {component} there, and it is not installed"
                )
            }
            Self::IncompletePackageOf { component, version } => write!(
                f,
                "the package of {component} {version} has no configuration or scripts"
            ),
            Self::NoStartPath { what } => write!(f, "it cannot be placed: {what}"),
            Self::RunsUnknown { component } => write!(
                f,
                "{component} runs there, and the framework has no row of it"
            ),
            Self::PortTakenOf { component, port } => write!(
                f,
                "another process listens on port {port}, which {component} needs"
            ),
            Self::FrameworkMoved { why, .. } => f.write_str(why),
            Self::LastEndpoint { servant, silent } => write!(
                f,
                "it has the only endpoint of {servant} that answers ({silent} more do not), and a restart would leave none"
            ),
            Self::OnlyEndpoint { servant } => write!(
                f,
                "it has the last endpoint of {servant} that answers, and would be removed"
            ),
            Self::OnlyRegistry => f.write_str(
                "it is the only registry that answers: while it restarts, no name is resolved",
            ),
            Self::StartedAs { user } => write!(
                f,
                "its tarsnode runs as {user} and is not restarted by this plan: what it starts would run as {user}, too"
            ),
            Self::IncompletePackage { version } => {
                write!(
                    f,
                    "the package of tarsnode {version} has no configuration or scripts"
                )
            }
            Self::Downgrade { from, to } => write!(f, "{from} would be replaced by the older {to}"),
            Self::NoRunUser { user, .. } => write!(f, "the user {user} does not exist there"),
            Self::InstalledElsewhere { path, wanted } => write!(
                f,
                "a tarsnode runs from {path}, and none is below {wanted}, as the spec says"
            ),
            Self::RunsAs { runs_as, wanted } => write!(
                f,
                "every process of the framework runs as {runs_as}, and the spec says {wanted}; nothing is restarted as another user unless the spec asks for it"
            ),
            Self::NoRights { user, run_user } => write!(
                f,
                "{user} is neither root nor {run_user}, and can change nothing"
            ),
            Self::NeedsRoot { what } => write!(f, "{what} needs root rights"),
            Self::NoProgram { program, .. } => write!(f, "the host has no program `{program}` that works"),
            Self::NoSpace { free, needed } => {
                write!(
                    f,
                    "{} MiB are free, {} MiB are needed",
                    free >> 20,
                    needed >> 20
                )
            }
            Self::NotWritable { path } => write!(f, "{path} cannot be written there"),
            Self::ServersRunning { servers } => {
                write!(f, "it still runs {}", servers.join(", "))
            }
            Self::ChangeInProgress { run } => write!(f, "run {run} is changing this host"),
            Self::UnsafeFolder { why } => write!(f, "{why}, so tarsops stores nothing there"),
            Self::FenceAhead { run, .. } => {
                let when = i64::try_from(run.sequence()).ok();
                let when = when.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
                let when = when.map(|t| t.strftime("%Y-%m-%d %H:%M UTC").to_string());
                write!(
                    f,
                    "its fence is from the future, {}",
                    when.as_deref().unwrap_or(run.as_str())
                )
            }
            Self::Unreadable { file, why } => write!(f, "{file} cannot be edited: {why}"),
            Self::StillAnswers { why } => write!(f, "it should be gone, and {why}"),
            Self::LastRegistry { why } => write!(f, "it is left alone: {why}"),
            Self::NoRegistry => {
                f.write_str("no registry answers, so a restarted tarsnode could not register")
            }
            Self::PortTaken { port } => {
                write!(
                    f,
                    "another process listens on port {port}, which tarsnode needs"
                )
            }
            Self::NoDatabase { bootstrap: true } => f.write_str(
                "there is no db_tars; the spec lets it be created, and this version of tarsops does not do that yet",
            ),
            Self::NoDatabase { bootstrap: false } => {
                f.write_str("there is no db_tars, and the spec says `rebuild: never`")
            }
            Self::TemplateConflict { release, keys } => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|k| {
                        format!(
                            "{} (was shipped as {}, {release} has {}, here {})",
                            k.at, k.old, k.new, k.live
                        )
                    })
                    .collect();
                write!(
                    f,
                    "it was changed here and by the release: {}",
                    keys.join(", ")
                )
            }
            Self::NoCredentials { keys } => {
                write!(f, "the content of {} is unknown", keys.join(", "))
            }
            Self::NoParent { parent } => write!(f, "its parent {parent} is not there"),
            Self::Watched => {
                f.write_str("a check.sh in its crontab would start again what is stopped")
            }
            Self::WatchedElsewhere { place, line } => write!(
                f,
                "{place} would start again what is stopped, or may: {line}"
            ),
            Self::Unseen { why } => write!(f, "it cannot be seen: {why}"),
            Self::VersionsApart {
                component,
                to,
                other,
                at,
                its: Some(its),
                why,
                ..
            } => write!(
                f,
                "{component} {to} cannot work with {other} {its} on {at}, which is not changed: {why}"
            ),
            Self::VersionsApart {
                component,
                to,
                other,
                at,
                its: None,
                since,
                why,
                ..
            } => write!(
                f,
                "{component} {to} comes to {since}, and the version of {other} on {at} is not known: {why}"
            ),
            Self::NoTemplate { name } => write!(
                f,
                "the template {name} is not there, without which its configuration cannot be made"
            ),
            Self::OtherPath { path } => write!(
                f,
                "its row has its program at {path}, which was not checked and would not be saved"
            ),
            Self::ConsoleSilent { why } => {
                write!(f, "the management platform cannot be used: {why}")
            }
            Self::NoPublishPath { what } => write!(f, "it cannot be published: {what}"),
            Self::Finding { name, text, .. } => write!(f, "{name}: {text}"),
            Self::MaintenanceOver { until } => write!(f, "its maintenance ended on {until}"),
        }
    }
}
