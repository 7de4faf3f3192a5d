//! The document as written: its sections, keys and values, with their meaning.
//!
//! The comments here are the descriptions in the JSON Schema, so they speak to the operator who
//! writes a spec. A value of these types has the right shape; whether it makes sense as a whole is
//! checked elsewhere.

use std::collections::BTreeMap;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;
use tarsops_model::component::Component;
use tarsops_model::desired::{RowSettings, SettingValue};
use tarsops_model::names::{AbsPath, ClusterName, Endpoint, HostAddress, NodeName, UserName};
use tarsops_model::version::Version;

use crate::leaf;

mod docker;
mod values;
mod web;

pub use docker::{Deployment, Docker, Environment, Installer, Logs};
pub use values::{Count, Jump, PackagesAt, Pattern, Ramp, Seconds};
pub use web::{Supervisor, Web};

/// A cluster of the Tars framework: what should run where, and how a change is rolled out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Format of this file. Only `tarsops/v1` exists.
    pub schema: SchemaVersion,
    /// Name of the cluster: letters, digits, `.`, `-` and `_`. It appears in plans and in the lease.
    #[schemars(with = "leaf::Cluster", example = &"prod")]
    pub cluster: ClusterName,
    /// The guard over the framework's database. `never` (the default): nothing is created and
    /// nothing dropped. `bootstrap`: what is proven absent may be created. There is no value that
    /// rebuilds a database.
    #[serde(default)]
    #[schemars(example = &"never")]
    pub rebuild: Rebuild,
    /// The framework: its version, where its packages are and where it is installed.
    pub framework: Framework,
    /// The framework's containers, with `deployment: docker`. Left out otherwise.
    pub docker: Option<Docker>,
    /// How the hosts are reached. Left out: as OpenSSH would by itself.
    #[serde(default)]
    pub ssh: Ssh,
    /// The name service.
    pub registry: Registry,
    /// The framework's database, for what cannot be seen on the hosts. Left out: not looked at.
    pub database: Option<Database>,
    /// The management platform, through which basic services are published. Left out: neither used nor
    /// looked at.
    pub web: Option<Web>,
    /// The nodes of the cluster, one entry for each node or range of nodes. Entries must not
    /// overlap. A node that is taken out of this list is reported, but left alone: to remove it,
    /// set its state in `overrides`.
    #[schemars(length(min = 1))]
    pub nodes: Vec<Node>,
    /// What differs for single nodes, by the node's name. For members of a range, and for states.
    #[serde(default)]
    #[schemars(schema_with = "map_of::<leaf::NodeName, Override>")]
    pub overrides: BTreeMap<NodeName, Override>,
    /// Exceptions for single components: another version, another placement, other values of its rows.
    #[serde(default)]
    #[schemars(schema_with = "components")]
    pub components: BTreeMap<Component, ComponentRules>,
    /// Whether `tarsnode` is watched by cron on every node. Default: `cron`.
    #[serde(default)]
    #[schemars(example = &"cron")]
    pub monitor: Monitor,
    /// How the framework's own servants are asked what they know: `direct` (the default) by
    /// connections from this machine, `ssh` through the SSH connection to the servant's node,
    /// `none` not at all.
    #[serde(default)]
    #[schemars(example = &"direct")]
    pub rpc: Rpc,
    /// How a change is rolled out.
    #[serde(default)]
    pub rollout: Rollout,
}

/// How the framework's own servants are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rpc {
    /// By connections from this machine.
    #[default]
    Direct,
    /// Through the SSH connection to the servant's node.
    Ssh,
    /// Not at all. (Not `off`, which many readers of YAML take for `false`.)
    #[serde(rename = "none")]
    Off,
}

/// Whether the connection to the database is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Where the server offers it, and always once it did.
    #[default]
    Prefer,
    /// Always.
    Require,
    /// Never.
    #[serde(rename = "none")]
    Off,
}

/// Format of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SchemaVersion {
    /// The first format.
    #[serde(rename = "tarsops/v1")]
    V1,
}

/// The guard over the framework's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rebuild {
    /// Databases are never created and never dropped.
    #[default]
    Never,
    /// What is proven absent may be created; nothing is ever dropped.
    Bootstrap,
}

