//! The state of a world: its hosts, what the framework makes of them, and its time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{AdapterRow, ServerRow, TemplateRow};
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tokio::time::{Instant, sleep};

use super::faults::{Reply, Schedule};
use super::machine::Machine;
use super::part::Process;

/// 2026-11-20, 12:00 UTC.
const NOW: i64 = 1_795_176_000;
/// How long a tarsnode takes to register once it runs.
pub(super) const REGISTERS: Duration = Duration::from_millis(1500);
/// After so long without a sign of life a registry calls a node inactive.
pub(super) const SILENCE: Duration = Duration::from_secs(250);
/// Between two tries of a tarsnode to register.
const AGAIN: Duration = Duration::from_secs(10);
/// The application of the framework's own servers.
pub(super) const FRAMEWORK: &str = "tars";

/// Something that must never be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Milliseconds after the beginning of the world.
    pub at: u64,
    /// What was so.
    pub what: String,
}

/// One world, shared by those who live in it.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a row of `t_node_info` has that does not follow from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NodeBase {
    /// A registration makes a new row.
    pub(super) id: i64,
    pub(super) label: Option<String>,
    pub(super) group: Option<i64>,
    pub(super) version: Option<String>,
}

/// A publication that was begun.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// How it ended; none while it runs.
    pub(super) success: Option<bool>,
}

/// The state.
pub(super) struct State {
    pub(super) start: Instant,
    pub(super) desired: Arc<Desired>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) machines: BTreeMap<NodeName, Machine>,
    /// Small texts by their digest.
    pub(super) texts: BTreeMap<Digest, String>,
    pub(super) nodes: BTreeMap<String, NodeBase>,
    /// Rows of servers, by node; what they say of a process follows from the host.
    pub(super) servers: BTreeMap<NodeName, Vec<ServerRow>>,
    pub(super) adapters: Vec<AdapterRow>,
    pub(super) templates: Vec<TemplateRow>,
    pub(super) columns: BTreeMap<String, Observed<BTreeSet<String>>>,
    pub(super) rng: Rng,
    pub(super) faults: Schedule,
    /// Programs that a run installs and that may be drawn to fail.
    pub(super) new_programs: BTreeSet<Digest>,
    /// Servants that must keep an endpoint.
    pub(super) guarded: BTreeSet<String>,
    pub(super) broken: Vec<Broken>,
    /// Nodes whose row could not be read once: what a registration loses then is not known.
    pub(super) unread: BTreeSet<NodeName>,
    /// Nodes whose label nobody could read before a restart lost it.
    pub(super) blind: BTreeSet<NodeName>,
    /// The runs that had the lease, oldest first.
    pub(super) runs: Vec<RunId>,
    /// Acts on hosts, for figures.
    pub(super) acts: usize,
    /// Tasks of those who publish, by number.
    pub(super) tasks: BTreeMap<String, Task>,
}

impl State {
    pub(super) fn machine(&mut self, node: &NodeName) -> &mut Machine {
        self.machines
            .get_mut(node)
            .unwrap_or_else(|| panic!("the world has no host {node}"))
    }

    /// Hundredths of a second for which every host has been up.
    pub(super) fn uptime(&self) -> u64 {
        100_000 + u64::try_from(self.start.elapsed().as_millis() / 10).unwrap_or(0)
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        NOW + i64::try_from(self.start.elapsed().as_secs()).unwrap_or(0)
    }

