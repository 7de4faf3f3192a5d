//! A node's step is done when the registry knows it and AdminRegistry reaches it, and not before.

use std::time::Duration;

use crate::support::until_asked;
use crate::world::{NEW, NEWER, World};

/// One cluster for all: making one is what takes the time.
#[test]
fn gates_ask_the_framework() {
    let world = &mut World::new(4);
    a_node_that_does_not_register_goes_back(world);
    what_cannot_be_asked_leaves_the_host_as_it_is(world);
}

fn a_node_that_does_not_register_goes_back(world: &mut World) {
    let node = world.node(3);
    let before = world.pids(3, "tarsnode");
    // The registry cannot write this node's row any more: its next registration fails.
    world.sql(&format!(
        "DELETE FROM db_tars.t_node_info WHERE node_name = '{node}'; \
         ALTER TABLE db_tars.t_node_info ADD CONSTRAINT refused CHECK (node_name <> '{node}')"
    ));
    world.respec(|s| {
        s.version = NEW;
        s.deadline = "4s";
    });
    let failed = world.tarsops(["apply", "-y", "--on", &node]);
    failed
        .exits(8)
        .tells("it has not registered")
        .tells("rolled back");
    assert!(failed.took < Duration::from_secs(60), "{:?}", failed.took);
    // The old version runs again, in another process.
    let after = world.pids(3, "tarsnode");
    assert_eq!(after.len(), 1);
    assert_ne!(after, before);
    world.sql("ALTER TABLE db_tars.t_node_info DROP CONSTRAINT refused");
    world.respec(|s| s.deadline = "45s");
    world.tarsops(["apply", "-y"]).exits(0);
    world.is_well();
}

fn what_cannot_be_asked_leaves_the_host_as_it_is(world: &mut World) {
    world.respec(|s| {
        s.version = NEWER;
        s.deadline = "4s";
    });
    // Asked when the plan is made, silent when the gate asks.
    let asked = until_asked(&world.command(&["apply"]));
    world.freeze(1, "tarsAdminRegistry");
    let failed = asked.types("yes\n");
    failed
        .exits(8)
        .tells("whether the framework is could not be seen within 4 s");
    failed.says("0 rolled back");
    world.thaw(1, "tarsAdminRegistry");
    world.tarsops(["apply", "-y"]).exits(0);
    world.is_well();
}
