//! The store in both its forms does the same; and the framework of an embedded cluster on real MySQL,
//! where there is a `mariadbd`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot set itself up fails, or says that it was skipped"
)]

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Line, Up, eventually, healthy};
use tarsops_sandbox::cluster::FrameworkOptions;
use tarsops_sandbox::standin::Timings;
use tarsops_sandbox::store::{
    AdapterRow, Change, Database, JsonFile, NodeRow, RegistryRow, ServerKey, ServerRow, Store,
    StoreError, Tables, TemplateRow,
};
use tarsops_wire::interface::{ADMIN, EndpointF, FORWARD, QUERY, field, texts};

/// The five tables with their columns, keys and defaults (`deploy/framework/sql/db_tars.sql` and what
/// upgrades add); each statement on one line.
const SCHEMA: &str = "\
CREATE DATABASE db_tars CHARACTER SET utf8;
CREATE USER 'tarsAdmin'@'%' IDENTIFIED BY 'it''s a ; secret';
GRANT ALL ON *.* TO 'tarsAdmin'@'%';
USE db_tars;
CREATE TABLE t_node_info (id INT AUTO_INCREMENT PRIMARY KEY, node_name VARCHAR(128) DEFAULT '', node_obj VARCHAR(128) DEFAULT '', endpoint_ip VARCHAR(50) DEFAULT '', endpoint_port INT DEFAULT 0, data_dir VARCHAR(128) DEFAULT '', load_avg1 FLOAT DEFAULT 0, load_avg5 FLOAT DEFAULT 0, load_avg15 FLOAT DEFAULT 0, last_reg_time DATETIME, last_heartbeat DATETIME, setting_state ENUM('active','inactive') DEFAULT 'inactive', present_state ENUM('active','inactive') DEFAULT 'inactive', tars_version VARCHAR(128) NOT NULL DEFAULT '', template_name VARCHAR(128) NOT NULL DEFAULT '', modify_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, group_id INT DEFAULT -1, label TEXT, UNIQUE KEY node_name (node_name));
CREATE TABLE t_server_conf (id INT AUTO_INCREMENT PRIMARY KEY, application VARCHAR(128) DEFAULT '', server_name VARCHAR(128) DEFAULT '', node_group VARCHAR(50) NOT NULL DEFAULT '', node_name VARCHAR(50) NOT NULL DEFAULT '', registry_timestamp TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, base_path VARCHAR(128) DEFAULT '', exe_path VARCHAR(128) NOT NULL DEFAULT '', template_name VARCHAR(128) NOT NULL DEFAULT '', bak_flag INT NOT NULL DEFAULT 0, setting_state ENUM('active','inactive') NOT NULL DEFAULT 'inactive', present_state ENUM('active','inactive','activating','deactivating','destroyed') NOT NULL DEFAULT 'inactive', process_id INT NOT NULL DEFAULT 0, patch_version VARCHAR(128) NOT NULL DEFAULT '', patch_time DATETIME, patch_user VARCHAR(128) NOT NULL DEFAULT '', tars_version VARCHAR(128) NOT NULL DEFAULT '', posttime DATETIME, lastuser VARCHAR(30), server_type ENUM('tars_cpp','not_tars','tars_java','tars_nodejs','tars_php','tars_go') NOT NULL DEFAULT 'tars_cpp', start_script_path VARCHAR(128), stop_script_path VARCHAR(128), monitor_script_path VARCHAR(128), enable_group CHAR(1) DEFAULT 'N', enable_set CHAR(1) NOT NULL DEFAULT 'N', set_name VARCHAR(16), set_area VARCHAR(16), set_group VARCHAR(64), ip_group_name VARCHAR(64), profile TEXT, source TEXT, config_center_port INT NOT NULL DEFAULT 0, async_thread_num INT DEFAULT 3, server_important_type ENUM('0','1','2','3','4','5') DEFAULT '0', grid_flag VARCHAR(16) NOT NULL DEFAULT 'NORMAL', flow_state ENUM('active','inactive') NOT NULL DEFAULT 'active', run_type VARCHAR(32) NOT NULL DEFAULT '', base_image_id INT DEFAULT 0, UNIQUE KEY application (application,server_name,node_name));
CREATE TABLE t_adapter_conf (id INT AUTO_INCREMENT PRIMARY KEY, application VARCHAR(50) DEFAULT '', server_name VARCHAR(128) DEFAULT '', node_name VARCHAR(50) DEFAULT '', adapter_name VARCHAR(100) DEFAULT '', registry_timestamp TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, thread_num INT DEFAULT 1, endpoint VARCHAR(128) DEFAULT '', max_connections INT DEFAULT 1000, allow_ip VARCHAR(255) NOT NULL DEFAULT '', servant VARCHAR(128) DEFAULT '', queuecap INT, queuetimeout INT, posttime DATETIME, lastuser VARCHAR(30), protocol VARCHAR(64) DEFAULT 'tars', handlegroup VARCHAR(64) DEFAULT '', UNIQUE KEY application (application,server_name,node_name,adapter_name));
CREATE TABLE t_registry_info (id INT AUTO_INCREMENT PRIMARY KEY, locator_id VARCHAR(128) NOT NULL DEFAULT '', servant VARCHAR(128) NOT NULL DEFAULT '', endpoint VARCHAR(128) NOT NULL DEFAULT '', last_heartbeat DATETIME, present_state ENUM('active','inactive') DEFAULT 'inactive', tars_version VARCHAR(128) NOT NULL DEFAULT '', modify_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, enable_group CHAR(1) DEFAULT 'N', UNIQUE KEY locator_id (locator_id,servant));
CREATE TABLE t_profile_template (id INT AUTO_INCREMENT PRIMARY KEY, template_name VARCHAR(128) DEFAULT '', parents_name VARCHAR(128) DEFAULT '', profile TEXT NOT NULL, posttime DATETIME, lastuser VARCHAR(30), UNIQUE KEY template_name (template_name));
";

