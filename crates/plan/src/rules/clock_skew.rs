//! Clocks differ by more than registries bear.
//!
//! Registries and database decide by comparing their clocks, so those are compared with each other;
//! the control machine's own clock is only the measure.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};

/// Seconds that clocks may differ before a registry misses changes: its cache compares its own clock
/// with the database's.
const TOLERANCE: i64 = 2;

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("clock-skew"),
    meaning: "a clock differs by more than 2 s from the database's (drift for registries, otherwise a warning)",
    healthy: "clocks agree within 2 s",
    about: About::Cluster,
    sources: &[
        Source::Database(|_| None),
        Source::HostsAndLeaving(|_| None),
    ],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(Observed::Present(database)) = facts.framework.map(|f| &f.database) else {
        return;
    };
    let desired = facts.input.desired;
    let with_registry: BTreeSet<_> = desired
        .resources
        .keys()
        .filter_map(|id| match id {
            ResourceId::Server(Component::Tarsregistry, node) => Some(node),
            _ => None,
        })
        .collect();
    for (node, _) in desired.hosts() {
        let Observed::Present(host) = facts.input.inventory.host(node) else {
            continue;
        };
        let apart = host.clock_skew.saturating_sub(database.clock_skew);
        let seconds = apart.saturating_abs();
        if seconds <= TOLERANCE {
            continue;
        }
        let word = if apart > 0 { "ahead of" } else { "behind" };
        let text = format!("its clock is {seconds} s {word} the database's");
        let is_registry = with_registry.contains(node);
        let text = if is_registry {
            format!("{text}: its registry misses changes")
        } else {
            text
        };
        let fix = "set the clocks by one source (chrony, ntpd)";
        let finding = RULE
            .finding(ResourceId::Host(node.clone()), text, fix)
            .source("host", format!("{:+} s", host.clock_skew))
            .source("database", format!("{:+} s", database.clock_skew));
        found.push(if is_registry {
            finding
        } else {
            finding.warning()
        });
    }
}
