//! What the framework itself says: its servants, AdminRegistry, and its database.
//!
//! None of it is trusted more than the rest. A word that could not be had is
//! [`Observed::Unknown`], and an empty list is only believed where its emptiness was proven.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::console::ConsoleTables;
use crate::names::{Endpoint, NodeName};
use crate::observed::Observed;
use crate::version::Version;

pub use crate::tables::{AdapterRow, Confidential, NodeRow, RegistryRow, ServerRow, TemplateRow};

/// What came of asking a servant for a sign of life (`tars_ping`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", content = "why", rename_all = "kebab-case")]
pub enum Answer {
    /// It answers.
    Answers,
    /// Proven: nothing listens there.
    Refused,
    /// Proven: what listens there does not have the servant.
    NoServant,
    /// It takes connections and does not answer, and what it does instead.
    Mute(String),
    /// Nobody took the connection in time: its machine may be off, or a firewall lies between.
    Nobody(String),
    /// No answer came, and why; nothing is proven.
    Silent(String),
    /// An answer came that is none.
    Failed(String),
}

impl Answer {
    /// Whether it answers.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Answers)
    }

    /// Whether it could not be told.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.unknown().is_some()
    }

    /// Why it could not be told.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Nobody(why) | Self::Silent(why) => Some(why),
            _ => None,
        }
    }

    /// Whether it is proven that it is not there.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        matches!(self, Self::Refused | Self::NoServant)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers => f.write_str("answers"),
            Self::Refused => f.write_str("refuses connections"),
            Self::NoServant => f.write_str("does not have the servant"),
            Self::Mute(why) | Self::Nobody(why) | Self::Silent(why) | Self::Failed(why) => {
                f.write_str(why)
            }
        }
    }
}

/// What AdminRegistry says of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// What it should be, by the database: `active` or `inactive`.
    pub setting: String,
    /// What it is, by the database.
    pub present: String,
    /// What it is, by its node.
    pub in_node: String,
    /// Its process, by its node; 0 for none.
    pub pid: i32,
    /// What was published last, by the database.
    pub patch_version: String,
    /// The TarsCpp version of the running process; absent where it was not asked for.
    pub library: Observed<String>,
}

/// What AdminRegistry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminFacts {
    /// Its own framework version.
    pub version: Observed<String>,
    /// Nodes that it knows from the database; an empty list is unknown.
    pub nodes: Observed<BTreeSet<String>>,
    /// Last sign of life on each node's long connection, by its clock; absent where none is there.
    pub connections: BTreeMap<NodeName, Observed<String>>,
    /// Whether each node answered a ping over its long connection (`ping succ`).
    pub pings: BTreeMap<NodeName, Observed<bool>>,
    /// The framework's servers, by `component@node`.
    pub servers: BTreeMap<String, Observed<ServerView>>,
}

/// The key of [`AdminFacts::servers`].
#[must_use]
pub fn server_key(component: Component, node: &NodeName) -> String {
    format!("{component}@{node}")
}

/// Format name and number of saved labels whose row is not known.
const LABELS: &str = "tarsops-labels/1";
/// Format name and number of saved labels that name their row.
const LABELS_OF_ROW: &str = "tarsops-labels/2";

/// What a registration makes a node lose (`RegistryServer/DbHandle.cpp` replaces its row), and what
/// it should have again afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLabels {
    /// `t_node_info.label`.
    pub label: Option<String>,
    /// `t_node_info.group_id`.
    pub group_id: Option<i64>,
    /// `t_node_info.id` of the row that had them, where it is known. A registration makes a row with
    /// another id: while this one is there, the node has not registered since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<i64>,
}

impl NodeLabels {
    /// What a row says beyond the defaults of the table; none where it says nothing.
    #[must_use]
    pub fn of(row: &NodeRow) -> Option<Self> {
        let labels = Self {
            label: row.label.clone().filter(|l| !l.is_empty()),
            group_id: row.group_id.filter(|id| *id != -1),
            row: row.id,
        };
        (labels.label.is_some() || labels.group_id.is_some()).then_some(labels)
    }

    /// Whether `row` is the one that had them: the node has not registered since. Not where either id
    /// is unknown.
    #[must_use]
    pub fn are_of(&self, row: &NodeRow) -> bool {
        self.row.is_some() && self.row == row.id
    }

    /// The text that is saved on a host while the row is being replaced.
    #[must_use]
    pub fn to_text(&self) -> String {
        let group = self
            .group_id
            .map_or_else(|| "-".to_owned(), |id| id.to_string());
        let label = self.label.as_deref().unwrap_or_default();
        match self.row {
            Some(row) => format!("{LABELS_OF_ROW}\n{row}\n{group}\n{label}"),
            None => format!("{LABELS}\n{group}\n{label}"),
        }
    }

