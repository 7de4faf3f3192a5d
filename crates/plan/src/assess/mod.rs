//! Compares tarsnode on one node with the spec, and says what one script on the host should do.
//!
//! Every fact is looked at on its own; what cannot be seen makes the node unknown, and an unknown
//! node gets no step. What must stay true: a node's step either brings all of it to the spec or is
//! not made at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_model::agent::{Agent, AgentFacts};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::PackageContents;
use tarsops_model::resource::ResourceId;

use crate::actions::{FileChange, HostChange};
use crate::condition::Condition;
use crate::drift::{DriftKind, FieldChange};
use crate::input::PlanInput;
use crate::places;
use crate::registries;
use crate::report::{Blocked, Line};

mod ending;
mod files;
mod host;
mod install;
mod removal;
mod running;
mod texts;

/// What there is to say of one node.
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// How it differs; `None` if it does not, or if that is nobody's concern.
    pub drift: Option<DriftKind>,
    /// Reasons and notes.
    pub lines: Vec<Line>,
    /// What one script should do.
    pub change: Option<Prepared>,
}

/// A change with its conditions.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What to do.
    pub change: HostChange,
    /// What must hold before.
    pub pre: Vec<Condition>,
    /// What must hold after.
    pub post: Vec<Condition>,
}

/// What is found by address or by node, so that no node walks over all of them.
#[derive(Debug, Default)]
pub(crate) struct Places<'a> {
    by_address: BTreeMap<IpAddr, &'a NodeName>,
    servers: BTreeMap<&'a str, Vec<&'a ServerRow>>,
    /// How many rows of adapters name each node.
    adapters: BTreeMap<&'a str, usize>,
    /// Whether it is proven that no registry answers, nor that one is about to be started.
    no_registry: bool,
}

impl<'a> Places<'a> {
    /// The places of all nodes of the spec, and the rows of servers on each node.
    pub(crate) fn of(input: &PlanInput<'a>) -> Self {
        let by_address = input.desired.hosts().map(|(n, h)| (h.ip, n)).collect();
        let mut servers: BTreeMap<&str, Vec<&ServerRow>> = BTreeMap::new();
        let mut adapters: BTreeMap<&str, usize> = BTreeMap::new();
        if let Some(framework) = &input.inventory.framework
            && let Observed::Present(rows) = framework.rows()
        {
            for row in rows.servers.present().into_iter().flatten() {
                servers.entry(&row.node).or_default().push(row);
            }
            for row in rows.adapters.present().into_iter().flatten() {
                *adapters.entry(&row.node).or_default() += 1;
            }
        }
        Self {
            by_address,
            servers,
            adapters,
            no_registry: no_registry(input),
        }
    }

    /// The node at an address.
    pub(crate) fn node_at(&self, ip: IpAddr) -> Option<&'a NodeName> {
        self.by_address.get(&ip).copied()
    }

    /// How many rows of servers and adapters name a node, of those that could be read.
    pub(crate) fn rows_naming(&self, node: &NodeName) -> usize {
        let adapters = self.adapters.get(node.as_str()).copied();
        self.servers_on(node).len() + adapters.unwrap_or_default()
    }

    /// The rows of servers on a node.
    pub(crate) fn servers_on(&self, node: &NodeName) -> &[&'a ServerRow] {
        self.servers.get(node.as_str()).map_or(&[], Vec::as_slice)
    }
}

fn no_registry(input: &PlanInput<'_>) -> bool {
    let Some(framework) = &input.inventory.framework else {
        return false;
    };
    let all = &framework.registries;
    // One that could not be asked may well live.
    let silent = !all.is_empty() && all.values().all(|a| !a.is_alive() && !a.is_unknown());
    silent
        && !input
            .desired
            .hosts()
            .filter(|(_, h)| all.contains_key(&places::endpoint_at(h.ip)))
            .any(|(n, _)| {
                let host = input.inventory.host(n);
                host.present()
                    .is_some_and(|h| registries::may_be_started(h))
            })
}

/// What is gathered while one node is compared.
struct NodeAssessment<'a> {
    input: &'a PlanInput<'a>,
    places: &'a Places<'a>,
    node: &'a NodeName,
    agent: &'a Agent,
    host: &'a HostFacts,
    package: Option<&'a PackageContents>,
    fields: Vec<FieldChange>,
    unknown: Vec<String>,
    blocked: Vec<Blocked>,
    lines: Vec<Line>,
    files: Vec<FileChange>,
    restart: bool,
    own: bool,
    make_user: bool,
    retains_binary: Option<Digest>,
    replaced: bool,
    /// What the locator names afterwards, at least, where that is less than the spec's registries.
    locator_after: Option<BTreeSet<(String, u16)>>,
    port: Option<u16>,
}

/// Compares `node` with the spec. The caller has made sure of the host's identity.
#[must_use]
pub fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    agent: &Agent,
    host: &HostFacts,
) -> Assessment {
    assess_among(input, &Places::of(input), node, spec, agent, host)
}

/// As [`assess`], for many nodes of one spec.
pub(crate) fn assess_among(
    input: &PlanInput<'_>,
    places: &Places<'_>,
    node: &NodeName,
    spec: &Host,
    agent: &Agent,
    host: &HostFacts,
) -> Assessment {
    let facts = match input.inventory.agent(node) {
        Observed::Unknown(why) => {
            return Assessment {
                drift: Some(DriftKind::Unknown { why: vec![why] }),
                ..Assessment::default()
            };
        }
        Observed::Absent => None,
        Observed::Present(facts) => Some(facts),
    };
    let work = NodeAssessment {
        input,
        places,
        node,
        agent,
        host,
        package: input.catalog.get(Component::Tarsnode, agent.version),
        fields: vec![],
        unknown: vec![],
        blocked: vec![],
        lines: vec![],
        files: vec![],
        restart: false,
        own: false,
        make_user: false,
        retains_binary: None,
        replaced: false,
        locator_after: None,
        port: None,
    };
    match (&spec.state, facts) {
        (NodeState::Absent { stop_servers }, facts) => work.removal(facts, *stop_servers),
        (_, Some(facts)) if !facts.folder.is_absent() => work.existing(facts),
        (_, facts) => work.install(facts),
    }
}

impl NodeAssessment<'_> {
    fn resource(&self) -> ResourceId {
        ResourceId::Agent(self.node.clone())
    }

    fn tars(&self) -> &str {
        self.agent.tars_path.as_str()
    }

    fn block(&mut self, why: Blocked) {
        if !self.blocked.contains(&why) {
            self.blocked.push(why);
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Note {
            resource: self.resource(),
            text: text.into(),
        });
    }

    /// A digest as people know it: its version, or its first digits.
    fn name_of(&self, digest: &Digest) -> String {
        crate::components::name_of(self.input.catalog, Component::Tarsnode, digest)
    }
}

/// Whether a process of it was seen.
fn runs(facts: &AgentFacts) -> bool {
    facts.processes.present().is_some_and(|p| !p.is_empty())
}
