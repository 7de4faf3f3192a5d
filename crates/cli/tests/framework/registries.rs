//! Registries that come and go, and what follows them.

use crate::world::{NEW, OLD, World};

/// One cluster for all: making one is what takes the time.
#[test]
fn registries_come_and_go() {
    let world = &mut World::new(4);
    a_registry_that_hangs_is_not_started_twice(world);
    a_registry_that_is_down_is_started(world);
    rows_of_a_registry_that_never_was_go_and_fresh_ones_stay(world);
    the_last_living_registry_stays(world);
    a_registry_leaves_with_its_rows_and_every_locator_follows_and_comes_back(world);
}

/// Down for good: nobody is there who would start it again.
fn take_down(world: &World, n: usize) {
    world.kill(n, "tarsnode");
    world.kill(n, "tarsregistry");
}

fn a_registry_that_is_down_is_started(world: &mut World) {
    take_down(world, 2);
    let found = world.check("registry-silent", "drift", 2);
    found.says("apply starts it");
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0).says("start tarsregistry");
    assert_eq!(world.pids(2, "tarsregistry").len(), 1);
    world.is_well();
}

fn a_registry_that_hangs_is_not_started_twice(world: &mut World) {
    world.freeze(2, "tarsregistry");
    world
        .check("registry-silent", "drift", 2)
        .says("gave no answer");
    let plan = world.tarsops(["plan"]);
    plan.exits(2).says("0 to add, 0 to change, 0 to remove");
    // With the other one, too, nobody could register: no tarsnode that works is stopped.
    world.freeze(1, "tarsregistry");
    world.respec(|s| s.version = NEW);
    let before = world.pids(3, "tarsnode");
    let blocked = world.tarsops(["apply", "-y"]);
    blocked.exits(6).says("no registry answers");
    assert_eq!(world.pids(3, "tarsnode"), before);
    world.respec(|s| s.version = OLD);
    world.thaw(1, "tarsregistry");
    world.thaw(2, "tarsregistry");
    world.is_well();
}

fn a_registry_leaves_with_its_rows_and_every_locator_follows_and_comes_back(world: &mut World) {
    let at = format!("{} -p 17890", world.node(2));
    assert!(world.locator(4).contains(&at));
    world.respec(|s| s.slave = false);
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("stop and remove the registry")
        .says("1 to remove");
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0).says("2 done");
    assert!(world.pids(2, "tarsregistry").is_empty());
    assert!(!world.tars(2).join("tarsregistry").exists());
    for n in 1..=4 {
        assert!(!world.locator(n).contains(&at), "{}", world.locator(n));
    }
    let node = world.node(2);
    let rows = format!(
        "SELECT (SELECT COUNT(*) FROM db_tars.t_registry_info WHERE locator_id LIKE '{node}:%') + \
         (SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '{node}' AND server_name = 'tarsregistry')"
    );
    assert_eq!(world.sql(&rows), "0\n");
    world.tarsops(["drift"]).exits(0).is_quiet();
    // The run is rolled back: the folder, the process, the rows.
    let history = world
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    let run = history["runs"][0]["run"].as_str().unwrap().to_owned();
    world.tarsops(["rollback", "-y", &run]).exits(0);
    world.respec(|s| s.slave = true);
    world.is_well();
    assert_eq!(world.sql(&rows), "4\n");
    assert!(world.locator(4).contains(&at));
}

fn the_last_living_registry_stays(world: &mut World) {
    // The spec names only the first registry, and that one hangs.
    world.respec(|s| s.slave = false);
    world.freeze(1, "tarsregistry");
    let plan = world.tarsops(["plan"]);
    plan.exits(6).says("no registry of the spec answers");
    world.tarsops(["apply", "-y"]).exits(6);
    assert_eq!(world.pids(2, "tarsregistry").len(), 1);
    world.thaw(1, "tarsregistry");
    world.respec(|s| s.slave = true);
    world.is_well();
}

fn rows_of_a_registry_that_never_was_go_and_fresh_ones_stay(world: &mut World) {
    world.sql(
        "INSERT INTO db_tars.t_registry_info (locator_id, servant, endpoint, last_heartbeat, present_state, tars_version) \
         VALUES ('127.99.99.9:17890', 'tars.tarsregistry.QueryObj', 'tcp -h 127.99.99.9 -p 17890', NOW(), 'active', '3.0.20')",
    );
    let fresh = world.tarsops(["plan"]);
    fresh
        .exits(2)
        .says("registry-not-in-spec")
        .says("0 to add, 0 to change, 0 to remove");
    world.sql(
        "UPDATE db_tars.t_registry_info SET last_heartbeat = NOW() - INTERVAL 1 HOUR WHERE locator_id = '127.99.99.9:17890'; \
         INSERT INTO db_tars.t_server_conf (application, server_name, node_name, setting_state, present_state, template_name, profile, posttime) \
         VALUES ('tars', 'tarsregistry', '127.99.99.9', 'active', 'active', 'tars.tarsregistry', '', NOW()); \
         INSERT INTO db_tars.t_adapter_conf (application, server_name, node_name, adapter_name, endpoint, servant) \
         VALUES ('tars', 'tarsregistry', '127.99.99.9', 'a', 'tcp -h 127.99.99.9 -t 60000 -p 17890', 'tars.tarsregistry.QueryObj')",
    );
    world.check("registry-gone", "drift", 2);
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0);
    let left = world.sql(
        "SELECT COUNT(*) FROM db_tars.t_registry_info WHERE locator_id LIKE '127.99%'; \
         SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '127.99.99.9'; \
         SELECT COUNT(*) FROM db_tars.t_adapter_conf WHERE node_name = '127.99.99.9'",
    );
    assert_eq!(left, "0\n0\n0\n");
    world.is_well();
}
