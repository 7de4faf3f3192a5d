//! A registry answers, and the database does not list it.

use tarsops_model::component::Component;
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, REGISTRY_WRITES};
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};
use crate::registry_rows;

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("registry-unlisted"),
    meaning: "a registry answers, and the database does not list it as active",
    healthy: "every registry that answers is listed",
    about: About::ClusterComponent(Component::Tarsregistry),
    sources: &[
        Source::Tables(|rows| rows.registries.unknown()),
        Source::Answers { registries: true },
    ],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(framework) = facts.framework.filter(|_| !facts.is_foreign()) else {
        return;
    };
    let Some(listed) = &facts.listed else { return };
    for (at, answer) in &framework.registries {
        let row = listed.get(at);
        if !answer.is_alive() || row.is_some_and(|row| registry_rows::is_fresh(row)) {
            continue;
        }
        let text = "the registry answers, and the database does not list it as active: nodes do not learn of it";
        let fix = "it writes its rows every 13 s; if it stays so, look at its log for errors of the database";
        let row = row.map_or_else(|| "no row".to_owned(), |row| registry_rows::state(row));
        found.push(
            RULE.finding(ResourceId::RegistryEndpoint(at.clone()), text, fix)
                .source("spec", "should answer")
                .source("rpc", answer.to_string())
                .source("database", row)
                .healing_within(Some(REGISTRY_WRITES)),
        );
    }
}
