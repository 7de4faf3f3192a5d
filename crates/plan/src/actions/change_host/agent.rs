//! Whether tarsnode is changed only where and how the spec has it.

use tarsops_model::component::Role;
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;

use super::change::HostChange;
use super::operation::{Content, Folder, Operation};
use crate::actions::kind::StepView;

/// Whether tarsnode is changed only where and how the spec has it.
pub(super) fn check(step: &StepView<'_>, change: &HostChange, say: &mut dyn FnMut(&str)) {
    let (node, desired) = (&change.node, step.desired);
    let Some(host) = desired.host(node) else {
        return;
    };
    let removes = match &change.operation {
        Operation::Install(_) | Operation::Modify(_) => false,
        Operation::Remove(_) | Operation::RemoveRest(_) => true,
        _ => {
            say("it does to tarsnode what is done to servers");
            false
        }
    };
    match &host.state {
        NodeState::Maintenance { .. } | NodeState::Gone => {}
        NodeState::Absent { stop_servers } => {
            if !removes {
                say("it installs on a node that should be absent");
            }
            if change.stops_servers() && !stop_servers {
                say("it stops servers, and the spec does not allow that");
            }
        }
        NodeState::Present if removes => {
            say("it removes from a node that should be present");
        }
        NodeState::Present => {}
    }
    if change.folder() == Folder::Remove && host.role == Role::Master {
        say("it removes the master");
    }
    let tars = step.tars_path(node);
    if change.tars_path.as_str() != tars {
        say(&format!("it works in {}, not in {tars}", change.tars_path));
    }
    let user = desired.agent(node).map(|a| &a.run_user);
    if user.is_some_and(|user| *user != change.run_user) {
        say("it runs as another user than the spec's");
    }
    if change.ip != host.ip {
        say("it gives the host another nodeid or address than the spec's");
    }
    for file in change.files() {
        let bad = !file.path.starts_with("tarsnode/")
            || file
                .path
                .split('/')
                .any(|p| p.is_empty() || p == ".." || p == ".")
            || !file
                .path
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c));
        if bad {
            say(&format!("it writes {}, which is not tarsnode's", file.path));
        }
        if let Content::Text(text) = &file.content
            && file.after != Some(Digest::of(text.as_bytes()))
        {
            say(&format!(
                "the content of {} is not the announced one",
                file.path
            ));
        }
        if file.path.starts_with("tarsnode/data/") {
            say(&format!("it writes {}, which is data", file.path));
        }
    }
}
