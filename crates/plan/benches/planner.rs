//! What the planner costs for ten, twenty and fifty thousand nodes, for every kind of work that a
//! cluster may have: making the plan, the checker's look at it, its text, its document, and a saved
//! plan that is read and narrowed. Needs nothing but this crate.
//!
//! Prints milliseconds on the processor and megabytes, each size of each kind in a process of its own. The memory
//! without the cluster itself, which is what spec and observed facts take, stands beside the whole.
//! Words after `--` are the kinds to measure, by a part of their names; sizes are numbers among them.
//! Ends with 1 above the limits: see [`MOST_TIME`], [`MOST_MEMORY`] and [`MOST_GROWTH`].
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::{Command, ExitCode};
use std::time::Duration;

use support::growth::{KINDS, PHASES, spent};

/// Sizes of clusters, in nodes; growth is compared between the first two.
const SIZES: [usize; 3] = [10_000, 20_000, 50_000];
/// Plan and check for each thousand nodes.
const MOST_TIME: Duration = Duration::from_millis(150);
/// Kilobytes for each node beyond spec and observed facts.
const MOST_MEMORY: u64 = 10;
/// What twice the nodes may take.
const MOST_GROWTH: f64 = 2.3;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, kind, nodes] = args.as_slice()
        && flag == "--one"
    {
        one(kind.parse().unwrap(), nodes.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let numbers = args.iter().filter_map(|word| word.parse().ok());
    let mut sizes: Vec<usize> = numbers.collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    let is_word = |word: &&String| !word.starts_with("--") && word.parse::<usize>().is_err();
    let words: Vec<&String> = args.iter().filter(is_word).collect();
    let mut good = true;
    for (number, kind) in KINDS.iter().enumerate() {
        if !words.is_empty() && !words.iter().any(|word| kind.name.contains(word.as_str())) {
            continue;
        }
        let mut before: Option<f64> = None;
        for nodes in &sizes {
            let (planned, memory) = measure(number, *nodes);
            let limit = MOST_TIME.as_secs_f64() * *nodes as f64;
            let growth = before.map(|before| planned / before);
            if planned > limit || memory > MOST_MEMORY * *nodes as u64 / 1024 {
                println!("too much");
                good = false;
            }
            if *nodes == SIZES[1] && growth.is_some_and(|growth| growth > MOST_GROWTH) {
                println!("it grows faster than the cluster");
                good = false;
            }
            before = Some(planned);
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Milliseconds of plan and check, and megabytes beyond the cluster, of one kind in a process of its
/// own.
fn measure(kind: usize, nodes: usize) -> (f64, u64) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--one", &kind.to_string(), &nodes.to_string()]);
    let out = child.output().unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8(out.stdout).unwrap();
    let (line, figures) = text.trim_end().rsplit_once('\n').unwrap();
    println!("{line}");
    let (planned, memory) = figures.split_once(' ').unwrap();
    (planned.parse().unwrap(), memory.parse().unwrap())
}

fn one(kind: usize, nodes: usize) {
    let kind = &KINDS[kind];
    let case = (kind.make)(nodes);
    let cluster = memory("VmRSS:");
    let mut phases = [0.0; PHASES.len()];
    let mut last = spent();
    let (mut steps, mut peak) = (0, 0);
    let json = case.walk(|phase, plan| {
        phases[phase] = (spent() - last).as_secs_f64() * 1000.0;
        steps = plan.steps.len();
        if phase == 2 {
            peak = memory("VmHWM:");
        }
        last = spent();
    });
    let words = PHASES.iter().zip(phases);
    let words: Vec<String> = words.map(|(name, ms)| format!("{name} {ms:.0}")).collect();
    println!(
        "{nodes} nodes, {}: {} ms; {cluster} MB of facts, {} MB more to plan, {} MB more to save; JSON {:.1} MB, {:.2} KB a step",
        kind.name,
        words.join(", "),
        peak.saturating_sub(cluster),
        memory("VmHWM:").saturating_sub(peak),
        json as f64 / 1e6,
        json as f64 / 1e3 / steps.max(1) as f64,
    );
    println!("{} {}", phases[0] + phases[1], peak.saturating_sub(cluster));
}

/// Megabytes, by a field of the status of this process.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(field));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}
