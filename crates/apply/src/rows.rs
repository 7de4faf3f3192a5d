//! Steps that work on the framework's database rather than on a host.
//!
//! Everything is asked again before anything is deleted, by every source that knows. What is deleted
//! is first written down, whole, as SQL on the master (mode 0600: it may hold credentials).

use std::collections::BTreeSet;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::action::{
    Action, AddServerRows, DeleteRegistryRows, DeleteServerRows, HostChange, NewRow, NewServers,
    RemoveServerRows, Restore, RestoreLabels,
};
use tarsops_plan::condition::Condition;
use tarsops_plan::plan::Step;
use tarsops_transport::Bounds;
use tokio::time::Instant;

use crate::execute::{Progress, Run};
use crate::port::{Ask, Request};
use crate::step::{StepEnd, Verdict, folder_name, holds, ready};

/// How long a statement may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Within this time every registry has read the rows that changed (each 13 s).
const RELOAD: Duration = Duration::from_secs(15);
/// Between two tries to take rows back.
const PAUSE: Duration = Duration::from_secs(1);

/// Deletes what the step names.
pub(crate) async fn run(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    end: &mut StepEnd,
) -> Result<Verdict, Verdict> {
    let mut seen = look(run).await?;
    if matches!(
        step.action,
        Action::RestoreLabels(_) | Action::AddServerRows(_) | Action::DeleteServerRows(_)
    ) {
        let host = crate::step::look_at(run, node).await?;
        seen.resources = host.resources;
    }
    if holds(&step.post, node, &seen).is_ok() {
        return Ok(Verdict::AlreadyDone);
    }
    ready(&step.pre, node, &seen)?;
    if let Action::DeleteRegistryRows(DeleteRegistryRows { registry, .. }) = &step.action
        && run.watch.answers(registry).await
    {
        return Err(Verdict::Moved(format!("a registry answers at {registry}")));
    }
    run.progress.event(&Progress::Acting {
        step: &step.id,
        node,
        what: &step.summary,
    });
    if let Action::RestoreLabels(RestoreLabels { node, labels }) = &step.action {
        crate::labels::put_back(run, node, labels, end).await?;
        return Ok(Verdict::Done);
    }
    if let Action::AddServerRows(AddServerRows(new)) = &step.action {
        return add(run, step, new, node, end).await;
    }
    if let Action::RemoveServerRows(RemoveServerRows(new)) = &step.action {
        take_out(run, new, node, end).await?;
        return Ok(Verdict::Done);
    }
    if let Action::DeleteServerRows(DeleteServerRows { node, servers }) = &step.action {
        forget_servers(run, step, node, servers, end).await?;
    } else {
        delete(run, step, end).await?;
    }
    let seen = look(run).await?;
    holds(&step.post, node, &seen)
        .map_err(|why| Verdict::LeftFailed(format!("the rows were deleted, and yet {why}")))?;
    if let Action::DeleteRegistryRows(DeleteRegistryRows { registry, .. }) = &step.action {
        crate::locators::follow(run, registry, false, end).await?;
    }
    Ok(Verdict::Done)
}

/// How a note of rows that a run wrote begins; the rows follow as JSON.
const NOTE: &str = "-- tarsops-rows/1 ";

/// The name of the note under which a run keeps which rows a step wrote.
fn note_of(run: &RunId, step: &str) -> String {
    format!("{run}.{}.sql", folder_name(step))
}

/// Writes rows of servers, and down on the master which, so that a later rollback knows them.
async fn add(
    run: &Run<'_>,
    step: &Step,
    new: &NewServers,
    node: &NodeName,
    end: &mut StepEnd,
) -> Result<Verdict, Verdict> {
    let text = serde_json::to_string(new)
        .map_err(|e| Verdict::NotStarted(format!("the rows cannot be written down: {e}")))?;
    keep(
        run,
        &note_of(&run.id, &step.id),
        &format!("{NOTE}{text}\n"),
        end,
    )
    .await?;
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    let count = run.watch.add(new).await.map_err(Verdict::NotStarted)?;
    end.log.push(format!("{count} rows written"));
    let seen = look(run).await?;
    holds(&step.post, node, &seen)
        .map_err(|why| Verdict::LeftFailed(format!("the rows were written, and yet {why}")))?;
    Ok(Verdict::Done)
}

