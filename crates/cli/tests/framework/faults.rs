//! Findings that no one should have to debug again: each is found on a living cluster, named, and
//! gone after its cure.

use std::path::Path;

use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema};

use crate::support::{until_asked, wait_until};
use crate::world::{NEW, OLD, PASSWORD, PATIENCE, World};

/// One cluster for all: making one is what takes the time.
#[test]
fn each_fault_is_named_and_gone_after_its_cure() {
    let world = &mut World::new(4);
    nodes_beyond_the_spec_and_an_open_default_account_are_told(world);
    a_row_that_was_deleted_comes_back_with_a_restart(world);
    a_node_that_is_frozen_has_lost_its_connection(world);
    a_node_under_another_nodeid_is_named_and_put_right(world);
    another_clusters_database_blocks_everything(world);
    what_a_registration_loses_is_restored(world);
    rows_of_a_node_that_is_gone_go_when_nobody_answers(world);
}

fn a_row_that_was_deleted_comes_back_with_a_restart(world: &mut World) {
    let node = world.node(3);
    world.sql(&format!(
        "DELETE FROM db_tars.t_node_info WHERE node_name = '{node}'"
    ));
    world
        .check("not-registered", "drift", 2)
        .says("it registers at its start only");
    let before = world.pids(3, "tarsnode");
    let applied = world.tarsops(["apply", "-y"]);
    applied
        .exits(0)
        .says("1 done")
        .says("registration: no row → registered");
    assert_ne!(world.pids(3, "tarsnode"), before);
    world.is_well();
}

fn what_a_registration_loses_is_restored(world: &mut World) {
    let node = world.node(4);
    world.sql(&format!(
        "UPDATE db_tars.t_node_info SET label = '{{\"idc\":\"s\\'z\"}}', group_id = 7 WHERE node_name = '{node}'"
    ));
    let kept = "{\"idc\":\"s'z\"}\t7\n";
    let labels =
        format!("SELECT label, group_id FROM db_tars.t_node_info WHERE node_name = '{node}'");
    assert_eq!(world.sql(&labels), kept);
    world.respec(|s| s.version = NEW);
    world.tarsops(["apply", "-y"]).exits(0);
    assert_eq!(world.sql(&labels), kept);
    world.is_well();
    // So it is when the run is rolled back, which restarts it, too.
    world.tarsops(["rollback", "-y"]).exits(0);
    assert_eq!(world.sql(&labels), kept);
    world.respec(|s| s.version = OLD);
    world.is_well();
    // And what somebody has set since the plan was made is not undone by it.
    world.respec(|s| s.version = NEW);
    let asked = until_asked(&world.command(&["apply"]));
    world.sql(&format!(
        "UPDATE db_tars.t_node_info SET label = 'later', group_id = 9 WHERE node_name = '{node}'"
    ));
    asked.types("yes\n").exits(0);
    assert_eq!(world.sql(&labels), "later\t9\n");
    // A run that was cut off between the restart and here has left them on the host.
    let file = world.tars(4).parent().unwrap().join(".tarsops/labels");
    assert!(!file.exists());
    std::fs::write(&file, "tarsops-labels/1\n9\nlost").unwrap();
    world.sql("UPDATE db_tars.t_node_info SET label = NULL, group_id = -1");
    world
        .tarsops(["plan"])
        .exits(2)
        .says("put its label and group back");
    world.tarsops(["apply", "-y"]).exits(0);
    assert_eq!(world.sql(&labels), "lost\t9\n");
    assert!(!file.exists());
    world.is_well();
}

fn a_node_that_is_frozen_has_lost_its_connection(world: &mut World) {
    world.freeze(3, "tarsnode");
    // AdminRegistry never answers about it, and answers about others meanwhile.
    let found = world.check("connection-lost", "drift", 2);
    found.says("AdminRegistry has no connection to it");
    world.check("servant-silent", "drift", 2);
    world.thaw(3, "tarsnode");
    world.is_well();
}

