//! A living registry that the spec does not name.

use tarsops_model::component::Component;
use tarsops_model::host::NodeState;
use tarsops_model::names::Endpoint;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};
use crate::places;
use crate::registry_rows;

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("registry-not-in-spec"),
    meaning: "a running registry that the spec does not name; `apply` removes it if its host is in the spec",
    healthy: "no registry beyond the spec",
    about: About::ClusterComponent(Component::Tarsregistry),
    sources: &[Source::Tables(|rows| rows.registries.unknown())],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(listed) = facts.listed.as_ref().filter(|_| !facts.is_foreign()) else {
        return;
    };
    for (at, row) in listed {
        if facts.input.desired.registries.contains(at) || !registry_rows::is_fresh(row) {
            continue;
        }
        let text =
            "a living registry that the spec does not name: every node takes it into its locator";
        found.push(
            RULE.finding(
                ResourceId::RegistryEndpoint(at.clone()),
                text,
                fix(facts, at),
            )
            .source("spec", "not named")
            .source("database", registry_rows::state(row)),
        );
    }
}

fn fix(facts: &Facts<'_>, at: &Endpoint) -> &'static str {
    let node = facts.node_at(at);
    match node.map(|(_, host)| &host.state) {
        Some(NodeState::Absent { .. }) => {
            "apply stops and removes it with its node, which the spec calls absent"
        }
        Some(NodeState::Gone) => "stop that machine for good: the spec calls its node gone",
        _ if is_placed(facts, at) => {
            "add it to `registry.endpoints`: the spec places a registry on that node"
        }
        Some(NodeState::Present) if node.is_some_and(|(name, _)| answers(facts, name)) => {
            "apply stops and removes it; add it to `registry.endpoints` if it is meant"
        }
        _ => "add it to `registry.endpoints`, or stop it there",
    }
}

/// Whether the spec places a registry on the node at this address, by its role or by `components`.
fn is_placed(facts: &Facts<'_>, at: &Endpoint) -> bool {
    let desired = facts.input.desired;
    desired.hosts().any(|(node, host)| {
        let id = ResourceId::Server(Component::Tarsregistry, node.clone());
        places::endpoint_at(host.ip) == *at && desired.resources.contains_key(&id)
    })
}

fn answers(facts: &Facts<'_>, node: &tarsops_model::names::NodeName) -> bool {
    matches!(facts.input.inventory.host(node), Observed::Present(_))
}
