//! The product's client of the console against the stand-in of the console: a service is deployed on a
//! bare node, published and upgraded, and every lie is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;
#[path = "common/web.rs"]
mod web;

use std::path::Path;
use std::time::{Duration, Instant};

use common::eventually;
use tarsops_standin::console::{self, Console as StandIn};
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
use tarsops_standin::standin::lies::Lie;
use tarsops_standin::store::Database;
use tarsops_transport::console::{
    AdapterForm, Command, Console, ConsoleError, DeployForm, Door, Heartbeat, ItemStatus,
    ServerRow, ServerUpdate, Task, TaskForm, TaskFormItem, Upload, Which,
};
use tarsops_transport::mysql::Secret;
use web::{Web, answers, digest, send};

const SHORT: Duration = Duration::from_secs(20);

fn client(stand_in: &StandIn) -> Console {
    let console = Console::new(&stand_in.url(), Secret::new(stand_in.ticket())).unwrap();
    console.with_deadlines(SHORT, SHORT)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn form(web: &Web, index: usize) -> DeployForm {
    let host = web.up.host(index);
    let adapter = |obj_name: &str, port: u16| AdapterForm {
        node_name: host.name.clone(),
        obj_name: obj_name.into(),
        bind_ip: host.ip.to_string(),
        port,
        port_type: "tcp".into(),
        protocol: "tars".into(),
        thread_num: 5,
        max_connections: 200_000,
        queuecap: 100_000,
        queuetimeout: 60_000,
    };
    DeployForm {
        application: "tars".into(),
        server_name: "tarslog".into(),
        server_type: "tars_cpp".into(),
        template_name: "tars.tarslog".into(),
        exe_path: web.binary(index, "tarslog").display().to_string(),
        operator: String::new(),
        developer: String::new(),
        adapters: vec![adapter("LogObj", 18993), adapter("TopologyObj", 18913)],
    }
}

fn upload(package: &Path) -> Upload {
    Upload {
        application: "tars".into(),
        module_name: "tarslog".into(),
        comment: "a test".into(),
        path: package.to_path_buf(),
    }
}

async fn row(console: &Console, node: &str) -> Option<ServerRow> {
    let rows = console.server_nodes("tars", "tarslog").await.unwrap();
    rows.into_iter().find(|row| row.node_name == node)
}

fn patch(server_id: i64, patch_id: i64) -> TaskForm {
    TaskForm {
        serial: true,
        elegant: false,
        eachnum: 1,
        items: vec![TaskFormItem {
            server_id,
            command: Command::Patch {
                patch_id,
                update_text: "x".into(),
            },
        }],
    }
}

async fn finished(console: &Console, number: &str) -> Task {
    let until = Instant::now() + SHORT;
    loop {
        let task = console.task(number).await.unwrap();
        if task.is_finished() {
            return task;
        }
        assert!(Instant::now() < until, "{task:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Uploads and publishes on a node, and waits for the end.
async fn publish(console: &Console, node: &str, package: &Path) -> (i64, Task) {
    let uploaded = console.upload_patch_package(&upload(package)).await;
    let id = uploaded.unwrap().id;
    let server = row(console, node).await.unwrap().id;
    let number = console.add_task(&patch(server, id)).await.unwrap();
    (id, finished(console, &number).await)
}

#[test]
fn a_service_is_deployed_on_a_bare_node_published_and_upgraded() {
    let web = Web::new(|_| {});
    let console = client(web.console());
    let (node, ip) = (web.up.host(1).name.clone(), web.up.host(1).ip.into());
    let nodes = vec![node.clone()];
    runtime().block_on(async {
        assert_eq!(
            console.web_version().await.unwrap().framework_version,
            "3.0.17"
        );
        assert!(console.check_tars_node(&node).await.unwrap());
        let listed = console.list_tars_node().await.unwrap();
        assert_eq!(listed.len(), 2);
        assert!(
            matches!(listed[0].last_heartbeat, Heartbeat::Connected(_)),
            "{listed:?}"
        );
        let template = console
            .query_profile_template("tars.tarslog")
            .await
            .unwrap();
        assert_eq!(
            template.unwrap().parents_name.as_deref(),
            Some("tars.default")
        );

        let exists = console.server_exist("tars", "tarslog", &nodes).await;
        assert!(!exists.unwrap());
        let deployed = console.deploy_server(&form(&web, 1)).await.unwrap();
        assert_eq!(
            (deployed.len(), deployed[0].setting_state.as_str()),
            (1, "inactive")
        );
        assert!(
            console
                .server_exist("tars", "tarslog", &nodes)
                .await
                .unwrap()
        );
        let adapters = console.adapter_conf_list(deployed[0].id).await.unwrap();
        assert_eq!(adapters.len(), 2);
        assert_eq!(
            adapters[0].endpoint,
            format!("tcp -h {ip} -t 60000 -p 18993 -e 0")
        );

        for version in ["4", "5"] {
            let (package, program) = web.package("tarslog", version);
            let (id, task) = publish(&console, &node, &package).await;
            assert_eq!(task.items[0].status, ItemStatus::Success, "{task:?}");
            assert_eq!((task.status, task.items[0].percent), (3, 100));
            assert_eq!(digest(&web.binary(1, "tarslog")), program);
            for (servant, port) in [("LogObj", 18993), ("TopologyObj", 18913)] {
                let servant = format!("tars.tarslog.{servant}");
                eventually(&servant, || answers(ip, port, &servant));
            }
            let now = row(&console, &node).await.unwrap();
            assert_eq!(now.setting_state, "active", "a publication activates");
            assert_eq!(now.patch_version, Some(id.to_string()));
            assert_eq!(now.patch_user.as_deref(), Some("admin"));
            let packages = console.server_patch_list("tars", "tarslog").await.unwrap();
            assert_eq!((packages[0].id, packages[0].default_version), (id, true));
        }
        let which = Which {
            application: "tars".into(),
            server_name: "tarslog".into(),
            node_name: node.clone(),
        };
        let states = console
            .server_state(std::slice::from_ref(&which))
            .await
            .unwrap();
        assert_eq!(states[0].present_state_in_node.as_deref(), Some("active"));
        let notices = console
            .server_notify_list("tars", "tarslog", 1, 5)
            .await
            .unwrap();
        assert!(
            notices
                .rows
                .iter()
                .any(|row| row.result.as_deref() == Some("download succ")),
            "{notices:?}"
        );

        // A change of nothing changes nothing, and a null leaves what is there.
        let before = row(&console, &node).await.unwrap();
        let mut update = ServerUpdate::from(&before);
        update.profile = Some("<tars>\n</tars>\n".into());
        update.exe_path = None;
        let after = console.update_server(&update).await.unwrap();
        assert_eq!(after.exe_path, before.exe_path);
        assert_eq!(after.profile.as_deref(), Some("<tars>\n</tars>\n"));

        // The default, and a package that runs, go without a word.
        let packages = console.server_patch_list("tars", "tarslog").await.unwrap();
        let changed = console
            .set_patch_package_default(99_999, "tars", "tarslog")
            .await;
        assert!(!changed.unwrap());
        let none = console.server_patch_list("tars", "tarslog").await.unwrap();
        assert!(none.iter().all(|package| !package.default_version));
        console.delete_patch_package(packages[0].id).await.unwrap();
        console.delete_patch_package(packages[0].id).await.unwrap();
        let left = console.server_patch_list("tars", "tarslog").await.unwrap();
        assert_eq!(left.len(), packages.len() - 1);

        // Over a server that is there, a deployment is an outage.
        console.deploy_server(&form(&web, 1)).await.unwrap();
        let reset = row(&console, &node).await.unwrap();
        assert_eq!(reset.id, before.id);
        assert_eq!(
            (
                reset.setting_state.as_str(),
                reset.process_id,
                reset.patch_version.as_deref()
            ),
            ("inactive", Some(0), Some(""))
        );
        assert_eq!(reset.profile.as_deref(), Some(""));
        assert!(
            answers(ip, 18993, "tars.tarslog.LogObj"),
            "its process runs on"
        );

        let undeploy = TaskForm {
            items: vec![TaskFormItem {
                server_id: reset.id,
                command: Command::Undeploy,
            }],
            ..patch(0, 0)
        };
        let number = console.add_task(&undeploy).await.unwrap();
        let task = finished(&console, &number).await;
        assert_eq!(task.items[0].status, ItemStatus::Success, "{task:?}");
        assert!(row(&console, &node).await.is_none());
    });
}

#[test]
fn every_lie_of_the_console_is_told() {
    let elsewhere = tempfile::tempdir().unwrap();
    let web = Web::new(|options| {
        options.uploads = elsewhere.path().to_path_buf();
        options.patience_ms = 1500;
    });
    let console = client(web.console());
    let (node, ip) = (web.up.host(1).name.clone(), web.up.host(1).ip.into());
    let (package, program) = web.package("tarslog", "4");
    let said = |error: &ConsoleError| matches!(error, ConsoleError::Said { ret_code: 500, err_msg, .. } if err_msg == "system error");
    runtime().block_on(async {
        console.deploy_server(&form(&web, 1)).await.unwrap();
        // 6: its folder is not that of tarspatch.
        let (id, task) = publish(&console, &node, &package).await;
        assert_eq!(task.items[0].status, ItemStatus::Failed);
        let words = task.items[0].execute_info.clone().unwrap();
        assert!(words.ends_with(" not exists!"), "{words}");
        let shared = web.options().uploads;
        let name = console.server_patch_list("tars", "tarslog").await.unwrap()[0]
            .tgz
            .clone();
        let place = shared.join("tars/tarslog");
        std::fs::create_dir_all(&place).unwrap();
        let uploaded = elsewhere.path().join("tars/tarslog").join(&name);
        std::fs::copy(uploaded, place.join(name)).unwrap();

        // 3: an error, and done all the same.
        web.tell(&[Lie::AddTaskFails]);
        let server = row(&console, &node).await.unwrap().id;
        let error = console.add_task(&patch(server, id)).await.unwrap_err();
        assert!(said(&error), "{error}");
        let until = Instant::now() + SHORT;
        while digest(&web.binary(1, "tarslog")) != program
            || !answers(ip, 18993, "tars.tarslog.LogObj")
        {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        // AdminRegistry is not heard.
        web.tell(&[Lie::AdminSilent]);
        let error = console.web_version().await.unwrap_err();
        assert!(
            matches!(error, ConsoleError::Html { status: 500, .. }),
            "{error}"
        );
        assert!(!console.check_tars_node(&node).await.unwrap());
        let listed = console.list_tars_node().await.unwrap();
        assert!(
            matches!(listed[0].last_heartbeat, Heartbeat::FromDatabase(Some(_))),
            "{listed:?}"
        );
        let which = Which {
            application: "tars".into(),
            server_name: "tarslog".into(),
            node_name: node.clone(),
        };
        let states = console.server_state(&[which]).await.unwrap();
        assert_eq!(
            (states[0].is_node_ok, states[0].query_ret_code),
            (false, -1)
        );
        assert!(said(
            &console.add_task(&patch(server, id)).await.unwrap_err()
        ));
        assert!(said(&console.delete_patch_package(id).await.unwrap_err()));
        web.tell(&[]);
        assert!(console.check_tars_node(&node).await.unwrap());

        // What it knows nothing of.
        assert!(said(&console.task("nosuch").await.unwrap_err()));
        assert!(said(
            &console.add_task(&patch(99_999, id)).await.unwrap_err()
        ));

        // Its doors.
        for door in Door::FORGED {
            assert!(console.is_open(door).await.unwrap(), "{door:?}");
        }
        assert!(!console.is_open(Door::NoTicket).await.unwrap());
        let stranger = Console::new(&web.console().url(), Secret::new("another")).unwrap();
        let error = stranger.server_nodes("tars", "tarslog").await.unwrap_err();
        assert!(matches!(error, ConsoleError::NotLoggedIn { .. }), "{error}");

        // A node without power: the connection is there, and nobody answers.
        web.up.script(1, "stop.sh");
        let mut tries = 0;
        while console.check_tars_node(&node).await.unwrap() {
            tries += 1;
            assert!(tries < 50);
        }
    });
    // The same as a process of its own, with its doors shut and few requests; twice, as the second
    // ends the first.
    web.up.cluster.start_console(|_| {}).unwrap();
    let facts = web.up.cluster.start_console(|options| {
        options.doors_open = false;
        options.most_requests = 4;
    });
    let facts = facts.unwrap();
    assert_eq!(facts.url, format!("http://{}:3000", web.up.host(0).ip));
    let alone = Console::new(&facts.url, Secret::new(&facts.ticket)).unwrap();
    let alone = alone.with_deadlines(SHORT, SHORT);
    runtime().block_on(async {
        let versions = alone.web_version().await.unwrap();
        assert_eq!(versions.web_version, console::VERSION);
        assert!(!alone.is_open(Door::UndefinedTicket).await.unwrap());
        alone.server_nodes("tars", "tarslog").await.unwrap();
        alone.server_nodes("tars", "tarslog").await.unwrap();
    });
    let address = (web.up.host(0).ip, 3000).into();
    let came = send(address, ("GET", "/api/get_login_uid"), "", b"");
    let body = "request frequency limited";
    assert_eq!((came.status, came.body.as_str()), (429, body));
    assert!(came.head.contains("\r\nretry-after: "), "{}", came.head);
    web.up.cluster.stop_console().unwrap();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn without_its_database_there_are_pages_and_then_no_console() {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let mut database = MariaDb::start(dir.path(), &MariaDbOptions::default()).unwrap();
    database.load(Schema::AfterConsole).unwrap();
    database.account("web", "web", Rights::All).unwrap();
    let tables = Database::MariaDb {
        address: database.address(),
        user: "web".into(),
        password: "web".into(),
        name: "db_tars".into(),
    };
    let admin = "127.0.0.1:9".parse().unwrap();
    let options = console::Options::new(tables, admin, dir.path(), dir.path());
    let stand_in = StandIn::start(options.clone()).unwrap();
    let console = client(&stand_in);
    runtime().block_on(async {
        assert!(
            console
                .server_nodes("tars", "tarslog")
                .await
                .unwrap()
                .is_empty()
        );
        database.kill();
        let error = console.server_nodes("tars", "tarslog").await.unwrap_err();
        let ConsoleError::Html { status, words, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*status, 500);
        assert!(
            words.starts_with("SequelizeConnectionRefusedError: "),
            "{words}"
        );
    });
    let address = stand_in.address();
    drop(stand_in);
    assert!(std::net::TcpStream::connect(address).is_err());
    let error = StandIn::start(options).unwrap_err();
    assert!(
        matches!(error, console::ConsoleError::Database(_)),
        "{error}"
    );
}