/// Takes rows back that a run wrote, as far as nobody has put them to use.
async fn take_out(
    run: &Run<'_>,
    new: &NewServers,
    node: &NodeName,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let failed = |why: String| {
        Verdict::LeftFailed(format!("rows that the run wrote are still there: {why}"))
    };
    let until = Instant::now() + RELOAD;
    let gone = [Condition::RowsAbsent { rows: new.names() }];
    loop {
        let count = run.watch.take_out(new).await.map_err(failed)?;
        if count > 0 {
            end.log.push(format!("{count} rows deleted"));
        }
        let seen = look(run).await?;
        match holds(&gone, node, &seen) {
            Ok(()) => return Ok(()),
            // A server that was just stopped counts as active until its node has said so.
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(why) => return Err(failed(why)),
        }
    }
}

/// Takes the rows of a component back that the run wrote which `change` rolls back; nothing where it
/// wrote none.
pub(crate) async fn delete_own_rows(
    run: &Run<'_>,
    change: &HostChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let written = written(run, change).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the files are deleted, and which rows the run wrote is unknown: {why}"
        ))
    })?;
    match written {
        Some(new) => take_out(run, &new, &change.node, end).await,
        None => Ok(()),
    }
}

/// Whether the run that `change` rolls back wrote rows of its component; yes where that cannot be
/// told.
pub(crate) async fn wrote(run: &Run<'_>, change: &HostChange) -> bool {
    !matches!(written(run, change).await, Ok(None))
}

/// The rows of the component that the run wrote which `change` rolls back.
async fn written(run: &Run<'_>, change: &HostChange) -> Result<Option<NewServers>, String> {
    let Some(of) = &change.undoes() else {
        return Ok(None);
    };
    let master = &run.desired.master;
    let remote = run
        .connect
        .connect(master)
        .await
        .map_err(|e| format!("the master {master}: {e}"))?;
    // Rows come for a whole host, or for one service that is published.
    let steps = [
        format!("{}.deploy@{}", change.component, change.node),
        format!("rows.add@{}", change.node),
    ];
    for step in steps {
        let request = Request(Ask::SavedRows {
            place: &run.place(master),
            name: note_of(of, &step),
        });
        let output = remote
            .ask(&request, Bounds::new(Bounds::RECORDS, PATIENCE))
            .await
            .map_err(|e| format!("the master {master}: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(note) = text.lines().find_map(|line| line.strip_prefix(NOTE)) else {
            continue;
        };
        let mut new: NewServers = serde_json::from_str(note).map_err(|e| e.to_string())?;
        // The note is a claim: rows of others stay, whatever it says.
        new.rows
            .retain(|row| is_of(row, change.component, &change.node));
        if !new.rows.is_empty() && new.node == change.node {
            return Ok(Some(new));
        }
    }
    Ok(None)
}

/// Whether a row is of that component on that node.
fn is_of(row: &NewRow, component: Component, node: &NodeName) -> bool {
    row.text("application") == Some("tars")
        && row.text("server_name") == Some(component.name())
        && row.text("node_name") == Some(node.as_str())
}

/// Deletes the rows of a registry that its host has just stopped, and waits until no locator names
/// it. Nobody is there any more who could write them again.
pub(crate) async fn forget(run: &Run<'_>, step: &Step, end: &mut StepEnd) -> Result<(), Verdict> {
    let Action::ChangeHost(change) = &step.action else {
        return Ok(());
    };
    let Some(registry) = &change.registry() else {
        return Ok(());
    };
    let failed = |verdict: Verdict| {
        let why = verdict.why().unwrap_or_default().to_owned();
        Verdict::LeftFailed(format!(
            "the registry is stopped and removed, and its rows are still there: {why}"
        ))
    };
    delete(run, step, end).await.map_err(failed)?;
    let seen = look(run).await.map_err(failed)?;
    let gone = Condition::RegistryRowsDeleted {
        registry: registry.clone(),
    };
    holds(&[gone], &change.node, &seen).map_err(|why| failed(Verdict::LeftFailed(why)))?;
    crate::locators::follow(run, registry, false, end).await
}

/// Deletes the rows of servers that left with their host. Those of each are written down under the name
/// of the step that removes the server, where its rollback looks for them.
async fn forget_servers(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    servers: &BTreeSet<Component>,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    for component in servers {
        let one = Action::DeleteServerRows(DeleteServerRows {
            node: node.clone(),
            servers: [*component].into(),
        });
        let image = run.watch.rows(&one).await.map_err(Verdict::NotStarted)?;
        let removal = format!("{component}.remove@{node}");
        let name = format!("{}.{}.sql", run.id, folder_name(&removal));
        keep(run, &name, &image, end).await?;
    }
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    run.watch.deactivate(&step.action).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the rows could not be taken out of name resolution: {why}"
        ))
    })?;
    // Also those that AdminRegistry has set inactive just now.
    tokio::time::sleep(Duration::from_secs(run.desired.policy.registry_settle)).await;
    let deleted = run.watch.delete(&step.action).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the rows are out of name resolution, and not deleted: {why}"
        ))
    })?;
    end.log.push(format!("{deleted} rows deleted"));
    Ok(())
}

