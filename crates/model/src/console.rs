//! The management platform's installation: as the spec wants it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
