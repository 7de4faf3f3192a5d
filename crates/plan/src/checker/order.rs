//! Whether a server is started only after its files and its rows exist, and before cron watches it.

use crate::actions::{Order, StartServer};
use crate::plan::Plan;
use crate::violation::{Violation, violation};

pub(super) fn check(plan: &Plan, found: &mut Vec<Violation>) {
    for start in &plan.steps {
        let Some(StartServer { component, node }) = start.action.get() else {
            continue;
        };
        for step in &plan.steps {
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
