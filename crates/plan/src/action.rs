//! What can be done to a cluster. The enum is closed and every detail is filled in by the planner;
//! there is no action that drops, rebuilds or resets a database.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_conf::merge::Edit;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{AbsPath, Endpoint, NodeName, RunId, StepName, UserName};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::crontab::CrontabEdit;

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
    ChangeAgent(Box<AgentChange>),
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

/// What becomes of the component's folder as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    /// It stays.
    Keep,
    /// It is made.
    Create,
    /// It is moved away to the before-images.
    Remove,
}

/// Where a file's new content comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A file of a pinned package, streamed to the host.
    Package {
        /// Of which component.
        component: Component,
        /// Of which version.
        version: Version,
        /// Path within the component's folder.
        path: String,
        /// Size in bytes.
        size: u64,
    },
    /// This text.
    Text(String),
    /// A before-image of an earlier change on the same host.
    Before {
        /// The run that kept it.
        run: RunId,
        /// The step that kept it.
        step: StepName,
        /// Its number there.
        index: usize,
    },
    /// Nothing is written: only the mode changes, or the file goes.
    None,
}

/// The replacement of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Path relative to the framework's folder, such as `tarsnode/bin/tarsnode`.
    pub path: String,
    /// Permission bits afterwards.
    pub mode: u32,
    /// What must be there; `None` for nothing.
    pub before: Option<Digest>,
    /// Permission bits of what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_mode: Option<u32>,
    /// What will be there; `None` for nothing.
    pub after: Option<Digest>,
    /// Where the new content comes from.
    pub content: Content,
}

const fn tarsnode() -> Component {
    Component::Tarsnode
}

/// A change of one component on one host: all of it, or none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentChange {
    /// Which component.
    #[serde(default = "tarsnode")]
    pub component: Component,
    /// Where.
    pub node: NodeName,
    /// What it does, in a few words for audit lines.
    pub summary: String,
    /// What becomes of the folder.
    pub folder: Folder,
    /// Files in the order in which they are replaced; the binary is last.
    pub files: Vec<FileChange>,
    /// Whether the run user is made first.
    pub make_user: bool,
    /// Whether the folder is given to the run user.
    pub own: bool,
    /// Whether the process is started anew.
    pub restart: bool,
    /// Whether servers that it runs are stopped with it (removals only).
    #[serde(default)]
    pub stop_servers: bool,
    /// Whether the change counts only once the process is healthy.
    pub health: bool,
    /// The crontab that must be there (its digest; `None` for none) and what changes in it.
    pub crontab: Option<CrontabChange>,
    /// The framework's folder.
    pub tars_path: AbsPath,
    /// User that it runs as.
    pub run_user: UserName,
    /// Whose crontab is edited, where that is not the run user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crontab_of: Option<UserName>,
    /// User that it ran as when the change was planned, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_as: Option<UserName>,
    /// `--nodeid` of the healthy process.
    pub nodeid: NodeName,
    /// The address that it listens on.
    pub ip: IpAddr,
    /// Its port afterwards.
    pub port: Option<u16>,
    /// Its port before.
    pub port_before: Option<u16>,
    /// Whether a process ran when the change was planned.
    pub ran: bool,
    /// Whether any nodeid, user and address count as healthy: a state that is put back is judged by
    /// what it was, not by the spec.
    #[serde(default)]
    pub lenient: bool,
    /// The machine that it was planned for.
    pub machine_id: String,
    /// For a restore of a removal: where the folder was moved to, by which change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_from: Option<(RunId, StepName)>,
    /// The registry that comes or goes with the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Endpoint>,
    /// What the node's row shall have again once it has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<NodeLabels>,
    /// Seconds for which it must have been well, where that is longer than the policy's: as long as
    /// registries take to see that its servants are back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<u64>,
    /// For a restore of owners: the change that kept them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners_from: Option<(RunId, StepName)>,
    /// For a way back: the run that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes_back: Option<RunId>,
    /// How the framework itself brings the program and starts it, as it does with any service. None
    /// where the host's own script does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Via>,
    /// Which package the server's row names afterwards, where that does not follow by itself: a
    /// program that the host's own script puts back was published once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Renamed>,
    /// Whether AdminRegistry starts it anew, which has its node read its rows; no file comes then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reread: bool,
    /// Its rows in the framework's database that change before it is started anew, or that are put
    /// back before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowEdit>,
}

/// The package that a server's row names (`t_server_conf.patch_version`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// Before.
    pub from: String,
    /// Afterwards.
    pub to: String,
}

impl Renamed {
    /// The other way round.
    #[must_use]
    pub fn back(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }
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

impl AgentChange {
    /// What it changes.
    #[must_use]
    pub fn resource(&self) -> ResourceId {
        match self.component {
            Component::Tarsnode => ResourceId::Agent(self.node.clone()),
            other => ResourceId::Server(other, self.node.clone()),
        }
    }
}

/// A change of the run user's crontab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrontabChange {
    /// Digest of the crontab that the edit was made for; `None` if there was none.
    pub before: Option<Digest>,
    /// What changes in it.
    pub edit: CrontabEdit,
    /// In place of an edit: the crontab that an earlier change on the host kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<CrontabBefore>,
}

/// A crontab among the before-images of an earlier change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrontabBefore {
    /// The run that kept it.
    pub run: RunId,
    /// The step that kept it.
    pub step: StepName,
    /// Its digest; `None` if there was no crontab.
    pub digest: Option<Digest>,
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
