//! Rows that change with their server: written before it is started anew, put back with it.
//!
//! Between the two a run may be cut off. Where no program comes, by which the next plan would see
//! it, the host keeps a mark until the server has been started anew.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_plan::action::{Action, AgentChange, RowEdit};
use tarsops_plan::plan::Step;
use tarsops_transport::Remote;

use crate::execute::{Run, Unedited};
use crate::scripts;
use crate::step::{StepEnd, Verdict};

/// How long a host may take for a small file.
const NOTE: Duration = Duration::from_secs(30);

/// Writes the rows of `change`, with a mark on its host where there is a connection to it.
pub(crate) async fn make(
    run: &Run<'_>,
    remote: Option<&dyn Remote>,
    change: &AgentChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    if change.rows.is_empty() {
        return Ok(());
    }
    if let Some(remote) = remote {
        mark(run, remote, &change.node, change.component, true)
            .await
            .map_err(|why| {
                Verdict::NotStarted(format!(
                    "the host could not keep a note of the restart that it owes: {why}"
                ))
            })?;
    }
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    end.edited = true;
    match run.watch.edit(&change.rows).await {
        Ok(0) => Ok(()),
        Ok(count) => {
            let rows = if count == 1 { "row" } else { "rows" };
            end.log.push(format!("{count} {rows} changed"));
            Ok(())
        }
        Err(Unedited::Moved(why)) => Err(Verdict::Moved(why)),
        Err(Unedited::Failed(why)) => Err(Verdict::NotStarted(format!(
            "the rows of {} could not be changed: {why}",
            change.component
        ))),
    }
}

/// After a step that changed rows: those of a server that was not touched are put back.
pub(crate) async fn settle(run: &Run<'_>, step: &Step, node: &NodeName, end: &mut StepEnd) {
    let Action::ChangeAgent(change) = &step.action else {
        return;
    };
    if !end.edited {
        return;
    }
    match end.verdict.clone() {
        // The host's script has taken the mark away.
        Verdict::Done | Verdict::AlreadyDone => {}
        // A way back is not taken back.
        _ if change.lenient => {}
        Verdict::Moved(_) | Verdict::Refused(_) | Verdict::NotStarted(_) | Verdict::NoLease(_) => {
            let back: Vec<RowEdit> = change.rows.iter().map(RowEdit::back).collect();
            match run.watch.edit(&back).await {
                Ok(count) => {
                    if count > 0 {
                        end.log.push("its rows are as they were".to_owned());
                    }
                    unmark(run, node, change, end).await;
                }
                Err(Unedited::Moved(why) | Unedited::Failed(why)) => end.log.push(format!(
                    "its rows are changed, and {} was not started anew: {why}; the next plan tells what they differ in",
                    change.component
                )),
            }
        }
        // What was begun on the host goes back as a whole, with its rows, or not at all.
        Verdict::RolledBack(_)
        | Verdict::LeftFailed(_)
        | Verdict::Stuck(_)
        | Verdict::Silent(_) => end.log.push("its rows stay changed".to_owned()),
    }
}

async fn unmark(run: &Run<'_>, node: &NodeName, change: &AgentChange, end: &mut StepEnd) {
    if change.publish.is_some() {
        return;
    }
    let gone = match run.connect.connect(node).await {
        Ok(remote) => mark(run, &*remote, node, change.component, false).await,
        Err(fault) => Err(fault.text),
    };
    if let Err(why) = gone {
        end.log.push(format!(
            "the note that it owes a restart could not be taken away, which costs one: {why}"
        ));
    }
}

async fn mark(
    run: &Run<'_>,
    remote: &dyn Remote,
    node: &NodeName,
    component: Component,
    there: bool,
) -> Result<(), String> {
    let script = scripts::owe_restart(&run.install_path(node), component.name(), there);
    let output = remote.script(&script, NOTE).await.map_err(|e| e.text)?;
    if String::from_utf8_lossy(&output.stdout).trim() == "kept" {
        return Ok(());
    }
    let why = output.stderr.lines().last().unwrap_or("it said nothing");
    Err(why.to_owned())
}