/// The framework: its version, where its packages are and where it is installed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Framework version of every component that names none.
    #[schemars(with = "leaf::Version", example = &"3.0.17")]
    pub version: Version,
    /// Where the release packages are: a folder (`{version}` in it stands for the version; relative
    /// to this file), or `node:NAME` to copy components from that node's live installation.
    #[schemars(with = "leaf::Packages", example = &"./packages/{version}", example = &"node:10.0.0.1")]
    pub packages: PackagesAt,
    /// How the framework is deployed on its masters and slaves: `script` (the default) by packages,
    /// `docker` as containers.
    #[serde(default)]
    #[schemars(example = &"script")]
    pub deployment: Deployment,
    /// Folder that holds `tars/` on every host. Default: `/usr/local/app`.
    #[serde(default = "install_path")]
    #[schemars(with = "leaf::HostPath", example = &"/usr/local/app")]
    pub install_path: AbsPath,
    /// User that owns the framework's files and runs its processes. Default: `tars`.
    #[serde(default = "run_user")]
    #[schemars(with = "leaf::User", example = &"tars")]
    pub run_user: UserName,
    /// Whether the run user is made on hosts where it is missing. Default: false, which makes a
    /// missing run user an error.
    #[serde(default)]
    #[schemars(example = true)]
    pub create_run_user: bool,
    /// Whether a framework whose processes all run as somebody else is restarted as the run user.
    /// Default: false, which asks for the right `run_user` and changes nothing.
    #[serde(default)]
    #[schemars(example = true)]
    pub change_run_user: bool,
    /// Whether a binary that no lock file knows may be replaced. Default: false, which shows it
    /// and leaves it alone.
    #[serde(default)]
    #[schemars(example = true)]
    pub replace_unknown: bool,
    /// Whether a newer version of any component may be replaced by an older one. Default: false,
    /// which shows it and leaves it alone.
    #[serde(default)]
    #[schemars(example = true)]
    pub allow_downgrade: bool,
}

/// How the hosts are reached by SSH.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// Login user. Default: OpenSSH's own choice.
    #[schemars(with = "Option<leaf::User>", example = &"ops")]
    pub user: Option<UserName>,
    /// Port. Default: OpenSSH's own choice, 22 where no configuration says otherwise.
    #[schemars(with = "Option<Port>", example = 22)]
    pub port: Option<Port>,
    /// Private key file; relative to this file, `~/` is your home. Default: OpenSSH's own choice.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"~/.ssh/id_ed25519")]
    pub identity: Option<String>,
    /// Host to go through, `[user@]host[:port]`, or `none` to connect directly. Default: what the
    /// configuration of OpenSSH says.
    #[schemars(with = "Option<leaf::Jump>", example = &"ops@bastion.example")]
    pub jump: Option<Jump>,
    /// How root rights are got on the hosts. Default: `none`.
    #[schemars(example = &"sudo")]
    pub r#become: Option<Become>,
    /// File with the hosts' keys, which are always checked; relative to this file. Default:
    /// OpenSSH's own files.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"./known_hosts")]
    pub known_hosts: Option<String>,
    /// OpenSSH client configuration to use in place of your own; relative to this file.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"./ssh_config")]
    pub config: Option<String>,
    /// How long a connection attempt may take. Default: `10s`.
    #[schemars(with = "Option<leaf::Duration>", example = &"10s")]
    pub connect_timeout: Option<Seconds>,
    /// How many hosts are looked at at once. Default: 8 for each processor of this machine, 64 at most.
    #[schemars(range(min = 1, max = 1024), example = 32)]
    pub parallel: Option<u32>,
    /// How keys are exchanged when a connection is made. Default: `configured`.
    #[schemars(example = &"curve25519")]
    pub key_exchange: Option<KeyExchange>,
    /// For how long an idle connection is kept for the next command, as between `plan` and `apply`; at
    /// most `1h`. Default: each command ends its connections.
    #[schemars(with = "Option<leaf::Duration>", example = &"10m")]
    pub keep: Option<Seconds>,
}

/// How keys are exchanged when a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyExchange {
    /// As OpenSSH and its configuration say. Since OpenSSH 9.0 that is an exchange which withstands
    /// quantum computers, and costs some 65 ms of processor time for each connection.
    #[default]
    Configured,
    /// By curve25519 where the host knows it, for some 12 ms. Whoever records the traffic could read it
    /// once there are quantum computers.
    Curve25519,
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Port(#[schemars(range(min = 1, max = 65535))] pub u16);

/// How root rights are got on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Become {
    /// Not at all: everything runs as the login user.
    #[default]
    None,
    /// By `sudo -n`, which never asks for a password.
    Sudo,
}

