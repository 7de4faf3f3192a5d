//! What the console's answers contain.
//!
//! A column that a decision could rest upon must be there: an answer without it is garbled and no
//! default. Times are texts in the console's own two forms, without a zone in one of them, and not
//! read here.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// What runs: the console's own version, and the framework's as AdminRegistry says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// The console's version.
    pub web_version: String,
    /// The framework's version.
    pub framework_version: String,
}

/// A row of `t_server_conf`. States are the database's words, not the node's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerRow {
    /// The row's number. Writers replace rows, so it is to be read again before each use.
    pub id: i64,
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// The node's name.
    pub node_name: String,
    /// What it is to be: `active` or `inactive`.
    pub setting_state: String,
    /// What it was last said to be: `active`, `inactive`, `activating` …
    pub present_state: String,
    /// The process's number on its node, 0 for none.
    #[serde(deserialize_with = "nullable")]
    pub process_id: Option<i64>,
    /// The number of the package that was published last, or the framework's version after an
    /// installation; it stays when the package is deleted, and is set before the server runs.
    #[serde(deserialize_with = "nullable")]
    pub patch_version: Option<String>,
    /// The template.
    #[serde(deserialize_with = "nullable")]
    pub template_name: Option<String>,
    /// The configuration of this one server.
    #[serde(deserialize_with = "nullable")]
    pub profile: Option<String>,
    /// `tars_cpp` and others.
    #[serde(deserialize_with = "nullable")]
    pub server_type: Option<String>,
    /// Where its binary is, if not where tarsnode would look.
    #[serde(deserialize_with = "nullable")]
    pub exe_path: Option<String>,
    /// Where it works, likewise.
    #[serde(deserialize_with = "nullable")]
    pub base_path: Option<String>,
    /// The script that starts it, if any.
    #[serde(deserialize_with = "nullable")]
    pub start_script_path: Option<String>,
    /// The script that stops it, if any.
    #[serde(deserialize_with = "nullable")]
    pub stop_script_path: Option<String>,
    /// The script that watches it, if any.
    #[serde(deserialize_with = "nullable")]
    pub monitor_script_path: Option<String>,
    /// Threads for calls whose answers are awaited.
    #[serde(deserialize_with = "nullable")]
    pub async_thread_num: Option<i64>,
    /// Whether it is a backup.
    #[serde(deserialize_with = "flag")]
    pub bak_flag: bool,
    /// Whether it belongs to a set.
    #[serde(deserialize_with = "flag")]
    pub enable_set: bool,
    /// The set's name.
    #[serde(deserialize_with = "nullable")]
    pub set_name: Option<String>,
    /// The set's area.
    #[serde(deserialize_with = "nullable")]
    pub set_area: Option<String>,
    /// The set's group.
    #[serde(deserialize_with = "nullable")]
    pub set_group: Option<String>,
    /// Whether it belongs to a group of addresses.
    #[serde(deserialize_with = "flag")]
    pub enable_group: bool,
    /// The group's name.
    #[serde(deserialize_with = "nullable")]
    pub ip_group_name: Option<String>,
    /// How it runs; none where the console is too old to know.
    #[serde(default)]
    pub run_type: Option<String>,
    /// The image it runs in; none where the console is too old to know.
    #[serde(default)]
    pub base_image_id: Option<i64>,
    /// Whether calls are led to it; none where the framework is too old to know.
    #[serde(default)]
    pub flow_state: Option<String>,
    /// The version of the Tars library that the process said it has.
    #[serde(default)]
    pub tars_version: Option<String>,
    /// When a package was published last.
    #[serde(default)]
    pub patch_time: Option<String>,
    /// By whom.
    #[serde(default)]
    pub patch_user: Option<String>,
    /// When the row was written last.
    #[serde(default)]
    pub posttime: Option<String>,
}

/// A row of `t_adapter_conf`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdapterRow {
    /// The row's number.
    pub id: i64,
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// The node's name.
    pub node_name: String,
    /// The adapter's name.
    pub adapter_name: String,
    /// The servant behind it.
    pub servant: String,
    /// Where it listens, as Tars writes it: `tcp -h HOST -t MILLISECONDS -p PORT`.
    pub endpoint: String,
    /// Threads.
    pub thread_num: i64,
    /// Connections at most.
    pub max_connections: i64,
    /// Calls that may wait.
    pub queuecap: i64,
    /// How long they may wait, in milliseconds.
    pub queuetimeout: i64,
    /// `tars` or `not_tars`.
    #[serde(deserialize_with = "nullable")]
    pub protocol: Option<String>,
    /// Who may connect; empty for everybody.
    #[serde(deserialize_with = "nullable")]
    pub allow_ip: Option<String>,
    /// The group of threads.
    #[serde(deserialize_with = "nullable")]
    pub handlegroup: Option<String>,
}

