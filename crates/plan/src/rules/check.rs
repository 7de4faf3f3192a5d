//! The preflight as a table: of each thing that can be wrong, whether it is, and whether that could
//! be found out at all.

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::rule::{About, NARROWED, Rule, Seen};
use super::{Entry, REGISTRATION, found_in};
use crate::finding::Finding;
use crate::input::PlanInput;

pub use super::rule::Outcome;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked for: the name of a rule or of a survey.
    pub check: String,
    /// How it came out.
    pub result: Outcome,
    /// What is so; empty if there are findings.
    pub text: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// The table, in the order of the registration.
#[must_use]
pub fn checks(input: &PlanInput<'_>) -> Vec<Check> {
    let facts = Facts::of(input);
    let line = |entry: &Entry| {
        let (result, text, findings) = match entry {
            Entry::Rule(rule) => judged(rule, &facts),
            Entry::Survey(survey) => {
                let (result, text) = (survey.judge)(&facts);
                (result, text, Vec::new())
            }
        };
        Check {
            check: entry.name().to_owned(),
            result,
            text,
            findings,
        }
    };
    let applies = |entry: &&Entry| match entry {
        Entry::Rule(rule) => match rule.about {
            About::Containers => facts.has_containers(),
            About::Console => facts.has_console(),
            _ => true,
        },
        Entry::Survey(_) => true,
    };
    REGISTRATION.iter().filter(applies).map(line).collect()
}

fn judged(rule: &Rule, facts: &Facts<'_>) -> (Outcome, String, Vec<Finding>) {
    let findings = found_in(rule, facts);
    if let Some(worst) = findings.iter().map(|f| f.severity).min() {
        return (worst.into(), String::new(), findings);
    }
    let (result, text) = match seen(rule, facts) {
        Seen::All => (Outcome::Ok, rule.healthy.to_owned()),
        Seen::Skipped(why) => (Outcome::Skipped, why.to_owned()),
        Seen::Unknown(why) => (Outcome::Unknown, why),
    };
    (result, text, findings)
}

/// Whether all that the rule needs was seen: the first source that was not decides.
fn seen(rule: &Rule, facts: &Facts<'_>) -> Seen {
    let scope = facts.input.scope;
    if rule.about.is_cluster() && !scope.nodes.is_empty() {
        return Seen::Skipped(NARROWED);
    }
    // Findings about other components are not shown, so nothing is proven about them.
    if rule
        .about
        .component()
        .is_some_and(|c| !scope.has_component(c))
    {
        return Seen::Skipped("it is about a component that --on leaves out");
    }
    let words = rule.sources.iter().map(|source| source.seen(facts));
    words
        .into_iter()
        .find(|seen| *seen != Seen::All)
        .unwrap_or(Seen::All)
}
