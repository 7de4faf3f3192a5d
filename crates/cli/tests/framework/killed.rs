//! The program is killed at every boundary of a whole upgrade, and within every step. Each time the
//! next apply converges, and a client that resolves names all the while notices nothing.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::core::{all_run, client};
use crate::world::{NEW, OLD, World};

/// How long after a step has begun it counts as being in the middle.
const WITHIN: Duration = Duration::from_millis(700);

/// Lines of all journals that this machine keeps.
fn events(world: &World) -> usize {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "jsonl") {
                out.push(path);
            }
        }
    }
    let mut all = Vec::new();
    walk(&world.dir().join("state"), &mut all);
    let text = |p: &PathBuf| std::fs::read_to_string(p).unwrap_or_default();
    all.iter().map(|p| text(p).lines().count()).sum()
}

/// Begins an apply and kills it once `after` events were written down, and `delay` later. Whether it
/// came so far.
fn kill_after(world: &World, after: usize, delay: Duration) -> bool {
    let before = events(world);
    let mut command = world.command(&["apply", "-y"]);
    command.stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    let mut child: Child = command.spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(180);
    let came = loop {
        let enough = events(world) >= before + after;
        if enough || child.try_wait().unwrap().is_some() {
            break enough;
        }
        assert!(Instant::now() < patience, "the apply does not get on");
        std::thread::sleep(Duration::from_millis(10));
    };
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap();
    came
}

#[test]
fn a_whole_upgrade_killed_at_every_boundary() {
    let world = &mut World::with_core(2);
    world.respec(|s| {
        s.framework = "  allow_downgrade: true\n";
        s.settle = "0s";
        s.registry_settle = "0s";
    });
    let client = client(world);
    let mut versions = [NEW, OLD].into_iter().cycle();
    let lease = world.tars(1).parent().unwrap().join(".tarsops/lease");
    // All of them take a quarter of an hour; every twelfth one is looked at otherwise.
    let every = std::env::var_os("TARSOPS_EVERY_KILL").is_some();
    let stride = if every { 1 } else { 12 };
    let mut after = 1;
    let mut killed = 0;
    loop {
        let delay = if after % 2 == 0 {
            WITHIN
        } else {
            Duration::ZERO
        };
        world.respec(|s| s.version = versions.next().unwrap());
        let came = kill_after(world, after, delay);
        // How a dead holder's lease runs out is another test; here it would only take time.
        let _ = std::fs::remove_file(&lease);
        world.tarsops(["apply", "-y"]).exits(0);
        all_run(world);
        world.tarsops(["plan"]).exits(0).says("Nothing to do");
        if !came {
            break;
        }
        killed += 1;
        after += stride;
    }
    // The run itself, then begun and succeeded for four services, two of them twice, and two nodes.
    let least = if every { 17 } else { 2 };
    assert!(killed >= least, "only {killed} boundaries were seen");
    client.stop().all_answered();
    world.is_well();
}
