//! Which part of a record does not fit, and why.

use std::fmt;

use serde::Serialize;

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// Its format.
    Format,
    /// The cluster.
    Cluster,
    /// The run.
    Run,
    /// The step.
    Step,
    /// The node.
    Node,
    /// The address of the node.
    Ip,
    /// The framework's folder.
    TarsPath,
    /// The user that the framework runs as.
    RunUser,
    /// A port.
    Port,
    /// The registry that is added or removed.
    Registry,
    /// Whether the resource came, changed or went.
    ChangeKind,
    /// A file.
    File,
    /// The permission bits of a file.
    Mode,
    /// A line of the crontab.
    Crontab,
    /// How long it waits.
    Settle,
    /// A row of the framework's database.
    Row,
    /// The package that a row names.
    Package,
    /// What a step on the database worked on.
    Resource,
    /// A template.
    Template,
    /// A column.
    Column,
    /// A dump of the database.
    Backup,
    /// The name or the id of a container.
    Container,
    /// The socket of a container's engine.
    Socket,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "format",
            Self::Cluster => "cluster",
            Self::Run => "run",
            Self::Step => "step",
            Self::Node => "node",
            Self::Ip => "address",
            Self::TarsPath => "folder",
            Self::RunUser => "run user",
            Self::Port => "port",
            Self::Registry => "registry",
            Self::ChangeKind => "sign",
            Self::File => "file",
            Self::Mode => "mode of a file",
            Self::Crontab => "crontab line",
            Self::Settle => "settling time",
            Self::Row => "row",
            Self::Package => "package",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Column => "column",
            Self::Backup => "backup",
            Self::Container => "container",
            Self::Socket => "socket",
        })
    }
}

/// Why a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its {field} is `{says}`, and {wanted}")]
pub struct RecordMismatch {
    /// Which part of it does not fit.
    pub field: Field,
    /// What it says, shortened and without what a terminal would obey.
    pub says: String,
    /// What it may say.
    pub wanted: String,
}

pub(super) fn mismatch(
    field: Field,
    says: impl fmt::Display,
    wanted: impl Into<String>,
) -> RecordMismatch {
    let says = says.to_string();
    RecordMismatch {
        field,
        says: says.chars().take(80).flat_map(char::escape_debug).collect(),
        wanted: wanted.into(),
    }
}

pub(super) fn same<T: PartialEq + fmt::Display>(
    field: Field,
    says: &T,
    wanted: &T,
) -> Result<(), RecordMismatch> {
    if says == wanted {
        return Ok(());
    }
    Err(mismatch(field, says, format!("it must be `{wanted}`")))
}

pub(super) fn must(
    holds: bool,
    field: Field,
    says: impl fmt::Display,
    wanted: &str,
) -> Result<(), RecordMismatch> {
    if holds {
        Ok(())
    } else {
        Err(mismatch(field, says, wanted))
    }
}
