//! What can be done to a cluster. The enum is closed and every detail is filled in by the planner;
//! there is no action that drops, rebuilds or resets a database.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_conf::merge::Edit;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{Endpoint, NodeName, RunId, StepName};
use tarsops_model::version::Version;

mod executor;
mod flat;
mod host;
mod rows;

pub(crate) use flat::FlatChange;
pub use host::{
    Content, CrontabBefore, CrontabChange, FileChange, Folder, HostChange, Install, Modify,
    Operation, Owner, Place, Port, Process, Publish, Remove, RemoveRest, Renamed, Restart, Restore,
};
pub use rows::{Cell, NewRow, NewServers, RowEdit, Table, Via};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// End a change that a dead run left on a host: the host puts its old state back.
    Recover {
        /// Where.
        node: NodeName,
        /// Whose change.
        run: RunId,
        /// Which change.
        step: StepName,
        /// Whether it ends with what runs there now, as a person has said, and nothing is restored.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept: bool,
    },
    /// Change a component on a host by one self-finishing script: tarsnode, or a registry that
    /// comes or goes.
    ChangeHost(Box<HostChange>),
    /// Delete the framework's rows of a node whose machine is gone.
    DeleteNodeRows {
        /// Which node.
        node: NodeName,
        /// The address that it had.
        ip: IpAddr,
    },
    /// Delete the framework's rows of a registry that is gone.
    DeleteRegistryRows {
        /// Which registry.
        registry: Endpoint,
        /// The node that the framework's rows have it on.
        node: String,
    },
    /// Delete the framework's rows of servers of its own that were removed from a node.
    DeleteServerRows {
        /// Which node.
        node: NodeName,
        /// Which components.
        servers: BTreeSet<Component>,
    },
    /// Dump these databases whole, and keep the dump on the master.
    Backup {
        /// Which.
        databases: Vec<String>,
    },
    /// Add a column to a table of `db_tars`.
    AddColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type, with its default.
        definition: String,
    },
    /// Change keys of a template.
    MergeTemplate(Box<TemplateChange>),
    /// Add a template that is not there.
    AddTemplate(Box<NewTemplate>),
    /// Put a template back as a run found it.
    RestoreTemplate {
        /// Which.
        name: String,
        /// The run that kept the row.
        run: RunId,
        /// The step that kept it.
        step: StepName,
        /// sha256 of the text that the run left, which must be there still; none for no such row.
        now: Option<Digest>,
        /// sha256 of the text that is restored; none if the row goes.
        before: Option<Digest>,
    },
    /// Give the row of a node what its last registration made it lose.
    RestoreLabels {
        /// Which node.
        node: NodeName,
        /// What a run that was cut off has kept on the host.
        labels: NodeLabels,
    },
    /// Write rows of servers that come to a node, each only where no row has its key.
    AddServerRows(NewServers),
    /// Delete rows that [`Action::AddServerRows`] wrote, those of servers that were never started.
    RemoveServerRows(NewServers),
    /// Have AdminRegistry start a server of the framework, which sets it active.
    StartServer {
        /// Which component.
        component: Component,
        /// On which node.
        node: NodeName,
    },
    /// Have AdminRegistry stop a server of the framework, which sets it inactive.
    StopServer {
        /// Which component.
        component: Component,
        /// On which node.
        node: NodeName,
    },
}

impl Action {
    /// Whether it is about the database as such: its backup, its tables, its templates.
    #[must_use]
    pub const fn is_of_tables(&self) -> bool {
        matches!(
            self,
            Self::Backup { .. }
                | Self::AddColumn { .. }
                | Self::MergeTemplate(_)
                | Self::AddTemplate(_)
                | Self::RestoreTemplate { .. }
        )
    }

    /// Whether it works on rows about nodes and registries rather than on a host.
    #[must_use]
    pub const fn is_of_rows(&self) -> bool {
        matches!(
            self,
            Self::DeleteNodeRows { .. }
                | Self::DeleteRegistryRows { .. }
                | Self::DeleteServerRows { .. }
                | Self::RestoreLabels { .. }
                | Self::AddServerRows(_)
                | Self::RemoveServerRows(_)
        )
    }
}

/// A change of a template by its meaning. No value of the live text is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateChange {
    /// Which.
    pub name: String,
    /// The release whose keys come.
    pub release: Version,
    /// sha256 of the text that the edits were made for.
    pub before: Digest,
    /// sha256 of the text that they make of it.
    pub after: Digest,
    /// What is done, in this order.
    pub edits: Vec<Edit>,
}

/// A template that comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTemplate {
    /// Its name.
    pub name: String,
    /// Its parent.
    pub parent: String,
    /// The release that ships it.
    pub release: Version,
    /// Its text, with the placeholders filled. It holds no credential.
    pub text: String,
}

/// How a step is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// What was kept before is restored: by the host, or into the row.
    Restore,
    /// Another action takes it back.
    Inverse {
        /// Which.
        action: Box<Action>,
    },
    /// It cannot be rolled back.
    Irreversible {
        /// Why not.
        reason: String,
    },
}
