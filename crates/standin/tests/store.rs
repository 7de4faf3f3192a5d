//! The store in both its forms does the same; and the framework of an embedded cluster on a real
//! MariaDB.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Line, Up, eventually, healthy};
use tarsops_standin::cluster::FrameworkOptions;
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
use tarsops_standin::standin::Timings;
use tarsops_standin::store::{
    AdapterRow, Change, Database, JsonFile, NodeRow, RegistryRow, ServerKey, ServerRow, Store,
    StoreError, Tables, TemplateRow,
};
use tarsops_wire::interface::{ADMIN, EndpointF, FORWARD, QUERY, field, texts};

const USER: &str = "tarsAdmin";
const PASSWORD: &str = "it's a ; secret";

/// A database server that is thrown away.
struct Server {
    running: MariaDb,
    _folder: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        require_or_fail();
        let folder = tempfile::tempdir().unwrap();
        let running = MariaDb::start(folder.path(), &MariaDbOptions::default()).unwrap();
        running.load(Schema::Installed).unwrap();
        running.account(USER, PASSWORD, Rights::All).unwrap();
        Self {
            running,
            _folder: folder,
        }
    }

    fn database(&self) -> Database {
        Database::MariaDb {
            address: self.running.address(),
            user: USER.into(),
            password: PASSWORD.into(),
            name: "db_tars".into(),
        }
    }
}

