//! Whether a plan rolls one run back and does nothing else: what comes was kept by that run on the
//! same host, and lands where the spec has that host's component.

use std::collections::BTreeSet;

use tarsops_model::desired::Desired;
use tarsops_model::host::NodeState;
use tarsops_model::names::{NodeName, RunId};

use super::violation::{Violation, violation};
use super::{endpoints, tables};
use crate::action::{Action, Content, Folder, HostChange, Operation, Restore};
use crate::claims;
use crate::condition::{Condition, Truth};
use crate::crontab::CrontabEdit;
use crate::database;
use crate::input::{PlanInput, Scope};
use crate::plan::{ChangeKind, Plan, Step};
use crate::planner;

/// Looks at a rollback as it was made.
pub(super) fn check(plan: &Plan, run: &RunId, input: &PlanInput<'_>) -> Vec<Violation> {
    let mut found = shape(plan, run, input.desired, input.scope);
    if database::backup(input.inventory).is_some() {
        tables::backed_up(plan, &mut found);
    }
    endpoints::check(plan, input, &mut found);
    for step in &plan.steps {
        let Some(node) = step.resource.node() else {
            continue;
        };
        if let Some(why) = planner::stranger(input, node) {
            found.push(violation(&step.id, why));
        }
        for condition in &step.pre {
            // The rest is compared when its turn comes: what is rolled back before it changes it.
            let now = matches!(
                condition,
                Condition::Machine { .. } | Condition::Unfinished { .. } | Condition::File { .. }
            );
            if let (true, Truth::Fails(why)) = (now, condition.eval(node, input.inventory)) {
                found.push(violation(
                    &step.id,
                    format!("its precondition does not hold: {why}"),
                ));
            }
        }
    }
    found
}

/// What must be so whatever was seen.
pub(super) fn shape(plan: &Plan, run: &RunId, desired: &Desired, scope: &Scope) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut last = 0;
    for step in &plan.steps {
        if !seen.insert(&step.id) {
            found.push(violation(&step.id, "the plan has it twice"));
        }
        if step.batch < last {
            found.push(violation(&step.id, "it comes after a later batch"));
        }
        last = step.batch;
        match &step.action {
            Action::Backup { .. } => tables::shape(step, desired, &Scope::default(), &mut found),
            Action::RestoreTemplate { run: from, .. } => {
                tables::shape(step, desired, &Scope::default(), &mut found);
                if from != run {
                    found.push(violation(&step.id, "it uses what another run saved"));
                }
            }
            Action::ChangeHost(change) => host(step, change, run, desired, scope, &mut found),
            _ => found.push(violation(&step.id, "it does not roll anything back")),
        }
    }
    batches(plan, desired, &mut found);
    found
}

fn batches(plan: &Plan, desired: &Desired, found: &mut Vec<Violation>) {
    let total = plan.steps.len();
    let parallel = desired.policy.max_parallel.of(total).max(1);
    for batch in plan.steps.chunk_by(|a, b| a.batch == b.batch) {
        let nodes: BTreeSet<&NodeName> = batch.iter().filter_map(|s| s.resource.node()).collect();
        let hosts = batch.iter().filter(|s| s.resource.node().is_some()).count();
        let number = format!("batch {}", batch[0].batch);
        if hosts > parallel || hosts != nodes.len() {
            found.push(violation(
                &number,
                format!("it changes {hosts} hosts at once, or one of them twice, and the spec allows {parallel}"),
            ));
        }
    }
    for gate in &plan.gates {
        if gate.settle < desired.policy.settle {
            found.push(violation(
                &gate.id,
                format!(
                    "it waits {} s, which is less than the spec says",
                    gate.settle
                ),
            ));
        }
    }
}

fn host(
    step: &Step,
    change: &HostChange,
    run: &RunId,
    desired: &Desired,
    scope: &Scope,
    found: &mut Vec<Violation>,
) {
    let mut say = |what: &str| found.push(violation(&step.id, what));
    let node = &change.node;
    if step.resource != change.resource() {
        say("its action is on another node or component");
    }
    if !scope.has_node(node) {
        say("its node is not among those that were asked for");
    }
    let Some(host) = desired.host(node) else {
        return say("the spec has no such node");
    };
    if matches!(host.state, NodeState::Maintenance { .. } | NodeState::Gone) {
        say("its node must not be changed");
    }
    if change.undoes() != Some(run) {
        say("it rolls another run back, or none");
    }
    // What a record must fit, and this was made from one.
    if let Err(why) = claims::fits_host(change, node, desired) {
        say(&why.to_string());
    }
    if let Err(why) = claims::fits_user(&change.run_user, node, desired) {
        say(&why.to_string());
    }
    if let Operation::Restore(restore) = &change.operation {
        restored(step, change, restore, run, &mut say);
    } else if !change.rereads() {
        say("it does more than restore the old state");
    }
    let machine = Condition::Machine {
        id: change.machine_id.clone(),
    };
    if !step.pre.contains(&machine) || !step.pre.contains(&Condition::Unfinished { run: None }) {
        say("it does not check the machine, or that the host is idle");
    }
}

/// Whether a restore takes only what the run has saved there, and only for its own component.
fn restored(
    step: &Step,
    change: &HostChange,
    restore: &Restore,
    run: &RunId,
    say: &mut impl FnMut(&str),
) {
    let signs = match restore.folder {
        Folder::Create => step.sign == ChangeKind::Add,
        Folder::Remove => step.sign == ChangeKind::Remove,
        Folder::Keep => true,
    };
    if !signs || restore.folder != Folder::Keep && !restore.files.is_empty() {
        say("its sign is not that of its action");
    }
    for file in &restore.files {
        let saved = match &file.content {
            Content::Before { run: from, .. } => from == run,
            Content::None => true,
            Content::Package { .. } | Content::Text(_) => false,
        };
        if !saved || !claims::is_own_file(change.component, &file.path) {
            say("it writes a file that is not its component's, or that the run did not save");
        }
        if let Err(why) = claims::fits_modes(file) {
            say(&why.to_string());
        }
    }
    if let Some(crontab) = &restore.crontab {
        let saved = crontab.back.as_ref().is_some_and(|back| back.run == *run);
        if !saved || crontab.edit != CrontabEdit::default() {
            say("it writes a crontab that the run did not save");
        }
    }
}
