//! Rows of the framework's database that actions write.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::desired::SettingValue;
use tarsops_model::framework::{AdapterRow, RegistryRow, ServerRow};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::tables::TableRow as _;

/// Why deleted rows are not restored.
pub(super) const DELETED: &str =
    "a running component writes its own rows; deleted rows are saved as SQL on the master";

/// Rows of the framework's database about new servers of one node.
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

/// Rows of one table that an action deletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedRows {
    /// The table in `db_tars`.
    pub table: &'static str,
    /// The column that says which rows they are.
    pub column: &'static str,
    /// Its value.
    pub value: String,
    /// Whether the value is the beginning of the column's.
    pub is_prefix: bool,
    /// Further columns and their values, all of which must be so.
    pub also: Vec<(&'static str, String)>,
}

impl DeletedRows {
    /// Rows with a value in a column.
    pub(super) const fn with(table: &'static str, column: &'static str, value: String) -> Self {
        Self {
            table,
            column,
            value,
            is_prefix: false,
            also: Vec::new(),
        }
    }

    /// The installer's rows of a component of the framework on a node.
    pub(super) fn of_server(table: &'static str, component: Component, node: &str) -> Self {
        Self {
            also: vec![
                ("application", "tars".to_owned()),
                ("server_name", component.name().to_owned()),
            ],
            ..Self::with(table, "node_name", node.to_owned())
        }
    }

    /// The rows of a registry, which is resolved from those of its server as well.
    pub(super) fn of_registry(at: &Endpoint, node: &str) -> Vec<Self> {
        vec![
            Self::of_server(AdapterRow::TABLE, Component::Tarsregistry, node),
            Self::of_server(ServerRow::TABLE, Component::Tarsregistry, node),
            Self::with(RegistryRow::TABLE, "locator_id", at.to_string()),
        ]
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
    /// The table that it is written to.
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

impl Cell {
    /// The value as the database's text; none where it has none, or where only the database knows it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Now | Self::Null => None,
        }
    }
}

impl From<&SettingValue> for Cell {
    fn from(value: &SettingValue) -> Self {
        match value {
            SettingValue::Number(number) => Self::Number(i64::from(*number)),
            SettingValue::Text(text) => Self::Text(text.clone()),
        }
    }
}

/// A change of one row of a server or an adapter, which exists, or is added or deleted with its
/// server's program. It is made only where the row still says what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowEdit {
    /// Its table.
    pub table: Table,
    /// The columns of its key, and their values.
    pub key: Vec<(String, String)>,
    /// What it must say, by column; none where no row may be there.
    pub before: Option<Vec<(String, Cell)>>,
    /// What it should say, by column; none where it is deleted.
    pub after: Option<Vec<(String, Cell)>>,
}

impl RowEdit {
    /// The other way round. A row that was added is deleted while it still is for the same servant at the same
    /// endpoint.
    #[must_use]
    pub fn back(&self) -> Self {
        let identifying = |all: &[(String, Cell)]| -> Vec<(String, Cell)> {
            let known = |c: &&(String, Cell)| ["servant", "endpoint"].contains(&c.0.as_str());
            all.iter().filter(known).cloned().collect()
        };
        let before = match (&self.before, &self.after) {
            (None, Some(after)) => Some(identifying(after)),
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

/// Who publishes a basic service or writes the rows of its first deployment.
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
