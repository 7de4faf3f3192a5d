//! The life of a world: faults and runs, then peace, and runs until nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::resource::ResourceId;
use tarsops_plan::Plan;
use tarsops_plan::plan::Stage;
use tarsops_plan::saved::SavedPlan;
use tokio::time::{Instant, sleep, timeout};

use super::expected::Expected;
use super::faults::{Deed, Fault, Schedule, UNHEARD, draw};
use super::machine::Held;
use super::state::{Broken, Shared};
use super::world::{NoPlan, NoRun, Planned, World};
use crate::execute::{Interrupt, Observer, Outcome};
use crate::step::Verdict;

/// Runs while things go wrong.
const TROUBLED: usize = 3;
/// Runs after that within which everything must be done.
const PEACEFUL: usize = 8;
/// After so long every host has ended what it began, and every lease is free.
const QUIET: Duration = Duration::from_secs(600);
/// How old a world is before anything is done in it: registries and nodes have found each other.
const AGE: Duration = Duration::from_secs(60);
/// Between two runs.
const BETWEEN: Duration = Duration::from_secs(70);
/// Between the making of a saved plan and its use.
const SAVED: Duration = Duration::from_secs(20);

/// What is to be reached in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// The spec, by `apply`.
    Apply,
    /// The spec, by plans that are saved and applied later.
    ApplySaved,
    /// The state before the first run, by its `rollback`.
    Rollback,
}

/// How a world is to be lived in.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// What everything is drawn from.
    pub seed: u64,
    /// Faults at most.
    pub faults: usize,
    /// What is to be reached.
    pub aim: Aim,
}

/// What happened in a world.
#[derive(Debug, Clone)]
pub struct Story {
    /// What was to be reached.
    pub aim: Aim,
    /// What went wrong from outside.
    pub faults: Vec<Fault>,
    /// How each run ended.
    pub runs: Vec<String>,
    /// Laws that were broken.
    pub broken: Vec<Broken>,
    /// How long it took in the world's own time.
    pub took: Duration,
    /// How many changes hosts began.
    pub acts: usize,
}

/// The program of each component of each host.
type Programs = BTreeMap<(NodeName, Component), Option<Digest>>;

/// What must be there at the end, as a person may change it.
type Expectations = Arc<Mutex<Expected>>;

