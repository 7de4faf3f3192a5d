//! Predicates over observed facts, as data: what must hold before and after a step.

mod container;
mod rows;
mod server;
mod words;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tarsops_conf::Document;
use tarsops_conf::placeholder::Placeholder;
use tarsops_conf::tarsnode::Wanted;
use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{ContainerName, Endpoint, NodeName, RunId};
use tarsops_model::observed::Observed;

use crate::crontab;

/// Whether a condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It does.
    Holds,
    /// It does not, and what is so instead.
    Fails(String),
    /// It cannot be told, and why.
    Unknown(String),
}

/// A predicate over what was seen of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Condition {
    /// The host is this machine.
    Machine {
        /// Its machine-id.
        id: String,
    },
    /// The component's folder exists, or does not.
    Folder {
        /// Whether it should.
        exists: bool,
    },
    /// A file below the component's folder has this digest, or is not there.
    File {
        /// Path relative to the framework's folder.
        path: String,
        /// Its digest; `None` for no file.
        digest: Option<Digest>,
    },
    /// A file below the component's folder has at least these permission bits.
    Mode {
        /// Path relative to the framework's folder.
        path: String,
        /// The bits.
        mode: u32,
    },
    /// The run user's crontab, without our guard line, has this digest, or there is none.
    Crontab {
        /// Its digest.
        digest: Option<Digest>,
    },
    /// An unfinished change is there, or none does.
    Unfinished {
        /// Whose; `None` for none.
        run: Option<RunId>,
    },
    /// Exactly one process runs, of this binary, with this nodeid and user.
    Runs {
        /// Digest of the running executable; any if left out.
        digest: Option<Digest>,
        /// Its `--nodeid`.
        nodeid: NodeName,
        /// Its user.
        user: String,
    },
    /// No process of the component runs.
    Stopped,
    /// The component's port listens.
    Listens,
    /// The start script names this node.
    ScriptNodeid {
        /// The nodeid.
        nodeid: NodeName,
    },
    /// The configuration means this.
    Conf {
        /// `localip` and the endpoint's host.
        ip: String,
        /// The node's name, which tarsnode itself may write in their place.
        nodeid: NodeName,
        /// Registries that the locator names, at least.
        locator: BTreeSet<Endpoint>,
    },
    /// Another component of this installation runs, or does not.
    Component {
        /// Which.
        component: Component,
        /// Whether it should.
        runs: bool,
    },
    /// Another component is installed so that it can be started, or is not.
    Installed {
        /// Which.
        component: Component,
        /// Whether it should be.
        there: bool,
    },
    /// Exactly one process of another component runs, of this binary, as this user.
    ServerRuns {
        /// Which.
        component: Component,
        /// Digest of the running executable; any if left out.
        digest: Option<Digest>,
        /// Its user.
        user: String,
    },
    /// The ports of another component listen.
    ServerListens {
        /// Which.
        component: Component,
    },
    /// Every servant of another component answers on the node.
    ServantsAnswer {
        /// Which.
        component: Component,
    },
    /// The database calls another component active on the node.
    ServerActive {
        /// Which.
        component: Component,
    },
    /// AdminRegistry hears from the node that another component is active there.
    ServerInNode {
        /// Which.
        component: Component,
    },
    /// A registry of the spec other than this one answers.
    AnotherRegistry {
        /// The one that does not count.
        but: Endpoint,
    },
    /// The registry answers.
    RegistryAnswers {
        /// Which registry.
        registry: Endpoint,
    },
    /// The database lists the registry as alive.
    RegistryListed {
        /// Which registry.
        registry: Endpoint,
    },
    /// The host keeps labels of the node's row, or none.
    LabelsSaved {
        /// Which.
        labels: Option<NodeLabels>,
    },
    /// The registry calls the node active.
    Registered,
    /// The registry calls these servers of the node active, as before: those that run on while their
    /// tarsnode restarts count as inactive until it has told of them.
    ServersActive {
        /// `application.server` of each.
        servers: BTreeSet<String>,
    },
    /// The registry calls every server of the node active that shall be: which those are, could not be
    /// read when the plan was made.
    AllServersActive {
        /// `application.server` of each that is gone by then.
        but: BTreeSet<String>,
    },
    /// AdminRegistry reaches the node over its long connection (`ping succ`).
    Connected,
    /// Nobody answers for the node: its tarsnode is silent, AdminRegistry has no connection to it,
    /// and its last heartbeat is old.
    Unanswered,
    /// The database has no rows of the node.
    Forgotten {
        /// The address that it had.
        ip: std::net::IpAddr,
    },
    /// The database has a row of the registry, and it is not fresh.
    RegistryDead {
        /// Which registry.
        registry: Endpoint,
    },
    /// A registry of the spec answers.
    RegistryLeft,
    /// The database has no rows of the registry.
    RegistryRowsDeleted {
        /// Which registry.
        registry: Endpoint,
    },
    /// The database has none of these rows of servers and adapters on the node.
    RowsAbsent {
        /// Their names: `application.server`, or the adapter's.
        rows: BTreeSet<String>,
    },
    /// The database has all of these rows of servers and adapters on the node.
    RowsThere {
        /// Their names: `application.server`, or the adapter's.
        rows: BTreeSet<String>,
    },
    /// `db_tars` is there and could be read.
    DatabaseRead,
    /// The engine has this container under the name that the spec gives it.
    ContainerIs {
        /// The engine's id of it.
        id: String,
    },
    /// The framework's container runs, and is another one than this.
    ContainerRuns {
        /// The engine's id of the one that it has replaced.
        instead_of: String,
        /// The image that it was made from; any if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<Digest>,
    },
    /// The engine has a container that was replaced, and it does not run.
    ContainerRetired {
        /// The engine's id of it.
        id: String,
    },
    /// The engine has an image.
    ImageThere {
        /// The engine's id of it.
        id: Digest,
    },
    /// Nothing on the host would have a start of its container drop the databases.
    NoRebuild {
        /// The container's name.
        name: ContainerName,
    },
    /// A table of `db_tars` has a column, or proven has not.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Whether it should.
        there: bool,
    },
    /// A template has this text, or is proven not to be there.
    Template {
        /// Its name.
        name: String,
        /// sha256 of its text; none for no such template.
        digest: Option<Digest>,
    },
    /// The folder belongs to this user.
    Owner {
        /// The user.
        user: String,
    },
    /// cron watches it, exactly once.
    Watched {
        /// The framework's folder.
        tars_path: String,
    },
    /// No monitor line brings it back.
    Unwatched {
        /// The framework's folder.
        tars_path: String,
    },
}

