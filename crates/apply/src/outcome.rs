//! How a run ended.

use std::time::Duration;

use tarsops_plan::plan::Stage;

use crate::verdict::{StepEnd, Verdict};

/// The time that a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageTime {
    /// Which.
    pub stage: Stage,
    /// How many steps were begun.
    pub steps: usize,
    /// From the beginning of its first batch to the end of its last one.
    pub took: Duration,
    /// How much of that was settling: what each batch that succeeded changed must have been healthy for
    /// so long.
    pub settled: Duration,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every step that was begun, in the order of the plan.
    pub ends: Vec<StepEnd>,
    /// Steps that were rolled back after a failure, and how that ended.
    pub rolled_back: Vec<StepEnd>,
    /// Steps that were never begun.
    pub not_begun: usize,
    /// Whether Ctrl-C ended it.
    pub interrupted: bool,
    /// What each stage took, in the order of the work.
    pub stages: Vec<StageTime>,
}

impl Outcome {
    fn any(&self, f: impl Fn(&Verdict) -> bool) -> bool {
        self.ends
            .iter()
            .chain(&self.rolled_back)
            .any(|e| f(&e.verdict))
    }

    /// Adds the time of a batch to its stage's.
    pub(crate) fn count(&mut self, batch: StageTime) {
        if self.stages.last().is_none_or(|s| s.stage != batch.stage) {
            self.stages.push(StageTime {
                steps: 0,
                took: Duration::ZERO,
                settled: Duration::ZERO,
                ..batch
            });
        }
        if let Some(last) = self.stages.last_mut() {
            last.steps += batch.steps;
            last.took += batch.took;
            last.settled += batch.settled.min(batch.took);
        }
    }

    /// Whether a person is needed.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.any(|v| matches!(v, Verdict::Stuck(_)))
            || self.rolled_back.iter().any(|e| !e.verdict.is_good())
    }

    /// Whether a step failed (and was restored, or left, as the policy says).
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.any(|v| {
            matches!(
                v,
                Verdict::RolledBack(_) | Verdict::LeftFailed(_) | Verdict::NotStarted(_)
            )
        })
    }

    /// Whether the lease was lost, or a newer run was met.
    #[must_use]
    pub fn is_unleased(&self) -> bool {
        self.any(|v| matches!(v, Verdict::NoLease(_)))
    }

    /// Whether a step was refused by its host for another reason.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.any(|v| matches!(v, Verdict::Refused(_)))
    }

    /// Whether facts had changed since the plan was made.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.any(|v| matches!(v, Verdict::Moved(_)))
    }

    /// Whether a host fell silent.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.any(|v| matches!(v, Verdict::Silent(_))) || self.not_begun > 0
    }

    /// The outcome in one word, for journals.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.is_stuck() {
            "stuck"
        } else if self.is_failed() || self.is_refused() {
            "failed"
        } else if self.is_stale() {
            "stale"
        } else if self.is_unleased() {
            "no lease"
        } else if self.interrupted {
            "interrupted"
        } else if self.is_incomplete() {
            "incomplete"
        } else {
            "converged"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_steps_that_reached_their_end_make_a_run_converge() {
        let why = || "why".to_owned();
        for (verdict, word) in [
            (Verdict::Done, "converged"),
            (Verdict::AlreadyDone, "converged"),
            (Verdict::Moved(why()), "stale"),
            (Verdict::Refused(why()), "failed"),
            (Verdict::RolledBack(why()), "failed"),
            (Verdict::LeftFailed(why()), "failed"),
            (Verdict::Stuck(why()), "stuck"),
            (Verdict::Silent(why()), "incomplete"),
            (Verdict::NoLease(why()), "no lease"),
            (Verdict::NotStarted(why()), "failed"),
        ] {
            let good = verdict.is_good();
            let node = "10.0.0.1".parse().unwrap();
            let outcome = Outcome {
                ends: vec![StepEnd::new("a".to_owned(), node, verdict)],
                ..Outcome::default()
            };
            assert_eq!(outcome.word(), word);
            assert_eq!(good, outcome.word() == "converged");
        }
    }
}
