//! Labels and groups of nodes, which a registration makes the framework forget.
//!
//! They lie on the node's host from before its tarsnode is stopped until they stand in the
//! database again, so that a run that dies in between loses nothing: the next plan puts them back.

use std::time::Duration;

use tarsops_model::framework::NodeLabels;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::HostChange;
use tarsops_plan::condition::{Condition, Truth};
use tokio::time::Instant;

use crate::answer::saved;
use crate::look::of_framework;
use crate::place::Place;
use crate::port::{Ask, Host, Request};
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;

/// How long a host may take for a small file.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tarsnode that was started has replaced its row within this time (measured: 2 s).
const REGISTRATION: Duration = Duration::from_secs(8);

/// Saves the labels on the host.
pub(crate) async fn save(
    remote: &dyn Host,
    place: &Place,
    labels: &NodeLabels,
) -> Result<(), String> {
    confirmed(remote, place, Some(labels.to_text()))
        .await
        .map_err(|why| format!("its label and group could not be saved on the host: {why}"))
}

/// Saves labels on the host, or removes what was saved.
async fn confirmed(remote: &dyn Host, place: &Place, text: Option<String>) -> Result<(), String> {
    let output = remote
        .tell(&Request(Ask::Labels { place, text }), PATIENCE)
        .await
        .map_err(|e| e.to_string())?;
    saved(&output).map(drop).map_err(|e| e.to_string())
}

/// After a change that did not succeed: a host that went back has registered again, so its labels are
/// put back; one that was never touched keeps none. What cannot be done here the next run does.
pub(crate) async fn settle(run: &Run<'_>, node: &NodeName, labels: &NodeLabels, end: &mut StepEnd) {
    match end.verdict {
        Verdict::RolledBack(_) => restore_when_registered(run, node, labels, end).await,
        Verdict::Moved(_) | Verdict::Refused(_) | Verdict::NotStarted(_) | Verdict::NoLease(_) => {
            if let Ok(remote) = run.connect.connect(node).await {
                let _ = confirmed(&*remote, &run.place(node), None).await;
            }
        }
        _ => {}
    }
}

/// What is saved over a change: what the row says now; what was seen before where it cannot be read
/// now; and what a run that was cut off has left on the host.
pub(crate) async fn to_save(
    run: &Run<'_>,
    change: &HostChange,
    node: &NodeName,
    seen: &Inventory,
) -> Option<NodeLabels> {
    if !change.saves_labels() {
        return None;
    }
    of_row(run, node, change.labels(), seen).await
}

/// What the node's row says now, `unread` where it cannot be read, and what a run that was cut off has
/// left on the host.
pub(crate) async fn of_row(
    run: &Run<'_>,
    node: &NodeName,
    unread: Option<&NodeLabels>,
    seen: &Inventory,
) -> Option<NodeLabels> {
    let framework = run.watch.node(node).await?;
    let (now, row) = match framework.node_row(node) {
        Observed::Present(row) => (NodeLabels::of(row), row.id),
        Observed::Absent => (None, None),
        Observed::Unknown(_) => (unread.cloned(), None),
    };
    let left = seen
        .host(node)
        .present()
        .and_then(|host| host.labels.clone());
    // What is left was saved from an earlier row; this change replaces the one that is there now.
    now.or(left.map(|left| NodeLabels { row, ..left }))
}

/// Waits until the node has registered, and puts its labels back. Where it does not, they stay on
/// the host for the next run.
pub(crate) async fn restore_when_registered(
    run: &Run<'_>,
    node: &NodeName,
    labels: &NodeLabels,
    end: &mut StepEnd,
) {
    let until = Instant::now() + PATIENCE;
    let _waiting = Waiting::until(until, "the node has not registered yet");
    loop {
        let inventory = of_framework(run.watch.node(node).await);
        let registered = Condition::Registered.eval(node, &inventory) == Truth::Holds;
        if registered && !is_old_row(&inventory, node, labels) {
            if let Err(why) = restore(run, node, labels, end).await {
                end.log.push(why.into_why());
            }
            return;
        }
        if Instant::now() > until {
            end.log.push(
                "its label and group are saved on the host: it has not registered yet".to_owned(),
            );
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// As [`restore`], as the last part of a change that was made. Without the lease it stays undone, and the
/// labels stay on the host for the next run.
pub(crate) async fn restore_after(
    run: &Run<'_>,
    node: &NodeName,
    labels: &NodeLabels,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    restore(run, node, labels, end)
        .await
        .map_err(|verdict| match verdict {
            Verdict::NoLease(why) => not_back(&why),
            other => other,
        })
}

fn not_back(why: &str) -> Verdict {
    Verdict::LeftFailed(format!(
        "the node is healthy, and its label and group are not back in the database ({why}); they are saved on the host, and the next apply restores them"
    ))
}

/// Whether the node's row is the one that the labels were saved from, or cannot be seen: then nothing
/// proves that the node has registered since, and the saved labels are the only copy to be left.
fn is_old_row(seen: &Inventory, node: &NodeName, labels: &NodeLabels) -> bool {
    if labels.row.is_none() {
        return false;
    }
    let framework = seen.framework.as_ref();
    match framework.map(|framework| framework.node_row(node)) {
        Some(Observed::Present(row)) => labels.are_of(row),
        Some(Observed::Absent) => false,
        Some(Observed::Unknown(_)) | None => true,
    }
}

/// Writes the labels into the node's row where it says nothing of its own, and removes them from the
/// host once that row is proven to be a new one.
pub(crate) async fn restore(
    run: &Run<'_>,
    node: &NodeName,
    labels: &NodeLabels,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let failed = |why: String| not_back(&why);
    run.check_lease()?;
    // The row may still be the one from before the restart, which says it all and is about to be
    // replaced.
    let until = Instant::now() + REGISTRATION;
    let _waiting = Waiting::until(until, "the node's row is not its new one yet");
    while !run.watch.label(node, labels).await.map_err(failed)? {
        if Instant::now() > until {
            let inventory = Inventory {
                framework: run.watch.node(node).await,
                ..Inventory::default()
            };
            if is_old_row(&inventory, node, labels) {
                return Err(not_back(
                    "nothing proves that it has registered since its restart",
                ));
            }
            end.log
                .push("its row has a label or group of its own, which is left".to_owned());
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let remote = run
        .connect
        .connect(node)
        .await
        .map_err(|e| failed(e.text))?;
    let place = run.place(node);
    let removed = confirmed(&*remote, &place, None).await;
    removed.map_err(failed)
}