impl Condition {
    /// Whether it is the framework, and not the host, that knows.
    #[must_use]
    pub const fn is_of_framework(&self) -> bool {
        matches!(
            self,
            Self::Registered
                | Self::ServersActive { .. }
                | Self::AllServersActive { .. }
                | Self::Connected
                | Self::RegistryAnswers { .. }
                | Self::RegistryListed { .. }
                | Self::RegistryRowsDeleted { .. }
                | Self::ServantsAnswer { .. }
                | Self::ServerActive { .. }
                | Self::ServerInNode { .. }
        )
    }

    /// Whether it is what the framework says of a component other than tarsnode.
    #[must_use]
    pub const fn is_of_server(&self) -> bool {
        matches!(
            self,
            Self::ServantsAnswer { .. } | Self::ServerActive { .. } | Self::ServerInNode { .. }
        )
    }

    /// Evaluates the condition for `node`. Facts that could not be seen make it unknown.
    #[must_use]
    pub fn eval(&self, node: &NodeName, inventory: &Inventory) -> Truth {
        match self {
            Self::Machine { id } => on_host(node, inventory, |h| {
                compare(&h.machine_id, "its machine-id", |m| m == id)
            }),
            Self::ContainerIs { .. }
            | Self::ContainerRuns { .. }
            | Self::ContainerRetired { .. }
            | Self::ImageThere { .. }
            | Self::NoRebuild { .. } => self.of_container(node, inventory),
            Self::Unfinished { run } => on_host(node, inventory, |h| {
                let found = h.unfinished.as_ref().map(|u| &u.run);
                truth(found == run.as_ref(), || match found {
                    Some(r) => format!("a change of run {r} has not ended there"),
                    None => "there is no unfinished change".to_owned(),
                })
            }),
            Self::Crontab { digest } => on_host(node, inventory, |h| {
                let found = match &h.crontab {
                    Observed::Unknown(why) => return Truth::Unknown(format!("its crontab: {why}")),
                    Observed::Absent => None,
                    Observed::Present(text) => Some(crontab::without_guard(text)),
                };
                let found = found
                    .filter(|t| !t.is_empty())
                    .map(|t| Digest::of(t.as_bytes()));
                truth(found == *digest, || "its crontab has changed".to_owned())
            }),
            Self::Watched { tars_path } => on_host(node, inventory, |h| {
                let mut others = h.other_crontabs.values();
                let elsewhere = others.any(|text| crontab::watchers(text, tars_path).any());
                match &h.crontab {
                    Observed::Unknown(why) => Truth::Unknown(format!("its crontab: {why}")),
                    Observed::Absent => truth(elsewhere, || "it has no crontab".to_owned()),
                    Observed::Present(text) => {
                        let found = crontab::watchers(text, tars_path);
                        let maybe = elsewhere || !found.unclear.is_empty();
                        let wanted = usize::from(found.check.is_empty());
                        truth(
                            found.monitor.len() == wanted || maybe && found.monitor.is_empty(),
                            || format!("cron watches it {} times", found.monitor.len()),
                        )
                    }
                }
            }),
            Self::Unwatched { tars_path } => on_host(node, inventory, |h| match &h.crontab {
                Observed::Unknown(why) => Truth::Unknown(format!("its crontab: {why}")),
                Observed::Absent => Truth::Holds,
                Observed::Present(text) => truth(
                    crontab::watchers(text, tars_path).monitor.is_empty(),
                    || "cron still watches it".to_owned(),
                ),
            }),
            Self::Folder { exists } => match inventory.agent(node) {
                Observed::Unknown(why) => Truth::Unknown(why),
                Observed::Absent => truth(!exists, || "its folder is not there".to_owned()),
                Observed::Present(a) if a.folder.unknown().is_some() => {
                    Truth::Unknown(format!("its folder: {}", a.folder.unknown().unwrap_or("")))
                }
                Observed::Present(a) => {
                    let there = !a.folder.is_absent();
                    truth(there == *exists, || {
                        format!("its folder is {}there", if there { "" } else { "not " })
                    })
                }
            },
            Self::File { path, digest } => match digest_at(inventory, node, path) {
                Observed::Unknown(why) => Truth::Unknown(format!("{path}: {why}")),
                Observed::Absent => truth(digest.is_none(), || format!("{path} is not there")),
                Observed::Present(d) => {
                    truth(Some(d) == *digest, || format!("{path} has other content"))
                }
            },
            Self::Mode { path, mode } => on_agent(node, inventory, |a| match file_mode(a, path) {
                Observed::Present(found) => truth(found & mode == *mode, || {
                    format!("{path} has mode {found:o}")
                }),
                Observed::Absent => Truth::Fails(format!("{path} is not there")),
                Observed::Unknown(why) => Truth::Unknown(format!("{path}: {why}")),
            }),
            Self::Stopped => match inventory.agent(node) {
                Observed::Unknown(why) => Truth::Unknown(why),
                Observed::Absent => Truth::Holds,
                Observed::Present(a) => compare(&a.processes, "its processes", Vec::is_empty),
            },
            Self::Runs {
                digest,
                nodeid,
                user,
            } => on_agent(node, inventory, |a| {
                let Observed::Present(all) = &a.processes else {
                    return compare(&a.processes, "its processes", |_| false);
                };
                let [one] = all.as_slice() else {
                    return Truth::Fails(match all.len() {
                        0 => "it does not run".to_owned(),
                        n => format!("it runs {n} times"),
                    });
                };
                if one.nodeid.as_deref() != Some(nodeid.as_str()) {
                    let found = one.nodeid.as_deref().unwrap_or("none");
                    return Truth::Fails(format!("it runs with nodeid {found}"));
                }
                if one.user != *user {
                    return Truth::Fails(format!("it runs as {}", one.user));
                }
                match digest {
                    None => Truth::Holds,
                    Some(d) => compare(&one.exe, "the running binary", |found| found == d),
                }
            }),
            Self::Listens => on_agent(node, inventory, |a| {
                compare(&a.listening, "its port", |listening| *listening)
            }),
            Self::ScriptNodeid { nodeid } => {
                on_agent(node, inventory, |a| match a.util.get("execute.sh") {
                    Some(Observed::Present(script)) => {
                        let found = tarsops_conf::util_script::nodeid(&script.text);
                        truth(found == Some(nodeid.as_str()), || {
                            format!("util/execute.sh says nodeid {}", found.unwrap_or("none"))
                        })
                    }
                    Some(Observed::Unknown(why)) => {
                        Truth::Unknown(format!("util/execute.sh: {why}"))
                    }
                    Some(Observed::Absent) | None => {
                        Truth::Fails("util/execute.sh is not there".to_owned())
                    }
                })
            }
            Self::Conf {
                ip,
                nodeid,
                locator,
            } => on_agent(node, inventory, |a| match &a.conf {
                Observed::Unknown(why) => Truth::Unknown(format!("its configuration: {why}")),
                Observed::Absent => Truth::Fails("its configuration is not there".to_owned()),
                Observed::Present(conf) => match Document::parse(&conf.text) {
                    Err(e) => Truth::Fails(format!("its configuration: {e}")),
                    Ok(doc) => {
                        let says = tarsops_conf::tarsnode::read(&doc);
                        let wanted = wanted_conf_like(&says, ip, nodeid.as_str(), locator);
                        let filled = says
                            .placeholders
                            .iter()
                            .all(|p| *p == Placeholder::DatabaseHost);
                        truth(says.satisfies(&wanted) && filled, || {
                            "its configuration means something else".to_owned()
                        })
                    }
                },
            }),
            Self::Registered => match inventory.framework.as_ref().map(|f| f.node_row(node)) {
                None => Truth::Unknown("the database was not asked".to_owned()),
                Some(Observed::Unknown(why)) => Truth::Unknown(why),
                Some(Observed::Absent) => {
                    Truth::Fails("the database has no row of it: it has not registered".to_owned())
                }
                Some(Observed::Present(row)) => {
                    truth(row.present.as_deref() == Some("active"), || {
                        let state = row.present.as_deref().unwrap_or("(nothing)");
                        format!("the database calls it {state}")
                    })
                }
            },
            Self::Connected => match inventory.framework.as_ref().map(|f| f.ping(node)) {
                None => Truth::Unknown("AdminRegistry was not asked".to_owned()),
                Some(Observed::Unknown(why)) => Truth::Unknown(format!("AdminRegistry: {why}")),
                Some(Observed::Absent) => Truth::Unknown("there is no AdminRegistry".to_owned()),
                Some(Observed::Present(alive)) => truth(alive, || {
                    "AdminRegistry has no connection to it (no `ping succ`)".to_owned()
                }),
            },
            Self::ServerRuns { .. }
            | Self::ServerListens { .. }
            | Self::ServantsAnswer { .. }
            | Self::ServerActive { .. }
            | Self::ServerInNode { .. } => self.of_server(node, inventory),
            Self::AnotherRegistry { .. }
            | Self::Unanswered
            | Self::Forgotten { .. }
            | Self::RegistryDead { .. }
            | Self::RegistryLeft
            | Self::ServersActive { .. }
            | Self::AllServersActive { .. }
            | Self::RegistryAnswers { .. }
            | Self::RegistryListed { .. }
            | Self::RegistryRowsDeleted { .. }
            | Self::RowsAbsent { .. }
            | Self::RowsThere { .. }
            | Self::DatabaseRead
            | Self::Column { .. }
            | Self::Template { .. } => self.of_rows(node, inventory),
            Self::LabelsSaved { labels } => on_host(node, inventory, |h| {
                truth(h.labels == *labels, || match &h.labels {
                    Some(_) => "it has saved labels of its row".to_owned(),
                    None => "it has no saved labels of its row".to_owned(),
                })
            }),
            Self::Component { component, runs } => on_host(node, inventory, |h| {
                among(&h.components, *component, *runs, "run")
            }),
            Self::Installed { component, there } => on_host(node, inventory, |h| {
                among(&h.installed, *component, *there, "stand installed")
            }),
            Self::Owner { user } => on_agent(node, inventory, |a| {
                compare(&a.folder, "its folder", |f| {
                    f.owner == *user && f.strangers.is_empty()
                })
            }),
        }
    }
}

