//! The validated desired state of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::component::Component;
use crate::console::Console;
use crate::container::Container;
use crate::digest::Digest;
use crate::host::{Host, SshAccess};
use crate::names::{AbsPath, ClusterName, Endpoint, NodeName, UserName};
use crate::resource::ResourceId;
use crate::tables::{SETTINGS, Setting};
use crate::version::Version;

/// The guard over the framework's database. There is no value that rebuilds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rebuild {
    /// Databases are never created and never dropped.
    #[default]
    Never,
    /// What is proven absent may be created; nothing is ever dropped.
    Bootstrap,
}

/// Where a secret comes from; its value is never part of a desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    /// An environment variable of the control machine.
    Env(String),
    /// A file on the control machine.
    File(PathBuf),
    /// A program and its arguments, run only with `--allow-commands`.
    Command(Vec<String>),
}

/// A number of hosts, or a percentage of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// So many.
    Number(u32),
    /// So many of a hundred, rounded up.
    Percent(u8),
}

impl Count {
    /// How many of `total` this is; a percentage is rounded up.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Number(n) => n as usize,
            Self::Percent(p) => (total * usize::from(p)).div_ceil(100),
        }
    }
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The host puts the old state back; the run stops there.
    #[default]
    Rollback,
    /// As `rollback`, and then every host that this run had already changed is rolled back.
    RollbackAll,
    /// The failed host is left as it is for a person to look at; the run stops.
    Stop,
}

/// How a change is rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Hosts changed first, one batch of their own; 0 for none.
    pub canary: u32,
    /// Hosts changed at once, after the batches of the ramp.
    pub max_parallel: Count,
    /// Hosts changed at once in the first batches of a stage, one entry for each batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ramp: Vec<Count>,
    /// Hosts that may be silent while the rest continues.
    pub max_unreachable: Count,
    /// Seconds for which health must hold after a change.
    pub settle: u64,
    /// Seconds after which a step has failed.
    pub deadline: u64,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// Seconds for which a registry must have been well before the next one is touched: a registry
    /// takes changed rows over every 13 s (`RegistryServer/RegistryProcThread.cpp`).
    #[serde(default = "cache_interval")]
    pub registry_settle: u64,
    /// Whether the only registry that answers may be restarted.
    #[serde(default)]
    pub registry_gap: bool,
}

const fn cache_interval() -> u64 {
    13
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            canary: 1,
            max_parallel: Count::Number(10),
            ramp: Vec::new(),
            max_unreachable: Count::Number(0),
            settle: 30,
            deadline: 300,
            on_failure: OnFailure::Rollback,
            registry_settle: cache_interval(),
            registry_gap: false,
        }
    }
}

impl Policy {
    /// How many of the `total` hosts of a stage change together in its `batch`th batch, from 0; at
    /// least one. The canary makes the first batch smaller and never larger.
    #[must_use]
    pub fn batch_size(&self, batch: usize, total: usize) -> usize {
        let count = self.ramp.get(batch).unwrap_or(&self.max_parallel);
        let most = count.of(total).max(1);
        match self.canary as usize {
            canary if batch == 0 && canary > 0 => canary.min(most),
            _ => most,
        }
    }

    /// The same rollout with one host at a time.
    #[must_use]
    pub fn one_by_one(&self) -> Self {
        Self {
            canary: 0,
            max_parallel: Count::Number(1),
            ramp: Vec::new(),
            ..self.clone()
        }
    }

    /// The same rollout of what has run on its hosts before: without a canary and a ramp.
    #[must_use]
    pub fn without_ramp(&self) -> Self {
        Self {
            canary: 0,
            ramp: Vec::new(),
            ..self.clone()
        }
    }
}

/// Where release packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageSource {
    /// A folder on the control machine; `{version}` in it stands for the version.
    Folder(String),
    /// The live installation on a node.
    Node(NodeName),
}

/// A framework component other than `tarsnode` on a node, as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The framework version whose binary should be on disk and run.
    pub version: Version,
    /// The framework's folder, `<install_path>/tars`.
    pub tars_path: AbsPath,
    /// User that owns its files and runs its process.
    pub run_user: UserName,
    /// The address that it binds.
    pub ip: IpAddr,
    /// Whether a binary that no lock file knows may be replaced.
    pub replace_unknown: bool,
    /// Whether a newer binary may be replaced by an older one.
    pub allow_downgrade: bool,
    /// What the spec says of its rows in the framework's database.
    #[serde(default, skip_serializing_if = "RowSettings::is_empty")]
    pub rows: RowSettings,
}

/// A value that a spec has for a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// A whole number.
    Number(u32),
    /// A text.
    Text(String),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What the spec says of a basic service's rows, by the column of one of [`SETTINGS`]. What it does not
/// say is the installer's where the service is new, and left alone where it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowSettings(BTreeMap<String, SettingValue>);

