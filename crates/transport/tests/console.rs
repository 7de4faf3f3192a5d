//! The console's client against answers that a real console gave.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::web::{self, ENCODED, Exchange, Reply, Web, exchange, which_of};
use tarsops_transport::console::{
    AdapterForm, Command, Console, ConsoleError, DeployForm, Heartbeat, ItemStatus, MAX_PACKAGE,
    ServerUpdate, Task, TaskForm, TaskFormItem, Upload,
};

const LONG: Duration = Duration::from_secs(30);

fn client(url: &str) -> Console {
    web::client(url, LONG)
}

/// A console that answers every request as in the recordings, one after the other.
async fn replay(names: &[&str]) -> (Web, Console) {
    let web = Web::start(names.iter().map(|name| Reply::recorded(name)).collect()).await;
    let console = client(&web.url);
    (web, console)
}

/// The one request that came was as in the recording, with our ticket and all that each call has.
fn assert_sent(web: &Web, like: &Exchange) {
    let requests = web.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let sent = &requests[0];
    let join = if like.target.contains('?') { '&' } else { '?' };
    assert_eq!(sent.method, like.method);
    assert_eq!(
        sent.target,
        format!("{}{join}ticket={ENCODED}", like.target)
    );
    assert_eq!(sent.header("cookie"), Some("locale=en"));
    assert_eq!(sent.header("x-forwarded-for"), None);
    assert_eq!(sent.header("authorization"), None);
    if like.sent.is_empty() {
        assert_eq!(sent.body, b"");
        assert_eq!(sent.header("content-type"), None);
    } else {
        assert_eq!(sent.header("content-type"), Some("application/json"));
        let ours: Value = serde_json::from_slice(&sent.body).unwrap();
        let theirs: Value = serde_json::from_str(&like.sent).unwrap();
        assert_eq!(ours, theirs);
    }
}

#[tokio::test]
async fn versions_come_without_an_envelope() {
    let (web, console) = replay(&["web_version"]).await;
    let versions = console.web_version().await.unwrap();
    assert_eq!(versions.web_version, "3.0.15");
    assert_eq!(versions.framework_version, "3.0.17");
    let sent = web.requests().remove(0);
    assert_eq!(
        (sent.method.as_str(), sent.target.as_str()),
        ("GET", "/web_version")
    );
    assert_eq!(sent.header("cookie"), Some("locale=en"));
}

#[tokio::test]
async fn a_silent_admin_registry_is_a_page_and_its_first_line_is_told() {
    let (_web, console) = replay(&["web_version_admin_down"]).await;
    let error = console.web_version().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "web_version is answered with a page and status 500: Error: call remote server \
         timeout(remote server no response)"
    );
}

#[tokio::test]
async fn rows_of_a_server_have_all_that_an_update_needs() {
    let (web, console) = replay(&["server_nodes"]).await;
    let rows = console.server_nodes("tars", "tarsquerystat").await.unwrap();
    assert_sent(&web, &exchange("server_nodes"));
    assert_eq!(rows.len(), 2);
    let row = &rows[0];
    assert_eq!((row.id, row.node_name.as_str()), (10, "192.0.2.1"));
    assert_eq!(row.process_id, Some(603));
    assert_eq!(row.patch_version.as_deref(), Some("2"));
    assert_eq!(row.setting_state, "active");
    assert!(!row.enable_set && !row.enable_group && !row.bak_flag);
    let update = serde_json::to_value(ServerUpdate::from(row)).unwrap();
    // As the console's list of the parameters of update_server has it.
    let mut names: Vec<&str> = update
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut all = vec![
        "id",
        "isBak",
        "template_name",
        "server_type",
        "enable_set",
        "set_name",
        "set_area",
        "set_group",
        "async_thread_num",
        "base_path",
        "exe_path",
        "start_script_path",
        "stop_script_path",
        "monitor_script_path",
        "profile",
        "enable_group",
        "ip_group_name",
        "run_type",
        "base_image_id",
    ];
    names.sort_unstable();
    all.sort_unstable();
    assert_eq!(names, all);
    assert_eq!(update["exe_path"], row.exe_path.clone().unwrap());

    let (_web, console) = replay(&["server_nodes_unknown"]).await;
    assert_eq!(console.server_nodes("tars", "nosuch").await.unwrap(), []);
}

