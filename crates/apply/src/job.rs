//! One step of a plan on its way, and what the executor asks of its action.

use tarsops_model::names::NodeName;
use tarsops_plan::condition::Condition;
use tarsops_plan::plan::Step;

use crate::run::Run;
use crate::verdict::{Failed, StepEnd, Verdict};

/// What the id of a step has behind that of the step which it undoes.
const BACK: &str = ".back";

/// The id of the step that undoes a step of the same run.
pub(crate) fn id_of_undo(step: &str) -> String {
    format!("{step}{BACK}")
}

/// One step on its way.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) step: &'a Step,
    /// The node that the step works on; the master for one that works on the database.
    pub(crate) node: &'a NodeName,
    /// Seconds for which the gate after the step wants it to have been healthy; 0 where no gate is.
    pub(crate) gate: u64,
}

impl Job<'_> {
    /// The id of the step of this run that it undoes, if it is one of [`id_of_undo`].
    pub(crate) fn undoes(&self) -> Option<&str> {
        self.step.id.strip_suffix(BACK)
    }

    /// Announces that the step begins to change something.
    pub(crate) fn acting(&self) {
        self.run.acting(self.step, self.node);
    }

    /// Seconds of settling: what the action asks for, or what the gate after it does if that is more.
    pub(crate) fn settle(&self) -> u64 {
        self.settle_for(self.step.action.settle(&self.run.desired.policy))
    }

    /// Seconds of settling where `own` is asked for: an action after which nothing is watched does not
    /// settle.
    pub(crate) fn settle_for(&self, own: u64) -> u64 {
        match own {
            0 => 0,
            own => own.max(self.gate),
        }
    }
}

/// What a look before the first act finds.
pub(crate) enum Precheck<S> {
    /// What the step should bring about is so.
    Done,
    /// The step may begin; the act needs what was seen.
    Ready(S),
}

/// What the executor asks of an action, in the order of the methods. An action chooses nothing: what it
/// does is in the plan.
pub(crate) trait Execution {
    /// What the look found that the act needs.
    type Seen;
    /// What the act leaves for settling.
    type Acted;

    /// Looks whether the step is done or may begin.
    ///
    /// # Errors
    /// The verdict of a step that is impossible now. Nothing was changed.
    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<Self::Seen>, Verdict>;

    /// Acts, and waits until the effect is seen.
    ///
    /// # Errors
    /// [`Failed`] says whether the executor undoes the step.
    async fn act(
        &self,
        job: &Job<'_>,
        seen: Self::Seen,
        end: &mut StepEnd,
    ) -> Result<Self::Acted, Failed>;

    /// Does what is left once the effect was seen; most actions leave nothing.
    ///
    /// # Errors
    /// As for [`Self::act`].
    async fn settle(
        &self,
        _job: &Job<'_>,
        _acted: Self::Acted,
        _end: &mut StepEnd,
    ) -> Result<(), Failed> {
        Ok(())
    }

    /// What follows however the step ended, before the executor undoes anything.
    async fn follow_up(&self, _job: &Job<'_>, _end: &mut StepEnd) {}

    /// Writes down how the step ended, an undo included. `refused` says that the executor was to undo it.
    async fn conclude(&self, _job: &Job<'_>, _refused: bool, _end: &mut StepEnd) {}

    /// What holds after the action where it undoes another one.
    fn undone(&self) -> Vec<Condition> {
        vec![]
    }
}