/// What a server's node says of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerState {
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// The node's name.
    pub node_name: String,
    /// Whether the node answered. No is also what is said when AdminRegistry did not.
    pub is_node_ok: bool,
    /// 0, or -1 where the node was not asked or did not answer.
    pub query_ret_code: i64,
    /// What the registry has as wanted, in lower case; only from a node that answered, as the rest.
    #[serde(default, deserialize_with = "state")]
    pub setting_state_in_reg: Option<String>,
    /// What the registry has as present.
    #[serde(default, deserialize_with = "state")]
    pub present_state_in_reg: Option<String>,
    /// What the node itself says.
    #[serde(default, deserialize_with = "state")]
    pub present_state_in_node: Option<String>,
}

/// A row that `deploy_server` has written, or found and reset.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeployedServer {
    /// The row's number.
    pub id: i64,
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// The node's name.
    pub node_name: String,
    /// `inactive` until a package is published or the server is started.
    pub setting_state: String,
    /// Likewise.
    pub present_state: String,
}

/// A package that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Uploaded {
    /// Its number.
    pub id: i64,
    /// Whose it is: `APPLICATION.SERVER`.
    pub server: String,
    /// The name that the console has given to the file.
    pub tgz: String,
}

/// A package in the console's list. It tells neither a digest nor a version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PatchRow {
    /// Its number.
    pub id: i64,
    /// Whose it is: `APPLICATION.SERVER`.
    pub server: String,
    /// The file's name. One that is `SERVER.tgz` was put there by the console itself when it
    /// started, and is overwritten by the next release.
    pub tgz: String,
    /// Whether it is the one that is taken where none is named.
    #[serde(deserialize_with = "flag")]
    pub default_version: bool,
    /// What was written beside it.
    #[serde(deserialize_with = "nullable")]
    pub comment: Option<String>,
    /// When it was uploaded.
    #[serde(deserialize_with = "nullable")]
    pub upload_time: Option<String>,
    /// By whom.
    #[serde(deserialize_with = "nullable")]
    pub upload_user: Option<String>,
}

/// How a part of a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemStatus {
    /// 1: it waits for its turn.
    Prepare,
    /// 2: it is being done.
    Running,
    /// 3: it is done, as AdminRegistry sees it. That is no proof of the new binary.
    Success,
    /// 4: it failed, as AdminRegistry sees it. It may have been carried out all the same.
    Failed,
    /// 5: it was never tried, as one before it failed.
    Cancel,
    /// Another number, of which nothing is known.
    Other(i64),
}

impl ItemStatus {
    /// Whether it stays so. A number that is not known is not final.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancel)
    }
}

impl<'de> Deserialize<'de> for ItemStatus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match i64::deserialize(from)? {
            1 => Self::Prepare,
            2 => Self::Running,
            3 => Self::Success,
            4 => Self::Failed,
            5 => Self::Cancel,
            other => Self::Other(other),
        })
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Task {
    /// Its number.
    pub task_no: String,
    /// Whether one item waits for the other.
    pub serial: bool,
    /// The number for the whole. Nothing can be told by it: 6 stands for a task in the middle and for
    /// one that ended in part.
    pub status: i64,
    /// Its parts, in the order in which they were given.
    pub items: Vec<TaskItem>,
}

impl Task {
    /// Whether nothing of it is still to come. One without items is not, as it cannot be.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !self.items.is_empty() && self.items.iter().all(|item| item.status.is_final())
    }
}

/// A part of a task: one command for one server on one node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskItem {
    /// Its number.
    pub item_no: String,
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// The node's name.
    pub node_name: String,
    /// The command.
    pub command: String,
    /// How it stands.
    pub status: ItemStatus,
    /// What AdminRegistry has to say, for people. It is prose and may be empty after a failure; the
    /// cause stands among the [`Notices`] then.
    #[serde(deserialize_with = "nullable")]
    pub execute_info: Option<String>,
    /// How much of a package has come to the node, from 0 to 100; 0 for other commands.
    #[serde(default)]
    pub percent: i64,
    /// When it began; empty before.
    #[serde(default)]
    pub start_time: String,
    /// When it ended; empty before.
    #[serde(default)]
    pub end_time: String,
}

