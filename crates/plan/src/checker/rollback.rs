//! Whether a plan rolls one run back and does nothing else: what is restored was saved by that run on the
//! same host, and lands where the spec has that host's component.

use std::collections::BTreeSet;

use tarsops_model::desired::Desired;
use tarsops_model::names::{NodeName, RunId};

use super::{endpoints, steps};
use crate::condition::{Condition, Truth};
use crate::database;
use crate::identity::{machines, stranger};
use crate::input::{PlanInput, Scope};
use crate::plan::Plan;
use crate::violation::{Violation, violation};

/// Looks at a rollback as it was made.
pub(super) fn check(plan: &Plan, run: &RunId, input: &PlanInput<'_>) -> Vec<Violation> {
    let mut found = shape(plan, run, input.desired, input.scope);
    if database::backup(input.inventory).is_some() {
        steps::backed_up(plan, &mut found);
    }
    endpoints::check(plan, input, &mut found);
    let machines = machines(input);
    for step in &plan.steps {
        let Some(node) = step.resource.node() else {
            continue;
        };
        if let Some(why) = stranger(input, node, &machines) {
            found.push(violation(&step.id, why));
        }
        for condition in &step.pre {
            // The rest is compared when its turn comes: what is rolled back before it changes it.
            let now = matches!(
                condition,
                Condition::Machine { .. } | Condition::Unfinished { .. } | Condition::File { .. }
            );
            if let (true, Truth::Fails(why)) = (now, condition.eval(node, input.inventory)) {
                found.push(violation(
                    &step.id,
                    format!("its precondition does not hold: {why}"),
                ));
            }
        }
    }
    found
}

/// What must be so whatever was seen.
pub(super) fn shape(plan: &Plan, run: &RunId, desired: &Desired, scope: &Scope) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut last = 0;
    let addresses = steps::addresses(desired);
    for step in &plan.steps {
        if !seen.insert(&step.id) {
            found.push(violation(&step.id, "the plan has it twice"));
        }
        if step.batch < last {
            found.push(violation(&step.id, "it comes after a later batch"));
        }
        last = step.batch;
        let mut say = |what: &str| found.push(violation(&step.id, what));
        if step.action.is_of_tables() {
            steps::of_its_action(step, scope, &mut say);
        } else {
            steps::works_there(step, scope, &mut say);
        }
        let view = steps::view(step, desired, scope, &addresses);
        step.action.kind().check_rollback(&view, run, &mut say);
    }
    batches(plan, desired, &mut found);
    found
}

fn batches(plan: &Plan, desired: &Desired, found: &mut Vec<Violation>) {
    let total = plan.steps.len();
    let parallel = desired.policy.max_parallel.of(total).max(1);
    for batch in plan.steps.chunk_by(|a, b| a.batch == b.batch) {
        let nodes: BTreeSet<&NodeName> = batch.iter().filter_map(|s| s.resource.node()).collect();
        let hosts = batch.iter().filter(|s| s.resource.node().is_some()).count();
        let number = format!("batch {}", batch[0].batch);
        if hosts > parallel || hosts != nodes.len() {
            found.push(violation(
                &number,
                format!("it changes {hosts} hosts at once, or one of them twice, and the spec allows {parallel}"),
            ));
        }
    }
    for gate in &plan.gates {
        if gate.settle < desired.policy.settle {
            found.push(violation(
                &gate.id,
                format!(
                    "it waits {} s, which is less than the spec says",
                    gate.settle
                ),
            ));
        }
    }
}
