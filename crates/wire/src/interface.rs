//! The structures and calls of the framework that tarsops uses.
//!
//! Sources: TarsProtocol `servant/EndpointF.tars`, `servant/QueryF.tars`, `framework/AdminReg.tars`,
//! `framework/NodeDescriptor.tars`. A call is its arguments as bytes, and what its answer means.

use crate::codec::{Decode, Pairs};
use crate::error::Result;
use crate::packet::Response;
use crate::tars_struct;
use crate::writer::Writer;

/// The servant that resolves names, on port 17890 of every registry.
pub const QUERY: &str = "tars.tarsregistry.QueryObj";
/// The servant of AdminRegistry, on port 12000.
pub const ADMIN: &str = "tars.tarsAdminRegistry.AdminRegObj";
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
    /// What AdminRegistry knows of a server.
    pub struct ServerStateDesc {
        /// What it shall be, by the database.
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
