//! Whether no batch is larger than the spec allows, and each waits for all of the one before.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::desired::{Desired, Policy};

use crate::actions::HostChange;
use crate::plan::{Gate, Plan, Stage, Step};
use crate::violation::{Violation, violation};

fn settle_of(step: &Step) -> Option<u64> {
    step.action.get::<HostChange>()?.settle
}

pub(super) fn check(plan: &Plan, desired: &Desired, found: &mut Vec<Violation>) {
    let gates: BTreeMap<&str, &Gate> = plan.gates.iter().map(|g| (g.id.as_str(), g)).collect();
    // The gates after a batch, by the first step that each waits for.
    let mut after: BTreeMap<&str, Vec<&Gate>> = BTreeMap::new();
    for gate in &plan.gates {
        if let Some(first) = gate.needs.first() {
            after.entry(first).or_default().push(gate);
        }
    }
    let mut all: BTreeMap<u32, Vec<&Step>> = BTreeMap::new();
    for step in plan.steps.iter().filter(|s| s.stage != Stage::Recover) {
        all.entry(step.batch).or_default().push(step);
    }
    let mut stages: BTreeMap<Stage, usize> = BTreeMap::new();
    for batch in all.values() {
        *stages.entry(batch[0].stage).or_default() += batch.len();
    }
    let mut before: Option<(Stage, BTreeSet<&str>)> = None;
    let (mut number, mut widest) = (0, 0);
    let entries = Policy {
        canary: 0,
        ..desired.policy.clone()
    };
    for (name, batch) in &all {
        let stage = batch[0].stage;
        let total = stages.get(&stage).copied().unwrap_or_default();
        let first = before.as_ref().is_none_or(|(s, _)| *s != stage);
        // The canary, then one entry of the ramp for each batch. What is published has a ramp of its own
        // after its rows, so that a batch may be as large as the entry of any before it.
        (number, widest) = if first { (0, 0) } else { (number + 1, widest) };
        widest = widest.max(entries.batch_size(number, total));
        let allowed = match number {
            0 => desired.policy.batch_size(0, total),
            _ => widest,
        };
        if batch.len() > allowed {
            found.push(violation(
                &format!("batch {name}"),
                format!(
                    "it changes {} hosts at once, and the spec allows {allowed}",
                    batch.len()
                ),
            ));
        }
        // A gate that does not wait would let the next batch go before this one has held.
        let longest = batch.iter().filter_map(|s| settle_of(s)).max();
        let row = batch.iter().any(|s| s.action.waits_for_registries());
        let row = if row {
            desired.policy.registry_settle
        } else {
            0
        };
        let least = desired.policy.settle.max(longest.unwrap_or(0)).max(row);
        let guards = batch.iter().filter_map(|s| after.get(s.id.as_str()));
        for gate in guards.flatten() {
            if gate.settle < least {
                found.push(violation(
                    &gate.id,
                    format!(
                        "it waits {} s, which is less than its steps need",
                        gate.settle
                    ),
                ));
            }
        }
        // Each gate is compared with the batch before once, however many steps wait for it.
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        for step in batch {
            waits(
                step,
                before.as_ref().map(|(_, s)| s),
                &gates,
                &mut known,
                found,
            );
        }
        before = Some((stage, batch.iter().map(|s| s.id.as_str()).collect()));
    }
}

/// Whether the step waits for a gate that holds exactly the batch before.
fn waits<'a>(
    step: &'a Step,
    before: Option<&BTreeSet<&str>>,
    gates: &BTreeMap<&str, &Gate>,
    known: &mut BTreeMap<&'a str, bool>,
    found: &mut Vec<Violation>,
) {
    let mut waited = before.is_none();
    for need in &step.needs {
        match gates.get(need.as_str()) {
            None => found.push(violation(
                &step.id,
                format!("it needs {need}, which does not exist"),
            )),
            Some(gate) => {
                waited |= *known.entry(need).or_insert_with(|| {
                    let holds: BTreeSet<&str> = gate.needs.iter().map(String::as_str).collect();
                    before == Some(&holds)
                });
            }
        }
    }
    if before.is_none() && !step.needs.is_empty() {
        found.push(violation(
            &step.id,
            "it waits, although nothing comes before it",
        ));
    }
    if !waited {
        found.push(violation(
            &step.id,
            "it does not wait for all of the batch before it",
        ));
    }
}
