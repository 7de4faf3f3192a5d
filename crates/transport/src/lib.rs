//! Reaching hosts: connections that run one script, and nothing that decides.
//!
//! [`Remote`] is one connected host, [`Connect`] makes such connections; [`ssh`] is the real
//! client, over OpenSSH. Scripts travel on standard input, so nothing that they carry shows in a
//! process list; the command line is always the same few words. A host that does not answer is an
//! error value with a kind ([`FaultKind`]), never a panic and never an endless wait.

pub mod console;
mod folder;
pub mod mysql;
pub mod remote;
pub mod rpc;
pub mod script;
pub mod ssh;

pub use tarsops_wire::interface::QUERY;

pub use remote::{Bounds, Connect, Excess, Fault, FaultKind, Output, Payload, Remote, quote};
pub use script::Script;
