//! Two hosts run under one nodeid: the registry gives the name to whoever registered last.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, first_of};
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};

/// Hosts that a finding names; each host has a finding, so naming all would be quadratic.
const SHOWN: usize = 10;

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("nodeid-twice"),
    meaning: "two hosts run with one nodeid",
    healthy: "every nodeid is claimed by one host",
    about: About::Component(Component::Tarsnode),
    sources: &[Source::HostsAndLeaving(|host| host.processes())],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let input = &facts.input;
    let mut claims: BTreeMap<&str, BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, _) in input.desired.hosts() {
        let Observed::Present(agent) = input.inventory.agent(node) else {
            continue;
        };
        for process in agent.processes.present().into_iter().flatten() {
            if let Some(nodeid) = &process.nodeid {
                claims.entry(nodeid).or_default().insert(node);
            }
        }
    }
    for (nodeid, hosts) in claims.iter().filter(|(_, hosts)| hosts.len() > 1) {
        for node in hosts {
            if node.as_str() == *nodeid || !input.scope.has_node(node) {
                continue;
            }
            found.push(one(nodeid, node, hosts));
        }
    }
}

/// The finding of one of the hosts that run under `nodeid`.
fn one(nodeid: &str, node: &NodeName, hosts: &BTreeSet<&NodeName>) -> Finding {
    let others = || hosts.iter().copied().filter(|host| *host != node);
    let text = format!(
        "it runs as {nodeid}, and so does {}: the one that registers last takes the other's services out of name resolution",
        first_of(others(), SHOWN)
    );
    let fix = "apply puts --nodeid right and restarts it; then restart tarsnode on the other host, so that it registers again";
    let mut named: Vec<&NodeName> = others().take(SHOWN).collect();
    named.push(node);
    named.sort();
    let word = format!("--nodeid={nodeid}");
    let finding = RULE
        .finding(ResourceId::Agent(node.clone()), text, fix)
        .sources(named.iter().map(|h| (format!("host {h}"), word.clone())));
    match hosts.len().saturating_sub(named.len()) {
        0 => finding,
        more => finding.source(format!("{more} more hosts"), word),
    }
}
