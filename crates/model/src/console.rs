//! The management platform: its installation as the spec wants it, and its release archives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::{AbsPath, NodeName};
use crate::version::Version;

/// What starts the console, and starts it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supervisor {
    /// PM2, as the framework's installer does it (TarsWeb `package.json`, `prd`).
    #[default]
    Pm2,
    /// A unit of systemd.
    Systemd,
    /// Nothing: it is a plain process.
    None,
}

impl Supervisor {
    /// The word as a spec has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pm2 => "pm2",
            Self::Systemd => "systemd",
            Self::None => "none",
        }
    }
}

/// The console's installation, as the spec wants it. Where the framework is deployed as containers, it
/// is a part of their image, and only `version` is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Its version; none where it is only looked at.
    pub version: Option<Version>,
    /// Its release archive on the control machine, if the spec names one.
    pub package: Option<PathBuf>,
    /// The node that it runs on.
    pub node: NodeName,
    /// Its own folder on that node.
    pub install_path: AbsPath,
    /// What starts it.
    pub supervisor: Supervisor,
    /// How many folders of replaced releases are kept beside it.
    pub retired: u32,
}

/// The columns of tables that a release's models have, by database and table. At its start the console
/// drops every column of such a table that its model lacks (TarsWeb `app/dao/db/index.js`,
/// `sync({alter: true})`).
pub type Models = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// A pinned release archive of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsolePin {
    /// The version in its `package.json`.
    pub version: Version,
    /// Name of the archive, without its folder.
    pub source: String,
    /// sha256 of the archive.
    pub archive: Digest,
    /// Size of the archive in bytes.
    pub archive_size: u64,
    /// Size of its files in bytes, unpacked.
    pub unpacked_size: u64,
    /// sha256 over the names, modes and digests of all that it holds.
    pub contents: Digest,
    /// Kinds of machines that its native modules are for, in the word of `uname -m`; none where it has no
    /// native modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines: Option<BTreeSet<String>>,
    /// Its configuration files as they are shipped, by their names in `config/`.
    pub config: BTreeMap<String, String>,
    /// The columns that its models have.
    pub models: Models,
}

impl ConsolePin {
    /// Whether its native modules are for such a machine.
    #[must_use]
    pub fn runs_on(&self, machine: &str) -> bool {
        let machines = self.machines.as_ref();
        machines.is_none_or(|all| all.contains(machine))
    }
}

/// Configuration files of the console that an update keeps, by their names in `config/`.
pub const CONFIG: [&str; 6] = [
    "authConf.js",
    "compileConf.js",
    "dcacheConf.js",
    "loginConf.js",
    "tars.conf",
    "webConf.js",
];