    pub(super) fn delay(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.rng.u64(least..most))
    }

    pub(super) fn reply(&mut self, _: &NodeName) -> Reply {
        match self.faults.lossy {
            Some(one_in) if self.rng.u32(0..one_in) == 0 => {
                if self.rng.bool() {
                    Reply::LostBefore
                } else {
                    Reply::LostAfter
                }
            }
            _ => Reply::Arrives,
        }
    }

    pub(super) fn learn(&mut self, text: String) {
        self.texts.insert(Digest::of(text.as_bytes()), text);
    }

    /// After which part of its next change a host's own process dies; once.
    pub(super) fn cut(&mut self, node: &NodeName) -> Option<u8> {
        self.faults.cuts.remove(node)
    }

    pub(super) fn break_law(&mut self, what: String) {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(0);
        if !self.broken.iter().any(|b| b.what == what) {
            self.broken.push(Broken { at, what });
        }
    }

    /// A run changes the framework's database, or has AdminRegistry act: nobody else may hold the lease.
    pub(super) fn writes(&mut self, run: &RunId, what: &str) {
        let master = self.desired.master.clone();
        let lease = self.machine(&master).lease.as_ref();
        let other = lease.filter(|held| held.is_held() && held.run != *run);
        if let Some(holder) = other.map(|held| held.run.clone()) {
            self.break_law(format!(
                "run {run} writes {what} under the lease of run {holder}"
            ));
        }
    }

    /// A run begins to change a host: nobody else may hold the lease, and the host must know the run.
    pub(super) fn acts(&mut self, run: &RunId, node: &NodeName) {
        self.acts += 1;
        let master = self.desired.master.clone();
        let lease = self.machine(&master).lease.clone();
        if let Some(held) = lease.filter(|held| held.is_held() && held.run != *run) {
            self.break_law(format!(
                "run {run} acts on {node} under the lease of run {}",
                held.run
            ));
        }
        let fence = self.machine(node).fence.clone();
        if fence.as_ref() != Some(run) {
            self.break_law(format!(
                "run {run} acts on {node} and the fence there is {fence:?}"
            ));
        }
    }

    /// Stops the process of a component.
    pub(super) fn stop(&mut self, node: &NodeName, component: Component) {
        let frozen = if component == Component::Tarsnode {
            let machine = &self.machines[node];
            machine.registered.map(|_| self.active_on(node))
        } else {
            None
        };
        if component == Component::Tarsnode
            && self.unread.contains(node)
            && self.machines[node].labels.is_none()
        {
            self.blind.insert(node.clone());
        }
        let machine = self.machine(node);
        let Some(part) = machine.parts.get_mut(&component) else {
            return;
        };
        if part.process.take().is_none() {
            return;
        }
        if component == Component::Tarsnode {
            if let Some(frozen) = frozen {
                machine.frozen = frozen;
            }
            machine.registered = None;
            machine.left = Some(Instant::now());
        }
        if component == Component::Tarsregistry {
            machine.beat = Some(Instant::now());
        }
        self.look_at_laws(&format!("{component} of {node} was stopped"));
    }

    /// Starts a component, if its program comes up.
    pub(super) fn start(&mut self, shared: &Shared, node: &NodeName, component: Component) {
        let boot = self.delay(300, 2000);
        let dud = self.faults.duds.contains(node);
        let dead = self.faults.dead.contains(node);
        let fresh = self.new_programs.clone();
        let machine = self.machine(node);
        let pid = machine.next_pid;
        let Some(part) = machine.parts.get_mut(&component) else {
            return;
        };
        let Some(exe) = part.binary(component) else {
            return;
        };
        if part.process.is_some() || dead || dud && fresh.contains(&exe) {
            return;
        }
        let up = Instant::now() + boot;
        part.process = Some(Process { pid, exe, up });
        machine.next_pid += 1;
        if component == Component::Tarsnode {
            let (shared, node) = (shared.clone(), node.clone());
            tokio::spawn(async move {
                sleep(boot + REGISTERS).await;
                while !shared.lock().register(&node, pid) {
                    sleep(AGAIN).await;
                }
            });
        }
    }

    /// A tarsnode registers: its row is replaced, and its servers count as inactive until it tells of them.
    /// Whether it need not try again.
    fn register(&mut self, node: &NodeName, pid: u32) -> bool {
        let version = {
            let machine = &self.machines[node];
            let part = machine.parts.get(&Component::Tarsnode);
            let Some(process) = part.and_then(|p| p.process.as_ref()) else {
                return true;
            };
            if process.pid != pid {
                return true;
            }
            let all = self.catalog.versions_of(Component::Tarsnode, &process.exe);
            all.first().map(ToString::to_string)
        };
        if self.faults.unregistered.contains(node) || self.faults.database_is_down() {
            return false;
        }
        self.machine(node).registered = Some(Instant::now());
        let id = self.nodes.values().map(|row| row.id).max().unwrap_or(0) + 1;
        self.nodes.insert(
            node.to_string(),
            NodeBase {
                id,
                label: None,
                group: Some(-1),
                version,
            },
        );
        self.look_at_laws(&format!("{node} registered"));
        true
    }

    pub(super) fn process(&self, node: &NodeName, component: Component) -> Option<&Process> {
        self.machines
            .get(node)?
            .parts
            .get(&component)?
            .process
            .as_ref()
    }

    /// Whether a component runs and answers.
    pub(super) fn is_up(&self, node: &NodeName, component: Component) -> bool {
        self.process(node, component)
            .is_some_and(|p| p.up <= Instant::now())
    }
}
