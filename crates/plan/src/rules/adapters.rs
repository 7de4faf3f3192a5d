//! The adapters of basic services in the database against their release.
//!
//! One that is missing or differs is put right by a step of the plan, which then reports it. One too
//! many is reported and left: no row is deleted that no run has written.

use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::framework::{AdapterRow, Rows};
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, Node};
use super::rule::{ExplainedBy, Rule, Seen, Source};
use crate::basic::adapters::differences;
use crate::basic::rows::{adapters_of, of_servant};
use crate::components;
use crate::components::{BASIC, is_placed};
use crate::finding::{Finding, RuleName};
use crate::tables::{readable, row};

/// A basic service has other adapters than its release.
pub(super) static DIFFER: Rule = Rule {
    name: RuleName::new("adapters-differ"),
    meaning: "a basic service of the spec lacks an adapter, or has one with another port, address or protocol; `apply` corrects it, with a restart",
    healthy: "basic services have the adapters of their release",
    sources: &[Source::Other(pinned), Source::Tables(unread)],
    find: |facts, found| {
        let fix = "`tarsops apply` puts its rows right and restarts it";
        each(facts, found, |it| it.finding(&DIFFER, it.differing(), fix));
    },
    explained_by: ExplainedBy::Reported,
    ..Rule::DEFAULT
};

/// A basic service has an adapter that its release does not have.
pub(super) static EXTRA: Rule = Rule {
    name: RuleName::new("adapters-extra"),
    meaning: "a basic service of the spec has an adapter that its release does not have; it is left alone",
    healthy: "basic services have no other adapters",
    sources: &[Source::Other(pinned), Source::Tables(unread)],
    find: |facts, found| {
        let fix = "delete it in the management platform and restart the server there";
        each(facts, found, |it| it.finding(&EXTRA, it.extra(), fix));
    },
    ..Rule::DEFAULT
};

fn unread(rows: &Rows) -> Option<&str> {
    rows.servers.unknown().or_else(|| rows.adapters.unknown())
}

/// Whether the lock file knows a basic service, if the spec places any.
fn pinned(facts: &Facts<'_>) -> Seen {
    let input = &facts.input;
    let mut placed = input.desired.resources.keys().filter_map(|id| match id {
        ResourceId::Server(component, node)
            if BASIC.contains(component)
                && input.scope.has_component(*component)
                && input.scope.has_node(node) =>
        {
            Some(*component)
        }
        _ => None,
    });
    let Some(first) = placed.next() else {
        return Seen::All;
    };
    let known = |component| components::is_known(input.catalog, component);
    if known(first) || placed.any(known) {
        Seen::All
    } else {
        Seen::Skipped("the lock file pins no basic service")
    }
}

/// A basic service and its adapters.
struct Service<'a> {
    node: &'a Node<'a>,
    component: Component,
    server: &'a Server,
    adapters: Vec<&'a AdapterRow>,
}

fn each(
    facts: &Facts<'_>,
    found: &mut Vec<Finding>,
    find: impl Fn(&Service<'_>) -> Option<Finding>,
) {
    let input = &facts.input;
    let Ok((_, servers, adapters)) = readable(input) else {
        return;
    };
    for node in &facts.nodes {
        for component in BASIC {
            let Some(server) = input.desired.server(component, node.name) else {
                continue;
            };
            // What the lock file knows is asked last: that walks over all of it.
            if row(servers, component, node.name).is_some()
                && input.scope.has_component(component)
                && components::is_known(input.catalog, component)
            {
                found.extend(find(&Service {
                    node,
                    component,
                    server,
                    adapters: adapters_of(adapters, component, node.name),
                }));
            }
        }
    }
}

impl Service<'_> {
    fn finding(&self, rule: &Rule, clauses: Vec<String>, fix: &str) -> Option<Finding> {
        if clauses.is_empty() {
            return None;
        }
        let resource = ResourceId::Server(self.component, self.node.name.clone());
        let sources = self.adapters.iter().map(|adapter| {
            let endpoint = adapter.endpoint.clone().unwrap_or_default();
            (format!("database, {}", adapter.adapter), endpoint)
        });
        let finding = rule.finding(resource, clauses.join("; "), fix);
        Some(finding.sources(sources))
    }

    /// What differs, one clause each.
    fn differing(&self) -> Vec<String> {
        let (component, version) = (self.component, self.server.version);
        let ip = self.node.spec.ip;
        let mut clauses = Vec::new();
        for (servant, port) in component.servants_in(version) {
            let Some(row) = of_servant(&self.adapters, servant, port) else {
                // One that can be placed is written by a step of the same plan.
                if !is_placed(component) {
                    clauses.push(format!("{servant} has no adapter"));
                }
                continue;
            };
            let differs = differences(row, (component, version), (servant, port), ip);
            if differs.servant {
                let old = row.servant.as_deref().unwrap_or_default();
                clauses.push(format!(
                    "the adapter {} is for {old}, not for {servant}",
                    row.adapter
                ));
            }
            let endpoint = row.endpoint.as_deref().unwrap_or_default();
            if differs.port {
                clauses.push(format!("{servant} is at `{endpoint}`, not at port {port}"));
            }
            if differs.address {
                clauses.push(format!("{servant} is at `{endpoint}`, not at {ip}"));
            }
            if differs.protocol {
                let speaks = row.protocol.as_deref().unwrap_or_default();
                let protocol = component.protocol_in(version);
                clauses.push(format!("{servant} speaks `{speaks}`, not {protocol}"));
            }
        }
        clauses
    }

    /// What is too much, one clause each.
    fn extra(&self) -> Vec<String> {
        let (component, version) = (self.component, self.server.version);
        let wanted = component.servants_in(version);
        // A second one for the same servant is too many, too.
        let used: Vec<&AdapterRow> = wanted
            .iter()
            .filter_map(|(servant, port)| of_servant(&self.adapters, servant, *port))
            .collect();
        self.adapters
            .iter()
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
}