/// The configuration that a node should have.
#[must_use]
pub fn wanted_conf(ip: &str, locator: &BTreeSet<Endpoint>) -> Wanted {
    Wanted {
        localip: ip.to_owned(),
        endpoint_host: ip.to_owned(),
        locator: locator
            .iter()
            .map(|e| (e.host.to_string(), e.port))
            .collect(),
        exact: false,
    }
}

/// The configuration that a node should have, given what it says now. A running tarsnode fills
/// `${localip}` of the database's template with its nodeid (framework
/// `NodeServer/NodeServer.cpp`), so on a node that is not named by its address both are right.
#[must_use]
pub fn wanted_conf_like(
    says: &tarsops_conf::tarsnode::AgentConf,
    ip: &str,
    nodeid: &str,
    locator: &BTreeSet<Endpoint>,
) -> Wanted {
    let mut wanted = wanted_conf(ip, locator);
    if says.localip.as_deref() == Some(nodeid) {
        nodeid.clone_into(&mut wanted.localip);
    }
    if says.endpoint_host.as_deref() == Some(nodeid) {
        nodeid.clone_into(&mut wanted.endpoint_host);
    }
    wanted
}

/// The digest of one of the files that a probe reports on a node.
#[must_use]
pub fn digest_at(inventory: &Inventory, node: &NodeName, path: &str) -> Observed<Digest> {
    let name = path.split('/').next().unwrap_or_default();
    match name.parse::<Component>() {
        Ok(component) if component != Component::Tarsnode => {
            if path != crate::places::binary_path(component) {
                return Observed::Unknown("it is not observed".to_owned());
            }
            match inventory.server(component, node) {
                Observed::Present(server) => server.binary.as_ref().map(|b| b.digest),
                Observed::Absent => Observed::Absent,
                Observed::Unknown(why) => Observed::Unknown(why),
            }
        }
        _ => match inventory.agent(node) {
            Observed::Present(agent) => file_digest(agent, path),
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why),
        },
    }
}

