//! The walk over a plan: batch by batch, with the lease held, until the end or the first failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

pub use tarsops_framework::{Order, Unedited};
use tarsops_framework::{Read, Write};
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, OnFailure, Policy, Rpc};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::action::{Action, RemoveServerRows, StopServer, Undo};
use tarsops_plan::condition::Condition;
use tarsops_plan::database_record;
use tarsops_plan::plan::{ChangeKind, Plan, Stage, Step};
use tarsops_plan::restore::{Known, rollback_step};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::journal::{Event, Journal};
use crate::lease::Lease;
use crate::port::{Database, Hosts};
pub use crate::scripts::Place;
use crate::step::{self, Payloads, StepEnd, Verdict};
use crate::waiting::aloud;

/// What is told while a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A batch begins.
    Batch {
        /// Its stage.
        stage: Stage,
        /// Its number.
        number: u32,
        /// How many steps it has.
        steps: usize,
    },
    /// A step begins.
    Step {
        /// Which.
        step: &'a Step,
    },
    /// A payload goes to a host.
    Uploading {
        /// Where.
        node: &'a NodeName,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A host begins to change.
    Acting {
        /// Which step.
        step: &'a str,
        /// Where.
        node: &'a NodeName,
        /// What it does.
        what: &'a str,
    },
    /// The connection to a host broke; the host continues by itself.
    Reconnecting {
        /// Which.
        node: &'a NodeName,
        /// Why.
        why: &'a str,
    },
    /// A step has ended.
    Ended {
        /// How.
        end: &'a StepEnd,
    },
    /// A step waits for nodes that follow by themselves.
    Waiting {
        /// Which step.
        step: &'a str,
        /// How many nodes.
        nodes: usize,
        /// What they should do.
        what: &'a str,
    },
    /// A step has waited for ten seconds more.
    StillWaiting {
        /// Where.
        node: &'a NodeName,
        /// What it waits for, as a clause.
        why: &'a str,
        /// How long it still waits at most, where that is known.
        left: Option<Duration>,
    },
    /// Steps that succeeded are rolled back.
    RollingBack {
        /// How many.
        steps: usize,
    },
}

/// Is told of everything that happens; it must not block.
pub trait Observer: Send + Sync {
    /// Takes one event.
    fn event(&self, progress: &Progress<'_>);
}

/// Ctrl-C, counted: once means no new steps, twice means at once.
#[derive(Default)]
pub struct Interrupt {
    count: AtomicU8,
    second: Notify,
}

impl Interrupt {
    /// Counts one.
    pub fn press(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) >= 1 {
            self.second.notify_waiters();
            self.second.notify_one();
        }
    }

    /// Whether no new steps should begin.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Resolves when everything should stop at once.
    pub async fn twice(&self) {
        while self.count.load(Ordering::SeqCst) < 2 {
            self.second.notified().await;
        }
    }
}

/// All that carrying out a plan needs.
pub struct Run<'a> {
    /// The run's id.
    pub id: RunId,
    /// `user@host pid N`.
    pub holder: String,
    /// The desired state that the plan was made for.
    pub desired: &'a Desired,
    /// Reaches hosts.
    pub connect: Arc<dyn Hosts>,
    /// Hands out packages.
    pub payloads: &'a dyn Payloads,
    /// The right to act.
    pub lease: &'a Lease,
    /// Is told what happens.
    pub progress: &'a dyn Observer,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// Seconds since 1970.
    pub clock: &'a (dyn Fn() -> i64 + Sync),
    /// How long one look may take.
    pub look_deadline: Duration,
    /// Whether a failed host is left as it is.
    pub stop_on_failure: bool,
    /// This machine's memory of the run.
    pub journal: Mutex<Journal>,
    /// Asks the framework about a node, for the gates.
    pub watch: &'a dyn Watch,
    /// The framework's database, where the spec names one that can be used.
    pub database: Option<Arc<dyn Database>>,
    /// Those who publish basic services; none where nobody can.
    pub publish: Option<&'a dyn crate::publish::Publish>,
    /// A private folder on this machine, for a dump on its way to the master.
    pub spool: std::path::PathBuf,
}

/// The framework as an apply needs it: read for health gates, and changed by steps.
pub trait Watch: Read + Write {}

impl<T: Read + Write> Watch for T {}

impl Run<'_> {
    /// Where tarsops works on a node.
    pub(crate) fn place(&self, node: &NodeName) -> Place {
        place(self.desired, node)
    }

    pub(crate) fn look_options(
        &self,
        node: &NodeName,
        component: Option<Component>,
    ) -> tarsops_probe::Options {
        tarsops_probe::Options {
            install_path: self.desired.install_path_on(node),
            cluster: self.desired.cluster.clone(),
            run_user: self.desired.run_user.clone(),
            rehash: true,
            fence: Some(self.id.clone()),
            parallel: 1,
            deadline: self.look_deadline,
            servers: component
                .into_iter()
                .filter(|c| *c != Component::Tarsnode)
                .collect(),
        }
    }
}

