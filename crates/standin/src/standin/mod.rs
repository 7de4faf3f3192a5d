//! Stand-ins of the framework's components: the running program copied, with a trailer that says what
//! to pretend.
//!
//! The program is multi-call. Its `main` calls [`maybe_run`] before anything else; a copy made by
//! [`make`] and started under the name of a component becomes that component, every other start goes
//! on. Each copy differs from the next by its trailer, so that every version has a digest of its own.
//!
//! `tarsnode`, `tarsregistry`, `tarsAdminRegistry`, `tarspatch` and `tarsnotify` speak the framework's
//! protocol among each other and with whoever calls; the others answer a ping. None knows anything about specs, plans or how it
//! was put in place. What must stay true: towards files, ports, signals, flags and callers they do
//! what the real ones were seen to do, and connect only where their configuration and the registry
//! behind it say. Without a registry that answers, the agent is as it would be alone.

mod admin;
mod component;
mod conf;
pub mod lies;
mod log;
pub(crate) mod net;
mod node;
mod notify;
mod patch;
mod registry;
mod shapes;
mod template;
mod timings;
mod trailer;

pub(crate) use log::local_time;
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

/// Become a stand-in if this process was started as one; otherwise return at once.
///
/// Call it first thing in `main`. Any start under another name than a component's or the console's
/// costs one look at the first argument. As a stand-in it never returns: the process ends with the stand-in's exit code.
pub fn maybe_run() {
    let mut args = std::env::args_os();
    let called_as = args.next().unwrap_or_default();
    let name = Path::new(&called_as).file_name().unwrap_or_default();
    let known = COMPONENTS.into_iter().chain([crate::console::NAME]);
    let Some(component) = known.into_iter().find(|component| name == *component) else {
        return;
    };
    let Ok(Some(identity)) = read_identity(Path::new("/proc/self/exe")) else {
        return;
    };
    let flags: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    std::process::exit(match component {
        "tarsnode" => node::run(&identity, &flags),
        crate::console::NAME => crate::console::run(&flags),
        other => component::run(&identity, other, &flags),
    });
}

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