/// The digest of one of the files that a probe reports.
#[must_use]
pub fn file_digest(agent: &AgentFacts, path: &str) -> Observed<Digest> {
    match path.strip_prefix("tarsnode/") {
        Some("bin/tarsnode") => agent.binary.as_ref().map(|b| b.digest),
        Some("conf/tars.tarsnode.config.conf") => agent.conf.as_ref().map(|c| c.digest()),
        Some(other) => match other
            .strip_prefix("util/")
            .and_then(|name| agent.util.get(name))
        {
            Some(script) => script.as_ref().map(|s| s.digest()),
            None => Observed::Unknown("it is not observed".to_owned()),
        },
        None => Observed::Unknown("it is not observed".to_owned()),
    }
}

/// The permission bits of one of the files that a probe reports.
fn file_mode(agent: &AgentFacts, path: &str) -> Observed<u32> {
    match path.strip_prefix("tarsnode/") {
        Some("bin/tarsnode") => agent.binary.as_ref().map(|b| b.mode),
        Some("conf/tars.tarsnode.config.conf") => agent.conf.as_ref().map(|c| c.mode),
        other => other
            .and_then(|path| path.strip_prefix("util/"))
            .and_then(|name| agent.util.get(name))
            .map_or_else(
                || Observed::Unknown("it is not observed".to_owned()),
                |script| script.as_ref().map(|s| s.mode),
            ),
    }
}

