//! The locator of tarsnode against the registries that live.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::framework::FrameworkFacts;

use super::facts::{Facts, NODE_FOLLOWS};
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};
use crate::registry_rows;

/// A locator names no registry that lives.
pub(super) static DEAD: Rule = Rule {
    name: RuleName::new("dead-locator"),
    meaning: "its locator names no registry that is alive",
    healthy: "every locator names a registry that answers",
    about: About::Component(Component::Tarsnode),
    sources: &[
        Source::Answers { registries: true },
        Source::Hosts(|host| host.conf()),
    ],
    find: dead,
    ..Rule::DEFAULT
};

/// A locator does not name what the database lists, and a running tarsnode would have added it.
pub(super) static BEHIND: Rule = Rule {
    name: RuleName::new("locator-behind"),
    meaning: "its locator does not name a registry that the database lists; a running tarsnode picks it up within two minutes",
    healthy: "every locator names what the database lists",
    about: About::Component(Component::Tarsnode),
    sources: &[
        Source::Tables(|rows| rows.registries.unknown()),
        Source::Hosts(|host| host.processes().or_else(|| host.conf())),
    ],
    find: behind,
    ..Rule::DEFAULT
};

type Locator = BTreeSet<(String, u16)>;

fn dead(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(framework) = facts.framework else {
        return;
    };
    let alive: Vec<String> = framework
        .registries
        .iter()
        .filter(|(_, answer)| answer.is_alive())
        .map(|(at, _)| at.to_string())
        .collect();
    if alive.is_empty() {
        return;
    }
    let alive = format!("alive: {}", alive.join(", "));
    for node in &facts.nodes {
        let Some(locator) = node.locator().filter(|l| !may_reach(framework, l)) else {
            continue;
        };
        let text =
            "its locator names no registry that lives: after a restart it would not register";
        let fix = "apply writes the spec's registries into it";
        found.push(
            DEAD.finding(node.resource(), text, fix)
                .source("host", words(locator))
                .source("rpc", alive.as_str()),
        );
    }
}

fn behind(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let (Some(framework), Some(rows)) = (facts.framework, facts.rows) else {
        return;
    };
    let Some(listed) = registry_rows::alive(rows) else {
        return;
    };
    for node in &facts.nodes {
        let Some(locator) = node.locator().filter(|l| may_reach(framework, l)) else {
            continue;
        };
        let missing: Vec<String> = facts
            .input
            .desired
            .registries
            .iter()
            .filter(|at| listed.contains(*at))
            .filter(|at| !locator.contains(&(at.host.to_string(), at.port)))
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() || !node.runs_as_itself() {
            continue;
        }
        let missing = missing.join(", ");
        let text = format!(
            "its locator does not name {missing}, which the database lists: a running tarsnode takes it over within two minutes"
        );
        let fix =
            "wait two minutes; if it stays so, look at app_log/tars/tarsnode there and restart it";
        found.push(
            BEHIND
                .finding(node.resource(), text, fix)
                .source("host", words(locator))
                .source("database", missing)
                .healing_within(node.heals_within(NODE_FOLLOWS)),
        );
    }
}

/// Whether the locator names a registry that may live. One that could not be asked may.
fn may_reach(framework: &FrameworkFacts, locator: &Locator) -> bool {
    framework
        .registries
        .iter()
        .any(|(at, answer)| !answer.is_dead() && locator.contains(&(at.host.to_string(), at.port)))
}

fn words(locator: &Locator) -> String {
    let all: Vec<String> = locator.iter().map(|(h, p)| format!("{h}:{p}")).collect();
    all.join(", ")
}