fn locked(expected: &Mutex<Expected>) -> MutexGuard<'_, Expected> {
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Life {
    /// Lives in `world` and reports what happened.
    pub async fn live(self, world: &World, progress: &dyn Observer) -> Story {
        let mut rng = Rng::with_seed(self.seed ^ 0x5eed);
        let mut faults = draw(&mut rng, &world.nodes(), self.faults);
        // A host may be damaged for good, but one framework's host at a time: what an operator
        // loses in one night is not what a rollout is blamed for.
        let mut seen = Vec::new();
        faults.retain(|fault| {
            let kind = std::mem::discriminant(fault);
            let first = !seen.contains(&kind);
            seen.push(kind);
            first
        });
        // What a person changes in between is not undone by a rollback.
        if self.aim == Aim::Rollback {
            faults.retain(|fault| !matches!(fault, Fault::Person { .. } | Fault::Second { .. }));
        }
        self.live_with(world, faults, progress).await
    }

    /// One run in `world` with these faults, and nothing after it.
    ///
    /// # Errors
    /// What the checker found against the plan, or why nothing was begun.
    pub async fn once(
        self,
        world: &World,
        faults: Vec<Fault>,
        progress: &dyn Observer,
    ) -> Result<Outcome, String> {
        sleep(AGE).await;
        world.shared.lock().faults = Schedule::new(faults, Instant::now());
        let planned = world.plan().await.map_err(|why| format!("{why:?}"))?;
        guard(world, &planned.plan);
        let outcome = world
            .carry_out(&planned, progress, &Interrupt::default())
            .await;
        sleep(AGE).await;
        outcome.map_err(|why| format!("{why:?}"))
    }

    /// Lives in `world` with these faults.
    pub async fn live_with(
        self,
        world: &World,
        faults: Vec<Fault>,
        progress: &dyn Observer,
    ) -> Story {
        sleep(AGE).await;
        let began = Instant::now();
        let stay: BTreeSet<NodeName> = world.nodes().into_iter().collect();
        let expected = Expected::of(&world.shared.lock(), &stay);
        let expected: Expectations = Arc::new(Mutex::new(expected));
        let before = world.snapshot();
        world.shared.lock().faults = Schedule::new(faults.clone(), began);
        for fault in &faults {
            match fault {
                Fault::Thief { at } => drop(tokio::spawn(steal(world.shared.clone(), *at))),
                Fault::Person { at, node, deed } => {
                    let (shared, expected) = (world.shared.clone(), Arc::clone(&expected));
                    tokio::spawn(act_by_hand(shared, expected, *at, node.clone(), *deed));
                }
                _ => {}
            }
        }
        let mut scene = Scene {
            world,
            progress,
            faults: &faults,
            story: Story {
                aim: self.aim,
                faults: faults.clone(),
                runs: vec![],
                broken: vec![],
                took: Duration::ZERO,
                acts: 0,
            },
        };
        let mut reached = !faults.is_empty() && scene.runs(self.aim, TROUBLED).await;
        world.shared.lock().faults = Schedule::default();
        sleep(QUIET).await;
        scene.faults = &[];
        reached = match self.aim {
            // A rollback that was carried out whole is the end of it.
            Aim::Rollback if reached => true,
            aim => scene.runs(aim, PEACEFUL).await,
        };
        let mut story = scene.story;
        let mut say = |what| story.broken.push(broken(world, what));
        if !reached {
            say(format!("it does not converge: {}", story.runs.join(", ")));
        }
        sleep(QUIET).await;
        let allows_saved = self.aim == Aim::Rollback;
        let differences = locked(&expected).differences(&world.shared.lock(), allows_saved);
        differences.into_iter().for_each(&mut say);
        if self.aim == Aim::Rollback && reached {
            let after = world.snapshot();
            // Labels have a law of their own: they may still wait on their host.
            let nodes = world.nodes();
            let labels: BTreeSet<String> = nodes.iter().map(|node| format!("row {node}")).collect();
            for what in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                if before.get(what) != after.get(what) && !labels.contains(what) {
                    say(format!("after the rollback another {what}"));
                }
            }
        }
        story.broken.extend(world.broken());
        story.took = began.elapsed();
        story.acts = world.shared.lock().acts;
        story
    }
}

fn broken(world: &World, what: String) -> Broken {
    let at = world.shared.lock().start.elapsed().as_millis();
    Broken {
        at: u64::try_from(at).unwrap_or(0),
        what,
    }
}

/// A person does something at a moment.
async fn act_by_hand(
    shared: Shared,
    expected: Expectations,
    at: Duration,
    node: NodeName,
    deed: Deed,
) {
    sleep(at).await;
    locked(&expected).by_hand(&mut shared.lock(), &node, deed);
}

/// Somebody else takes the lease once it is free, holds it for a minute and changes nothing.
async fn steal(shared: Shared, at: Duration) {
    sleep(at).await;
    let until = Instant::now() + UNHEARD;
    loop {
        let free = {
            let mut state = shared.lock();
            let master = state.desired.master.clone();
            let held = state.machine(&master).lease.as_ref();
            held.is_some_and(|held| !held.is_held())
        };
        if free {
            break;
        }
        if Instant::now() > until {
            return;
        }
        sleep(Duration::from_millis(300)).await;
    }
    let run = {
        let mut state = shared.lock();
        let millis = u64::try_from(state.now()).unwrap_or(0) * 1000;
        let run = RunId::from_parts(millis, 1);
        let master = state.desired.master.clone();
        state.machine(&master).lease = Some(Held {
            run: run.clone(),
            holder: "thief@elsewhere pid 2".to_owned(),
            beat: Instant::now(),
            ttl: Duration::from_secs(45),
        });
        run
    };
    sleep(Duration::from_secs(60)).await;
    let mut state = shared.lock();
    let master = state.desired.master.clone();
    let machine = state.machine(&master);
    if machine.lease.as_ref().is_some_and(|held| held.run == run) {
        machine.lease = None;
    }
}

fn programs(world: &World) -> Programs {
    let state = world.shared.lock();
    let all = state.machines.iter().flat_map(|(node, machine)| {
        let parts = machine.parts.iter();
        parts.map(move |(c, part)| ((node.clone(), *c), part.binary(*c)))
    });
    all.collect()
}

/// What a run ended as, in words, and whether nothing is left to do.
struct Ended {
    words: String,
    reached: bool,
}

