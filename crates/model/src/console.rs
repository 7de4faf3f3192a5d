//! The management platform: its installation as the spec wants it, and its release archives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::{AbsPath, NodeName};
use crate::observed::Observed;
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

/// Who started a process of the console, as the host shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum StartedBy {
    /// PM2, by the title of its daemon.
    Pm2 {
        /// Folder of the daemon's own files.
        home: String,
    },
    /// A unit of systemd.
    Systemd {
        /// Its name.
        unit: String,
    },
    /// A tarsnode, as it starts services.
    Tarsnode,
    /// It is inside of a container.
    Container,
    /// Nothing that starts it again.
    Nothing,
    /// Another program.
    Other {
        /// What it calls itself.
        command: String,
    },
}

impl StartedBy {
    /// Whether a spec with this supervisor describes it.
    #[must_use]
    pub const fn fits(&self, supervisor: Supervisor) -> bool {
        matches!(
            (self, supervisor),
            (Self::Pm2 { .. }, Supervisor::Pm2)
                | (Self::Systemd { .. }, Supervisor::Systemd)
                | (Self::Nothing, Supervisor::None)
        )
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Pm2 { .. } => "PM2".to_owned(),
            Self::Systemd { unit } => format!("the unit {unit}"),
            Self::Tarsnode => "tarsnode".to_owned(),
            Self::Container => "a container".to_owned(),
            Self::Nothing => "nothing".to_owned(),
            Self::Other { command } => format!("`{command}`"),
        }
    }
}

/// A process of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleProcess {
    /// Its number.
    pub pid: u32,
    /// Whose it is.
    pub user: String,
    /// The program that runs it, a `node`.
    pub exe: String,
    /// The folder that it was started in. After a replacement it is the retired one until a restart.
    pub folder: String,
    /// Who started it.
    #[serde(flatten)]
    pub by: StartedBy,
}

impl ConsoleProcess {
    /// The version of its `node`, where the path of the program says it, as `nvm` lays it out.
    #[must_use]
    pub fn node_version(&self) -> Option<Version> {
        let mut parts = self.exe.split('/');
        parts.find_map(|part| part.strip_prefix('v')?.parse().ok())
    }
}

/// What was seen of the console on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleFacts {
    /// The version of the installed release (its `package.json`); absent where there is no folder.
    pub version: Observed<Version>,
    /// Whether `config/webConf.js` lets it change tables at its start; absent where it does not say, and
    /// unknown where it says so in several ways.
    pub alters: Observed<bool>,
    /// The registries that `config/tars.conf` names.
    pub locator: Observed<String>,
    /// sha256 of configuration files, by their names in `config/`, of those that could be read.
    pub config: BTreeMap<String, Digest>,
    /// The kind of machine, in the word of `uname -m`.
    pub machine: Observed<String>,
    /// Its processes; absent where all were seen and none is its.
    pub processes: Observed<Vec<ConsoleProcess>>,
    /// Whether PM2 would start it again together with itself (`dump.pm2`).
    pub saved: Observed<bool>,
    /// Units of systemd that start with the host and may start it.
    pub units: BTreeSet<String>,
    /// Folders of releases that were replaced, by name.
    pub retired: BTreeSet<String>,
}

impl ConsoleFacts {
    /// Whether it comes back after a reboot of its host.
    #[must_use]
    pub fn survives_reboot(&self) -> Observed<bool> {
        let processes = match &self.processes {
            Observed::Present(all) => all,
            Observed::Absent => return Observed::Absent,
            Observed::Unknown(why) => return Observed::Unknown(why.clone()),
        };
        let mut answer = Observed::Absent;
        for process in processes {
            answer = match &process.by {
                StartedBy::Pm2 { .. } => {
                    let starts = |unit: &String| unit.starts_with(PM2_UNIT);
                    let started = self.units.iter().any(starts);
                    self.saved.clone().map(|saved| saved && started)
                }
                StartedBy::Systemd { unit } => Observed::Present(self.units.contains(unit)),
                StartedBy::Nothing => Observed::Present(false),
                StartedBy::Tarsnode | StartedBy::Container => Observed::Present(true),
                StartedBy::Other { command } => {
                    Observed::Unknown(format!("`{command}` started it"))
                }
            };
        }
        answer
    }
}

/// How the units begin that `pm2 startup` makes.
const PM2_UNIT: &str = "pm2-";

/// What the database says of tables that a console changes at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleTables {
    /// Their columns.
    pub columns: Observed<Models>,
    /// Rows of `t_server_conf` without a time of their patch. The console cannot change the table then,
    /// and ends at its start (TarsWeb `app/dao/db/index.js`).
    pub without_patch_time: Observed<u64>,
}

/// Columns that the database has and models lack, as `database.table.column`: a console with these models
/// drops them at its start.
#[must_use]
pub fn dropped(models: &Models, live: &Models) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (database, tables) in models {
        for (table, columns) in tables {
            let has = live.get(database).and_then(|tables| tables.get(table));
            for column in has.into_iter().flatten() {
                // Names of columns have no case.
                let known = columns.iter().any(|c| c.eq_ignore_ascii_case(column));
                let name = format!("{database}.{table}.{column}");
                if !known && name != UNUSED {
                    all.insert(name);
                }
            }
        }
    }
    all
}

/// The one column of the installer's tables that every console of the last years drops at its first start,
/// and that nothing reads.
const UNUSED: &str = "db_tars.t_server_conf.grid_flag";
