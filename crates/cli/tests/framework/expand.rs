//! A plain node becomes a slave: placed, registered, started, named everywhere; and back.

use tarsops_standin::standin::{self, Behaviour, Identity};

use crate::support::{program, wait_until};
use crate::world::{OLD, PATIENCE, World};

/// The components of a slave beside tarsnode.
const SLAVE: [&str; 5] = [
    "tarsregistry",
    "tarsconfig",
    "tarsnotify",
    "tarsquerystat",
    "tarsqueryproperty",
];

/// One cluster for all: making one is what takes the time.
#[test]
fn a_framework_host_comes_is_repaired_and_goes_back() {
    let world = &mut World::master_only(4);
    world.is_well();
    let before = crontab(world, 2);
    let run = a_plain_node_becomes_a_slave(world);
    missing_parts_are_restored(world);
    a_run_that_was_cut_off_is_finished(world);
    rows_that_cannot_be_read_lead_to_nothing(world);
    the_run_is_rolled_back(world, &run, &before);
}

/// A component that does not start takes the whole run back with it, and the next one is whole.
#[test]
fn a_component_that_does_not_come_up_takes_the_run_back() {
    let world = &mut World::master_only(3);
    let before = crontab(world, 2);
    let binary = world
        .cluster
        .facts()
        .packages
        .join(OLD)
        .join("framework/servers/tarsnotify/bin/tarsnotify");
    let good = world.dir().join("good");
    std::fs::hard_link(&binary, &good).unwrap();
    let bad = Identity::new(OLD, Behaviour::CrashAtStart);
    standin::make(&program(), &binary, &bad).unwrap();
    world.respec(|s| {
        s.slave = true;
        s.deadline = "25s, on_failure: rollback-all";
    });
    let failed = world.tarsops(["apply", "-y"]);
    failed.exits(8).tells("tarsnotify does not run");
    for component in SLAVE {
        assert!(world.pids(2, component).is_empty(), "{component}");
        assert!(!world.tars(2).join(component).exists(), "{component}");
    }
    assert_eq!(crontab(world, 2), before);
    let node = world.node(2);
    let left = world.sql(&format!(
        "SELECT (SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '{node}') + \
         (SELECT COUNT(*) FROM db_tars.t_adapter_conf WHERE node_name = '{node}')"
    ));
    assert_eq!(left, "0\n");
    std::fs::rename(&good, &binary).unwrap();
    world.respec(|_| {});
    world.tarsops(["apply", "-y"]).exits(0);
    for component in SLAVE {
        assert_eq!(world.pids(2, component).len(), 1, "{component}");
    }
    world.is_well();
}

fn crontab(world: &World, n: usize) -> String {
    let host = &world.cluster.facts().hosts[n - 1];
    std::fs::read_to_string(&host.crontab).unwrap_or_default()
}

fn newest_run(world: &World) -> String {
    let history = world
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    history["runs"][0]["run"].as_str().unwrap().to_owned()
}

/// Every component of the slave runs once and every source says the same.
#[track_caller]
fn is_slave(world: &World) {
    for component in SLAVE {
        assert_eq!(world.pids(2, component).len(), 1, "{component}");
    }
    let at = format!("{} -p 17890", world.node(2));
    for n in 1..=4 {
        assert!(world.locator(n).contains(&at), "{}", world.locator(n));
    }
    world.is_well();
    let plan = world.tarsops(["plan"]);
    plan.exits(0).says("0 to add, 0 to change, 0 to remove");
}

fn a_plain_node_becomes_a_slave(world: &mut World) -> String {
    world.respec(|s| s.slave = true);
    let node = world.node(2);
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("place tarsregistry 3.0.17")
        .says("write 11 rows of its servers, set inactive")
        .says("start tarsqueryproperty through AdminRegistry")
        .says("have cron watch tarsregistry");
    assert!(world.pids(2, "tarsregistry").is_empty());
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0);
    is_slave(world);
    // The rows of a slave, as the installer writes them and as a start leaves them.
    let servers = world.sql(&format!(
        "SELECT application, server_name, node_group, base_path, exe_path, template_name, bak_flag, \
         setting_state, present_state, patch_version, patch_user, tars_version, lastuser, server_type, \
         IFNULL(profile, 'NULL'), process_id > 0 \
         FROM db_tars.t_server_conf WHERE node_name = '{node}' ORDER BY server_name"
    ));
    let tars = world.tars(2);
    let wanted: String = [
        ("tarsconfig", "NULL"),
        ("tarsnotify", "NULL"),
        ("tarsqueryproperty", ""),
        ("tarsquerystat", ""),
        ("tarsregistry", ""),
    ]
    .iter()
    .map(|(name, profile)| {
        format!(
            "tars\t{name}\t\t\t{tars}/{name}/bin/{name}\ttars.{name}\t0\tactive\tactive\t{OLD}\t\t3.0.20\tadmin\ttars_cpp\t{profile}\t1\n",
            tars = tars.display()
        )
    })
    .collect();
    assert_eq!(servers, wanted);
    let adapters = world.sql(&format!(
        "SELECT adapter_name, thread_num, endpoint, max_connections, allow_ip, servant, queuecap, \
         queuetimeout, lastuser, protocol, handlegroup \
         FROM db_tars.t_adapter_conf WHERE node_name = '{node}' ORDER BY adapter_name"
    ));
    let wanted: String = [
        ("tarsconfig.ConfigObj", 10, 18193, 200_000, 60_000),
        ("tarsnotify.NotifyObj", 5, 18593, 200_000, 60_000),
        ("tarsqueryproperty.QueryObj", 5, 18693, 200_000, 60_000),
        ("tarsquerystat.QueryObj", 5, 18393, 200_000, 60_000),
        ("tarsregistry.QueryObj", 5, 17890, 100_000, 10_000),
        ("tarsregistry.RegistryObj", 5, 17891, 100_000, 10_000),
    ]
    .iter()
    .map(|(name, threads, port, connections, timeout)| {
        format!(
            "tars.{name}Adapter\t{threads}\ttcp -h {node} -t 60000 -p {port}\t{connections}\t\ttars.{name}\t100000\t{timeout}\tadmin\ttars\t\n"
        )
    })
    .collect();
    assert_eq!(adapters, wanted);
    // It came to a registry that works from the template, not from what was shipped.
    let conf = "tarsnode/data/tars.tarsregistry/conf/tars.tarsregistry.config.conf";
    let generated = std::fs::read_to_string(world.tars(2).join(conf)).unwrap();
    assert!(generated.contains("dbuser=framework"), "{generated}");
    let shipped = std::fs::read_to_string(
        world
            .tars(2)
            .join("tarsregistry/conf/tars.tarsregistry.config.conf"),
    )
    .unwrap();
    assert!(shipped.contains("dbpass=tars2015") && shipped.contains(&node));
    assert!(!shipped.contains("localip.tars.com") && !shipped.contains("TARS_PATH"));
    let line = format!(
        "* * * * * {}/tarsregistry/util/monitor.sh >/dev/null 2>&1",
        world.tars(2).display()
    );
    assert!(crontab(world, 2).lines().any(|l| l == line));
    newest_run(world)
}