impl Ended {
    fn left(words: String) -> Self {
        Self {
            words,
            reached: false,
        }
    }
}

/// Runs in a world.
struct Scene<'a> {
    world: &'a World,
    progress: &'a dyn Observer,
    faults: &'a [Fault],
    story: Story,
}

impl Scene<'_> {
    /// Runs until nothing is left to do, `most` times at most; whether that was reached.
    async fn runs(&mut self, aim: Aim, most: usize) -> bool {
        for number in 0..most {
            let ended = self.run(aim, number).await;
            self.story.runs.push(ended.words);
            if ended.reached {
                return true;
            }
            sleep(BETWEEN).await;
        }
        false
    }

    /// Plans what this run is to do.
    async fn plan(&self, aim: Aim) -> Result<Planned, NoPlan> {
        let world = self.world;
        match (aim, world.first_run()) {
            (Aim::Rollback, Some(run)) => world.plan_rollback(&run).await,
            (Aim::Apply | Aim::Rollback, _) => world.plan().await,
            (Aim::ApplySaved, _) => {
                let refused = |why: &dyn std::fmt::Display| NoPlan::Refused(why.to_string());
                let saved = world.plan().await?;
                let text = serde_json::to_string(&*saved.plan).map_err(|e| refused(&e))?;
                let saved = SavedPlan::from_json(&text).map_err(|e| refused(&e))?;
                sleep(SAVED).await;
                world.plan_saved(&saved).await
            }
        }
    }

    /// A person ends what is stuck; in words.
    async fn recover(&self) -> String {
        let planned = match self.world.plan_recovery().await {
            Ok(planned) => planned,
            Err(why) => return format!("no recovery: {why:?}"),
        };
        let interrupt = Interrupt::default();
        let ended = self.world.carry_out(&planned, self.progress, &interrupt);
        match ended.await {
            Ok(outcome) => format!("recovery {}", outcome.word()),
            Err(why) => format!("no recovery: {why:?}"),
        }
    }

    /// One run: plan, and carry out what there is.
    async fn run(&mut self, aim: Aim, number: usize) -> Ended {
        let world = self.world;
        let planned = match self.plan(aim).await {
            Ok(planned) => planned,
            Err(NoPlan::Stale) => return Ended::left("the saved plan is stale".to_owned()),
            Err(NoPlan::Open(why)) => {
                return Ended::left(format!("{why}; {}", self.recover().await));
            }
            // What was undone whole is not undone again; what is there is compared in the end.
            Err(NoPlan::Refused(why)) if aim == Aim::Rollback && self.faults.is_empty() => {
                return Ended {
                    words: why,
                    reached: true,
                };
            }
            Err(NoPlan::Refused(why)) => {
                // What cannot be seen is not rolled back.
                if aim != Aim::Rollback {
                    self.story.broken.push(broken(world, why.clone()));
                }
                return Ended::left(why);
            }
        };
        let rolls_back = planned.plan.rolls_back.is_some();
        if planned.plan.is_empty() {
            return idle(&planned);
        }
        guard(world, &planned.plan);
        let before = programs(world);
        let interrupt = Interrupt::default();
        let (mut killed, mut pressed, mut second) = (None, None, None);
        for fault in self.faults {
            match fault {
                Fault::Killed { run, after } if *run == number => killed = Some(*after),
                Fault::Interrupted { run, after } if *run == number => pressed = Some(*after),
                Fault::Second { after } if number == 0 => second = Some(*after),
                _ => {}
            }
        }
        let work = async {
            let work = world.carry_out(&planned, self.progress, &interrupt);
            let work = async {
                tokio::pin!(work);
                if let Some(after) = pressed {
                    tokio::select! {
                        biased;
                        ended = &mut work => return ended,
                        () = sleep(after) => interrupt.press(),
                    }
                }
                work.await
            };
            match killed {
                Some(after) => timeout(after, work).await.ok(),
                None => Some(work.await),
            }
        };
        let ended = match second {
            None => work.await,
            Some(after) => {
                let other = async {
                    sleep(after).await;
                    if let Ok(planned) = world.plan().await {
                        let interrupt = Interrupt::default();
                        let _ = world.carry_out(&planned, self.progress, &interrupt).await;
                    }
                };
                tokio::join!(work, other).0
            }
        };
        let outcome = match ended {
            None => return Ended::left("killed".to_owned()),
            Some(Err(NoRun::Silent(count))) => {
                return Ended::left(format!("{count} hosts are silent"));
            }
            Some(Err(NoRun::Lease(why))) => return Ended::left(format!("no lease: {why}")),
            Some(Err(NoRun::Nothing)) => return idle(&planned),
            Some(Ok(outcome)) => outcome,
        };
        if second.is_none() && !rolls_back {
            compare(world, &planned, &outcome, &before, &mut self.story);
        }
        let ends = || outcome.ends.iter().chain(&outcome.rolled_back);
        let whole = outcome.not_begun == 0 && ends().all(|end| end.verdict.is_good());
        if outcome.word() == "converged" && !whole {
            let what = format!("a run ended as converged, and is not: {outcome:?}");
            self.story.broken.push(broken(world, what));
        }
        let bad = ends().filter(|e| !e.verdict.is_good()).map(|e| {
            let why = e.verdict.why().unwrap_or_default();
            format!("{} {}: {why}", e.step, e.verdict.word())
        });
        let bad: Vec<String> = bad.collect();
        Ended {
            words: format!("{} ({})", outcome.word(), bad.join("; ")),
            reached: rolls_back && whole && planned.silent.is_empty(),
        }
    }
}

