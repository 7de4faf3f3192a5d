//! Whether a server is started only after its files and its rows exist, and before cron watches it.

use std::collections::BTreeMap;

use tarsops_model::names::NodeName;

use crate::actions::{Order, StartServer};
use crate::plan::{Plan, Step};
use crate::violation::{Violation, violation};

pub(super) fn check(plan: &Plan, found: &mut Vec<Violation>) {
    // What has to do with the start of a server works on its node.
    let mut on: BTreeMap<NodeName, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        if let Some(node) = step.action.kind().resource().node() {
            on.entry(node.clone()).or_default().push(step);
        }
    }
    for start in &plan.steps {
        let Some(StartServer { component, node }) = start.action.get() else {
            continue;
        };
        for step in on.get(node).into_iter().flatten() {
            let what = match step.action.kind().beside_start(*component, node) {
                Order::Before if step.batch >= start.batch => {
                    "it starts a server before its files and rows are there"
                }
                Order::After if step.batch <= start.batch => {
                    "cron would start the server before AdminRegistry does"
                }
                _ => continue,
            };
            found.push(violation(&start.id, what));
        }
    }
}
