//! A cluster in memory, and runs in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, OnFailure, Resource};
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;
use tarsops_plan::plan::Stage;
use tarsops_plan::record::Runs;
use tarsops_plan::restore::CannotRollBack;
use tarsops_plan::rollback::Refusal;
use tarsops_plan::saved::SavedPlan;
use tarsops_plan::{Checked, Plan, PlanInput, Scope, make_plan, rollback};
use tarsops_probe::Options;

use super::database::SimDatabase;
use super::framework::SimWatch;
use super::host::SimHosts;
use super::publish::SimPublish;
use super::start::Start;
use super::state::{Broken, Shared};
use crate::execute::{Interrupt, Observer, Outcome, Progress, Run, execute, place};
use crate::history::read;
use crate::journal::Journal;
use crate::lease::{Lease, LeaseError, LeaseSpec};
use crate::port::Hosts;
use crate::scripts::ChangeRecord;
use crate::step::Payloads;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(30);

/// Runs `life` on a runtime of the current thread whose clock is paused.
///
/// # Panics
/// If the runtime cannot be made.
pub fn in_world<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(life),
        Err(e) => panic!("no runtime: {e}"),
    }
}

/// A cluster in memory.
#[derive(Clone)]
pub struct World {
    pub(super) shared: Shared,
    desired: Arc<Desired>,
    catalog: Arc<Catalog>,
}

/// Why a run did not take place.
#[derive(Debug)]
pub enum NoRun {
    /// More hosts are silent than the spec allows.
    Silent(usize),
    /// The lease could not be had.
    Lease(LeaseError),
    /// There is nothing to do.
    Nothing,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum NoPlan {
    /// A saved plan is stale.
    Stale,
    /// A host has not ended a change of the run that is to be rolled back.
    Open(String),
    /// The plan does not pass the checker, or is refused otherwise.
    Refused(String),
}

/// What came of planning.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Checked<Plan>,
    /// Hosts that did not answer.
    pub silent: BTreeSet<NodeName>,
    /// The newest run that any host has seen.
    newest: Option<RunId>,
}

/// What was seen.
struct Observation {
    inventory: Inventory,
    silent: BTreeSet<NodeName>,
    newest: Option<RunId>,
    /// Seconds since 1970.
    now: i64,
}

impl Observation {
    fn planned(&self, plan: Plan, input: &PlanInput<'_>) -> Result<Planned, NoPlan> {
        let plan = Checked::new(plan, input)
            .map_err(|all| NoPlan::Refused(words("the plan does not pass the checker", &all)))?;
        Ok(Planned {
            plan,
            silent: self.silent.clone(),
            newest: self.newest.clone(),
        })
    }
}

fn words(what: &str, all: &[impl std::fmt::Display]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    format!("{what}: {}", all.join("; "))
}

impl World {
    /// A cluster in which everything that `present` asks for is there and runs, at `version`, with the texts
    /// of its package, and whose spec is `desired`. Each of `applications` runs on a few plain nodes that
    /// stay.
    #[must_use]
    pub fn new(
        present: &Desired,
        desired: Desired,
        catalog: Catalog,
        version: Version,
        applications: &[&str],
        seed: u64,
    ) -> Self {
        let desired = Arc::new(desired);
        let catalog = Arc::new(catalog);
        let state = Start::new(&desired, &catalog, version, seed).of(present, applications);
        Self {
            shared: Shared::new(state),
            desired,
            catalog,
        }
    }

    /// Looks at every host and at the framework.
    async fn observe(&self) -> Observation {
        let hosts = SimHosts(self.shared.clone());
        let now = self.shared.lock().now();
        let mut inventory = Inventory {
            observed_at: now,
            ..Inventory::default()
        };
        let looks = self.desired.hosts().map(|(node, _)| {
            let hosts = &hosts;
            async move {
                let options = self.look_options(node);
                let seen = async {
                    let host = hosts.connect(node).await?;
                    host.look(node, &options, now).await
                };
                (node, seen.await)
            }
        });
        let (mut silent, mut newest) = (BTreeSet::new(), None);
        for (node, seen) in futures::future::join_all(looks).await {
            match seen {
                Ok(seen) => {
                    if let Observed::Present(host) = &seen.host {
                        newest = newest.max(host.fence.clone());
                    }
                    seen.into(&mut inventory);
                }
                Err(fault) => {
                    silent.insert(node.clone());
                    let why = fault.text;
                    let unknown = Observed::Unknown(why.clone());
                    inventory.insert(node, unknown, Observed::Unknown(why.clone()));
                    for component in self.components_of(node) {
                        inventory.insert_server(component, node, Observed::Unknown(why.clone()));
                    }
                }
            }
        }
        inventory.framework = Some(Box::new(self.shared.lock().facts()));
        Observation {
            inventory,
            silent,
            newest,
            now,
        }
    }

