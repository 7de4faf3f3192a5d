//! The framework's image, replaced while an application asks both registries, and the rollback.

use crate::support::Ran;
use crate::world::{NEW, OLD, World};

/// What a start of a container resets and a replacement puts back, by what it is.
fn kept(world: &World) -> Vec<(&'static str, String)> {
    let of = |what: &'static str, statement: &str| (what, world.sql(statement));
    vec![
        of(
            "states",
            "SELECT node_name, server_name, setting_state, flow_state FROM db_tars.t_server_conf ORDER BY 1, 2",
        ),
        of(
            "profiles and templates of servers",
            "SELECT node_name, server_name, profile, template_name FROM db_tars.t_server_conf ORDER BY 1, 2",
        ),
        of(
            "threads and places of adapters",
            "SELECT node_name, adapter_name, thread_num, endpoint FROM db_tars.t_adapter_conf ORDER BY 1, 2",
        ),
        of(
            "labels and groups",
            "SELECT node_name, IFNULL(label, ''), group_id FROM db_tars.t_node_info ORDER BY 1",
        ),
        of(
            "templates",
            "SELECT template_name, parents_name, profile FROM db_tars.t_profile_template ORDER BY 1",
        ),
    ]
}

/// Rows that say another published version than this; there is none. That of tarslog is written on a new
/// database only.
fn of_another_version(world: &World, version: &str) -> String {
    world.sql(&format!(
        "SELECT node_name, server_name, patch_version FROM db_tars.t_server_conf WHERE patch_version <> '{version}' \
         AND server_name <> 'tarslog'"
    ))
}

/// Has the program change all containers while an application asks; nothing of what is kept differs.
fn changed(world: &World, version: &str, change: impl FnOnce() -> Ran) {
    let before = kept(world);
    let client = world.client();
    let ran = change();
    let asked = client.stop();
    ran.exits(0);
    assert!(asked.count > 200, "{} in {:?}", asked.count, ran.took);
    assert_eq!(asked.failed, Vec::<String>::new());
    for (before, after) in before.iter().zip(kept(world)) {
        assert_eq!(*before, after);
    }
    assert_eq!(of_another_version(world, version), "");
}

#[test]
fn an_upgrade_and_its_rollback_lose_nothing() {
    let world = World::new(3);
    world.is_well();
    let node = world.node(1);
    world.sql(&format!(
        "USE db_tars;
         UPDATE t_server_conf SET profile = '<tars>x</tars>' WHERE server_name = 'tarsproperty';
         UPDATE t_adapter_conf SET thread_num = 9 WHERE server_name = 'tarsproperty';
         UPDATE t_profile_template SET profile = CONCAT(profile, '# edited') WHERE template_name = 'tars.tarsstat';
         UPDATE t_node_info SET label = '{{\"rack\": \"a\"}}', group_id = 7 WHERE node_name = '{node}';"
    ));
    world.load(NEW);
    world.ask_for(NEW);
    changed(&world, NEW, || world.tarsops(["apply", "-y"]));
    world.is_well();

    let history = world.tarsops(["history", "--json"]);
    let history = history.json("tarsops.history/1");
    let run = history["runs"][0]["run"].as_str().unwrap().to_owned();
    changed(&world, OLD, || world.tarsops(["rollback", "-y", &run]));
    world.ask_for(OLD);
    world.is_well();
}
