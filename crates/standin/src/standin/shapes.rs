//! Structures that stand-ins read and write (TarsProtocol `framework/*.tars`, `servant/EndpointF.tars`).
//! Where the framework writes an optional field although it has its default, it is `require` here.

use tarsops_wire::codec::{Bytes, Pairs};
use tarsops_wire::tars_struct;

tars_struct! {
    /// What a node says of itself (`NodeDescriptor.tars`).
    pub struct NodeInfo {
        0 require name: String,
        1 require object: String,
        2 require ip: String,
        3 require port: i32,
        4 require timeout: i16,
        5 require data: String,
        6 optional version: String,
    }
}

tars_struct! {
    /// How busy a machine is.
    pub struct LoadInfo {
        0 require one: f32,
        1 require five: f32,
        2 require fifteen: f32,
    }
}

tars_struct! {
    /// A node on its long connection.
    pub struct ReportNode {
        0 require name: String,
        1 require session: String,
    }
}

tars_struct! {
    /// How a server is, by its node.
    pub struct ServerStateInfo {
        0 require state: i32,
        1 require pid: i32,
        2 optional node: String,
        3 optional application: String,
        4 optional server: String,
        5 optional setting: i32,
        6 optional more: Pairs<String, String>,
    }
}

/// `ServerState` of `NodeDescriptor.tars`: its numbers, and its names as tables and AdminRegistry
/// write them.
pub(super) mod state {
    pub(in super::super) const INACTIVE: i32 = 0;
    pub(in super::super) const ACTIVATING: i32 = 1;
    pub(in super::super) const ACTIVE: i32 = 2;
    pub(in super::super) const DEACTIVATING: i32 = 3;

    /// As AdminRegistry writes it; tables take it in any case.
    pub(in super::super) fn name(state: i32) -> &'static str {
        match state {
            ACTIVATING => "Activating",
            ACTIVE => "Active",
            DEACTIVATING => "Deactivating",
            4 => "Destroying",
            5 => "Destroyed",
            _ => "Inactive",
        }
    }
}

tars_struct! {
    /// An adapter of a server (`RegistryDescriptor.tars`).
    pub struct AdapterDescriptor {
        0 require name: String,
        1 require threads: String,
        2 require endpoint: String,
        3 require connections: i32,
        4 require allow: String,
        5 require servant: String,
        6 require queue: i32,
        7 require timeout: i32,
        8 require grid: i32,
        9 optional protocol: String,
        10 optional group: String,
    }
}

tars_struct! {
    /// A server as its node should run it (`RegistryDescriptor.tars`).
    pub struct ServerDescriptor {
        0 require application: String,
        1 require server: String,
        2 require node: String,
        3 require base: String,
        4 require exe: String,
        5 require setting: String,
        6 require present: String,
        7 require profile: String,
        8 require patch_version: String,
        9 require patch_time: String,
        10 require patch_user: String,
        11 require adapters: Pairs<String, AdapterDescriptor>,
        12 optional kind: String,
        13 optional start_script: String,
        14 optional stop_script: String,
        15 optional monitor_script: String,
        16 optional config_center_port: i32,
        17 optional threads: i32,
        18 optional set: String,
        19 optional jmx_port: String,
        20 optional run_type: String,
        21 optional image: String,
        22 optional sha: String,
        23 optional image_id: String,
    }
}

tars_struct! {
    /// What was published (`Registry.tars`, `PatchResult`).
    pub struct PatchResult {
        0 require application: String,
        1 require server: String,
        2 require node: String,
        3 require version: String,
        4 require user: String,
    }
}

tars_struct! {
    /// A row to be written (`AdminReg.tars`, `ServerConf`).
    pub struct ServerConf {
        0 optional application: String,
        1 optional server: String,
        2 optional node: String,
        3 optional base: String,
        4 optional exe: String,
        5 optional setting: String,
        6 optional template: String,
        7 optional kind: String,
        8 optional start_script: String,
        9 optional stop_script: String,
        10 optional monitor_script: String,
        11 optional threads: i32,
        12 optional enable_group: String,
        13 optional group_name: String,
    }
}

