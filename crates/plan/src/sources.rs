//! What every source says of each resource, side by side.

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::{FrameworkFacts, server_key};
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::assess::Places;
use crate::input::PlanInput;
use crate::registry_rows;

/// What all sources say about one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Which resource.
    pub resource: ResourceId,
    /// Source and word, in the order spec, host, rpc, AdminRegistry, database.
    pub words: Vec<(String, String)>,
}

/// The table, in the order of the resources; only those in scope.
#[must_use]
pub fn source_reports(input: &PlanInput<'_>) -> Vec<SourceReport> {
    let mut out = Vec::new();
    let places = Places::of(input);
    for id in input.desired.resources.keys() {
        let component = match id {
            ResourceId::Server(component, _) => *component,
            ResourceId::RegistryEndpoint(_) => Component::Tarsregistry,
            _ => Component::Tarsnode,
        };
        let in_scope = id.node().is_none_or(|n| input.scope.has_node(n));
        if !in_scope || !input.scope.has_component(component) {
            continue;
        }
        let words = match id {
            ResourceId::Agent(_) | ResourceId::Server(..) => running(input, &places, id),
            ResourceId::RegistryEndpoint(_) if input.scope.nodes.is_empty() => registry(input, id),
            _ => continue,
        };
        out.push(SourceReport {
            resource: id.clone(),
            words,
        });
    }
    out
}

fn word<T>(seen: &Observed<T>, say: impl FnOnce(&T) -> String) -> String {
    match seen {
        Observed::Present(value) => say(value),
        Observed::Absent => "none".to_owned(),
        Observed::Unknown(why) => format!("? {why}"),
    }
}

fn running(input: &PlanInput<'_>, places: &Places<'_>, id: &ResourceId) -> Vec<(String, String)> {
    let Some(node) = id.node() else {
        return Vec::new();
    };
    let spec = match input.desired.host(node).map(|h| &h.state) {
        Some(NodeState::Present) => "runs",
        Some(NodeState::Maintenance { .. }) => "maintenance",
        Some(NodeState::Absent { .. }) => "absent",
        Some(NodeState::Gone) => "gone",
        None => "not named",
    };
    let mut words = vec![("spec".to_owned(), spec.to_owned())];
    words.push(("host".to_owned(), host(input, id)));
    let Some(framework) = &input.inventory.framework else {
        return words;
    };
    let component = match id {
        ResourceId::Server(component, _) => *component,
        _ => Component::Tarsnode,
    };
    let answers: Vec<String> = component
        .servants()
        .iter()
        .filter_map(|(servant, _)| framework.servants.get(&format!("{servant}@{node}")))
        .map(|asked| {
            let object = asked.servant.rsplit('.').next().unwrap_or_default();
            format!("{object} {}", asked.answer)
        })
        .collect();
    if !answers.is_empty() {
        words.push(("rpc".to_owned(), answers.join(", ")));
    }
    words.extend(framework_report(framework, places, id));
    words
}

fn host(input: &PlanInput<'_>, id: &ResourceId) -> String {
    let Some(node) = id.node() else {
        return String::new();
    };
    match id {
        ResourceId::Server(component, _) => match input.inventory.host(node) {
            Observed::Present(host) => word(&host.components, |all| {
                if all.contains(component.name()) {
                    "runs".to_owned()
                } else {
                    "no process".to_owned()
                }
            }),
            Observed::Absent => "none".to_owned(),
            Observed::Unknown(why) => format!("? {why}"),
        },
        _ => word(&input.inventory.agent(node), |agent| {
            word(&agent.processes, |all| match all.as_slice() {
                [] => "no process".to_owned(),
                [one] => format!(
                    "pid {} as {}",
                    one.pid,
                    one.nodeid.as_deref().unwrap_or("nobody")
                ),
                many => format!("{} processes", many.len()),
            })
        }),
    }
}

fn framework_report(
    framework: &FrameworkFacts,
    places: &Places<'_>,
    id: &ResourceId,
) -> Vec<(String, String)> {
    let mut words = Vec::new();
    let Some(node) = id.node() else {
        return words;
    };
    match (id, &framework.admin) {
        (_, Observed::Absent) => {}
        (_, Observed::Unknown(why)) => words.push(("AdminRegistry".to_owned(), format!("? {why}"))),
        (ResourceId::Server(component, _), Observed::Present(admin)) => {
            let view = admin.servers.get(&server_key(*component, node));
            words.push((
                "AdminRegistry".to_owned(),
                view.map_or_else(
                    || "was not asked".to_owned(),
                    |view| {
                        word(view, |v| {
                            let library = match &v.library {
                                Observed::Present(library) => format!(", TarsCpp {library}"),
                                _ => String::new(),
                            };
                            format!("{} (pid {}){library}", v.in_node, v.pid)
                        })
                    },
                ),
            ));
        }
        (_, Observed::Present(_)) => {
            words.push(("AdminRegistry".to_owned(), connection(framework, node)))
        }
    }
    if framework.database.is_absent() {
        return words;
    }
    let database = match (id, framework.rows()) {
        (_, Observed::Absent) => "no db_tars".to_owned(),
        (_, Observed::Unknown(why)) => format!("? {why}"),
        (ResourceId::Server(component, _), Observed::Present(rows)) => word(&rows.servers, |_| {
            places
                .servers_on(node)
                .iter()
                .find(|r| r.server == component.name())
                .map_or_else(
                    || "no row".to_owned(),
                    |r| {
                        format!(
                            "{}, set {}",
                            r.present.as_deref().unwrap_or("?"),
                            r.setting.as_deref().unwrap_or("?")
                        )
                    },
                )
        }),
        (_, Observed::Present(_)) => match framework.node_row(node) {
            Observed::Present(row) => {
                let age = row
                    .heartbeat_age
                    .map_or_else(String::new, |age| format!(", heartbeat {age} s ago"));
                format!("{}{age}", row.present.as_deref().unwrap_or("?"))
            }
            Observed::Absent => "no row".to_owned(),
            Observed::Unknown(why) => format!("? {why}"),
        },
    };
    words.push(("database".to_owned(), database));
    words
}

/// What AdminRegistry says of a node: its ping, and when its long connection was last heard of.
fn connection(framework: &FrameworkFacts, node: &NodeName) -> String {
    let ping = word(&framework.ping(node), |alive| {
        if *alive { "ping succ" } else { "no connection" }.to_owned()
    });
    match framework
        .admin
        .present()
        .and_then(|admin| admin.connections.get(node))
    {
        Some(Observed::Present(at)) => format!("{ping}, heard at {at}"),
        _ => ping,
    }
}

fn registry(input: &PlanInput<'_>, id: &ResourceId) -> Vec<(String, String)> {
    let ResourceId::RegistryEndpoint(at) = id else {
        return Vec::new();
    };
    let mut words = vec![("spec".to_owned(), "answers".to_owned())];
    let Some(framework) = &input.inventory.framework else {
        return words;
    };
    if let Some(answer) = framework.registries.get(at) {
        words.push(("rpc".to_owned(), answer.to_string()));
    }
    if let Observed::Present(rows) = framework.rows()
        && let Some(listed) = registry_rows::listed(rows)
    {
        let row = listed
            .get(at)
            .map_or_else(|| "no row".to_owned(), |r| registry_rows::state(r));
        words.push(("database".to_owned(), row));
    }
    words
}
