//! Others can write on the way to the folder of tarsops' own files on a host.

use tarsops_model::component::Component;

use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName, Severity};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("unsafe-folder"),
    severity: Severity::Warning,
    meaning: "another user can write somewhere on the path to tarsops' own files on the host; nothing is changed there until that is corrected",
    healthy: "nobody else can write to tarsops' own files on the hosts",
    about: About::Component(Component::Tarsnode),
    sources: &[Source::Hosts(|_| None)],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for node in &facts.nodes {
        if let Some(why) = node.host.and_then(|host| host.unsafe_state.as_ref()) {
            let fix = "let only root, or the user that tarsops logs in as, write there; nothing is changed until then";
            found.push(RULE.finding(node.resource(), why, fix).source("host", why));
        }
    }
}
