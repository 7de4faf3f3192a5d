//! Rows name a registry that is gone.

use tarsops_model::component::Component;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};
use crate::registry_rows;

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("registry-gone"),
    meaning: "rows of a registry that the spec does not name and that has been silent for a minute, or that only the row of a server names; `apply` deletes them",
    healthy: "no row of a removed registry",
    about: About::ClusterComponent(Component::Tarsregistry),
    sources: &[Source::Tables(|rows| {
        let others = || rows.servers.unknown().or_else(|| rows.adapters.unknown());
        rows.registries.unknown().or_else(others)
    })],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let (Some(rows), Some(listed)) = (facts.rows, &facts.listed) else {
        return;
    };
    if facts.is_foreign() {
        return;
    }
    let spec = &facts.input.desired.registries;
    for (at, named) in registry_rows::resolved(rows) {
        if spec.contains(&at) || listed.contains_key(&at) {
            continue;
        }
        // Rows that are set inactive on a node of the spec are somebody's choice; elsewhere they
        // are what a run that was cut off has left.
        if !named.active && facts.node_at(&at).is_some() {
            continue;
        }
        let state = if named.active { "active" } else { "inactive" };
        let text =
            "the rows of a server name a removed registry: every node adds it to its locator";
        let row = format!("tars.tarsregistry on {}, {state}", named.node);
        found.push(
            RULE.finding(ResourceId::RegistryEndpoint(at), text, FIX)
                .source("spec", "not named")
                .source("database", row),
        );
    }
    for (at, row) in listed {
        if spec.contains(at) || registry_rows::is_fresh(row) {
            continue;
        }
        let text = "the rows of a removed registry: every node has it in its locator";
        found.push(
            RULE.finding(ResourceId::RegistryEndpoint(at.clone()), text, FIX)
                .source("spec", "not named")
                .source("database", registry_rows::state(row)),
        );
    }
}

const FIX: &str = "apply deletes its rows";
