//! What there is to say of one server.

use crate::drift::DriftKind;
use crate::plan::Step;
use crate::report::Line;

/// What there is to say of one core service on one node.
#[derive(Default)]
pub(crate) struct ServerAssessment {
    pub(crate) drift: Option<DriftKind>,
    pub(crate) lines: Vec<Line>,
    pub(crate) step: Option<Step>,
    /// The step that writes the rows of a basic service before it is published for the first time.
    pub(crate) deploy: Option<Step>,
}