    /// Reads what [`NodeLabels::to_text`] wrote; none for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (format, rest) = text.split_once('\n')?;
        let (row, rest) = match format {
            LABELS => (None, rest),
            LABELS_OF_ROW => {
                let (row, rest) = rest.split_once('\n')?;
                (Some(row.parse().ok()?), rest)
            }
            _ => return None,
        };
        let mut parts = rest.splitn(2, '\n');
        let group_id = match parts.next()? {
            "-" => None,
            id => Some(id.parse().ok()?),
        };
        let label = parts.next().filter(|l| !l.is_empty()).map(str::to_owned);
        Some(Self {
            label,
            group_id,
            row,
        })
    }
}

/// The tables of `db_tars` that tarsops reads, from one consistent snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// `t_node_info`, by node.
    pub nodes: Observed<BTreeMap<String, NodeRow>>,
    /// `t_server_conf`.
    pub servers: Observed<Vec<ServerRow>>,
    /// `t_adapter_conf`.
    pub adapters: Observed<Vec<AdapterRow>>,
    /// `t_registry_info`.
    pub registries: Observed<Vec<RegistryRow>>,
    /// `t_profile_template`.
    pub templates: Observed<Vec<TemplateRow>>,
    /// The columns of the tables in which releases have added some, by table.
    #[serde(default)]
    pub columns: BTreeMap<String, Observed<BTreeSet<String>>>,
    /// What matters to a console that starts.
    #[serde(default)]
    pub console: ConsoleTables,
}

impl Rows {
    /// Whether a table has a column.
    #[must_use]
    pub fn column(&self, table: &str, column: &str) -> Observed<bool> {
        match self.columns.get(table) {
            Some(Observed::Present(all)) => Observed::Present(all.contains(column)),
            Some(Observed::Absent) => Observed::Absent,
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
            None => Observed::Unknown(format!("the columns of {table} were not read")),
        }
    }

    /// The row of a template; absent where the table was read and has none.
    #[must_use]
    pub fn template(&self, name: &str) -> Observed<&TemplateRow> {
        match &self.templates {
            Observed::Present(all) => Observed::from(all.iter().find(|t| t.name == name)),
            Observed::Absent => Observed::Unknown("there is no table of templates".to_owned()),
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
        }
    }
}

/// What protects a connection to the database from whoever is in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// TLS; the server's certificate comes from the authority of the spec.
    Authority,
    /// TLS; the server has the key of the spec.
    Fingerprint,
    /// TLS; the server has the key that it had before.
    Known,
    /// TLS; the server was met for the first time, and its key is remembered.
    FirstUse,
    /// Nothing: the connection is not encrypted.
    None,
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "encrypted; its certificate comes from `database.ca`",
            Self::Fingerprint => "encrypted; its key is `database.fingerprint`",
            Self::Known => "encrypted; its key is pinned and did not change",
            Self::FirstUse => {
                "encrypted; its key is pinned from this use on, and nothing proves it so far"
            }
            Self::None => "not encrypted",
        })
    }
}

/// What was seen of the framework's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// What the server calls itself.
    pub server: String,
    /// What protects the connection; unknown where that was not asked.
    pub protection: Observed<Protection>,
    /// Its clock minus the control machine's, in seconds.
    pub clock_skew: i64,
    /// Whether the server takes no changes from ordinary accounts (`read_only`), as a replica does.
    pub read_only: Observed<bool>,
    /// The framework's databases that exist; the others are absent, or unknown where our user may
    /// not see all databases.
    pub databases: BTreeMap<String, Observed<()>>,
    /// The rows of `db_tars`.
    pub rows: Observed<Rows>,
    /// Whether the installer's account with its default password is let in; unknown where that was
    /// not tried.
    pub default_login: Observed<bool>,
}

/// The databases of a framework (`deploy/framework/sql`); the first six are dropped by a rebuild.
pub const DATABASES: [&str; 7] = [
    "db_tars",
    "tars_stat",
    "tars_property",
    "db_tars_web",
    "db_user_system",
    "db_cache_web",
    "db_base",
];

/// The databases that a backup holds. What services have measured (tars_stat, tars_property) is not
/// among them: it can be huge, and nothing rests upon it.
pub const BACKED_UP_DATABASES: [&str; 5] = [
    "db_tars",
    "db_tars_web",
    "db_user_system",
    "db_cache_web",
    "db_base",
];

/// A column that a release has added to a table of `db_tars`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addition {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// Its type, with its default.
    pub definition: &'static str,
    /// The first release whose upgrade adds it.
    pub since: Version,
}

const fn since(patch: u16) -> Version {
    Version {
        major: 3,
        minor: 0,
        patch,
    }
}

