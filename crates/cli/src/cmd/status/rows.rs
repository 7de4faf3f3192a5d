//! How each component on each host is.

use std::collections::BTreeMap;

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::Plan;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::names::natural_key;
use tarsops_probe::Report;

use super::inside;
use super::row::{Row, State};
use crate::session::Session;

/// Every component of the spec that is meant, in the order of the components and the nodes.
pub fn rows(session: &Session, report: &Report, plan: &Plan) -> Vec<Row> {
    let drift: BTreeMap<&ResourceId, &DriftKind> =
        plan.drift.iter().map(|d| (&d.resource, &d.kind)).collect();
    let mut nodes: Vec<(&NodeName, &Host)> = session
        .desired()
        .hosts()
        .filter(|(n, _)| session.scope.has_node(n))
        .collect();
    nodes.sort_by_key(|(n, _)| natural_key(n.as_str()));
    let mut out = Vec::new();
    for component in Component::ALL {
        if !session.scope.has_component(component) {
            continue;
        }
        for (node, host) in &nodes {
            let id = match component {
                Component::Tarsnode => ResourceId::Agent((*node).clone()),
                _ => ResourceId::Server(component, (*node).clone()),
            };
            if let Some(container) = session.desired().container(node) {
                let server = session.desired().resources.contains_key(&id);
                if server || component == Component::Tarsnode {
                    let drift = drift.get(&ResourceId::Container((*node).clone()));
                    let at = (*node, *host);
                    let drift = drift.copied();
                    out.push(inside::row(
                        session, report, component, at, container, drift,
                    ));
                }
            } else if session.desired().resources.contains_key(&id) {
                let drift = drift.get(&id).copied();
                out.push(row(session, report, component, node, host, drift));
            }
        }
    }
    out
}

fn row(
    session: &Session,
    report: &Report,
    component: Component,
    node: &NodeName,
    host: &Host,
    drift: Option<&DriftKind>,
) -> Row {
    let seen = match component {
        Component::Tarsnode => report
            .inventory
            .agent(node)
            .map(|f| (&f.binary, &f.processes)),
        _ => report
            .inventory
            .server(component, node)
            .map(|f| (&f.binary, &f.processes)),
    };
    let known = session.store.catalog().known.values().flatten();
    let compared =
        component == Component::Tarsnode || known.into_iter().any(|(c, _)| *c == component);
    let (version, process, why) = match &seen {
        Observed::Present((binary, processes)) => (
            version(session, component, binary, processes),
            process(processes),
            binary.unknown().or_else(|| processes.unknown()),
        ),
        Observed::Absent => ("none".to_owned(), "-".to_owned(), None),
        Observed::Unknown(why) => ("?".to_owned(), "-".to_owned(), Some(why.as_str())),
    };
    let runs = match &seen {
        Observed::Present((_, processes)) => processes.present().is_none_or(|p| !p.is_empty()),
        _ => true,
    };
    let state = match (&host.state, drift) {
        (NodeState::Maintenance { .. }, _) => State::Maintenance,
        (NodeState::Gone, _) => State::Gone,
        (_, Some(DriftKind::Unknown { .. })) => State::Unknown,
        (_, Some(DriftKind::Missing)) => State::Missing,
        (_, Some(DriftKind::Surplus)) => State::ToBeRemoved,
        (_, Some(_)) => State::Differs,
        // What could not be seen is never in sync.
        (_, None) if why.is_some() => State::Unknown,
        (NodeState::Absent { .. }, None) => State::Absent,
        (NodeState::Present, None) if seen.is_absent() => State::Missing,
        (NodeState::Present, None) if !runs => State::Stopped,
        (NodeState::Present, None) if !compared => State::NotCompared,
        (NodeState::Present, None) => State::InSync,
    };
    // A host that is silent is the reason for all that it has.
    let host_seen = report.inventory.host(node);
    let why = match (host_seen.unknown(), drift) {
        (Some(silent), _) => Some(silent.to_owned()),
        (None, Some(DriftKind::Unknown { why })) => Some(why.join("; ")),
        (None, _) => why.map(str::to_owned),
    };
    Row {
        component,
        node: node.clone(),
        state,
        version,
        process,
        why: why.filter(|_| state == State::Unknown),
    }
}

/// The version of a file, and of its process where that runs another one.
fn version(
    session: &Session,
    component: Component,
    binary: &Observed<FileFact>,
    processes: &Observed<Vec<ProcessFact>>,
) -> String {
    let named = |digest| {
        let all = session.store.catalog().versions_of(component, digest);
        all.last()
            .map_or_else(|| digest.short(), ToString::to_string)
    };
    let Observed::Present(file) = binary else {
        return if binary.is_absent() { "none" } else { "?" }.to_owned();
    };
    let running = processes.present().into_iter().flatten();
    let other = running
        .filter_map(|p| p.exe.present())
        .find(|exe| **exe != file.digest);
    let on_disk = named(&file.digest);
    match other {
        Some(exe) => format!("{on_disk} (runs {})", named(exe)),
        None => on_disk,
    }
}

fn process(processes: &Observed<Vec<ProcessFact>>) -> String {
    match processes {
        Observed::Present(all) => match all.as_slice() {
            [] => "not running".to_owned(),
            [one] => format!("pid {} as {}", one.pid, one.user),
            many => format!("{} processes", many.len()),
        },
        _ => "unknown".to_owned(),
    }
}
