//! A servant that the spec expects does not answer.

use tarsops_model::component::Component;
use tarsops_model::container::Container;
use tarsops_model::framework::{Asked, FrameworkFacts};
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, Node};
use super::rule::{ExplainedBy, Rule, Source};
use crate::finding::{Finding, RuleName};
use crate::places;

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("servant-silent"),
    meaning: "a servant of the spec does not answer",
    healthy: "every servant of the spec answers",
    sources: &[
        Source::Answers { registries: false },
        Source::Hosts(|host| host.processes()),
    ],
    find,
    explained_by: ExplainedBy::Installation,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(framework) = facts.framework else {
        return;
    };
    for node in &facts.nodes {
        for asked in &node.servants {
            // An answer that is not known is reported as unknown.
            if !asked.answer.is_alive()
                && !asked.answer.is_unknown()
                && !has_other_rule(framework, node, asked)
            {
                let container = facts.input.desired.container(node.name);
                found.push(one(node, asked, container));
            }
        }
    }
}

/// A silent registry is `registry-silent`, and an agent that does not run is drift of the agent.
fn has_other_rule(framework: &FrameworkFacts, node: &Node<'_>, asked: &Asked) -> bool {
    match asked.component {
        Component::Tarsregistry => framework
            .registries
            .get(&places::endpoint_at(node.spec.ip))
            .is_some_and(|answer| !answer.is_alive()),
        Component::Tarsnode => !node.runs_as_itself(),
        _ => false,
    }
}

fn one(node: &Node<'_>, asked: &Asked, container: Option<&Container>) -> Finding {
    let component = asked.component;
    // Whoever stopped it through the platform meant it: a warning, and no drift.
    let stopped = node.servers.iter().any(|row| {
        row.application == "tars"
            && row.server == component.name()
            && row.setting.as_deref() == Some("inactive")
    });
    let fix = match component {
        _ if stopped => {
            "it was stopped through the platform; start it there if it is meant to run".to_owned()
        }
        // A host with a container has no start script, and a restart would be an installation.
        _ if container.is_some() => "look at the container's state and log there, and at app_log/tars in its data folder; each start of a container is an installation, so do not restart it to try".to_owned(),
        Component::Tarsnode => "restart tarsnode there".to_owned(),
        _ if asked.answer.is_dead() => format!(
            "look at app_log/tars/{component} there; `util/start.sh` of {component} starts it"
        ),
        _ => format!(
            "something is there and does not answer: look at app_log/tars/{component}, and at the database if {component} uses it, before you end anything"
        ),
    };
    let resource = match component {
        Component::Tarsnode => node.resource(),
        _ => ResourceId::Server(component, node.name.clone()),
    };
    let finding = RULE
        .finding(resource, format!("{} {}", asked.servant, asked.answer), fix)
        .source("spec", format!("answers at {}", asked.at))
        .source("rpc", asked.answer.to_string());
    if stopped { finding.warning() } else { finding }
}
