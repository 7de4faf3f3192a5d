//! The database takes no changes.

use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Lets, Rule, Source, unknown};
use crate::finding::{Finding, RuleName, Severity};

/// The rule. The rows are out of date while it holds, and no health gate can rest on them.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("database-read-only"),
    severity: Severity::Blocked,
    meaning: "the server accepts no changes (`read_only`): it is a replica, or a primary that was closed. Registries cannot record there which of them are alive; every step is blocked",
    healthy: "the database accepts changes",
    about: About::Cluster,
    sources: &[Source::Database(|database| unknown(&database.read_only))],
    find,
    lets: Lets::Recovery,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(Observed::Present(database)) = facts.framework.map(|f| &f.database) else {
        return;
    };
    if database.read_only == Observed::Present(true) {
        let text = "the database takes no changes of ordinary accounts (`read_only`): registries cannot write there who is alive, and names are resolved from what was";
        let fix = "name the primary in `database.address` if this is a replica, or end the read-only state";
        found.push(RULE.finding(ResourceId::Schema, text, fix));
    }
}