/// What the framework's own upgrade adds to a database that an older release made
/// (`deploy/framework/sql/tars_upgrade.conf`). `t_server_conf.sha` stands there as well and is not
/// here: its section bears the name of the next one, so the installer reads over it, and no cluster
/// has it. `flow_state` tarsregistry adds by itself (`RegistryServer/DbHandle.cpp`).
pub const ADDITIONS: [Addition; 3] = [
    Addition {
        table: "t_server_conf",
        column: "run_type",
        definition: "VARCHAR(128) DEFAULT ''",
        since: since(5),
    },
    Addition {
        table: "t_server_conf",
        column: "base_image_id",
        definition: "INT(11) DEFAULT '0'",
        since: since(5),
    },
    Addition {
        table: "t_base_image",
        column: "result",
        definition: "TEXT",
        since: since(8),
    },
];

/// The parent that the framework's installer gives a template (`deploy/tars-install.sh`,
/// `update_template`).
#[must_use]
pub fn parent_of(template: &str) -> &'static str {
    match template {
        "tars.springboot" => "tars.tarsjava.default",
        "tars.tarsAdminRegistry"
        | "tars.tarsconfig"
        | "tars.tarsnotify"
        | "tars.tarsproperty"
        | "tars.tarsqueryproperty"
        | "tars.tarsstat"
        | "tars.tarsquerystat"
        | "tars.tarsregistry" => "tars.framework-db",
        _ => "tars.default",
    }
}

/// What the framework says of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameworkFacts {
    /// Servants that the spec expects, by `servant@node`.
    pub servants: BTreeMap<String, Asked>,
    /// Registries of the spec.
    pub registries: BTreeMap<Endpoint, Answer>,
    /// What AdminRegistry says.
    pub admin: Observed<AdminFacts>,
    /// What the database says; absent where the spec names none.
    pub database: Observed<DatabaseFacts>,
    /// What the management platform calls itself, where it answers and takes the ticket; absent
    /// where the spec names none.
    #[serde(default = "no_console")]
    pub console: Observed<String>,
}

const fn no_console() -> Observed<String> {
    Observed::Absent
}

/// A servant that was asked for a sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its component.
    pub component: Component,
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub servant: String,
    /// Where it was asked.
    pub at: Endpoint,
    /// What came.
    pub answer: Answer,
}

impl FrameworkFacts {
    /// The rows of the database, or why there are none.
    #[must_use]
    pub fn rows(&self) -> Observed<&Rows> {
        match &self.database {
            Observed::Present(facts) => facts.rows.as_ref(),
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
        }
    }

    /// The row of a node; absent where the table was read and has none.
    #[must_use]
    pub fn node_row(&self, node: &NodeName) -> Observed<&NodeRow> {
        match self.rows() {
            Observed::Present(rows) => match &rows.nodes {
                Observed::Present(all) => Observed::from(all.get(node.as_str())),
                Observed::Absent => Observed::Unknown("there is no table of nodes".to_owned()),
                Observed::Unknown(why) => Observed::Unknown(why.clone()),
            },
            Observed::Absent => Observed::Unknown("there is no database of nodes".to_owned()),
            Observed::Unknown(why) => Observed::Unknown(why),
        }
    }

    /// What AdminRegistry heard of a node when it pinged it.
    #[must_use]
    pub fn ping(&self, node: &NodeName) -> Observed<bool> {
        match &self.admin {
            Observed::Present(admin) => admin
                .pings
                .get(node)
                .cloned()
                .unwrap_or_else(|| Observed::Unknown("it was not asked".to_owned())),
            Observed::Absent => Observed::Unknown("there is no AdminRegistry".to_owned()),
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_template_shows_in_nothing() {
        let row = TemplateRow::with_text("tars.framework-db", "tars.default", "dbpass=geheim");
        assert!(!format!("{row:?}").contains("geheim"));
    }

    #[test]
    fn labels_survive_their_text() {
        for (label, group_id, row) in [
            (Some("{\"idc\":\"sz\"}\nsecond line"), Some(7), None),
            (Some("second\nthird"), None, Some(15)),
            (Some("x"), None, None),
            (None, Some(-2), Some(0)),
            (None, None, None),
        ] {
            let labels = NodeLabels {
                label: label.map(str::to_owned),
                group_id,
                row,
            };
            assert_eq!(NodeLabels::from_text(&labels.to_text()), Some(labels));
        }
        // Saved by a version that did not name the row.
        let old = NodeLabels::from_text("tarsops-labels/1\n9\nlost").unwrap();
        assert_eq!((old.group_id, old.row), (Some(9), None));
        assert_eq!(NodeLabels::from_text("tarsops-labels/2\n-\nx"), None);
        assert_eq!(NodeLabels::from_text("tarsops-labels/2\n7"), None);
        assert_eq!(NodeLabels::from_text("tarsops-labels/3\n7\n-\nx"), None);
        assert_eq!(NodeLabels::from_text(""), None);
    }
}
