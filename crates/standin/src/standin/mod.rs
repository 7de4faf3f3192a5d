//! Stand-ins of the framework's components: the running program copied, with a trailer that says what
//! to pretend.
//!
//! The program is multi-call. Its `main` calls [`crate::maybe_run`] before anything else; a copy made by
//! [`make`] and started under the name of a component becomes that component, every other start goes
//! on. Each copy differs from the next by its trailer, so that every version has a digest of its own.
//!
//! `tarsnode`, `tarsregistry`, `tarsAdminRegistry`, `tarspatch` and `tarsnotify` speak the framework's
//! protocol among each other and with whoever calls; the others answer a ping. None knows anything about specs, plans or how it
//! was put in place. What must stay true: towards files, ports, signals, flags and callers they do
//! what the real ones were seen to do, and connect only where their configuration and the registry
//! behind it say. Without a registry that answers, the agent is as it would be alone.

mod admin;
pub(crate) mod component;
mod conf;
pub mod lies;
mod log;
pub(crate) mod net;
pub(crate) mod node;
mod notify;
mod own;
mod patch;
mod registry;
mod shapes;
mod template;
mod timings;
mod trailer;

pub use timings::Timings;

pub use trailer::{Behaviour, Identity, StandinError, make, read_identity};

use std::io::{self, Write};
use std::path::Path;

use self::conf::Section;

/// Environment variable: milliseconds until the stand-in first rewrites its configuration, and
/// between two looks afterwards. It wins over the delay in the trailer.
pub const REWRITE_ENV: &str = "TARSOPS_STANDIN_REWRITE_MS";

/// The framework's components, as the framework names them.
pub const COMPONENTS: [&str; 11] = [
    "tarsnode",
    "tarsregistry",
    "tarsAdminRegistry",
    "tarsconfig",
    "tarspatch",
    "tarsstat",
    "tarsproperty",
    "tarsnotify",
    "tarslog",
    "tarsquerystat",
    "tarsqueryproperty",
];

/// One line on standard output. That nobody reads it is no reason to fail.
fn say(line: &str) -> i32 {
    let _ = writeln!(io::stdout(), "{line}");
    0
}

pub(crate) fn complain(component: &str, why: &str) -> i32 {
    let _ = writeln!(io::stderr(), "{component}: {why}");
    1
}

fn read_conf(path: &Path) -> Result<Section, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read config {}: {error}", path.display()))?;
    let conf = Section::parse(&text)
        .map_err(|error| format!("cannot parse config {}: {error}", path.display()))?;
    match conf.at(&["tars", "application", "server"]) {
        Some(_) => Ok(conf),
        None => Err(format!("config {} has no <server>", path.display())),
    }
}