impl RowSettings {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a column.
    pub fn set(&mut self, column: &str, value: SettingValue) {
        self.0.insert(column.to_owned(), value);
    }

    /// Its value for a column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&SettingValue> {
        self.0.get(column)
    }

    /// The template of the server's row (`t_server_conf.template_name`).
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        match self.get("template_name") {
            Some(SettingValue::Text(name)) => Some(name),
            _ => None,
        }
    }

    /// What it says of the rows of a table.
    pub fn of_table(&self, table: &str) -> impl Iterator<Item = (Setting, &SettingValue)> {
        let of_table = SETTINGS.into_iter().filter(move |s| s.table == table);
        of_table.filter_map(|setting| Some((setting, self.get(setting.column)?)))
    }
}

impl FromIterator<(&'static str, SettingValue)> for RowSettings {
    fn from_iter<I: IntoIterator<Item = (&'static str, SettingValue)>>(all: I) -> Self {
        let named = all
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Self(named.collect())
    }
}

/// How the framework's own word is had: calls to its servants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rpc {
    /// By connections from the control machine.
    #[default]
    Direct,
    /// Through the SSH connection to the node that the servant is on.
    Ssh,
    /// Not at all.
    #[serde(rename = "none")]
    Off,
}

/// Whether and how the connection to the database is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Always.
    Require,
    /// Always, and the server's certificate comes from this authority.
    Verify {
        /// File with the authority's certificate, on the control machine.
        ca: PathBuf,
    },
    /// Never.
    #[serde(rename = "none")]
    Off,
}

/// The framework's database, as the spec names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Where it listens.
    pub address: Endpoint,
    /// Its user.
    pub user: String,
    /// That user's password.
    pub password: SecretRef,
    /// Node through whose SSH it is reached; directly if left out.
    pub via: Option<NodeName>,
    /// Whether and how the connection is encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// Digest of the server's public key, if the spec has it.
    #[serde(default)]
    pub fingerprint: Option<Digest>,
}

/// The management platform, as the spec names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Web {
    /// Its base address.
    pub url: String,
    /// The ticket that tarsops shows it.
    pub ticket: SecretRef,
    /// Its installation; none in documents of releases that did not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
}

/// The desired state of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Resource {
    /// A machine.
    Host(Host),
    /// `tarsnode` on a machine.
    Agent(Box<Agent>),
    /// Another framework component.
    Server(Server),
    /// A registry endpoint that should answer.
    RegistryEndpoint,
    /// The framework's database.
    Schema(Database),
    /// The management platform.
    Web(Web),
    /// The framework's container.
    Container(Box<Container>),
}

/// The whole desired state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Name of the cluster.
    pub cluster: ClusterName,
    /// Digest of the spec's bytes.
    pub spec_digest: Digest,
    /// The guard over the database.
    pub rebuild: Rebuild,
    /// Folder that holds `tars/` on every host, and tarsops' own files where it does not act as root.
    pub install_path: AbsPath,
    /// User that the framework runs as.
    pub run_user: UserName,
    /// Whether a framework that all runs as somebody else is started again as the run user.
    #[serde(default)]
    pub change_run_user: bool,
    /// Everything that should exist.
    pub resources: BTreeMap<ResourceId, Resource>,
    /// How SSH reaches each node.
    pub access: BTreeMap<NodeName, SshAccess>,
    /// Registry endpoints of the spec.
    pub registries: BTreeSet<Endpoint>,
    /// How servants are asked.
    #[serde(default)]
    pub rpc: Rpc,
    /// The node on which the lease lies.
    pub master: NodeName,
    /// Where packages come from.
    pub packages: PackageSource,
    /// Versions that the spec asks for, by component.
    pub versions: BTreeSet<(Component, Version)>,
    /// How changes are rolled out.
    pub policy: Policy,
    /// Hosts that are looked at at once.
    pub parallel: u32,
    /// For how many seconds a connection that is idle is kept for the next run; none where each run ends
    /// its own.
    pub keep: Option<u64>,
}

impl Desired {
    /// The machine under `node`, if the spec has the node.
    #[must_use]
    pub fn host(&self, node: &NodeName) -> Option<&Host> {
        match self.resources.get(&ResourceId::Host(node.clone())) {
            Some(Resource::Host(h)) => Some(h),
            _ => None,
        }
    }

    /// The name of a node as the spec itself holds it, if the spec has the node.
    #[must_use]
    pub fn name(&self, node: &NodeName) -> Option<&NodeName> {
        let found = self
            .resources
            .get_key_value(&ResourceId::Host(node.clone()));
        found?.0.node()
    }

    /// `tarsnode` on `node`, if the spec has the node.
    #[must_use]
    pub fn agent(&self, node: &NodeName) -> Option<&Agent> {
        match self.resources.get(&ResourceId::Agent(node.clone())) {
            Some(Resource::Agent(a)) => Some(a),
            _ => None,
        }
    }