/// Puts the rows of a server back that was removed and is back: without them its tarsnode does not look
/// after it. The rows that a registry writes itself it writes again.
pub(crate) async fn put_back(
    run: &Run<'_>,
    change: &HostChange,
    restore: &Restore,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let master = &run.desired.master;
    let failed = |why: String| {
        Verdict::LeftFailed(format!(
            "{} is restored on its host, and the rows of its server are not: {why}",
            change.component
        ))
    };
    let remote = run
        .connect
        .connect(master)
        .await
        .map_err(|e| failed(format!("the master {master}: {e}")))?;
    let name = note_of(&restore.undoes, &restore.step);
    let request = Request(Ask::SavedRows {
        place: &run.place(master),
        name,
    });
    let output = remote
        .ask(&request, Bounds::new(Bounds::RECORDS, PATIENCE))
        .await
        .map_err(|e| failed(format!("the master {master}: {e}")))?;
    if output.stdout.is_empty() {
        // The run that removed it knew of no rows.
        return Ok(());
    }
    let dump = String::from_utf8_lossy(&output.stdout);
    let (node, component) = (&change.node, change.component);
    let count = run.watch.put_back(&dump, node, component).await;
    let count = count.map_err(failed)?;
    end.log.push(format!("{count} rows of its server are back"));
    Ok(())
}

/// Writes the rows down on the master, then deletes them.
async fn delete(run: &Run<'_>, step: &Step, end: &mut StepEnd) -> Result<(), Verdict> {
    let image = run
        .watch
        .rows(&step.action)
        .await
        .map_err(Verdict::NotStarted)?;
    let name = format!("{}.{}.sql", run.id, folder_name(&step.id));
    keep(run, &name, &image, end).await?;
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    let retired = run.watch.deactivate(&step.action).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the rows could not be taken out of name resolution: {why}"
        ))
    })?;
    if retired > 0 {
        tokio::time::sleep(RELOAD).await;
    }
    let deleted = run.watch.delete(&step.action).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the rows are out of name resolution, and not deleted: {why}"
        ))
    })?;
    end.log.push(format!("{deleted} rows deleted"));
    Ok(())
}

async fn look(run: &Run<'_>) -> Result<Inventory, Verdict> {
    let framework = run.watch.all().await;
    if framework.is_none() {
        return Err(Verdict::NotStarted(
            "the spec allows no source to be asked".to_owned(),
        ));
    }
    Ok(Inventory {
        observed_at: (run.clock)(),
        framework,
        ..Inventory::default()
    })
}

/// Writes down on the master what is about to be deleted or was not there before.
async fn keep(run: &Run<'_>, name: &str, image: &str, end: &mut StepEnd) -> Result<(), Verdict> {
    let master = &run.desired.master;
    let remote = run
        .connect
        .connect(master)
        .await
        .map_err(|e| Verdict::NotStarted(format!("the master {master}: {e}")))?;
    let place = run.place(master);
    let request = Request(Ask::SaveRows {
        place: &place,
        name: name.to_owned(),
        rows: image,
    });
    let output = remote
        .tell(&request, PATIENCE)
        .await
        .map_err(|e| Verdict::NotStarted(format!("the master {master}: {e}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Some(path) = said.trim().strip_prefix("kept ") else {
        let why = output.stderr.lines().last().unwrap_or("it printed nothing");
        return Err(Verdict::NotStarted(format!(
            "the rows could not be written down on the master: {why}"
        )));
    };
    end.log.push(format!("the rows are on {master} in {path}"));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tarsops_plan::action::{Cell, Table};

    #[test]
    fn a_note_speaks_for_its_own_server_on_its_own_node() {
        let of = Component::Tarslog;
        let node = NodeName::new("10.0.0.2").unwrap();
        let row = |application: &str, server: &str, node: &str| NewRow {
            table: Table::TServerConf,
            columns: [
                ("application", application),
                ("server_name", server),
                ("node_name", node),
            ]
            .map(|(column, text)| (column.to_owned(), Cell::Text(text.to_owned())))
            .into(),
        };
        let own = |row: NewRow| is_of(&row, of, &node);
        let (name, node) = (of.name(), node.as_str());
        assert!(own(row("tars", name, node)));
        assert!(!own(row("Shop", name, node)));
        assert!(!own(row("tars", "tarsother", node)));
        assert!(!own(row("tars", name, "10.9.9.9")));
    }
}
