//! The life of a world: faults and runs, then peace, and runs until nothing is left to do.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::resource::ResourceId;
use tarsops_plan::Plan;
use tokio::time::{Instant, sleep, timeout};

use super::faults::{Fault, Schedule, UNHEARD, draw};
use super::machine::Held;
use super::state::{Broken, Shared};
use super::world::{NoRun, Planned, World};
use crate::execute::{Observer, Outcome};
use crate::step::Verdict;

/// Runs while things go wrong.
const TROUBLED: usize = 3;
/// Runs after that within which everything must be done.
const PEACEFUL: usize = 8;
/// After so long every host has ended what it began, and every lease is free.
const QUIET: Duration = Duration::from_secs(600);

/// How a world is to be lived in.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// What everything is drawn from.
    pub seed: u64,
    /// Faults at most.
    pub faults: usize,
}

/// What happened in a world.
#[derive(Debug, Clone, Default)]
pub struct Story {
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

/// How old a world is before anything is done in it.
const AGE: Duration = Duration::from_secs(60);

/// The program of each component of each host.
type Programs = BTreeMap<(NodeName, Component), Option<Digest>>;

impl Life {
    /// Lives in `world` and tells what happened.
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
        let planned = world.plan().await?;
        guard(world, &planned.plan);
        let outcome = world.carry_out(&planned, progress).await;
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
        let mut story = Story {
            faults: faults.clone(),
            ..Story::default()
        };
        // Registries and nodes have found each other.
        sleep(AGE).await;
        let began = Instant::now();
        let born = Born::of(world);
        world.shared.lock().faults = Schedule::new(faults.clone(), began);
        for fault in &faults {
            if let Fault::Thief { at } = fault {
                tokio::spawn(steal(world.shared.clone(), *at));
            }
        }
        if !faults.is_empty() {
            for number in 0..TROUBLED {
                let word = run(world, &faults, number == 0, progress, &mut story).await;
                let done = word == "nothing to do";
                story.runs.push(word);
                if done {
                    break;
                }
                sleep(Duration::from_secs(70)).await;
            }
            world.shared.lock().faults = Schedule::default();
            sleep(QUIET).await;
        }
        let mut left = String::new();
        for _ in 0..PEACEFUL {
            let word = run(world, &[], false, progress, &mut story).await;
            let done = word == "nothing to do";
            left.clone_from(&word);
            story.runs.push(word);
            if done {
                break;
            }
            sleep(Duration::from_secs(60)).await;
        }
        if left != "nothing to do" {
            let runs = story.runs.join(", ");
            story
                .broken
                .push(broken(world, format!("it does not converge: {runs}")));
        }
        sleep(QUIET).await;
        born.compare(world, &mut story);
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

/// One run of apply: plan, and carry out what there is. How it ended, in words.
async fn run(
    world: &World,
    faults: &[Fault],
    first: bool,
    progress: &dyn Observer,
    story: &mut Story,
) -> String {
    let planned = match world.plan().await {
        Ok(planned) => planned,
        Err(why) => {
            story.broken.push(broken(world, why.clone()));
            return why;
        }
    };
    if planned.plan.is_empty() {
        // What is blocked, or cannot be seen, is not done.
        if planned.plan.has_drift() || planned.silent > 0 || planned.plan.is_incomplete() {
            let why: Vec<String> = planned
                .plan
                .drift
                .iter()
                .map(|d| format!("{d:?}"))
                .collect();
            let lines: Vec<String> = planned
                .plan
                .report
                .iter()
                .map(|l| format!("{l:?}"))
                .collect();
            return format!(
                "blocked ({} silent): {}; {}",
                planned.silent,
                why.join("; "),
                lines.join("; ")
            );
        }
        return "nothing to do".to_owned();
    }
    guard(world, &planned.plan);
    let before = programs(world);
    let killed = faults.iter().find_map(|f| match f {
        Fault::Killed { after } if first => Some(*after),
        _ => None,
    });
    let second = faults.iter().find_map(|f| match f {
        Fault::Second { after } if first => Some(*after),
        _ => None,
    });
    let work = async {
        let work = world.carry_out(&planned, progress);
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
                    let _ = world.carry_out(&planned, progress).await;
                }
            };
            tokio::join!(work, other).0
        }
    };
    match ended {
        None => "killed".to_owned(),
        Some(Err(NoRun::Silent(count))) => format!("{count} hosts are silent"),
        Some(Err(NoRun::Lease(why))) => format!("no lease: {why}"),
        Some(Err(NoRun::Nothing)) => "nothing to do".to_owned(),
        Some(Ok(outcome)) => {
            if second.is_none() {
                compare(world, &planned, &outcome, &before, story);
            }
            let ends = outcome.ends.iter().chain(&outcome.rolled_back);
            let bad = ends.filter(|e| !e.verdict.is_good()).map(|e| {
                let why = e.verdict.why().unwrap_or_default();
                format!("{} {}: {why}", e.step, e.verdict.word())
            });
            let bad: Vec<String> = bad.collect();
            format!("{} ({})", outcome.word(), bad.join("; "))
        }
    }
}

/// Notes which servants must keep an endpoint while the plan is carried out: those that have one now, but
/// for those that the plan says will have none.
fn guard(world: &World, plan: &Plan) {
    let mut state = world.shared.lock();
    let none = |servant: &String| {
        plan.endpoints
            .iter()
            .any(|low| low.servant == *servant && low.least == 0)
    };
    let has = state.endpoints();
    state.guarded = has
        .into_iter()
        .filter(|(servant, count)| *count > 1 && !none(servant))
        .map(|(servant, _)| servant)
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
        let recovers = step.id.starts_with("recover");
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

/// What a world had at its beginning and must have at its end.
struct Born {
    crontabs: BTreeMap<NodeName, Option<String>>,
    files: BTreeMap<(NodeName, Component), Vec<String>>,
    labels: BTreeMap<String, Option<String>>,
    rows: (usize, usize),
}

impl Born {
    fn of(world: &World) -> Self {
        let state = world.shared.lock();
        Self {
            crontabs: state
                .machines
                .iter()
                .map(|(node, machine)| (node.clone(), machine.crontab.clone()))
                .collect(),
            files: state
                .machines
                .iter()
                .flat_map(|(node, machine)| {
                    machine.parts.iter().map(|(component, part)| {
                        let files = part.files.keys().cloned().collect();
                        ((node.clone(), *component), files)
                    })
                })
                .collect(),
            labels: state
                .nodes
                .iter()
                .map(|(node, base)| (node.clone(), base.label.clone()))
                .collect(),
            rows: (state.servers.len(), state.adapters.len()),
        }
    }

    fn compare(&self, world: &World, story: &mut Story) {
        let now = Self::of(world);
        let mut say = |what: String| story.broken.push(broken(world, what));
        if now.crontabs != self.crontabs {
            say("a crontab is another one".to_owned());
        }
        if now.files != self.files {
            say("a file was lost".to_owned());
        }
        for (node, label) in &self.labels {
            if now.labels.get(node) != Some(label) {
                say(format!("{node} has lost its label"));
            }
        }
        if now.rows != self.rows {
            say("a row was lost".to_owned());
        }
        let state = world.shared.lock();
        let left: Vec<String> = state
            .machines
            .iter()
            .filter(|(_, machine)| machine.current.is_some())
            .map(|(node, _)| node.to_string())
            .collect();
        drop(state);
        if !left.is_empty() {
            say(format!("a change has not ended on {}", left.join(", ")));
        }
    }
}