/// The name service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Where the registries answer, `ip:port` (the framework's port is 17890). Every one is on a
    /// framework node. They make up the locator of every tarsnode.
    #[schemars(with = "Vec<leaf::HostPort>", length(min = 1), example = serde_json::json!(["10.0.0.1:17890", "10.0.0.2:17890"]))]
    pub endpoints: Vec<Endpoint>,
}

/// The framework's database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Where it listens, `host:port`.
    #[schemars(with = "leaf::HostPort", example = &"10.0.0.9:3306")]
    pub address: Endpoint,
    /// User of the database that tarsops logs in as.
    #[schemars(with = "leaf::DatabaseUser", example = &"tarsAdmin")]
    pub user: String,
    /// Where the password comes from.
    pub password: Secret,
    /// Node through whose SSH the database is reached. Left out: directly.
    #[schemars(with = "Option<leaf::NodeName>", example = &"10.0.0.1")]
    pub via: Option<NodeName>,
    /// Whether the connection is encrypted by TLS. Default: `prefer`.
    #[serde(default)]
    #[schemars(example = &"prefer")]
    pub tls: Tls,
    /// File on this machine with the authority that the server's certificate must come from;
    /// relative to this file, `~/` is your home. Left out: the server's key is pinned on first use.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"./db-ca.pem")]
    pub ca: Option<String>,
    /// The server's public key, by its sha256; the connection is always encrypted then. For machines
    /// that remember nothing between runs. Left out: the key is pinned on first use.
    #[schemars(with = "Option<leaf::Fingerprint>", example = &"sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbd62a11ef721d1542d8d")]
    pub fingerprint: Option<String>,
}

/// Where a secret comes from: exactly one of `env`, `file` and `command`. The secret itself never
/// stands in this file. It is UTF-8 text; ends of lines behind it do not count.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1), example = serde_json::json!({"env": "TARS_DB_PASSWORD"}))]
pub struct Secret {
    /// Name of an environment variable on the control machine.
    #[schemars(with = "Option<leaf::EnvName>", example = &"TARS_DB_PASSWORD")]
    pub env: Option<String>,
    /// File on the control machine; relative to this file, `~/` is your home.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"~/.tars-db-password")]
    pub file: Option<String>,
    /// Program with its arguments, whose output is the secret. It runs only with
    /// `--allow-commands`, and without a shell.
    #[schemars(with = "Option<Vec<leaf::Word>>", length(min = 1), example = serde_json::json!(["pass", "show", "tars/db"]))]
    pub command: Option<Vec<String>>,
}

/// A node of the cluster, or a range of nodes that have everything in common.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name of the node, as the registry knows it (`tarsnode --nodeid`), or a range of names:
    /// `10.0.1.[1-40]`, `gw-[01-12]`, `10.0.1.[1-3,7]`.
    #[schemars(with = "leaf::NodePattern", example = &"10.0.0.1", example = &"10.0.1.[1-40]")]
    pub name: Pattern,
    /// Address that the node binds and writes into its configuration; a range with as many members
    /// as the name has. Default: the name, which must then be an IP address.
    #[schemars(with = "Option<leaf::IpPattern>", example = &"10.0.2.1")]
    pub ip: Option<Pattern>,
    /// Where SSH connects; a range with as many members as the name has. Default: the ip.
    #[schemars(with = "Option<leaf::AddressPattern>", example = &"gw1.example")]
    pub address: Option<Pattern>,
    /// Role in the framework. `master`: all eleven components. `slave`: tarsregistry, tarsconfig,
    /// tarsnode, tarsnotify, tarsquerystat and tarsqueryproperty. Left out: tarsnode only. Exactly
    /// one node is the master.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["master"]))]
    pub roles: Vec<RoleName>,
    /// Labels, by which `--on @name=value` picks nodes.
    #[serde(default)]
    #[schemars(schema_with = "map_of::<leaf::LabelKey, leaf::LabelValue>", example = serde_json::json!({"idc": "sz"}))]
    pub labels: BTreeMap<String, String>,
}

/// Role of a node in the framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// All eleven components.
    Master,
    /// A further framework host: registry, configuration, notifications and queries.
    Slave,
}

