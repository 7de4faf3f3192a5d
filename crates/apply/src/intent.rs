//! What a host records of a change before it is made.

use tarsops_model::names::StepName;
use tarsops_plan::action::HostChange;
use tarsops_plan::restore::{CrontabLeft, FORMAT, Intent, without_content};

use crate::job::Job;

/// What is recorded on a host before `change` is made there.
pub(crate) fn of(job: &Job<'_>, change: &HostChange, crontab_after: CrontabLeft) -> Intent {
    let run = job.run;
    Intent {
        format: FORMAT.to_owned(),
        cluster: run.desired.cluster.clone(),
        run: run.id.clone(),
        step: StepName::of(&job.step.id),
        holder: run.holder.clone(),
        spec_digest: run.desired.spec_digest,
        started_at: (run.clock)(),
        sign: job.step.sign,
        change: without_content(change),
        crontab_after,
    }
}
