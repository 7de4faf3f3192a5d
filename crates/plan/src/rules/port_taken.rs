//! Another process holds a port that the spec needs.

use tarsops_model::component::Component;
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, Node};
use super::rule::{Rule, Source};
use crate::finding::{Finding, RuleName};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("port-taken"),
    meaning: "another process holds a port of the spec",
    healthy: "no port of the spec is taken",
    sources: &[Source::Hosts(|host| {
        let processes = || host.processes().or_else(|| host.components());
        host.ports().or_else(processes)
    })],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for node in &facts.nodes {
        let Some(host) = node.host else { continue };
        // The container listens there, in the network of its host.
        if facts.input.desired.container(node.name).is_some() {
            continue;
        }
        let Some(ports) = host.ports.present() else {
            continue;
        };
        for component in idle(facts, node) {
            let taken = component
                .servants()
                .iter()
                .filter(|(_, port)| ports.contains(port));
            found.extend(taken.map(|(servant, port)| one(node, component, servant, *port)));
        }
    }
}

/// The components of the spec of which no process runs on the node.
fn idle(facts: &Facts<'_>, node: &Node<'_>) -> Vec<Component> {
    // A tarsnode that listens at a wrong port is drift of the agent.
    let agent_idle = match node.agent {
        Some(agent) => agent.processes.present().is_some_and(Vec::is_empty),
        None => facts.input.inventory.agent(node.name).is_absent(),
    };
    let running = node.host.and_then(|host| host.components.present());
    let of_spec = Component::ALL.into_iter().filter(|component| {
        let id = ResourceId::Server(*component, node.name.clone());
        facts.input.desired.resources.contains_key(&id)
    });
    let idle = of_spec.filter(|c| running.is_some_and(|all| !all.contains(c.name())));
    agent_idle
        .then_some(Component::Tarsnode)
        .into_iter()
        .chain(idle)
        .collect()
}

fn one(node: &Node<'_>, component: Component, servant: &str, port: u16) -> Finding {
    let resource = match component {
        Component::Tarsnode => node.resource(),
        _ => ResourceId::Server(component, node.name.clone()),
    };
    let text = format!("port {port}, which {servant} needs, is held by another process");
    let fix = format!("find it with `ss -ltnp sport = :{port}` there and move it away");
    RULE.finding(resource, text, fix)
        .source("host", format!("{port} listens, {component} does not run"))
}
