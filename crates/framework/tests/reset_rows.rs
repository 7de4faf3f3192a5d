//! What the installer writes into a real MariaDB at the start of a container, and how it goes back.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../transport/tests/support/database.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod database;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use database::{PASSWORD, access, filled};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tarsops_framework::{Client, Read as _, Unedited, Ways, Write as _};
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, PackageSource, Policy, Rebuild, Rpc};
use tarsops_model::digest::Digest;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_plan::reset_rows::{BeforeStart, LeftBecause, PutBack, put_back};
use tarsops_standin::database::{MariaDb, Rights, Schema};
use tarsops_transport::mysql::Access;
use tarsops_transport::{Connect, Fault, FaultKind, Remote};

const NODE: &str = "10.9.9.9";
const OTHER: &str = "10.9.9.99";

/// Server, servant, port, threads, connections, queue's length and timeout of `tars_servers.sql` and
/// `tars_servers_master.sql`.
type Adapter = (&'static str, &'static str, u16, u16, u32, u32, u32);

const ADAPTERS: [Adapter; 10] = [
    (
        "tarsregistry",
        "QueryObj",
        17890,
        5,
        100_000,
        100_000,
        10_000,
    ),
    (
        "tarsregistry",
        "RegistryObj",
        17891,
        5,
        100_000,
        100_000,
        10_000,
    ),
    (
        "tarsqueryproperty",
        "QueryObj",
        18693,
        5,
        200_000,
        100_000,
        60_000,
    ),
    (
        "tarsconfig",
        "ConfigObj",
        18193,
        10,
        200_000,
        100_000,
        60_000,
    ),
    (
        "tarsnotify",
        "NotifyObj",
        18593,
        5,
        200_000,
        100_000,
        60_000,
    ),
    (
        "tarsquerystat",
        "QueryObj",
        18393,
        5,
        200_000,
        100_000,
        60_000,
    ),
    ("tarspatch", "PatchObj", 18793, 10, 200_000, 200_000, 60_000),
    (
        "tarsAdminRegistry",
        "AdminRegObj",
        12000,
        5,
        2_000,
        100_000,
        60_000,
    ),
    ("tarsstat", "StatObj", 18293, 5, 200_000, 100_000, 60_000),
    (
        "tarsproperty",
        "PropertyObj",
        18493,
        5,
        200_000,
        100_000,
        60_000,
    ),
];

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

fn client(database: &MariaDb) -> Client {
    let master: NodeName = NODE.parse().unwrap();
    let desired = Desired {
        cluster: "test".parse().unwrap(),
        spec_digest: Digest::of(b""),
        rebuild: Rebuild::Never,
        install_path: "/usr/local/app".parse().unwrap(),
        run_user: "tars".parse().unwrap(),
        change_run_user: false,
        resources: BTreeMap::new(),
        access: BTreeMap::new(),
        registries: BTreeSet::new(),
        rpc: Rpc::Direct,
        master: master.clone(),
        packages: PackageSource::Folder("packages".to_owned()),
        versions: BTreeSet::new(),
        policy: Policy::default(),
        parallel: 10,
        keep: None,
    };
    let ways = Ways {
        rpc: Rpc::Direct,
        connect: Arc::new(NoSsh),
        gone: BTreeSet::new(),
        master,
    };
    let access = Access {
        user: "writer".to_owned(),
        ..access(database)
    };
    Client::new(desired, ways, Some(access), None, || 0)
}

