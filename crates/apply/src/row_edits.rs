//! Rows of basic services that change with their server: written before it is started again, put back
//! with it.
//!
//! Where no program comes along, AdminRegistry restarts the server, which has its node read the rows.
//! A run may be cut off between the rows and the restart: before either, the host keeps what is meant
//! to be done, and a mark that it has a pending restart. The mark goes when the restart was seen.

use std::time::Duration;

use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Action, HostChange, RowEdit};
use tarsops_plan::condition::Condition;
use tarsops_plan::plan::Step;
use tarsops_plan::restore::CrontabLeft;
use tokio::time::Instant;

use crate::execute::{Order, Progress, Run, Unedited};
use crate::port::{Ask, Request};
use crate::records::Unmark;
use crate::step::{StepEnd, Verdict, holds, intent_of, kept, look_at_one, reach};
use crate::waiting::Waiting;

/// How long writing down may take on a host.
const NOTE: Duration = Duration::from_secs(60);
/// Between two looks at the host: each is a login.
const LOOK: Duration = Duration::from_secs(1);
/// After this time what was stopped and does not run is ordered to start once more.
const AGAIN: Duration = Duration::from_secs(5);
/// How long what AdminRegistry refused may take to come true all the same, while it runs as before.
const GRACE: Duration = Duration::from_secs(15);

/// Writes the rows of `change`. Those that were changed stand in `end` then.
pub(crate) async fn make(
    run: &Run<'_>,
    change: &HostChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    if change.rows().is_empty() {
        return Ok(());
    }
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
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

/// As [`make`], for a rollback that brings the program that was there by a script of its host: it goes
/// on without its rows. Until [`settle_undo`] the host has a marker of a pending restart.
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
        let why = verdict.why().unwrap_or_default();
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

/// By which a rollback of this run knows its mark. The run's change that it rolls back has its own.
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
                Ok(output) => match kept(&output, Verdict::NotStarted) {
                    Ok(()) => return Ok(()),
                    // It answers, and will say so again.
                    Err(verdict) => return Err(verdict.why().unwrap_or_default().to_owned()),
                },
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
pub(crate) async fn settle(run: &Run<'_>, step: &Step, end: &mut StepEnd) {
    let Action::ChangeHost(change) = &step.action else {
        return;
    };
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

/// Changes rows and has AdminRegistry start the server again. `Ok` once its host shows another process
/// that is as it should be; [`Verdict::LeftFailed`] if it is not, so that it should go back.
pub(crate) async fn restart(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    change: &HostChange,
    (local, seen): (&[Condition], &Inventory),
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let component = change.component;
    crate::servers::connected(run, node).await?;
    add_marker(run, step, node, change, end).await?;
    if let Err(verdict) = make(run, change, end).await {
        return Err(match verdict {
            // Nothing else is there to be done.
            Verdict::NotStarted(why) if change.undoes().is_some() => Verdict::LeftFailed(why),
            other => other,
        });
    }
    run.progress.event(&Progress::Acting {
        step: &step.id,
        node,
        what: &step.summary,
    });
    let before = pids(seen, change, node);
    // Cut off from here on, it may come true.
    end.begun = true;
    let refused = run.watch.order(node, component, Order::Restart).await.err();
    if let Some(why) = &refused {
        end.log.push(format!("AdminRegistry: {why}"));
    }
    let patience = Duration::from_secs(run.desired.policy.deadline);
    let until = Instant::now() + patience;
    let began = Instant::now();
    let mut ordered = began;
    let waiting = Waiting::until(until, format!("the restart of {component} was ordered"));
    let (why, same) = loop {
        let (why, same) = match look_at_one(run, node, Some(component)).await {
            Err(verdict) => (verdict.why().unwrap_or_default().to_owned(), None),
            Ok(seen) => {
                let now = pids(&seen, change, node);
                let same = now.is_some() && now == before && before != Some(vec![]);
                // Stopped, and not started: a registry that was slow for a moment is enough for
                // that. To start what runs already does nothing.
                if now == Some(vec![]) && ordered.elapsed() > AGAIN {
                    if let Err(why) = run.watch.order(node, component, Order::Start).await {
                        tracing::debug!(%node, %component, why, "not started");
                    }
                    ordered = Instant::now();
                }
                match holds(local, node, &seen) {
                    Ok(()) if !same => return Ok(()),
                    Ok(()) => (format!("{component} was not restarted"), Some(same)),
                    Err(why) => (why, Some(same)),
                }
            }
        };
        let untouched = refused.is_some() && same == Some(true) && began.elapsed() > GRACE;
        if Instant::now() > until || untouched {
            break (why, same);
        }
        waiting.say(&*why);
        tokio::time::sleep(LOOK).await;
    };
    let why = match refused {
        Some(said) => format!("AdminRegistry did not restart it: {said}; {why}"),
        None => format!(
            "{component} was restarted with its rows, and after {} s {why}",
            patience.as_secs()
        ),
    };
    Err(match same {
        // It runs as it did. What was ordered may still come: the mark stays.
        Some(true) => Verdict::NotStarted(why),
        Some(false) => Verdict::LeftFailed(why),
        None => Verdict::Silent(why),
    })
}

fn pids(seen: &Inventory, change: &HostChange, node: &NodeName) -> Option<Vec<u32>> {
    match seen.server(change.component, node) {
        Observed::Present(facts) => {
            let all = facts.processes.present()?;
            Some(all.iter().map(|p| p.pid).collect())
        }
        _ => None,
    }
}

/// Has the host keep what is meant to be done, and that it has a pending restart.
async fn add_marker(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    change: &HostChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let intent = intent_of(run, step, change, CrontabLeft::Unchanged);
    let failed = |why: String| {
        Verdict::NotStarted(format!(
            "what is to be done could not be written down on {node}: {why}"
        ))
    };
    let text = serde_json::to_string(&intent).map_err(|e| failed(e.to_string()))?;
    let place = run.place(node);
    let request = Request(Ask::PendRestart {
        place: &place,
        run: &run.id,
        step: &intent.step,
        intent: &text,
        component: change.component,
    });
    let remote = reach(run, node).await?;
    let output = remote
        .tell(&request, NOTE)
        .await
        .map_err(|e| failed(e.text))?;
    kept(&output, failed)?;
    end.intent = Some(intent);
    Ok(())
}
