//! The executor: batch by batch, with the lease held, until the end or the first failure.

use std::collections::BTreeMap;
use std::time::Duration;

use tarsops_model::desired::{OnFailure, Policy};
use tarsops_plan::Checked;
use tarsops_plan::plan::{Plan, Step};
use tokio::time::Instant;

use crate::gates::Gates;
use crate::journal::Event;
pub use crate::outcome::{Outcome, StageTime};
pub use crate::progress::{Interrupt, Observer, Progress};
pub use crate::run::{Run, Watch, place};
use crate::step::{self, StepEnd, Verdict};
use crate::undo;
use crate::waiting::aloud;

/// Carries out `plan`. Hosts that were `silent` before count against `max_unreachable`.
pub async fn execute(run: &Run<'_>, plan: &Checked<Plan>, silent: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let total = run.desired.hosts().count();
    let allowed = run.desired.policy.max_unreachable.of(total);
    let mut silent = silent;
    run.journal.lock().await.write(&Event::Run {
        format: crate::journal::FORMAT.to_owned(),
        run: run.id.to_string(),
        holder: run.holder.clone(),
        steps: plan.steps.len(),
    });
    let gates = Gates::of(&plan.gates);
    let batches = plan
        .steps
        .chunk_by(|a, b| (a.stage, a.batch) == (b.stage, b.batch));
    let mut failed = false;
    for batch in batches {
        let open = batch.iter().all(|s| gates.are_open(s, &outcome.ends));
        if run.interrupt.is_pressed() || failed || !open {
            break;
        }
        for end in run_batch(run, batch, &gates, &mut outcome).await {
            match &end.verdict {
                v if v.is_good() => {}
                Verdict::Silent(_) => {
                    silent += 1;
                    failed |= silent > allowed;
                }
                _ => failed = true,
            }
            outcome.ends.push(end);
        }
    }
    outcome.not_begun = plan.steps.len() - outcome.ends.len();
    outcome.interrupted |= run.interrupt.is_pressed();
    if failed && outcome.is_failed() && run.desired.policy.on_failure == OnFailure::RollbackAll {
        roll_back(run, plan, &mut outcome).await;
    }
    let word = outcome.word().to_owned();
    run.journal
        .lock()
        .await
        .write(&Event::Ended { outcome: word });
    outcome
}

/// Carries out the steps of a batch at the same time, and counts what time that took.
async fn run_batch(
    run: &Run<'_>,
    batch: &[Step],
    gates: &Gates<'_>,
    outcome: &mut Outcome,
) -> Vec<StepEnd> {
    let Some(first) = batch.first() else {
        return vec![];
    };
    run.progress.event(&Progress::Batch {
        stage: first.stage,
        number: first.batch,
        steps: batch.len(),
    });
    let began = Instant::now();
    let steps = batch.iter();
    let ends =
        futures::future::join_all(steps.map(|step| one(run, step, gates.settle_of(step)))).await;
    outcome.count(StageTime {
        stage: first.stage,
        steps: ends.len(),
        took: began.elapsed(),
        settled: settled(&run.desired.policy, gates, batch, &ends),
    });
    ends
}

async fn one(run: &Run<'_>, step: &Step, gate: u64) -> StepEnd {
    run.progress.event(&Progress::Step { step });
    run.journal.lock().await.write(&Event::Started {
        step: step.id.clone(),
    });
    let node = step.resource.node().unwrap_or(&run.desired.master);
    let end = aloud(
        run.progress,
        node,
        &step.summary,
        step::run(run, step, gate),
    )
    .await;
    let id = step.id.clone();
    run.journal.lock().await.write(&match &end.verdict {
        Verdict::AlreadyDone => Event::AlreadyDone { step: id },
        Verdict::Done => Event::Succeeded { step: id },
        other => Event::Failed {
            step: id,
            why: other.why().unwrap_or_default().to_owned(),
        },
    });
    run.progress.event(&Progress::Ended { end: &end });
    end
}