fn another_clusters_database_blocks_everything(world: &mut World) {
    let other = MariaDb::start(world.dir(), &MariaDbOptions::default()).unwrap();
    other.load(Schema::AfterConsole).unwrap();
    other.fill().unwrap();
    other.account("ops", PASSWORD, Rights::All).unwrap();
    // Something is to be done, and is not.
    world.kill(3, "tarsnode");
    world.respec(|s| s.address = Some(other.address()));
    world.check("foreign-database", "blocked", 6);
    let plan = world.tarsops(["plan"]);
    plan.exits(6)
        .says("0 to add, 0 to change, 0 to remove")
        .says("none of them is in the spec");
    world.tarsops(["apply", "-y"]).exits(6);
    world.tarsops(["drift"]).exits(6);
    // Whatever the command is narrowed to.
    let narrow = world.tarsops(["apply", "-y", "--on", &world.node(3)]);
    narrow.exits(6).says("0 to add, 0 to change, 0 to remove");
    world.respec(|s| s.address = None);
    world.tarsops(["apply", "-y"]).exits(0);
    world.is_well();
}

fn rows_of_a_node_that_is_gone_go_when_nobody_answers(world: &mut World) {
    let node = world.node(4);
    world.respec(|s| s.overrides = vec![format!("{node} state: gone")]);
    // It lives: blocked, and nothing is touched.
    let alive = world.tarsops(["plan"]);
    alive
        .exits(6)
        .says("it should be gone, and something answers at its address");
    world.cluster.power_off(&node).unwrap();
    let fresh = world.tarsops(["plan"]);
    assert!(fresh.code == 6, "{}", fresh.out);
    world.sql(&format!(
        "UPDATE db_tars.t_node_info SET last_heartbeat = NOW() - INTERVAL 10 MINUTE WHERE node_name = '{node}'; \
         INSERT INTO db_tars.t_server_conf (application, server_name, node_name, setting_state, present_state, template_name, profile, posttime) \
         VALUES ('Shop', 'Cart', '{node}', 'active', 'active', 'tars.default', '', NOW())"
    ));
    let plan = world.tarsops(["plan"]);
    plan.exits(2).says("delete the 2 rows of ");
    world.tarsops(["apply", "-y"]).exits(0);
    let left = world.sql(&format!(
        "SELECT COUNT(*) FROM db_tars.t_node_info WHERE node_name = '{node}'; \
         SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '{node}'"
    ));
    assert_eq!(left, "0\n0\n");
    // What was deleted is on the master, for its owner only.
    let rows = world.tars(1).parent().unwrap().join(".tarsops/rows");
    let kept: Vec<_> = std::fs::read_dir(&rows).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1);
    let text = std::fs::read_to_string(kept[0].path()).unwrap();
    assert!(text.contains("'Cart'") && text.contains(&node), "{text}");
    world.is_well();
}

fn nodes_beyond_the_spec_and_an_open_default_account_are_told(world: &mut World) {
    world.database.installer_account().unwrap();
    world.sql("INSERT INTO db_tars.t_node_info (node_name, present_state) VALUES ('10.7.7.7', 'inactive')");
    world.check("default-password", "warning", 0);
    world.check("extra-nodes", "warning", 0).says("10.7.7.7");
    world
        .tarsops(["plan"])
        .exits(0)
        .says("extra: agent/10.7.7.7");
    // An ordinary look does not try to log in as somebody else.
    world.tarsops(["plan"]).hides("default");
}

fn a_node_under_another_nodeid_is_named_and_put_right(world: &mut World) {
    let script = world.tars(3).join("tarsnode/util/execute.sh");
    let text = std::fs::read_to_string(&script).unwrap();
    let nodeid = |n: usize| format!("--nodeid=\"{}\"", world.node(n));
    assert!(text.contains(&nodeid(3)));
    std::fs::write(&script, text.replace(&nodeid(3), &nodeid(4))).unwrap();
    world.kill(3, "tarsnode");
    let started = world
        .cluster
        .command(&world.node(3), Path::new("sh"))
        .unwrap()
        .arg(world.tars(3).join("tarsnode/util/start.sh"))
        .status();
    assert!(started.unwrap().success());
    wait_until("the copied agent", PATIENCE, || {
        !world.pids(3, "tarsnode").is_empty()
    });
    world
        .check("nodeid-twice", "drift", 2)
        .says("the one that registers last");
    world.tarsops(["apply", "-y"]);
    wait_until("both to be registered", PATIENCE, || {
        world.tarsops(["apply", "-y"]);
        world.tarsops(["check"]).code == 0
    });
}
