//! Rows of the framework's database that nobody stands behind any more: nodes whose machine is gone,
//! registries that were removed.
//!
//! A row is deleted only where every source that knows agrees that nobody is there, and never the
//! rows of a registry that lives or that the spec names.

use std::net::IpAddr;

use tarsops_model::framework::{AdapterRow, NodeLabels, RegistryRow, Rows, ServerRow};
use tarsops_model::host::Host;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::actions::{DeleteNodeRows, DeleteRegistryRows, RestoreLabels};
use crate::condition::{Condition, Truth};
use crate::drift::{Drift, DriftKind};
use crate::expansion;
use crate::input::PlanInput;
use crate::plan::{ChangeKind, Stage, Step};
use crate::report::{Blocked, Line};
use crate::{registry_rows, rules};

/// What there is to say of a node that is gone.
pub(crate) enum Gone {
    /// Nothing: the framework has no rows of it.
    Nothing,
    /// A line of the report.
    Told(Line),
    /// It cannot be told.
    Unknown(String),
    /// Its rows are deleted.
    Step(Box<Step>),
}

/// How many rows of the framework are about `node`, by table.
#[must_use]
pub fn rows_of(rows: &Rows, node: &NodeName, ip: IpAddr) -> Observed<usize> {
    let name = node.as_str();
    counted(rows, node, ip, |servers, adapters| {
        servers.iter().filter(|r| r.node == name).count()
            + adapters.iter().filter(|r| r.node == name).count()
    })
}

/// As [`rows_of`]; `named` counts the rows of servers and of adapters that name the node.
fn counted(
    rows: &Rows,
    node: &NodeName,
    ip: IpAddr,
    named: impl FnOnce(&[ServerRow], &[AdapterRow]) -> usize,
) -> Observed<usize> {
    let (nodes, servers, adapters, registries) =
        match (&rows.nodes, &rows.servers, &rows.adapters, &rows.registries) {
            (
                Observed::Present(n),
                Observed::Present(s),
                Observed::Present(a),
                Observed::Present(r),
            ) => (n, s, a, r),
            _ => return Observed::Unknown("not all tables could be read".to_owned()),
        };
    Observed::Present(
        usize::from(nodes.contains_key(node.as_str()))
            + named(servers, adapters)
            + registries.iter().filter(|r| is_at(r, ip)).count(),
    )
}

/// Whether a row of t_registry_info is of a servant at `ip`.
fn is_at(row: &RegistryRow, ip: IpAddr) -> bool {
    row.locator
        .parse::<Endpoint>()
        .is_ok_and(|at| at.host.as_str() == ip.to_string())
}

/// What there is to do about a node that is gone. `named` rows of servers and adapters name it, where
/// they could be read.
pub(crate) fn gone(input: &PlanInput<'_>, node: &NodeName, spec: &Host, named: usize) -> Gone {
    let resource = ResourceId::Agent(node.clone());
    let rows = match input.inventory.framework.as_ref().map(|f| f.rows()) {
        Some(Observed::Present(rows)) => rows,
        Some(Observed::Unknown(why)) => return Gone::Unknown(why),
        Some(Observed::Absent) | None => {
            return Gone::Told(Line::Ignored {
                resource,
                why: "gone: its rows are not checked, because the spec names no database"
                    .to_owned(),
            });
        }
    };
    let count = match counted(rows, node, spec.ip, |_, _| named) {
        Observed::Present(0) => return Gone::Nothing,
        Observed::Present(count) => count,
        other => return Gone::Unknown(other.unknown().unwrap_or_default().to_owned()),
    };
    match Condition::Unanswered.eval(node, input.inventory) {
        Truth::Holds => {}
        Truth::Fails(why) => {
            return Gone::Told(Line::Blocked {
                resource,
                why: Blocked::StillAnswers { why },
            });
        }
        Truth::Unknown(why) => return Gone::Unknown(why),
    }
    Gone::Step(Box::new(Step::new(
        format!("rows.forget@{node}"),
        (Stage::Rows, ChangeKind::Remove),
        match count {
            1 => format!("delete the row of {node} from the framework's database"),
            count => format!("delete the {count} rows of {node} from the framework's database"),
        },
        DeleteNodeRows {
            node: node.clone(),
            ip: spec.ip,
        },
        vec![Condition::Unanswered],
        vec![Condition::Forgotten { ip: spec.ip }],
    )))
}

