//! Rows of basic services that change with their server: written before it is started again, restored
//! with it.
//!
//! Where no program is published, AdminRegistry restarts the server, which has its node read the rows. A
//! run may be cut off between the rows and the restart: before either, the host saves the intent and a
//! marker of a pending restart. The marker is removed when the restart was seen.

use std::time::Duration;

use tarsops_framework::Unedited;
use tarsops_model::names::NodeName;
use tarsops_plan::action::{HostChange, RowEdit};

use crate::answer::saved;
use crate::port::{Ask, Request};
use crate::records::Unmark;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};

/// How long a note may take on a host.
pub(crate) const NOTE: Duration = Duration::from_secs(60);

/// Writes the rows of `change`. Those that were changed are in `end` then.
pub(crate) async fn make(
    run: &Run<'_>,
    change: &HostChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    if change.rows().is_empty() {
        return Ok(());
    }
    run.check_lease()?;
    match run.watch.edit(change.rows()).await {
        Ok(changed) => {
            let all = change.rows().iter().zip(changed);
            end.edited
                .extend(all.filter(|(_, new)| *new).map(|(edit, _)| edit.clone()));
            if !end.edited.is_empty() {
                end.log.push(match end.edited.len() {
                    1 => "1 row changed".to_owned(),
                    count => format!("{count} rows changed"),
                });
            }
            Ok(())
        }
        Err(Unedited::Moved(why)) => Err(Verdict::Moved(why)),
        Err(Unedited::InDoubt(why)) => {
            // They go back if they can be, and until then count as changed.
            end.edited.extend(change.rows().iter().cloned());
            Err(Verdict::NotStarted(format!(
                "whether the rows of {} were changed could not be seen: {why}",
                change.component
            )))
        }
        Err(Unedited::Failed(why)) => Err(Verdict::NotStarted(format!(
            "the rows of {} could not be changed: {why}",
            change.component
        ))),
    }
}

/// As [`make`], for a rollback that restores the program by a script of its host: it continues without
/// its rows. Until [`settle_undo`] the host has a marker of a pending restart.
pub(crate) async fn undo_edits(
    run: &Run<'_>,
    node: &NodeName,
    change: &HostChange,
    end: &mut StepEnd,
) {
    if change.rows().is_empty() {
        return;
    }
    let place = run.place(node);
    let mark = Request(Ask::Mark {
        place: &place,
        component: change.component,
        key: undo_key(run),
    });
    end.pending_restart = Some(change.component);
    if let Err(why) = tell(run, node, &mark).await {
        end.log.push(format!(
            "{node} could not save the marker of the pending restart of {}: {why}",
            change.component
        ));
    }
    if let Err(verdict) = make(run, change, end).await {
        let why = verdict.into_why();
        end.log.push(format!(
            "its rows are not restored: {why}; the next plan shows how they differ"
        ));
    }
}

/// After such an undo: no restart is pending any more where it has started its server with its rows, or
/// has touched neither.
pub(crate) async fn settle_undo(run: &Run<'_>, node: &NodeName, end: &mut StepEnd) {
    let Some(component) = end.pending_restart.take() else {
        return;
    };
    let untouched = end.edited.is_empty()
        && matches!(
            end.verdict,
            Verdict::Moved(_) | Verdict::Refused(_) | Verdict::NotStarted(_) | Verdict::NoLease(_)
        );
    if !untouched && !end.verdict.is_good() {
        return;
    }
    let key = undo_key(run);
    let which = if untouched {
        Unmark::Own(&key)
    } else {
        Unmark::Until(&run.id)
    };
    let unmark = Request(Ask::Unmark {
        place: &run.place(node),
        component,
        which,
    });
    if let Err(why) = tell(run, node, &unmark).await {
        end.log.push(format!(
            "{node} still has the marker of a pending restart of {component}, so the next apply restarts it: {why}"
        ));
    }
}

/// The key of the marker of a rollback of this run. The run's change that it rolls back has its own.
fn undo_key(run: &Run<'_>) -> String {
    format!("{}.back", run.id)
}

/// Has a host carry out a request that it confirms with `kept`; a connection that has ended is made again.
pub(crate) async fn tell(
    run: &Run<'_>,
    node: &NodeName,
    request: &Request<'_>,
) -> Result<(), String> {
    let mut tries = 3;
    loop {
        let why = match run.connect.connect(node).await {
            Err(fault) => fault.text,
            Ok(remote) => match remote.tell(request, NOTE).await {
                Err(fault) => fault.text,
                // It answers, and will say so again.
                Ok(output) => return saved(&output).map(drop).map_err(|e| e.to_string()),
            },
        };
        tries -= 1;
        if tries == 0 {
            return Err(why);
        }
        run.connect.forget(node).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// After a step that did not touch its server: the rows that it changed are restored.
pub(crate) async fn settle(run: &Run<'_>, change: &HostChange, end: &mut StepEnd) {
    if end.edited.is_empty() || end.verdict.is_good() || change.undoes().is_some() {
        return;
    }
    match &end.verdict {
        Verdict::Moved(_) | Verdict::Refused(_) | Verdict::NotStarted(_) => {
            let back: Vec<RowEdit> = end.edited.iter().map(RowEdit::back).collect();
            end.log.push(match run.watch.edit(&back).await {
                Ok(_) => {
                    end.edited.clear();
                    "its rows are as they were".to_owned()
                }
                Err(Unedited::Moved(why) | Unedited::Failed(why) | Unedited::InDoubt(why)) => {
                    format!("its rows stay changed: {why}; `tarsops plan` shows how they differ")
                }
            });
        }
        // Whoever holds the lease now may rest upon them; and what was begun goes back as a whole.
        _ => end.log.push("its rows stay changed".to_owned()),
    }
}
