//! What an embedded cluster is: options to make one, and the facts about one that was made.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ClusterError;
use crate::standin::{Identity, Timings};
use crate::store::Database;

/// How hosts are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By their address, as Tars does by default.
    ByAddress,
    /// `PREFIX1`, `PREFIX2`, …
    Numbered(String),
}

/// The framework on the first hosts, beside agents that others may install: the ten components of a
/// master on the first, the five of a slave on those after it, as stand-ins.
#[derive(Clone, Debug)]
pub struct FrameworkOptions {
    /// Its tables. A file is made again; in MySQL the tables must be there, and rows are written.
    pub database: Database,
    /// What the components pretend to be: version, library, behaviour.
    pub identity: Identity,
    /// How often background work happens, that of agents which are started on the hosts, too.
    pub timings: Timings,
    /// How many hosts after the first are slaves, each with a registry. Default: none.
    pub slaves: usize,
}

impl FrameworkOptions {
    /// The framework with these tables, pretending to be `identity`, as fast as the real one.
    #[must_use]
    pub fn new(database: Database, identity: Identity) -> Self {
        Self {
            database,
            identity,
            timings: Timings::default(),
            slaves: 0,
        }
    }
}

/// A MariaDB of the cluster's own, for the framework's tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnDatabase {
    /// A second account for whoever looks after the cluster: it reads `db_tars`, and changes and
    /// deletes rows.
    pub operator: String,
    /// Its password, in the clear: this is for servers that are thrown away.
    pub password: String,
}

/// How to make a cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The multi-call program: stand-ins are copies of it, and it serves SSH. Default: this program.
    pub exe: PathBuf,
    /// Arguments with which `exe` serves; the cluster's folder is added as the last one. They must
    /// lead to [`super::serve`]. Default: [`super::SERVE`].
    pub serve_args: Vec<OsString>,
    /// First three numbers of the hosts' addresses; the first must be 127. Default: 127.0.1.
    pub network: [u8; 3],
    /// SSH port of every host; 0 looks for one that is free. Default: 2222.
    pub ssh_port: u16,
    /// How hosts are called. Default: by address.
    pub naming: Naming,
    /// How often cron runs every crontab. Default: a minute.
    pub cron_period: Duration,
    /// What the packages folder holds: one folder for each version. Default: none.
    pub packages: Vec<Identity>,
    /// The framework on the first hosts. Default: none.
    pub framework: Option<FrameworkOptions>,
    /// Whether the cluster's server runs a MariaDB on the first host's address, which lives as long
    /// as it does; the framework's tables are there then, whatever its options say. Default: none.
    pub own_database: Option<OwnDatabase>,
}

impl Options {
    /// The defaults, with this program as the multi-call program.
    ///
    /// # Errors
    /// When the running program's path cannot be found out.
    pub fn new() -> Result<Self, ClusterError> {
        let exe = std::env::current_exe().map_err(|source| ClusterError::File {
            path: "/proc/self/exe".into(),
            source,
        })?;
        Ok(Self {
            exe,
            serve_args: vec![super::SERVE.into()],
            network: [127, 0, 1],
            ssh_port: 2222,
            naming: Naming::ByAddress,
            cron_period: Duration::from_secs(60),
            packages: Vec::new(),
            framework: None,
            own_database: None,
        })
    }
}

/// One host of an embedded cluster. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its name.
    pub name: String,
    /// Its own loopback address.
    pub ip: Ipv4Addr,
    /// The port of its SSH server.
    pub ssh_port: u16,
    /// Everything it has is below this folder.
    pub root: PathBuf,
    /// Where Tars is installed: the agent is `<install_path>/tars/tarsnode`.
    pub install_path: PathBuf,
    /// The login user's home.
    pub home: PathBuf,
    /// Programs that answer for this host, first in its `PATH`.
    pub bin: PathBuf,
    /// Its machine-id; commands find the path in `TARSOPS_MACHINE_ID`.
    pub machine_id: PathBuf,
    /// Its crontab; missing when there is none.
    pub crontab: PathBuf,
    /// What cron's commands wrote.
    pub cron_log: PathBuf,
    /// Its SSH host key; the public one is beside it with `.pub`.
    pub host_key: PathBuf,
}

impl HostFacts {
    /// Where its SSH server listens.
    #[must_use]
    pub fn ssh_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip), self.ssh_port)
    }

    /// The environment of everything that runs on it.
    pub(super) fn environment(&self, facts: &Facts) -> Vec<(String, String)> {
        let user = &facts.user;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
        [
            ("PATH", format!("{}:{path}", text(&self.bin))),
            ("HOME", text(&self.home)),
            ("USER", user.to_owned()),
            ("LOGNAME", user.to_owned()),
            ("SHELL", "/bin/sh".to_owned()),
            ("TARSOPS_HOST", self.name.clone()),
            ("TARSOPS_MACHINE_ID", text(&self.machine_id)),
            // The kernel gives the whole loopback network to each of them.
            ("TARSOPS_ADDRESS", self.ip.to_string()),
            // The hosts of one machine share its /var/lib.
            ("TARSOPS_STATE", text(&self.install_path.join(".tarsops"))),
            (super::procs::MARK, text(&self.root)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .chain(
            facts
                .framework
                .iter()
                .flat_map(|framework| framework.timings.environment()),
        )
        .collect()
    }
}

/// The framework that was made on the first hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkFacts {
    /// The master.
    pub host: String,
    /// The slaves.
    #[serde(default)]
    pub slaves: Vec<String>,
    /// The version that the components pretend to be.
    pub version: String,
    /// Its tables.
    pub database: Database,
    /// How often background work happens.
    pub timings: Timings,
    /// Where the master's QueryObj listens: the registry of a spec. Slaves have the same port.
    pub query: SocketAddr,
    /// Where the master's RegistryObj listens.
    pub registry: SocketAddr,
    /// Where AdminRegObj listens.
    pub admin: SocketAddr,
}

/// What is known of a cluster, as kept in `<dir>/sandbox.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Version of this file: [`Facts::FORMAT`].
    pub format: String,
    /// The login name, which is this process's user.
    pub user: String,
    /// The private key that every host lets in.
    pub identity: PathBuf,
    /// Every host's key, in the form of OpenSSH's `known_hosts`.
    pub known_hosts: PathBuf,
    /// The packages folder: one folder for each version.
    pub packages: PathBuf,
    /// The server's log, see [`crate::ssh_server::ServerLog`].
    pub log: PathBuf,
    /// Milliseconds between two runs of cron.
    pub cron_ms: u64,
    /// The hosts, in the order of their addresses.
    pub hosts: Vec<HostFacts>,
    /// The framework on the first hosts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<FrameworkFacts>,
    /// The second account of the cluster's own MariaDB, if its server runs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_database: Option<OwnDatabase>,
}

impl Facts {
    /// The version of the facts file that is written and read.
    pub const FORMAT: &str = "tarsops.sandbox/1";
}
