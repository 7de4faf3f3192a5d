//! The installer's account is open with its default password.

use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use super::rule::{About, Rule, Source, unknown};
use crate::finding::{Finding, RuleName, Severity};

/// The rule. Only `check` tries the password.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("default-password"),
    severity: Severity::Warning,
    meaning: "the installer's account is open with its default password",
    healthy: "the installer's default password is closed",
    about: About::Cluster,
    sources: &[Source::Database(|database| {
        unknown(&database.default_login)
    })],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some(Observed::Present(database)) = facts.framework.map(|f| &f.database) else {
        return;
    };
    if database.default_login == Observed::Present(true) {
        let text =
            "the account tarsAdmin is open with the password that the installer gives everybody";
        let fix = "change it in the database, in the templates tars.framework-db and in the console's configuration";
        found.push(RULE.finding(ResourceId::Schema, text, fix));
    }
}