/// Where tarsops works on a node.
#[must_use]
pub fn place(desired: &Desired, node: &NodeName) -> Place {
    Place {
        install_path: desired.install_path_on(node),
        cluster: desired.cluster.clone(),
    }
}

/// The time that a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageTime {
    /// Which.
    pub stage: Stage,
    /// How many steps were begun.
    pub steps: usize,
    /// From the beginning of its first batch to the end of its last one.
    pub took: Duration,
    /// How much of that was settling: each batch that succeeded must have been well for so long.
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
    fn count(
        &mut self,
        stage: Stage,
        batch: &[Step],
        ends: &[StepEnd],
        took: Duration,
        policy: &Policy,
    ) {
        // Only what was acted upon has settled; the steps of a batch settle at the same time.
        let acted = |s: &&Step| {
            let mut ends = ends.iter();
            ends.any(|e| e.step == s.id && e.verdict == Verdict::Done)
        };
        let longest = batch
            .iter()
            .filter(acted)
            .map(|s| step::settling(policy, &s.action))
            .max();
        let settled = Duration::from_secs(longest.unwrap_or(0));
        if self.stages.last().is_none_or(|s| s.stage != stage) {
            self.stages.push(StageTime {
                stage,
                steps: 0,
                took: Duration::ZERO,
                settled: Duration::ZERO,
            });
        }
        if let Some(last) = self.stages.last_mut() {
            last.steps += ends.len();
            last.took += took;
            last.settled += settled.min(took);
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

    /// Whether facts had moved under the plan.
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
        } else if self.interrupted {
            "interrupted"
        } else if self.is_incomplete() {
            "incomplete"
        } else {
            "converged"
        }
    }
}

/// Carries out `plan`. Hosts that were `silent` before count against `max_unreachable`.
pub async fn execute(run: &Run<'_>, plan: &Plan, silent: usize) -> Outcome {
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
    let mut rest = plan.steps.as_slice();
    let mut failed = false;
    while let Some(first) = rest.first() {
        let size = rest
            .iter()
            .take_while(|s| (s.stage, s.batch) == (first.stage, first.batch))
            .count();
        let (batch, tail) = rest.split_at(size);
        if run.interrupt.is_pressed() || failed {
            outcome.interrupted |= run.interrupt.is_pressed();
            break;
        }
        rest = tail;
        run.progress.event(&Progress::Batch {
            stage: first.stage,
            number: first.batch,
            steps: batch.len(),
        });
        let began = Instant::now();
        let ends = run_batch(run, batch).await;
        outcome.count(
            first.stage,
            batch,
            &ends,
            began.elapsed(),
            &run.desired.policy,
        );
        for end in ends {
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
        take_back(run, plan, &mut outcome).await;
    }
    let word = outcome.word().to_owned();
    run.journal
        .lock()
        .await
        .write(&Event::Ended { outcome: word });
    outcome
}

async fn run_batch(run: &Run<'_>, batch: &[Step]) -> Vec<StepEnd> {
    futures::future::join_all(batch.iter().map(|step| one(run, step))).await
}

async fn one(run: &Run<'_>, step: &Step) -> StepEnd {
    run.progress.event(&Progress::Step { step });
    run.journal.lock().await.write(&Event::Started {
        step: step.id.clone(),
    });
    let node = step.resource.node().unwrap_or(&run.desired.master);
    let end = aloud(run.progress, node, &step.summary, step::run(run, step)).await;
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

/// Takes every step back that this run has done, newest batch first.
async fn take_back(run: &Run<'_>, plan: &Plan, outcome: &mut Outcome) {
    let done: Vec<&StepEnd> = outcome
        .ends
        .iter()
        .rev()
        .filter(|e| e.verdict == Verdict::Done)
        .filter(|e| {
            e.intent.as_ref().is_some_and(|i| !i.stays())
                || e.database.as_ref().is_some_and(|i| !i.stays())
                || inverse_of(plan, e).is_some()
        })
        .collect();
    run.progress
        .event(&Progress::RollingBack { steps: done.len() });
    // What went forward together goes back together, and nothing else: two registries never do.
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
                let _turn = crate::publish::turn_back(run, end).await;
                roll_back_one(run, end, inverse_of(plan, end)).await
            }))
            .await,
        );
    }
    outcome.rolled_back = back;
}

/// The step of the plan that ended so, if another action takes it back.
fn inverse_of<'a>(plan: &'a Plan, end: &StepEnd) -> Option<&'a Step> {
    let step = plan.steps.iter().find(|s| s.id == end.step)?;
    matches!(step.undo, Undo::Inverse { .. }).then_some(step)
}

