//! Giving the row of a node what its last registration made it lose.

use tarsops_model::framework::NodeLabels;

use super::sources;
use crate::job::{Execution, Job, Precheck};
use crate::labels;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Writes labels into the row of a node, which a run that was cut off has saved on its host.
pub(crate) struct RestoreLabels<'a>(pub(crate) &'a NodeLabels);

impl Execution for RestoreLabels<'_> {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        let seen = sources::ask_with_host(job).await?;
        sources::precheck(job, &seen)
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        job.acting();
        Ok(labels::restore(job.run, job.node, self.0, end).await?)
    }
}
