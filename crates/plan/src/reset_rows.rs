//! What the start of a framework container resets in the rows of its node, and what puts it back.
//!
//! Each start runs the installer, which replaces the rows of the node's own servers and adapters (framework
//! `deploy/framework/sql/tars_servers.sql`, `tars_servers_master.sql`: `replace into`). Such a row is deleted
//! and written anew: it gets another `id`, and every column that the statement does not name gets the
//! table's default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;

use crate::actions::{Cell, RowEdit, Table};

/// The format of rows that were written down before a start.
pub const FORMAT: &str = "tarsops.rows-before-start/1";

/// Columns that the framework writes by itself, or that belong to the program that runs: the version and the
/// places of a program are those of the image.
const OWN: [&str; 12] = [
    "id",
    "registry_timestamp",
    "present_state",
    "process_id",
    "patch_version",
    "patch_time",
    "patch_user",
    "tars_version",
    "posttime",
    "lastuser",
    "base_path",
    "exe_path",
];

/// Who wrote a row last, where the installer did. The console leaves it when somebody changes a server or an
/// adapter there (TarsWeb `app/service/server/ServerService.js`), so it proves a change and never the
/// absence of one.
const INSTALLER: &str = "admin";

/// What a new row of `t_server_conf` says where the installer's statement does not name the column, or names
/// it with a fixed value (framework `deploy/framework/sql/db_tars.sql`, `tars_servers.sql`). NULL is empty.
const OF_SERVER: [(&str, &[&str]); 20] = [
    ("node_group", &[""]),
    ("bak_flag", &["0"]),
    ("server_type", &["tars_cpp"]),
    ("start_script_path", &[""]),
    ("stop_script_path", &[""]),
    ("monitor_script_path", &[""]),
    ("enable_group", &["N"]),
    ("enable_set", &["N"]),
    ("set_name", &[""]),
    ("set_area", &[""]),
    ("set_group", &[""]),
    ("ip_group_name", &[""]),
    ("profile", &[""]),
    ("source", &[""]),
    ("config_center_port", &["0"]),
    ("async_thread_num", &["3"]),
    ("server_important_type", &["0"]),
    ("grid_flag", &["NORMAL"]),
    ("flow_state", &["active"]),
    ("run_type", &[""]),
];

/// The same of `t_adapter_conf`, over all components (the statements are equal from 2.4.0 to 3.0.17).
const OF_ADAPTER: [(&str, &[&str]); 7] = [
    ("thread_num", &["5", "10"]),
    ("max_connections", &["2000", "100000", "200000"]),
    ("allow_ip", &[""]),
    ("queuecap", &["100000", "200000"]),
    ("queuetimeout", &["10000", "60000"]),
    ("protocol", &["tars"]),
    ("handlegroup", &[""]),
];

/// A row of a server or an adapter, with all its columns.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowImage {
    /// Its table.
    pub table: Table,
    /// Its columns; none for NULL. They may hold credentials.
    pub columns: BTreeMap<String, Option<String>>,
}

impl fmt::Debug for RowImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowImage({} {})", self.table.name(), self.name())
    }
}

impl RowImage {
    fn text(&self, column: &str) -> Option<&str> {
        self.columns.get(column)?.as_deref()
    }

    /// The columns that tell it apart; none where one of them has no value.
    fn key(&self) -> Option<Vec<(String, String)>> {
        let of = |column: &&str| Some(((*column).to_owned(), self.text(column)?.to_owned()));
        self.table.key().iter().map(of).collect()
    }

    /// Whether a start of a container writes what the row says in that column. False where it is not known
    /// what it writes.
    fn says_what_a_start_writes(&self, column: &str) -> bool {
        let says = self.text(column).unwrap_or_default();
        let is_one = |known: &[(&str, &[&str])]| {
            let mut of = known.iter().filter(|(name, _)| *name == column);
            of.any(|(_, values)| values.contains(&says))
        };
        let of = |name| self.text(name).unwrap_or_default();
        match (self.table, column) {
            (Table::TServerConf, "template_name") => says == format!("tars.{}", of("server_name")),
            (Table::TServerConf, "base_image_id") => matches!(says, "" | "0"),
            (Table::TServerConf, _) => is_one(&OF_SERVER),
            (Table::TAdapterConf, "servant") => format!("{says}Adapter") == of("adapter_name"),
            (Table::TAdapterConf, "endpoint") => {
                let here = format!("tcp -h {} -t 60000", of("node_name"));
                says.rsplit_once(" -p ").is_some_and(|(at, _)| at == here)
            }
            (Table::TAdapterConf, _) => is_one(&OF_ADAPTER),
        }
    }

    /// The component, if it is one of the framework's.
    #[must_use]
    pub fn component(&self) -> Option<Component> {
        let server = self.text("server_name")?;
        (self.text("application") == Some("tars")).then(|| server.parse().ok())?
    }

    /// The name in messages.
    #[must_use]
    pub fn name(&self) -> String {
        let adapter = self.text("adapter_name");
        let server = || format!("tars.{}", self.text("server_name").unwrap_or_default());
        adapter.map_or_else(server, str::to_owned)
    }
}

/// The rows of a node as they were before a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeStart {
    /// [`FORMAT`].
    pub format: String,
    /// The node.
    pub node: String,
    /// The rows of the framework's servers and adapters on it.
    pub rows: Vec<RowImage>,
}

impl BeforeStart {
    /// What was read of a node.
    #[must_use]
    pub fn new(node: &str, rows: Vec<RowImage>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            node: node.to_owned(),
            rows,
        }
    }
}

/// A row that is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The row's name.
    pub row: String,
    /// Why.
    pub why: LeftBecause,
}

