//! The replacement of the framework's container.
//!
//! The start of one is an installation, which resets the rows of its node: they are written down before
//! the old container stops, and put back once the framework is healthy, in the new container or in the old
//! one again.

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
use crate::host_session::{Conversation, conclude, expiry};
use crate::intent;
use crate::job::{Execution, Job, Precheck};
use crate::labels;
use crate::look::confirm;
use crate::port::Host;
use crate::reset_rows::{self, Taken};
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
        Ok(Precheck::Ready((remote, sight)))
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
        let taken = reset_rows::take(run, job.node, &name, &*remote, &sight.seen, end).await?;
        let taken = match self.made_by_this_run(job) {
            Some(made) => self.before(job, made, &taken).await?.unwrap_or(taken),
            None => taken,
        };
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
        match conclude(report, end) {
            Ok(()) => {}
            // The start of the old container was an installation as well.
            Err(Verdict::RolledBack(why)) => {
                return Err(gone_back(job, &wanted, &taken, why, end).await.into());
            }
            Err(other) => return Err(other.into()),
        }
        let healthy = async {
            // A host that is healthy and wrong goes back, too.
            confirm(run, job.node, None, &sight.local)
                .await
                .map_err(Failed::undone_by_executor)?;
            framework::healthy(job, &wanted, 0).await
        };
        let healthy = healthy.await;
        // Also where it goes back: what is right when the next start comes need not be put back after it.
        let given = reset_rows::give_back(run, job.node, &taken, end).await;
        healthy?;
        given?;
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
        if let Some(labels) = end.labels.take() {
            labels::settle(job.run, job.node, &labels, end).await;
        }
    }
}

/// The verdict of a step whose host has put its old container back: it is as it was once its rows are.
async fn gone_back(
    job: &Job<'_>,
    wanted: &[Condition],
    taken: &Taken,
    why: String,
    end: &mut StepEnd,
) -> Verdict {
    let back = async {
        framework::healthy(job, wanted, 0).await?;
        let given = reset_rows::give_back(job.run, job.node, taken, end).await;
        given.map_err(Failed::Ends)
    };
    match back.await {
        Ok(()) => Verdict::RolledBack(why),
        Err(Failed::Undo(cause)) => stuck(&why, &cause),
        Err(Failed::Ends(cause)) => stuck(&why, &cause.into_why()),
    }
}

fn stuck(why: &str, cause: &str) -> Verdict {
    Verdict::Stuck(format!(
        "{why}; the old container runs again, and not as before: {cause}"
    ))
}

impl ReplaceContainer<'_> {
    /// The step of this run that this one undoes, if there is one: what the rows said before it is what
    /// they should say.
    fn made_by_this_run<'a>(&self, job: &'a Job<'_>) -> Option<&'a str> {
        let own = self.0.undoes() == Some(&job.run.id);
        job.undoes().filter(|_| own)
    }

    /// What the rows said before the step `made` of this run.
    async fn before(
        &self,
        job: &Job<'_>,
        made: &str,
        now: &Taken,
    ) -> Result<Option<Taken>, Verdict> {
        let labels = now.labels.clone();
        reset_rows::taken(job.run, job.node, &job.run.id, made, labels)
            .await
            .map_err(Verdict::NotStarted)
    }

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
