//! A change during which one command fails once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tarsops_model::names::RunId;

use super::super::change;
use super::world::{Kept, Kind, World, in_parallel};

/// Every program that the script calls. The end-to-end tests fill and freeze real disks.
const PROGRAMS: [&str; 26] = [
    "cat",
    "chmod",
    "chown",
    "cp",
    "crontab",
    "cut",
    "date",
    "dd",
    "find",
    "flock",
    "grep",
    "id",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "sync",
    "tail",
    "tr",
];

/// Puts a program before the real one that counts its calls and fails at one of them.
fn shim(world: &World, program: &str) {
    let path = world.path("shims").join(program);
    let real = if path.exists() {
        let beside = world.path("shims").join(format!("real-{program}"));
        fs::rename(&path, &beside).unwrap();
        beside
    } else {
        ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
            .iter()
            .map(|f| std::path::Path::new(f).join(program))
            .find(|p| p.exists())
            .unwrap_or_else(|| panic!("these tests need the program {program}"))
    };
    let text = format!(
        // Those of one pipeline run at once: a file for each call, so that no number comes twice.
        "#!/bin/sh\nn=0; read -r n 2>/dev/null <$HOST/calls; n=$((n + 1)); set -C\n\
         until true 2>/dev/null >$HOST/called/$n; do n=$((n + 1)); done\n\
         set +C; echo $n >$HOST/calls\n\
         [ $n != \"${{FAIL_AT:-0}}\" ] || exit 1\nexec {} \"$@\"\n",
        real.display()
    );
    fs::create_dir_all(world.path("called")).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn calls(world: &World) -> u32 {
    let files = fs::read_dir(world.path("called")).unwrap();
    u32::try_from(files.count()).unwrap()
}

fn run_id(n: u64) -> RunId {
    RunId::from_parts(n, 1)
}

fn script() -> String {
    change().replace("healthy any 2 ", "healthy any 0 ")
}

/// How often an undisturbed change calls the program.
fn counted(kind: Kind, program: &str) -> u32 {
    let world = World::new(kind, "dash");
    shim(&world, program);
    let folder = world.lay_out(&run_id(1), &script());
    world.run(&folder.join("change.sh"), "act", &[]);
    assert_eq!(world.sound(), Ok(Kept::New), "{program}: {}", world.log());
    calls(&world)
}

fn fail_at(kind: Kind, program: &str, call: u32) -> Result<(), String> {
    let at = |fault: String| format!("{kind:?}, call {call} of {program}: {fault}");
    let world = World::new(kind, "dash");
    shim(&world, program);
    let folder = world.lay_out(&run_id(1), &script());
    world.run(
        &folder.join("change.sh"),
        "act",
        &[("FAIL_AT", &call.to_string())],
    );
    world.cron();
    let kept = world.sound().map_err(at)?;
    let verdict = world.verdict(&run_id(1));
    if verdict.starts_with("stuck") || (kept == Kept::Old) == verdict.starts_with("ok") {
        return Err(at(format!(
            "{kept:?}, and the verdict is {verdict}\n{}",
            world.log()
        )));
    }
    if kept == Kept::Old && call % 3 == 1 {
        world.converges(&run_id(2)).map_err(at)?;
    }
    Ok(())
}

/// All calls of rare programs, and some spread over those of frequent ones.
fn fail_everywhere(kind: Kind, programs: &[&'static str]) {
    let mut cases: Vec<(&str, u32)> = Vec::new();
    for program in programs {
        let count = counted(kind, program);
        let stride = (count as usize).div_ceil(7).max(1);
        cases.extend((1..=count).step_by(stride).map(|call| (*program, call)));
    }
    assert!(cases.len() > programs.len(), "{cases:?}");
    in_parallel(&cases, |(program, call)| fail_at(kind, program, *call));
}

#[test]
fn a_command_fails_during_an_upgrade() {
    fail_everywhere(Kind::Upgrade, &PROGRAMS);
}

#[test]
fn a_command_fails_during_an_installation() {
    fail_everywhere(
        Kind::Install,
        &["chmod", "cp", "crontab", "mkdir", "mv", "rm", "stat"],
    );
}

#[test]
fn a_command_fails_during_a_removal() {
    fail_everywhere(
        Kind::Removal,
        &["cat", "crontab", "mv", "rm", "sed", "stat"],
    );
}
