//! What the framework says of itself, asked of servers that lie, fall silent or are not there.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../transport/tests/support/server.rs"]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use server::in_time;
use tarsops_framework::{CALL, NodeWatch, Questions, Ways, ask};
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{
    Desired, PackageSource, Policy, Rebuild, Resource, Rpc, Server as DesiredServer,
};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{AdminFacts, Answer, FrameworkFacts, server_key};
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_transport::{Connect, Fault, FaultKind, Remote};
use tarsops_wire::interface::{NODE, ServerStateDesc};
use tarsops_wire::packet::{Request, Response, code, take_frame};
use tarsops_wire::{Decode, Encode, Fields, Writer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// No SSH in these tests.
struct NoSsh;

impl Connect for NoSsh {
    fn connect<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Remote>, Fault>> {
        async { Err(Fault::new(FaultKind::Unreachable, "no SSH here")) }.boxed()
    }
    fn tunnel<'a>(
        &'a self,
        _: &'a NodeName,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Result<PathBuf, Fault>> {
        async { Err(Fault::new(FaultKind::Unreachable, "no SSH here")) }.boxed()
    }
    fn forget<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}

fn ways(rpc: Rpc) -> Ways {
    Ways {
        rpc,
        connect: Arc::new(NoSsh),
        gone: BTreeSet::new(),
        master: "127.0.0.1".parse().unwrap(),
    }
}

/// Serves on `at` what `answer` makes of each call; nothing for none. Counts connections.
async fn serve(
    at: &str,
    answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
) -> (Endpoint, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let at = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let (answer, counted) = (Arc::new(answer), Arc::clone(&count));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                while stream.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
                    while let Some((frame, rest)) = take_frame(&buffer, 1 << 20).unwrap() {
                        let request = Request::from_frame(frame).unwrap();
                        let rest = rest.to_vec();
                        if let Some(response) = answer(&request) {
                            let frame = response.to_frame().unwrap();
                            let _ = stream.write_all(&frame).await;
                        }
                        buffer = rest;
                    }
                }
            });
        }
    });
    (Endpoint::at(at.ip(), at.port()), count)
}

const LOCAL: &str = "127.0.0.1:0";

/// An argument of a call.
fn argument(request: &Request, tag: u8) -> String {
    let value = Fields::new(&request.arguments.0)
        .unwrap()
        .find(tag)
        .unwrap();
    String::decode(value.unwrap(), tag).unwrap()
}

fn say(request: &Request, fill: impl FnOnce(&mut Writer)) -> Option<Response> {
    let mut writer = Writer::new();
    fill(&mut writer);
    Some(Response::to(request, 0, writer.finish()))
}

/// A healthy AdminRegistry, whose nodes all answer.
fn healthy(request: &Request) -> Option<Response> {
    say(request, |w| match request.function.as_str() {
        "getVersion" => {
            w.put(0, &0i32);
            w.put(1, "3.0.17");
        }
        "getAllNodeNames" => {
            w.put(0, &vec!["n-1".to_owned(), "n-2".to_owned()]);
            w.put(1, "");
        }
        "getNodeList" => {
            w.put(0, &0i32);
            w.map(2, 2);
            for (node, at) in [("n-1", "2026-11-22 10:06:09"), ("n-2", "")] {
                w.put(0, node);
                w.put(1, at);
            }
        }
        "pingNode" => {
            w.put(0, &true);
            w.put(2, "ping succ");
        }
        "getServerState" => {
            w.put(0, &0i32);
            let active = argument(request, 3) == "n-1";
            let state = ServerStateDesc {
                setting_state_in_reg: "active".to_owned(),
                present_state_in_reg: "active".to_owned(),
                present_state_in_node: if active { "Active" } else { "Inactive" }.to_owned(),
                process_id: 77,
                patch_version: "3.0.17".to_owned(),
                ..ServerStateDesc::default()
            };
            state.encode(w, 4);
            w.put(5, "succ");
        }
        "notifyServer" => {
            w.put(0, &0i32);
            w.put(5, "succ:[notify prefix object num:1]\n[1]:$3.0.20$\n");
        }
        other => panic!("{other} was not to be called"),
    })
}

fn node(number: usize) -> NodeName {
    format!("n-{number}").parse().unwrap()
}

