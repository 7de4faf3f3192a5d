//! What heals by itself after a run is waited for, and told as such.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::world::{NEW, World};

const WAITS: &str = "contradictions that heal by themselves";

/// A service that runs and that the registry calls inactive until its tarsnode reports it again: the apply
/// that ends meanwhile waits, and ends well.
#[test]
fn an_apply_waits_for_a_service_that_its_tarsnode_reports() {
    let world = &mut World::new(3);
    let (two, three) = (world.node(2), world.node(3));
    let inactive = format!(
        "UPDATE db_tars.t_server_conf SET present_state = 'inactive' \
         WHERE node_name = '{two}' AND server_name = 'tarsconfig'"
    );
    world.sql(&inactive);
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("runs-inactive")
        .says("heals by itself within");
    let newer = format!("{three} version: {NEW}");
    world.respec(|s| s.overrides = vec![newer]);
    let world = &*world;
    // Nothing reports it until the apply has done its steps and says that it waits.
    let over = AtomicBool::new(false);
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                world.sql(&inactive);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let mut command = world.command(&["apply", "-y"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut apply = command.spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(apply.stderr.take().unwrap()).lines() {
            lines.push(line.unwrap());
            let waits = lines.last().is_some_and(|l| l.contains(WAITS));
            over.fetch_or(waits, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        assert_eq!(apply.wait().unwrap().code(), Some(0), "{lines:#?}");
        lines
    });
    assert!(lines.iter().any(|l| l.contains(WAITS)), "{lines:#?}");
    assert!(!lines.concat().contains("s3cret"), "{lines:#?}");
    world.is_well();
}
