//! The adapters of basic services: what the database has of them against their release.
//!
//! One that is missing or differs is put right by a step of the plan, which tells it then. One too
//! many is told and left: no row is deleted that no run has written.

use tarsops_model::component::Component;
use tarsops_model::framework::AdapterRow;
use tarsops_model::host::NodeState;
use tarsops_model::resource::ResourceId;

use super::{Finding, Grade, Name};
use crate::basic::row;
use crate::basic::rows::{adapters_of, of_servant};
use crate::expansion::{after, is_placed, readable};
use crate::input::PlanInput;
use crate::servers::{self, BASIC};

pub(super) fn find(input: &PlanInput<'_>, out: &mut Vec<Finding>) {
    let Ok((_, servers, adapters)) = readable(input) else {
        return;
    };
    for (node, spec) in input.desired.hosts() {
        if spec.state != NodeState::Present || !input.scope.has_node(node) {
            continue;
        }
        for component in BASIC {
            // What the lock file knows is asked last: that walks over all of it.
            let wanted = input.desired.server(component, node).filter(|_| {
                input.scope.has_component(component) && servers::is_known(input.catalog, component)
            });
            let Some(server) = wanted else { continue };
            if row(servers, component, node).is_none() {
                continue;
            }
            let own = adapters_of(adapters, component, node);
            let sources: Vec<(String, String)> = own
                .iter()
                .map(|r| {
                    let endpoint = r.endpoint.clone().unwrap_or_default();
                    (format!("database, {}", r.adapter), endpoint)
                })
                .collect();
            let version = server.version;
            let differ = differences(component, version, &spec.ip.to_string(), &own);
            let extra = superfluous(component, version, &own);
            let both = [
                (
                    Name::AdaptersDiffer,
                    differ,
                    "`tarsops apply` puts its rows right and starts it anew",
                ),
                (
                    Name::AdaptersExtra,
                    extra,
                    "delete it in the management platform and restart the server there",
                ),
            ];
            for (name, said, cure) in both {
                if !said.is_empty() {
                    out.push(Finding {
                        heals_within: None,
                        name,
                        grade: Grade::Drift,
                        resource: ResourceId::Server(component, node.clone()),
                        text: said.join("; "),
                        cure: cure.to_owned(),
                        sources: sources.clone(),
                    });
                }
            }
        }
    }
}

/// What differs, one clause each.
fn differences(
    component: Component,
    version: tarsops_model::version::Version,
    ip: &str,
    own: &[&AdapterRow],
) -> Vec<String> {
    let wanted = component.servants_in(version);
    let protocol = component.protocol_in(version);
    let mut said = Vec::new();
    for (servant, port) in &wanted {
        let Some(row) = of_servant(own, servant, *port) else {
            // One that can be placed is written by a step of the same plan.
            if !is_placed(component) {
                said.push(format!("{servant} has no adapter"));
            }
            continue;
        };
        if row.servant.as_deref() != Some(servant) {
            let old = row.servant.as_deref().unwrap_or_default();
            said.push(format!(
                "the adapter {} is for {old}, not for {servant}",
                row.adapter
            ));
        }
        let endpoint = row.endpoint.as_deref().unwrap_or_default();
        if after(endpoint, "-p") != Some(port.to_string().as_str()) {
            said.push(format!("{servant} is at `{endpoint}`, not at port {port}"));
        }
        let at = after(endpoint, "-h").unwrap_or_default();
        if at != ip && at != "0.0.0.0" && !is_placed(component) {
            said.push(format!("{servant} is at `{endpoint}`, not at {ip}"));
        }
        let speaks = row.protocol.as_deref().unwrap_or_default();
        if speaks != protocol {
            said.push(format!("{servant} speaks `{speaks}`, not {protocol}"));
        }
    }
    said
}

/// What is too much, one clause each.
fn superfluous(
    component: Component,
    version: tarsops_model::version::Version,
    own: &[&AdapterRow],
) -> Vec<String> {
    let wanted = component.servants_in(version);
    // A second one for the same servant is too many, too.
    let used: Vec<&AdapterRow> = wanted
        .iter()
        .filter_map(|(servant, port)| of_servant(own, servant, *port))
        .collect();
    own.iter()
        .filter(|row| !used.iter().any(|other| std::ptr::eq(*other, **row)))
        .map(|row| {
            let servant = row.servant.as_deref().unwrap_or("no servant");
            let adapter = &row.adapter;
            if wanted.iter().any(|(name, _)| *name == servant) {
                format!("the adapter {adapter} is a second one for {servant}")
            } else {
                format!(
                    "the adapter {adapter} is for {servant}, which {component} {version} does not have"
                )
            }
        })
        .collect()
}
