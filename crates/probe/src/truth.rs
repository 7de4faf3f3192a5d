//! Asking the framework itself: every servant that the spec expects, AdminRegistry, the database.
//!
//! It runs beside the look at the hosts and shares nothing with it. Every question has its own
//! deadline, so the pass takes as long as its slowest answer and no longer; what did not answer is
//! unknown, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::framework::{
    AdminFacts, Answer, Asked, DatabaseFacts, FrameworkFacts, Rows, ServerView, server_key,
};
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;
use tarsops_transport::calls::Admin;
use tarsops_transport::mysql::Access;
use tarsops_transport::rpc::{CallError, RpcClient, Way};
use tarsops_transport::{Connect, QUERY};

/// How long one call may take.
pub const CALL: Duration = Duration::from_secs(3);
/// How long the database may take for everything.
pub const DATABASE: Duration = Duration::from_secs(10);
/// Calls in flight at once: as many as the 1,024 files leave room for that a process may have open.
/// Whatever is more waits for those before it.
const AT_ONCE: usize = 256;
/// The same through SSH, where each node may cost a process and a key exchange first.
const AT_ONCE_BY_SSH: usize = 64;
/// The application that the framework's own servers belong to.
const APPLICATION: &str = "tars";

/// The way to the framework's servants.
pub struct Ways {
    /// How they are asked.
    pub rpc: Rpc,
    /// Makes SSH connections.
    pub connect: Arc<dyn Connect>,
    /// Nodes whose machine is gone, and the one through which their address is asked.
    pub gone: BTreeSet<NodeName>,
    /// The master.
    pub master: NodeName,
}

impl Ways {
    fn is_direct(&self) -> bool {
        self.rpc == Rpc::Direct
    }

    fn to(&self, node: &NodeName) -> Way {
        match self.rpc {
            Rpc::Ssh => Way::Through {
                connect: Arc::clone(&self.connect),
                node: if self.gone.contains(node) {
                    self.master.clone()
                } else {
                    node.clone()
                },
            },
            Rpc::Direct | Rpc::Off => Way::Direct,
        }
    }

    /// A client for a servant that lies on `node`.
    #[must_use]
    pub fn client(&self, node: &NodeName, at: Endpoint) -> RpcClient {
        RpcClient::new(at, self.to(node))
    }
}

/// What to ask of whom.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Servants, by node.
    pub servants: Vec<(Component, NodeName, &'static str, Endpoint)>,
    /// AdminRegistry, where the spec places it.
    pub admin: Option<(NodeName, Endpoint)>,
    /// Nodes that AdminRegistry is asked about.
    pub nodes: Vec<NodeName>,
    /// Servers that AdminRegistry is asked about.
    pub servers: Vec<(Component, NodeName)>,
    /// Whether running servers are asked for their library's version. AdminRegistry writes a row of
    /// `t_server_notifys` for each such question, so that only what a person reads asks for it.
    pub libraries: bool,
}

impl Questions {
    /// What the spec lets one expect of `nodes`, and of the registries in any case.
    #[must_use]
    pub fn of(desired: &Desired, nodes: &BTreeSet<NodeName>) -> Self {
        let mut out = Self::default();
        // Of a node that is gone one asks whether it really is.
        let expected = |node: &NodeName| {
            desired
                .host(node)
                .is_some_and(|h| !matches!(h.state, NodeState::Absent { .. }))
        };
        let mut add = |component: Component, node: &NodeName, version: Option<Version>| {
            let Some(host) = desired.host(node) else {
                return;
            };
            for (servant, port) in component.servants() {
                if speaks_tars(component, servant, version) {
                    let at = Endpoint::at(host.ip, *port);
                    out.servants.push((component, node.clone(), servant, at));
                }
            }
        };
        let mut servers = Vec::new();
        for (id, resource) in &desired.resources {
            match id {
                ResourceId::Agent(node) if expected(node) && nodes.contains(node) => {
                    add(Component::Tarsnode, node, None);
                }
                ResourceId::Server(component, node)
                    if expected(node)
                        && desired
                            .host(node)
                            .is_some_and(|h| h.state != NodeState::Gone) =>
                {
                    let meant = nodes.contains(node);
                    // What else answers of a servant decides whether one of its endpoints may go.
                    if meant || !component.is_basic() {
                        let version = match resource {
                            tarsops_model::desired::Resource::Server(s) => Some(s.version),
                            _ => None,
                        };
                        add(*component, node, version);
                    }
                    if meant && *component != Component::Tarsnode {
                        servers.push((*component, node.clone()));
                    }
                }
                _ => {}
            }
        }
        out.servers = servers;
        out.admin = desired.admin().map(|(n, e)| (n.clone(), e));
        out.nodes = nodes.iter().filter(|n| expected(n)).cloned().collect();
        out
    }
}

