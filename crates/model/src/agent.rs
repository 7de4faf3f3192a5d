//! The resource `tarsnode` on one node: as desired, and as seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::{AbsPath, Endpoint, NodeName, UserName};
use crate::observed::Observed;
use crate::version::Version;

/// TCP port of tarsnode's ServerObj (framework `deploy/framework/conf/tarsnode`).
pub const SERVER_OBJ_PORT: u16 = 19386;

/// Whether tarsnode is watched by a crontab line of its run user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Monitor {
    /// Exactly one line that runs `util/monitor.sh` each minute; a `check.sh` line counts as well.
    #[default]
    Cron,
    /// No line that watches tarsnode is added, and none is taken away.
    None,
}

/// What tarsnode on a node should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The framework version whose binary should be on disk and run.
    pub version: Version,
    /// The framework's folder, `<install_path>/tars`.
    pub tars_path: AbsPath,
    /// `--nodeid`: in `util/execute.sh` and on the command line of the process.
    pub nodeid: NodeName,
    /// `localip` and the host of the ServerObj endpoint.
    pub ip: IpAddr,
    /// Registries that the locator must name; more of them are no drift.
    pub locator: BTreeSet<Endpoint>,
    /// Owner of the folder and user of the process.
    pub run_user: UserName,
    /// Whether the run user is made where it is missing.
    pub create_run_user: bool,
    /// Whether cron watches it.
    pub monitor: Monitor,
    /// Whether a binary that no lock file knows may be replaced.
    pub replace_unknown: bool,
    /// Whether a newer binary may be replaced by an older one.
    pub allow_downgrade: bool,
}

/// A file seen on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// sha256 of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Permission bits, such as `0o755`.
    pub mode: u32,
    /// Name of the owner, or its number where the host has no name for it.
    pub owner: String,
}

/// A small text file, reported whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFact {
    /// The content; bytes that are no UTF-8 make the fact unknown instead.
    pub text: String,
    /// Permission bits.
    pub mode: u32,
    /// Name of the owner, or its number.
    pub owner: String,
}

impl TextFact {
    /// sha256 of the content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

/// A running process of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFact {
    /// Process id on the host.
    pub pid: u32,
    /// sha256 of `/proc/PID/exe`: what really runs.
    pub exe: Observed<Digest>,
    /// Whether the file it was started from has been replaced or removed since.
    pub exe_deleted: bool,
    /// User of the process.
    pub user: String,
    /// The value of `--nodeid=`, where the command line has one.
    pub nodeid: Option<String>,
    /// The value of `--config=`, where the command line has one.
    pub config: Option<String>,
}

/// Ownership of the component's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerFact {
    /// Owner of the folder itself.
    pub owner: String,
    /// Permission bits of the folder.
    pub mode: u32,
    /// Up to 20 paths below it (relative) that belong to another user than the folder's desired owner.
    pub strangers: Vec<String>,
}

/// What was seen of tarsnode on a node where its folder exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// Owner of `tarsnode/` and what below it belongs to others.
    pub folder: Observed<OwnerFact>,
    /// `bin/tarsnode`.
    pub binary: Observed<FileFact>,
    /// `conf/tars.tarsnode.config.conf`, whole.
    pub conf: Observed<TextFact>,
    /// Scripts in `util/` by file name, whole.
    pub util: BTreeMap<String, Observed<TextFact>>,
    /// Whether `data/tars.tarsnode/conf/tars.tarsnode.config.conf` exists, which the start script prefers.
    pub generated_conf: bool,
    /// Processes whose executable or command line is this installation's tarsnode.
    pub processes: Observed<Vec<ProcessFact>>,
    /// Whether the ServerObj port listens; unknown where the host cannot tell.
    pub listening: Observed<bool>,
    /// Servers other than framework components that this node runs now, as `App.Server`.
    pub servers: Vec<String>,
}
