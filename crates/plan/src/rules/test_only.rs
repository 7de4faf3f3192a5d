//! The recipe of the developer's guide, as a test: a rule is this file and its line in the
//! registration, and everything that lists findings has it.

use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName, Severity};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("test-only"),
    severity: Severity::Warning,
    meaning: "the database is called `test-only`",
    healthy: "the database has another name",
    about: About::Cluster,
    sources: &[Source::Database(|_| None)],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let database = facts.framework.and_then(|f| f.database.present());
    if database.is_some_and(|d| d.server == "test-only") {
        let text = "the database server is called `test-only`";
        found.push(RULE.finding(ResourceId::Schema, text, "give it another name"));
    }
}
