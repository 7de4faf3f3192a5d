//! What heals by itself after a run is waited for, and told as such.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::world::{NEW, World};

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
    let ended = AtomicBool::new(false);
    // As long as the apply works, nothing reports it.
    let applied = std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(15) && !ended.load(Ordering::SeqCst) {
                world.sql(&inactive);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let applied = world.tarsops(["apply", "-y"]);
        ended.store(true, Ordering::SeqCst);
        applied
    });
    applied.exits(0).complains("what heals by itself");
    world.is_well();
}