/// Whether a servant speaks Tars in that release: the query services did not before 2.1.0, and
/// `TopologyObj` came with 3.0.1.
fn speaks_tars(component: Component, servant: &str, version: Option<Version>) -> bool {
    let since = match (component, servant) {
        (Component::Tarsquerystat | Component::Tarsqueryproperty, _) => "2.1.0",
        (Component::Tarslog, "tars.tarslog.TopologyObj") => "3.0.1",
        _ => return true,
    };
    match (version, since.parse::<Version>()) {
        (Some(version), Ok(since)) => version >= since,
        _ => true,
    }
}

fn answer(result: Result<(), CallError>, direct: bool) -> Answer {
    match result {
        Ok(()) => Answer::Answers,
        Err(CallError::Refused { .. }) => Answer::Refused,
        Err(CallError::UnknownServant { .. }) => Answer::NoServant,
        Err(
            e @ (CallError::Answered { .. }
            | CallError::Garbled { .. }
            | CallError::UnknownFunction { .. }),
        ) => Answer::Failed(e.to_string()),
        Err(
            e @ (CallError::NoAnswer {
                connected: true, ..
            }
            | CallError::Disconnected { tunnel: false, .. }),
        ) => Answer::Mute(e.to_string()),
        Err(
            e @ (CallError::NoAnswer {
                connected: false, ..
            }
            | CallError::Unreachable { .. }),
        ) if direct => Answer::Nobody(e.to_string()),
        Err(other) => Answer::Silent(other.to_string()),
    }
}

fn known<T>(result: Result<T, CallError>) -> Observed<T> {
    match result {
        Ok(value) => Observed::Present(value),
        Err(e) => unseen(&e),
    }
}

/// Why a word could not be had. What a servant answers with a code is often the text of an exception of
/// its own, which is for a trace.
fn unseen<T>(error: &CallError) -> Observed<T> {
    match error {
        CallError::Answered { function, code, .. } => {
            tracing::debug!("{error}");
            Observed::Unknown(format!("{function} answered with code {code}"))
        }
        other => Observed::Unknown(other.to_string()),
    }
}

/// Asks everything at once. `clock` is the control machine's, in seconds since 1970.
pub async fn ask(
    desired: &Desired,
    questions: &Questions,
    ways: &Ways,
    database: Option<Result<Access, String>>,
    clock: &(dyn Fn() -> i64 + Sync),
    try_default: bool,
) -> FrameworkFacts {
    let servants = async {
        if ways.rpc == Rpc::Off {
            return BTreeMap::new();
        }
        ping_all(questions, ways).await
    };
    let admin = async {
        match &questions.admin {
            None => Observed::Absent,
            Some(_) if ways.rpc == Rpc::Off => {
                Observed::Unknown("the spec says `rpc: none`".into())
            }
            Some((node, at)) => {
                let client = ways.client(node, at.clone());
                ask_admin(&client, questions).await
            }
        }
    };
    let database = async {
        match database {
            None => Observed::Absent,
            Some(Err(why)) => Observed::Unknown(why),
            Some(Ok(access)) => match access.read(clock, try_default, DATABASE).await {
                Ok(facts) => Observed::Present(facts),
                Err(e) => Observed::Unknown(e.to_string()),
            },
        }
    };
    let (servants, admin, database) = tokio::join!(servants, admin, database);
    let registries = desired
        .registries
        .iter()
        .map(|at| {
            let answer = servants
                .values()
                .find(|a: &&Asked| a.at == *at && a.component == Component::Tarsregistry)
                .map_or_else(
                    || Answer::Silent("it was not asked".to_owned()),
                    |a| a.answer.clone(),
                );
            (at.clone(), answer)
        })
        .collect();
    FrameworkFacts {
        servants,
        registries,
        admin,
        database,
        console: Observed::Absent,
    }
}

