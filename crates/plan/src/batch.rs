//! Which steps are done at the same time, and the gates between them. Plans that bring a cluster to its
//! spec and plans that roll a run back are cut here alike.
//!
//! A host changes one thing at a time, by its own script. What is on different hosts may change
//! together, but never everything that answers of one servant.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tarsops_model::component::Component;
use tarsops_model::desired::Policy;
use tarsops_model::names::NodeName;

use crate::actions::HostChange;
use crate::endpoints::{Endpoints, Together, component_of};
use crate::input::PlanInput;
use crate::plan::{Gate, Step};

/// The steps of a plan in their batches.
#[derive(Default)]
pub(crate) struct Batches {
    pub(crate) endpoints: Endpoints,
    pub(crate) steps: Vec<Step>,
    pub(crate) gates: Vec<Gate>,
    last: u32,
}

impl Batches {
    /// No batches yet, of a cluster whose servants live where `input` says.
    pub(crate) fn of(input: &PlanInput<'_>) -> Self {
        Self {
            endpoints: Endpoints::of(input),
            ..Self::default()
        }
    }

    /// Cuts the steps of a stage into a canary, the batches of the ramp and those after it, with a gate
    /// after each.
    pub(crate) fn roll_out(&mut self, steps: Vec<Step>, policy: &Policy) {
        if steps.is_empty() {
            return;
        }
        let total = steps.len();
        let mut rest: VecDeque<Step> = steps.into();
        for number in 0.. {
            let batch = self.next_batch(&mut rest, policy.batch_size(number, total));
            if batch.is_empty() {
                break;
            }
            self.push(batch, policy);
        }
    }

    /// Adds steps that run together, with the gate after them. Each waits for the gate before.
    pub(crate) fn push(&mut self, mut batch: Vec<Step>, policy: &Policy) {
        let own = |s: &Step| s.action.get::<HostChange>()?.settle;
        let longest = batch.iter().filter_map(own).max().unwrap_or(0);
        let mut settle = policy.settle.max(longest);
        if batch.iter().any(|s| s.action.waits_for_registries()) {
            settle = settle.max(policy.registry_settle);
        }
        for step in &mut batch {
            if !self.endpoints.is_shared(step) {
                continue;
            }
            // What comes next may be the other endpoint of two.
            settle = settle.max(policy.registry_settle);
            if let Some(change) = step.action.get_mut::<HostChange>() {
                change.settle = Some(settle);
            }
        }
        self.last += 1;
        let needs: Vec<String> = self
            .gates
            .last()
            .map(|g| g.id.clone())
            .into_iter()
            .collect();
        for step in &mut batch {
            step.batch = self.last;
            step.needs.clone_from(&needs);
        }
        self.gates.push(Gate {
            id: format!("gate/{}", self.last),
            needs: batch.iter().map(|s| s.id.clone()).collect(),
            settle,
        });
        self.steps.append(&mut batch);
    }

    /// Up to `size` steps that may run together; those that would take the last endpoint of a
    /// servant with it wait for a later batch, in their order, and so do those of a host on which a
    /// script works: a host changes one thing at a time.
    fn next_batch(&self, rest: &mut VecDeque<Step>, size: usize) -> Vec<Step> {
        let mut batch = Vec::new();
        let mut later = Vec::new();
        let mut down: BTreeMap<usize, usize> = BTreeMap::new();
        // Whether a script works on a host of the batch.
        let mut hosts: BTreeMap<NodeName, bool> = BTreeMap::new();
        while batch.len() < size {
            let Some(step) = rest.pop_front() else { break };
            let scripted = is_scripted(&step);
            let node = step.resource.node();
            let meets = node
                .and_then(|node| hosts.get(node))
                .is_some_and(|other| *other || scripted);
            if meets || !batch.is_empty() && self.endpoints.clash(&down, &step) {
                later.push(step);
                continue;
            }
            for servant in self.endpoints.taken(&step) {
                *down.entry(servant).or_default() += 1;
            }
            if let Some(node) = node {
                *hosts.entry(node.clone()).or_default() |= scripted;
            }
            batch.push(step);
        }
        // What waits goes back to the front; what was not reached stays where it is.
        for step in later.into_iter().rev() {
            rest.push_front(step);
        }
        batch
    }
}

/// Whether the host's own script does the step.
fn is_scripted(step: &Step) -> bool {
    let change = step.action.get::<HostChange>();
    change.is_some_and(HostChange::is_scripted)
}

/// Cuts steps that roll services back into batches, each in the order in which they stand: at most one
/// step per host, at most `max_parallel` of the rollout, and never all endpoints that answer of one
/// servant.
///
/// There is no canary: what is restored has run on its host before. An endpoint that is not known to
/// answer counts for nothing: what lives waits until it is restored, too.
#[must_use]
pub fn of_rollback(input: &PlanInput<'_>, steps: Vec<Step>) -> Vec<Vec<Step>> {
    let parallel = input.desired.policy.max_parallel.of(steps.len()).max(1);
    let endpoints = Endpoints::of(input);
    let mut rest = VecDeque::from(steps);
    let mut out = Vec::new();
    while !rest.is_empty() {
        let mut batch: Vec<Step> = Vec::new();
        let mut hosts: BTreeSet<NodeName> = BTreeSet::new();
        let mut components: BTreeMap<Component, Together> = BTreeMap::new();
        let mut later = Vec::new();
        while batch.len() < parallel {
            let Some(step) = rest.pop_front() else { break };
            let component = component_of(&step);
            let others = component.and_then(|component| components.get(&component));
            let node = step.resource.node();
            let busy = node.is_none_or(|node| hosts.contains(node));
            let all_go = others.is_some_and(|others| endpoints.all_go(others, &step));
            if !batch.is_empty() && (busy || all_go) {
                later.push(step);
                continue;
            }
            if let Some(component) = component {
                endpoints.join(components.entry(component).or_default(), &step);
            }
            hosts.extend(node.cloned());
            batch.push(step);
        }
        out.push(batch);
        for step in later.into_iter().rev() {
            rest.push_front(step);
        }
    }
    out
}