pub(crate) async fn roll_back_one(run: &Run<'_>, end: &StepEnd, inverse: Option<&Step>) -> StepEnd {
    let id = end.step.clone();
    run.journal
        .lock()
        .await
        .write(&Event::UndoStarted { step: id.clone() });
    let ended = |verdict| StepEnd::new(format!("{id}.back"), end.node.clone(), verdict);
    let planned = match inverse.and_then(inverse_step) {
        Some(step) => Ok(Some(step)),
        None => rollback_step_of(run, end).await,
    };
    let back = match planned {
        Ok(None) => ended(Verdict::AlreadyDone),
        Ok(Some(step)) => {
            let work = step::run(run, &step);
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

/// The step that does the inverse action.
fn inverse_step(step: &Step) -> Option<Step> {
    let Undo::Inverse { action } = &step.undo else {
        return None;
    };
    let post = match &**action {
        Action::RemoveServerRows(RemoveServerRows(new)) => {
            vec![Condition::RowsAbsent { rows: new.names() }]
        }
        Action::StopServer(StopServer { component, .. }) => vec![Condition::Component {
            component: *component,
            runs: false,
        }],
        _ => vec![],
    };
    Some(Step {
        id: format!("{}.back", step.id),
        summary: format!("roll back: {}", step.summary),
        sign: ChangeKind::Remove,
        action: (**action).clone(),
        pre: vec![],
        post,
        undo: Undo::Irreversible {
            reason: "it is itself a rollback".to_owned(),
        },
        ..step.clone()
    })
}

/// The step that takes one back; none where nothing is left to roll back.
async fn rollback_step_of(run: &Run<'_>, end: &StepEnd) -> Result<Option<Step>, String> {
    if let (Some(intent), Some(access)) = (&end.database, &run.database) {
        let seen = crate::database::look(run, &**access).await?;
        let back = database_record::rollback_step(intent, &seen).map_err(|e| e.to_string())?;
        return Ok(back.map(|step| Step {
            id: format!("{}.back", end.step),
            ..step
        }));
    }
    let intent = end
        .intent
        .as_ref()
        .ok_or("nothing is known of what it did")?;
    let remote = run.connect.connect(&end.node).await.map_err(|e| e.text)?;
    let now = (run.clock)();
    let options = run.look_options(&end.node, Some(intent.change.component));
    let seen = remote
        .look(&end.node, &options, now)
        .await
        .map_err(|e| e.text)?;
    let mut inventory = Inventory {
        observed_at: now,
        ..Inventory::default()
    };
    seen.into(&mut inventory);
    let known = Known {
        asks: run.desired.rpc != Rpc::Off,
        failed: !end.verdict.is_good(),
        other_crontab: false,
    };
    let prepared = rollback_step(intent, &inventory, known).map_err(|e| e.to_string())?;
    Ok(Some(Step {
        id: format!("{}.back", end.step),
        stage: Stage::Agents,
        batch: 0,
        needs: vec![],
        resource: intent.change.resource(),
        sign: ChangeKind::Change,
        summary: prepared.change.summary.clone(),
        action: Action::ChangeHost(Box::new(prepared.change)),
        pre: prepared.pre,
        post: prepared.post,
        undo: Undo::Restore,
    }))
}

#[cfg(test)]
mod tests {
    use tarsops_model::resource::ResourceId;
    use tarsops_plan::action::StartServer;

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
        step(
            Stage::Expansion,
            id,
            Action::StartServer(StartServer { component, node }),
        )
    }

    fn end(id: &str, verdict: Verdict) -> StepEnd {
        let node = "10.0.0.1".parse().unwrap();
        StepEnd::new(id.to_owned(), node, verdict)
    }

    /// Settled seconds of a batch that took a minute.
    fn settled(steps: &[Step], verdict: &Verdict) -> u64 {
        let policy = Policy {
            settle: 9,
            registry_settle: 13,
            ..Policy::default()
        };
        let ends: Vec<StepEnd> = steps.iter().map(|s| end(&s.id, verdict.clone())).collect();
        let mut outcome = Outcome::default();
        let minute = Duration::from_secs(60);
        outcome.count(steps[0].stage, steps, &ends, minute, &policy);
        assert_eq!(outcome.stages[0].took, minute);
        outcome.stages[0].settled.as_secs()
    }

    #[test]
    fn settling_is_counted_for_every_stage_that_waits_for_it() {
        let one = start("a", Component::Tarsnotify);
        let registry = start("b", Component::Tarsregistry);
        assert_eq!(settled(std::slice::from_ref(&one), &Verdict::Done), 9);
        // What settles together is counted once, with the longest.
        assert_eq!(settled(&[one.clone(), registry], &Verdict::Done), 13);
        // Nothing was waited for.
        assert_eq!(
            settled(std::slice::from_ref(&one), &Verdict::AlreadyDone),
            0
        );
        let refused = Verdict::NotStarted("it refuses".to_owned());
        assert_eq!(settled(&[one], &refused), 0);
        let node: NodeName = "10.0.0.1".parse().unwrap();
        let component = Component::Tarsnotify;
        let stop = Action::StopServer(StopServer { component, node });
        assert_eq!(settled(&[step(Stage::Rows, "c", stop)], &Verdict::Done), 0);
    }
}
