//! Law 10: every precondition of every step holds when its turn comes.
//!
//! The steps are played on what was seen. A step may rest on what the steps before it do, and on nothing
//! that they undo. The steps of one batch run at the same time: what one of them rests on holds before
//! the batch, and whichever of the others has been done by then.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use crate::condition::Truth;
use crate::effect;
use crate::input::PlanInput;
use crate::plan::{Plan, Step};
use crate::violation::{Violation, violation};

pub(super) fn check(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    if plan.is_empty() {
        return;
    }
    let batches = plan
        .steps
        .chunk_by(|a, b| (a.stage, a.batch) == (b.stage, b.batch));
    // A condition is about its own node and the framework, so that only the nodes that steps have yet
    // to work on are held twice.
    let mut now = Inventory {
        observed_at: input.inventory.observed_at,
        resources: BTreeMap::new(),
        framework: input.inventory.framework.clone(),
    };
    let mut last: BTreeMap<&NodeName, usize> = BTreeMap::new();
    for (index, batch) in batches.clone().enumerate() {
        last.extend(nodes(batch, input).map(|node| (node, index)));
    }
    let mut begun: BTreeSet<&NodeName> = BTreeSet::new();
    for (index, batch) in batches.enumerate() {
        for node in nodes(batch, input).filter(|node| begun.insert(node)) {
            for id in resources(node) {
                if let Some(facts) = input.inventory.resources.get(&id) {
                    now.resources.insert(id, facts.clone());
                }
            }
        }
        for step in batch {
            holds(step, input, &now, found);
        }
        for (index, step) in batch.iter().enumerate() {
            if index > 0 {
                holds(step, input, &now, found);
            }
            effect::apply(&mut now, &step.action);
        }
        for node in nodes(batch, input).filter(|node| last.get(node) == Some(&index)) {
            for id in resources(node) {
                now.resources.remove(&id);
            }
        }
    }
}

/// The nodes that steps work on or are compared with.
fn nodes<'a>(batch: &'a [Step], input: &'a PlanInput<'_>) -> impl Iterator<Item = &'a NodeName> {
    batch.iter().filter_map(|step| node_of(step, input))
}

/// Everything that may have been seen of a node.
fn resources(node: &NodeName) -> impl Iterator<Item = ResourceId> {
    let servers = Component::ALL.into_iter();
    let servers = servers.map(|component| ResourceId::Server(component, node.clone()));
    let own = [
        ResourceId::Host(node.clone()),
        ResourceId::Agent(node.clone()),
        ResourceId::Container(node.clone()),
    ];
    own.into_iter().chain(servers)
}

/// The node that the conditions of a step are about; none where nobody may ask.
fn node_of<'a>(step: &'a Step, input: &'a PlanInput<'_>) -> Option<&'a NodeName> {
    match step.resource.node() {
        Some(node) => Some(node),
        // Conditions over the framework's rows name what they are about themselves.
        None if step.action.is_of_rows() || step.action.is_of_tables() => {
            Some(&input.desired.master)
        }
        None => None,
    }
}

fn holds(step: &Step, input: &PlanInput<'_>, now: &Inventory, found: &mut Vec<Violation>) {
    let Some(node) = node_of(step, input) else {
        return;
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
