//! What the rules read: the input, sorted once by what they ask.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use tarsops_conf::{Document, tarsnode};
use tarsops_model::agent::AgentFacts;
use tarsops_model::framework::{Asked, FrameworkFacts, RegistryRow, Rows, ServerRow};
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::input::PlanInput;
use crate::registry_rows;

/// What the rules read.
pub(super) struct Facts<'a> {
    /// The input of the planner.
    pub(super) input: PlanInput<'a>,
    /// The framework, if the spec names a database or lets servants be asked.
    pub(super) framework: Option<&'a FrameworkFacts>,
    /// The rows of the database, if they could be read.
    pub(super) rows: Option<&'a Rows>,
    /// The registries that the database lists, if it could be asked.
    pub(super) listed: Option<BTreeMap<Endpoint, &'a RegistryRow>>,
    /// The nodes of the spec that are in scope and should be present.
    pub(super) nodes: Vec<Node<'a>>,
}

impl<'a> Facts<'a> {
    /// Sorts the input.
    pub(super) fn of(input: &PlanInput<'a>) -> Self {
        let framework = input.inventory.framework.as_deref();
        let rows = framework.and_then(|f| match f.rows() {
            Observed::Present(rows) => Some(rows),
            _ => None,
        });
        let mut servants: BTreeMap<&NodeName, Vec<&Asked>> = BTreeMap::new();
        for asked in framework.iter().flat_map(|f| f.servants.values()) {
            servants.entry(&asked.node).or_default().push(asked);
        }
        let mut servers: BTreeMap<&str, Vec<&ServerRow>> = BTreeMap::new();
        for row in rows.and_then(|r| r.servers.present()).into_iter().flatten() {
            servers.entry(&row.node).or_default().push(row);
        }
        let nodes = input
            .desired
            .hosts()
            .filter(|(name, spec)| spec.state == NodeState::Present && input.scope.has_node(name))
            .map(|(name, spec)| Node {
                name,
                spec,
                host: present(input.inventory.host(name)),
                agent: present(input.inventory.agent(name)),
                servants: servants.remove(name).unwrap_or_default(),
                servers: servers.remove(name.as_str()).unwrap_or_default(),
                locator: OnceCell::new(),
            })
            .collect();
        Self {
            input: *input,
            framework,
            rows,
            listed: rows.and_then(registry_rows::listed),
            nodes,
        }
    }

    /// Whether the database lists registries, and none of them is in the spec.
    pub(super) fn is_foreign(&self) -> bool {
        let spec = &self.input.desired.registries;
        self.listed
            .as_ref()
            .is_some_and(|all| !all.is_empty() && all.keys().all(|at| !spec.contains(at)))
    }

    /// Whether the spec has the framework in containers, or some were seen.
    pub(super) fn has_containers(&self) -> bool {
        let looked = |node: &Node<'_>| node.host.is_some_and(|host| host.docker.is_some());
        self.input.desired.containers().next().is_some() || self.nodes.iter().any(looked)
    }

    /// Whether the platform of the spec is on a host, or may be, or is a part of containers.
    pub(super) fn has_console(&self) -> bool {
        let (input, web) = (&self.input, self.input.desired.web());
        let Some(console) = web.and_then(|web| web.console.as_ref()) else {
            return false;
        };
        let seen = match input.inventory.console() {
            Observed::Present(seen) => !seen.version.is_absent(),
            Observed::Absent => false,
            Observed::Unknown(_) => true,
        };
        seen && input.scope.has_node(&console.node)
    }

    /// The node of the spec at the address of a registry.
    pub(super) fn node_at(&self, at: &Endpoint) -> Option<(&'a NodeName, &'a Host)> {
        let address = at.host.to_string();
        let mut all = self.input.desired.hosts();
        all.find(|(_, host)| host.ip.to_string() == address)
    }
}

fn present<T>(seen: Observed<T>) -> Option<T> {
    match seen {
        Observed::Present(value) => Some(value),
        _ => None,
    }
}

/// A node and what was seen of it.
pub(super) struct Node<'a> {
    /// Its name.
    pub(super) name: &'a NodeName,
    /// What the spec says of it.
    pub(super) spec: &'a Host,
    /// What was seen of its host.
    pub(super) host: Option<&'a HostFacts>,
    /// What was seen of its agent.
    pub(super) agent: Option<&'a AgentFacts>,
    /// Its servants that were asked.
    pub(super) servants: Vec<&'a Asked>,
    /// The rows of servers on it.
    pub(super) servers: Vec<&'a ServerRow>,
    locator: OnceCell<Option<BTreeSet<(String, u16)>>>,
}

impl Node<'_> {
    /// Its agent, as a resource.
    pub(super) fn resource(&self) -> ResourceId {
        ResourceId::Agent(self.name.clone())
    }

    /// Whether tarsnode runs there under the node's own name.
    pub(super) fn runs_as_itself(&self) -> bool {
        let processes = self.agent.and_then(|a| a.processes.present());
        processes.is_some_and(|all| {
            all.iter()
                .any(|p| p.nodeid.as_deref() == Some(self.name.as_str()))
        })
    }

    /// `seconds` if tarsnode runs there and so heals what it heals.
    pub(super) fn heals_within(&self, seconds: u64) -> Option<u64> {
        self.runs_as_itself().then_some(seconds)
    }

    /// The registries that its configuration names, if that could be read.
    pub(super) fn locator(&self) -> Option<&BTreeSet<(String, u16)>> {
        let read = || {
            let conf = self.agent?.conf.present()?;
            let document = Document::parse(&conf.text).ok()?;
            Some(tarsnode::read(&document).locator)
        };
        self.locator.get_or_init(read).as_ref()
    }
}

/// Seconds in which a registry writes its own rows; it does so every 13 s.
pub(super) const REGISTRY_WRITES: u64 = 15;
/// Seconds in which a tarsnode has sent its next heartbeat, which it does every 10 s, and has started
/// a server that ended.
pub(super) const NODE_BEATS: u64 = 15;
/// Seconds in which a tarsnode has reported all its servers, read its configuration, and tried to
/// reach AdminRegistry, which it does each minute (`NodeServer/KeepAliveThread.cpp`).
pub(super) const NODE_REPORTS: u64 = 65;
/// Seconds in which a registry has read its rows again and a tarsnode has taken its locator from it.
pub(super) const NODE_FOLLOWS: u64 = 120;

/// The first `shown` names, and how many more there are.
pub(super) fn first_of<N: Display>(names: impl IntoIterator<Item = N>, shown: usize) -> String {
    let mut names = names.into_iter();
    let mut text = String::new();
    for name in names.by_ref().take(shown) {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{name}");
    }
    match names.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