/// What differs for one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Where SSH connects.
    #[schemars(with = "Option<leaf::Address>", example = &"db9.internal")]
    pub address: Option<HostAddress>,
    /// Address that the node binds.
    #[schemars(with = "Option<leaf::Ip>", example = &"10.0.2.1")]
    pub ip: Option<std::net::IpAddr>,
    /// How SSH reaches it.
    pub ssh: Option<SshOverride>,
    /// Whether the node is there. Default: `present`.
    #[serde(default)]
    #[schemars(example = &"maintenance")]
    pub state: State,
    /// Why, for those who read the plan.
    #[schemars(example = &"disk swap")]
    pub reason: Option<String>,
    /// With `state: maintenance`: the first day (UTC) on which drift is an alarm again. Left out:
    /// maintenance lasts until the state is changed.
    #[schemars(with = "Option<leaf::Day>", example = &"2026-12-01")]
    pub until: Option<jiff::civil::Date>,
    /// With `state: absent`: whether servers that the node still runs may be stopped. Default:
    /// false, which refuses to remove a node that runs servers.
    #[schemars(example = true)]
    pub stop_servers: Option<bool>,
    /// Folder that holds `tars/` on this node, in place of `framework.install_path`.
    #[schemars(with = "Option<leaf::HostPath>", example = &"/data/app")]
    pub install_path: Option<AbsPath>,
    /// Further labels, or other values of them.
    #[serde(default)]
    #[schemars(schema_with = "map_of::<leaf::LabelKey, leaf::LabelValue>", example = serde_json::json!({"rack": "r12"}))]
    pub labels: BTreeMap<String, String>,
    /// Framework version of every component on this node, in place of all others that are named.
    #[schemars(with = "Option<leaf::Version>", example = &"3.0.16")]
    pub version: Option<Version>,
    /// Whether a binary on this node that no lock file knows may be replaced.
    #[schemars(example = true)]
    pub replace_unknown: Option<bool>,
}

/// How SSH reaches one node, where it differs from the section `ssh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshOverride {
    /// Login user on this node.
    #[schemars(with = "Option<leaf::User>", example = &"root")]
    pub user: Option<UserName>,
    /// Port of its SSH server.
    #[schemars(with = "Option<Port>", example = 2222)]
    pub port: Option<Port>,
    /// Private key file; relative to this file, `~/` is your home.
    #[schemars(with = "Option<leaf::LocalPath>", example = &"~/.ssh/id_other")]
    pub identity: Option<String>,
    /// Host to go through, or `none` to connect directly.
    #[schemars(with = "Option<leaf::Jump>", example = &"none")]
    pub jump: Option<Jump>,
    /// How root rights are got on it.
    #[schemars(example = &"none")]
    pub r#become: Option<Become>,
}

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Looked at, and moved to the spec.
    #[default]
    Present,
    /// Looked at and never changed; no alarm until the date in `until`.
    Maintenance,
    /// Stopped and removed from its host.
    Absent,
    /// The machine does not exist any more; only the framework's rows about it go.
    Gone,
}

/// Exceptions for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentRules {
    /// Framework version of this component, in place of `framework.version`.
    #[schemars(with = "Option<leaf::Version>", example = &"3.0.16")]
    pub version: Option<Version>,
    /// Nodes that run it, in place of those whose role says so; names or ranges. tarsnode runs on
    /// every node and cannot be placed.
    #[schemars(with = "Option<Vec<leaf::NodePattern>>", length(min = 1), example = serde_json::json!(["10.0.0.2"]))]
    pub nodes: Option<Vec<Pattern>>,
    /// Template of its row in the framework's database, for a basic service. Left out: `tars.` and
    /// its name where it comes; left alone where it is there.
    #[schemars(with = "Option<leaf::Template>", example = &"tars.tarsstat")]
    pub template: Option<String>,
    /// Values of its adapters' rows in the framework's database, for a basic service.
    #[serde(default)]
    pub adapters: AdapterRules,
}

impl ComponentRules {
    /// What it says of rows, by the column.
    pub(crate) fn settings(&self) -> RowSettings {
        let adapters = &self.adapters;
        let milliseconds = |time: Seconds| u32::try_from(time.0 * 1000).ok();
        let numbers = [
            ("thread_num", adapters.threads),
            ("max_connections", adapters.max_connections),
            ("queuecap", adapters.queue),
            (
                "queuetimeout",
                adapters.queue_timeout.and_then(milliseconds),
            ),
        ];
        let numbers = numbers
            .into_iter()
            .filter_map(|(column, number)| Some((column, SettingValue::Number(number?))));
        let template = self.template.clone().map(SettingValue::Text);
        let texts = template.map(|name| ("template_name", name));
        texts.into_iter().chain(numbers).collect()
    }
}

