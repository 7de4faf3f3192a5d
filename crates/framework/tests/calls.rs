//! Each typed call against a server that answers with recordings of a real cluster: what is sent is
//! what was recorded, and what comes back means what the recording says. Then the lies.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../transport/tests/support/server.rs"]
mod server;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use server::Server;
use tarsops_framework::calls::Admin;
use tarsops_transport::rpc::{CallError, Route, RpcClient};
use tarsops_wire::Writer;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{FORWARD, TaskItemReq, TaskReq, forward, texts};
use tarsops_wire::packet::{Request, Response};

const WAIT: Duration = Duration::from_secs(10);

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

/// The recorded call and its answer.
fn recording(name: &str) -> (Request, Response) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
    let line = |word: &str| bytes(text.lines().find_map(|l| l.strip_prefix(word)).unwrap());
    let (request, response) = (line("req: "), line("rsp: "));
    (
        Request::from_frame(&request[4..]).unwrap(),
        Response::from_frame(&response[4..]).unwrap(),
    )
}

/// A server that gives the recorded answer to whatever comes, and keeps what came.
async fn recorded(name: &str) -> (Server, RpcClient, Arc<Mutex<Vec<Request>>>) {
    let (_, response) = recording(name);
    answering(move |request| {
        let mut response = response.clone();
        response.id = request.id;
        response
    })
    .await
}

async fn answering(
    answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> (Server, RpcClient, Arc<Mutex<Vec<Request>>>) {
    let came = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&came);
    let server = Server::answering(move |request| {
        keep.lock().unwrap().push(request.clone());
        Some(answer(request))
    })
    .await;
    let client = RpcClient::new(server.at.clone(), Route::Direct);
    (server, client, came)
}

/// Calls against the recording `$name`; the request must be the recorded one but for its number, the
/// time it may take, and the context that tarsops adds.
macro_rules! replay {
    ($name:literal, |$client:ident| $call:expr) => {{
        let (_server, $client, came) = recorded($name).await;
        let answer = $call;
        let came = came.lock().unwrap();
        let [sent] = came.as_slice() else {
            panic!("{} calls", came.len())
        };
        let mut expected = recording($name).0;
        assert_eq!(sent.context, forward());
        expected.id = sent.id;
        expected.timeout = 10_000;
        expected.context = forward();
        assert_eq!(sent, &expected);
        assert_eq!(sent.to_frame().unwrap(), expected.to_frame().unwrap());
        answer
    }};
}