#[tokio::test]
async fn a_row_without_a_column_is_garbled_and_no_default() {
    let body = exchange("server_nodes")
        .body
        .replace("\"exe_path\"", "\"x\"");
    let web = Web::start(vec![Reply::json(&body)]).await;
    let error = client(&web.url)
        .server_nodes("tars", "x")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConsoleError::Garbled { call: "server_nodes", why, .. } if why.contains("exe_path")),
        "{error}"
    );
}

#[tokio::test]
async fn whether_a_server_exists_is_asked_with_a_list() {
    for (name, server, expected) in [
        ("server_exist_no", "tarsquerystat", false),
        ("server_exist_before_deploy", "tarslog", false),
        ("server_exist_after_deploy", "tarslog", true),
    ] {
        let (web, console) = replay(&[name]).await;
        let nodes = ["192.0.2.2".to_owned()];
        let exists = console.server_exist("tars", server, &nodes).await.unwrap();
        assert_eq!(exists, expected, "{name}");
        assert_sent(&web, &exchange(name));
    }
}

#[tokio::test]
async fn adapters_have_endpoint_and_queue() {
    let (web, console) = replay(&["adapter_conf_list"]).await;
    let rows = console.adapter_conf_list(6).await.unwrap();
    assert_sent(&web, &exchange("adapter_conf_list"));
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].servant, "tars.tarsregistry.QueryObj");
    assert_eq!(rows[0].endpoint, "tcp -h 192.0.2.1 -t 60000 -p 17890");
    assert_eq!((rows[0].queuecap, rows[0].queuetimeout), (100_000, 10_000));
}

#[tokio::test]
async fn states_are_asked_by_post_and_matched_with_the_question() {
    let (web, console) = replay(&["server_state"]).await;
    let stat = which_of("tars", "tarsstat", "192.0.2.1");
    let said = console
        .server_state(std::slice::from_ref(&stat))
        .await
        .unwrap();
    assert_sent(&web, &exchange("server_state"));
    assert!(said[0].is_node_ok);
    assert_eq!(said[0].present_state_in_node.as_deref(), Some("active"));

    let (web, console) = replay(&["server_state_dead"]).await;
    let log = which_of("tars", "tarslog", "192.0.2.2");
    let said = console.server_state(&[log]).await.unwrap();
    assert_sent(&web, &exchange("server_state_dead"));
    assert!(!said[0].is_node_ok && said[0].query_ret_code == -1);
    assert_eq!(said[0].present_state_in_node, None);

    let (_web, console) = replay(&["server_state_dead"]).await;
    let error = console.server_state(&[stat]).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Garbled { .. }), "{error}");
}

#[tokio::test]
async fn the_form_of_a_deployment_is_whole() {
    let adapter = |obj_name: &str, port| AdapterForm {
        node_name: "192.0.2.2".to_owned(),
        obj_name: obj_name.to_owned(),
        bind_ip: "192.0.2.2".to_owned(),
        port,
        port_type: "tcp".to_owned(),
        protocol: "tars".to_owned(),
        thread_num: 5,
        max_connections: 100_000,
        queuecap: 50_000,
        queuetimeout: 20_000,
    };
    let form = DeployForm {
        application: "tars".to_owned(),
        server_name: "tarslog".to_owned(),
        server_type: "tars_cpp".to_owned(),
        template_name: "tars.tarslog".to_owned(),
        exe_path: String::new(),
        operator: String::new(),
        developer: String::new(),
        adapters: vec![adapter("LogObj", 18993), adapter("TopologyObj", 18913)],
    };
    let (web, console) = replay(&["deploy_server"]).await;
    let rows = console.deploy_server(&form).await.unwrap();
    assert_eq!((rows.len(), rows[0].id), (1, 18));
    assert_eq!(rows[0].present_state, "inactive");
    // The recorded form names the node a second time and has no exe_path.
    let mut like = exchange("deploy_server");
    let mut sent: Value = serde_json::from_str(&like.sent).unwrap();
    sent.as_object_mut().unwrap().remove("node_name");
    sent["exe_path"] = "".into();
    like.sent = sent.to_string();
    assert_sent(&web, &like);
}

