//! The product's own client against the stand-ins: what it makes of the framework's answers and lies
//! is what it makes of theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Up, eventually};
use tarsops_model::names::Endpoint;
use tarsops_sandbox::store::{NodeRow, Store};
use tarsops_transport::calls::{Admin, Query};
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
    let mut names = admin.all_node_names().await.unwrap();
    names.sort();
    assert_eq!(names, ["10.0.0.9", name]);
    let seen = admin.node_list(&names).await.unwrap();
    assert_eq!(seen.get("10.0.0.9").map(String::as_str), Some(""));
    assert_eq!(
        seen.get(name).map(String::len),
        Some("2026-11-22 10:06:09".len())
    );
    let version = admin.library_version("tars", "tarsnode", name).await;
    assert_eq!(version.unwrap(), "3.0.20");
    let state = admin.server_state("tars", "tarsnone", name).await;
    assert!(
        matches!(&state, Err(CallError::Answered { code: 1003, .. })),
        "{state:?}"
    );

    let there = client(up.framework().query);
    let query = Query::new(&there, DEADLINE);
    let found = query.find_object("tars.tarsregistry.QueryObj").await;
    assert_eq!(found.unwrap().len(), 1, "each once");
    assert!(query.find_object("tars.no.Obj").await.unwrap().is_empty());

    let agent = client(SocketAddr::from((up.host(1).ip, 19386)));
    agent
        .ping("tars.tarsnode.ServerObj", DEADLINE)
        .await
        .unwrap();
    let error = agent
        .ping("tars.tarsnode.NodeObj", DEADLINE)
        .await
        .unwrap_err();
    assert!(error.is_proof_of_absence(), "{error}");
}
