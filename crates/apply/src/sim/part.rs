//! One component of the framework on a host in memory: its files and its process.

use std::collections::BTreeMap;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tokio::time::Instant;

/// The framework's folder.
pub(super) const TARS: &str = "/usr/local/app/tars";
/// As whom its programs run.
pub(super) const USER: &str = "tars";

/// A file of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) digest: Digest,
    pub(super) mode: u32,
}

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) exe: Digest,
    /// When it listens.
    pub(super) up: Instant,
}

/// One component of the framework on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// By path below the framework's folder.
    pub(super) files: BTreeMap<String, File>,
    pub(super) process: Option<Process>,
}

impl Part {
    pub(super) fn binary(&self, component: Component) -> Option<Digest> {
        let path = format!("{component}/bin/{component}");
        self.files.get(&path).map(|f| f.digest)
    }
}
