//! A replacement that dies before each of its lines, or whose host loses power there.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::*;
use super::world::{PATIENCE, STATE, World, place, run_id};
use crate::scripts::container_files;

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
    let (mut inside, mut quoted) = (false, false);
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
        // The text of a here-document is no command.
        quoted &= !line.ends_with("_END");
        if inside && !continues && !closes && !quoted && !line.ends_with("_END") {
            out.push_str(&format!("K {}; ", number + 1));
        }
        quoted |= line.contains("<<") && line.ends_with("_END");
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
    let line_of = |step: &str| {
        let lines: Vec<&str> = script.lines().collect();
        let at = lines
            .iter()
            .position(|l| l.contains(step) && !l.trim_start().starts_with('#'));
        u32::try_from(at.unwrap() + 1).unwrap()
    };
    for step in some(steps.map(line_of).to_vec(), 2) {
        world.renew();
        let change = world.upgrade("3.0.18");
        world.sh(&format!("echo {step} wait >/run/kill"));
        std::thread::scope(|scope| {
            let acting = scope.spawn(|| act(&world, &change, 1));
            let end = Instant::now() + PATIENCE;
            while world.sh("ls /run/reached 2>/dev/null || :").is_empty() {
                assert!(Instant::now() < end, "line {step} is not reached");
                std::thread::sleep(Duration::from_millis(50));
            }
            world.host.kill();
            acting.join().unwrap();
        });
        world.host.start().unwrap();
        ended(&world, &format!("line {step}"));
    }
}
