//! Whether a component other than tarsnode is changed only where and how the spec has it.

use tarsops_model::component::{Component, Role};
use tarsops_model::host::NodeState;
use tarsops_model::names::Endpoint;

use super::change::HostChange;
use super::operation::{Content, FileChange, Operation, Owner, Publish};
use super::rows;
use crate::actions::kind::StepView;
use crate::actions::rows::Via;
use crate::condition::Condition;

/// Whether a server is changed only where the spec places it, and with the program of the version
/// that the spec asks for; whether a registry is started only where the spec names it, restarted only
/// while another one answers, and stopped only where the spec does not name it.
pub(super) fn check(step: &StepView<'_>, change: &HostChange, say: &mut dyn FnMut(&str)) {
    let (component, node, desired) = (change.component, &change.node, step.desired);
    let Some(host) = desired.host(node) else {
        return;
    };
    if change.ip != host.ip {
        say("its action is on another registry");
    }
    let user = desired.agent(node).map(|a| &a.run_user);
    if user.is_some_and(|user| *user != change.run_user) {
        say("it runs as another user or node than the spec's");
    }
    if change.tars_path.as_str() != step.tars_path(node) {
        say("it works in another folder than the spec's");
    }
    rows::check(change, host.ip, desired, say);
    let placed = desired.server(component, node);
    // Only the program is a package's; everything else there is made for its host.
    let binary = format!("{component}/bin/{component}");
    let packed = |file: &FileChange| match &file.content {
        Content::Package {
            component: of,
            version,
            ..
        } => *of == component && placed.is_some_and(|s| s.version == *version),
        _ => false,
    };
    for file in change.files() {
        if file.path != binary || !packed(file) || file.after.is_none() {
            say("it writes what is not its component's program");
        }
    }
    match &change.operation {
        Operation::Publish(publish) => published(step, change, publish, say),
        Operation::Restart(_) => {
            if !component.is_basic() {
                say("it has AdminRegistry restart what is no basic service");
            }
            if placed.is_none() {
                say("it changes a server that the spec does not place there");
            }
        }
        Operation::Modify(modify) => {
            let more = modify.owner != Owner::Unchanged
                || modify.crontab.is_some()
                || modify.labels.is_some();
            if more {
                say("it does more than to change a server");
            }
            // A basic service is published as any other: the framework then knows what runs.
            if component.is_basic() && !modify.files.is_empty() {
                say("it installs a program in another way than the component's");
            }
            if placed.is_none() {
                say("it changes a server that the spec does not place there");
            }
            if modify.files.is_empty() && !modify.restart {
                say("it changes nothing");
            }
            if let (Some(registry), true) = (change.registry(), modify.restart) {
                registry_restart(step, registry, say);
            }
        }
        Operation::Remove(remove) => {
            if remove.stop_servers {
                say("it does more than to remove its component");
            }
            match change.registry() {
                Some(registry) => {
                    if desired.registries.contains(&registry) {
                        say("it stops a registry that the spec names");
                    }
                    if !step.pre.contains(&Condition::RegistryLeft) {
                        say("it does not check that another registry answers");
                    }
                }
                None => removed_server(step, change, &host.state, host.role, say),
            }
        }
        Operation::Install(_)
        | Operation::RemoveRest(_)
        | Operation::Place(_)
        | Operation::Watch(_)
        | Operation::Restore(_) => say("it does to a server what is not done to one here"),
    }
}

/// Whether a program is published only where and how the spec has it, and its end is seen.
fn published(
    step: &StepView<'_>,
    change: &HostChange,
    publish: &Publish,
    say: &mut dyn FnMut(&str),
) {
    let (component, desired) = (change.component, step.desired);
    if !component.is_basic() {
        say("it installs a program in another way than the component's");
    }
    if publish.via == Via::Console && desired.web().is_none() {
        say("it publishes through a platform that the spec does not name");
    }
    if desired.server(component, &change.node).is_none() {
        say("it changes a server that the spec does not place there");
    }
    // No script of ours looks whether it is well: what must hold after it is all there is.
    let path = format!("{component}/bin/{component}");
    let after = publish.program.after;
    let runs = Condition::ServerRuns {
        component,
        digest: after,
        user: change.run_user.to_string(),
    };
    let there = Condition::File {
        path: path.clone(),
        digest: after,
    };
    let saved = Condition::File {
        path,
        digest: publish.program.before,
    };
    let needs = [
        after.is_some(),
        step.post.contains(&runs),
        step.post.contains(&there),
        step.post.contains(&Condition::ServerListens { component }),
        publish.first || step.pre.contains(&saved),
    ];
    if needs.contains(&false) {
        say("it does not check the old state, or its own result");
    }
}

/// Whether a registry is started only where the spec names it, and restarted only while another one
/// lives.
fn registry_restart(step: &StepView<'_>, registry: Endpoint, say: &mut dyn FnMut(&str)) {
    let down = Condition::Component {
        component: Component::Tarsregistry,
        runs: false,
    };
    if step.pre.contains(&down) {
        if !step.desired.registries.contains(&registry) {
            say("it starts a registry that the spec does not name");
        }
        return;
    }
    let guarded = Condition::AnotherRegistry { but: registry };
    if !step.desired.policy.registry_gap && !step.pre.contains(&guarded) {
        say("it restarts a registry without making sure that another one lives");
    }
}

/// Whether a server is removed only with its host, and its end is seen.
fn removed_server(
    step: &StepView<'_>,
    change: &HostChange,
    state: &NodeState,
    role: Role,
    say: &mut dyn FnMut(&str),
) {
    match state {
        NodeState::Absent { stop_servers } if role != Role::Master => {
            if change.ran && !stop_servers {
                say("it stops a server, and the spec does not allow that");
            }
        }
        _ => say("it removes a component of a node that stays"),
    }
    let gone = Condition::Component {
        component: change.component,
        runs: false,
    };
    if change.crontab().is_some() || !step.post.contains(&gone) {
        say("it does more or less than to remove its component");
    }
}
