//! Whole runs of apply in worlds in memory, with faults: the real planner, checker and executor.
//!
//! A world that breaks a law is printed with its seed; `TARSOPS_SEED=SEED` runs that one alone, and
//! tells what happens in it. `TARSOPS_WORLDS` is how many worlds are tried.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "worlds/cluster.rs"]
mod cluster;
#[path = "../../plan/tests/support/mod.rs"]
mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tarsops_apply::execute::{Observer, Progress};
use tarsops_apply::sim::{Deaf, Fault, Life, Story, in_world};
use tarsops_model::desired::OnFailure;

/// Worlds in a run of the tests.
const WORLDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells what happens.
struct Teller(tokio::time::Instant);

impl Observer for Teller {
    fn event(&self, progress: &Progress<'_>) {
        let at = self.0.elapsed().as_secs_f64();
        match progress {
            Progress::Ended { end } => {
                eprintln!("{at:9.2} {} {:?} {:?}", end.step, end.verdict, end.log);
            }
            Progress::Acting { step, what, .. } => eprintln!("{at:9.2} {step}: {what}"),
            Progress::Reconnecting { node, why } => eprintln!("{at:9.2} {node}: {why}"),
            Progress::RollingBack { steps } => eprintln!("{at:9.2} takes {steps} back"),
            Progress::StillWaiting { node, why, .. } => eprintln!("{at:9.2} {node} waits: {why}"),
            _ => {}
        }
    }
}

fn live(seed: u64, faults: usize, tells: bool) -> Story {
    in_world(async {
        let world = cluster::world(seed);
        let life = Life { seed, faults };
        if tells {
            life.live(&world, &Teller(tokio::time::Instant::now()))
                .await
        } else {
            life.live(&world, &Deaf).await
        }
    })
}

#[test]
fn an_upgrade_without_faults_converges_in_one_run() {
    let story = live(number("TARSOPS_SEED").unwrap_or(1), 0, true);
    assert!(story.broken.is_empty(), "{story:#?}");
    assert_eq!(story.runs, ["converged ()", "nothing to do"]);
}

/// The new tarsnode of the last node does not start, so everything before it goes back.
#[test]
fn a_run_that_is_taken_back_leaves_what_it_found() {
    for seed in [1, 2, 3] {
        in_world(async {
            let world = cluster::world_that(seed, |policy| {
                policy.on_failure = OnFailure::RollbackAll;
            });
            let before = world.snapshot();
            let last = Fault::Dud {
                node: "10.0.1.20".parse().unwrap(),
            };
            let outcome = Life { seed, faults: 0 }
                .once(&world, vec![last], &Deaf)
                .await
                .unwrap();
            assert!(outcome.rolled_back.len() >= 8, "{outcome:#?}");
            assert!(
                outcome.rolled_back.iter().all(|e| e.verdict.is_good()),
                "{outcome:#?}"
            );
            assert_eq!(world.broken(), []);
            let after = world.snapshot();
            for (what, was) in &before {
                assert_eq!(after.get(what), Some(was), "seed {seed}: {what}");
            }
            assert_eq!(before.len(), after.len());
        });
    }
}

/// Seeds 26 and 47: what a tarsnode that was restarted and cannot register still has is its old row, which a
/// later run took for its new one; it removed the saved label, and the registration lost it.
#[test]
fn a_label_stays_saved_until_its_node_has_registered() {
    let seconds = Duration::from_secs;
    let unregistered = |node: &str| Fault::Unregistered {
        node: node.parse().unwrap(),
    };
    let silent_admin = Fault::MuteAdmin {
        from: seconds(285),
        lasts: seconds(372),
    };
    let lives = [
        (26, vec![unregistered("10.0.1.8"), silent_admin]),
        (
            47,
            vec![unregistered("10.0.1.2"), Fault::Lossy { one_in: 41 }],
        ),
    ];
    for (seed, faults) in lives {
        let story = in_world(async {
            let world = cluster::world(seed);
            Life { seed, faults: 0 }
                .live_with(&world, faults, &Deaf)
                .await
        });
        assert_eq!(story.broken, [], "{story:#?}");
    }
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in [3, 11, 42] {
        let (one, two) = (live(seed, 4, false), live(seed, 4, false));
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
    }
}

#[test]
fn no_world_breaks_a_law() {
    if let Some(seed) = number("TARSOPS_SEED") {
        let story = live(seed, 4, true);
        eprintln!("{story:#?}");
        assert!(story.broken.is_empty(), "{story:#?}");
        return;
    }
    let count = number("TARSOPS_WORLDS").unwrap_or(WORLDS);
    let first = number("TARSOPS_FIRST").unwrap_or(1);
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<(u64, Story)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let story = live(seed, 4, false);
                    if !story.broken.is_empty() {
                        failed.lock().unwrap().push((seed, story));
                    }
                }
            });
        }
    });
    eprintln!(
        "{count} worlds from {first} in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    for (seed, story) in &failed {
        eprintln!(
            "seed {seed}: {:?}\n  faults {:?}\n  runs {:#?}",
            story.broken, story.faults, story.runs
        );
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    assert!(
        seeds.is_empty(),
        "{} worlds break a law: {seeds:?}; TARSOPS_SEED=… runs one alone",
        seeds.len()
    );
}
