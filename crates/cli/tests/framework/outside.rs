//! What a person sees while a run waits.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Ran, wait_until};
use crate::world::{NEW, PATIENCE, World};

/// `apply -y` of an upgrade; once host 3 changes, `damage` is done. Until the end it says what it waits
/// for.
fn apply_while(world: &World, damage: impl FnOnce()) -> Ran {
    let current = world.tars(3).parent().unwrap().join(".tarsops/current");
    let mut command = world.command(&["apply", "-y"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let child = command.spawn().unwrap();
    wait_until("host 3 changes", PATIENCE, || current.exists());
    damage();
    let out = child.wait_with_output().unwrap();
    Ran::new("apply -y".to_owned(), out, began.elapsed())
}

fn upgrade() -> World {
    let mut world = World::new(3);
    world.respec(|s| {
        s.version = NEW;
        s.deadline = "24s";
    });
    world
}

/// Lines about host 3 that say how long it is waited for.
fn waits<'a>(ran: &'a Ran, world: &World) -> Vec<&'a str> {
    let begin = format!("  {}: waiting, for at most ", world.node(3));
    let all = ran.err.lines().filter(|l| l.starts_with(&begin));
    all.collect()
}

#[test]
fn a_database_that_is_lost_in_the_middle_is_named_while_it_is_waited_for() {
    let mut world = upgrade();
    let database = &world.database;
    let ran = apply_while(&world, || database.freeze());
    database.thaw();
    ran.exits(8);
    let said = waits(&ran, &world);
    assert!(said.len() >= 2, "{}", ran.err);
    let last = said.last().unwrap();
    assert!(last.contains("could not be seen"), "{last}");
    world.respec(|_| {});
    wait_until("the framework is well again", PATIENCE, || {
        world.tarsops(["apply", "-y"]).code == 0
    });
}

/// So is anything else that does not come.
#[test]
fn an_admin_registry_that_is_frozen_in_the_middle_is_named() {
    let world = upgrade();
    let ran = apply_while(&world, || world.freeze(1, "tarsAdminRegistry"));
    world.thaw(1, "tarsAdminRegistry");
    assert_ne!(ran.code, 0, "{}", ran.err);
    assert!(waits(&ran, &world).len() >= 2, "{}", ran.err);
    assert!(ran.took > Duration::from_secs(20), "{:?}", ran.took);
}

/// Seconds of each stage of an apply: all of it, and what of it was settling.
fn stages(ran: &Ran) -> Vec<(String, f64, f64)> {
    let document = ran.json("tarsops.apply/1");
    let all = document["stages"].as_array().unwrap().iter();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let all = all.map(|s| {
        let seconds = |key: &str| s[key].as_f64().unwrap();
        (text(&s["stage"]), seconds("seconds"), seconds("settled"))
    });
    all.collect()
}

/// AdminRegistry starts what comes to a host: what that settles is no part of the work either.
#[test]
fn what_servers_settle_that_were_started_is_subtracted() {
    let mut world = World::master_only(3);
    world.respec(|s| s.slave = true);
    let expanded = world.tarsops(["apply", "-y", "--json"]);
    expanded.exits(0);
    let seen = stages(&expanded);
    let (_, took, settled) = seen.iter().find(|(name, ..)| name == "expansion").unwrap();
    // Five components, of a second or more each.
    assert!(*settled >= 5.0 && settled <= took, "{seen:?}");
}
