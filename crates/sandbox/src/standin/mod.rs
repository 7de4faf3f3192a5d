//! A stand-in `tarsnode`: the running program copied, with a trailer that says what to pretend.
//!
//! The program is multi-call. Its `main` calls [`maybe_run`] before anything else; a copy made by
//! [`make`] and started under the name `tarsnode` becomes the agent, every other start goes on. Each
//! copy differs from the next by its trailer, so that every version has a digest of its own.
//!
//! It knows nothing about specs, plans or how it was put in place. What must stay true: towards
//! files, ports, signals, flags and its own configuration it does what the real agent was seen to
//! do, and it never opens a connection except to its own endpoint (`--monitor`).

mod conf;
mod node;
mod trailer;

pub use trailer::{Behaviour, Identity, StandinError, make, read_identity};

use std::ffi::OsStr;
use std::path::Path;

/// Environment variable: milliseconds until the stand-in first rewrites its configuration, and
/// between two looks afterwards. It wins over the delay in the trailer.
pub const REWRITE_ENV: &str = "TARSOPS_STANDIN_REWRITE_MS";

/// Become the stand-in agent if this process was started as one; otherwise return at once.
///
/// Call it first thing in `main`. Any start under another name than `tarsnode` costs one look at
/// the first argument. As the agent it never returns: the process ends with the agent's exit code.
pub fn maybe_run() {
    let mut args = std::env::args_os();
    let called_as = args.next().unwrap_or_default();
    if Path::new(&called_as).file_name() != Some(OsStr::new("tarsnode")) {
        return;
    }
    let Ok(Some(identity)) = read_identity(Path::new("/proc/self/exe")) else {
        return;
    };
    let flags: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    std::process::exit(node::run(&identity, &flags));
}
