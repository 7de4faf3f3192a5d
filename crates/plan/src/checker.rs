//! An independent look at a whole plan before anything is done.
//!
//! It shares no decision with the planner: it takes the plan as a document and asks of it what must
//! be true of every plan, whoever made it. What a saved plan leaves of a plan goes through it, too.

mod batches;
mod containers;
mod endpoints;
mod order;
mod rollback;
mod sequence;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::names::NodeName;

pub use crate::violation::Violation;
use crate::violation::violation;

use crate::input::{PlanInput, Scope};
use crate::plan::{Plan, Stage};

/// Looks at the plan as it was made.
///
/// # Errors
/// Every violation that was found.
pub fn check(plan: &Plan, input: &PlanInput<'_>) -> Result<(), Vec<Violation>> {
    if let Some(run) = &plan.rolls_back {
        let mut found = rollback::check(plan, run, input);
        containers::check(plan, input, &mut found);
        return if found.is_empty() { Ok(()) } else { Err(found) };
    }
    let mut found = shape(plan, input.desired, input.scope);
    endpoints::check(plan, input, &mut found);
    sequence::check(plan, input, &mut found);
    containers::check(plan, input, &mut found);
    for step in &plan.steps {
        let mut say = |what: &str| found.push(violation(&step.id, what));
        step.action.kind().check_pins(input, &mut say);
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// Looks at a plan without an inventory: at what must be so whatever was seen.
///
/// # Errors
/// Every violation that was found.
pub fn check_document(plan: &Plan, desired: &Desired) -> Result<(), Vec<Violation>> {
    let found = match Scope::parse(&plan.on, desired) {
        Ok(scope) => match &plan.rolls_back {
            Some(run) => rollback::shape(plan, run, desired, &scope),
            None => shape(plan, desired, &scope),
        },
        Err(e) => vec![violation("on", e.to_string())],
    };
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn shape(plan: &Plan, desired: &Desired, scope: &Scope) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut touched: BTreeMap<(&NodeName, Option<Component>), &str> = BTreeMap::new();
    let mut last = (Stage::Recover, 0u32);
    let addresses = steps::addresses(desired);
    for step in &plan.steps {
        if !seen.insert(&step.id) {
            found.push(violation(&step.id, "the plan has it twice"));
        }
        if (step.stage, step.batch) < last {
            found.push(violation(&step.id, "it comes after a later stage or batch"));
        }
        last = (step.stage, step.batch);
        let mut say = |what: &str| found.push(violation(&step.id, what));
        steps::of_its_action(step, scope, &mut say);
        if step.undo != step.action.undo(step.sign) {
            say("its undo is not that of its action");
        }
        if let Some(host) = step.action.on_host() {
            steps::once(step, host.component, &mut touched, &mut say);
            steps::may_be_changed(step, desired, &mut say);
        }
        let view = steps::view(step, desired, scope, &addresses);
        step.action.kind().check(&view, &mut say);
    }
    steps::backed_up(plan, &mut found);
    batches::check(plan, desired, &mut found);
    order::check(plan, &mut found);
    found
}

/// Law 8: no text of a plan asks for a rebuild. Looks at the whole document.
#[must_use]
pub fn asks_for_rebuild(document: &str) -> bool {
    let low = document.to_ascii_lowercase();
    // Between the word and its value may stand quotes, escaped ones too, and what shells put there.
    let between = |c: char| "\"'\\".contains(c) || c.is_whitespace();
    low.match_indices("rebuild").any(|(at, word)| {
        let rest = low[at + word.len()..].trim_start_matches(between);
        let Some(value) = rest.strip_prefix(['=', ':']) else {
            return false;
        };
        let value = value.trim_start_matches(|c: char| between(c) || "=:-".contains(c));
        let end = value.find(|c: char| !c.is_ascii_alphanumeric());
        matches!(
            &value[..end.unwrap_or(value.len())],
            "true" | "t" | "yes" | "y" | "1" | "on"
        )
    })
}
