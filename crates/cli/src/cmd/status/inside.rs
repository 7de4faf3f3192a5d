//! Components inside of the framework's container.

use tarsops_model::component::Component;
use tarsops_model::container::Container;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::drift::DriftKind;
use tarsops_probe::Report;

use super::row::{Row, State};
use crate::session::Session;

/// How a component is in the container of a node. `drift` is the container's.
pub fn row(
    session: &Session,
    report: &Report,
    component: Component,
    (node, host): (&NodeName, &Host),
    container: &Container,
    drift: Option<&DriftKind>,
) -> Row {
    let shown = |state: State, version: &str, process: String, why: Option<String>| Row {
        component,
        node: node.clone(),
        state: match host.state {
            NodeState::Maintenance { .. } => State::Maintenance,
            NodeState::Gone => State::Gone,
            NodeState::Present | NodeState::Absent { .. } => state,
        },
        version: version.to_owned(),
        process,
        why,
    };
    let unknown = |why: String| shown(State::Unknown, "?", "-".to_owned(), Some(why));
    if let Some(DriftKind::Unknown { why }) = drift {
        return unknown(why.join("; "));
    }
    let seen = match report.inventory.container(node) {
        Observed::Present(seen) => seen,
        Observed::Absent => return shown(State::Missing, "none", "-".to_owned(), None),
        Observed::Unknown(why) => return unknown(why),
    };
    let facts = match report.inventory.host(node) {
        Observed::Present(facts) => facts,
        other => return unknown(other.unknown().unwrap_or_default().to_owned()),
    };
    // Processes of others show to root alone.
    if !facts.is_root {
        return unknown("only root may see what runs in a container".to_owned());
    }
    let docker = facts.docker.as_deref();
    let process = docker.and_then(|docker| {
        let mut all = docker.processes_of(seen);
        all.find(|p| p.component == component)
    });
    let Some(process) = process else {
        let state = if seen.runs() {
            State::Missing
        } else {
            State::Stopped
        };
        let text = format!("not running in {} ({})", seen.name, seen.state);
        return shown(state, "none", text, None);
    };
    let text = format!("pid {} in {}", process.pid, seen.name);
    let runs = match &process.exe {
        Observed::Present(runs) => runs,
        other => return unknown(other.unknown().unwrap_or_default().to_owned()),
    };
    let pin = session.store.catalog().images.get(&container.image);
    let shipped = pin.and_then(|pin| pin.binaries.get(&component));
    match (pin, shipped) {
        (Some(pin), Some(shipped)) if shipped == runs => {
            let state = if drift.is_some() {
                State::Differs
            } else {
                State::InSync
            };
            shown(state, &pin.framework.to_string(), text, None)
        }
        (_, Some(_)) => shown(State::Differs, &runs.short(), text, None),
        (_, None) => shown(State::NotCompared, &runs.short(), text, None),
    }
}
