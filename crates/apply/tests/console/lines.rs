//! A replacement that dies before each of its lines, or whose host loses power there.

use std::collections::BTreeSet;

use super::super::*;
use super::composed::change;
use super::world::{Behaviour, STATE, World};
use crate::replaced::{instrumented, line_of, place, run_id, some, while_it_waits};
use crate::scripts::console_files;

/// The files of a change, as a launch lays them out.
fn files(change: &ConsoleChange) -> [(&'static str, String); 6] {
    let (place, id) = (place(), run_id(1));
    console_files(&ConsoleLaunch {
        place: &place,
        run: &id,
        step: "s",
        change,
        holder: "a test",
        intent: "{}",
        expires: None,
    })
}

/// Lays the files of a change out as a launch does, and runs it.
fn act(world: &World, change: &ConsoleChange) {
    let folder = format!("{STATE}/runs/{}/s", run_id(1));
    world.sh(&format!("umask 077; mkdir -p {folder} {STATE}/stage"));
    for file in &change.configuration {
        if let Some(text) = &file.after {
            world
                .host
                .write(&format!("{STATE}/stage/{}", text.digest()), text.text())
                .unwrap();
        }
    }
    for (name, text) in files(change) {
        let text = match name {
            "change.sh" => instrumented(&text),
            _ => text,
        };
        let folder = if name == "guard.sh" { STATE } else { &folder };
        world.host.write(&format!("{folder}/{name}"), text).unwrap();
    }
    // It may end with its host.
    let _ = world.host.sh(&format!(
        "export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; setsid sh {folder}/change.sh act </dev/null >>{folder}/log 2>&1 || :"
    ));
}

fn verdict(world: &World) -> String {
    world.sh(&format!(
        "head -n 1 {STATE}/runs/*/s/verdict 2>/dev/null || :"
    ))
}

/// The lines that an undisturbed change passes, in the order of the script.
fn lines_of(world: &World, change: &ConsoleChange) -> Vec<u32> {
    world.sh("rm -f /run/lines");
    act(world, change);
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
    // What died before it began has left its payloads for the next change.
    world.sh(&format!(
        "[ -e {STATE}/runs/*/s/verdict ] || rm -rf {STATE}/stage"
    ));
    let version = world
        .sound()
        .unwrap_or_else(|fault| panic!("{at}: {fault}"));
    let verdict = verdict(world);
    let expected: &[&str] = match version {
        "3.0.15" => &["ok"],
        _ => &["rolled-back", "refused", ""],
    };
    assert!(
        expected.contains(&verdict.as_str()),
        "{at}: {version}, {verdict}\n{}",
        world.log()
    );
}

fn killed_at(supervisor: Supervisor, stride: usize) {
    let world = World::new(supervisor);
    let lines = lines_of(&world, &world.update(Behaviour::Healthy));
    assert!(lines.len() > 150, "{} lines", lines.len());
    assert_eq!(world.sound(), Ok("3.0.15"));
    let lines = some(lines, stride);
    let mut reached = 0;
    for line in &lines {
        world.renew();
        world.sh(&format!("echo {line} kill >/run/kill"));
        act(&world, &world.update(Behaviour::Healthy));
        // Some lines are passed only where the new console takes its time.
        let missed = world.sh("ls /run/kill 2>/dev/null && rm /run/kill || :");
        reached += usize::from(missed.is_empty());
        ended(&world, &format!("line {line}"));
    }
    assert!(reached * 3 >= lines.len() * 2, "{reached} of {lines:?}");
}

#[test]
fn killed_at_its_lines_without_a_supervisor() {
    killed_at(Supervisor::None, 40);
}

#[test]
fn killed_at_its_lines_under_pm2() {
    killed_at(Supervisor::Pm2, 100);
}

#[test]
fn killed_at_its_lines_under_a_unit() {
    killed_at(Supervisor::Systemd, 100);
}

/// The power fails between two of its steps. A unit may start the console, whichever it is, before the change is
/// ended.
fn power_fails(supervisor: Supervisor, steps: &[&str]) {
    let world = World::new(supervisor);
    let [.., (_, script)] = files(&change());
    for step in steps {
        world.renew();
        let change = world.update(Behaviour::Healthy);
        while_it_waits(&world.host, line_of(&script, step), || act(&world, &change));
        if supervisor == Supervisor::Systemd {
            world.sh("mkdir -p /run/systemd/system; systemctl boot");
        }
        ended(&world, step);
    }
}

/// Before the folders are moved, before the unit is written, before the start, and after the new one was found healthy.
const STEPS: [&str; 4] = [
    "move_folder \"$T_WEB\" \"$RETIRED\"",
    "put_unit \"$T_UNIT_TEXT\"",
    "start_console \"$T_SUPERVISOR\" || return 1",
    "set_phase \"done\"",
];

#[test]
fn power_fails_under_pm2() {
    power_fails(Supervisor::Pm2, &STEPS[2..4]);
}

#[test]
fn power_fails_under_a_unit() {
    power_fails(Supervisor::Systemd, &STEPS);
}
