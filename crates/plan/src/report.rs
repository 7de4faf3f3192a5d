//! Typed reasons, readable by an operator, for everything that a plan does not do.

use std::fmt;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::finding::RuleName;

/// Why a resource that differs is not changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Blocked {
    /// The host does not carry the node's address: it may be another machine.
    WrongAddress {
        /// The address that it must carry.
        ip: String,
        /// What it carries.
        has: Vec<String>,
    },
    /// Another node of the spec answers with the same machine-id.
    SameMachine {
        /// The other node.
        other: NodeName,
    },
    /// No pinned package has the version.
    NoPackage {
        /// The version that is missing.
        version: Version,
    },
    /// No pinned package has the version of a component other than tarsnode.
    NoPackageOf {
        /// Which component.
        component: Component,
        /// The version that is missing.
        version: Version,
    },
    /// The spec places a component on a node that does not have it, and it is not placed yet.
    NotInstalled {
        /// Which component.
        component: Component,
    },
    /// The package of a component other than tarsnode has no configuration or scripts, which a first
    /// install needs.
    IncompletePackageOf {
        /// Which component.
        component: Component,
        /// The version that is incomplete.
        version: Version,
    },
    /// Whom the framework would be asked through to take a component up is not there.
    #[serde(rename = "no-way-in")]
    NoStartPath {
        /// What is missing.
        what: String,
    },
    /// A component runs, and the framework has no row of it.
    RunsUnknown {
        /// Which component.
        component: Component,
    },
    /// Another process listens on the port that a component needs.
    PortTakenOf {
        /// Which component.
        component: Component,
        /// Which port.
        port: u16,
    },
    /// The framework's rows have a framework host under another name or address.
    FrameworkMoved {
        /// The name or address that the rows have.
        from: String,
        /// What is so.
        why: String,
    },
    /// It would take the only endpoint of a servant that answers; its others do not.
    LastEndpoint {
        /// Which servant.
        servant: String,
        /// How many of its endpoints do not answer.
        silent: usize,
    },
    /// It has the only endpoint of a servant that answers, and would be removed.
    OnlyEndpoint {
        /// Which servant.
        servant: String,
    },
    /// It is the only registry that answers: while it restarts, nothing resolves names.
    OnlyRegistry,
    /// A node's tarsnode runs as another user than it should and is not restarted by this plan: what
    /// it starts would run as that user.
    StartedAs {
        /// As whom it runs.
        user: String,
    },
    /// The package has no configuration or scripts, which a first install needs.
    IncompletePackage {
        /// The version that is incomplete.
        version: Version,
    },
    /// A newer version would be replaced by an older one.
    Downgrade {
        /// What is there.
        from: Version,
        /// What is wanted.
        to: Version,
    },
    /// The run user does not exist, and the spec does not ask to make it.
    NoRunUser {
        /// The user.
        user: String,
        /// Whether a step makes it, which comes too late.
        #[serde(default)]
        comes: bool,
    },
    /// No tarsnode is below the spec's install path, and one runs from another.
    InstalledElsewhere {
        /// The install path that it runs from.
        path: String,
        /// The spec's.
        wanted: String,
    },
    /// Every process of the framework runs as somebody else than the spec says.
    RunsAs {
        /// As whom.
        runs_as: String,
        /// As whom the spec says.
        wanted: String,
    },
    /// The SSH user is neither root nor the run user on any host.
    NoRights {
        /// The SSH user.
        user: String,
        /// The run user.
        run_user: String,
    },
    /// Something needs root rights, and the SSH user has none.
    NeedsRoot {
        /// What needs them.
        what: String,
    },
    /// A program is missing on the host.
    NoProgram {
        /// Which.
        program: String,
        /// The package that has it.
        package: String,
    },
    /// The file system is full.
    NoSpace {
        /// Free bytes.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The install path cannot be written.
    NotWritable {
        /// Which path.
        path: String,
    },
    /// The agent that should go still runs servers.
    ServersRunning {
        /// Their names.
        servers: Vec<String>,
    },
    /// Another run is changing the host at this moment.
    #[serde(rename = "change-at-work")]
    ChangeInProgress {
        /// That run.
        run: RunId,
    },
    /// Others can write on the way to the folder of tarsops' own files there.
    UnsafeFolder {
        /// Which part of the way, and who.
        why: String,
    },
    /// The newest run that the host has seen is from the future, so that it refuses those of today.
    FenceAhead {
        /// That run.
        run: RunId,
        /// Where the host keeps it.
        path: String,
    },
    /// A file cannot be brought to the spec without losing what is in it.
    Unreadable {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A node that should be gone gives signs of life.
    StillAnswers {
        /// Which.
        why: String,
    },
    /// No living registry would be left, or that cannot be told.
    LastRegistry {
        /// What is so.
        why: String,
    },
    /// No registry answers that a started tarsnode could register with.
    NoRegistry,
    /// There is no database, and none is made.
    NoDatabase {
        /// Whether the spec says `rebuild: bootstrap`.
        bootstrap: bool,
    },
    /// The release and people changed the same keys of a template.
    TemplateConflict {
        /// The release.
        release: Version,
        /// Which keys, each with its values.
        keys: Vec<Clash>,
    },
    /// A template needs credentials of the database that are nowhere to be had.
    NoCredentials {
        /// Where they would stand.
        keys: Vec<String>,
    },
    /// A template would have no parent.
    NoParent {
        /// Its name.
        parent: String,
    },
    /// Another process listens on the port that it needs.
    PortTaken {
        /// Which port.
        port: u16,
    },
    /// A `check.sh` in the crontab would start again what should be stopped.
    Watched,
    /// Another crontab of the host than the run user's would start again what is stopped, or may.
    WatchedElsewhere {
        /// Which crontab.
        place: String,
        /// The line.
        line: String,
    },
    /// Something that it rests upon cannot be seen.
    Unseen {
        /// What, and why not.
        why: String,
    },
    /// Another component, which stays as it is, is of a version that it could not work with, or of
    /// one that is not known while that matters.
    VersionsApart {
        /// Which component would change.
        component: Component,
        /// To which version.
        to: Version,
        /// Which one stays.
        other: Component,
        /// On which node.
        at: NodeName,
        /// At which version; none where that is not known.
        its: Option<Version>,
        /// Which version makes the difference.
        since: Version,
        /// Which rule says so.
        rule: String,
        /// What breaks, or why the version is not known.
        why: String,
    },
    /// A template that a server is started with is not there.
    NoTemplate {
        /// Its name.
        name: String,
    },
    /// The server's program is elsewhere than where the spec has it.
    OtherPath {
        /// Where its row has it.
        path: String,
    },
    /// The management platform is needed and cannot be used.
    ConsoleSilent {
        /// Why not.
        why: String,
    },
    /// A basic service cannot be published.
    #[serde(rename = "no-way-to-publish")]
    NoPublishPath {
        /// What is missing.
        what: String,
    },
    /// The sources contradict each other in a way that forbids every change.
    Finding {
        /// Under which name.
        name: RuleName,
        /// What is so.
        text: String,
        /// What to do about it.
        cure: String,
    },
    /// The maintenance that the spec grants is over, and the node still differs.
    MaintenanceOver {
        /// The first day on which drift is an alarm again.
        until: String,
    },
}

/// A key with its values in the old release, the new one, and the database, as they may be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Clash {
    /// Where it stands, such as `/tars/reap<nodeTimeout>`.
    pub at: String,
    /// What the release ships that the cluster runs.
    pub old: String,
    /// What the wanted one ships.
    pub new: String,
    /// What the database has.
    pub live: String,
}

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
                "start another one first: place it on a node that stays (`components`), or find out why the others do not answer".to_owned()
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
            Self::ConsoleSilent { why } if why.contains("ticket") => {
                "create a new token there and store it where `web.ticket` says, or use `--without-console` to apply what does not need it".to_owned()
            }
            Self::ConsoleSilent { .. } => {
                "start it, or use `--without-console` to apply what does not need it".to_owned()
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
                "it has the only endpoint of {servant} that answers, and would be removed"
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

/// A line beside the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// A resource that differs and is not changed.
    Blocked {
        /// Which.
        resource: ResourceId,
        /// Why.
        #[serde(flatten)]
        why: Blocked,
    },
    /// A resource that is looked at and left alone because the spec says so.
    Ignored {
        /// Which.
        resource: ResourceId,
        /// Why, and what would be done.
        why: String,
    },
    /// Something that the spec describes and this version of tarsops does not manage yet.
    NotYet {
        /// What, with a number.
        what: String,
        /// Of which kind.
        topic: String,
    },
    /// A resource that differs and is changed later, by a plan of its own.
    Waiting {
        /// Which.
        resource: ResourceId,
        /// For what, and what is done then.
        why: String,
    },
    /// What the gates of this plan cannot ask.
    Unchecked {
        /// What, and why not.
        what: String,
    },
    /// Something noteworthy that is no drift.
    Note {
        /// About which resource.
        resource: ResourceId,
        /// What.
        text: String,
    },
    /// Something that works and should not stay so.
    Warning {
        /// About which resource.
        resource: ResourceId,
        /// Under which name.
        name: RuleName,
        /// What is so.
        text: String,
        /// What to do about it.
        cure: String,
    },
    /// Something that has to be looked at soon.
    Alarm {
        /// About which resource.
        resource: ResourceId,
        /// What.
        text: String,
    },
    /// A change that an earlier run left without a verdict; it is ended before anything else.
    Unfinished {
        /// On which node.
        node: NodeName,
        /// By which run.
        run: RunId,
    },
}