#[tokio::test]
async fn an_update_sends_every_field_and_gives_the_row() {
    let row = {
        let (_web, console) = replay(&["server_nodes"]).await;
        console
            .server_nodes("tars", "tarsquerystat")
            .await
            .unwrap()
            .remove(0)
    };
    let update = ServerUpdate {
        id: 18,
        profile: Some("<tars>\n</tars>\n".to_owned()),
        ..ServerUpdate::from(&row)
    };
    let (web, console) = replay(&["update_server"]).await;
    let after = console.update_server(&update).await.unwrap();
    assert_eq!((after.id, after.async_thread_num), (18, Some(5)));
    assert!(after.profile.unwrap().contains("logLevel=INFO"));
    let mut like = exchange("update_server");
    let keys = |text: &str| -> Vec<String> {
        let value: Value = serde_json::from_str(text).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    };
    let sent = web.requests()[0].body.clone();
    let sent = String::from_utf8(sent).unwrap();
    for key in keys(&like.sent) {
        assert!(keys(&sent).contains(&key), "{key}");
    }
    like.sent = serde_json::to_string(&update).unwrap();
    assert_sent(&web, &like);

    let (_web, console) = replay(&["update_server_partial"]).await;
    let error = console.update_server(&update).await.unwrap_err();
    assert!(
        matches!(error, ConsoleError::Said { ret_code: 500, .. }),
        "{error}"
    );
}

/// The parts of a body, each with its head.
fn parts<'a>(body: &'a [u8], content_type: &str) -> Vec<(String, &'a [u8])> {
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .unwrap();
    let mark = format!("--{boundary}").into_bytes();
    let mut starts: Vec<usize> = Vec::new();
    let mut from = 0;
    while let Some(at) = body[from..].windows(mark.len()).position(|w| w == mark) {
        starts.push(from + at);
        from += at + mark.len();
    }
    starts
        .windows(2)
        .map(|two| {
            let part = &body[two[0] + mark.len() + 2..two[1] - 2];
            let end = part.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            let head = String::from_utf8(part[..end].to_vec()).unwrap();
            (head, &part[end + 4..])
        })
        .collect()
}

fn package(bytes: &[u8]) -> (tempfile::TempDir, Upload) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("any name.tgz");
    std::fs::write(&path, bytes).unwrap();
    let upload = Upload {
        application: "tars".to_owned(),
        module_name: "tarsquerystat".to_owned(),
        comment: "versión 22".to_owned(),
        path,
    };
    (dir, upload)
}

#[tokio::test]
async fn an_upload_is_the_file_byte_for_byte_with_its_digest() {
    // Longer than any buffer between here and there.
    let bytes: Vec<u8> = (0_u32..700_000).flat_map(u32::to_le_bytes).collect();
    let (_dir, upload) = package(&bytes);
    let (web, console) = replay(&["upload"]).await;
    let uploaded = console.upload_patch_package(&upload).await.unwrap();
    assert_eq!(
        (uploaded.id, uploaded.server.as_str()),
        (16, "tars.tarsquerystat")
    );

    let sent = web.requests().remove(0);
    assert_eq!(sent.method, "POST");
    assert_eq!(
        sent.target,
        format!("/api/upload_patch_package?ticket={ENCODED}")
    );
    assert_eq!(sent.header("cookie"), Some("locale=en"));
    assert_eq!(sent.header("transfer-encoding"), None);
    let parts = parts(&sent.body, sent.header("content-type").unwrap());
    let heads: Vec<&str> = parts.iter().map(|(head, _)| head.as_str()).collect();
    for (head, name) in heads
        .iter()
        .zip(["application", "module_name", "md5", "comment", "suse"])
    {
        assert!(head.contains(&format!("; name=\"{name}\"")), "{heads:?}");
    }
    assert_eq!(parts.len(), 5);
    assert!(heads[4].contains("filename=\"tarsquerystat.tgz\""));
    assert_eq!(parts[0].1, b"tars");
    assert_eq!(parts[1].1, b"tarsquerystat");
    assert_eq!(parts[2].1, b"b50711e8b7d84e6c74484e4da0fa5ab1");
    assert_eq!(parts[3].1, "versión 22".as_bytes());
    assert!(parts[4].1 == bytes, "the file is not what was sent");
}

