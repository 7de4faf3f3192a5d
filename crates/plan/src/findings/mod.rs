//! What no one should have to debug again: contradictions between the sources, each with a name, a
//! plain explanation and a cure.
//!
//! The sources are the spec, the hosts, the framework's servants (Tars RPC) and its database. Each
//! one's word is kept; nothing is averaged. A finding rests on words that were had: where a source
//! is silent, that is told as unknown ([`unknowns`]) and nothing is concluded from it.

mod adapters;
mod builds;
pub mod check;
pub(crate) mod cluster;
mod nodes;
mod truth;

use std::fmt;

use serde::{Deserialize, Serialize};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::drift::{Drift, DriftKind};
use crate::input::PlanInput;

pub(crate) use cluster::is_fresh;
pub use truth::{Truth, truth};

/// What was found, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// Two hosts run under one nodeid.
    NodeidTwice,
    /// The database belongs to another cluster.
    ForeignDatabase,
    /// The database has no `db_tars`.
    NoDatabase,
    /// The database takes no changes.
    DatabaseReadOnly,
    /// A node is registered under another name or address than the spec's.
    RegisteredElsewhere,
    /// tarsnode runs, and the registry has no row of it.
    NotRegistered,
    /// tarsnode runs, and the registry calls the node inactive.
    NodeInactive,
    /// The database calls a node active that AdminRegistry has lost.
    ConnectionLost,
    /// A registry of the spec does not answer.
    RegistrySilent,
    /// A registry answers, and the database does not list it.
    RegistryUnlisted,
    /// A row of a registry that is gone.
    RegistryGone,
    /// A living registry that the spec does not name.
    RegistryNotInSpec,
    /// A servant that the spec expects does not answer.
    ServantSilent,
    /// A server's process runs, and the registry calls it inactive.
    RunsInactive,
    /// The registry calls a server active, and no process of it runs.
    ActiveNotRunning,
    /// A basic service has other adapters than the release's.
    AdaptersDiffer,
    /// A basic service has an adapter that its release does not have.
    AdaptersExtra,
    /// Clocks differ by more than two seconds.
    ClockSkew,
    /// Another process holds a port that the spec needs.
    PortTaken,
    /// The installer's account is open with its default password.
    DefaultPassword,
    /// Another user's process calls itself by the path of a component.
    Impostor,
    /// Others can write on the way to the folder of tarsops' own files on a host.
    UnsafeFolder,
    /// A locator names no registry that lives.
    DeadLocator,
    /// A locator does not name what the database lists, and should by itself.
    LocatorBehind,
}

impl Name {
    /// All names, in the order in which `check` shows them.
    pub const ALL: [Self; 24] = [
        Self::ForeignDatabase,
        Self::NoDatabase,
        Self::DatabaseReadOnly,
        Self::DefaultPassword,
        Self::RegistrySilent,
        Self::RegistryUnlisted,
        Self::RegistryGone,
        Self::RegistryNotInSpec,
        Self::ServantSilent,
        Self::NodeidTwice,
        Self::RegisteredElsewhere,
        Self::NotRegistered,
        Self::NodeInactive,
        Self::ConnectionLost,
        Self::DeadLocator,
        Self::LocatorBehind,
        Self::RunsInactive,
        Self::ActiveNotRunning,
        Self::AdaptersDiffer,
        Self::AdaptersExtra,
        Self::PortTaken,
        Self::Impostor,
        Self::UnsafeFolder,
        Self::ClockSkew,
    ];

