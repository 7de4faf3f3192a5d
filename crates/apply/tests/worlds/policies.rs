//! What a rollout does by its policy: which hosts it touches, in which order, and what is left after a failure.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tarsops_apply::Outcome;
use tarsops_apply::execute::{Observer, Progress};
use tarsops_apply::sim::{Aim, Fault, Life, World, in_world};
use tarsops_model::desired::{Count, OnFailure, Policy};
use tarsops_plan::plan::Stage;

use crate::cluster::{Nodes, world_that};

/// The nodes of each batch on plain nodes, in the order in which they began.
#[derive(Default)]
struct Batches(Mutex<Vec<Vec<String>>>);

impl Observer for Batches {
    fn event(&self, progress: &Progress<'_>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Batch {
                stage: Stage::Agents,
                ..
            } => all.push(vec![]),
            Progress::Step { step } if step.stage == Stage::Agents => {
                let node = step.resource.node().unwrap().to_string();
                all.last_mut().unwrap().push(node);
            }
            _ => {}
        }
    }
}

/// One upgrade; its end, the batches on agents, and what the hosts have before and after.
fn upgrade(
    faults: Vec<Fault>,
    set: impl FnOnce(&mut Policy),
) -> (Result<Outcome, String>, Vec<Vec<String>>, World, Snapshots) {
    in_world(async {
        let world = world_that(7, Nodes::Stay, |policy| {
            policy.settle = 0;
            policy.deadline = 40;
            policy.canary = 1;
            policy.max_parallel = Count::Number(4);
            policy.max_unreachable = Count::Number(0);
            set(policy);
        });
        let before = world.snapshot();
        let batches = Batches::default();
        let life = Life {
            seed: 7,
            faults: 0,
            aim: Aim::Apply,
        };
        let outcome = life.once(&world, faults, &batches).await;
        assert_eq!(world.broken(), []);
        let after = world.snapshot();
        let batches = batches.0.into_inner().unwrap();
        (outcome, batches, world, (before, after))
    })
}

type Snapshots = (BTreeMap<String, String>, BTreeMap<String, String>);

/// The plain nodes whose program is another one than before.
fn changed((before, after): &Snapshots) -> Vec<String> {
    let program = |what: &&String| what.ends_with(" tarsnode/bin/tarsnode");
    let all = before.keys().filter(program);
    all.filter(|what| before.get(*what) != after.get(*what))
        .filter_map(|what| what.split_once(' '))
        .map(|(node, _)| node.to_owned())
        .filter(|node| node.starts_with("10.0.1."))
        .collect()
}

fn dud(node: &str) -> Vec<Fault> {
    vec![Fault::Dud {
        node: node.parse().unwrap(),
    }]
}

#[test]
fn the_canary_goes_first_and_then_so_many_at_once() {
    let (outcome, batches, ..) = upgrade(vec![], |policy| {
        policy.canary = 2;
        policy.max_parallel = Count::Number(7);
    });
    assert_eq!(outcome.unwrap().word(), "converged");
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes[0], 2, "{batches:?}");
    assert!(sizes.iter().all(|size| *size <= 7), "{batches:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 23, "{batches:?}");
    assert_eq!(batches.last().unwrap(), &["10.0.0.1"], "the master is last");
}

#[test]
fn a_failure_of_the_canary_stops_the_rollout() {
    let (outcome, batches, _, snapshots) = upgrade(dud("10.0.1.1"), |policy| {
        policy.on_failure = OnFailure::Rollback;
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.word(), "failed");
    assert_eq!(batches, [["10.0.1.1"]], "only the canary is touched");
    assert!(outcome.not_begun > 0);
    assert!(changed(&snapshots).is_empty());
    let canary = |all: &BTreeMap<String, String>| -> Vec<String> {
        let own = all.iter().filter(|(what, _)| what.contains("10.0.1.1 "));
        own.map(|(what, is)| format!("{what}: {is}")).collect()
    };
    assert_eq!(canary(&snapshots.0), canary(&snapshots.1));
}

/// The canary is well, and a later host is not; by what happens on a failure: which hosts are changed.
#[test]
fn a_failure_rolls_back_its_host_or_the_run_or_nothing() {
    let left = |on_failure| {
        let (outcome, _, _, snapshots) = upgrade(dud("10.0.1.3"), |policy| {
            policy.max_parallel = Count::Number(1);
            policy.on_failure = on_failure;
        });
        let outcome = outcome.unwrap();
        assert!(outcome.is_failed(), "{outcome:?}");
        assert!(!outcome.is_stuck(), "{outcome:?}");
        (changed(&snapshots), outcome.rolled_back.len())
    };
    let before: Vec<String> = left(OnFailure::Rollback).0;
    assert!(!before.is_empty() && !before.contains(&"10.0.1.3".to_owned()));
    let (stopped, rolled_back) = left(OnFailure::Stop);
    assert!(stopped.contains(&"10.0.1.3".to_owned()), "{stopped:?}");
    assert_eq!(stopped.len(), before.len() + 1);
    assert_eq!(rolled_back, 0);
    let (changed, rolled_back) = left(OnFailure::RollbackAll);
    assert_eq!(changed, [""; 0]);
    // The core services that went before them are among those that are rolled back.
    assert!(rolled_back > before.len(), "{rolled_back}");
}

#[test]
fn nothing_is_changed_while_more_hosts_are_silent_than_allowed() {
    let silent = |node: &str| Fault::Silent {
        node: node.parse().unwrap(),
        from: std::time::Duration::ZERO,
        lasts: std::time::Duration::from_secs(100_000),
    };
    let two = || vec![silent("10.0.1.5"), silent("10.0.1.9")];
    let (refused, batches, _, snapshots) = upgrade(two(), |policy| {
        policy.max_unreachable = Count::Number(1);
    });
    assert_eq!(refused.unwrap_err(), "Silent(2)");
    assert!(batches.is_empty());
    assert_eq!(snapshots.0, snapshots.1);
    let (outcome, _, _, snapshots) = upgrade(two(), |policy| {
        policy.max_unreachable = Count::Number(2);
    });
    assert!(outcome.is_ok());
    let changed = changed(&snapshots);
    assert_eq!(changed.len(), 18);
    assert!(!changed.contains(&"10.0.1.5".to_owned()));
}