tars_struct! {
    /// A row to be written (`AdminReg.tars`, `AdapterConf`).
    pub struct AdapterConf {
        0 optional name: String,
        1 optional threads: i32,
        2 optional endpoint: String,
        3 optional connections: i32,
        4 optional allow: String,
        5 optional servant: String,
        6 optional queue: i32,
        7 optional timeout: i32,
        8 optional protocol: String,
    }
}

tars_struct! {
    /// One item of a task (`AdminReg.tars`, `TaskItemReq`).
    pub struct TaskItemReq {
        0 optional task: String,
        1 optional item: String,
        2 optional application: String,
        3 optional server: String,
        4 optional node: String,
        5 optional set: String,
        6 optional command: String,
        7 optional user: String,
        8 optional parameters: Pairs<String, String>,
    }
}

tars_struct! {
    /// A task (`TaskReq`).
    pub struct TaskReq {
        0 optional items: Vec<TaskItemReq>,
        1 optional task: String,
        2 optional serial: bool,
        3 optional user: String,
        4 optional elegant: bool,
        5 optional each: i32,
    }
}

tars_struct! {
    /// How an item stands (`TaskItemRsp`).
    pub struct TaskItemRsp {
        0 optional request: TaskItemReq,
        1 optional start: String,
        2 optional end: String,
        3 optional status: i32,
        4 optional status_info: String,
        5 optional log: String,
        6 optional percent: i32,
    }
}

tars_struct! {
    /// How a task stands (`TaskRsp`).
    pub struct TaskRsp {
        0 optional items: Vec<TaskItemRsp>,
        1 optional task: String,
        2 require serial: bool,
        3 optional user: String,
        4 optional status: i32,
        5 optional created: String,
        6 optional log: String,
    }
}

tars_struct! {
    /// How far a publication is (`NodeDescriptor.tars`).
    pub struct PatchInfo {
        0 require patching: bool,
        1 require percent: i32,
        2 require modified: i32,
        3 require version: String,
        4 require result: String,
        5 require success: bool,
    }
}

tars_struct! {
    /// What is to be published, where, and from where (`NodeDescriptor.tars`).
    pub struct PatchRequest {
        0 require application: String,
        1 require server: String,
        2 require node: String,
        3 require group: String,
        4 require binary: String,
        5 require version: String,
        6 require user: String,
        7 require kind: String,
        8 require patch_object: String,
        9 require md5: String,
        10 optional system: String,
        11 optional path: String,
    }
}

tars_struct! {
    /// A file that can be downloaded (`Patch.tars`).
    pub struct FileInfo {
        0 require path: String,
        1 require size: i32,
        2 require executable: bool,
        3 optional md5: String,
    }
}

tars_struct! {
    /// A part of a file that is uploaded (`Patch.tars`).
    pub struct FileContent {
        0 require md5: String,
        1 require name: String,
        2 require first: bool,
        3 require last: bool,
        4 require content: Bytes,
    }
}

tars_struct! {
    /// What is told to tarsnotify (`NotifyF.tars`).
    pub struct ReportInfo {
        1 require kind: i32,
        2 require application: String,
        3 require set: String,
        4 require container: String,
        5 require server: String,
        6 require message: String,
        7 optional thread: String,
        8 optional level: i32,
        9 optional node: String,
    }
}

tars_struct! {
    /// A report on a command (`reportResult`), as arguments; the result may be any bytes.
    pub struct Reported {
        1 require id: i32,
        2 require function: String,
        3 require ret: i32,
        4 require result: Text,
    }
}

/// A text that may be any bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Text(pub(super) Vec<u8>);

impl tarsops_wire::Encode for Text {
    fn encode(&self, writer: &mut tarsops_wire::Writer, tag: u8) {
        writer.text(tag, &self.0);
    }
}

impl tarsops_wire::Decode for Text {
    fn decode(value: tarsops_wire::Value<'_>, tag: u8) -> tarsops_wire::Result<Self> {
        match value {
            tarsops_wire::Value::Text(bytes) => Ok(Self(bytes.to_vec())),
            other => Bytes::decode(other, tag).map(|bytes| Self(bytes.0)),
        }
    }
}
