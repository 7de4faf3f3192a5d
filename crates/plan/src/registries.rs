//! Registries that come and go: started where the spec names one that is down, stopped and removed
//! where one lives that the spec does not name.
//!
//! What must stay true: a registry is stopped only while another one, of the spec, answers; one is
//! started only where nothing of it runs. Rows and locators follow from what lives: a running
//! tarsnode takes both over by itself, so no step here edits a locator.

use tarsops_model::component::Component;
use tarsops_model::framework::Answer;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::actions::{CrontabChange, HostChange, Modify, Operation, Owner, Remove};
use crate::components;
use crate::condition::{Condition, Truth};
use crate::crontab;
use crate::input::PlanInput;
use crate::places::{REGISTRY_PORT, endpoint_at};
use crate::plan::Step;
use crate::report::{Blocked, Line};
use crate::tables::framework;

/// The component that this is about.
const REGISTRY: Component = Component::Tarsregistry;

/// What there is to do about the registry of one node.
#[derive(Default)]
pub(crate) struct RegistryAssessment {
    /// A registry to start.
    pub(crate) start: Option<Step>,
    /// A registry to stop and remove.
    pub(crate) stop: Option<Step>,
    /// What stands in the way.
    pub(crate) lines: Vec<Line>,
}

/// Compares the registry of a node, whose machine is the node's, with the spec.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
) -> RegistryAssessment {
    let id = ResourceId::Server(REGISTRY, node.clone());
    let at = endpoint_at(spec.ip);
    let placed = input.desired.resources.contains_key(&id);
    let runs = host
        .components
        .present()
        .map(|all| all.contains(REGISTRY.name()));
    let mut work = RegistryAssessment::default();
    match (&spec.state, placed, runs) {
        (NodeState::Present, true, Some(false)) => start(input, node, spec, host, &at, &mut work),
        (NodeState::Present, false, Some(true)) | (NodeState::Absent { .. }, _, Some(true)) => {
            stop(input, node, spec, host, &at, &mut work);
        }
        _ => {}
    }
    work
}

/// Whether a registry of the spec that is on `node` is one that apply starts.
pub(crate) fn may_be_started(host: &HostFacts) -> bool {
    let is = |seen: &Observed<std::collections::BTreeSet<String>>| {
        seen.present().map(|all| all.contains(REGISTRY.name()))
    };
    is(&host.installed) == Some(true) && is(&host.components) == Some(false)
}

fn has_rows(input: &PlanInput<'_>) -> bool {
    framework(input).is_some_and(|f| {
        f.rows()
            .present()
            .is_some_and(|r| r.registries.present().is_some())
    })
}

fn start(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    at: &Endpoint,
    work: &mut RegistryAssessment,
) {
    // Only a proven refusal is a reason to start something.
    let refused = framework(input)
        .and_then(|f| f.registries.get(at))
        .is_some_and(Answer::is_dead);
    let taken = host.ports.present().is_none_or(|ports| {
        REGISTRY
            .servants()
            .iter()
            .any(|(_, port)| ports.contains(port))
    });
    if !refused || taken || !may_be_started(host) {
        return;
    }
    let summary = "start tarsregistry".to_owned();
    let operation = Operation::Modify(Modify {
        files: vec![],
        owner: Owner::Unchanged,
        restart: true,
        crontab: None,
        labels: None,
    });
    let Some(mut change) = change(input, node, spec, host, (summary, operation), work) else {
        return;
    };
    change.port.after = Some(REGISTRY_PORT);
    let mut pre = crate::preconditions::preconditions(&change);
    pre.push(Condition::Component {
        component: REGISTRY,
        runs: false,
    });
    let mut post = vec![
        Condition::Component {
            component: REGISTRY,
            runs: true,
        },
        Condition::RegistryAnswers {
            registry: at.clone(),
        },
    ];
    if has_rows(input) {
        post.push(Condition::RegistryListed {
            registry: at.clone(),
        });
    }
    work.start = Some(Step::of_change(
        format!("tarsregistry.start@{node}"),
        change,
        pre,
        post,
    ));
}

fn stop(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    at: &Endpoint,
    work: &mut RegistryAssessment,
) {
    let resource = ResourceId::Server(REGISTRY, node.clone());
    let block = |work: &mut RegistryAssessment, why: Blocked| {
        work.lines.push(Line::Blocked {
            resource: resource.clone(),
            why,
        });
    };
    // A spec that names it is the spec of an absent node, which is refused before this.
    if input.desired.registries.contains(at) {
        return;
    }
    let left = Condition::RegistryLeft;
    if let Truth::Fails(why) | Truth::Unknown(why) = left.eval(node, input.inventory) {
        block(work, Blocked::LastRegistry { why });
        return;
    }
    let tars = tars_path(input, node);
    let crontab = match &host.crontab {
        Observed::Present(text) => {
            let text = crontab::without_guard(text);
            if !crontab::watchers(&text, &tars).check.is_empty() {
                block(work, Blocked::Watched);
                return;
            }
            crontab::component_removal_edit(&text, &tars, REGISTRY.name()).map(|edit| {
                CrontabChange {
                    before: (!text.is_empty())
                        .then(|| tarsops_model::digest::Digest::of(text.as_bytes())),
                    edit,
                    back: None,
                }
            })
        }
        Observed::Absent => None,
        Observed::Unknown(_) if host.tools.get("crontab") == Some(&false) => None,
        Observed::Unknown(why) => {
            let why = format!("its crontab: {why}");
            block(work, Blocked::Unseen { why });
            return;
        }
    };
    let summary = format!("stop and remove the registry {at}, which the spec does not name");
    let operation = Operation::Remove(Remove {
        crontab,
        stop_servers: false,
    });
    let Some(mut change) = change(input, node, spec, host, (summary, operation), work) else {
        return;
    };
    change.port.before = Some(REGISTRY_PORT);
    change.ran = true;
    let mut pre = crate::preconditions::preconditions(&change);
    pre.push(left);
    let mut post = vec![
        Condition::Installed {
            component: REGISTRY,
            there: false,
        },
        Condition::Component {
            component: REGISTRY,
            runs: false,
        },
    ];
    if has_rows(input) {
        post.push(Condition::RegistryRowsDeleted {
            registry: at.clone(),
        });
    }
    work.stop = Some(Step::of_change(
        format!("tarsregistry.remove@{node}"),
        change,
        pre,
        post,
    ));
}

fn tars_path(input: &PlanInput<'_>, node: &NodeName) -> String {
    input
        .desired
        .agent(node)
        .map_or_else(|| input.desired.tars_path(), |a| a.tars_path.to_string())
}

/// A change of the registry; none, with the reason told, where the host does not offer what it takes.
fn change(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    operation: (String, Operation),
    work: &mut RegistryAssessment,
) -> Option<HostChange> {
    let why = components::means(input, REGISTRY, node, host);
    if !why.is_empty() {
        let resource = ResourceId::Server(REGISTRY, node.clone());
        work.lines.extend(why.into_iter().map(|why| Line::Blocked {
            resource: resource.clone(),
            why,
        }));
        return None;
    }
    components::on_host(input, REGISTRY, node, spec, host, operation)
}
