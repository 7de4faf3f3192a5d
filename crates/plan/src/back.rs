//! Which services are taken back at the same time.
//!
//! A host changes one thing at a time, by its own script. What lies on different hosts may go back
//! together, but not the nodes of one service that are all that answers of it.

use std::collections::{BTreeSet, VecDeque};

use tarsops_model::names::NodeName;

use crate::endpoints::Endpoints;
use crate::input::PlanInput;
use crate::plan::Step;

/// Cuts steps that take services back into batches, each in the order in which they stand: at most one
/// step per host, at most `max_parallel` of the rollout, and never all endpoints that answer of one
/// servant. Whether a batch waits for the one before is the caller's affair.
///
/// There is no canary: what a service goes back to has run on its host before.
#[must_use]
pub fn batches(input: &PlanInput<'_>, steps: Vec<Step>) -> Vec<Vec<Step>> {
    let parallel = input.desired.policy.max_parallel.of(steps.len()).max(1);
    let endpoints = Endpoints::of(input);
    let mut rest = VecDeque::from(steps);
    let mut out = Vec::new();
    while !rest.is_empty() {
        let mut batch: Vec<Step> = Vec::new();
        let mut hosts: BTreeSet<NodeName> = BTreeSet::new();
        let mut later = VecDeque::new();
        for step in rest {
            let node = step.resource.node();
            let busy = node.is_none_or(|node| hosts.contains(node));
            if !batch.is_empty()
                && (busy || batch.len() == parallel || endpoints.all_go(&batch, &step))
            {
                later.push_back(step);
                continue;
            }
            hosts.extend(node.cloned());
            batch.push(step);
        }
        out.push(batch);
        rest = later;
    }
    out
}