#[tokio::test]
async fn uploads_fail_in_many_ways_and_are_made_once() {
    let (_dir, upload) = package(b"anything");
    for (name, says) in [
        ("upload_wrong_md5", "ret_code 500: system error"),
        ("upload_wrong_field", "status 500: Error: Unexpected field"),
        ("upload_too_large", "status 500: Error: File too large"),
        ("upload_no_ticket", "does not accept the ticket"),
        ("rate_limited", "one too many: again in 23 s"),
    ] {
        let (web, console) = replay(&[name]).await;
        let error = console.upload_patch_package(&upload).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains(says) && said.contains("upload_patch_package"),
            "{said}"
        );
        assert_eq!(web.requests().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_the_console_would_take_and_must_not_or_would_not_is_not_sent() {
    let (web, console) = replay(&["upload"]).await;
    let (dir, mut upload) = package(b"");
    let mut refused = Vec::new();
    refused.push(console.upload_patch_package(&upload).await.unwrap_err());
    let large = std::fs::File::create(&upload.path).unwrap();
    large.set_len(MAX_PACKAGE + 1).unwrap();
    refused.push(console.upload_patch_package(&upload).await.unwrap_err());
    upload.path = dir.path().to_owned();
    refused.push(console.upload_patch_package(&upload).await.unwrap_err());
    upload.path = dir.path().join("nosuch");
    refused.push(console.upload_patch_package(&upload).await.unwrap_err());
    for (error, says) in refused
        .iter()
        .zip(["empty", "more than", "no file", "No such file"])
    {
        assert!(matches!(error, ConsoleError::File { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(web.requests().is_empty());
}

#[tokio::test]
async fn packages_are_listed_chosen_and_deleted() {
    let (web, console) = replay(&["server_patch_list"]).await;
    let rows = console
        .server_patch_list("tars", "tarsquerystat")
        .await
        .unwrap();
    assert_sent(&web, &exchange("server_patch_list"));
    assert_eq!(
        (rows.len(), rows[0].id, rows[0].default_version),
        (8, 20, true)
    );
    assert!(!rows[1].default_version);
    let body = exchange("server_patch_list")
        .body
        .replace("\"count\":8", "\"count\":9");
    let web = Web::start(vec![Reply::json(&body)]).await;
    let error = client(&web.url)
        .server_patch_list("tars", "x")
        .await
        .unwrap_err();
    assert!(matches!(error, ConsoleError::Garbled { .. }), "{error}");

    for (name, id, done) in [
        ("set_default", 16, true),
        ("set_default_unknown", 99999, false),
    ] {
        let (web, console) = replay(&[name]).await;
        let changed = console
            .set_patch_package_default(id, "tars", "tarsquerystat")
            .await;
        assert_eq!(changed.unwrap(), done);
        assert_sent(&web, &exchange(name));
    }
    let (web, console) = replay(&["delete"]).await;
    console.delete_patch_package(18).await.unwrap();
    assert_sent(&web, &exchange("delete"));
    let (_web, console) = replay(&["delete_admin_hung"]).await;
    console.delete_patch_package(17).await.unwrap_err();
}

fn task_of(server_id: i64, command: Command) -> TaskForm {
    TaskForm {
        serial: true,
        elegant: false,
        eachnum: 1,
        items: vec![TaskFormItem { server_id, command }],
    }
}

fn patch() -> TaskForm {
    let update_text = "v22".to_owned();
    task_of(
        10,
        Command::Patch {
            patch_id: 15,
            update_text,
        },
    )
}

#[tokio::test]
async fn a_task_is_begun_with_all_its_parameters() {
    let (web, console) = replay(&["add_task"]).await;
    let number = console.add_task(&patch()).await.unwrap();
    assert_eq!(number, "40de205e90274fcaa231c62f443ca85d");
    assert_sent(&web, &exchange("add_task"));

    let (web, console) = replay(&["add_task_start"]).await;
    console
        .add_task(&task_of(18, Command::Start))
        .await
        .unwrap();
    assert_sent(&web, &exchange("add_task_start"));

    let (web, console) = replay(&["add_task_unknown_server"]).await;
    let error = console.add_task(&patch()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "add_task is answered with ret_code 500: system error"
    );
    assert!(!error.is_sure_that_nothing_happened());
    assert_eq!(web.requests().len(), 1);
}

/// Polls a recorded task to its end.
async fn poll(name: &str, times: usize) -> Vec<Task> {
    let names: Vec<String> = (1..=times).map(|n| format!("{name}_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = exchange(names[0]);
    let (_, number) = first.target.split_once("task_no=").unwrap();
    let (_web, console) = replay(&names).await;
    let mut seen = Vec::new();
    for _ in 0..times {
        seen.push(console.task(number).await.unwrap());
    }
    let (last, before) = seen.split_last().unwrap();
    assert!(last.is_finished(), "{last:?}");
    assert!(before.iter().all(|task| !task.is_finished()));
    seen
}

#[tokio::test]
async fn tasks_are_polled_to_their_end() {
    let statuses =
        |task: &Task| -> Vec<ItemStatus> { task.items.iter().map(|i| i.status).collect() };
    use ItemStatus::{Cancel, Failed, Prepare, Running, Success};
    let published = poll("published", 3).await;
    assert_eq!(statuses(&published[0]), [Running]);
    assert_eq!(statuses(&published[2]), [Success]);
    let serial = poll("serial", 5).await;
    assert_eq!(statuses(&serial[0]), [Running, Prepare]);
    assert_eq!(statuses(&serial[4]), [Success, Success]);
    // One that fails keeps those after it from being tried. The number of the whole was 6 all along.
    let partly = poll("partly", 2).await;
    assert_eq!(statuses(&partly[1]), [Failed, Cancel]);
    assert_eq!((partly[0].status, partly[1].status), (6, 6));
    let failed = poll("failed", 1).await;
    assert_eq!(statuses(&failed[0]), [Failed]);
    let why = failed[0].items[0].execute_info.as_deref();
    assert_eq!(
        why,
        Some("load patch info from database error, patchId:99999")
    );
    assert_eq!(statuses(poll("noexec", 3).await.last().unwrap()), [Failed]);
}

#[tokio::test]
async fn a_number_that_is_not_known_is_not_final_and_another_task_is_no_answer() {
    let e = exchange("task_running");
    let (_, number) = e.target.split_once("task_no=").unwrap();
    let body = e.body.replace("\"status\":2", "\"status\":17");
    let web = Web::start(vec![Reply::json(&body)]).await;
    let task = client(&web.url).task(number).await.unwrap();
    assert_eq!(task.items[0].status, ItemStatus::Other(17));
    assert!(!task.is_finished());
    let error = client(&web.url).task("another").await.unwrap_err();
    assert!(matches!(error, ConsoleError::Garbled { .. }), "{error}");
    let (_web, console) = replay(&["task_unknown"]).await;
    let error = console.task("nosuchtask").await.unwrap_err();
    assert!(
        matches!(error, ConsoleError::Said { ret_code: 500, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn notices_nodes_and_templates() {
    let (web, console) = replay(&["notify_list"]).await;
    let notices = console
        .server_notify_list("tars", "tarsquerystat", 1, 12)
        .await
        .unwrap();
    assert_sent(&web, &exchange("notify_list"));
    assert_eq!((notices.count, notices.rows.len()), (97, 12));
    assert_eq!(notices.rows[0].result.as_deref(), Some("stop"));

    let (web, console) = replay(&["nodes"]).await;
    let nodes = console.list_tars_node().await.unwrap();
    assert_sent(&web, &exchange("nodes"));
    let heard = Heartbeat::Connected("2026-11-22 10:41:44".to_owned());
    assert_eq!((nodes.len(), &nodes[0].last_heartbeat), (3, &heard));
    let (_web, console) = replay(&["nodes_admin_down"]).await;
    let nodes = console.list_tars_node().await.unwrap();
    assert!(matches!(
        nodes[0].last_heartbeat,
        Heartbeat::FromDatabase(Some(_))
    ));

    for (name, answers) in [("check_node", true), ("check_node_silent", false)] {
        let (web, console) = replay(&[name]).await;
        assert_eq!(console.check_tars_node("192.0.2.1").await.unwrap(), answers);
        assert_sent(&web, &exchange(name));
    }

    let (web, console) = replay(&["template"]).await;
    let template = console
        .query_profile_template("tars.tarsstat")
        .await
        .unwrap()
        .unwrap();
    assert_sent(&web, &exchange("template"));
    assert_eq!(template.parents_name.as_deref(), Some("tars.framework-db"));
    assert!(!format!("{template:?}").contains("insertInterval"));
    // The console's search finds it by a part of its name.
    assert_eq!(
        console.query_profile_template("tars.tars").await.unwrap(),
        None
    );
}