async fn ping_all(questions: &Questions, ways: &Ways) -> BTreeMap<String, Asked> {
    let direct = ways.is_direct();
    // A list of calls, not a closure inside the stream: the whole must be `Send`.
    let calls: Vec<_> = questions
        .servants
        .iter()
        .map(|(component, node, servant, at)| async move {
            let client = ways.client(node, at.clone());
            let asked = Asked {
                component: *component,
                node: node.clone(),
                servant: (*servant).to_owned(),
                at: at.clone(),
                answer: answer(client.ping(servant, CALL).await, direct),
            };
            (format!("{servant}@{node}"), asked)
        })
        .collect();
    let at_once = match ways.rpc {
        Rpc::Ssh => AT_ONCE_BY_SSH,
        Rpc::Direct | Rpc::Off => AT_ONCE,
    };
    let mut all: BTreeMap<String, Asked> = futures::stream::iter(calls)
        .buffer_unordered(at_once)
        .collect()
        .await;
    // An SSH server that forwards to others and not there has found nobody.
    let forwards = all
        .values()
        .any(|a| a.node == ways.master && a.answer.is_alive());
    if !direct && forwards {
        for asked in all.values_mut().filter(|a| ways.gone.contains(&a.node)) {
            if let Answer::Silent(why) = &asked.answer {
                asked.answer = Answer::Nobody(why.clone());
            }
        }
    }
    all
}

async fn ask_admin(client: &RpcClient, questions: &Questions) -> Observed<AdminFacts> {
    let admin = Admin::new(client, CALL);
    let version = match admin.version().await {
        Ok(version) => Observed::Present(version),
        // Whoever does not answer this one is not asked the others.
        Err(e) => return unseen(&e),
    };
    let names: Vec<String> = questions.nodes.iter().map(ToString::to_string).collect();
    let pings = async {
        let calls: Vec<_> = questions
            .nodes
            .iter()
            .map(|node| {
                let admin = &admin;
                async move { (node.clone(), ping(admin, node).await) }
            })
            .collect();
        futures::stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .collect::<BTreeMap<_, _>>()
            .await
    };
    let servers = async {
        let calls: Vec<_> = questions
            .servers
            .iter()
            .map(|(component, node)| {
                let admin = &admin;
                async move {
                    let view = view_of(admin, *component, node, questions.libraries).await;
                    (server_key(*component, node), view)
                }
            })
            .collect();
        futures::stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .collect::<BTreeMap<_, _>>()
            .await
    };
    let (nodes, connections, pings, servers) = tokio::join!(
        admin.all_node_names(),
        admin.node_list(&names),
        pings,
        servers
    );
    let nodes = match nodes {
        // With the database down this list is empty, too.
        Ok(all) if all.is_empty() => Observed::Unknown("its list of nodes is empty".to_owned()),
        Ok(all) => Observed::Present(all.into_iter().collect()),
        Err(e) => unseen(&e),
    };
    let connections = questions
        .nodes
        .iter()
        .map(|node| {
            let word = match &connections {
                Err(e) => unseen(e),
                Ok(pairs) => match pairs.get(node.as_str()) {
                    Some(at) if !at.is_empty() => Observed::Present(at.clone()),
                    Some(_) => Observed::Absent,
                    None => Observed::Unknown("it was not answered for".to_owned()),
                },
            };
            (node.clone(), word)
        })
        .collect();
    Observed::Present(AdminFacts {
        version,
        nodes,
        connections,
        pings,
        servers,
    })
}

