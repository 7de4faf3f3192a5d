//! What is wrong with a plan.

/// What is wrong with a plan; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: {what}")]
pub struct Violation {
    /// The step, or the gate.
    pub step: String,
    /// What is wrong with it.
    pub what: String,
}

pub(crate) fn violation(step: &str, what: impl Into<String>) -> Violation {
    Violation {
        step: step.to_owned(),
        what: what.into(),
    }
}
