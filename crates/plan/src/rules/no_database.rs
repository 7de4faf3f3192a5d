//! The server has no `db_tars`.

use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Rule, Source, unknown};
use crate::finding::{Finding, RuleName};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("no-database"),
    meaning: "the server proves that it has no `db_tars`",
    healthy: "db_tars is there",
    about: About::Cluster,
    sources: &[Source::Database(|database| unknown(&database.rows))],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(Observed::Present(database)) = facts.framework.map(|f| &f.database) else {
        return;
    };
    if database.rows.is_absent() {
        let text = "the server has no database db_tars, and our user may see all there are";
        let fix = "correct `database.address` if it is the wrong server; tarsops never creates one while `rebuild: never`";
        found.push(
            RULE.finding(ResourceId::Schema, text, fix)
                .source("database", "db_tars: absent"),
        );
    }
}
