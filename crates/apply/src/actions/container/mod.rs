//! The replacement of the framework's container.
//!
//! It is refused as long as nothing puts back what the start of a container resets (rows, states, labels):
//! a host that replaces its container by itself is ready ([`crate::containers`]), the rows are not.

mod change;

use std::sync::Arc;

use tarsops_model::names::StepName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::ReplaceContainer as Planned;

use crate::containers::{Replacement, patience, prune};
use crate::host_session::{Conversation, expiry};
use crate::job::{Execution, Job, Precheck};
use crate::port::Host;
use crate::sight::Sight;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Puts another container in the place of the one that is there.
pub(crate) struct ReplaceContainer<'a>(pub(crate) &'a Planned);

impl Execution for ReplaceContainer<'_> {
    type Seen = (Arc<dyn Host>, Sight);
    type Acted = Arc<dyn Host>;

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<Self::Seen>, Verdict> {
        let remote = job.run.reach(job.node).await?;
        // Its registry goes as well, so that what is asked of all of them counts.
        let sight = Sight::of(job, &*remote, None, true).await?;
        if sight.is_reached(job) {
            return Ok(Precheck::Done);
        }
        sight.ready(job)?;
        Err(Verdict::NotStarted(
            "this version of tarsops does not put back what the start of a container resets, so it starts none; replace it by hand as \"Docker\" in the operators' guide says".to_owned(),
        ))
    }

    async fn act(
        &self,
        job: &Job<'_>,
        (remote, sight): Self::Seen,
        end: &mut StepEnd,
    ) -> Result<Self::Acted, Failed> {
        let run = job.run;
        let change = change::there(job, self.0)?;
        let change = change
            .sound()
            .map_err(|e| Verdict::NotStarted(e.to_string()))?;
        let Observed::Present(host) = sight.seen.host(job.node) else {
            return Err(Verdict::Silent("it was not seen".to_owned()).into());
        };
        let expires = expiry(host, sight.looked, run.lease.until());
        let (place, name) = (run.place(job.node), StepName::of(&job.step.id));
        run.check_lease()?;
        job.acting();
        let replacement = Replacement {
            conversation: Conversation {
                patience: patience(change.settle, change.deadline, change.stop_timeout),
                ..Conversation::new(run, job.node, &place, &run.id, &name)
            },
            change,
            holder: &run.holder,
            intent: &job.step.summary,
            expires: expires.as_ref(),
        };
        let report = replacement.carry_out(Arc::clone(&remote)).await?;
        end.log = report.log;
        report.verdict.of_step()?;
        Ok(remote)
    }

    async fn settle(
        &self,
        job: &Job<'_>,
        remote: Self::Acted,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        let Some(wanted) = job.run.desired.container(job.node) else {
            return Ok(());
        };
        let (place, step) = (job.run.place(job.node), self.0);
        let pruned = prune(&*remote, &place, &step.socket, &step.name, wanted.retired).await;
        match pruned {
            Ok(names) => end
                .log
                .extend(names.iter().map(|name| format!("removed {name}"))),
            Err(why) => end
                .log
                .push(format!("no retired container was removed: {why}")),
        }
        Ok(())
    }
}