    /// The name as it is printed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NodeidTwice => "nodeid-twice",
            Self::ForeignDatabase => "foreign-database",
            Self::NoDatabase => "no-database",
            Self::DatabaseReadOnly => "database-read-only",
            Self::RegisteredElsewhere => "registered-elsewhere",
            Self::NotRegistered => "not-registered",
            Self::NodeInactive => "node-inactive",
            Self::ConnectionLost => "connection-lost",
            Self::RegistrySilent => "registry-silent",
            Self::RegistryUnlisted => "registry-unlisted",
            Self::RegistryGone => "registry-gone",
            Self::RegistryNotInSpec => "registry-not-in-spec",
            Self::ServantSilent => "servant-silent",
            Self::RunsInactive => "runs-inactive",
            Self::ActiveNotRunning => "active-not-running",
            Self::AdaptersDiffer => "adapters-differ",
            Self::AdaptersExtra => "adapters-extra",
            Self::ClockSkew => "clock-skew",
            Self::PortTaken => "port-taken",
            Self::Impostor => "impostor",
            Self::UnsafeFolder => "unsafe-folder",
            Self::DefaultPassword => "default-password",
            Self::DeadLocator => "dead-locator",
            Self::LocatorBehind => "locator-behind",
        }
    }

    /// What is well where it was not found, for `check`.
    #[must_use]
    pub const fn when_well(self) -> &'static str {
        match self {
            Self::NodeidTwice => "every nodeid is claimed by one host",
            Self::ForeignDatabase => "the database is this cluster's",
            Self::NoDatabase => "db_tars is there",
            Self::DatabaseReadOnly => "the database takes changes",
            Self::RegisteredElsewhere => "nodes are registered under the spec's names",
            Self::NotRegistered => "every running tarsnode is registered",
            Self::NodeInactive => "every running tarsnode is active",
            Self::ConnectionLost => "AdminRegistry reaches every active node",
            Self::RegistrySilent => "every registry of the spec answers",
            Self::RegistryUnlisted => "every registry that answers is listed",
            Self::RegistryGone => "no row of a registry that is gone",
            Self::RegistryNotInSpec => "no registry beyond the spec",
            Self::ServantSilent => "every servant of the spec answers",
            Self::RunsInactive => "no server runs that is called inactive",
            Self::ActiveNotRunning => "every active server runs",
            Self::AdaptersDiffer => "basic services have the adapters of their release",
            Self::AdaptersExtra => "basic services have no other adapters",
            Self::ClockSkew => "clocks agree within 2 s",
            Self::PortTaken => "no port of the spec is taken",
            Self::Impostor => "no other user's process has the name of a component",
            Self::UnsafeFolder => "nobody else can write to tarsops' own files on the hosts",
            Self::DefaultPassword => "the installer's default password is closed",
            Self::DeadLocator => "every locator names a living registry",
            Self::LocatorBehind => "every locator names what the database lists",
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Nothing may be changed while it holds.
    Blocked,
    /// The cluster is not as the spec says.
    Drift,
    /// It works, and should not stay so.
    Warning,
}

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Its name.
    pub name: Name,
    /// How much it weighs.
    pub grade: Grade,
    /// What it is about.
    pub resource: ResourceId,
    /// What is so, in one clause.
    pub text: String,
    /// What to do about it, in one clause.
    pub cure: String,
    /// Each source and its word.
    pub sources: Vec<(String, String)>,
    /// Seconds within which it heals by itself, where those who heal it are seen at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heals_within: Option<u64>,
}

/// A registry writes its own rows every 13 s.
pub(crate) const REGISTRY_WRITES: u64 = 15;
/// A tarsnode sends a heartbeat every 10 s, and starts within seconds what has ended.
pub(crate) const NODE_BEATS: u64 = 15;
/// A tarsnode tells the registry of all its servers, looks at its configuration, and tries again to reach
/// AdminRegistry, each minute (`NodeServer/KeepAliveThread.cpp`).
pub(crate) const NODE_TELLS: u64 = 65;
/// What a registry reads anew and a tarsnode then takes over: a locator.
pub(crate) const NODE_FOLLOWS: u64 = 120;

/// Clocks may differ by so many seconds before a registry misses changes (its cache compares its own
/// clock with the database's).
pub const CLOCKS: i64 = 2;

/// Everything that is found in `input`, in a stable order.
#[must_use]
pub fn findings(input: &PlanInput<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    nodes::find(input, &mut out);
    adapters::find(input, &mut out);
    cluster::guard(input, &mut out);
    if input.scope.nodes.is_empty() {
        cluster::find(input, &mut out);
    }
    out.retain(|found| found.grade == Grade::Blocked || is_meant(input, &found.resource));
    out.sort();
    out.dedup();
    out
}