    /// `component` on `node`, if the spec places it there.
    #[must_use]
    pub fn server(&self, component: Component, node: &NodeName) -> Option<&Server> {
        let id = ResourceId::Server(component, node.clone());
        match self.resources.get(&id) {
            Some(Resource::Server(s)) => Some(s),
            _ => None,
        }
    }

    /// The framework's container on `node`, if the spec has it there.
    #[must_use]
    pub fn container(&self, node: &NodeName) -> Option<&Container> {
        match self.resources.get(&ResourceId::Container(node.clone())) {
            Some(Resource::Container(container)) => Some(container),
            _ => None,
        }
    }

    /// The framework's containers by node; none if the spec deploys by script.
    pub fn containers(&self) -> impl Iterator<Item = (&NodeName, &Container)> {
        self.resources.iter().filter_map(|(id, r)| match (id, r) {
            (ResourceId::Container(node), Resource::Container(c)) => Some((node, &**c)),
            _ => None,
        })
    }

    /// All nodes with their machines, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = (&NodeName, &Host)> {
        self.resources.iter().filter_map(|(id, r)| match (id, r) {
            (ResourceId::Host(n), Resource::Host(h)) => Some((n, h)),
            _ => None,
        })
    }

    /// The framework's database, if the spec has one.
    #[must_use]
    pub fn database(&self) -> Option<&Database> {
        match self.resources.get(&ResourceId::Schema) {
            Some(Resource::Schema(database)) => Some(database),
            _ => None,
        }
    }

    /// The management platform, if the spec names one.
    #[must_use]
    pub fn web(&self) -> Option<&Web> {
        self.resources.values().find_map(|r| match r {
            Resource::Web(web) => Some(web),
            _ => None,
        })
    }

    /// Where AdminRegistry answers, and on which node; none if the spec places it nowhere.
    #[must_use]
    pub fn admin(&self) -> Option<(&NodeName, Endpoint)> {
        self.first(Component::TarsAdminRegistry)
    }

    /// Where tarspatch answers, and on which node; none if the spec places it nowhere.
    #[must_use]
    pub fn patch(&self) -> Option<(&NodeName, Endpoint)> {
        self.first(Component::Tarspatch)
    }

    /// Where the first servant of a component answers that the spec places once.
    fn first(&self, component: Component) -> Option<(&NodeName, Endpoint)> {
        let (node, host) = self.resources.keys().find_map(|id| match id {
            ResourceId::Server(c, node) if *c == component => Some((node, self.host(node)?)),
            _ => None,
        })?;
        let (_, port) = component.servants().first()?;
        Some((node, Endpoint::at(host.ip, *port)))
    }

    /// The folder of the framework on every host.
    #[must_use]
    pub fn tars_path(&self) -> String {
        format!("{}/tars", self.install_path)
    }

    /// The folder that holds `tars/` on a node.
    #[must_use]
    pub fn install_path_on(&self, node: &NodeName) -> AbsPath {
        self.agent(node)
            .and_then(|agent| agent.tars_path.as_str().strip_suffix("/tars"))
            .and_then(|path| AbsPath::new(path.to_owned()).ok())
            .unwrap_or_else(|| self.install_path.clone())
    }

    /// The folder of tarsops' own files on a node. Root has it where no other user can write.
    #[must_use]
    pub fn state_folder_on(&self, node: &NodeName, as_root: bool) -> String {
        if as_root {
            format!("/var/lib/tarsops/{}", self.cluster)
        } else {
            format!("{}/.tarsops", self.install_path_on(node))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_gives_the_first_batches_and_the_last_entry_repeats() {
        let mut policy = Policy {
            canary: 0,
            max_parallel: Count::Percent(5),
            ramp: vec![Count::Number(1), Count::Number(10)],
            ..Policy::default()
        };
        let sizes = |policy: &Policy| [0, 1, 2, 3].map(|batch| policy.batch_size(batch, 1000));
        assert_eq!(sizes(&policy), [1, 10, 50, 50]);
        // The canary is the first batch, not one more.
        policy.canary = 3;
        assert_eq!(sizes(&policy), [1, 10, 50, 50]);
        policy.ramp.clear();
        assert_eq!(sizes(&policy), [3, 50, 50, 50]);
        assert_eq!(policy.batch_size(7, 0), 1);
        assert_eq!(sizes(&policy.one_by_one()), [1, 1, 1, 1]);
        assert_eq!(sizes(&policy.without_ramp()), [50, 50, 50, 50]);
    }

    #[test]
    fn percentages_round_up() {
        assert_eq!(Count::Percent(10).of(1), 1);
        assert_eq!(Count::Percent(10).of(11), 2);
        assert_eq!(Count::Percent(0).of(11), 0);
        assert_eq!(Count::Number(3).of(1), 3);
    }
}
