//! Ending a change that a run which is over has left on a host.

use std::sync::Arc;

use tarsops_model::names::{RunId, StepName};
use tarsops_plan::condition::Condition;

use crate::host_session::{Conversation, conclude};
use crate::job::{Execution, Job, Precheck};
use crate::look::{confirm, until_framework_says};
use crate::port::Host;
use crate::reset_rows;
use crate::scripts::Mode;
use crate::sight::Sight;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Has the host put its old state back, or end the change with what runs there now.
pub(crate) struct Recover<'a> {
    /// The run that left the change.
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a StepName,
    /// Whether what runs there now stays, as a person has decided.
    pub(crate) accept: bool,
}

impl Execution for Recover<'_> {
    type Seen = (Arc<dyn Host>, Sight);
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<Self::Seen>, Verdict> {
        let remote = job.run.reach(job.node).await?;
        let sight = Sight::of(job, &*remote, None, false).await?;
        if sight.is_reached(job) {
            return Ok(Precheck::Done);
        }
        sight.ready(job)?;
        Ok(Precheck::Ready((remote, sight)))
    }

    async fn act(
        &self,
        job: &Job<'_>,
        (remote, sight): Self::Seen,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        job.run.check_lease()?;
        job.acting();
        let place = job.run.place(job.node);
        let conversation = Conversation::new(job.run, job.node, &place, self.run, self.step);
        let mode = if self.accept {
            Mode::Accept
        } else {
            Mode::Recover
        };
        let first = || conversation.wait(mode);
        let report = conversation.hold(remote, &first, mode).await?;
        conclude(report, end)?;
        confirm(job.run, job.node, None, &sight.local).await?;
        Ok(self.give_back(job, &sight, end).await?)
    }
}

impl Recover<'_> {
    /// Puts back what the start of a container has reset in the run that was cut off, if it was one.
    async fn give_back(
        &self,
        job: &Job<'_>,
        sight: &Sight,
        end: &mut StepEnd,
    ) -> Result<(), Verdict> {
        let (run, node) = (job.run, job.node);
        if run.desired.container(node).is_none() {
            return Ok(());
        }
        let host = sight.seen.host(node);
        let labels = host.present().and_then(|host| host.labels.clone());
        let taken = reset_rows::taken(run, node, self.run, self.step, labels).await;
        let not_back = |why: String| {
            Verdict::LeftFailed(format!(
                "the change is ended, and what the rows of the node said before it is not back ({why}); it is saved on the master"
            ))
        };
        match taken.map_err(not_back)? {
            Some(taken) => {
                // Its tarsnode registers once its container has started.
                let registered = until_framework_says(run, node, &Condition::Registered).await;
                registered.map_err(not_back)?;
                reset_rows::give_back(run, node, &taken, end).await
            }
            None => Ok(()),
        }
    }
}
