//! The core services, upgraded and rolled back while the framework is in use.

use std::time::Duration;

use tarsops_standin::standin::Behaviour;

use crate::support::client::Client;
use crate::support::wait_until;
use crate::world::{CORE, NEW, NEWER, OLD, World};

/// One cluster for all: making one is what takes the time.
#[test]
fn core_services() {
    let world = &mut World::with_core(4);
    a_whole_upgrade_never_leaves_a_name_unresolved(world);
    the_run_is_taken_back_in_the_other_order(world);
    a_registry_that_does_not_come_up_goes_back(world);
    an_unlisted_registry_is_rolled_back(world);
    a_service_that_ends_while_it_settles_goes_back(world);
    without_the_database_nothing_is_restarted(world);
    a_database_lost_in_the_middle_stops_the_run(world);
    what_somebody_stopped_gets_its_program_and_stays_stopped(world);
}

/// A measurement, not a test: 3 framework hosts and 20 nodes, what each stage takes.
#[test]
#[ignore = "a measurement of some minutes: run it by name, with --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "a measurement")]
fn a_whole_upgrade_of_twenty_three_hosts() {
    let world = &mut World::with_core_on(23, 2);
    world.respec(|s| {
        s.version = NEW;
        s.deadline = "60s";
    });
    let client = client(world);
    let applied = world.tarsops(["apply", "-y"]);
    let asked = client.stop().all_answered();
    applied.exits(0);
    println!(
        "{asked} names resolved, {:.1} s in all",
        applied.took.as_secs_f64()
    );
    for line in applied.err.lines().filter(|l| l.contains("of it settling")) {
        println!("{line}");
    }
    all_run(world);
}

/// A client that resolves over both registries.
pub(crate) fn client(world: &World) -> Client {
    Client::start([1, 2].map(|n| format!("{}:17890", world.node(n))))
}

/// What is on a host of each core service that it has.
fn programs(world: &World) -> Vec<String> {
    let mut all: Vec<String> = CORE.iter().map(|c| world.installed(1, c)).collect();
    all.extend(["tarsregistry", "tarsconfig"].map(|c| world.installed(2, c)));
    all
}

/// Each core service runs once, and from the file that is there.
#[track_caller]
pub(crate) fn all_run(world: &World) {
    for (n, component) in CORE
        .iter()
        .map(|c| (1, *c))
        .chain([(2, "tarsregistry"), (2, "tarsconfig")])
    {
        let pids = world.pids(n, component);
        let [pid] = pids.as_slice() else {
            panic!("{component} on host {n} runs as {pids:?}");
        };
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        let exe = exe.to_string_lossy();
        assert!(
            !exe.ends_with("(deleted)"),
            "{component} on host {n}: {exe}"
        );
    }
}

fn a_whole_upgrade_never_leaves_a_name_unresolved(world: &mut World) {
    let before = programs(world);
    world.respec(|s| s.version = NEW);
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("endpoints: 1 of 2 left of tars.tarsregistry.QueryObj")
        .says("10 to change");
    let client = client(world);
    let applied = world.tarsops(["apply", "-y"]);
    let asked = client.stop().all_answered();
    applied.exits(0).says("10 done");
    assert!(asked > 200, "{asked} questions in {:?}", applied.took);
    let after = programs(world);
    assert!(before.iter().zip(&after).all(|(a, b)| a != b));
    all_run(world);
    world.is_well();
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
}

fn the_run_is_taken_back_in_the_other_order(world: &mut World) {
    let history = world
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    let run = history["runs"][0]["run"].as_str().unwrap().to_owned();
    let client = client(world);
    let back = world.tarsops(["rollback", "-y", &run]);
    client.stop().all_answered();
    back.exits(0).says("4 of 4");
    let order: Vec<&str> = back.err.lines().filter(|l| l.contains("batch ")).collect();
    assert!(order.len() >= 8, "{order:#?}");
    world.respec(|s| s.version = OLD);
    all_run(world);
    world.is_well();
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
}

fn a_registry_that_does_not_come_up_goes_back(world: &mut World) {
    let before = programs(world);
    world.pack(&["tarsregistry"], NEWER, Behaviour::NeverListens);
    world.respec(|s| {
        s.version = NEWER;
        s.deadline = "5s";
    });
    let client = client(world);
    let failed = world.tarsops(["apply", "-y"]);
    client.stop().all_answered();
    failed
        .exits(8)
        .tells("does not listen")
        .tells("rolled back");
    // The second registry was never touched, nor anything after it.
    assert_eq!(programs(world), before);
    all_run(world);
    world.respec(|s| s.version = OLD);
    world.is_well();
}