/// What each start writes for its node, with the version of its image.
fn start(database: &MariaDb, node: &str, version: &str) {
    let mut sql = String::from("USE db_tars;\n");
    let servers: BTreeSet<&str> = ADAPTERS.iter().map(|a| a.0).collect();
    for server in servers {
        // The statements of four servers name no profile: it becomes NULL.
        let (profile, empty) = match server {
            "tarsregistry" | "tarsAdminRegistry" => (", profile", ", ''"),
            _ => ("", ""),
        };
        sql.push_str(&format!(
            "REPLACE INTO t_server_conf (application, server_name, node_group, node_name, \
             registry_timestamp, base_path, exe_path, template_name, bak_flag, setting_state, \
             present_state, process_id, patch_version, patch_time, patch_user, tars_version, posttime, \
             lastuser, server_type{profile}) VALUES ('tars', '{server}', '', '{node}', NOW(), '', \
             '/usr/local/app/tars/{server}/bin/{server}', 'tars.{server}', 0, 'active', 'active', 0, \
             '{version}', NOW(), '', '{version}', NOW(), 'admin', 'tars_cpp'{empty});\n"
        ));
    }
    for (server, servant, port, threads, most, cap, timeout) in ADAPTERS {
        sql.push_str(&format!(
            "REPLACE INTO t_adapter_conf (application, server_name, node_name, adapter_name, \
             registry_timestamp, thread_num, endpoint, max_connections, allow_ip, servant, queuecap, \
             queuetimeout, posttime, lastuser, protocol, handlegroup) VALUES ('tars', '{server}', \
             '{node}', 'tars.{server}.{servant}Adapter', NOW(), {threads}, 'tcp -h {node} -t 60000 -p \
             {port}', {most}, '', 'tars.{server}.{servant}', {cap}, {timeout}, NOW(), 'admin', 'tars', \
             '');\n"
        ));
    }
    database.root_sql(&sql).unwrap();
}

/// What of the rows of a node people may set, and `setting_state` apart.
fn settings(database: &MariaDb, node: &str) -> String {
    let all = |table: &str, but: &[&str]| {
        let names = database
            .root_sql(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'db_tars' AND \
                 TABLE_NAME = '{table}' ORDER BY COLUMN_NAME"
            ))
            .unwrap();
        let names: Vec<&str> = names.lines().filter(|c| !but.contains(c)).collect();
        assert!(names.len() > 8);
        let names = names.join(", ");
        let rows = format!("SELECT {names} FROM db_tars.{table} WHERE node_name = '{node}'");
        // NULL and an empty text are the same to the framework.
        let rows = database.root_sql(&format!("{rows} ORDER BY server_name, id"));
        rows.unwrap().replace("NULL", "")
    };
    let times = ["id", "registry_timestamp", "posttime", "lastuser"];
    let program = [
        "setting_state",
        "present_state",
        "process_id",
        "patch_version",
        "patch_time",
        "patch_user",
        "tars_version",
    ];
    let server = [&times[..], &program[..]].concat();
    all("t_server_conf", &server) + &all("t_adapter_conf", &times)
}

/// Some of everything that people set.
fn set(database: &MariaDb, node: &str) {
    let of = format!("WHERE application = 'tars' AND node_name = '{node}'");
    for statement in [
        format!(
            "UPDATE t_server_conf SET profile = '<tars>\\n x=日本\\'\\n</tars>', async_thread_num = 9 {of}"
        ),
        format!(
            "UPDATE t_server_conf SET template_name = 'tars.mine', enable_set = 'Y', set_name = 'a', set_area = 'b', set_group = '1' {of} AND server_name = 'tarsstat'"
        ),
        format!(
            "UPDATE t_server_conf SET setting_state = 'inactive', patch_version = '77', patch_user = 'me' {of} AND server_name IN ('tarsnotify', 'tarsconfig')"
        ),
        format!(
            "UPDATE t_server_conf SET flow_state = 'inactive', source = 'x', run_type = 'container', base_image_id = 4 {of} AND server_name = 'tarsquerystat'"
        ),
        format!(
            "UPDATE t_adapter_conf SET thread_num = 64, queuecap = 7, max_connections = 9, queuetimeout = 8, allow_ip = '10.0.0.0', handlegroup = 'h' {of}"
        ),
        format!(
            "UPDATE t_adapter_conf SET endpoint = 'tcp -h {node} -t 3000 -p 28293' {of} AND server_name = 'tarsstat'"
        ),
    ] {
        database
            .root_sql(&format!("USE db_tars; {statement}"))
            .unwrap();
    }
}

async fn before(client: &Client) -> BeforeStart {
    let rows = client.own_rows(&NODE.parse().unwrap()).await.unwrap();
    BeforeStart::new(NODE, rows)
}

async fn compare(client: &Client, before: &BeforeStart) -> PutBack {
    let now = client.own_rows(&NODE.parse().unwrap()).await.unwrap();
    put_back(before, &now)
}