    fn input<'a>(&'a self, seen: &'a Observation, scope: &'a Scope) -> PlanInput<'a> {
        PlanInput {
            desired: &self.desired,
            inventory: &seen.inventory,
            catalog: &self.catalog,
            scope,
            now: seen.now,
        }
    }

    /// Looks at everything, and plans. The plan has passed the checker.
    ///
    /// # Errors
    /// What the checker found against the plan.
    pub async fn plan(&self) -> Result<Planned, NoPlan> {
        let seen = self.observe().await;
        let scope = Scope::default();
        let input = self.input(&seen, &scope);
        seen.planned(make_plan(&input), &input)
    }

    /// Plans the rollback of a run, from what the hosts that answer remember. The plan has passed the
    /// checker.
    ///
    /// # Errors
    /// What cannot be rolled back, or what the checker found against the plan.
    pub async fn plan_rollback(&self, run: &RunId) -> Result<Planned, NoPlan> {
        let seen = self.observe().await;
        let runs = self.records(&seen.silent);
        let scope = Scope::default();
        let input = self.input(&seen, &scope);
        let planned = rollback::plan(&input, run, &runs).map_err(|all| {
            let is_open = |refusal: &Refusal| {
                let why = match refusal {
                    Refusal::Host { why, .. } => why,
                    _ => return false,
                };
                matches!(why, CannotRollBack::Unfinished(_))
            };
            let text = words("it is not rolled back", &all);
            match all.iter().any(is_open) {
                true => NoPlan::Open(text),
                false => NoPlan::Refused(text),
            }
        })?;
        seen.planned(planned.plan, &input)
    }

    /// Looks at everything, plans, and narrows the plan to what was saved before.
    ///
    /// # Errors
    /// What the checker found against the plan, or why the saved plan is refused.
    pub async fn plan_saved(&self, saved: &SavedPlan) -> Result<Planned, NoPlan> {
        let seen = self.observe().await;
        let scope = Scope::default();
        let input = self.input(&seen, &scope);
        let now = seen.planned(make_plan(&input), &input)?;
        match saved.narrow(&now.plan, &seen.silent) {
            Ok(narrowed) => seen.planned(narrowed.plan, &input),
            Err(refused) if refused.iter().all(|refusal| refusal.why.is_stale()) => {
                Err(NoPlan::Stale)
            }
            Err(refused) => Err(NoPlan::Refused(words(
                "the saved plan is refused",
                &refused,
            ))),
        }
    }

    /// As [`World::plan`], of what ends changes that were cut off or are stuck.
    ///
    /// # Errors
    /// What the checker found against the plan.
    pub async fn plan_recovery(&self) -> Result<Planned, NoPlan> {
        let seen = self.observe().await;
        let scope = Scope::default();
        let input = self.input(&seen, &scope);
        let mut plan = make_plan(&input);
        plan.steps.retain(|step| step.stage == Stage::Recover);
        seen.planned(plan, &input)
    }

    /// What hosts other than these remember of runs.
    fn records(&self, silent: &BTreeSet<NodeName>) -> Runs {
        let state = self.shared.lock();
        let mut runs = Runs::default();
        for (node, machine) in &state.machines {
            if silent.contains(node) {
                continue;
            }
            for ((run, step), change) in &machine.changes {
                let (verdict, text) = change
                    .verdict
                    .clone()
                    .unwrap_or_else(|| ("unfinished".to_owned(), String::new()));
                let record = ChangeRecord {
                    run: run.to_string(),
                    step: step.clone(),
                    intent: change.intent.clone(),
                    verdict,
                    text,
                    gate: change.gate.clone().unwrap_or_default(),
                };
                if let Some(record) = read(node, record, &self.desired) {
                    runs.entry(run.clone()).or_default().push(record);
                }
            }
        }
        runs
    }

    /// The run that had the lease first.
    #[must_use]
    pub fn first_run(&self) -> Option<RunId> {
        self.shared.lock().runs.first().cloned()
    }

    fn components_of(&self, node: &NodeName) -> Vec<Component> {
        let all = self.desired.resources.keys();
        all.filter_map(|id| match id {
            ResourceId::Server(component, at) if at == node => Some(*component),
            _ => None,
        })
        .collect()
    }

    fn look_options(&self, node: &NodeName) -> Options {
        Options {
            install_path: self.desired.install_path_on(node),
            cluster: self.desired.cluster.clone(),
            run_user: self.desired.run_user.clone(),
            rehash: false,
            parallel: 32,
            deadline: LOOK,
            fence: None,
            servers: self.components_of(node),
            docker: None,
            console: None,
        }
    }

    /// Carries a plan out as `apply` does.
    ///
    /// # Errors
    /// [`NoRun`] if nothing was begun.
    pub async fn carry_out(
        &self,
        planned: &Planned,
        progress: &dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Outcome, NoRun> {
        let desired = &*self.desired;
        if planned.plan.is_empty() {
            return Err(NoRun::Nothing);
        }
        let allowed = desired.policy.max_unreachable.of(desired.hosts().count());
        if planned.silent.len() > allowed {
            return Err(NoRun::Silent(planned.silent.len()));
        }
        let id = {
            let mut state = self.shared.lock();
            let millis = u64::try_from(state.now()).unwrap_or(0) * 1000;
            let after = planned.newest.as_ref().map_or(0, |run| run.sequence() + 1);
            RunId::from_parts(millis.max(after), state.rng.u32(..))
        };
        let holder = "sim@here pid 1".to_owned();
        let connect: Arc<dyn Hosts> = Arc::new(SimHosts(self.shared.clone()));
        let lease = Lease::acquire(
            Arc::clone(&connect),
            LeaseSpec {
                master: desired.master.clone(),
                place: place(desired, &desired.master),
                run: id.clone(),
                holder: holder.clone(),
                spec: desired.spec_digest,
            },
        )
        .await
        .map_err(NoRun::Lease)?;
        self.shared.lock().runs.push(id.clone());
        let shared = self.shared.clone();
        let clock = move || shared.lock().now();
        let watch = SimWatch {
            shared: self.shared.clone(),
            run: id.clone(),
        };
        let database = SimDatabase {
            shared: self.shared.clone(),
            run: id.clone(),
        };
        let publish = SimPublish::new(self.shared.clone(), id.clone());
        let run = Run {
            id,
            holder,
            desired,
            connect,
            payloads: &Nowhere,
            lease: &lease,
            progress,
            interrupt,
            clock: &clock,
            look_deadline: LOOK,
            stop_on_failure: desired.policy.on_failure == OnFailure::Stop,
            journal: tokio::sync::Mutex::new(Journal::none()),
            watch: &watch,
            database: Some(Arc::new(database)),
            installer: None,
            publish: Some(&publish),
            spool: PathBuf::new(),
        };
        let outcome = execute(&run, &planned.plan, planned.silent.len()).await;
        drop(run);
        lease.release().await;
        Ok(outcome)
    }

    /// The laws that were broken so far.
    #[must_use]
    pub fn broken(&self) -> Vec<Broken> {
        self.shared.lock().broken.clone()
    }

    /// Everything that a run changes and a rollback must bring back: files, programs that run, crontabs, and
    /// what rows say of their servers; by where it is.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, String> {
        let state = self.shared.lock();
        let mut out = BTreeMap::new();
        for (node, machine) in &state.machines {
            let crontab = machine.crontab.clone().unwrap_or_default();
            out.insert(format!("{node} crontab"), crontab);
            for (component, part) in &machine.parts {
                let runs = part.process.as_ref().map(|p| p.exe.to_string());
                out.insert(format!("{node} {component} runs"), runs.unwrap_or_default());
                for (path, file) in &part.files {
                    let what = format!("{:o} {}", file.mode, file.digest);
                    out.insert(format!("{node} {path}"), what);
                }
            }
        }
        for row in state.servers.values().flatten() {
            let what = format!(
                "{:?} {:?} {:?}",
                row.setting, row.patch_version, row.template
            );
            out.insert(format!("row {}@{}", row.full_name(), row.node), what);
        }
        for (node, base) in &state.nodes {
            out.insert(format!("row {node}"), format!("{:?}", base.label));
        }
        out
    }

    /// The hosts of the spec.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeName> {
        let present = |s: &NodeState| *s == NodeState::Present;
        let all = self.desired.hosts();
        all.filter(|(_, host)| present(&host.state))
            .map(|(node, _)| node.clone())
            .collect()
    }

    /// The program that the spec asks for.
    pub(super) fn wanted(&self, component: Component, node: &NodeName) -> Option<Digest> {
        if self.desired.host(node)?.state != NodeState::Present {
            return None;
        }
        let id = match component {
            Component::Tarsnode => ResourceId::Agent(node.clone()),
            other => ResourceId::Server(other, node.clone()),
        };
        let version = match self.desired.resources.get(&id)? {
            Resource::Agent(agent) => agent.version,
            Resource::Server(server) => server.version,
            _ => return None,
        };
        Some(self.catalog.get(component, version)?.pin.binary)
    }
}

/// Has no files: hosts in memory keep digests.
struct Nowhere;

impl Payloads for Nowhere {
    fn file(&self, _: Component, _: Version, path: &str, _: &Digest) -> Result<PathBuf, String> {
        Ok(PathBuf::from(path))
    }
}

/// Listens to nobody.
pub struct Deaf;

impl Observer for Deaf {
    fn event(&self, _: &Progress<'_>) {}
}