/// The folder of one, the rows of another.
fn missing_parts_are_restored(world: &World) {
    let node = world.node(2);
    world.cluster.stop_component(&node, "tarsconfig").unwrap();
    world.sql(&format!(
        "DELETE FROM db_tars.t_server_conf WHERE node_name = '{node}' AND server_name = 'tarsconfig'; \
         DELETE FROM db_tars.t_adapter_conf WHERE node_name = '{node}' AND server_name = 'tarsconfig'"
    ));
    std::fs::remove_dir_all(world.tars(2).join("tarsnotify")).unwrap();
    world.kill(2, "tarsnotify");
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("place tarsnotify")
        .says("write 2 rows of its servers")
        .says("start tarsconfig through AdminRegistry");
    world.tarsops(["apply", "-y"]).exits(0);
    is_slave(world);
}

/// Files and rows are there, and nobody has started it.
fn a_run_that_was_cut_off_is_finished(world: &World) {
    let node = world.node(2);
    world
        .cluster
        .stop_component(&node, "tarsquerystat")
        .unwrap();
    wait_until("tarsquerystat to end", PATIENCE, || {
        world.pids(2, "tarsquerystat").is_empty()
    });
    // One that somebody stopped has told its library, and is left so.
    let plan = world.tarsops(["plan"]);
    plan.says("0 to add, 0 to change, 0 to remove");
    world.sql(&format!(
        "UPDATE db_tars.t_server_conf SET tars_version = '', process_id = 0, present_state = 'inactive' \
         WHERE node_name = '{node}' AND server_name = 'tarsquerystat'"
    ));
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("start tarsquerystat through AdminRegistry")
        .says("1 to add, 0 to change, 0 to remove");
    world.tarsops(["apply", "-y"]).exits(0);
    is_slave(world);
}

fn rows_that_cannot_be_read_lead_to_nothing(world: &mut World) {
    let node = world.node(2);
    world.cluster.stop_component(&node, "tarsnotify").unwrap();
    wait_until("tarsnotify to end", PATIENCE, || {
        world.pids(2, "tarsnotify").is_empty()
    });
    std::fs::remove_dir_all(world.tars(2).join("tarsnotify")).unwrap();
    world
        .database
        .account(
            "blind",
            crate::world::PASSWORD,
            tarsops_standin::database::Rights::ShowDatabases,
        )
        .unwrap();
    world.respec(|s| s.user = "blind");
    let plan = world.tarsops(["plan"]);
    plan.exits(2).says("0 to add, 0 to change, 0 to remove");
    world.respec(|s| s.user = "ops");
    // Somebody has stopped it: its files come back, and it stays down until somebody starts it.
    world.tarsops(["apply", "-y"]).says("tarsnotify");
    assert!(world.tars(2).join("tarsnotify/bin/tarsnotify").exists());
    assert!(world.pids(2, "tarsnotify").is_empty());
    std::fs::remove_dir_all(world.tars(2).join("tarsnotify")).unwrap();
    world.sql(&format!(
        "UPDATE db_tars.t_server_conf SET setting_state = 'active' \
         WHERE node_name = '{node}' AND server_name = 'tarsnotify'"
    ));
    world.tarsops(["apply", "-y"]).exits(0);
    is_slave(world);
}

fn the_run_is_rolled_back(world: &mut World, run: &str, before: &str) {
    let node = world.node(2);
    let back = world.tarsops(["rollback", "-y", run]);
    back.exits(0);
    for component in SLAVE {
        assert!(world.pids(2, component).is_empty(), "{component}");
        assert!(!world.tars(2).join(component).exists(), "{component}");
    }
    assert_eq!(crontab(world, 2), before);
    assert_eq!(world.pids(2, "tarsnode").len(), 1);
    let left = world.sql(&format!(
        "SELECT (SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '{node}') + \
         (SELECT COUNT(*) FROM db_tars.t_adapter_conf WHERE node_name = '{node}')"
    ));
    assert_eq!(left, "0\n");
    // What the registry wrote itself goes once it is old; the spec of before has nothing else to do.
    world.respec(|s| s.slave = false);
    wait_until("the registry's rows to be old", PATIENCE * 2, || {
        world.tarsops(["apply", "-y"]).code == 0
    });
    world.is_well();
}
