//! Which steps of a run have begun to act and have not ended, for whoever stops it at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tarsops_apply::execute::{Observer, Progress};

/// Notes what is in progress, and passes every event on.
pub struct StepsInProgress<'a> {
    inner: &'a dyn Observer,
    /// By the name of the step: where it acts, and what it does.
    steps: Mutex<BTreeMap<String, String>>,
}

impl<'a> StepsInProgress<'a> {
    /// In front of another observer.
    pub fn new(inner: &'a dyn Observer) -> Self {
        Self {
            inner,
            steps: Mutex::default(),
        }
    }

    /// What is in progress now, a line each.
    pub fn lines(&self) -> Vec<String> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.values().cloned().collect()
    }
}

impl Observer for StepsInProgress<'_> {
    fn event(&self, progress: &Progress<'_>) {
        {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            match progress {
                Progress::Acting { step, node, what } => {
                    steps.insert((*step).to_owned(), format!("{node}: {what}"));
                }
                Progress::Ended { end } => {
                    steps.remove(&end.step);
                }
                _ => {}
            }
        }
        self.inner.event(progress);
    }
}
