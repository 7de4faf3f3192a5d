//! What is left of a server that is removed, and what returns with one that is restored: its rows, and
//! its state with AdminRegistry.

use tarsops_framework::Order;
use tarsops_model::component::Component;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_plan::action::{HostChange, Restore};
use tarsops_plan::condition::Condition;

use crate::actions::rows::add::delete_unused;
use crate::actions::rows::{delete, saved, sources};
use crate::actions::server;
use crate::job::Job;
use crate::locators;
use crate::look::{connected, holds};
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};

/// Has AdminRegistry stop a server that the change removes.
pub(crate) async fn deactivate_removed(
    run: &Run<'_>,
    node: &NodeName,
    change: &HostChange,
    end: &mut StepEnd,
) {
    let is_removed = if change.undoes_installation() {
        // A row that was there before the run stays as somebody has set it.
        change.patch_version().is_none() || saved::wrote(run, change).await
    } else {
        change.removes_with_host()
    };
    if is_removed {
        deactivate(run, node, change.component, end).await;
    }
}

/// Has AdminRegistry stop a server whose files are about to be removed, so that its node does not start
/// it again; what it answers is reported, and no reason to leave the files.
async fn deactivate(run: &Run<'_>, node: &NodeName, component: Component, end: &mut StepEnd) {
    let Some(framework) = run.watch.server(node, component).await else {
        return;
    };
    let active = framework.rows().present().is_some_and(|rows| {
        let Observed::Present(all) = &rows.servers else {
            return false;
        };
        all.iter().any(|row| {
            row.server == component.name()
                && row.node == node.as_str()
                && row.setting.as_deref() == Some("active")
        })
    });
    if !active {
        return;
    }
    match run.watch.order(node, component, Order::Stop).await {
        Ok(()) => end
            .log
            .push(format!("AdminRegistry has stopped {component}")),
        Err(why) => end
            .log
            .push(format!("AdminRegistry does not stop {component}: {why}")),
    }
}

/// Deletes the rows of a registry that its host has just stopped, and waits until no locator names it.
/// Nobody is there any more who could write them again.
pub(crate) async fn delete_registry_rows(
    job: &Job<'_>,
    registry: &Endpoint,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let failed = |verdict: Verdict| {
        Verdict::LeftFailed(format!(
            "the registry is stopped and removed, and its rows are still there: {}",
            verdict.into_why()
        ))
    };
    delete::delete(job, end).await.map_err(failed)?;
    let seen = sources::ask(job.run).await.map_err(failed)?;
    let gone = Condition::RegistryRowsDeleted {
        registry: registry.clone(),
    };
    holds(&[gone], job.node, &seen).map_err(|why| failed(Verdict::LeftFailed(why)))?;
    locators::follow(job.run, registry, false, end).await
}

/// Deletes the rows of a component that the run wrote which `change` rolls back; nothing where it wrote
/// none.
pub(crate) async fn delete_own_rows(
    run: &Run<'_>,
    change: &HostChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let written = saved::written(run, change).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the files are deleted, and which rows the run wrote is unknown: {why}"
        ))
    })?;
    match written {
        Some(new) => delete_unused(run, &new, &change.node, end).await,
        None => Ok(()),
    }
}

/// Restores the rows of a server whose files are restored: without them its tarsnode does not look after
/// it. The rows that a registry writes itself it writes again.
pub(crate) async fn restore_rows(
    run: &Run<'_>,
    change: &HostChange,
    restore: &Restore,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let failed = |why: String| {
        Verdict::LeftFailed(format!(
            "{} is restored on its host, and the rows of its server are not: {why}",
            change.component
        ))
    };
    let remote = run.master().await.map_err(failed)?;
    let name = saved::file_of(&restore.undoes, &restore.step);
    let dump = saved::read(run, &*remote, name).await.map_err(failed)?;
    if dump.is_empty() {
        // The run that removed it knew of no rows.
        return Ok(());
    }
    let dump = String::from_utf8_lossy(&dump);
    let (node, component) = (&change.node, change.component);
    let count = run.watch.put_back(&dump, node, component).await;
    let count = count.map_err(failed)?;
    end.log.push(format!("{count} rows of its server are back"));
    Ok(())
}

/// Has AdminRegistry start a server whose files and rows are restored, if it ran before, and waits until
/// it has been healthy for `settle` seconds.
pub(crate) async fn start_again(
    job: &Job<'_>,
    change: &HostChange,
    settle: u64,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let (run, node, component) = (job.run, job.node, change.component);
    let runs = Condition::Component {
        component,
        runs: true,
    };
    let failed = |why: String| {
        Verdict::LeftFailed(format!(
            "{component} and its rows are back, and it does not run: {why}; start it through the platform"
        ))
    };
    let mut refused = None;
    if job.step.post.contains(&runs) {
        connected(run, node)
            .await
            .map_err(|verdict| failed(verdict.into_why()))?;
        let answer = run.watch.order(node, component, Order::Start).await;
        if let Err(why) = &answer {
            end.log.push(format!("AdminRegistry: {why}"));
        }
        refused = answer.err();
    }
    server::wait(job, component, settle, refused)
        .await
        .map_err(failed)
}
