//! The structures and calls of the framework that tarsops uses.
//!
//! Sources: TarsProtocol `servant/EndpointF.tars`, `servant/QueryF.tars`, `framework/AdminReg.tars`,
//! `framework/NodeDescriptor.tars`. A call is its arguments as bytes, and what its answer means.

use crate::Bytes;
use crate::codec::{Decode, Pairs};
use crate::error::Result;
use crate::packet::Response;
use crate::tars_struct;
use crate::writer::Writer;

/// The servant of tarsnode, on port 19386 of every node.
pub const NODE: &str = "tars.tarsnode.ServerObj";
/// The function that every servant has.
pub const PING: &str = "tars_ping";
/// Result codes of AdminRegistry (`AdminReg.tars`, `tarsErrCode`).
pub mod admin_code {
    /// The node is not registered.
    pub const NODE_NOT_REGISTERED: i32 = 1001;
    /// The node did not answer in time, or is busy.
    pub const NODE_TIMEOUT: i32 = 1002;
    /// The server's description cannot be loaded.
    pub const LOAD_DESC: i32 = 1003;
    /// The node has no connection to AdminRegistry.
    pub const NODE_NO_CONNECTION: i32 = 1012;
}

/// The servant that resolves names, on port 17890 of every registry.
pub const QUERY: &str = "tars.tarsregistry.QueryObj";
/// The words with which AdminRegistry says that a node is connected and answers.
pub const PING_SUCCEEDED: &str = "ping succ";
/// The servant of AdminRegistry, on port 12000.
pub const ADMIN: &str = "tars.tarsAdminRegistry.AdminRegObj";
/// The servant of tarspatch, on port 18793 of its host.
pub const PATCH: &str = "tars.tarspatch.PatchObj";
/// The request context without which calls about a node that is not connected are never answered;
/// its value is `on`.
pub const FORWARD: &str = "TARS_WEB_FORWARD";

tars_struct! {
    /// Where a servant answers.
    pub struct EndpointF {
        /// Address.
        0 require host: String,
        /// Port.
        1 require port: i32,
        /// Milliseconds.
        2 require timeout: i32,
        /// 0 for UDP, 1 for TCP, 2 for TLS.
        3 require istcp: i32,
        /// Group.
        4 require grid: i32,
        /// Group for work; -1 for none.
        5 optional groupworkid: i32,
        /// Group as it is; -1 for none.
        6 optional grouprealid: i32,
        /// Set.
        7 optional set_id: String,
        /// Quality of service.
        8 optional qos: i32,
        /// Whether it is a backup.
        9 optional bak_flag: i32,
        /// Weight; -1 for none.
        11 optional weight: i32,
        /// How weights count.
        12 optional weight_type: i32,
        /// How callers prove who they are.
        13 optional auth_type: i32,
        /// The node; some registries answer their version here instead.
        14 optional node_name: String,
    }
}

tars_struct! {
    /// A part of a file that is uploaded (`Patch.tars`, `FileContent`).
    pub struct FileContent {
        /// MD5 of the whole file, in small letters.
        0 require md5: String,
        /// The file's name.
        1 require name: String,
        /// Whether it is the first part.
        2 require first_chunk: bool,
        /// Whether it is the last part.
        3 require last_chunk: bool,
        /// The bytes.
        4 require content: Bytes,
    }
}

tars_struct! {
    /// What AdminRegistry knows of a server.
    pub struct ServerStateDesc {
        /// What it should be, by the database.
        0 require setting_state_in_reg: String,
        /// What it is, by the database.
        1 require present_state_in_reg: String,
        /// What it is, by its node.
        2 require present_state_in_node: String,
        /// Its process; 0 for none.
        3 require process_id: i32,
        /// What was published last.
        4 require patch_version: String,
        /// When.
        5 require patch_time: String,
        /// By whom.
        6 require patch_user: String,
    }
}

tars_struct! {
    /// A servant of the framework, as `getServers` lists them.
    pub struct FrameworkServer {
        /// The server, such as `tarsconfig`.
        0 require server_name: String,
        /// Its node.
        1 require node_name: String,
        /// Its servant.
        2 require obj_name: String,
    }
}

tars_struct! {
    /// One item of a task: a command on one server of one node (`AdminReg.tars`, `TaskItemReq`).
    pub struct TaskItemReq {
        /// The task.
        0 optional task_no: String,
        /// The item.
        1 optional item_no: String,
        /// Application.
        2 optional application: String,
        /// Server.
        3 optional server_name: String,
        /// Node.
        4 optional node_name: String,
        /// Set.
        5 optional set_name: String,
        /// `start`, `stop`, `restart`, `patch_tars`, `undeploy_tars`, …
        6 optional command: String,
        /// Who asks.
        7 optional user_name: String,
        /// What the command needs, such as `patch_id`.
        8 optional parameters: Pairs<String, String>,
    }
}

