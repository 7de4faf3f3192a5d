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

mod flat;
mod host;

pub(crate) use flat::FlatChange;
pub use host::{
    Content, CrontabBefore, CrontabChange, FileChange, Folder, HostChange, Install, Modify,
    Operation, Owner, Place, Port, Process, Publish, Remove, RemoveRest, Renamed, Restart, Restore,
};

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
        /// Whether it ends with what runs there now, as a person has said, and nothing is put back.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept: bool,
    },
    /// Change a component on a host by one self-finishing script: tarsnode, or a registry that
    /// comes or goes.
    ChangeHost(Box<HostChange>),
    /// Delete the framework's rows of a node whose machine is gone.
    ForgetNode {
        /// Which node.
        node: NodeName,
        /// The address that it had.
        ip: IpAddr,
    },
    /// Delete the framework's rows of a registry that is gone.
    ForgetRegistry {
        /// Which registry.
        registry: Endpoint,
        /// The node that the framework's rows have it on.
        node: String,
    },
    /// Delete the framework's rows of servers of its own that were removed from a node.
    ForgetServers {
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
        /// sha256 of the text that is put back; none if the row goes.
        before: Option<Digest>,
    },
    /// Give the row of a node what its last registration made it lose.
    PutLabels {
        /// Which node.
        node: NodeName,
        /// What a run that was cut off has kept on the host.
        labels: NodeLabels,
    },
    /// Write rows of servers that come to a node, each only where no row has its key.
    AddServers(NewServers),
    /// Delete rows that [`Action::AddServers`] wrote, those of servers that were never started.
    RemoveServers(NewServers),
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
            Self::ForgetNode { .. }
                | Self::ForgetRegistry { .. }
                | Self::ForgetServers { .. }
                | Self::PutLabels { .. }
                | Self::AddServers(_)
                | Self::RemoveServers(_)
        )
    }
}

/// Rows of the framework's database about servers that come to one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewServers {
    /// Which node.
    pub node: NodeName,
    /// The rows, in the order in which they are written.
    pub rows: Vec<NewRow>,
    /// Who writes them: the database itself, or the management platform from its deploy form.
    #[serde(default, skip_serializing_if = "Via::is_tars")]
    pub via: Via,
}

impl NewServers {
    /// The names of the rows, see [`NewRow::name`].
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.rows.iter().map(NewRow::name).collect()
    }
}

/// A table that new rows go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// `t_server_conf`.
    TServerConf,
    /// `t_adapter_conf`.
    TAdapterConf,
}

impl Table {
    /// Its name in `db_tars`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TServerConf => "t_server_conf",
            Self::TAdapterConf => "t_adapter_conf",
        }
    }

    /// The columns that tell its rows apart (`deploy/framework/sql/db_tars.sql`, unique keys).
    #[must_use]
    pub const fn key(self) -> &'static [&'static str] {
        match self {
            Self::TServerConf => &["application", "server_name", "node_name"],
            Self::TAdapterConf => &["application", "server_name", "node_name", "adapter_name"],
        }
    }
}

/// A row that is written. Columns that the live table does not have are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRow {
    /// Where it goes.
    pub table: Table,
    /// Columns and their values; the columns of the key are among them.
    pub columns: Vec<(String, Cell)>,
}

impl NewRow {
    /// The text of a column; none where it has no text there.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        self.columns
            .iter()
            .find_map(|(name, cell)| match (name == column, cell) {
                (true, Cell::Text(text)) => Some(text.as_str()),
                _ => None,
            })
    }

    /// The number of a column; none where it has no number there.
    #[must_use]
    pub fn number(&self, column: &str) -> Option<i64> {
        self.columns
            .iter()
            .find_map(|(name, cell)| match (name == column, cell) {
                (true, Cell::Number(number)) => Some(*number),
                _ => None,
            })
    }

    /// `application.server` for a server, the adapter's name for an adapter.
    #[must_use]
    pub fn name(&self) -> String {
        let text = |column| self.text(column).unwrap_or_default();
        match self.table {
            Table::TServerConf => format!("{}.{}", text("application"), text("server_name")),
            Table::TAdapterConf => text("adapter_name").to_owned(),
        }
    }
}

/// A value of a row that is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// The database's own time.
    Now,
    /// None.
    Null,
}

/// A change of one row of a server or an adapter that is there, or that comes or goes with its
/// server's program. It is made only where the row still says what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowEdit {
    /// Its table.
    pub table: Table,
    /// The columns of its key, and their values.
    pub key: Vec<(String, String)>,
    /// What it must say, by column; none where no row may be there.
    pub before: Option<Vec<(String, Cell)>>,
    /// What it shall say, by column; none where it goes.
    pub after: Option<Vec<(String, Cell)>>,
}

impl RowEdit {
    /// The other way round. A row that came goes while it still is for the same servant at the same
    /// endpoint.
    #[must_use]
    pub fn back(&self) -> Self {
        let told = |all: &[(String, Cell)]| -> Vec<(String, Cell)> {
            let known = |c: &&(String, Cell)| ["servant", "endpoint"].contains(&c.0.as_str());
            all.iter().filter(known).cloned().collect()
        };
        let before = match (&self.before, &self.after) {
            (None, Some(after)) => Some(told(after)),
            _ => self.after.clone(),
        };
        Self {
            table: self.table,
            key: self.key.clone(),
            before,
            after: self.before.clone(),
        }
    }

    /// The value of a column of its key.
    #[must_use]
    pub fn of_key(&self, column: &str) -> Option<&str> {
        let mut all = self.key.iter();
        all.find_map(|(name, value)| (name == column).then_some(value.as_str()))
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

/// Whose hands publish a basic service or take its deploy form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// The management platform's.
    Console,
    /// Those of tarspatch, AdminRegistry and the database, without a platform.
    #[default]
    Tars,
}

impl Via {
    /// The way in the words of a plan.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Console => "through the management platform",
            Self::Tars => "straight through Tars",
        }
    }

    const fn is_tars(&self) -> bool {
        matches!(self, Self::Tars)
    }
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum Undo {
    /// What was kept before is put back: by the host, or into the row.
    Restore,
    /// Another action takes it back.
    Inverse {
        /// Which.
        action: Box<Action>,
    },
    /// It cannot be taken back.
    Irreversible {
        /// Why not.
        reason: String,
    },
}
