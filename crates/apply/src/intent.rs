//! What is recorded of a step before it is made.

use tarsops_plan::intent::{By, Changed, Intent};

use crate::job::Job;

/// What is recorded of the step of `job`, which changes this.
pub(crate) fn of(job: &Job<'_>, changed: Changed) -> Intent {
    let run = job.run;
    let by = By {
        cluster: run.desired.cluster.clone(),
        run: run.id.clone(),
        holder: run.holder.clone(),
        spec_digest: run.desired.spec_digest,
        started_at: (run.clock)(),
    };
    Intent::of(job.step, by, changed)
}