/// What a call that says no says.
fn no<T: std::fmt::Debug>(answer: Result<T, CallError>) -> (i32, String) {
    match answer.unwrap_err() {
        CallError::Answered { code, text, .. } => (code, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn versions_nodes_and_signs_of_life() {
    let version = replay!("10-admin-getVersion", |c| Admin::new(&c, WAIT)
        .version()
        .await);
    assert_eq!(version.unwrap(), "3.0.17");
    let names = replay!("11-admin-getAllNodeNames", |c| {
        Admin::new(&c, WAIT).all_node_names().await
    });
    assert_eq!(names.unwrap(), ["10.77.0.1"]);
    let names = replay!("75-admin-getAllNodeNames-2nodes", |c| {
        Admin::new(&c, WAIT).all_node_names().await
    });
    assert_eq!(names.unwrap(), ["10.77.0.1", "10.77.0.2"]);
    let asked = ["10.77.0.1".to_owned(), "10.77.0.99".to_owned()];
    let list = replay!("18-admin-getNodeList", |c| Admin::new(&c, WAIT)
        .node_list(&asked)
        .await);
    let list = list.unwrap();
    assert_eq!(list.get("10.77.0.1").unwrap(), "2026-11-22 10:06:09");
    assert_eq!(list.get("10.77.0.99").unwrap(), "");
}

#[tokio::test]
async fn a_ping_is_believed_by_its_words_and_not_by_its_bool() {
    let pinged = replay!("14-admin-pingNode", |c| {
        Admin::new(&c, WAIT).ping_node("10.77.0.1").await
    });
    assert_eq!(pinged, Ok(true));
    // Recorded: a node that is dead, and the bool is true.
    let name = "100-admin-pingNode-nodedead-forwardctx";
    assert_eq!(recording(name).0.context, forward());
    assert_eq!(
        tarsops_wire::interface::field::<bool>(&recording(name).1, 0),
        Ok(Some(true))
    );
    let pinged = replay!("100-admin-pingNode-nodedead-forwardctx", |c| {
        Admin::new(&c, WAIT).ping_node("10.77.0.2").await
    });
    assert_eq!(pinged, Ok(false));
    for words in [
        "1012",
        "the node has no connection: 1012",
        "ping succ ",
        "ping fail",
    ] {
        let (_server, client, _) = answering(move |request| {
            let mut writer = Writer::new();
            writer.put(0, &true);
            writer.put(2, words);
            Response::to(request, 0, writer.finish())
        })
        .await;
        let pinged = Admin::new(&client, WAIT).ping_node("10.77.0.2").await;
        assert_eq!(pinged, Ok(false), "{words}");
    }
    assert_eq!(FORWARD, "TARS_WEB_FORWARD");
}

#[tokio::test]
async fn what_the_framework_says_of_its_servers() {
    let state = replay!("16-admin-getServerState", |c| {
        Admin::new(&c, WAIT)
            .server_state("tars", "tarsstat", "10.77.0.1")
            .await
    })
    .unwrap();
    assert_eq!(
        (
            state.setting_state_in_reg.as_str(),
            state.present_state_in_node.as_str(),
            state.process_id,
            state.patch_version.as_str()
        ),
        ("active", "Active", 832, "3.0.17")
    );
    let version = replay!("63-admin-notifyServer-viewversion", |c| {
        Admin::new(&c, WAIT)
            .library_version("tars", "tarsregistry", "10.77.0.1")
            .await
    });
    assert_eq!(version.unwrap(), "3.0.20");
}

#[tokio::test]
async fn servers_are_commanded() {
    replay!("96-admin-stopServer", |c| {
        Admin::new(&c, WAIT)
            .stop_server("tars", "tarsquerystat", "10.77.0.3")
            .await
    })
    .unwrap();
    replay!("98-admin-startServer", |c| {
        Admin::new(&c, WAIT)
            .start_server("tars", "tarsquerystat", "10.77.0.3")
            .await
    })
    .unwrap();
    let refused = replay!("113-admin-startServer-noexe", |c| {
        Admin::new(&c, WAIT)
            .start_server("tars", "tarslog", "10.77.0.4")
            .await
    });
    let (code, text) = no(refused);
    assert_eq!(code, -1);
    assert!(
        text.ends_with("tars.tarslog/bin/tarslog is not exist."),
        "{text}"
    );
    let raced = replay!("84-admin-restartServer", |c| {
        Admin::new(&c, WAIT)
            .restart_server("tars", "tarsstat", "10.77.0.1")
            .await
    });
    assert_eq!(
        no(raced),
        (
            1003,
            "error::cannot load server description from registry.\n".to_owned()
        )
    );
}

#[tokio::test]
async fn tasks_are_made_and_followed() {
    let number = "cbb09715ca524def8d43493536ad116e";
    let item = |number_of_item: &str, node: &str| TaskItemReq {
        task_no: number.to_owned(),
        item_no: number_of_item.to_owned(),
        application: "tars".to_owned(),
        server_name: "tarsquerystat".to_owned(),
        node_name: node.to_owned(),
        command: "patch_tars".to_owned(),
        user_name: "admin".to_owned(),
        parameters: Pairs(
            [
                ("patch_id", "2"),
                ("bak_flag", "0"),
                ("update_text", "x"),
                ("group_name", ""),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        ),
        ..TaskItemReq::default()
    };
    let task = TaskReq {
        items: vec![
            item("42f3012f77654fb9b195dcd178c711fd", "10.77.0.1"),
            item("25d52b62f67f44e98385ba6842e4a5b0", "10.77.0.3"),
        ],
        task_no: number.to_owned(),
        serial: false,
        user_name: "admin".to_owned(),
        elegant: false,
        each_num: 1,
    };
    // The recorder wrote empty optional fields, too; what they mean is the same.
    let (_server, client, came) = recorded("93-admin-addTaskReq-patch").await;
    Admin::new(&client, WAIT).add_task(&task).await.unwrap();
    let decoded = |request: &Request| {
        let mut fields = tarsops_wire::Fields::new(&request.arguments.0).unwrap();
        let value = fields.find(1).unwrap().unwrap();
        <TaskReq as tarsops_wire::Decode>::decode(value, 1).unwrap()
    };
    let expected = decoded(&recording("93-admin-addTaskReq-patch").0);
    assert_eq!(decoded(&came.lock().unwrap()[0]), expected);
    assert_eq!(expected, task);

    let told = replay!("94-admin-getTaskRsp", |c| Admin::new(&c, WAIT)
        .task(number)
        .await)
    .unwrap();
    assert_eq!((told.status, told.items.len(), told.serial), (3, 2, false));
    assert_eq!(told.items[0].req.node_name, "10.77.0.1");
    assert_eq!((told.items[1].status, told.items[1].percent), (3, 100));
    assert_eq!(told.items[1].req.parameters.get("patch_id").unwrap(), "2");
}

#[tokio::test]
async fn calls_without_a_recording_ask_what_their_interface_says() {
    let (_server, client, came) = answering(|request| {
        let mut writer = Writer::new();
        writer.put(0, &0i32);
        writer.put(4, "succ:");
        Response::to(request, 0, writer.finish())
    })
    .await;
    let admin = Admin::new(&client, WAIT);
    admin
        .load_server("tars", "tarslog", "10.77.0.1")
        .await
        .unwrap();
    let came = came.lock().unwrap();
    let sent: Vec<_> = came
        .iter()
        .map(|r| (r.function.as_str(), r.arguments.0.clone()))
        .collect();
    assert_eq!(
        sent,
        [("loadServer", texts(&["tars", "tarslog", "10.77.0.1"]))]
    );
}

#[tokio::test]
async fn protocol_errors_of_real_servers_are_told_apart() {
    for (name, absent) in [
        ("41-node-ServerObj-getStateInfo-nofunc", false),
        ("42-wrong-servant", true),
    ] {
        let (_server, client, _) = recorded(name).await;
        let error = Admin::new(&client, WAIT).version().await.unwrap_err();
        assert_eq!(error.is_proof_of_absence(), absent, "{error:?}");
        assert_eq!(matches!(error, CallError::UnknownFunction { .. }), !absent);
    }
    for name in ["50-tars_ping-registry", "51-tars_ping-node"] {
        let (_server, client, came) = recorded(name).await;
        let (expected, _) = recording(name);
        client.ping(&expected.servant, WAIT).await.unwrap();
        assert_eq!(came.lock().unwrap()[0].arguments, expected.arguments);
    }
}

/// An answer whose result is 0 and whose body is empty says nothing: no list is empty by it, no
/// command is done by it.
#[tokio::test]
async fn an_empty_answer_is_neither_success_nor_absence() {
    let (_server, client, _) = answering(|request| Response::to(request, 0, vec![])).await;
    let admin = Admin::new(&client, WAIT);
    let errors = [
        admin.stop_server("tars", "tarslog", "n").await.unwrap_err(),
        admin.all_node_names().await.unwrap_err(),
        admin.ping_node("n").await.map(drop).unwrap_err(),
        admin
            .server_state("tars", "tarslog", "n")
            .await
            .map(drop)
            .unwrap_err(),
        admin.node_list(&[]).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, CallError::Garbled { .. }), "{error:?}");
        assert!(!error.is_proof_of_absence());
    }
    let (_server, client, _) = answering(|request| {
        let mut writer = Writer::new();
        writer.put(0, &0i32);
        Response::to(request, 0, writer.finish())
    })
    .await;
    let admin = Admin::new(&client, WAIT);
    assert!(admin.version().await.is_err());
    assert!(admin.node_list(&[]).await.is_err());
    assert!(admin.task("1").await.is_err());
    assert!(admin.server_state("tars", "tarslog", "n").await.is_err());
}

/// A no without words is still a no.
#[tokio::test]
async fn a_node_that_is_not_connected_is_told_by_its_code() {
    let (_server, client, _) = answering(|request| {
        let mut writer = Writer::new();
        writer.put(0, &1012i32);
        Response::to(request, 0, writer.finish())
    })
    .await;
    let admin = Admin::new(&client, WAIT);
    let state = admin.server_state("tars", "tarslog", "10.77.0.9").await;
    assert_eq!(no(state), (1012, String::new()));
}
