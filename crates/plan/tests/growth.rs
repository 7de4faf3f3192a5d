//! What the planner costs grows with a cluster as the cluster does, whatever is to be done.
//!
//! Twice the nodes may take at most 2.3 times the time on the processor, in each phase of each kind of
//! work. The clock on the wall says nothing here: other work shares the machine.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::time::Duration;

use support::growth::{KINDS, Kind, PHASES, spent};

/// Nodes of the smaller cluster.
const NODES: usize = 300;
/// What twice the nodes may take.
const MOST: f64 = 2.3;
/// What takes less than this is not compared: it is short in a cluster of any size, and the kernel counts
/// in steps of some milliseconds.
const SHORT: Duration = Duration::from_millis(60);
/// How often a kind is tried until it is called slow.
const TRIES: usize = 5;

/// Time on the processor for each phase.
fn phases(kind: &Kind, nodes: usize) -> [Duration; PHASES.len()] {
    let case = (kind.make)(nodes);
    let mut out = [Duration::ZERO; PHASES.len()];
    let mut last = spent();
    case.walk(|phase, plan| {
        if phase == 0 {
            let expected = (kind.steps)(nodes);
            let near = plan.steps.len().abs_diff(expected) <= expected / 20 + 8;
            assert!(near, "{}: {} steps", kind.name, plan.steps.len());
        }
        let now = spent();
        out[phase] = now - last;
        last = now;
    });
    out
}

#[test]
fn twice_the_nodes_take_twice_the_time() {
    let mut slow = Vec::new();
    for kind in KINDS {
        let mut small = [Duration::MAX; PHASES.len()];
        let mut large = [Duration::MAX; PHASES.len()];
        let mut found = Vec::new();
        for _ in 0..TRIES {
            for (best, nodes) in [(&mut small, NODES), (&mut large, 2 * NODES)] {
                for (best, now) in best.iter_mut().zip(phases(kind, nodes)) {
                    *best = now.min(*best);
                }
            }
            found = (0..PHASES.len())
                .filter(|i| large[*i] > SHORT && large[*i] > small[*i].mul_f64(MOST))
                .map(|i| {
                    format!(
                        "{}, {}: {:.0?}, then {:.0?}",
                        kind.name, PHASES[i], small[i], large[i]
                    )
                })
                .collect();
            if found.is_empty() {
                break;
            }
        }
        println!("{}: {small:.0?}, then {large:.0?}", kind.name);
        slow.extend(found);
    }
    assert!(slow.is_empty(), "{slow:#?}");
}

/// Where steps are alike, each adds little to the document of a plan.
#[test]
fn a_step_takes_little_room_in_a_document() {
    for kind in KINDS {
        let plan = (kind.make)(200).plan();
        // What differs is told in full, whatever is done about it.
        let drift = serde_json::to_string(&plan.drift).unwrap();
        let text = plan.to_json().unwrap();
        let each = (text.len() - drift.len()) / plan.steps.len().max(1);
        println!("{}: {each} bytes a step", kind.name);
        if plan.steps.len() > 100 {
            assert!(each <= 1_500, "{}: {each} bytes a step", kind.name);
        }
    }
}
