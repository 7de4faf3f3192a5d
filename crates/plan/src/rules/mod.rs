//! Rules: contradictions between the sources, each with a name, an explanation and a fix.
//!
//! The sources are the spec, the hosts, the framework's servants (Tars RPC) and its database. What
//! each one says is shown as it is; nothing is averaged. A finding rests only on what was read. A
//! source that is silent is reported as unknown ([`unknowns`]), and nothing is concluded from it.
//!
//! A rule is one file here and one line in [`REGISTRATION`]. Planner, `check` and documentation ask
//! the registration.

mod adapters;
pub mod check;
mod clock_skew;
mod console;
mod container_rebuild;
mod containers;
mod database_connection;
mod database_read_only;
mod default_password;
mod extra_nodes;
mod facts;
mod foreign_database;
mod hosts;
mod impostor;
mod locator;
mod no_database;
mod nodeid_twice;
mod port_taken;
mod registered_elsewhere;
mod registration;
mod registry_gone;
mod registry_not_in_spec;
mod registry_silent;
mod registry_unlisted;
mod rule;
mod servant_silent;
mod server_state;
mod silence;
#[cfg(test)]
mod test_only;
#[cfg(test)]
mod tests;
mod unknown_build;
mod unsafe_folder;

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tarsops_model::component::Component;
use tarsops_model::resource::ResourceId;

use crate::drift::Drift;
use crate::finding::{Finding, RuleName, Severity};
use crate::input::PlanInput;
use facts::Facts;
use rule::Survey;

pub use rule::{About, ExplainedBy, Lets, Rule};

/// Every line of `check`, in the order in which it shows them.
pub(crate) static REGISTRATION: &[Entry] = &[
    Entry::Survey(&hosts::SURVEY),
    Entry::Rule(&foreign_database::RULE),
    Entry::Rule(&no_database::RULE),
    Entry::Rule(&database_read_only::RULE),
    Entry::Rule(&default_password::RULE),
    Entry::Rule(&registry_silent::RULE),
    Entry::Rule(&registry_unlisted::RULE),
    Entry::Rule(&registry_gone::RULE),
    Entry::Rule(&registry_not_in_spec::RULE),
    Entry::Rule(&servant_silent::RULE),
    Entry::Rule(&nodeid_twice::RULE),
    Entry::Rule(&registered_elsewhere::RULE),
    Entry::Rule(&registration::NOT_REGISTERED),
    Entry::Rule(&registration::NODE_INACTIVE),
    Entry::Rule(&registration::CONNECTION_LOST),
    Entry::Rule(&locator::DEAD),
    Entry::Rule(&locator::BEHIND),
    Entry::Rule(&server_state::RUNS_INACTIVE),
    Entry::Rule(&server_state::ACTIVE_NOT_RUNNING),
    Entry::Rule(&adapters::DIFFER),
    Entry::Rule(&adapters::EXTRA),
    Entry::Rule(&port_taken::RULE),
    Entry::Rule(&container_rebuild::RULE),
    Entry::Rule(&containers::KUBERNETES),
    Entry::Rule(&containers::ENGINE),
    Entry::Rule(&containers::RETIRED),
    Entry::Rule(&containers::BESIDE),
    Entry::Rule(&containers::RESTARTED),
    Entry::Rule(&containers::OWNED),
    Entry::Rule(&containers::WATCHTOWER),
    Entry::Rule(&containers::TAG),
    Entry::Rule(&console::DOWN),
    Entry::Rule(&console::RETIRED),
    Entry::Rule(&console::SUPERVISOR),
    Entry::Rule(&console::REBOOT),
    Entry::Rule(&console::VERSIONS),
    Entry::Rule(&console::REGISTRIES),
    Entry::Rule(&console::DROPS),
    Entry::Rule(&console::PATCH_TIME),
    Entry::Rule(&impostor::RULE),
    Entry::Rule(&unsafe_folder::RULE),
    Entry::Rule(&clock_skew::RULE),
    Entry::Survey(&unknown_build::SURVEY),
    Entry::Survey(&extra_nodes::SURVEY),
    Entry::Survey(&database_connection::SURVEY),
    #[cfg(test)]
    Entry::Rule(&test_only::RULE),
];

/// One line of `check`.
pub(crate) enum Entry {
    /// A rule, with its findings.
    Rule(&'static Rule),
    /// A line that is judged as a whole.
    Survey(&'static Survey),
}

impl Entry {
    /// The name of the line.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Rule(rule) => rule.name.text(),
            Self::Survey(survey) => survey.name,
        }
    }
}

/// All rules, in the order in which `check` shows them.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    REGISTRATION.iter().filter_map(|entry| match entry {
        Entry::Rule(rule) => Some(*rule),
        Entry::Survey(_) => None,
    })
}

/// The rule with a name; none if there is no such rule.
#[must_use]
pub fn rule(name: RuleName) -> Option<&'static Rule> {
    rules().find(|rule| rule.name == name)
}

/// The lines of `check` for its documentation: name, severity of its findings, and meaning
/// (Markdown).
pub fn documentation() -> impl Iterator<Item = (&'static str, Option<Severity>, &'static str)> {
    REGISTRATION.iter().map(|entry| match entry {
        Entry::Rule(rule) => (rule.name.text(), Some(rule.severity), rule.meaning),
        Entry::Survey(survey) => (survey.name, None, survey.meaning),
    })
}

/// All findings in `input`, in the order of the rules.
#[must_use]
pub fn findings(input: &PlanInput<'_>) -> Vec<Finding> {
    let facts = Facts::of(input);
    rules().flat_map(|rule| found_in(rule, &facts)).collect()
}

/// Registries whose rows are left of a registry that is gone, as findings.
pub(crate) fn gone_registries(input: &PlanInput<'_>) -> Vec<Finding> {
    found_in(&registry_gone::RULE, &Facts::of(input))
}

/// Sources that were asked and did not answer, as drift of the unknown kind.
#[must_use]
pub fn unknowns(input: &PlanInput<'_>) -> Vec<Drift> {
    silence::unknowns(input)
}

/// Nodes that the framework has rows of and the spec does not name.
#[must_use]
pub fn extra(input: &PlanInput<'_>) -> Vec<ResourceId> {
    extra_nodes::extra_nodes(input)
}

/// The findings of one rule that are in scope, sorted. One that blocks is always in scope.
fn found_in(rule: &Rule, facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if rule.about.is_cluster() && !facts.input.scope.nodes.is_empty() {
        return found;
    }
    (rule.find)(facts, &mut found);
    found.retain(|f| f.severity == Severity::Blocked || is_in_scope(&facts.input, &f.resource));
    found.sort();
    found.dedup();
    found
}

/// Whether the component of a resource is in scope.
fn is_in_scope(input: &PlanInput<'_>, resource: &ResourceId) -> bool {
    match resource {
        ResourceId::Agent(_) => input.scope.has_component(Component::Tarsnode),
        ResourceId::Server(component, _) => input.scope.has_component(*component),
        ResourceId::RegistryEndpoint(_) => input.scope.has_component(Component::Tarsregistry),
        _ => true,
    }
}

/// No rule has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no finding `{0}`; see `tarsops check` for those that there are")]
pub struct NoSuchRule(String);

impl FromStr for RuleName {
    type Err = NoSuchRule;

    fn from_str(text: &str) -> Result<Self, NoSuchRule> {
        let found = rules().find(|rule| rule.name.text() == text);
        found
            .map(|rule| rule.name)
            .ok_or_else(|| NoSuchRule(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for RuleName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
