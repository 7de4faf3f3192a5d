//! A framework host that leaves: its registry, its services, its tarsnode and their rows, in one run.

use crate::world::World;

/// The services of a slave beside tarsnode and tarsregistry.
const SERVICES: [&str; 4] = [
    "tarsconfig",
    "tarsnotify",
    "tarsquerystat",
    "tarsqueryproperty",
];

/// The second host is called absent, and its registry is no longer named.
fn leave(world: &mut World, more: &str) {
    let line = format!("{} state: absent{more}", world.node(2));
    let registry = format!("\"{}:17890\"", world.ip(1));
    world.respec(|s| {
        s.overrides = vec![line];
        s.registries = Some(registry);
    });
}

/// Rows of servers on the second host.
fn rows(world: &World) -> String {
    let node = world.node(2);
    world.sql(&format!(
        "SELECT (SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '{node}') + \
         (SELECT COUNT(*) FROM db_tars.t_adapter_conf WHERE node_name = '{node}') + \
         (SELECT COUNT(*) FROM db_tars.t_registry_info WHERE locator_id LIKE '{node}:%')"
    ))
}

#[test]
fn a_slave_leaves_in_one_run_and_comes_back() {
    let world = &mut World::new(3);
    // As an installed slave has it: cron watches both.
    let crontab = world.cluster.facts().hosts[1].crontab.clone();
    let monitor = |component: &str| {
        let tars = world.tars(2);
        format!("* * * * * {}/{component}/util/monitor.sh\n", tars.display())
    };
    let lines = format!("{}{}", monitor("tarsnode"), monitor("tarsregistry"));
    std::fs::write(&crontab, &lines).unwrap();
    let before = rows(world);
    assert_ne!(before, "0\n");

    // Nothing that runs is stopped without the word, and what would be is shown.
    leave(world, "");
    let plan = world.tarsops(["plan"]);
    plan.exits(6).tells("stop_servers: true");
    for service in SERVICES {
        plan.tells(&format!("tars.{service}"));
    }
    world.tarsops(["apply", "-y"]).exits(6);
    for service in SERVICES.into_iter().chain(["tarsnode", "tarsregistry"]) {
        assert_eq!(world.pids(2, service).len(), 1, "{service}");
    }

    leave(world, ", stop_servers: true");
    let plan = world.tarsops(["plan"]);
    plan.exits(2).hides("add it to `registry.endpoints`");
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0);
    for component in SERVICES.into_iter().chain(["tarsnode", "tarsregistry"]) {
        assert_eq!(world.pids(2, component), Vec::<i32>::new(), "{component}");
        assert!(!world.tars(2).join(component).exists(), "{component}");
        // The other one is left alone.
        let others = world.pids(1, component).len();
        assert_eq!(others, 1, "{component}");
    }
    assert_eq!(rows(world), "0\n");
    assert!(!crontab.exists());
    let at = format!("{} -p 17890", world.node(2));
    assert!(!world.locator(3).contains(&at), "{}", world.locator(3));
    world.tarsops(["plan"]).exits(0);
    world.tarsops(["drift"]).exits(0).is_quiet();

    // Back again: what was moved aside, what was deleted, and what cron watched.
    let history = world
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    let run = history["runs"][0]["run"].as_str().unwrap().to_owned();
    world.tarsops(["rollback", "-y", &run]).exits(0);
    assert_eq!(std::fs::read_to_string(&crontab).unwrap(), lines);
    world.respec(|s| {
        s.overrides = vec![];
        s.registries = None;
    });
    world.is_well();
    assert_eq!(rows(world), before);
    for component in SERVICES.into_iter().chain(["tarsnode", "tarsregistry"]) {
        assert_eq!(world.pids(2, component).len(), 1, "{component}");
    }
}