/// What every store must do.
fn contract(store: &dyn Store) {
    let node = |name: &str, object: &str| NodeRow {
        node_name: name.into(),
        node_obj: object.into(),
        data_dir: "/it's/data".into(),
        load_avg1: 0.5,
        tars_version: "3.0.17".into(),
        ..NodeRow::default()
    };
    let one = || {
        store
            .nodes()
            .unwrap()
            .into_iter()
            .find(|row| row.node_name == "n1")
    };

    // Registering replaces; a living node with an object of its own is not replaced.
    assert!(store.register_node(&node("n1", "")).unwrap());
    let first = one().unwrap();
    assert_eq!(
        (first.present_state.as_str(), first.group_id),
        ("active", -1)
    );
    assert_eq!(
        (first.load_avg1, first.data_dir.as_str()),
        (0.5, "/it's/data")
    );
    assert!(first.last_heartbeat > 1_700_000_000_000);
    assert!(store.register_node(&node("n1", "")).unwrap());
    assert!(one().unwrap().id > first.id);
    assert!(store.register_node(&node("n2", "a")).unwrap());
    assert!(!store.register_node(&node("n2", "b")).unwrap());

    // Heartbeats of nodes that are not there do nothing.
    assert_eq!(store.keep_alive("n1", [1.0, 2.0, 3.0]).unwrap().min(1), 1);
    assert_eq!(store.keep_alive("n9", [1.0; 3]).unwrap(), 0);
    assert_eq!(one().unwrap().load_avg15, 3.0);

    // Servers: once, unless replaced.
    let server = |node: &str| ServerRow {
        application: "tars".into(),
        server_name: "tarslog".into(),
        node_name: node.into(),
        exe_path: "/x".into(),
        setting_state: "active".into(),
        present_state: "active".into(),
        process_id: 7,
        patch_time: "2026-11-22 10:05:21".into(),
        ..ServerRow::default()
    };
    store.insert_server(&server("n1"), false).unwrap();
    let again = store.insert_server(&server("n1"), false);
    assert!(matches!(again, Err(StoreError::Duplicate(_))), "{again:?}");
    store.insert_server(&server("n1"), true).unwrap();
    store.insert_server(&server("n3"), false).unwrap();
    let key = ServerKey::new("tars", "tarslog", "n1");
    let row = |node: &str| {
        let rows = store.servers().unwrap();
        rows.into_iter().find(|row| row.node_name == node).unwrap()
    };
    assert_eq!(row("n1").patch_time, "2026-11-22 10:05:21");
    assert_eq!(
        (row("n1").async_thread_num, row("n1").flow_state.as_str()),
        (3, "active")
    );
    for change in [
        Change::Setting("inactive".into()),
        Change::Present("deactivating".into(), 9),
        Change::Library("3.0.20".into()),
        Change::Patch("5".into(), "me".into()),
        Change::Flow(false),
    ] {
        store.set_server(&key, &change).unwrap();
    }
    let changed = row("n1");
    assert_eq!(changed.setting_state, "inactive");
    assert_eq!(
        (changed.present_state.as_str(), changed.process_id),
        ("deactivating", 9)
    );
    assert_eq!(changed.tars_version, "3.0.20");
    assert_eq!(
        (changed.patch_version.as_str(), changed.patch_user.as_str()),
        ("5", "me")
    );
    assert_ne!(changed.patch_time, "2026-11-22 10:05:21");
    assert_eq!(changed.flow_state, "inactive");
    assert_eq!(row("n3").setting_state, "active");

    let adapter = AdapterRow {
        application: "tars".into(),
        server_name: "tarslog".into(),
        node_name: "n1".into(),
        adapter_name: "a".into(),
        endpoint: "tcp -h 127.0.0.1 -p 1".into(),
        protocol: "tars".into(),
        ..AdapterRow::default()
    };
    store.insert_adapter(&adapter, false).unwrap();
    assert!(store.insert_adapter(&adapter, false).is_err());
    store.insert_adapter(&adapter, true).unwrap();
    assert_eq!(store.adapters().unwrap().len(), 1);

    // Registries: a number stays, or is new.
    let registry = |servant: &str, endpoint: &str| RegistryRow {
        locator_id: "l".into(),
        servant: servant.into(),
        endpoint: endpoint.into(),
        tars_version: "3.0.20".into(),
        ..RegistryRow::default()
    };
    let rows = [registry("b", "tcp -h z"), registry("a", "tcp -h y")];
    store.put_registries(&rows, false).unwrap();
    let ids = || -> Vec<i64> {
        store
            .registries()
            .unwrap()
            .iter()
            .map(|row| row.id)
            .collect()
    };
    let before = ids();
    store.put_registries(&rows, false).unwrap();
    assert_eq!(ids(), before);
    store.put_registries(&rows, true).unwrap();
    assert!(ids().iter().zip(&before).all(|(new, old)| new > old));
    assert_eq!(
        store.registries().unwrap()[0].servant,
        "a",
        "in the order of endpoints"
    );

    // Templates that are there stay.
    let template = |profile: &str| TemplateRow {
        template_name: "t".into(),
        parents_name: "p".into(),
        profile: profile.into(),
        ..TemplateRow::default()
    };
    store.insert_template(&template("mine")).unwrap();
    store.insert_template(&template("yours")).unwrap();
    assert_eq!(store.templates().unwrap()[0].profile, "mine");

    // Silence: nodes and their servers, but no servers of nodes that have no row.
    store
        .set_server(&key, &Change::Present("active".into(), 9))
        .unwrap();
    store.expire_nodes(Duration::from_secs(60)).unwrap();
    store.expire_registries(Duration::from_secs(60)).unwrap();
    assert_eq!(one().unwrap().present_state, "active");
    std::thread::sleep(Duration::from_millis(1600));
    store.keep_alive("n2", [0.0; 3]).unwrap();
    store.expire_nodes(Duration::from_millis(1500)).unwrap();
    store
        .expire_registries(Duration::from_millis(1500))
        .unwrap();
    assert_eq!(one().unwrap().present_state, "inactive");
    assert_eq!(
        (row("n1").present_state.as_str(), row("n1").process_id),
        ("inactive", 0)
    );
    assert_eq!(
        (row("n3").present_state.as_str(), row("n3").process_id),
        ("active", 7)
    );
    assert!(
        store
            .registries()
            .unwrap()
            .iter()
            .all(|row| row.present_state == "inactive")
    );
    let two = store
        .nodes()
        .unwrap()
        .into_iter()
        .find(|row| row.node_name == "n2")
        .unwrap();
    assert_eq!(two.present_state, "active");
    store.stop_node("n2").unwrap();
    let two = store
        .nodes()
        .unwrap()
        .into_iter()
        .find(|row| row.node_name == "n2")
        .unwrap();
    assert_eq!(two.present_state, "inactive");

    store.delete_server(&key).unwrap();
    assert_eq!(store.servers().unwrap().len(), 1);
    assert!(store.adapters().unwrap().is_empty());
}