/// Values of all adapters of a basic service. What is left out is the installer's where the service
/// comes, and left alone where it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdapterRules {
    /// Threads that serve requests. The installer's: 5.
    #[schemars(range(min = 1, max = 1024), example = 5)]
    pub threads: Option<u32>,
    /// Connections at once. The installer's: 200000.
    #[schemars(range(min = 1, max = 1000000), example = 200000)]
    pub max_connections: Option<u32>,
    /// Requests that may wait. The installer's: 100000.
    #[schemars(range(min = 1, max = 1000000), example = 100000)]
    pub queue: Option<u32>,
    /// How long a request may wait. The installer's: `60s`.
    #[schemars(with = "Option<leaf::Duration>", example = &"60s")]
    pub queue_timeout: Option<Seconds>,
}

/// Whether `tarsnode` is watched by cron.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Monitor {
    /// One line in the run user's crontab watches it; a `check.sh` that is already there counts.
    #[default]
    Cron,
    /// No line is added, and none is taken away.
    None,
}

/// How a change is rolled out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// Hosts that are changed first, as a batch of their own; 0 for none. Default: 1.
    #[schemars(example = 1)]
    pub canary: Option<u32>,
    /// Hosts changed at once: a number, or a percentage of the hosts, rounded up. A list has one entry for
    /// each batch, and its last entry repeats: with `[1, 10, 5%]` a bad version meets one host, then ten, then
    /// 5 % at a time. Default: 10.
    #[schemars(example = 10, example = &"25%", example = ramp())]
    pub max_parallel: Option<Ramp>,
    /// Hosts that may be silent while the rest still continues: a number or a percentage. Default: 0.
    #[schemars(example = 0, example = &"5%")]
    pub max_unreachable: Option<Count>,
    /// How long health must hold after a change. Default: `30s`.
    #[schemars(with = "Option<leaf::Duration>", example = &"30s")]
    pub settle: Option<Seconds>,
    /// How long a step may take, `settle` included, before it has failed. Default: `5m`.
    #[schemars(with = "Option<leaf::Duration>", example = &"5m")]
    pub deadline: Option<Seconds>,
    /// What happens when a step fails. Default: `rollback`.
    #[serde(default)]
    #[schemars(example = &"rollback")]
    pub on_failure: OnFailure,
    /// How long a registry must have been well before the next one is touched, where `settle` is
    /// shorter: registries take changed rows over every 13 seconds. Default: `13s`.
    #[schemars(with = "Option<leaf::Duration>", example = &"13s")]
    pub registry_settle: Option<Seconds>,
    /// Whether the only registry that answers may be restarted, which leaves the cluster without
    /// name resolution for some seconds. Default: false, which blocks it.
    #[serde(default)]
    #[schemars(example = true)]
    pub registry_gap: bool,
}

/// What happens when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The failed host gets its old state back, and the run stops there.
    #[default]
    Rollback,
    /// As `rollback`, and then every host that this run changed is rolled back.
    RollbackAll,
    /// The failed host is left as it is for a person to look at, and the run stops.
    Stop,
}

/// An example of batches that grow.
fn ramp() -> serde_json::Value {
    serde_json::json!([1, 10, "5%"])
}

#[expect(clippy::unwrap_used, reason = "the constant is a good path")]
fn install_path() -> AbsPath {
    AbsPath::new("/usr/local/app").unwrap()
}

#[expect(clippy::unwrap_used, reason = "the constant is a good name")]
fn run_user() -> UserName {
    UserName::new("tars").unwrap()
}

/// The schema of a mapping whose keys are of kind `K`.
fn map_of<K: JsonSchema, V: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let (keys, values) = (
        generator.subschema_for::<K>(),
        generator.subschema_for::<V>(),
    );
    json_schema!({ "type": "object", "propertyNames": keys, "additionalProperties": values })
}

/// The schema of `components`: every component is a key that an editor can offer.
fn components(generator: &mut SchemaGenerator) -> Schema {
    let rules = generator.subschema_for::<ComponentRules>();
    let properties: serde_json::Map<String, serde_json::Value> = Component::ALL
        .into_iter()
        .map(|c| (c.name().to_owned(), rules.clone().to_value()))
        .collect();
    json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
}