/// A spec with AdminRegistry on a master of that address.
fn desired(ip: &str, registries: &[Endpoint]) -> Desired {
    let master: NodeName = "n-1".parse().unwrap();
    let host = Host {
        ip: ip.parse().unwrap(),
        role: Role::Master,
        labels: BTreeMap::new(),
        state: NodeState::Present,
    };
    let server = DesiredServer {
        rows: tarsops_model::desired::RowSettings::default(),
        version: "3.0.17".parse().unwrap(),
        tars_path: "/usr/local/app/tars".parse().unwrap(),
        run_user: "tars".parse().unwrap(),
        ip: host.ip,
        replace_unknown: false,
        allow_downgrade: false,
    };
    Desired {
        cluster: "test".parse().unwrap(),
        spec_digest: Digest::of(b""),
        rebuild: Rebuild::Never,
        install_path: "/usr/local/app".parse().unwrap(),
        run_user: "tars".parse().unwrap(),
        change_run_user: false,
        resources: [
            (ResourceId::Host(master.clone()), Resource::Host(host)),
            (
                ResourceId::Server(Component::TarsAdminRegistry, master.clone()),
                Resource::Server(server),
            ),
        ]
        .into(),
        access: BTreeMap::new(),
        registries: registries.iter().cloned().collect(),
        rpc: Rpc::Direct,
        master,
        packages: PackageSource::Folder("packages".to_owned()),
        versions: BTreeSet::new(),
        policy: Policy::default(),
        parallel: 10,
        keep: None,
    }
}

fn about(admin: &Endpoint, nodes: usize) -> Questions {
    Questions {
        admin: Some((node(1), admin.clone())),
        nodes: (1..=nodes).map(node).collect(),
        servers: (1..=nodes)
            .map(|n| (Component::Tarsconfig, node(n)))
            .collect(),
        libraries: true,
        ..Questions::default()
    }
}

async fn asked(questions: &Questions) -> FrameworkFacts {
    let desired = desired("127.0.0.1", &[]);
    ask(&desired, questions, &ways(Rpc::Direct), None, &|| 0, false).await
}

async fn admin(questions: &Questions) -> AdminFacts {
    match asked(questions).await.admin {
        Observed::Present(facts) => facts,
        other => panic!("{other:?}"),
    }
}

fn is_unknown<T>(word: &Observed<T>) -> bool {
    matches!(word, Observed::Unknown(_))
}

