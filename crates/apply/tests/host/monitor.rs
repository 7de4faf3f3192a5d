//! A monitor that starts the agent whenever it does not run, while a change is in progress.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tarsops_model::names::RunId;

use super::super::change;
use super::world::{Kept, Kind, World, in_parallel};

/// cron's monitor comes once a minute; three times within one change is more than that, at moments
/// that differ from round to round.
#[test]
fn a_monitor_that_starts_the_agent_in_between_does_no_harm() {
    let rounds: Vec<u64> = (0..12).collect();
    in_parallel(&rounds, |round| {
        let world = World::new(Kind::Upgrade, "dash");
        let over = AtomicBool::new(false);
        let run = RunId::from_parts(1, 1);
        let started = std::thread::scope(|scope| {
            let monitor = scope.spawn(|| {
                let start = world.path("app/tars/tarsnode/util/start.sh");
                let mut started = 0;
                while started < 3 && !over.load(Ordering::Relaxed) {
                    if world.running() == 0 {
                        std::thread::sleep(Duration::from_millis(round * 9));
                        let _ = world.command("sh").arg(&start).status();
                        started += 1;
                    }
                }
                started
            });
            let folder = world.lay_out(&run, &change());
            world.run(&folder.join("change.sh"), "act", &[]);
            over.store(true, Ordering::Relaxed);
            monitor.join().unwrap_or(0)
        });
        let at = |fault: String| format!("round {round}, started {started} times: {fault}");
        let kept = world.sound().map_err(at)?;
        if kept != Kept::New || !world.verdict(&run).starts_with("ok") {
            return Err(at(world.log()));
        }
        Ok(())
    });
}