/// A page of what servers and nodes have reported, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Notices {
    /// How many there are in all.
    pub count: i64,
    /// Those of the page.
    pub rows: Vec<Notice>,
}

/// One report. Each command that a server is sent adds some; they are distinguished by time and text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Notice {
    /// When, to the second.
    pub notifytime: String,
    /// Of whom: `APPLICATION.SERVER_NODE`.
    pub server_id: String,
    /// Of which thread; empty where tarsnode reports.
    #[serde(deserialize_with = "nullable")]
    pub thread_id: Option<String>,
    /// How grave: `[normal]`, `[warn]`, `[error]`, `[alarm]`.
    #[serde(deserialize_with = "nullable")]
    pub command: Option<String>,
    /// What.
    #[serde(deserialize_with = "nullable")]
    pub result: Option<String>,
}

/// What is known of a node's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heartbeat {
    /// Heard on the node's connection to AdminRegistry, at that time by AdminRegistry's clock. After
    /// a lost power or a cut link it stays so for minutes, and only grows old.
    Connected(String),
    /// There is no connection.
    Disconnected,
    /// AdminRegistry was not heard, and the console has taken the database's word for it.
    FromDatabase(Option<String>),
}

/// A node.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeRow {
    /// Its name.
    pub node_name: String,
    /// `active` or `inactive`; how much it is worth, the sign of life tells.
    pub present_state: String,
    /// What it is to be.
    #[serde(deserialize_with = "nullable")]
    pub setting_state: Option<String>,
    /// Its last sign of life.
    #[serde(default = "unheard", deserialize_with = "heartbeat")]
    pub last_heartbeat: Heartbeat,
    /// The framework version it has said.
    #[serde(deserialize_with = "nullable")]
    pub tars_version: Option<String>,
    /// The load of the last minute.
    #[serde(default)]
    pub load_avg1: Option<f64>,
    /// Its template; often empty.
    #[serde(default)]
    pub template_name: Option<String>,
    /// Its labels, as JSON.
    #[serde(default)]
    pub label: Option<String>,
    /// Its group; -1 for none.
    #[serde(default)]
    pub group_id: Option<i64>,
}

/// A template. Its text may have the database's password in it, so it shows in no debug output.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Template {
    /// The row's number.
    pub id: i64,
    /// Its name.
    pub template_name: String,
    /// The template that it adds to.
    #[serde(deserialize_with = "nullable")]
    pub parents_name: Option<String>,
    /// Its text, without that of its parents.
    #[serde(deserialize_with = "nullable")]
    pub profile: Option<String>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("id", &self.id)
            .field("template_name", &self.template_name)
            .field("parents_name", &self.parents_name)
            .finish_non_exhaustive()
    }
}

/// Rows, and how many there are.
#[derive(Deserialize)]
pub(super) struct Counted<T> {
    pub(super) count: usize,
    pub(super) rows: Vec<T>,
}

/// A column that may be null and must be there; serde alone would take one that is missing for null.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// Yes or no in the forms in which the database and the console have it.
fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Plain(bool),
        Number(i64),
        Letter(String),
    }
    match Form::deserialize(from)? {
        Form::Plain(yes) => Ok(yes),
        Form::Number(n) => Ok(n != 0),
        Form::Letter(letter) => match letter.as_str() {
            "Y" => Ok(true),
            "N" | "" => Ok(false),
            other => Err(de::Error::custom(format!("{other:?} is neither Y nor N"))),
        },
    }
}

/// A state as the database has it; the console gives it a capital letter here and there.
fn state<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|state| state.to_lowercase()))
}

/// A node of which AdminRegistry says nothing has no sign of life at all in the answer.
const fn unheard() -> Heartbeat {
    Heartbeat::Disconnected
}

/// AdminRegistry writes `2026-11-22 10:41:44`, and the database's time becomes
/// `2026-11-22T10:41:44.000Z`: the one thing by which the answer tells whose word it is.
fn heartbeat<'de, D: Deserializer<'de>>(from: D) -> Result<Heartbeat, D::Error> {
    Ok(match Option::<String>::deserialize(from)? {
        Some(text) if text.is_empty() => Heartbeat::Disconnected,
        Some(text) if text.contains('T') => Heartbeat::FromDatabase(Some(text)),
        Some(text) => Heartbeat::Connected(text),
        None => Heartbeat::FromDatabase(None),
    })
}
