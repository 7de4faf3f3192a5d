//! A replacement that dies before each of its lines, or whose host loses power there.

use std::collections::BTreeSet;

use super::super::*;
use super::world::{STATE, World};
use crate::replaced::{instrumented, line_of, place, run_id, some, while_it_waits};
use crate::scripts::container_files;

/// Lays the files of a change out as a launch does, and runs it; what it waits for is short.
fn act(world: &World, change: &ContainerChange, run: u64) {
    let (place, id) = (place(), run_id(run));
    let launch = ContainerLaunch {
        place: &place,
        run: &id,
        step: "s",
        change: change.sound().unwrap(),
        holder: "a test",
        intent: "{}",
        expires: None,
    };
    let folder = format!("{STATE}/runs/{id}/s");
    world.sh(&format!("umask 077; mkdir -p {folder} {STATE}/stage"));
    for (name, text) in container_files(&launch) {
        let text = match name {
            "change.sh" => instrumented(&text),
            _ => text,
        };
        let folder = if name == "guard.sh" { STATE } else { &folder };
        world.host.write(&format!("{folder}/{name}"), text).unwrap();
    }
    // It may end with its host.
    let _ = world.host.sh(&format!(
        "MYSQL_ROOT_PASSWORD=x setsid sh {folder}/change.sh act </dev/null >>{folder}/log 2>&1 || :"
    ));
}

fn verdict(world: &World) -> String {
    world.sh(&format!(
        "head -n 1 {STATE}/runs/*/s/verdict 2>/dev/null || :"
    ))
}

/// The lines that an undisturbed change passes, in the order of the script.
fn lines_of(world: &World, change: &ContainerChange) -> Vec<u32> {
    world.sh("rm -f /run/lines");
    act(world, change, 1);
    assert_eq!(verdict(world), "ok", "{}", world.log());
    let lines: BTreeSet<u32> = world
        .sh("cat /run/lines")
        .lines()
        .map(|l| l.parse().unwrap())
        .collect();
    lines.into_iter().collect()
}

/// After it has died, cron ends it, old or new, and the verdict says which.
fn ended(world: &World, at: &str) {
    world.cron();
    let version = world
        .sound()
        .unwrap_or_else(|fault| panic!("{at}: {fault}"));
    let verdict = verdict(world);
    let expected: &[&str] = match version {
        "3.0.18" => &["ok"],
        _ => &["rolled-back", "refused", ""],
    };
    assert!(
        expected.contains(&verdict.as_str()),
        "{at}: {version}, {verdict}\n{}",
        world.log()
    );
}

#[test]
fn killed_at_its_lines() {
    let world = World::new();
    let lines = lines_of(&world, &world.upgrade("3.0.18"));
    assert!(lines.len() > 120, "{} lines", lines.len());
    assert_eq!(world.sound(), Ok("3.0.18"));
    let lines = some(lines, 40);
    let mut reached = 0;
    for line in &lines {
        world.renew();
        world.sh(&format!("echo {line} kill >/run/kill"));
        act(&world, &world.upgrade("3.0.18"), 1);
        // Some lines are passed only where the new container takes its time.
        let missed = world.sh("ls /run/kill 2>/dev/null && rm /run/kill || :");
        reached += usize::from(missed.is_empty());
        ended(&world, &format!("line {line}"));
    }
    assert!(reached * 3 >= lines.len() * 2, "{reached} of {lines:?}");
}

/// The power fails between two of the commands that the engine gets.
#[test]
fn power_fails_at_its_steps() {
    let world = World::new();
    let (place, id) = (place(), run_id(1));
    let change = world.upgrade("3.0.18");
    let launch = ContainerLaunch {
        place: &place,
        run: &id,
        step: "s",
        change: change.sound().unwrap(),
        holder: "a test",
        intent: "{}",
        expires: None,
    };
    let [.., (_, script)] = container_files(&launch);
    let steps = [
        "stop_container \"$T_OLD\"",
        "rename_container \"$NEW_ID\" \"$T_NAME\"",
        "wait_healthy new",
        "set_policy \"$NEW_ID\" \"$T_POLICY\"",
    ];
    let lines = steps.map(|step| line_of(&script, step)).to_vec();
    for line in some(lines, 2) {
        world.renew();
        let change = world.upgrade("3.0.18");
        while_it_waits(&world.host, line, || act(&world, &change, 1));
        ended(&world, &format!("line {line}"));
    }
}
