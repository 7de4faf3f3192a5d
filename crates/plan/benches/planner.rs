//! What the planner costs for ten thousand nodes: making the plan, the checker's look at it, and
//! its text; with everything in sync, with an upgrade everywhere, and with an installation
//! everywhere. Needs nothing but this crate.
//!
//! Prints milliseconds (the best of three) and the resident memory of the whole process, spec and
//! observed facts included; ends with 1 above one second or 300 MB.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use support::{World, version};
use tarsops_model::desired::Count;
use tarsops_plan::render::{self, Style};
use tarsops_plan::{checker, make_plan};

const NODES: usize = 10_000;
const ROUNDS: usize = 3;
const MOST_TIME: Duration = Duration::from_secs(1);
const MOST_MEMORY: u64 = 300;

fn main() -> ExitCode {
    let mut good = true;
    type Change = fn(&mut World);
    let cases: [(&str, usize, Change); 4] = [
        ("in sync", 0, |_| {}),
        ("upgrade, batches of 10", NODES, |w| {
            w.agents().for_each(|a| a.version = version("3.0.18"));
        }),
        ("upgrade, batches of half", NODES, |w| {
            w.agents().for_each(|a| a.version = version("3.0.18"));
            w.desired.policy.max_parallel = Count::Number(5_000);
        }),
        ("installation", NODES, |w| {
            (0..NODES).for_each(|i| w.uninstall(i));
        }),
    ];
    for (name, steps, change) in cases {
        let mut world = World::new(NODES);
        change(&mut world);
        let mut best = [Duration::MAX; 3];
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let plan = make_plan(&world.input());
            let made = began.elapsed();
            assert_eq!(plan.steps.len(), steps, "{name}");
            let began = Instant::now();
            checker::check(&plan, &world.input()).unwrap();
            let checked = began.elapsed();
            let began = Instant::now();
            assert!(!render::text(&plan, Style::default()).is_empty());
            let told = began.elapsed();
            for (best, now) in best.iter_mut().zip([made, checked, told]) {
                *best = now.min(*best);
            }
        }
        let all: Duration = best.iter().sum();
        let [made, checked, told] = best.map(|d| d.as_secs_f64() * 1000.0);
        println!(
            "{NODES} nodes, {name}: plan {made:.0} ms, check {checked:.0} ms, text {told:.0} ms"
        );
        good &= all < MOST_TIME;
    }
    let memory = peak_memory();
    println!("resident at most: {memory} MB (limits: {MOST_TIME:?} and {MOST_MEMORY} MB)");
    if good && memory < MOST_MEMORY {
        ExitCode::SUCCESS
    } else {
        println!("too much");
        ExitCode::FAILURE
    }
}

/// Megabytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}
