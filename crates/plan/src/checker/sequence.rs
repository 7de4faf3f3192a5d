//! Law 10: every precondition of every step holds when its turn comes.
//!
//! The steps are played on what was seen. A step may rest on what the steps before it do, and on nothing
//! that they undo. The steps of one batch run at the same time: what one of them rests on holds before
//! the batch, and whichever of the others has been done by then.

use tarsops_model::inventory::Inventory;

use crate::condition::Truth;
use crate::effect;
use crate::input::PlanInput;
use crate::plan::{Plan, Step};
use crate::violation::{Violation, violation};

pub(super) fn check(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    let mut now = input.inventory.clone();
    let batches = plan
        .steps
        .chunk_by(|a, b| (a.stage, a.batch) == (b.stage, b.batch));
    for batch in batches {
        for step in batch {
            holds(step, input, &now, found);
        }
        for (index, step) in batch.iter().enumerate() {
            if index > 0 {
                holds(step, input, &now, found);
            }
            effect::apply(&mut now, &step.action);
        }
    }
}

fn holds(step: &Step, input: &PlanInput<'_>, now: &Inventory, found: &mut Vec<Violation>) {
    let node = match step.resource.node() {
        Some(node) => node,
        // Conditions over the framework's rows name what they are about themselves.
        None if step.action.is_of_rows() || step.action.is_of_tables() => &input.desired.master,
        None => return,
    };
    for condition in &step.pre {
        if let Truth::Fails(why) | Truth::Unknown(why) = condition.eval(node, now) {
            let violation = violation(&step.id, format!("its precondition does not hold: {why}"));
            if !found.contains(&violation) {
                found.push(violation);
            }
        }
    }
}