tars_struct! {
    /// A task as it is asked for (`TaskReq`). All fields are written: the framework's own default of
    /// `eachNum` is 1.
    pub struct TaskReq {
        /// Its items.
        0 require items: Vec<TaskItemReq>,
        /// Its number, chosen by the caller.
        1 require task_no: String,
        /// Whether items run one after the other.
        2 require serial: bool,
        /// Who asks.
        3 require user_name: String,
        /// Whether traffic is led away first.
        4 require elegant: bool,
        /// Items at once where it is elegant.
        5 require each_num: i32,
    }
}

tars_struct! {
    /// How one item stands (`TaskItemRsp`).
    pub struct TaskItemRsp {
        /// What was asked.
        0 optional req: TaskItemReq,
        /// When it began.
        1 optional start_time: String,
        /// When it ended.
        2 optional end_time: String,
        /// 3 succeeded, 4 failed, 5 cancelled; others are on the way.
        3 optional status: i32,
        /// That in words.
        4 optional status_info: String,
        /// Prose.
        5 optional execute_log: String,
        /// How far it is.
        6 optional percent: i32,
    }
}

tars_struct! {
    /// How a task stands (`TaskRsp`).
    pub struct TaskRsp {
        /// Its items.
        0 optional items: Vec<TaskItemRsp>,
        /// Its number.
        1 optional task_no: String,
        /// Whether items run one after the other.
        2 optional serial: bool,
        /// Who asked.
        3 optional user_name: String,
        /// 3 succeeded, 4 failed, 5 cancelled; 6 is both on the way and the end.
        4 optional status: i32,
        /// When it was made.
        5 optional create_time: String,
        /// Prose.
        6 optional execute_log: String,
    }
}

tars_struct! {
    /// How far a publication is (`NodeDescriptor.tars`, `PatchInfo`).
    pub struct PatchInfo {
        /// Whether one is on the way.
        0 require patching: bool,
        /// Percent.
        1 require percent: i32,
        /// When that changed.
        2 require modify_time: i32,
        /// Which package.
        3 require version: String,
        /// How it went, in words.
        4 require result: String,
        /// Whether it went well.
        5 optional success: bool,
    }
}

tars_struct! {
    /// A row of `t_server_conf` to be written (`ServerConf`). All fields are written, since the
    /// framework's defaults are not empty (`settingState` is `active`).
    pub struct ServerConf {
        /// Application.
        0 require application: String,
        /// Server.
        1 require server_name: String,
        /// Node.
        2 require node_name: String,
        /// Folder.
        3 require base_path: String,
        /// Executable.
        4 require exe_path: String,
        /// `active` or `inactive`.
        5 require setting_state: String,
        /// Private template.
        6 require profile: String,
        /// `tars_cpp`, …
        7 require server_type: String,
        /// How it is started, where it is no Tars server.
        8 require start_script: String,
        /// How it is stopped.
        9 require stop_script: String,
        /// How it is watched.
        10 require monitor_script: String,
        /// Threads.
        11 require async_thread_num: i32,
        /// Grouping.
        12 require enable_group: String,
        /// Group.
        13 require ip_group_name: String,
    }
}

tars_struct! {
    /// A row of `t_adapter_conf` to be written (`AdapterConf`). All fields are written.
    pub struct AdapterConf {
        /// `<servant>Adapter`.
        0 require adapter_name: String,
        /// Threads.
        1 require thread_num: i32,
        /// `tcp -h … -t … -p …`.
        2 require endpoint: String,
        /// Connections.
        3 require max_connections: i32,
        /// Who may come.
        4 require allow_ip: String,
        /// The servant.
        5 require servant: String,
        /// Queue.
        6 require queuecap: i32,
        /// Milliseconds.
        7 require queuetimeout: i32,
        /// `tars` or `not_tars`.
        8 require protocol: String,
    }
}

/// The arguments of a call whose arguments are all texts.
#[must_use]
pub fn texts(arguments: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new();
    for (tag, argument) in (1u8..).zip(arguments) {
        writer.put(tag, *argument);
    }
    writer.finish()
}

/// The field `tag` of an answer; none where it is not there.
///
/// # Errors
/// Where the answer is not well-formed, or the field has another type.
pub fn field<T: Decode>(answer: &Response, tag: u8) -> Result<Option<T>> {
    match answer.fields()?.find(tag)? {
        Some(value) => T::decode(value, tag).map(Some),
        None => Ok(None),
    }
}

/// The context that has AdminRegistry answer at once for a node that is not connected.
#[must_use]
pub fn forward() -> Pairs<String, String> {
    Pairs(vec![(FORWARD.to_owned(), "on".to_owned())])
}