fn truth(holds: bool, otherwise: impl FnOnce() -> String) -> Truth {
    if holds {
        Truth::Holds
    } else {
        Truth::Fails(otherwise())
    }
}

fn compare<T>(fact: &Observed<T>, what: &str, holds: impl FnOnce(&T) -> bool) -> Truth {
    match fact {
        Observed::Present(value) => truth(holds(value), || format!("{what} is another")),
        Observed::Absent => Truth::Fails(format!("{what} is not there")),
        Observed::Unknown(why) => Truth::Unknown(format!("{what}: {why}")),
    }
}

/// Whether a component is among the ones that `verb`.
fn among(
    seen: &Observed<BTreeSet<String>>,
    component: Component,
    wanted: bool,
    verb: &str,
) -> Truth {
    match seen {
        Observed::Present(all) => truth(all.contains(component.name()) == wanted, || {
            let word = if wanted { "does not" } else { "does" };
            format!("{component} {word} {verb} there")
        }),
        other => Truth::Unknown(other.unknown().unwrap_or("nothing was reported").to_owned()),
    }
}

fn on_host(
    node: &NodeName,
    inventory: &Inventory,
    f: impl FnOnce(&tarsops_model::host::HostFacts) -> Truth,
) -> Truth {
    match inventory.host(node) {
        Observed::Present(h) => f(h),
        Observed::Absent => Truth::Fails("the host is not there".to_owned()),
        Observed::Unknown(why) => Truth::Unknown(why),
    }
}

fn on_agent(node: &NodeName, inventory: &Inventory, f: impl FnOnce(&AgentFacts) -> Truth) -> Truth {
    match inventory.agent(node) {
        Observed::Present(a) => f(a),
        Observed::Absent => Truth::Fails("tarsnode is not installed".to_owned()),
        Observed::Unknown(why) => Truth::Unknown(why),
    }
}
