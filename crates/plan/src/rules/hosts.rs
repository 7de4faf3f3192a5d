//! Whether the hosts answer over SSH.

use tarsops_model::host::NodeState;

use super::facts::Facts;
use super::rule::{Outcome, Survey};

/// The line.
pub(super) static SURVEY: Survey = Survey {
    name: "hosts",
    meaning: "whether every host of the spec answers over SSH",
    judge,
};

fn judge(facts: &Facts<'_>) -> (Outcome, String) {
    let input = &facts.input;
    let (mut all, mut silent) = (0_usize, Vec::new());
    for (node, host) in input.desired.hosts() {
        let counts = matches!(host.state, NodeState::Present | NodeState::Absent { .. });
        if !counts || !input.scope.has_node(node) {
            continue;
        }
        all += 1;
        if let Some(why) = input.inventory.host(node).unknown() {
            silent.push(format!("{node}: {why}"));
        }
    }
    if all == 0 {
        let why = "no host should be there: each is in maintenance or gone";
        (Outcome::Skipped, why.to_owned())
    } else if silent.is_empty() {
        (Outcome::Ok, format!("{all} of {all} answer over SSH"))
    } else {
        (Outcome::Unknown, silent.join("; "))
    }
}
