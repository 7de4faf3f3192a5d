//! What is on a node that the spec calls absent beside its tarsnode: the framework's other
//! components, which are removed before it, and their rows, which are deleted after it.
//!
//! AdminRegistry stops what runs, so that the node's tarsnode does not start it again. The registry of
//! the node is removed before all of them (see [`crate::registries`]). What must stay true: nothing
//! that runs is stopped without `stop_servers`, nothing is removed that could not be seen, and a host
//! is left whole while one of its components has to stay (see [`crate::planner`]).

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::framework::Rows;
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;

use crate::actions::{DeleteServerRows, Operation, Remove};
use crate::components;
use crate::components::LOOKED_AT;
use crate::condition::Condition;
use crate::drift::{Drift, DriftKind};
use crate::input::PlanInput;
use crate::places;
use crate::plan::{ChangeKind, Stage, Step};
use crate::report::{Blocked, Line};
use crate::rows;
use crate::tables::readable;

/// What there is to do about the components of a node that leaves.
#[derive(Default)]
pub(crate) struct LeavingAssessment {
    /// What is there and should not be, or could not be seen.
    pub(crate) drift: Vec<Drift>,
    /// What stands in the way.
    pub(crate) lines: Vec<Line>,
    /// Steps that remove components.
    pub(crate) removals: Vec<Step>,
    /// The step that deletes their rows.
    pub(crate) rows: Option<Step>,
}

/// The components that leave with their node; its registry and its tarsnode have steps of their own.
fn components() -> impl Iterator<Item = Component> {
    let own = |c: &Component| *c != Component::Tarsregistry;
    LOOKED_AT.into_iter().filter(own)
}

/// Finds the components on `node`, whose machine is the node's.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    stop_servers: bool,
) -> LeavingAssessment {
    let mut work = LeavingAssessment::default();
    for component in components() {
        let resource = ResourceId::Server(component, node.clone());
        let facts = match input.inventory.server(component, node) {
            Observed::Present(facts) => facts,
            Observed::Absent => continue,
            // What the spec does not place there is no concern while nobody has seen it.
            Observed::Unknown(_) if input.desired.server(component, node).is_none() => continue,
            Observed::Unknown(why) => {
                work.drift.push(unknown(resource, why));
                continue;
            }
        };
        match removal(input, component, node, spec, host, facts, stop_servers) {
            Ok(step) => work.removals.push(step),
            Err(Obstacle::Unknown(why)) => {
                work.drift.push(unknown(resource, why));
                continue;
            }
            Err(Obstacle::Blocked(all)) => {
                let blocked = all.into_iter().map(|why| Line::Blocked {
                    resource: resource.clone(),
                    why,
                });
                work.lines.extend(blocked);
            }
        }
        work.drift.push(rows::surplus(resource));
    }
    if let (Ok((rows, ..)), Observed::Present(machine)) = (readable(input), &host.machine_id) {
        work.rows = forget(node, rows, machine);
    }
    if work.rows.is_some() {
        let resource = ResourceId::Host(node.clone());
        work.drift.push(rows::surplus(resource));
    }
    work
}

fn unknown(resource: ResourceId, why: String) -> Drift {
    Drift {
        resource,
        kind: DriftKind::Unknown { why: vec![why] },
    }
}

/// Why a component is not removed.
enum Obstacle {
    Unknown(String),
    Blocked(Vec<Blocked>),
}

