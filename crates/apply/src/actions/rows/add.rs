//! Writing rows of servers that are added to a node, and deleting them again.

use std::time::Duration;

use tarsops_model::names::NodeName;
use tarsops_plan::action::NewServers;
use tarsops_plan::condition::Condition;
use tokio::time::Instant;

use super::{saved, sources};
use crate::job::{Execution, Job, Precheck};
use crate::look::holds;
use crate::run::Run;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Within this time every registry has read the rows that changed (each 13 s).
const RELOAD: Duration = Duration::from_secs(15);
/// Between two tries to delete rows again.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes rows of servers, each only where no row has its key.
pub(crate) struct AddRows<'a>(pub(crate) &'a NewServers);

impl Execution for AddRows<'_> {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        let seen = sources::ask_with_host(job).await?;
        sources::precheck(job, &seen)
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        let run = job.run;
        job.acting();
        saved::save_new(run, &job.step.id, self.0, end).await?;
        run.check_lease()?;
        let count = run.watch.add(self.0).await.map_err(Verdict::NotStarted)?;
        end.log.push(format!("{count} rows written"));
        Ok(sources::confirm(job, "the rows were written").await?)
    }
}

/// Deletes rows that a run wrote, of servers that were never started.
pub(crate) struct RemoveRows<'a>(pub(crate) &'a NewServers);

impl Execution for RemoveRows<'_> {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        let seen = sources::ask(job.run).await?;
        sources::precheck(job, &seen)
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        job.acting();
        Ok(delete_unused(job.run, self.0, job.node, end).await?)
    }

    fn undone(&self) -> Vec<Condition> {
        vec![Condition::RowsAbsent {
            rows: self.0.names(),
        }]
    }
}

/// Deletes rows that a run wrote, as far as nobody has put them to use.
pub(crate) async fn delete_unused(
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
        let seen = sources::ask(run).await?;
        match holds(&gone, node, &seen) {
            Ok(()) => return Ok(()),
            // A server that was just stopped counts as active until its node has reported it.
            Err(_) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            Err(why) => return Err(failed(why)),
        }
    }
}
