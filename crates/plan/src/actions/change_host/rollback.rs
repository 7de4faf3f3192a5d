//! Whether a change of a host rolls one run back and does nothing else: what is restored was saved by
//! that run on the same host, and lands where the spec has that host's component.

use tarsops_model::host::NodeState;
use tarsops_model::names::RunId;

use super::change::HostChange;
use super::operation::{Content, Folder, Operation, Restore};
use crate::actions::kind::StepView;
use crate::claims;
use crate::condition::Condition;
use crate::crontab::CrontabEdit;
use crate::stage::ChangeKind;

pub(super) fn check(
    step: &StepView<'_>,
    change: &HostChange,
    run: &RunId,
    say: &mut dyn FnMut(&str),
) {
    let (node, desired) = (&change.node, step.desired);
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
        restored(step, change, restore, run, say);
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
    step: &StepView<'_>,
    change: &HostChange,
    restore: &Restore,
    run: &RunId,
    say: &mut dyn FnMut(&str),
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