/// Asks about one node again and again, for the gates of an apply.
pub struct NodeWatch {
    ways: Ways,
    admin: Option<RpcClient>,
    database: Option<Access>,
}

impl NodeWatch {
    /// Asks AdminRegistry and the database, as far as the spec lets them be asked.
    #[must_use]
    pub fn new(desired: &Desired, ways: Ways, database: Option<Access>) -> Self {
        let admin = desired
            .admin()
            .filter(|_| ways.rpc != Rpc::Off)
            .map(|(node, at)| ways.client(node, at));
        Self {
            ways,
            admin,
            database,
        }
    }

    /// Whether the registry `at` on `node` answers, and what the database's rows say of it.
    pub async fn registry(&self, node: &NodeName, at: &Endpoint) -> FrameworkFacts {
        let asked = async {
            if self.ways.rpc == Rpc::Off {
                return Answer::Silent("the spec says `rpc: none`".to_owned());
            }
            let client = self.ways.client(node, at.clone());
            answer(client.ping(QUERY, CALL).await, self.ways.is_direct())
        };
        let rows = async {
            let access = self.database.as_ref()?;
            Some(access.registry_rows(CALL).await.map_err(|e| e.to_string()))
        };
        let (asked, rows) = tokio::join!(asked, rows);
        let database = match rows {
            None => Observed::Absent,
            Some(Err(why)) => Observed::Unknown(why),
            Some(Ok(registries)) => Observed::Present(partly(Rows {
                registries: Observed::Present(registries),
                ..no_rows()
            })),
        };
        FrameworkFacts {
            servants: BTreeMap::new(),
            registries: [(at.clone(), asked)].into(),
            admin: not_asked(),
            database,
            console: Observed::Absent,
        }
    }

    /// Whether the servants of `component` answer on `node`, what their server's row says, and what
    /// AdminRegistry says of it.
    pub async fn server(
        &self,
        desired: &Desired,
        node: &NodeName,
        component: Component,
    ) -> FrameworkFacts {
        let all = Questions::of(desired, &[node.clone()].into());
        let questions = Questions {
            servants: all
                .servants
                .into_iter()
                .filter(|(c, n, ..)| *c == component && n == node)
                .collect(),
            ..Questions::default()
        };
        let servants = async {
            if self.ways.rpc == Rpc::Off {
                return BTreeMap::new();
            }
            ping_all(&questions, &self.ways).await
        };
        let admin = async {
            let Some(client) = &self.admin else {
                return Observed::Absent;
            };
            let view = view_of(&Admin::new(client, CALL), component, node, false).await;
            Observed::Present(AdminFacts {
                version: not_asked(),
                nodes: not_asked(),
                connections: BTreeMap::new(),
                pings: BTreeMap::new(),
                servers: [(server_key(component, node), view)].into(),
            })
        };
        let rows = async {
            let Some(access) = &self.database else {
                return Observed::Absent;
            };
            match access.node_rows(node, CALL).await {
                Ok((_, servers)) => Observed::Present(partly(Rows {
                    servers,
                    ..no_rows()
                })),
                Err(e) => Observed::Unknown(e.to_string()),
            }
        };
        let (servants, admin, database) = tokio::join!(servants, admin, rows);
        FrameworkFacts {
            servants,
            registries: BTreeMap::new(),
            admin,
            database,
            console: Observed::Absent,
        }
    }