fn an_unlisted_registry_is_rolled_back(world: &mut World) {
    let before = programs(world);
    world.pack(&["tarsregistry"], NEWER, Behaviour::Healthy);
    world.respec(|s| {
        s.version = NEWER;
        s.deadline = "5s";
    });
    // Whatever it writes of itself, the row says inactive.
    let node = world.node(1);
    for (name, event) in [("hide", "INSERT"), ("hide_again", "UPDATE")] {
        world.sql(&format!(
            "CREATE TRIGGER db_tars.{name} BEFORE {event} ON db_tars.t_registry_info FOR EACH ROW \
             SET NEW.present_state = IF(NEW.locator_id = '{node}:17890', 'inactive', NEW.present_state)"
        ));
    }
    let failed = world.tarsops(["apply", "-y"]);
    world.sql("DROP TRIGGER db_tars.hide; DROP TRIGGER db_tars.hide_again");
    failed.exits(8).tells("does not list the registry");
    // The host was healthy; that the run was not is remembered all the same.
    let history = world
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    let changes = history["runs"][0]["changes"].as_array().unwrap();
    let gate = |c: &serde_json::Value| c["gate"].as_str().unwrap().to_owned();
    assert!(
        changes
            .iter()
            .any(|c| gate(c).contains("does not list the registry")),
        "{changes:#?}"
    );
    // Neither the old nor the new one is listed as long as the rows cannot be written.
    world.respec(|s| s.version = OLD);
    wait_until("the rows are back", Duration::from_secs(60), || {
        world.tarsops(["apply", "-y"]).code == 0
    });
    assert_eq!(programs(world), before);
    all_run(world);
    world.is_well();
}

fn a_service_that_ends_while_it_settles_goes_back(world: &mut World) {
    world.pack(&["tarsregistry"], NEWER, Behaviour::Healthy);
    world.pack(&["tarsconfig"], NEWER, Behaviour::CrashAtStart);
    world.respec(|s| {
        s.version = NEWER;
        s.deadline = "5s";
    });
    let failed = world.tarsops(["apply", "-y"]);
    failed.exits(8).tells("tarsconfig").tells("rolled back");
    all_run(world);
    // What went before stays, as `rollback` says, and is plain to see.
    let plan = world.tarsops(["plan"]);
    plan.exits(2).says("server/tarsconfig");
    // Put right, it continues from there.
    world.pack(&["tarsconfig"], NEWER, Behaviour::Healthy);
    world.respec(|s| s.deadline = "45s");
    world.tarsops(["apply", "-y"]).exits(0);
    all_run(world);
    world.is_well();
}

fn without_the_database_nothing_is_restarted(world: &mut World) {
    let before: Vec<Vec<i32>> = CORE.iter().map(|c| world.pids(1, c)).collect();
    world.respec(|s| {
        s.version = OLD;
        s.framework = "  allow_downgrade: true\n";
    });
    world.database.freeze();
    let blind = world.tarsops(["apply", "-y"]);
    world.database.thaw();
    blind.exits(4);
    let after: Vec<Vec<i32>> = CORE.iter().map(|c| world.pids(1, c)).collect();
    assert_eq!(before, after);
    wait_until("the database", Duration::from_secs(60), || {
        world.tarsops(["check"]).code == 0
    });
}

fn a_database_lost_in_the_middle_stops_the_run(world: &mut World) {
    world.respec(|s| s.deadline = "5s");
    let run = std::thread::scope(|scope| {
        let apply = scope.spawn(|| world.tarsops(["apply", "-y"]));
        // The first registry is at work.
        wait_until("a change", Duration::from_secs(60), || {
            world
                .tars(1)
                .parent()
                .unwrap()
                .join(".tarsops/current")
                .exists()
        });
        world.database.freeze();
        apply.join().unwrap()
    });
    world.database.thaw();
    run.exits(8).tells("could not be seen");
    all_run(world);
    world.respec(|s| s.deadline = "45s");
    wait_until("the database", Duration::from_secs(60), || {
        world.tarsops(["plan"]).code == 2
    });
    world.tarsops(["apply", "-y"]).exits(0);
    all_run(world);
    world.is_well();
}

fn what_somebody_stopped_gets_its_program_and_stays_stopped(world: &mut World) {
    let node = world.node(1);
    world.cluster.stop_component(&node, "tarspatch").unwrap();
    wait_until("it stops", Duration::from_secs(60), || {
        world.pids(1, "tarspatch").is_empty()
    });
    let before = world.installed(1, "tarspatch");
    world.respec(|s| s.version = NEW);
    let applied = world.tarsops(["apply", "-y", "--on", "tarspatch"]);
    applied.exits(0).says("it is not started");
    assert!(world.pids(1, "tarspatch").is_empty());
    assert_ne!(world.installed(1, "tarspatch"), before);
}
