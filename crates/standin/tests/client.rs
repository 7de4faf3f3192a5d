//! The product's own client against the stand-ins: what it makes of the framework's answers and lies
//! is what it makes of theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Up, eventually};
use tarsops_framework::calls::Admin;
use tarsops_model::names::Endpoint;
use tarsops_standin::store::{NodeRow, Store};
use tarsops_transport::rpc::{Call, CallError, Route, RpcClient};
use tarsops_wire::interface::{
    ADMIN, EndpointF, FrameworkServer, NODE, QUERY, field, forward, texts,
};
use tarsops_wire::packet::Response;
use tarsops_wire::{Encode as _, Writer};

/// Longer than AdminRegistry waits for a node that goes away with a command in progress (5 s).
const DEADLINE: Duration = Duration::from_secs(30);

fn client(address: SocketAddr) -> RpcClient {
    RpcClient::new(Endpoint::at(address.ip(), address.port()), Route::Direct)
}

/// A call that the product does not make.
async fn call(client: &RpcClient, servant: &str, function: &str, arguments: Vec<u8>) -> Response {
    let call = Call {
        servant,
        function,
        arguments,
        context: forward(),
        deadline: DEADLINE,
        repeatable: false,
    };
    client.call(&call).await.unwrap()
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
    let answer = call(&here, ADMIN, "getNodeVesion", texts(&[name])).await;
    assert_eq!(field(&answer, 2), Ok(Some("3.0.17".to_owned())));
    let mut names = admin.all_node_names().await.unwrap();
    names.sort();
    assert_eq!(names, ["10.0.0.9", name]);
    let seen = admin.node_list(&names).await.unwrap();
    assert_eq!(seen.get("10.0.0.9").map(String::as_str), Some(""));
    assert_eq!(
        seen.get(name).map(String::len),
        Some("2026-11-22 10:06:09".len())
    );
    let answer = call(&here, ADMIN, "getServers", Vec::new()).await;
    let servers: Vec<FrameworkServer> = field(&answer, 1).unwrap().unwrap();
    assert!(!servers.is_empty());
    for server in servers {
        if server.server_name != "tarsnode" {
            let mut arguments = Writer::new();
            server.encode(&mut arguments, 1);
            let answer = call(&here, ADMIN, "checkServer", arguments.finish()).await;
            assert_eq!(field(&answer, 0), Ok(Some(0)), "{}", server.server_name);
        }
    }
    let version = admin.library_version("tars", "tarsnode", name).await;
    assert_eq!(version.unwrap(), "3.0.20");
    let state = admin.server_state("tars", "tarsnone", name).await;
    assert!(
        matches!(&state, Err(CallError::Answered { code: 1003, .. })),
        "{state:?}"
    );
    let answer = call(&here, ADMIN, "hasServer", texts(&["tars", "tarsstat"])).await;
    assert_eq!(field(&answer, 3), Ok(Some(true)));
    let answer = call(
        &here,
        ADMIN,
        "getProfileTemplate",
        texts(&["tars.tarsnode"]),
    )
    .await;
    let template: String = field(&answer, 2).unwrap().unwrap();
    assert!(template.contains("adminObj="), "{template}");

    let there = client(up.framework().query);
    let answer = call(&there, QUERY, "findObjectById4All", texts(&[QUERY])).await;
    let (active, inactive): (Option<Vec<EndpointF>>, Option<Vec<EndpointF>>) =
        (field(&answer, 2).unwrap(), field(&answer, 3).unwrap());
    let mut active = active.unwrap();
    // A registry answers its own objects twice over.
    active.dedup_by_key(|at| (at.host.clone(), at.port, at.istcp));
    assert_eq!((active.len(), inactive), (1, Some(Vec::new())), "each once");
    let answer = call(&there, QUERY, "findObjectById", texts(&["tars.no.Obj"])).await;
    assert_eq!(field::<Vec<EndpointF>>(&answer, 0), Ok(Some(Vec::new())));

    let agent = client(SocketAddr::from((up.host(1).ip, 19386)));
    agent
        .ping("tars.tarsnode.ServerObj", DEADLINE)
        .await
        .unwrap();
    let answer = call(&agent, NODE, "getLatestKeepAliveTime", Vec::new()).await;
    let alive: i64 = field(&answer, 0).unwrap().unwrap();
    assert!(alive > 1_700_000_000, "{alive}");
    let error = agent
        .ping("tars.tarsnode.NodeObj", DEADLINE)
        .await
        .unwrap_err();
    assert!(error.is_proof_of_absence(), "{error}");

    let answer = call(&here, ADMIN, "shutdownNode", texts(&[name])).await;
    assert_eq!(field(&answer, 0), Ok(Some(1)));
    while admin.ping_node(name).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
