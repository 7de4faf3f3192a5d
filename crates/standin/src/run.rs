//! The multi-call program: which stand-in a process is.

use std::path::Path;

use crate::console;
use crate::standin::{COMPONENTS, component, node, read_identity};

/// Become a stand-in if this process was started as one; otherwise return at once.
///
/// Call it first thing in `main`. Any start under another name than a component's or the console's
/// costs one look at the first argument. As a stand-in it never returns: the process ends with the stand-in's exit code.
pub fn maybe_run() {
    let mut args = std::env::args_os();
    let called_as = args.next().unwrap_or_default();
    let name = Path::new(&called_as).file_name().unwrap_or_default();
    let known = COMPONENTS.into_iter().chain([console::NAME]);
    let Some(component) = known.into_iter().find(|component| name == *component) else {
        return;
    };
    let Ok(Some(identity)) = read_identity(Path::new("/proc/self/exe")) else {
        return;
    };
    let flags: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    std::process::exit(match component {
        "tarsnode" => node::run(&identity, &flags),
        console::NAME => console::run(&flags),
        other => component::run(&identity, other, &flags),
    });
}
