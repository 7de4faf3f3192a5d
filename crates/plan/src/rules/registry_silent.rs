//! A registry of the spec does not answer.

use tarsops_model::component::Component;
use tarsops_model::host::NodeState;
use tarsops_model::names::Endpoint;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, ExplainedBy, Rule, Source};
use crate::finding::{Finding, RuleName};
use crate::{registries, registry_rows};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("registry-silent"),
    meaning: "a registry of the spec refuses connections, or accepts them and does not answer",
    healthy: "every registry of the spec answers",
    about: About::ClusterComponent(Component::Tarsregistry),
    sources: &[Source::Answers { registries: true }],
    find,
    explained_by: ExplainedBy::Installation,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(framework) = facts.framework.filter(|_| !facts.is_foreign()) else {
        return;
    };
    for (at, answer) in &framework.registries {
        if answer.is_alive() || answer.is_unknown() {
            continue;
        }
        let fix = if answer.is_dead() && may_be_started(facts, at) {
            "apply starts it"
        } else {
            "look at app_log/tars/tarsregistry there, or remove it from `registry.endpoints`"
        };
        let resource = ResourceId::RegistryEndpoint(at.clone());
        let row = facts.listed.as_ref().and_then(|all| all.get(at));
        let row = row.map(|row| ("database".to_owned(), registry_rows::state(row)));
        found.push(
            RULE.finding(resource, format!("the registry {answer}"), fix)
                .source("spec", "should answer")
                .source("rpc", answer.to_string())
                .sources(row),
        );
    }
}

/// Whether a step of the plan starts the registry.
fn may_be_started(facts: &Facts<'_>, at: &Endpoint) -> bool {
    let node = facts.node_at(at);
    node.filter(|(_, host)| host.state == NodeState::Present)
        .is_some_and(|(node, _)| match facts.input.inventory.host(node) {
            Observed::Present(host) => registries::may_be_started(host),
            _ => false,
        })
}
