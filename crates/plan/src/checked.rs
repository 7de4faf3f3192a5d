//! A plan that the checker has passed.

use std::ops::Deref;

use crate::checker::{self, Violation};
use crate::input::PlanInput;
use crate::plan::Plan;

/// A document that the checker has passed. It cannot be changed any more; only the checker makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<T>(T);

impl Checked<Plan> {
    /// Looks at the plan as it was made for `input`.
    ///
    /// # Errors
    /// Every violation that was found.
    pub fn new(plan: Plan, input: &PlanInput<'_>) -> Result<Self, Vec<Violation>> {
        checker::check(&plan, input)?;
        Ok(Self(plan))
    }
}

impl<T> Checked<T> {
    /// The document, to make another one of it, which is not checked then.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
