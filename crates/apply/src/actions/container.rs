//! The replacement of the framework's container.
//!
//! It is refused as long as nothing puts back what the start of a container resets (rows, states, labels):
//! a host that replaces its container by itself is ready ([`crate::containers`]), the rows are not.

use crate::job::{Execution, Job, Precheck};
use crate::verdict::{Failed, StepEnd, Verdict};

/// Refuses to replace a container.
pub(crate) struct ReplaceContainer;

impl Execution for ReplaceContainer {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, _job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        Err(Verdict::NotStarted(
            "this version of tarsops does not put back what the start of a container resets, so it starts none; replace it by hand as \"Docker\" in the operators' guide says".to_owned(),
        ))
    }

    async fn act(&self, _job: &Job<'_>, (): (), _end: &mut StepEnd) -> Result<(), Failed> {
        Ok(())
    }
}
