//! Asking the framework itself: every servant that the spec expects, AdminRegistry, the database.
//!
//! It runs beside the look at the hosts and shares nothing with it. Every question has its own
//! deadline, so the pass takes as long as its slowest answer and no longer; what did not answer is
//! unknown, with the reason.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::framework::{AdminFacts, Answer, Asked, FrameworkFacts, server_key};
use tarsops_model::observed::Observed;
use tarsops_transport::mysql::Access;
use tarsops_transport::rpc::RpcClient;

use crate::answers::{answer, ping, unseen, view_of};
use crate::calls::Admin;
use crate::common::CALL;
use crate::questions::Questions;
use crate::ways::Ways;

/// How long the database may take for everything.
pub const DATABASE: Duration = Duration::from_secs(10);
/// Calls in flight at once: as many as the 1,024 files leave room for that a process may have open.
/// Whatever is more waits for those before it.
const AT_ONCE: usize = 256;
/// The same through SSH, where each node may cost a process and a key exchange first.
const AT_ONCE_BY_SSH: usize = 64;

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

pub(crate) async fn ping_all(questions: &Questions, ways: &Ways) -> BTreeMap<String, Asked> {
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