/// Whether a resource belongs to a component that is meant.
fn is_meant(input: &PlanInput<'_>, resource: &ResourceId) -> bool {
    use tarsops_model::component::Component;
    match resource {
        ResourceId::Agent(_) => input.scope.has_component(Component::Tarsnode),
        ResourceId::Server(component, _) => input.scope.has_component(*component),
        ResourceId::RegistryEndpoint(_) => input.scope.has_component(Component::Tarsregistry),
        _ => true,
    }
}

/// Sources that were asked and did not give their word, as drift of the unknown kind.
#[must_use]
pub fn unknowns(input: &PlanInput<'_>) -> Vec<Drift> {
    let Some(framework) = &input.inventory.framework else {
        return Vec::new();
    };
    let mut out = Vec::new();
    let mut unknown = |resource: ResourceId, why: String| {
        out.push(Drift {
            resource,
            kind: DriftKind::Unknown { why: vec![why] },
        });
    };
    if let Observed::Unknown(why) = &framework.database {
        unknown(ResourceId::Schema, why.clone());
    } else if let Observed::Unknown(why) = framework.rows() {
        unknown(ResourceId::Schema, why);
    } else if let Observed::Present(rows) = framework.rows() {
        for why in [
            rows.nodes.unknown(),
            rows.servers.unknown(),
            rows.registries.unknown(),
        ]
        .into_iter()
        .flatten()
        {
            unknown(ResourceId::Schema, why.to_owned());
        }
    }
    if let (Observed::Unknown(why), Some((node, _))) = (&framework.admin, input.desired.admin())
        && input.desired.rpc != tarsops_model::desired::Rpc::Off
    {
        let id = ResourceId::Server(
            tarsops_model::component::Component::TarsAdminRegistry,
            node.clone(),
        );
        unknown(id, why.clone());
    }
    for asked in framework.servants.values() {
        // Of a node that is gone nothing else is expected.
        let present = input
            .desired
            .host(&asked.node)
            .is_some_and(|h| h.state == tarsops_model::host::NodeState::Present);
        let meant = present
            && input.scope.has_node(&asked.node)
            && !framework.registries.contains_key(&asked.at);
        if let (Some(why), true) = (asked.answer.unknown(), meant) {
            let id = match asked.component {
                tarsops_model::component::Component::Tarsnode => {
                    ResourceId::Agent(asked.node.clone())
                }
                component => ResourceId::Server(component, asked.node.clone()),
            };
            unknown(id, format!("{}: {why}", asked.servant));
        }
    }
    if input.scope.nodes.is_empty() {
        for (at, answer) in &framework.registries {
            if let Some(why) = answer.unknown()
                && input.desired.rpc != tarsops_model::desired::Rpc::Off
            {
                unknown(ResourceId::RegistryEndpoint(at.clone()), why.to_owned());
            }
        }
    }
    out
}

/// Nodes that the framework has rows of and the spec does not name.
#[must_use]
pub fn extra(input: &PlanInput<'_>) -> Vec<ResourceId> {
    if !input.scope.nodes.is_empty() {
        return Vec::new();
    }
    let Some(framework) = &input.inventory.framework else {
        return Vec::new();
    };
    let Observed::Present(rows) = framework.rows() else {
        return Vec::new();
    };
    let Observed::Present(nodes) = &rows.nodes else {
        return Vec::new();
    };
    let addresses: std::collections::BTreeSet<String> = input
        .desired
        .hosts()
        .map(|(_, h)| h.ip.to_string())
        .collect();
    // Rows of servers may name a node that never registered, or whose row is gone.
    let placed = rows
        .servers
        .present()
        .into_iter()
        .flatten()
        .map(|row| &row.node);
    let names: std::collections::BTreeSet<&String> = nodes.keys().chain(placed).collect();
    let mut out: Vec<ResourceId> = names
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .filter(|name| input.desired.host(name).is_none())
        // A node under its address is told as registered elsewhere.
        .filter(|name: &tarsops_model::names::NodeName| !addresses.contains(name.as_str()))
        .map(ResourceId::Agent)
        .collect();
    out.sort();
    out
}
