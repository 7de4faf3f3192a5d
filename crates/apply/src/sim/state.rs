//! The state of a world: its hosts, what the framework makes of them, and its time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{
    AdapterRow, AdminFacts, Answer, Asked, DATABASES, DatabaseFacts, FrameworkFacts, NodeRow,
    Protection, RegistryRow, Rows, ServerRow, ServerView, TemplateRow, server_key,
};
use tarsops_model::names::{Endpoint, NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tokio::time::{Instant, sleep};

use super::NOW;
use super::faults::{Reply, Schedule};
use super::host::{Machine, Process, REGISTERS};

/// After so long without a sign of life a registry calls a node inactive.
const SILENCE: Duration = Duration::from_secs(250);
/// Between two tries of a tarsnode to register.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two heartbeats of a registry.
const BEAT: u64 = 13;
/// The port of a registry's QueryObj.
const REGISTRY: u16 = 17890;

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

/// The state.
pub(super) struct State {
    pub(super) start: Instant,
    pub(super) desired: Arc<Desired>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) machines: BTreeMap<NodeName, Machine>,
    /// Small texts by their digest.
    pub(super) texts: BTreeMap<Digest, String>,
    pub(super) nodes: BTreeMap<String, NodeBase>,
    /// Rows of servers; what they say of a process follows from the host.
    pub(super) servers: Vec<ServerRow>,
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
    /// Acts on hosts, for figures.
    pub(super) acts: usize,
    /// Tasks of those who publish, by number.
    pub(super) tasks: BTreeMap<String, super::publish::Task>,
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

    fn break_law(&mut self, what: String) {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(0);
        if !self.broken.iter().any(|b| b.what == what) {
            self.broken.push(Broken { at, what });
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

    fn process(&self, node: &NodeName, component: Component) -> Option<&Process> {
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

    /// Whether the database calls a server active.
    fn is_active(&self, row: &ServerRow) -> bool {
        let Ok(node) = row.node.parse::<NodeName>() else {
            return false;
        };
        let Some(machine) = self.machines.get(&node) else {
            return false;
        };
        if row.setting.as_deref() != Some("active") {
            return false;
        }
        let Some(registered) = machine.registered else {
            let gone = machine.left.is_some_and(|left| left.elapsed() > SILENCE);
            return !gone && machine.frozen.contains(&row.full_name());
        };
        let up = match row.server.parse::<Component>() {
            Ok(component) if row.application == "tars" => match self.process(&node, component) {
                Some(process) => process.up,
                None => return false,
            },
            // Services of others run all the time.
            _ => registered,
        };
        let told = Duration::from_millis(500 + 700 * u64::from(machine.lag));
        registered.max(up) + told <= Instant::now()
    }

    fn active_on(&self, node: &NodeName) -> BTreeSet<String> {
        let own = self.servers.iter().filter(|r| r.node == node.as_str());
        own.filter(|r| self.is_active(r))
            .map(ServerRow::full_name)
            .collect()
    }

    pub(super) fn applications_on(&self, node: &NodeName) -> Vec<String> {
        let own = self.servers.iter().filter(|r| r.node == node.as_str());
        own.filter(|r| r.application != "tars")
            .map(ServerRow::full_name)
            .collect()
    }

    /// How many endpoints each servant has that answer and are resolved.
    pub(super) fn endpoints(&self) -> BTreeMap<String, usize> {
        let mut out = BTreeMap::new();
        let active: BTreeSet<(&str, &str, &str)> = self
            .servers
            .iter()
            .filter(|row| self.is_active(row) && self.answers(row))
            .map(|r| (r.application.as_str(), r.server.as_str(), r.node.as_str()))
            .collect();
        for adapter in &self.adapters {
            let Some(servant) = &adapter.servant else {
                continue;
            };
            let key = (
                adapter.application.as_str(),
                adapter.server.as_str(),
                adapter.node.as_str(),
            );
            let count = out.entry(servant.clone()).or_insert(0);
            *count += usize::from(active.contains(&key));
        }
        out
    }

    fn answers(&self, row: &ServerRow) -> bool {
        match (row.server.parse::<Component>(), row.node.parse()) {
            (Ok(component), Ok(node)) if row.application == "tars" => self.is_up(&node, component),
            _ => true,
        }
    }

    /// Looks whether every law holds now.
    pub(super) fn look_at_laws(&mut self, after: &str) {
        let registries = self
            .machines
            .keys()
            .filter(|node| self.is_up(node, Component::Tarsregistry))
            .count();
        if registries == 0 {
            self.break_law(format!("no registry answers after {after}"));
        }
        if self.guarded.is_empty() {
            return;
        }
        let endpoints = self.endpoints();
        let none: Vec<String> = self
            .guarded
            .iter()
            .filter(|servant| endpoints.get(*servant).copied().unwrap_or(0) == 0)
            .cloned()
            .collect();
        for servant in none {
            self.break_law(format!("{servant} has no endpoint after {after}"));
        }
    }

    // ---- what the framework says ----------------------------------------------------------

    fn server_row(&self, row: &ServerRow) -> ServerRow {
        let active = self.is_active(row);
        let pid = row
            .node
            .parse()
            .ok()
            .zip(row.server.parse::<Component>().ok())
            .and_then(|(node, component)| self.process(&node, component))
            .map(|p| i64::from(p.pid));
        ServerRow {
            present: Some(if active { "active" } else { "inactive" }.to_owned()),
            pid: Some(pid.unwrap_or(0)),
            ..row.clone()
        }
    }

    fn node_row(&self, node: &NodeName) -> Option<NodeRow> {
        let base = self.nodes.get(node.as_str())?;
        let machine = &self.machines[node];
        let since = match (machine.registered, machine.left) {
            (Some(_), _) => 3,
            (None, left) => left.map_or(9999, |l| l.elapsed().as_secs()),
        };
        let active = since < SILENCE.as_secs();
        Some(NodeRow {
            name: node.to_string(),
            id: Some(base.id),
            endpoint_ip: Some(machine.ip.to_string()),
            present: Some(if active { "active" } else { "inactive" }.to_owned()),
            setting: Some("active".to_owned()),
            version: base.version.clone(),
            group_id: base.group,
            label: base.label.clone(),
            heartbeat_age: i64::try_from(since).ok(),
            ..NodeRow::default()
        })
    }

    fn registry_rows(&self) -> Vec<RegistryRow> {
        let of = |(_, machine): (&NodeName, &Machine)| {
            let part = machine.parts.get(&Component::Tarsregistry)?;
            let age = match &part.process {
                Some(process) if process.up <= Instant::now() => {
                    process.up.elapsed().as_secs() % BEAT
                }
                _ => machine.beat.map_or(999, |beat| beat.elapsed().as_secs()),
            };
            Some(RegistryRow {
                locator: Endpoint::at(machine.ip, REGISTRY).to_string(),
                servant: "tars.tarsregistry.QueryObj".to_owned(),
                present: Some("active".to_owned()),
                heartbeat_age: i64::try_from(age).ok(),
                ..RegistryRow::default()
            })
        };
        self.machines.iter().filter_map(of).collect()
    }

    pub(super) fn answer(&self, node: &NodeName, component: Component) -> Answer {
        if self.faults.is_silent(node) {
            Answer::Silent("no answer".to_owned())
        } else if self.is_up(node, component) {
            Answer::Answers
        } else {
            Answer::Refused
        }
    }

    fn ping(&self, node: &NodeName) -> Observed<bool> {
        let admin = self.desired.admin().map(|(node, _)| node);
        let admin = admin.and_then(|node| self.process(node, Component::TarsAdminRegistry));
        let connected = admin
            .zip(self.machines[node].registered)
            .is_some_and(|(admin, at)| admin.up.max(at) + Duration::from_secs(1) <= Instant::now());
        Observed::Present(connected && !self.faults.is_silent(node))
    }

    /// Why AdminRegistry cannot be asked, if it cannot.
    pub(super) fn admin_fault(&self) -> Option<String> {
        let Some((node, _)) = self.desired.admin() else {
            return Some("there is no AdminRegistry".to_owned());
        };
        if self.faults.admin_is_mute() || self.faults.is_silent(node) {
            return Some("AdminRegistry did not answer".to_owned());
        }
        let up = self.is_up(node, Component::TarsAdminRegistry);
        (!up).then(|| "AdminRegistry refuses connections".to_owned())
    }

    fn view(&self, component: Component, node: &NodeName) -> Option<ServerView> {
        let row = self.row(component, node)?;
        let row = self.server_row(row);
        let connected = self.ping(node) == Observed::Present(true);
        let up = self.is_up(node, component);
        let in_node = match (connected, up) {
            (true, true) => "Active",
            (true, false) => "Inactive",
            (false, _) => "",
        };
        Some(ServerView {
            setting: row.setting.unwrap_or_default(),
            present: row.present.unwrap_or_default(),
            in_node: in_node.to_owned(),
            pid: row.pid.and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
            patch_version: row.patch_version.unwrap_or_default(),
            library: Observed::Absent,
        })
    }

    pub(super) fn row(&self, component: Component, node: &NodeName) -> Option<&ServerRow> {
        self.servers.iter().find(|r| {
            r.application == "tars" && r.server == component.name() && r.node == node.as_str()
        })
    }

    pub(super) fn row_mut(
        &mut self,
        component: Component,
        node: &NodeName,
    ) -> Option<&mut ServerRow> {
        self.servers.iter_mut().find(|r| {
            r.application == "tars" && r.server == component.name() && r.node == node.as_str()
        })
    }

    fn asked(&self, component: Component, node: &NodeName) -> Vec<(String, Asked)> {
        let ip = self.machines[node].ip;
        let all = component.servants().iter();
        all.map(|(servant, port)| {
            let asked = Asked {
                component,
                node: node.clone(),
                servant: (*servant).to_owned(),
                at: Endpoint::at(ip, *port),
                answer: self.answer(node, component),
            };
            (format!("{servant}@{node}"), asked)
        })
        .collect()
    }

    fn database(&self, rows: Rows) -> Observed<DatabaseFacts> {
        if self.faults.database_is_down() {
            return Observed::Unknown("the database did not answer".to_owned());
        }
        Observed::Present(DatabaseFacts {
            server: "11.4".to_owned(),
            protection: Observed::Present(Protection::Authority),
            clock_skew: 0,
            read_only: Observed::Present(self.faults.read_only),
            databases: DATABASES
                .iter()
                .map(|name| ((*name).to_owned(), Observed::Present(())))
                .collect(),
            rows: Observed::Present(rows),
            default_login: Observed::Present(false),
        })
    }

    /// Everything that the framework says.
    pub(super) fn facts(&self) -> FrameworkFacts {
        let mut servants: BTreeMap<String, Asked> = BTreeMap::new();
        let mut registries = BTreeMap::new();
        for (node, machine) in &self.machines {
            for component in machine.parts.keys() {
                servants.extend(self.asked(*component, node));
            }
            if machine.parts.contains_key(&Component::Tarsregistry) {
                let at = Endpoint::at(machine.ip, REGISTRY);
                registries.insert(at, self.answer(node, Component::Tarsregistry));
            }
        }
        let admin = match self.admin_fault() {
            Some(why) => Observed::Unknown(why),
            None => Observed::Present(AdminFacts {
                version: Observed::Present("3.0.17".to_owned()),
                nodes: Observed::Present(self.machines.keys().map(ToString::to_string).collect()),
                connections: BTreeMap::new(),
                pings: self
                    .machines
                    .keys()
                    .map(|n| (n.clone(), self.ping(n)))
                    .collect(),
                servers: self.views(),
            }),
        };
        let database = self.database(Rows {
            nodes: Observed::Present(
                self.machines
                    .keys()
                    .filter_map(|n| Some((n.to_string(), self.node_row(n)?)))
                    .collect(),
            ),
            servers: Observed::Present(self.servers.iter().map(|r| self.server_row(r)).collect()),
            adapters: Observed::Present(self.adapters.clone()),
            registries: Observed::Present(self.registry_rows()),
            templates: Observed::Present(self.templates.clone()),
            columns: self.columns.clone(),
        });
        FrameworkFacts {
            servants,
            registries,
            admin,
            database,
            console: Observed::Absent,
        }
    }

    fn views(&self) -> BTreeMap<String, Observed<ServerView>> {
        let mut out = BTreeMap::new();
        for (node, machine) in &self.machines {
            for component in machine.parts.keys() {
                if let Some(view) = self.view(*component, node) {
                    out.insert(server_key(*component, node), Observed::Present(view));
                }
            }
        }
        out
    }

    /// What it says of one node, of one of its components, or of its registry.
    pub(super) fn facts_of(&self, node: &NodeName, component: Option<Component>) -> FrameworkFacts {
        let not_asked = || "it was not asked".to_owned();
        let admin = match self.admin_fault() {
            Some(why) => Observed::Unknown(why),
            None => Observed::Present(AdminFacts {
                version: Observed::Unknown(not_asked()),
                nodes: Observed::Unknown(not_asked()),
                connections: BTreeMap::new(),
                pings: [(node.clone(), self.ping(node))].into(),
                servers: component
                    .and_then(|c| Some((server_key(c, node), self.view(c, node)?)))
                    .map(|(key, view)| (key, Observed::Present(view)))
                    .into_iter()
                    .collect(),
            }),
        };
        let own = |row: &&ServerRow| {
            row.node == node.as_str()
                && component.is_none_or(|c| row.application == "tars" && row.server == c.name())
        };
        let database = self.database(Rows {
            nodes: Observed::Present(
                self.node_row(node)
                    .map(|row| (node.to_string(), row))
                    .into_iter()
                    .collect(),
            ),
            servers: Observed::Present(
                self.servers
                    .iter()
                    .filter(own)
                    .map(|r| self.server_row(r))
                    .collect(),
            ),
            adapters: Observed::Unknown(not_asked()),
            registries: Observed::Present(self.registry_rows()),
            templates: Observed::Unknown(not_asked()),
            columns: BTreeMap::new(),
        });
        let at = Endpoint::at(self.machines[node].ip, REGISTRY);
        FrameworkFacts {
            servants: component
                .map(|c| self.asked(c, node))
                .unwrap_or_default()
                .into_iter()
                .collect(),
            registries: [(at, self.answer(node, Component::Tarsregistry))].into(),
            admin,
            database,
            console: Observed::Absent,
        }
    }
}
