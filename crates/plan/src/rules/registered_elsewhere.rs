//! A node is registered under another name or address than the spec's.

use tarsops_model::component::Component;
use tarsops_model::observed::Observed;

use super::facts::{Facts, Node};
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("registered-elsewhere"),
    meaning: "the registry knows the node under another name or address",
    healthy: "nodes are registered under the spec's names",
    about: About::Component(Component::Tarsnode),
    sources: &[Source::Tables(|rows| rows.nodes.unknown())],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for node in &facts.nodes {
        found.extend(by_address(facts, node));
        found.extend(at_another_address(facts, node));
    }
}

/// The registry knows the node under its address: with the literal `localip.tars.com` as its nodeid
/// it takes the address that it sees.
fn by_address(facts: &Facts<'_>, node: &Node<'_>) -> Option<Finding> {
    let ip = node.spec.ip.to_string();
    let row = facts.rows?.nodes.present()?.get(&ip)?;
    if node.name.as_str() == ip || row.present.as_deref() != Some("active") {
        return None;
    }
    let text = format!(
        "the registry knows it as {ip}, and the spec as {}",
        node.name
    );
    let fix = "apply puts --nodeid right; then delete the row of the address";
    Some(
        RULE.finding(node.resource(), text, fix)
            .source("spec", node.name.to_string())
            .source("database", format!("{ip}: active")),
    )
}

/// The node is registered with an address that is not its own.
fn at_another_address(facts: &Facts<'_>, node: &Node<'_>) -> Option<Finding> {
    let Observed::Present(row) = facts.framework?.node_row(node.name) else {
        return None;
    };
    let registered = row.endpoint_ip.as_deref().filter(|ip| !ip.is_empty())?;
    let ip = node.spec.ip.to_string();
    if registered == ip {
        return None;
    }
    let text = format!("it is registered with the address {registered}, and the spec says {ip}");
    let fix =
        "restart tarsnode there, so that it registers again; correct `ip` if the spec is wrong";
    Some(
        RULE.finding(node.resource(), text, fix)
            .source("spec", ip)
            .source("database", registered),
    )
}