fn cluster(schema: Schema) -> (tempfile::TempDir, MariaDb, Client) {
    let (dir, database) = filled(schema);
    database.account("writer", PASSWORD, Rights::All).unwrap();
    for node in [NODE, OTHER] {
        start(&database, node, "3.0.17");
        set(&database, node);
    }
    let client = client(&database);
    (dir, database, client)
}

#[tokio::test]
async fn what_the_installer_resets_comes_back() {
    for schema in [Schema::Installed, Schema::AfterConsole] {
        let (_dir, database, client) = cluster(schema);
        let (was, others) = (settings(&database, NODE), settings(&database, OTHER));
        let before = before(&client).await;
        assert_eq!(before.rows.len(), 9 + ADAPTERS.len());

        start(&database, NODE, "3.0.18");
        assert_ne!(settings(&database, NODE), was);
        let done = compare(&client, &before).await;
        assert_eq!(done.stop, BTreeSet::from([Component::Tarsnotify]));
        let gone: Vec<_> = done
            .overwritten
            .iter()
            .map(|o| (o.component, &*o.version))
            .collect();
        assert_eq!(
            gone,
            [(Component::Tarsconfig, "77"), (Component::Tarsnotify, "77")]
        );
        // tarsconfig was inactive as well.
        assert!(
            done.left.iter().all(|l| l.why == LeftBecause::Core) && done.left.len() == 1,
            "{:?}",
            done.left
        );
        let changed = client.edit(&done.edits).await.unwrap();
        assert!(changed.iter().all(|c| *c) && !changed.is_empty());
        assert_eq!(settings(&database, NODE), was);
        assert_eq!(settings(&database, OTHER), others);
        // The program and its version are the image's.
        let version =
            "SELECT DISTINCT patch_version FROM db_tars.t_server_conf WHERE node_name = '10.9.9.9'";
        assert_eq!(database.root_sql(version).unwrap().trim(), "3.0.18");

        // A run that was cut off here does it again, and so does a rollback by another start.
        assert!(compare(&client, &before).await.edits.is_empty());
        start(&database, NODE, "3.0.17");
        client
            .edit(&compare(&client, &before).await.edits)
            .await
            .unwrap();
        assert_eq!(settings(&database, NODE), was);
    }
}

#[tokio::test]
async fn who_is_faster_keeps_his_change() {
    let (_dir, mut database, client) = cluster(Schema::Installed);
    let was = settings(&database, NODE);
    let before = before(&client).await;
    start(&database, NODE, "3.0.18");
    let done = compare(&client, &before).await;
    // Somebody changes a row in the console between reading and writing.
    let one = "WHERE node_name = '10.9.9.9' AND adapter_name = 'tars.tarsstat.StatObjAdapter'";
    let threads =
        format!("UPDATE db_tars.t_adapter_conf SET thread_num = 33, posttime = NOW() {one}");
    database.root_sql(&threads).unwrap();
    let reset = settings(&database, NODE);
    assert!(matches!(
        client.edit(&done.edits).await,
        Err(Unedited::Moved(_))
    ));
    assert_eq!(settings(&database, NODE), reset, "none was changed");

    // Read again, all but that comes back.
    let done = compare(&client, &before).await;
    let row = "tars.tarsstat.StatObjAdapter".to_owned();
    let why = LeftBecause::Changed("thread_num".to_owned());
    assert!(
        done.left.iter().any(|l| l.row == row && l.why == why),
        "{:?}",
        done.left
    );
    // And while the database is away nothing is lost.
    database.kill();
    assert!(matches!(
        client.edit(&done.edits).await,
        Err(Unedited::Failed(_))
    ));
    assert!(client.own_rows(&NODE.parse().unwrap()).await.is_err());
    database.start_again().unwrap();
    let done = compare(&client, &before).await;
    client.edit(&done.edits).await.unwrap();
    database
        .root_sql(&format!(
            "UPDATE db_tars.t_adapter_conf SET thread_num = 64 {one}"
        ))
        .unwrap();
    assert_eq!(settings(&database, NODE), was);
}