/// How long what a batch has changed was settling. Only what was acted upon has settled; the steps of a
/// batch settle at the same time.
fn settled(policy: &Policy, gates: &Gates<'_>, batch: &[Step], ends: &[StepEnd]) -> Duration {
    let acted = |s: &&Step| {
        let mut ends = ends.iter();
        ends.any(|e| e.step == s.id && e.verdict == Verdict::Done)
    };
    let longest = batch
        .iter()
        .filter(acted)
        .map(|s| match s.action.settle(policy) {
            0 => 0,
            own => own.max(gates.settle_of(s)),
        })
        .max();
    Duration::from_secs(longest.unwrap_or(0))
}

/// Rolls back every step that this run has done, newest batch first.
async fn roll_back(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    let done: Vec<&StepEnd> = outcome
        .ends
        .iter()
        .rev()
        .filter(|e| e.verdict == Verdict::Done && undo::is_left(plan, e))
        .collect();
    run.progress
        .event(&Progress::RollingBack { steps: done.len() });
    // What was done together is undone together, and nothing else: two registries never are.
    let batch_of: BTreeMap<&str, u32> = plan
        .steps
        .iter()
        .map(|s| (s.id.as_str(), s.batch))
        .collect();
    let mut back = Vec::new();
    for chunk in
        done.chunk_by(|a, b| batch_of.get(a.step.as_str()) == batch_of.get(b.step.as_str()))
    {
        back.extend(
            futures::future::join_all(chunk.iter().map(|end| async move {
                // Several services of one host may have been published together.
                let _turn = undo::turn(run, end).await;
                step::roll_back(run, end, undo::inverse_of(plan, end)).await
            }))
            .await,
        );
    }
    outcome.rolled_back = back;
}

#[cfg(test)]
mod tests {
    use tarsops_model::component::Component;
    use tarsops_model::names::NodeName;
    use tarsops_model::resource::ResourceId;
    use tarsops_plan::action::{Action, StartServer, StopServer, Undo};
    use tarsops_plan::plan::{ChangeKind, Stage};

    use super::*;

    fn step(stage: Stage, id: &str, action: Action) -> Step {
        Step {
            id: id.to_owned(),
            stage,
            batch: 1,
            needs: vec![],
            resource: ResourceId::Schema,
            sign: ChangeKind::Change,
            summary: String::new(),
            action,
            pre: vec![],
            post: vec![],
            undo: Undo::Restore,
        }
    }

    fn start(id: &str, component: Component) -> Step {
        let node: NodeName = "10.0.0.1".parse().unwrap();
        step(Stage::Expansion, id, StartServer { component, node }.into())
    }

    fn end(id: &str, verdict: Verdict) -> StepEnd {
        let node = "10.0.0.1".parse().unwrap();
        StepEnd::new(id.to_owned(), node, verdict)
    }

    /// Settled seconds of a batch that took a minute.
    fn seconds(steps: &[Step], verdict: &Verdict) -> u64 {
        let policy = Policy {
            settle: 9,
            registry_settle: 13,
            ..Policy::default()
        };
        let ends: Vec<StepEnd> = steps.iter().map(|s| end(&s.id, verdict.clone())).collect();
        let mut outcome = Outcome::default();
        let minute = Duration::from_secs(60);
        outcome.count(StageTime {
            stage: steps[0].stage,
            steps: ends.len(),
            took: minute,
            settled: settled(&policy, &Gates::of(&[]), steps, &ends),
        });
        assert_eq!(outcome.stages[0].took, minute);
        outcome.stages[0].settled.as_secs()
    }

    #[test]
    fn settling_is_counted_for_every_stage_that_waits_for_it() {
        let one = start("a", Component::Tarsnotify);
        let registry = start("b", Component::Tarsregistry);
        assert_eq!(seconds(std::slice::from_ref(&one), &Verdict::Done), 9);
        // What settles together is counted once, with the longest.
        assert_eq!(seconds(&[one.clone(), registry], &Verdict::Done), 13);
        // Nothing was waited for.
        assert_eq!(
            seconds(std::slice::from_ref(&one), &Verdict::AlreadyDone),
            0
        );
        let refused = Verdict::NotStarted("it refuses".to_owned());
        assert_eq!(seconds(&[one], &refused), 0);
        let node: NodeName = "10.0.0.1".parse().unwrap();
        let component = Component::Tarsnotify;
        let stop = StopServer { component, node }.into();
        assert_eq!(seconds(&[step(Stage::Rows, "c", stop)], &Verdict::Done), 0);
    }
}
