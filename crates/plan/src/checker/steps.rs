//! What must be so of each step, whatever its action.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;

use crate::actions::{Backup, StepView};
use crate::input::Scope;
use crate::plan::{Plan, Stage, Step};
use crate::violation::{Violation, violation};

/// The addresses of the nodes that are not gone.
pub(super) fn addresses(desired: &Desired) -> BTreeSet<IpAddr> {
    let there = |host: &&Host| host.state != NodeState::Gone;
    let hosts = desired.hosts().map(|(_, host)| host);
    hosts.filter(there).map(|host| host.ip).collect()
}

/// What the checks of its action see of a step.
pub(super) fn view<'a>(
    step: &'a Step,
    desired: &'a Desired,
    scope: &'a Scope,
    addresses: &'a BTreeSet<IpAddr>,
) -> StepView<'a> {
    StepView {
        stage: step.stage,
        sign: step.sign,
        pre: &step.pre,
        post: &step.post,
        desired,
        scope,
        addresses,
    }
}

/// Whether a step works on what its action works on, on a node that was asked for, and stands where its
/// action may.
pub(super) fn of_its_action(step: &Step, scope: &Scope, say: &mut dyn FnMut(&str)) {
    works_there(step, scope, say);
    let standing = step.action.kind().standing();
    if !standing.iter().any(|(stage, _)| *stage == step.stage) {
        say("its stage is not that of its action");
    } else if !standing.contains(&(step.stage, step.sign)) {
        say("its sign is not that of its action");
    }
}

/// Whether a step works on what its action works on, on a node that was asked for.
pub(super) fn works_there(step: &Step, scope: &Scope, say: &mut dyn FnMut(&str)) {
    if step.resource != step.action.kind().resource() {
        say("its action is on another node or component");
    }
    if step
        .resource
        .node()
        .is_some_and(|node| !scope.has_node(node))
    {
        say("its node is not among those that were asked for");
    }
}

/// Whether no other step works on the same component of the host. An unfinished change is of the whole
/// host; else each component has its own step.
pub(super) fn once<'a>(
    step: &'a Step,
    component: Option<Component>,
    touched: &mut BTreeMap<(&'a NodeName, Option<Component>), &'a str>,
    say: &mut dyn FnMut(&str),
) {
    let Some(node) = step.resource.node() else {
        return say("it works on no node");
    };
    let mut before = touched.get(&(node, None)).copied();
    let key = (node, component);
    // An expansion has several steps for one component; nothing else works on it.
    if step.stage == Stage::Expansion {
        before = before.or_else(|| touched.get(&key).copied());
    } else {
        before = touched.insert(key, &step.id).or(before);
    }
    if let Some(other) = before {
        say(&format!("{other} works on the same node"));
    }
}

/// Whether the host of a step may be changed at all.
pub(super) fn may_be_changed(step: &Step, desired: &Desired, say: &mut dyn FnMut(&str)) {
    let Some(node) = step.resource.node() else {
        return;
    };
    match desired.host(node).map(|h| &h.state) {
        None => say("the spec has no such node"),
        Some(NodeState::Maintenance { .. } | NodeState::Gone) => {
            say("its node must not be changed");
        }
        Some(NodeState::Present | NodeState::Absent { .. }) => {}
    }
}

/// Whether everything that changes the database comes after a backup of it.
pub(super) fn backed_up(plan: &Plan, found: &mut Vec<Violation>) {
    let mut saved = false;
    for step in &plan.steps {
        saved |= step.action.get::<Backup>().is_some();
        if step.changes_database() && !saved {
            found.push(violation(
                &step.id,
                "it changes the database without a backup before it",
            ));
        }
    }
}