/// Why a row is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftBecause {
    /// It is gone.
    Gone,
    /// No start has replaced it: who changed it meant it.
    Kept,
    /// Somebody has written it since the start.
    Written,
    /// A start does not write what it says in this column, or it is not known what a start writes there.
    Changed(String),
    /// It said `inactive`, and is that of a core component: what a container runs of these is never stopped.
    Core,
}

impl fmt::Display for LeftBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("it is gone"),
            Self::Kept => {
                f.write_str("the start did not replace it, so somebody has changed it meanwhile")
            }
            Self::Written => f.write_str("somebody has written it since the start"),
            Self::Changed(column) => write!(
                f,
                "its {column} is neither as before nor known as what a start writes"
            ),
            Self::Core => f.write_str(
                "it was inactive before, and is now active; a core component is not stopped",
            ),
        }
    }
}

/// A published version that the start has overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overwritten {
    /// The service.
    pub component: Component,
    /// `patch_version` of its row before.
    pub version: String,
}

/// What gives the rows of a node back what a start took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutBack {
    /// Changes of rows, each of which holds only while the row says what was read.
    pub edits: Vec<RowEdit>,
    /// Servers that were stopped on purpose and that the start has started.
    pub stop: BTreeSet<Component>,
    /// Servers whose settings come back, and which have started with others.
    pub restart: BTreeSet<Component>,
    /// Published versions that are gone: the program is the image's.
    pub overwritten: Vec<Overwritten>,
    /// Rows that differ and are left.
    pub left: Vec<Left>,
    /// Rows that the start has made and that were not there before: of services that were moved away.
    pub made: Vec<String>,
}

/// What puts `before` back, where the rows of its node say `now`.
///
/// `setting_state` is none of the edits: AdminRegistry writes it when it stops a server
/// (`AdminRegistryServer/AdminRegistryImp.cpp`, `stopServer`).
#[must_use]
pub fn put_back(before: &BeforeStart, now: &[RowImage]) -> PutBack {
    let of_now: BTreeMap<_, _> = now
        .iter()
        .map(|row| ((row.table, row.key()), row))
        .collect();
    let mut out = PutBack::default();
    for old in &before.rows {
        let (Some(key), Some(component)) = (old.key(), old.component()) else {
            continue;
        };
        if old.text("node_name") != Some(before.node.as_str()) {
            continue;
        }
        let left = |why| Left {
            row: old.name(),
            why,
        };
        let Some(new) = of_now.get(&(old.table, Some(key.clone()))) else {
            out.left.push(left(LeftBecause::Gone));
            continue;
        };
        let mut lost = lost(old, new);
        let replaced = old.text("id") != new.text("id");
        let stopped = was_stopped(old, new);
        if lost.is_empty() && !stopped && !replaced {
            continue;
        }
        if !replaced {
            out.left.push(left(LeftBecause::Kept));
            continue;
        }
        // A number that is another one: somebody has published since.
        if let Some(version) = published(old)
            && published(new).is_none()
        {
            out.overwritten.push(Overwritten {
                component,
                version: version.to_owned(),
            });
        }
        if lost.is_empty() && !stopped {
            continue;
        }
        if new.text("lastuser") != Some(INSTALLER) {
            out.left.push(left(LeftBecause::Written));
            continue;
        }
        if stopped && component.is_basic() {
            out.stop.insert(component);
        } else if stopped {
            out.left.push(left(LeftBecause::Core));
        }
        lost.retain(|column| {
            let known = new.says_what_a_start_writes(column);
            if !known {
                out.left
                    .push(left(LeftBecause::Changed((*column).to_owned())));
            }
            known
        });
        if !lost.is_empty() {
            out.restart.insert(component);
            let cells = |row: &RowImage| {
                let of = |c: &&str| ((*c).to_owned(), cell(row.columns.get(*c)));
                lost.iter().map(of).collect()
            };
            out.edits.push(RowEdit {
                table: old.table,
                key,
                before: Some(cells(new)),
                after: Some(cells(old)),
            });
        }
    }
    for stopped in &out.stop {
        out.restart.remove(stopped);
    }
    let had: BTreeSet<_> = before
        .rows
        .iter()
        .map(|row| (row.table, row.key()))
        .collect();
    let made = now
        .iter()
        .filter(|row| row.text("node_name") == Some(before.node.as_str()))
        .filter(|row| !had.contains(&(row.table, row.key())));
    out.made = made.map(RowImage::name).collect();
    out
}

fn cell(value: Option<&Option<String>>) -> Cell {
    match value {
        Some(Some(text)) => Cell::Text(text.clone()),
        _ => Cell::Null,
    }
}

/// The columns in which a row says something else than before.
fn lost<'r>(old: &'r RowImage, new: &RowImage) -> Vec<&'r str> {
    let same = |column: &str| {
        // An empty text and none mean the same to every reader of the framework.
        let of = |row: &RowImage| row.text(column).unwrap_or_default().to_owned();
        of(old) == of(new)
    };
    old.columns
        .keys()
        .map(String::as_str)
        .filter(|c| !OWN.contains(c) && *c != "setting_state" && new.columns.contains_key(*c))
        .filter(|c| !same(c))
        .collect()
}

fn was_stopped(old: &RowImage, new: &RowImage) -> bool {
    let is = |row: &RowImage, state| row.text("setting_state") == Some(state);
    is(old, "inactive") && is(new, "active")
}

/// The number under which a program was published. The installer writes the framework's version instead,
/// which has dots.
fn published(row: &RowImage) -> Option<&str> {
    let version = row.text("patch_version")?;
    (!version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())).then_some(version)
}