/// The step that gives a node's row back what a run that was cut off has saved. Nothing to do while
/// the node is not registered: the change of the agent comes first, and saves it again. Nor while the
/// row is the one that the labels were saved from: a tarsnode that was restarted and has not registered
/// still has it, active for up to 250 s, and its registration loses whatever is written there.
pub(crate) fn labels(input: &PlanInput<'_>, node: &NodeName, labels: &NodeLabels) -> Option<Step> {
    let pre = vec![
        Condition::LabelsSaved {
            labels: Some(labels.clone()),
        },
        Condition::Registered,
    ];
    if pre
        .iter()
        .any(|c| c.eval(node, input.inventory) != Truth::Holds)
    {
        return None;
    }
    let row = input.inventory.framework.as_ref()?.node_row(node);
    if row.present().is_some_and(|row| labels.are_of(row)) {
        return None;
    }
    Some(Step::new(
        format!("rows.labels@{node}"),
        (Stage::Rows, ChangeKind::Change),
        "put its label and group back, which a registration lost".to_owned(),
        RestoreLabels {
            node: node.clone(),
            labels: labels.clone(),
        },
        pre,
        vec![Condition::LabelsSaved { labels: None }],
    ))
}

/// Steps that delete the rows of registries that are gone, and what stands in the way.
pub(crate) fn registries(input: &PlanInput<'_>) -> (Vec<Step>, Vec<Line>) {
    let (mut steps, mut lines) = (Vec::new(), Vec::new());
    if !input.scope.nodes.is_empty() {
        return (steps, lines);
    }
    for found in rules::gone_registries(input) {
        let resource = found.resource;
        let ResourceId::RegistryEndpoint(registry) = &resource else {
            continue;
        };
        let node = node_of(input, registry);
        // Its rows are those of a host that the spec still has: told, and left.
        if expansion::has_moved(input, &node) {
            continue;
        }
        let pre = vec![
            Condition::RegistryDead {
                registry: registry.clone(),
            },
            Condition::RegistryLeft,
        ];
        let anywhere = &input.desired.master;
        if let Some(why) = pre
            .iter()
            .find_map(|c| match c.eval(anywhere, input.inventory) {
                Truth::Holds => None,
                Truth::Fails(why) | Truth::Unknown(why) => Some(why),
            })
        {
            lines.push(Line::Blocked {
                resource,
                why: Blocked::LastRegistry { why },
            });
            continue;
        }
        steps.push(Step::new(
format!("rows.forget@{registry}"),
(Stage::Rows, ChangeKind::Remove),
format!(
                "delete the rows of the registry {registry}; nodes drop it from their locators within two minutes"
            ),
DeleteRegistryRows {
                registry: registry.clone(),
                node,
            },
pre,
vec![Condition::RegistryRowsDeleted {
                registry: registry.clone(),
            }],
));
    }
    (steps, lines)
}

/// The node that the framework's rows have a registry on: by its adapter, else by its address, as
/// the installer names framework nodes.
fn node_of(input: &PlanInput<'_>, registry: &Endpoint) -> String {
    let rows = input.inventory.framework.as_ref().map(|f| f.rows());
    let named = match rows {
        Some(Observed::Present(rows)) => registry_rows::resolved(rows)
            .remove(registry)
            .map(|named| named.node),
        _ => None,
    };
    named.unwrap_or_else(|| registry.host.to_string())
}

/// Drift of a node that is gone and has rows.
pub(crate) const fn surplus(resource: ResourceId) -> Drift {
    Drift {
        resource,
        kind: DriftKind::Surplus,
    }
}
