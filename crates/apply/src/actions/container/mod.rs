//! The replacement of the framework's container.
//!
//! It is refused as long as nothing puts back what the start of a container resets (rows, states, labels):
//! a host that replaces its container by itself is ready ([`crate::containers`]), the rows are not.

mod account;
mod change;
mod framework;

use std::sync::Arc;

use tarsops_model::observed::Observed;
use tarsops_plan::action::ReplaceContainer as Planned;
use tarsops_plan::condition::Condition;
use tarsops_plan::intent::Changed;

use super::host::notes::note_gate;
use crate::containers::{Replacement, prune};
use crate::host_session::{Conversation, expiry};
use crate::intent;
use crate::job::{Execution, Job, Precheck};
use crate::look::confirm;
use crate::port::Host;
use crate::sight::Sight;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Puts another container in the place of the one that is there.
pub(crate) struct ReplaceContainer<'a>(pub(crate) &'a Planned);

impl Execution for ReplaceContainer<'_> {
    type Seen = (Arc<dyn Host>, Sight);
    type Acted = Vec<Condition>;

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<Self::Seen>, Verdict> {
        let remote = job.run.reach(job.node).await?;
        // Its registry goes as well, so that what is asked of all of them counts.
        let sight = Sight::of(job, &*remote, None, true).await?;
        if sight.is_reached(job) {
            return Ok(Precheck::Done);
        }
        sight.ready(job)?;
        account::check(job, self.0).await?;
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
        let wanted = framework::wanted(&sight.wanted, job.node, run.desired, &sight.seen);
        let change = change::there(job, self.0)?;
        let change = change
            .sound()
            .map_err(|e| Verdict::NotStarted(e.to_string()))?;
        let Observed::Present(host) = sight.seen.host(job.node) else {
            return Err(Verdict::Silent("it was not seen".to_owned()).into());
        };
        let expires = expiry(host, sight.looked, run.lease.until());
        let intent = intent::of(job, Changed::Container(Box::new(self.0.clone())));
        let text = serde_json::to_string(&intent)
            .map_err(|e| Verdict::NotStarted(format!("the intent cannot be written down: {e}")))?;
        let (place, name) = (run.place(job.node), intent.step.clone());
        run.check_lease()?;
        job.acting();
        let replacement = Replacement {
            conversation: Conversation::new(run, job.node, &place, &run.id, &name),
            change,
            holder: &run.holder,
            intent: &text,
            expires: expires.as_ref(),
        };
        end.intent = Some(intent);
        let report = replacement.carry_out(remote).await?;
        end.log = report.log;
        report.verdict.of_step()?;
        // A host that is healthy and wrong goes back, too.
        confirm(run, job.node, None, &sight.local)
            .await
            .map_err(Failed::undone_by_executor)?;
        framework::healthy(job, &wanted, 0).await?;
        Ok(wanted)
    }

    async fn settle(
        &self,
        job: &Job<'_>,
        wanted: Self::Acted,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        framework::healthy(job, &wanted, job.settle()).await?;
        self.prune(job, end).await;
        Ok(())
    }

    async fn conclude(&self, job: &Job<'_>, _refused: bool, end: &mut StepEnd) {
        note_gate(job.run, end).await;
    }
}

impl ReplaceContainer<'_> {
    /// Removes what of replaced containers the spec does not keep. That it fails is no fault of the step.
    async fn prune(&self, job: &Job<'_>, end: &mut StepEnd) {
        let Some(wanted) = job.run.desired.container(job.node) else {
            return;
        };
        let (place, step) = (job.run.place(job.node), self.0);
        let pruned = match job.run.connect.connect(job.node).await {
            Ok(host) => prune(&*host, &place, &step.socket, &step.name, wanted.retired).await,
            Err(fault) => Err(fault.text),
        };
        end.log.extend(match pruned {
            Ok(names) => names.iter().map(|name| format!("removed {name}")).collect(),
            Err(why) => vec![format!("no replaced container was removed: {why}")],
        });
    }
}
