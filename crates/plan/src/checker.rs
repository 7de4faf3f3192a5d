//! An independent look at a whole plan before anything is done.
//!
//! It shares no decision with the planner: it takes the plan as a document and asks of it what must
//! be true of every plan, whoever made it. A saved plan that somebody edited goes through it too.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Role;
use tarsops_model::desired::Desired;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;

use crate::action::{Action, AgentChange, Folder};
use crate::condition::{Condition, Truth};
use crate::input::{PlanInput, Scope};
use crate::plan::{Plan, Stage};

/// What is wrong with a plan; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: {what}")]
pub struct Violation {
    /// The step, or the gate.
    pub step: String,
    /// What is wrong with it.
    pub what: String,
}

/// Looks at the plan as it was made.
///
/// # Errors
/// Every violation that was found.
pub fn check(plan: &Plan, input: &PlanInput<'_>) -> Result<(), Vec<Violation>> {
    let mut found = shape(plan, input.desired, input.scope);
    // A fresh plan rests on facts that hold now.
    for step in &plan.steps {
        let Some(node) = step.resource.node() else {
            continue;
        };
        for condition in &step.pre {
            if let Truth::Fails(why) | Truth::Unknown(why) = condition.eval(node, input.inventory) {
                found.push(violation(
                    &step.id,
                    format!("its precondition does not hold: {why}"),
                ));
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// Looks at a plan without an inventory, such as one that was read from a file.
///
/// # Errors
/// Every violation that was found.
pub fn check_document(plan: &Plan, desired: &Desired) -> Result<(), Vec<Violation>> {
    let found = shape(plan, desired, &Scope::default());
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn violation(step: &str, what: impl Into<String>) -> Violation {
    Violation {
        step: step.to_owned(),
        what: what.into(),
    }
}

fn shape(plan: &Plan, desired: &Desired, scope: &Scope) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut touched: BTreeMap<&NodeName, &str> = BTreeMap::new();
    let gates: BTreeMap<&str, &crate::plan::Gate> =
        plan.gates.iter().map(|g| (g.id.as_str(), g)).collect();
    let batch_of: BTreeMap<&str, u32> = plan
        .steps
        .iter()
        .map(|s| (s.id.as_str(), s.batch))
        .collect();
    let mut batches: BTreeMap<u32, usize> = BTreeMap::new();
    let mut last = (Stage::Recover, 0u32);
    for step in &plan.steps {
        if !seen.insert(&step.id) {
            found.push(violation(&step.id, "the plan has it twice"));
        }
        if (step.stage, step.batch) < last {
            found.push(violation(
                &step.id,
                "it stands after a later stage or batch",
            ));
        }
        last = (step.stage, step.batch);
        if step.stage != Stage::Recover {
            *batches.entry(step.batch).or_default() += 1;
        }
        for need in &step.needs {
            match gates.get(need.as_str()) {
                None => found.push(violation(
                    &step.id,
                    format!("it needs {need}, which does not exist"),
                )),
                Some(gate) => {
                    if gate
                        .needs
                        .iter()
                        .any(|n| batch_of.get(n.as_str()).is_none_or(|b| *b >= step.batch))
                    {
                        found.push(violation(
                            &step.id,
                            format!("it needs {need}, which comes later"),
                        ));
                    }
                }
            }
        }
        // From the second batch on, a step waits for the gate of the batch before.
        if step.batch > 1 && step.needs.is_empty() {
            found.push(violation(
                &step.id,
                "it waits for nobody, though a batch comes before it",
            ));
        }
        let Some(node) = step.resource.node() else {
            found.push(violation(&step.id, "it works on no node"));
            continue;
        };
        if let Some(other) = touched.insert(node, &step.id) {
            found.push(violation(
                &step.id,
                format!("{other} works on the same node"),
            ));
        }
        match &step.action {
            Action::Recover { node: target, .. } => {
                if target != node {
                    found.push(violation(&step.id, "its action is on another node"));
                }
            }
            Action::ChangeAgent(change) => {
                agent(&step.id, node, change, desired, scope, &mut found);
                let needs = [
                    matches!(step.pre.first(), Some(Condition::Machine { .. })),
                    step.pre.contains(&Condition::Unfinished { run: None }),
                    !step.post.is_empty(),
                ];
                if needs.contains(&false) {
                    found.push(violation(&step.id, "it does not make sure of the machine, of the host's rest, or of its own end"));
                }
            }
        }
    }
    let steps = plan
        .steps
        .iter()
        .filter(|s| s.stage != Stage::Recover)
        .count();
    let allowed = desired.policy.max_parallel.of(steps).max(1);
    for (batch, size) in batches {
        if size > allowed {
            found.push(violation(
                &format!("batch {batch}"),
                format!("it changes {size} hosts at once, and the spec allows {allowed}"),
            ));
        }
    }
    found
}

fn agent(
    id: &str,
    node: &NodeName,
    change: &AgentChange,
    desired: &Desired,
    scope: &Scope,
    found: &mut Vec<Violation>,
) {
    if change.node != *node {
        found.push(violation(id, "its action is on another node"));
    }
    if !scope.has_node(node) {
        found.push(violation(
            id,
            "its node is not among those that were asked for",
        ));
    }
    let Some(host) = desired.host(node) else {
        found.push(violation(id, "the spec has no such node"));
        return;
    };
    match &host.state {
        NodeState::Maintenance { .. } | NodeState::Gone => {
            found.push(violation(id, "its node must not be changed"));
        }
        NodeState::Absent { stop_servers } => {
            if change.folder == Folder::Create {
                found.push(violation(id, "it installs on a node that shall be absent"));
            }
            if change.stop_servers && !stop_servers {
                found.push(violation(id, "it stops servers without the spec's word"));
            }
        }
        NodeState::Present => {
            if change.folder == Folder::Remove || change.stop_servers {
                found.push(violation(
                    id,
                    "it removes from a node that shall be present",
                ));
            }
        }
    }
    if change.folder == Folder::Remove && host.role == Role::Master {
        found.push(violation(id, "it removes the master"));
    }
    let tars = desired
        .agent(node)
        .map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    if change.tars_path.as_str() != tars {
        found.push(violation(
            id,
            format!("it works in {}, not in {tars}", change.tars_path),
        ));
    }
    if change.nodeid != *node || change.ip != host.ip {
        found.push(violation(
            id,
            "it gives the host another nodeid or address than the spec's",
        ));
    }
    for file in &change.files {
        let bad = !file.path.starts_with("tarsnode/")
            || file
                .path
                .split('/')
                .any(|p| p.is_empty() || p == ".." || p == ".")
            || !file
                .path
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c));
        if bad {
            found.push(violation(
                id,
                format!("it writes {}, which is not tarsnode's", file.path),
            ));
        }
        if file.path.starts_with("tarsnode/data/") {
            found.push(violation(
                id,
                format!("it writes {}, which is data", file.path),
            ));
        }
    }
}

/// Law 8: no text of a plan asks for a rebuild. Looks at the whole document.
#[must_use]
pub fn asks_for_rebuild(document: &str) -> bool {
    let low = document.to_ascii_lowercase();
    low.match_indices("rebuild").any(|(at, word)| {
        let rest =
            low[at + word.len()..].trim_start_matches(|c: char| c == '"' || c.is_whitespace());
        let value = rest
            .strip_prefix(['=', ':'])
            .map(|r| r.trim_start_matches(|c: char| c == '"' || c == '\'' || c.is_whitespace()));
        value.is_some_and(|v| ["true", "yes", "1", "on"].iter().any(|t| v.starts_with(t)))
    })
}