    /// What the framework says of `node` now. Only its row, its servers' states and its ping are
    /// asked for.
    pub async fn node(&self, node: &NodeName) -> FrameworkFacts {
        let ping = async {
            let Some(client) = &self.admin else {
                return Observed::Absent;
            };
            let heard = ping(&Admin::new(client, CALL), node).await;
            Observed::Present(AdminFacts {
                version: not_asked(),
                nodes: not_asked(),
                connections: BTreeMap::new(),
                pings: [(node.clone(), heard)].into(),
                servers: BTreeMap::new(),
            })
        };
        let row = async {
            let Some(access) = &self.database else {
                return Observed::Absent;
            };
            match access.node_rows(node, CALL).await {
                Ok((row, servers)) => Observed::Present(partly(Rows {
                    nodes: Observed::Present(
                        row.map(|r| (r.name.clone(), r)).into_iter().collect(),
                    ),
                    servers,
                    ..no_rows()
                })),
                Err(e) => Observed::Unknown(e.to_string()),
            }
        };
        let (admin, database) = tokio::join!(ping, row);
        FrameworkFacts {
            servants: BTreeMap::new(),
            registries: BTreeMap::new(),
            admin,
            database,
            console: Observed::Absent,
        }
    }
}

fn not_asked<T>() -> Observed<T> {
    Observed::Unknown("it was not asked".to_owned())
}

fn no_rows() -> Rows {
    Rows {
        nodes: not_asked(),
        servers: not_asked(),
        adapters: not_asked(),
        registries: not_asked(),
        templates: not_asked(),
        columns: BTreeMap::new(),
    }
}

/// A database of which only some rows were asked for.
fn partly(rows: Rows) -> DatabaseFacts {
    DatabaseFacts {
        server: String::new(),
        protection: not_asked(),
        clock_skew: 0,
        read_only: not_asked(),
        databases: BTreeMap::new(),
        rows: Observed::Present(rows),
        default_login: not_asked(),
    }
}

/// Whether AdminRegistry reaches the node. For one whose connection is half open the call is never
/// answered, whatever its context; if AdminRegistry answers others meanwhile, that is a no.
async fn ping(admin: &Admin<'_>, node: &NodeName) -> Observed<bool> {
    match admin.ping_node(node.as_str()).await {
        Err(CallError::NoAnswer { .. }) if admin.version().await.is_ok() => {
            Observed::Present(false)
        }
        other => known(other),
    }
}

async fn view_of(
    admin: &Admin<'_>,
    component: Component,
    node: &NodeName,
    libraries: bool,
) -> Observed<ServerView> {
    let (name, node) = (component.name(), node.as_str());
    let state = match admin.server_state(APPLICATION, name, node).await {
        Ok(state) => state,
        Err(e) => return unseen(&e),
    };
    // Only a running process can tell, and one that is not there costs a time-out.
    let library = if libraries && state.present_state_in_node == "Active" {
        known(admin.library_version(APPLICATION, name, node).await)
    } else {
        Observed::Absent
    };
    Observed::Present(ServerView {
        setting: state.setting_state_in_reg,
        present: state.present_state_in_reg,
        in_node: state.present_state_in_node,
        pid: state.process_id,
        patch_version: state.patch_version,
        library,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_of_a_servant_is_not_repeated() {
        let thrown = CallError::Answered {
            function: "getServerState".to_owned(),
            code: 1001,
            text: "AdminRegistryImp::getServerState TarsNodeNotRegistryException".to_owned(),
        };
        let seen: Observed<()> = unseen(&thrown);
        assert_eq!(
            seen.unknown(),
            Some("getServerState answered with code 1001")
        );
        assert_eq!(known::<()>(Err(thrown)).unknown(), seen.unknown());
        // What we say ourselves is said.
        let silent = CallError::UnknownServant {
            at: "10.0.0.1:17890".to_owned(),
            servant: "tars.tarsregistry.QueryObj".to_owned(),
        };
        let text = silent.to_string();
        assert_eq!(unseen::<()>(&silent).unknown(), Some(text.as_str()));
    }
}
