//! One step from its beginning to its end: the action is carried out, undone if it must be, and recorded.

use tokio::time::Instant;

use tarsops_plan::plan::Step;

use crate::actions;
use crate::job::{Job, id_of_undo};
use crate::journal::Event;
pub use crate::port::Payloads;
use crate::progress::Progress;
use crate::run::Run;
use crate::undo;
use crate::verdict::Failed;
pub use crate::verdict::{StepEnd, Verdict};
use crate::waiting::aloud;

/// Carries a step out. One that its action cannot undo by itself is undone here, as the policy says.
///
/// `gate` is for how many seconds the gate after it wants it to have been healthy.
pub(crate) async fn run(run: &Run<'_>, step: &Step, gate: u64) -> StepEnd {
    let began = Instant::now();
    let node = step.resource.node().unwrap_or(&run.desired.master);
    let job = Job {
        run,
        step,
        node,
        gate,
    };
    let action = actions::of(&step.action);
    let mut end = StepEnd::new(step.id.clone(), node.clone(), Verdict::Done);
    let mut undone = None;
    end.verdict = match action.carry_out(&job, &mut end).await {
        Ok(verdict) | Err(Failed::Ends(verdict)) => verdict,
        Err(Failed::Undo(why)) => {
            undone = Some(why.clone());
            Verdict::LeftFailed(why)
        }
    };
    action.follow_up(&job, &mut end).await;
    let refused = undone.is_some();
    let stays = run.stop_on_failure || end.intent.as_ref().is_some_and(|i| i.stays());
    if let (Some(why), false) = (undone, stays) {
        undo_failed(run, why, &mut end).await;
    }
    action.conclude(&job, refused, &mut end).await;
    end.took = began.elapsed();
    end
}

/// Undoes a step that has failed for the reason `why`.
async fn undo_failed(run: &Run<'_>, why: String, end: &mut StepEnd) {
    let turn = undo::turn(run, end).await;
    let back = Box::pin(roll_back(run, end, None)).await;
    drop(turn);
    end.verdict = if back.verdict.is_good() {
        Verdict::RolledBack(why)
    } else {
        let cause = back.verdict.why().unwrap_or_default();
        Verdict::Stuck(format!(
            "{why}; and the old state could not be restored: {cause}; `tarsops rollback {}` tries it again",
            run.id
        ))
    };
    end.log.extend(back.log);
}

/// Rolls a step back that ended as `end` says; by `inverse`, if that is a step with an inverse action.
pub(crate) async fn roll_back(run: &Run<'_>, end: &StepEnd, inverse: Option<&Step>) -> StepEnd {
    let id = end.step.clone();
    run.journal
        .lock()
        .await
        .write(&Event::UndoStarted { step: id.clone() });
    let ended = |verdict| StepEnd::new(id_of_undo(&id), end.node.clone(), verdict);
    let back = match undo::step_of(run, end, inverse).await {
        Ok(None) => ended(Verdict::AlreadyDone),
        Ok(Some(step)) => {
            let work = self::run(run, &step, 0);
            let end = aloud(run.progress, &end.node, &step.summary, work).await;
            run.progress.event(&Progress::Ended { end: &end });
            end
        }
        Err(why) => ended(Verdict::LeftFailed(why)),
    };
    run.journal.lock().await.write(&if back.verdict.is_good() {
        Event::UndoFinished { step: id }
    } else {
        Event::UndoFailed {
            step: id,
            why: back.verdict.why().unwrap_or_default().to_owned(),
        }
    });
    back
}
