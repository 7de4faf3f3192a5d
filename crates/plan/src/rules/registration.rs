//! tarsnode against its registration: the row of its node, and its connection to AdminRegistry.

use tarsops_model::component::Component;
use tarsops_model::framework::{FrameworkFacts, NodeRow};
use tarsops_model::observed::Observed;

use super::facts::{Facts, NODE_BEATS, NODE_REPORTS, Node};
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};

/// tarsnode runs, and the registry has no row of it.
pub(super) static NOT_REGISTERED: Rule = Rule {
    name: RuleName::new("not-registered"),
    meaning: "tarsnode runs and has no row; `apply` restarts it",
    healthy: "every running tarsnode is registered",
    about: About::Component(Component::Tarsnode),
    sources: &[
        Source::Tables(|rows| rows.nodes.unknown()),
        Source::Hosts(|host| host.processes()),
    ],
    find: |facts, found| each(facts, found, not_registered),
    ..Rule::DEFAULT
};

/// tarsnode runs, and the registry calls the node inactive.
pub(super) static NODE_INACTIVE: Rule = Rule {
    name: RuleName::new("node-inactive"),
    meaning: "tarsnode runs and the registry calls it inactive; its next heartbeat heals it",
    healthy: "every running tarsnode is active",
    about: About::Component(Component::Tarsnode),
    sources: &[
        Source::Tables(|rows| rows.nodes.unknown()),
        Source::Hosts(|host| host.processes()),
    ],
    find: |facts, found| each(facts, found, node_inactive),
    ..Rule::DEFAULT
};

/// The database calls a node active that AdminRegistry does not reach.
pub(super) static CONNECTION_LOST: Rule = Rule {
    name: RuleName::new("connection-lost"),
    meaning: "the database calls the node active, and AdminRegistry does not reach it",
    healthy: "AdminRegistry reaches every active node",
    about: About::Component(Component::Tarsnode),
    sources: &[Source::Tables(|rows| rows.nodes.unknown()), Source::Admin],
    find: |facts, found| each(facts, found, connection_lost),
    ..Rule::DEFAULT
};

/// A node, its row and whether AdminRegistry reaches it.
struct Registration<'a> {
    node: &'a Node<'a>,
    runs: bool,
    row: Observed<&'a NodeRow>,
    ping: Observed<bool>,
}

fn each(
    facts: &Facts<'_>,
    found: &mut Vec<Finding>,
    find: fn(&Registration<'_>) -> Option<Finding>,
) {
    let Some(framework) = facts.framework else {
        return;
    };
    for node in &facts.nodes {
        found.extend(find(&Registration::of(node, framework)));
    }
}

fn not_registered(it: &Registration<'_>) -> Option<Finding> {
    if !it.runs || !it.row.is_absent() {
        return None;
    }
    let text = "tarsnode runs, and the registry has no row of it: it registers at its start only";
    let finding = NOT_REGISTERED.finding(it.node.resource(), text, "restart it: apply does");
    Some(finding.sources(it.sources()))
}

fn node_inactive(it: &Registration<'_>) -> Option<Finding> {
    if !it.runs || it.row.is_absent() || it.row.unknown().is_some() || it.is_active() {
        return None;
    }
    let text = "tarsnode runs, and the registry calls it inactive: no heartbeat has arrived yet";
    let fix = "its next heartbeat heals it within 10 s; if it stays so, check that it reaches port 17891 of the registries, then restart it";
    Some(
        NODE_INACTIVE
            .finding(it.node.resource(), text, fix)
            .sources(it.sources())
            .healing_within(it.node.heals_within(NODE_BEATS)),
    )
}

fn connection_lost(it: &Registration<'_>) -> Option<Finding> {
    if !it.is_active() || it.ping != Observed::Present(false) {
        return None;
    }
    let processes = it.node.agent.and_then(|a| a.processes.present());
    let under_another_name = processes.is_some_and(|all| !all.is_empty());
    let text = "the database calls it active, and AdminRegistry has no connection to it: nothing can be started, stopped or published there";
    let fix = if it.runs {
        "look at tarsnode's log for the address of AdminRegistry; restart tarsnode if it does not connect within a minute"
    } else if under_another_name {
        "it runs under another nodeid: apply puts that right"
    } else if it.node.agent.is_none() {
        "check that the machine is up; the database shows it after 249 to 285 s"
    } else {
        "start tarsnode: `apply` does; otherwise the database shows it after 249 to 285 s"
    };
    Some(
        CONNECTION_LOST
            .finding(it.node.resource(), text, fix)
            .sources(it.sources())
            .healing_within(it.node.heals_within(NODE_REPORTS)),
    )
}

impl<'a> Registration<'a> {
    fn of(node: &'a Node<'a>, framework: &'a FrameworkFacts) -> Self {
        Self {
            node,
            runs: node.runs_as_itself(),
            row: framework.node_row(node.name),
            ping: framework.ping(node.name),
        }
    }

    fn is_active(&self) -> bool {
        let row = self.row.present();
        row.is_some_and(|row| row.present.as_deref() == Some("active"))
    }

    fn sources(&self) -> Vec<(String, String)> {
        let source = |name: &str, word: &str| (name.to_owned(), word.to_owned());
        let host = if self.runs {
            "tarsnode runs"
        } else {
            "tarsnode does not run"
        };
        let mut sources = vec![source("host", host)];
        match &self.row {
            Observed::Present(row) => {
                let state = row.present.as_deref().unwrap_or("(no state)");
                sources.push(source("database", state));
            }
            Observed::Absent => sources.push(source("database", "no row")),
            Observed::Unknown(_) => {}
        }
        if let Observed::Present(reached) = self.ping {
            let word = if reached {
                "ping succ"
            } else {
                "no connection"
            };
            sources.push(source("AdminRegistry", word));
        }
        sources
    }
}
