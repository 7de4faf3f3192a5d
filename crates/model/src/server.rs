//! A framework component other than `tarsnode` on one node, as seen.

use serde::{Deserialize, Serialize};

use crate::agent::{FileFact, ProcessFact};
use crate::observed::Observed;

/// What was seen of a component on a node where its folder exists, or a process of it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `bin/<component>`.
    pub binary: Observed<FileFact>,
    /// Processes whose executable is this installation's.
    pub processes: Observed<Vec<ProcessFact>>,
}

impl ServerFacts {
    /// Whether a process of it was seen.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.processes.present().is_some_and(|p| !p.is_empty())
    }
}
