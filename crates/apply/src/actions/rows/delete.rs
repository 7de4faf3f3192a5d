//! Deleting rows of nodes, registries and servers that are gone.

use std::collections::BTreeSet;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::names::Endpoint;
use tarsops_plan::action::Action;

use super::{saved, sources};
use crate::job::{Execution, Job, Precheck};
use crate::locators;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Within this time every registry has read the rows that changed (each 13 s).
const RELOAD: Duration = Duration::from_secs(15);

/// Deletes the rows of a node whose machine is gone, or of a registry that is.
pub(crate) struct DeleteRows<'a> {
    /// The registry; none for a node.
    pub(crate) registry: Option<&'a Endpoint>,
}

impl Execution for DeleteRows<'_> {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        let seen = sources::ask(job.run).await?;
        let found = sources::precheck(job, &seen)?;
        if let (Precheck::Ready(()), Some(registry)) = (&found, self.registry)
            && job.run.watch.answers(registry).await
        {
            return Err(Verdict::Moved(format!("a registry answers at {registry}")));
        }
        Ok(found)
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        job.acting();
        delete(job, end).await?;
        Ok(sources::confirm(job, "the rows were deleted").await?)
    }

    async fn settle(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        if let Some(registry) = self.registry {
            locators::follow(job.run, registry, false, end).await?;
        }
        Ok(())
    }
}

/// Deletes the rows of servers that were removed with their host.
pub(crate) struct DeleteServerRows<'a> {
    pub(crate) servers: &'a BTreeSet<Component>,
}

impl Execution for DeleteServerRows<'_> {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        let seen = sources::ask_with_host(job).await?;
        sources::precheck(job, &seen)
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        job.acting();
        self.save(job, end).await?;
        job.run.check_lease()?;
        deactivate(job).await?;
        // Also those that AdminRegistry has set inactive just now.
        let settle = job.run.desired.policy.registry_settle;
        tokio::time::sleep(Duration::from_secs(settle)).await;
        delete_inactive(job, end).await?;
        Ok(sources::confirm(job, "the rows were deleted").await?)
    }
}

impl DeleteServerRows<'_> {
    /// Saves the rows of each server under the name of the step that removes the server, where its
    /// rollback looks for them.
    async fn save(&self, job: &Job<'_>, end: &mut StepEnd) -> Result<(), Verdict> {
        let (run, node) = (job.run, job.node);
        for component in self.servers {
            let one = Action::from(tarsops_plan::action::DeleteServerRows {
                node: node.clone(),
                servers: [*component].into(),
            });
            let image = run.watch.rows(&one).await.map_err(Verdict::NotStarted)?;
            let removal = format!("{component}.remove@{node}");
            saved::save(run, &saved::file_of(&run.id, &removal), &image, end).await?;
        }
        Ok(())
    }
}

/// Saves the rows of a step on the master, then deletes them.
pub(crate) async fn delete(job: &Job<'_>, end: &mut StepEnd) -> Result<(), Verdict> {
    let (run, step) = (job.run, job.step);
    let image = run
        .watch
        .rows(&step.action)
        .await
        .map_err(Verdict::NotStarted)?;
    saved::save(run, &saved::file_of(&run.id, &step.id), &image, end).await?;
    run.check_lease()?;
    if deactivate(job).await? > 0 {
        tokio::time::sleep(RELOAD).await;
    }
    delete_inactive(job, end).await
}

/// Takes the servers of a step out of name resolution; how many were in it.
async fn deactivate(job: &Job<'_>) -> Result<u64, Verdict> {
    let count = job.run.watch.deactivate(&job.step.action).await;
    count.map_err(|why| {
        Verdict::LeftFailed(format!(
            "the rows could not be taken out of name resolution: {why}"
        ))
    })
}

/// Deletes the rows of a step that are out of name resolution.
async fn delete_inactive(job: &Job<'_>, end: &mut StepEnd) -> Result<(), Verdict> {
    let deleted = job
        .run
        .watch
        .delete(&job.step.action)
        .await
        .map_err(|why| {
            Verdict::LeftFailed(format!(
                "the rows are out of name resolution, and not deleted: {why}"
            ))
        })?;
    end.log.push(format!("{deleted} rows deleted"));
    Ok(())
}