#[test]
fn a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tables.json");
    assert!(
        JsonFile::new(&path).nodes().is_err(),
        "a missing file is no empty one"
    );
    assert!(JsonFile::new(&path).keep_alive("n", [0.0; 3]).is_err());
    assert!(!path.exists());
    contract(&JsonFile::create(&path, &Tables::default()).unwrap());
    std::fs::write(&path, "not JSON").unwrap();
    assert!(JsonFile::new(&path).nodes().is_err());
}

#[test]
fn a_file_takes_changes_of_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tables.json");
    let file = JsonFile::create(&path, &Tables::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    file.change(|tables| tables.last_id += 1).unwrap();
                    file.nodes().unwrap();
                }
            });
        }
    });
    assert_eq!(file.read().unwrap().last_id, 100);
}

#[test]
fn mysql_keeps_the_contract() {
    contract(&*Server::new().database().open().unwrap());
}

#[test]
fn a_cluster_on_mysql_outlives_its_database() {
    let mut server = Server::new();
    let up = Up::new(1, |options| {
        options.packages = vec![healthy("3.0.17")];
        options.framework = Some(FrameworkOptions {
            database: server.database(),
            identity: healthy("3.0.17"),
            timings: Timings::faster(50),
            slaves: 0,
        });
    });
    let name = up.host(0).name.clone();
    up.install(0, "3.0.17", &format!("tcp -h {} -p 17890", up.host(0).ip));
    up.script(0, "start.sh");
    let names = || {
        let answer = Line::to(up.framework().admin)
            .call(ADMIN, "getAllNodeNames", Vec::new(), &[])
            .unwrap();
        field::<Vec<String>>(&answer, 0).unwrap().unwrap()
    };
    let ping = || {
        let mut line = Line::to(up.framework().admin);
        let answer = line.call(ADMIN, "pingNode", texts(&[&name]), &[(FORWARD, "on")]);
        field::<String>(&answer.unwrap(), 2)
            .unwrap()
            .unwrap_or_default()
    };
    eventually("the node", || {
        names() == std::slice::from_ref(&name) && ping() == "ping succ"
    });
    let store = server.database().open().unwrap();
    assert_eq!(store.nodes().unwrap()[0].tars_version, "3.0.17");
    assert_eq!(store.registries().unwrap().len(), 5);
    eventually("adopted", || {
        let rows = store.servers().unwrap();
        rows.len() == 10 && rows.iter().all(|row| row.process_id > 0)
    });

    server.running.kill();
    eventually("no names, and no error", || names().is_empty());
    assert_eq!(ping(), "ping succ", "connected it is all the same");
    let answer = Line::to(up.framework().query)
        .call(
            QUERY,
            "findObjectById",
            texts(&["tars.tarslog.LogObj"]),
            &[],
        )
        .unwrap();
    assert_eq!(
        field::<Vec<EndpointF>>(&answer, 0).unwrap().unwrap().len(),
        1
    );

    server.running.start_again().unwrap();
    eventually("the names again", || names() == std::slice::from_ref(&name));
    let beat = || store.nodes().unwrap()[0].last_heartbeat;
    let before = beat();
    eventually("heartbeats again", || beat() > before);
}
