//! Nodes that the framework has rows of and the spec does not name: no drift, and worth a look.

use std::collections::BTreeSet;

use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{NARROWED, Outcome, Seen, Source, Survey};
use crate::input::PlanInput;

/// The line.
pub(super) static SURVEY: Survey = Survey {
    name: "extra-nodes",
    meaning: "nodes that the framework has rows of and the spec does not name; they are left alone",
    judge,
};

fn judge(facts: &Facts<'_>) -> (Outcome, String) {
    // The rows of a part of the cluster prove nothing about the rest.
    if !facts.input.scope.nodes.is_empty() {
        return (Outcome::Skipped, NARROWED.to_owned());
    }
    let names = extra_nodes(&facts.input);
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    if !names.is_empty() {
        let text = format!(
            "{} in the framework's rows, not in the spec; left alone (`state: gone` removes the rows)",
            names.join(", ")
        );
        return (Outcome::Warning, text);
    }
    match Source::Tables(|rows| rows.nodes.unknown()).seen(facts) {
        Seen::All => (Outcome::Ok, "no node beyond the spec".to_owned()),
        Seen::Skipped(why) => (Outcome::Skipped, why.to_owned()),
        Seen::Unknown(why) => (Outcome::Unknown, why),
    }
}

/// Nodes that the framework has rows of and the spec does not name.
pub(super) fn extra_nodes(input: &PlanInput<'_>) -> Vec<ResourceId> {
    if !input.scope.nodes.is_empty() {
        return Vec::new();
    }
    let Some(framework) = &input.inventory.framework else {
        return Vec::new();
    };
    let Observed::Present(rows) = framework.rows() else {
        return Vec::new();
    };
    let Observed::Present(nodes) = &rows.nodes else {
        return Vec::new();
    };
    let addresses: BTreeSet<String> = input
        .desired
        .hosts()
        .map(|(_, host)| host.ip.to_string())
        .collect();
    // Rows of servers may name a node that never registered, or whose row is gone.
    let servers = rows.servers.present().into_iter().flatten();
    let names: BTreeSet<&String> = nodes.keys().chain(servers.map(|row| &row.node)).collect();
    let mut extra: Vec<ResourceId> = names
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .filter(|name| input.desired.host(name).is_none())
        // A node under its address is `registered-elsewhere`.
        .filter(|name: &NodeName| !addresses.contains(name.as_str()))
        .map(ResourceId::Agent)
        .collect();
    extra.sort();
    extra
}