#[tokio::test]
async fn a_healthy_cluster_is_seen_over_one_connection() {
    let (at, connections) = serve(LOCAL, healthy).await;
    let facts = admin(&about(&at, 3)).await;
    assert_eq!(facts.version, Observed::Present("3.0.17".to_owned()));
    let names: BTreeSet<String> = ["n-1".to_owned(), "n-2".to_owned()].into();
    assert_eq!(facts.nodes, Observed::Present(names));
    let connected = &facts.connections;
    assert_eq!(
        connected[&node(1)],
        Observed::Present("2026-11-22 10:06:09".to_owned())
    );
    // No connection is an empty text; a node that is not in the answer is not known.
    assert_eq!(connected[&node(2)], Observed::Absent);
    assert!(is_unknown(&connected[&node(3)]));
    assert!(facts.pings.values().all(|p| *p == Observed::Present(true)));
    let view = |n| match &facts.servers[&server_key(Component::Tarsconfig, &node(n))] {
        Observed::Present(view) => view.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((view(1).pid, view(1).in_node.as_str()), (77, "Active"));
    assert_eq!(view(1).library, Observed::Present("3.0.20".to_owned()));
    assert_eq!(view(2).library, Observed::Absent);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_node_that_never_answers_pings_while_admin_registry_lives_is_out_of_reach() {
    let (at, _) = serve(LOCAL, |request| {
        let dead = request.function == "pingNode" && argument(request, 1) == "n-2";
        if dead { None } else { healthy(request) }
    })
    .await;
    let facts = in_time(CALL + Duration::from_secs(2), admin(&about(&at, 3))).await;
    assert_eq!(facts.pings[&node(1)], Observed::Present(true));
    assert_eq!(facts.pings[&node(2)], Observed::Present(false));
    assert_eq!(facts.pings[&node(3)], Observed::Present(true));
}

#[tokio::test]
async fn a_silent_admin_registry_says_nothing_of_its_nodes() {
    let (at, _) = serve(LOCAL, |_| None).await;
    let facts = in_time(CALL + Duration::from_secs(2), asked(&about(&at, 200))).await;
    let Observed::Unknown(why) = &facts.admin else {
        panic!("{:?}", facts.admin)
    };
    assert!(why.contains("gave no answer to getVersion"), "{why}");
    assert!(is_unknown(&facts.ping(&node(1))));
}

#[tokio::test]
async fn an_admin_registry_that_falls_silent_says_nothing_either() {
    let asked_before = AtomicUsize::new(0);
    let (at, _) = serve(LOCAL, move |request| {
        // One word, and never another.
        (asked_before.fetch_add(1, Ordering::SeqCst) == 0).then(|| healthy(request).unwrap())
    })
    .await;
    let facts = in_time(2 * CALL + Duration::from_secs(2), admin(&about(&at, 200))).await;
    assert!(is_unknown(&facts.nodes));
    assert!(facts.pings.values().all(is_unknown), "{:?}", facts.pings);
    assert!(facts.connections.values().all(is_unknown));
    assert!(facts.servers.values().all(is_unknown));
}

#[tokio::test]
async fn two_hundred_nodes_that_do_not_answer_take_one_deadline() {
    let (at, connections) = serve(LOCAL, |request| match request.function.as_str() {
        "pingNode" | "getServerState" => None,
        _ => healthy(request),
    })
    .await;
    let facts = in_time(CALL + Duration::from_secs(2), admin(&about(&at, 200))).await;
    assert_eq!(facts.pings.len(), 200);
    assert!(facts.pings.values().all(|p| *p == Observed::Present(false)));
    assert_eq!(facts.servers.len(), 200);
    assert!(facts.servers.values().all(is_unknown));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn lists_and_states_that_come_with_a_database_down_prove_nothing() {
    let (at, _) = serve(LOCAL, |request| match request.function.as_str() {
        "getAllNodeNames" => say(request, |w| {
            w.put(0, &Vec::<String>::new());
            w.put(1, "");
        }),
        "getServerState" => say(request, |w| {
            w.put(0, &1003i32);
            ServerStateDesc::default().encode(w, 4);
            w.put(5, "no config");
        }),
        // Recorded of a node that is not connected: true, and no words.
        "pingNode" => say(request, |w| {
            w.put(0, &true);
            w.put(2, "");
        }),
        _ => healthy(request),
    })
    .await;
    let facts = admin(&about(&at, 2)).await;
    assert_eq!(
        facts.nodes,
        Observed::Unknown("its list of nodes is empty".to_owned())
    );
    let key = server_key(Component::Tarsconfig, &node(1));
    let Observed::Unknown(why) = &facts.servers[&key] else {
        panic!("{:?}", facts.servers)
    };
    assert!(why.contains("1003") && !why.contains("no config"), "{why}");
    assert_eq!(facts.pings[&node(1)], Observed::Present(false));
}

#[tokio::test]
async fn an_admin_registry_without_its_servant_or_its_functions_is_unknown() {
    for ret in [code::NO_SERVANT, code::NO_FUNCTION, -1] {
        let (at, _) = serve(LOCAL, move |r| Some(Response::to(r, ret, vec![]))).await;
        assert!(is_unknown(&asked(&about(&at, 2)).await.admin));
    }
    // A body of nothing is no answer about anything.
    let (at, _) = serve(LOCAL, |r| match r.function.as_str() {
        "getVersion" => healthy(r),
        _ => Some(Response::to(r, 0, vec![])),
    })
    .await;
    let facts = admin(&about(&at, 2)).await;
    assert!(is_unknown(&facts.nodes));
    assert!(facts.connections.values().all(is_unknown));
    assert!(facts.pings.values().all(is_unknown));
    assert!(facts.servers.values().all(is_unknown));
}

/// A port at which nobody listens.
async fn nobody() -> Endpoint {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    let at = listener.local_addr().unwrap();
    Endpoint::at(at.ip(), at.port())
}

#[tokio::test]
async fn two_hundred_servants_that_do_not_answer_take_one_deadline() {
    let (mute, connections) = serve(LOCAL, |_| None).await;
    let (alive, _) = serve(LOCAL, |r| Some(Response::to(r, 0, vec![]))).await;
    let (other, _) = serve(LOCAL, |r| Some(Response::to(r, code::NO_SERVANT, vec![]))).await;
    let (broken, _) = serve(LOCAL, |r| Some(Response::to(r, -99, vec![]))).await;
    let gone = nobody().await;
    let mut questions = Questions::default();
    let mut add = |n: usize, at: &Endpoint| {
        let servant = (Component::Tarsnode, node(n), NODE, at.clone());
        questions.servants.push(servant);
    };
    (0..200).for_each(|n| add(n, &mute));
    for (n, at) in [(200, &alive), (201, &other), (202, &broken), (203, &gone)] {
        add(n, at);
    }
    let facts = in_time(CALL + Duration::from_secs(2), asked(&questions)).await;
    let said = |n: usize| facts.servants[&format!("{NODE}@n-{n}")].answer.clone();
    assert!((0..200).all(|n| matches!(said(n), Answer::Mute(_))));
    assert_eq!(connections.load(Ordering::SeqCst), 200);
    assert_eq!(said(200), Answer::Answers);
    assert_eq!(said(201), Answer::NoServant);
    assert!(matches!(said(202), Answer::Failed(_)));
    assert_eq!(said(203), Answer::Refused);
}

#[tokio::test]
async fn each_registry_of_the_spec_has_its_own_word() {
    let query = "tars.tarsregistry.QueryObj";
    let (alive, _) = serve(LOCAL, |r| Some(Response::to(r, 0, vec![]))).await;
    let (gone, never) = (nobody().await, "127.0.0.1:1".parse().unwrap());
    let questions = Questions {
        servants: vec![
            (Component::Tarsregistry, node(1), query, alive.clone()),
            (Component::Tarsregistry, node(2), query, gone.clone()),
            // Another component at the same place is no registry.
            (
                Component::Tarsconfig,
                node(3),
                "tars.tarsconfig.ConfigObj",
                never,
            ),
        ],
        ..Questions::default()
    };
    let never: Endpoint = "127.0.0.1:1".parse().unwrap();
    let desired = desired("127.0.0.1", &[alive.clone(), gone.clone(), never.clone()]);
    let direct = ask(&desired, &questions, &ways(Rpc::Direct), None, &|| 0, false).await;
    assert_eq!(direct.registries[&alive], Answer::Answers);
    assert_eq!(direct.registries[&gone], Answer::Refused);
    assert!(direct.registries[&never].is_unknown());
    assert!(
        matches!(direct.admin, Observed::Absent) && matches!(direct.database, Observed::Absent)
    );
    // Through SSH that does not work, nothing is proven.
    let ssh = ask(&desired, &questions, &ways(Rpc::Ssh), None, &|| 0, false).await;
    assert!(
        ssh.registries.values().all(Answer::is_unknown),
        "{:?}",
        ssh.registries
    );
    assert!(ssh.servants.values().all(|a| a.answer.is_unknown()));
    // And not asked at all.
    let questions = Questions {
        admin: Some((node(1), alive)),
        ..questions
    };
    let why = Err("the password is not there".to_owned());
    let off = ask(
        &desired,
        &questions,
        &ways(Rpc::Off),
        Some(why),
        &|| 0,
        false,
    )
    .await;
    assert!(off.servants.is_empty() && off.registries.values().all(Answer::is_unknown));
    assert!(is_unknown(&off.admin));
    assert_eq!(
        off.database,
        Observed::Unknown("the password is not there".to_owned())
    );
}

#[tokio::test]
async fn a_gate_hears_of_one_node() {
    let (at, _) = serve("127.77.1.1:12000", |request| {
        match request.function.as_str() {
            "pingNode" if argument(request, 1) == "n-2" => None,
            _ => healthy(request),
        }
    })
    .await;
    let desired = desired(at.host.as_str(), &[]);
    let watch = NodeWatch::new(&desired, ways(Rpc::Direct), None);
    assert_eq!(
        watch.node(&node(1)).await.ping(&node(1)),
        Observed::Present(true)
    );
    let facts = watch.node(&node(2)).await;
    assert_eq!(facts.ping(&node(2)), Observed::Present(false));
    assert!(is_unknown(&facts.ping(&node(1))));
    assert!(is_unknown(&facts.node_row(&node(2))));
    let off = NodeWatch::new(&desired, ways(Rpc::Off), None);
    assert!(is_unknown(&off.node(&node(1)).await.ping(&node(1))));
}
