//! The product's own client against the stand-ins: what it makes of the framework's answers and lies
//! is what it makes of theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Up, eventually};
use tarsops_framework::calls::{Admin, Node, Query};
use tarsops_model::names::Endpoint;
use tarsops_standin::store::{NodeRow, Store};
use tarsops_transport::rpc::{CallError, RpcClient, Way};

/// Longer than AdminRegistry waits for a node that goes away with a command under way (5 s).
const DEADLINE: Duration = Duration::from_secs(30);

fn client(address: SocketAddr) -> RpcClient {
    RpcClient::new(Endpoint::at(address.ip(), address.port()), Way::Direct)
}

#[test]
fn it_understands_them() {
    let up = Up::with_framework(2);
    let name = up.host(1).name.clone();
    let ghost = NodeRow {
        node_name: "10.0.0.9".into(),
        ..NodeRow::default()
    };
    up.tables().register_node(&ghost).unwrap();
    let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
    up.install(1, "3.0.17", &registry);
    up.script(1, "start.sh");
    eventually("a row", || up.tables().nodes().unwrap().len() == 2);
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(talk(&up, &name));
}

async fn talk(up: &Up, name: &str) {
    let here = client(up.framework().admin);
    let admin = Admin::new(&here, DEADLINE);
    while !admin.ping_node(name).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!admin.ping_node("10.0.0.9").await.unwrap(), "true is a lie");
    assert!(!admin.ping_node("10.0.0.8").await.unwrap());
    assert_eq!(admin.version().await.unwrap(), "3.0.17");
    assert_eq!(admin.node_version(name).await.unwrap(), "3.0.17");
    let mut names = admin.all_node_names().await.unwrap();
    names.sort();
    assert_eq!(names, ["10.0.0.9", name]);
    let seen = admin.node_list(&names).await.unwrap();
    assert_eq!(seen.get("10.0.0.9").map(String::as_str), Some(""));
    assert_eq!(
        seen.get(name).map(String::len),
        Some("2026-11-22 10:06:09".len())
    );
    for server in admin.servers().await.unwrap() {
        if server.server_name != "tarsnode" {
            admin.check_server(&server).await.unwrap();
        }
    }
    let version = admin.library_version("tars", "tarsnode", name).await;
    assert_eq!(version.unwrap(), "3.0.20");
    let state = admin.server_state("tars", "tarsnone", name).await;
    assert!(
        matches!(&state, Err(CallError::Answered { code: 1003, .. })),
        "{state:?}"
    );
    assert!(admin.has_server("tars", "tarsstat").await.unwrap());
    let template = admin.profile_template("tars.tarsnode").await.unwrap();
    assert!(template.contains("adminObj="), "{template}");

    let there = client(up.framework().query);
    let query = Query::new(&there, DEADLINE);
    let (active, inactive) = query.find_all("tars.tarsregistry.QueryObj").await.unwrap();
    assert_eq!((active.len(), inactive.len()), (1, 0), "each once");
    assert!(query.find_object("tars.no.Obj").await.unwrap().is_empty());

    let agent = client(SocketAddr::from((up.host(1).ip, 19386)));
    agent
        .ping("tars.tarsnode.ServerObj", DEADLINE)
        .await
        .unwrap();
    let node = Node::new(&agent, DEADLINE);
    assert!(node.latest_keep_alive().await.unwrap() > 1_700_000_000);
    let error = agent
        .ping("tars.tarsnode.NodeObj", DEADLINE)
        .await
        .unwrap_err();
    assert!(error.is_proof_of_absence(), "{error}");

    admin.shutdown_node(name).await.unwrap();
    while admin.ping_node(name).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
