//! A replacement that dies before each of its lines, or whose host loses power there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::super::*;
use super::composed::{change, place, run_id};
use super::world::{Behaviour, PATIENCE, STATE, World};
use crate::scripts::console_files;

/// What the script does before each line: it says so in a file, and where it is told to, it dies, or waits
/// for the power to fail.
const POINT: &str = r#"
K() {
  k_s=$?
  echo "$1" >>/run/lines
  if [ -r /run/kill ] && read -r k_line k_how </run/kill && [ "$k_line" = "$1" ]; then
    rm -f /run/kill
    case "$k_how" in kill) kill -9 $$ ;; *) : >/run/reached; sleep 1000 ;; esac
  fi
  return $k_s
}
"#;

/// The script with a point before each line on which a command begins.
fn instrumented(text: &str) -> String {
    let mut out = String::new();
    let mut before = String::new();
    let (mut inside, mut quoted, mut other) = (false, false, false);
    for (number, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let first = body
            .split(|c: char| c.is_whitespace() || c == ';')
            .next()
            .unwrap_or_default();
        let continues = ["\\", "|", "||", "&&", "(", "in", ";;"]
            .iter()
            .any(|e| before.ends_with(e));
        let closes = ["then", "else", "elif", "do", "done", "fi", "esac", "read"].contains(&first)
            || body.starts_with(['}', ')', '|', '&', ';', '\'', '#'])
            || body.is_empty();
        // The text of a here-document is no command, and a program for Node is none of this shell.
        quoted &= !line.ends_with("_END");
        let begins = body.contains("='const ") && !line.ends_with('\'');
        if inside && !continues && !closes && !quoted && !other && !line.ends_with("_END") {
            out.push_str(&format!("K {}; ", number + 1));
        }
        quoted |= line.contains("<<") && line.ends_with("_END");
        other = (other || begins) && !line.ends_with('\'');
        out.push_str(line);
        out.push('\n');
        if line == "set -u" {
            out.push_str(POINT);
        }
        inside |= line.starts_with("cd / ||");
        if !body.starts_with('#') && !body.is_empty() {
            body.clone_into(&mut before);
        }
    }
    out
}

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

/// Every `stride`th line, as each costs seconds; all with `TARSOPS_EVERY_LINE`.
fn some(lines: Vec<u32>, stride: usize) -> Vec<u32> {
    let every = std::env::var_os("TARSOPS_EVERY_LINE").is_some();
    lines
        .into_iter()
        .step_by(if every { 1 } else { stride })
        .collect()
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
    let line_of = |step: &&str| {
        let lines: Vec<&str> = script.lines().collect();
        let at = lines
            .iter()
            .position(|l| l.contains(*step) && !l.trim_start().starts_with('#'));
        u32::try_from(at.unwrap_or_else(|| panic!("no line has {step}")) + 1).unwrap()
    };
    for step in steps.iter().map(line_of) {
        world.renew();
        let change = world.update(Behaviour::Healthy);
        world.sh(&format!("echo {step} wait >/run/kill"));
        std::thread::scope(|scope| {
            let acting = scope.spawn(|| act(&world, &change));
            let end = Instant::now() + PATIENCE;
            while world.sh("ls /run/reached 2>/dev/null || :").is_empty() {
                assert!(Instant::now() < end, "line {step} is not reached");
                std::thread::sleep(Duration::from_millis(50));
            }
            world.host.kill();
            acting.join().unwrap();
        });
        world.host.start().unwrap();
        if supervisor == Supervisor::Systemd {
            world.sh("mkdir -p /run/systemd/system; systemctl boot");
        }
        ended(&world, &format!("line {step}"));
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