fn removal(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    facts: &ServerFacts,
    stop_servers: bool,
) -> Result<Step, Obstacle> {
    if let Observed::Unknown(why) = &facts.processes {
        return Err(Obstacle::Unknown(format!("its processes: {why}")));
    }
    let runs = facts.runs();
    let mut blocked = components::means(input, component, node, host);
    if runs && !stop_servers {
        blocked.push(Blocked::ServersRunning {
            servers: vec![format!("tars.{component}")],
        });
    }
    let agent = input.inventory.agent(node);
    let watched = agent
        .present()
        .and_then(|a| a.processes.present())
        .is_some_and(|all| !all.is_empty());
    // A tarsnode that lives starts again whatever was not stopped through AdminRegistry.
    if runs && watched {
        if input.desired.rpc == Rpc::Off {
            blocked.push(Blocked::NoStartPath {
                what: "the spec says `rpc: none`, and AdminRegistry stops it".to_owned(),
            });
        } else {
            let admin = input.inventory.framework.as_deref().map(|f| &f.admin);
            let why = match admin {
                Some(Observed::Present(_)) => None,
                Some(Observed::Unknown(why)) => Some(why.as_str()),
                Some(Observed::Absent) => Some("it is not there"),
                None => Some("it was not asked"),
            };
            if let Some(why) = why {
                return Err(Obstacle::Unknown(format!(
                    "AdminRegistry, which stops it: {why}"
                )));
            }
        }
    }
    if let (true, Err(why)) = (input.desired.database().is_some(), readable(input)) {
        return Err(Obstacle::Unknown(format!("its rows: {why}")));
    }
    if !blocked.is_empty() {
        return Err(Obstacle::Blocked(blocked));
    }
    let summary = match (runs, watched) {
        (true, true) => format!("stop {component} through AdminRegistry, and remove it"),
        (true, false) => format!("stop and remove {component}"),
        (false, _) => format!("remove {component}, which does not run"),
    };
    let operation = Operation::Remove(Remove {
        crontab: None,
        stop_servers: false,
    });
    let change = components::on_host(input, component, node, spec, host, (summary, operation));
    let Some(mut change) = change else {
        return Err(Obstacle::Unknown(
            "its machine-id cannot be read".to_owned(),
        ));
    };
    change.port.before = component.servants().first().map(|(_, port)| *port);
    change.ran = runs;
    let mut pre = crate::preconditions::preconditions(&change);
    let installed = host.installed.present();
    if !installed.is_some_and(|all| all.contains(component.name())) {
        // What was published has a program and no scripts.
        pre.retain(|c| !matches!(c, Condition::Installed { .. }));
    }
    let post = vec![
        Condition::Installed {
            component,
            there: false,
        },
        Condition::Component {
            component,
            runs: false,
        },
        Condition::File {
            path: places::binary_path(component),
            digest: None,
        },
    ];
    Ok(Step::of_change(
        format!("{component}.remove@{node}"),
        change,
        pre,
        post,
    ))
}

/// The step that deletes the rows of the components of `node`; none where there are none.
fn forget(node: &NodeName, rows: &Rows, machine: &str) -> Option<Step> {
    let (all, adapters) = (rows.servers.present()?, rows.adapters.present()?);
    let of = |application: &str, server: &str, at: &str| {
        let named = components().find(|c| c.name() == server);
        named.filter(|_| application == "tars" && at == node.as_str())
    };
    let mut servers: BTreeSet<Component> = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for row in all {
        if let Some(component) = of(&row.application, &row.server, &row.node) {
            servers.insert(component);
            names.insert(row.full_name());
        }
    }
    for row in adapters {
        if let Some(component) = of(&row.application, &row.server, &row.node) {
            servers.insert(component);
            names.insert(row.adapter.clone());
        }
    }
    if servers.is_empty() {
        return None;
    }
    let mut pre = vec![
        Condition::Machine {
            id: machine.to_owned(),
        },
        Condition::Unfinished { run: None },
    ];
    pre.extend(servers.iter().map(|component| Condition::Component {
        component: *component,
        runs: false,
    }));
    Some(Step::new(
        format!("rows.forget@{node}"),
        (Stage::Rows, ChangeKind::Remove),
        match servers.len() {
            1 => "delete the rows of its server".to_owned(),
            count => format!("delete the rows of its {count} servers"),
        },
        DeleteServerRows {
            node: node.clone(),
            servers,
        },
        pre,
        vec![Condition::RowsAbsent { rows: names }],
    ))
}
