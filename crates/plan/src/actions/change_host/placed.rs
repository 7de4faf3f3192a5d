//! Whether a component is placed only where the spec has it.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;

use super::change::HostChange;
use super::operation::{Content, Operation};
use crate::actions::kind::StepView;

/// Whether a component is placed where the spec has it, whole and with nothing started.
pub(super) fn check(step: &StepView<'_>, change: &HostChange, say: &mut dyn FnMut(&str)) {
    let (component, node, desired) = (change.component, &change.node, step.desired);
    let Some(host) = desired.host(node) else {
        return;
    };
    if !step.is_placed(component, node) {
        say("it places a component that the spec does not have there");
    }
    if change.ip != host.ip {
        say("its action is on another registry");
    }
    let tars = step.tars_path(node);
    if change.tars_path.as_str() != tars {
        say("it works in another folder than the spec's");
    }
    let files = match &change.operation {
        Operation::Place(place) => &place.files,
        Operation::Watch(crontab) => {
            let line = format!("* * * * * {tars}/tarsregistry/util/monitor.sh >/dev/null 2>&1");
            let edit = &crontab.edit;
            let watches = edit.remove.is_empty() && edit.add.as_ref() == Some(&line);
            if component != Component::Tarsregistry || !watches || crontab.back.is_some() {
                say("it does more than to have cron watch a registry");
            }
            return;
        }
        _ => return say("it does more than to place files"),
    };
    let binary = format!("{component}/bin/{component}");
    if files.last().is_none_or(|f| f.path != binary) {
        say("its program is not the last file that is placed");
    }
    for file in files {
        let inside = file.path.strip_prefix(&format!("{component}/"));
        let below = inside.and_then(|p| p.split('/').next());
        let plain = file
            .path
            .split('/')
            .all(|p| !p.is_empty() && p != "." && p != "..")
            && file
                .path
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c));
        if !plain || !matches!(below, Some("bin" | "conf" | "util")) {
            say("it writes what is not its component's");
        }
        let right = match &file.content {
            Content::Text(text) => file.after == Some(Digest::of(text.as_bytes())),
            Content::Package {
                component: of,
                version,
                ..
            } => {
                let wanted = desired.server(component, node).map(|s| s.version);
                *of == component && Some(*version) == wanted && file.after.is_some()
            }
            Content::Before { .. } | Content::None => false,
        };
        if !right || file.before.is_some() {
            say("the content of one of its files is not the announced one");
        }
    }
}