/// What an empty plan says: what is blocked, or cannot be seen, is not done.
fn idle(planned: &Planned) -> Ended {
    let plan = &planned.plan;
    let silent = planned.silent.len();
    if plan.has_drift() || silent > 0 || plan.is_incomplete() {
        let drift: Vec<String> = plan.drift.iter().map(|d| format!("{d:?}")).collect();
        let lines: Vec<String> = plan.report.iter().map(|l| format!("{l:?}")).collect();
        return Ended::left(format!(
            "blocked ({silent} silent): {}; {}",
            drift.join("; "),
            lines.join("; ")
        ));
    }
    Ended {
        words: "nothing to do".to_owned(),
        reached: true,
    }
}

/// Notes which servants must keep an endpoint while the plan is carried out: those that have one now, but
/// for those that the plan says will have none.
fn guard(world: &World, plan: &Plan) {
    let mut state = world.shared.lock();
    let none = |servant: &str| {
        plan.endpoints
            .iter()
            .any(|low| low.servant == *servant && low.least == 0)
    };
    let has = state.endpoints();
    state.guarded = has
        .into_iter()
        .filter(|(servant, count)| *count > 1 && !none(servant))
        .map(|(servant, _)| servant.to_owned())
        .collect();
}

/// Whether what the run says is so.
fn compare(
    world: &World,
    planned: &Planned,
    outcome: &Outcome,
    before: &Programs,
    story: &mut Story,
) {
    let now = programs(world);
    for end in &outcome.ends {
        let Some(step) = planned.plan.steps.iter().find(|s| s.id == end.step) else {
            continue;
        };
        let (component, node) = match &step.resource {
            ResourceId::Agent(node) => (Component::Tarsnode, node),
            ResourceId::Server(component, node) => (*component, node),
            _ => continue,
        };
        let key = (node.clone(), component);
        let back = outcome
            .rolled_back
            .iter()
            .find(|e| e.step == format!("{}.back", end.step));
        let is = now.get(&key).copied().flatten();
        let was = before.get(&key).copied().flatten();
        let wanted = world.wanted(component, node);
        let recovers = step.stage == Stage::Recover;
        let wrong = match (&end.verdict, back.map(|b| b.verdict.is_good())) {
            _ if recovers => false,
            (Verdict::Done | Verdict::AlreadyDone, None) => is != wanted,
            (Verdict::Done, Some(true)) | (Verdict::RolledBack(_), _) => is != was,
            (Verdict::Moved(_) | Verdict::Refused(_) | Verdict::NoLease(_), _) => is != was,
            (Verdict::NotStarted(_), _) if !end.begun => is != was,
            _ => false,
        };
        if wrong {
            let why = end.verdict.why().unwrap_or_default();
            let what = format!(
                "{} ended as {} ({why}), and its host has {}",
                end.step,
                end.verdict.word(),
                if is == wanted {
                    "the new program"
                } else if is == was {
                    "the old program"
                } else {
                    "another program"
                }
            );
            story.broken.push(broken(world, what));
        }
    }
}
