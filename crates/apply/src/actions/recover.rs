//! Ending a change that a run which is over has left on a host.

use std::sync::Arc;

use tarsops_model::names::{RunId, StepName};

use crate::host_session::{Conversation, conclude};
use crate::job::{Execution, Job, Precheck};
use crate::look::confirm;
use crate::port::Host;
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
        Ok(confirm(job.run, job.node, None, &sight.local).await?)
    }
}
