//! The database belongs to another cluster.

use tarsops_model::framework::Rows;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, first_of};
use super::rule::{Rule, Source};
use crate::finding::{Finding, RuleName, Severity};

/// Names that are printed of each side.
const SHOWN: usize = 5;

/// The rule. It is checked whatever a command is narrowed to.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("foreign-database"),
    severity: Severity::Blocked,
    meaning: "the database lists only registries of another cluster; every step is blocked",
    healthy: "the database is this cluster's",
    sources: &[Source::Tables(|rows| rows.registries.unknown())],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    if let Some(rows) = facts.rows {
        found.extend(other_admin(facts, rows));
    }
    let Some(listed) = facts.listed.as_ref().filter(|_| facts.is_foreign()) else {
        return;
    };
    let join = |all: Vec<String>| all.join(", ");
    let names = join(listed.keys().map(ToString::to_string).collect());
    let spec = &facts.input.desired.registries;
    let text = format!(
        "the database lists the registries {names}, and none of them is in the spec: it is another cluster's"
    );
    let fix = "correct `database.address`, or `registry.endpoints`";
    found.push(
        RULE.finding(ResourceId::Schema, text, fix)
            .source("spec", join(spec.iter().map(ToString::to_string).collect()))
            .source("database", names),
    );
}

/// AdminRegistry knows nodes, and the database has rows of other ones only.
fn other_admin(facts: &Facts<'_>, rows: &Rows) -> Option<Finding> {
    let Observed::Present(admin) = &facts.framework?.admin else {
        return None;
    };
    let (known, listed) = (admin.nodes.present()?, rows.nodes.present()?);
    let apart = known.iter().all(|name| !listed.contains_key(name));
    if known.is_empty() || listed.is_empty() || !apart {
        return None;
    }
    let (known, listed) = (first_of(known, SHOWN), first_of(listed.keys(), SHOWN));
    let text = format!(
        "AdminRegistry knows the nodes {known}, and the database has none of them: AdminRegistry works with another one"
    );
    let fix = "correct `database.address`, or `dbhost` in AdminRegistry's configuration";
    Some(
        RULE.finding(ResourceId::Schema, text, fix)
            .source("AdminRegistry", known)
            .source("database", listed),
    )
}