const MARIADBD: &str = "/usr/sbin/mariadbd";

/// A database server that is thrown away.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// None where the machine has none.
    fn new() -> Option<Self> {
        if !Path::new(MARIADBD).exists() {
            eprintln!("skipped: this machine has no {MARIADBD}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let made = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--user=root",
                "--skip-test-db",
                // The name of this machine need not be known to anybody.
                "--skip-name-resolve",
                "--force",
            ])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "mariadb-install-db: {made:?}");
        std::fs::write(folder.path().join("init.sql"), SCHEMA).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self {
            folder,
            port,
            child: None,
        };
        server.start(true);
        Some(server)
    }

    fn start(&mut self, first: bool) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = Command::new(MARIADBD);
        command
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"])
            .arg("--skip-name-resolve")
            .arg(format!("--port={}", self.port))
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")));
        if first {
            command.arg(format!("--init-file={}", path("init.sql")));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.stderr(Stdio::null()).spawn().unwrap());
        let address = self.address();
        eventually("the database", || TcpStream::connect(address).is_ok());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    fn database(&self) -> Database {
        Database::MariaDb {
            address: self.address(),
            user: "tarsAdmin".into(),
            password: "it's a ; secret".into(),
            name: "db_tars".into(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
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
    if let Some(server) = Server::new() {
        contract(&*server.database().open().unwrap());
    }
}

#[test]
fn a_cluster_on_mysql_outlives_its_database() {
    let Some(mut server) = Server::new() else {
        return;
    };
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

    server.stop();
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

    server.start(false);
    eventually("the names again", || names() == std::slice::from_ref(&name));
    let beat = || store.nodes().unwrap()[0].last_heartbeat;
    let before = beat();
    eventually("heartbeats again", || beat() > before);
}
