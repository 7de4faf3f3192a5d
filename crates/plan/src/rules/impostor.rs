//! Another user's process calls itself by the path of a component.

use tarsops_model::component::Component;

use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName, Severity};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("impostor"),
    severity: Severity::Warning,
    meaning: "a process of another user has the path of a component in its command line; `tarsops` leaves it alone",
    healthy: "no other user's process has the name of a component",
    about: About::Component(Component::Tarsnode),
    sources: &[Source::Hosts(|host| host.components())],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for node in &facts.nodes {
        for (pid, who) in node.host.iter().flat_map(|host| &host.impostors) {
            let text = format!(
                "process {pid} of another user ({who}) has the path of a component in its command line"
            );
            let fix = "end it if it should not run: tarsops leaves it alone, but the framework's start.sh and stop.sh select processes by their command line and try to end it";
            found.push(
                RULE.finding(node.resource(), text, fix)
                    .source("host", format!("pid {pid}, {who}")),
            );
        }
    }
}
