//! Rows of the framework's database (`db_tars`): of each table one struct, with the columns that it is read
//! from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What of a column is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Its value, without which a row means nothing.
    Key,
    /// Its value, as text.
    Text,
    /// The seconds since the time that it holds, by the database's clock.
    Age,
}

/// A column as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What of it is read.
    pub kind: ColumnKind,
}

/// A row of a table.
pub trait TableRow: Sized {
    /// The table's name.
    const TABLE: &'static str;
    /// The columns that are read, in their order.
    const COLUMNS: &'static [Column];

    /// Makes a row of its cells, which come in the order of [`TableRow::COLUMNS`]: none for NULL, and for
    /// a column that the table does not have.
    fn from_cells(cells: impl FnMut() -> Option<String>) -> Self;
}

/// A field that is made of one cell.
trait FromCell {
    fn from_cell(cell: Option<String>) -> Self;
    fn cell(&self) -> Option<String>;
}

impl FromCell for String {
    fn from_cell(cell: Option<String>) -> Self {
        cell.unwrap_or_default()
    }

    fn cell(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl FromCell for Option<String> {
    fn from_cell(cell: Option<String>) -> Self {
        cell
    }

    fn cell(&self) -> Option<String> {
        self.clone()
    }
}

impl FromCell for Option<i64> {
    fn from_cell(cell: Option<String>) -> Self {
        cell.and_then(|text| text.parse().ok())
    }

    fn cell(&self) -> Option<String> {
        self.map(|number| number.to_string())
    }
}

/// A struct and the columns that its fields are read from.
macro_rules! table_row {
    (
        $(#[$about:meta])*
        pub struct $row:ident: $table:literal {
            $($(#[$field_about:meta])* $kind:ident $column:literal $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $row {
            $($(#[$field_about])* pub $field: $type,)*
        }

        impl TableRow for $row {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [Column] = &[
                $(Column { name: $column, kind: ColumnKind::$kind },)*
            ];

            fn from_cells(mut cells: impl FnMut() -> Option<String>) -> Self {
                Self { $($field: FromCell::from_cell(cells()),)* }
            }
        }

        impl $row {
            /// The text of a column; none for NULL, and for a column that is not read.
            #[must_use]
            pub fn cell(&self, column: &str) -> Option<String> {
                match column {
                    $($column => self.$field.cell(),)*
                    _ => None,
                }
            }

            /// Gives a column another text, none for NULL. A column that is not read stays unread.
            pub fn set_cell(&mut self, column: &str, cell: Option<String>) {
                match column {
                    $($column => self.$field = FromCell::from_cell(cell),)*
                    _ => {}
                }
            }
        }
    };
}

table_row! {
    /// A row of `t_node_info`. What a schema does not have is none.
    pub struct NodeRow: "t_node_info" {
        /// `node_name`, the key.
        Key "node_name" name: String,
        /// `id`, which is another one after each registration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        Text "id" id: Option<i64>,
        /// `node_obj`; empty after a registration since 3.0.7.
        Text "node_obj" node_obj: Option<String>,
        /// `endpoint_ip`.
        Text "endpoint_ip" endpoint_ip: Option<String>,
        /// `present_state`.
        Text "present_state" present: Option<String>,
        /// `setting_state`.
        Text "setting_state" setting: Option<String>,
        /// `tars_version`: of the framework, written at registration only.
        Text "tars_version" version: Option<String>,
        /// `group_id`, which a registration sets to -1.
        Text "group_id" group_id: Option<i64>,
        /// `label`, which a registration empties.
        Text "label" label: Option<String>,
        /// Seconds since the last heartbeat, by the database's clock.
        Age "last_heartbeat" heartbeat_age: Option<i64>,
    }
}

table_row! {
    /// A row of `t_server_conf`.
    pub struct ServerRow: "t_server_conf" {
        /// `application`.
        Key "application" application: String,
        /// `server_name`.
        Key "server_name" server: String,
        /// `node_name`.
        Key "node_name" node: String,
        /// `setting_state`: what it should be.
        Text "setting_state" setting: Option<String>,
        /// `present_state`: what it is.
        Text "present_state" present: Option<String>,
        /// `process_id`.
        Text "process_id" pid: Option<i64>,
        /// `patch_version`.
        Text "patch_version" patch_version: Option<String>,
        /// `tars_version`: of TarsCpp; goes stale.
        Text "tars_version" library: Option<String>,
        /// `template_name`.
        Text "template_name" template: Option<String>,
        /// `server_type`.
        Text "server_type" kind: Option<String>,
        /// `exe_path`: where its node starts its program, and puts one that is published.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        Text "exe_path" exe_path: Option<String>,
    }
}

impl ServerRow {
    /// `application.server`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.application, self.server)
    }
}

table_row! {
    /// A row of `t_adapter_conf`.
    pub struct AdapterRow: "t_adapter_conf" {
        /// `application`.
        Key "application" application: String,
        /// `server_name`.
        Key "server_name" server: String,
        /// `node_name`.
        Key "node_name" node: String,
        /// `adapter_name`.
        Key "adapter_name" adapter: String,
        /// `servant`.
        Text "servant" servant: Option<String>,
        /// `endpoint`, such as `tcp -h 10.0.0.1 -t 60000 -p 17890`.
        Text "endpoint" endpoint: Option<String>,
        /// `protocol`.
        Text "protocol" protocol: Option<String>,
        /// `thread_num`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        Text "thread_num" threads: Option<i64>,
        /// `max_connections`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        Text "max_connections" connections: Option<i64>,
        /// `queuecap`: requests that may wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        Text "queuecap" queue: Option<i64>,
        /// `queuetimeout`: milliseconds for which a request may wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        Text "queuetimeout" queue_timeout: Option<i64>,
    }
}

/// A column of a basic service's rows that a spec may own: what the spec says is written, and what it
/// leaves out is the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The table.
    pub table: &'static str,
    /// The column, which no other setting has.
    pub column: &'static str,
    /// Its name in a plan.
    pub label: &'static str,
}

/// All columns that a spec may own, in the order in which a plan shows them.
pub const SETTINGS: [Setting; 5] = [
    setting(ServerRow::TABLE, "template_name", "template"),
    setting(AdapterRow::TABLE, "thread_num", "threads"),
    setting(AdapterRow::TABLE, "max_connections", "connections"),
    setting(AdapterRow::TABLE, "queuecap", "queue"),
    setting(AdapterRow::TABLE, "queuetimeout", "queue timeout"),
];

const fn setting(table: &'static str, column: &'static str, label: &'static str) -> Setting {
    Setting {
        table,
        column,
        label,
    }
}

table_row! {
    /// A row of `t_registry_info`.
    pub struct RegistryRow: "t_registry_info" {
        /// `locator_id`, `IP:17890` for a registry.
        Key "locator_id" locator: String,
        /// `servant`.
        Key "servant" servant: String,
        /// `endpoint`.
        Text "endpoint" endpoint: Option<String>,
        /// `present_state`.
        Text "present_state" present: Option<String>,
        /// `tars_version`: of TarsCpp.
        Text "tars_version" library: Option<String>,
        /// Seconds since the last heartbeat, by the database's clock.
        Age "last_heartbeat" heartbeat_age: Option<i64>,
    }
}

/// A text that holds credentials: it shows in no message and is written into no document.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Confidential(String);

impl Confidential {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for those who compare or edit it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confidential(…)")
    }
}

/// A row of `t_profile_template`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// `template_name`.
    pub name: String,
    /// `parents_name`.
    pub parent: Option<String>,
    /// sha256 of the text.
    pub digest: Option<String>,
    /// The text itself, `profile`; it holds credentials, and is in no document.
    #[serde(skip)]
    pub text: Option<Confidential>,
}

impl TemplateRow {
    /// A row with this text.
    #[must_use]
    pub fn with_text(name: &str, parent: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            parent: Some(parent.to_owned()),
            digest: Some(Digest::of(text.as_bytes()).to_string()),
            text: Some(Confidential::new(text)),
        }
    }
}

impl TableRow for TemplateRow {
    const TABLE: &'static str = "t_profile_template";
    const COLUMNS: &'static [Column] = &[
        Column {
            name: "template_name",
            kind: ColumnKind::Key,
        },
        Column {
            name: "parents_name",
            kind: ColumnKind::Text,
        },
        Column {
            name: "profile",
            kind: ColumnKind::Text,
        },
    ];

    fn from_cells(mut cells: impl FnMut() -> Option<String>) -> Self {
        let (name, parent, text) = (cells(), cells(), cells());
        Self {
            name: name.unwrap_or_default(),
            parent,
            digest: text.as_ref().map(|t| Digest::of(t.as_bytes()).to_string()),
            text: text.map(Confidential::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_read_from_its_own_column() {
        let mut names = ServerRow::COLUMNS
            .iter()
            .map(|column| column.name.to_owned());
        let row = ServerRow::from_cells(|| names.next());
        assert_eq!(names.next(), None);
        let is = |field: &Option<String>, column: &str| field.as_deref() == Some(column);
        assert_eq!(
            (
                row.application.as_str(),
                row.server.as_str(),
                row.node.as_str()
            ),
            ("application", "server_name", "node_name")
        );
        assert!(is(&row.setting, "setting_state") && is(&row.present, "present_state"));
        assert!(is(&row.patch_version, "patch_version") && is(&row.library, "tars_version"));
        assert!(is(&row.template, "template_name") && is(&row.kind, "server_type"));
        assert!(is(&row.exe_path, "exe_path"));
        assert_eq!(row.pid, None, "no number");
    }

    #[test]
    fn a_column_that_is_not_there_is_none() {
        assert_eq!(NodeRow::from_cells(|| None), NodeRow::default());
        let mut cells = ["n", "42", "", "", "", "", "", "7", "", "250"].into_iter();
        let row = NodeRow::from_cells(|| cells.next().map(str::to_owned));
        assert_eq!((row.id, row.group_id), (Some(42), Some(7)));
        assert_eq!(row.heartbeat_age, Some(250));
    }
}
