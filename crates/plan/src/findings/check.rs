//! The preflight as a table: of each thing that can be wrong, whether it is, and whether that could
//! be told at all.

use serde::{Deserialize, Serialize};
use tarsops_model::desired::Rpc;
use tarsops_model::observed::Observed;

use super::{Finding, Grade, Name, findings};
use crate::input::PlanInput;

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Result {
    /// Nothing was found, and it was looked for everywhere.
    Ok,
    /// The spec names no source that could tell.
    Skipped,
    /// It works, and should not stay so.
    Warning,
    /// It could not be told.
    Unknown,
    /// The cluster is not as the spec says.
    Drift,
    /// Nothing may be changed while it holds.
    Blocked,
}

impl Result {
    /// As it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Drift => "drift",
            Self::Blocked => "blocked",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked for.
    pub check: String,
    /// How it came out.
    pub result: Result,
    /// What is so.
    pub text: String,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// The table, in the order of [`Name::ALL`], hosts first.
#[must_use]
pub fn checks(input: &PlanInput<'_>) -> Vec<Check> {
    let mut out = vec![hosts(input)];
    let all = findings(input);
    for name in Name::ALL {
        let found: Vec<Finding> = all.iter().filter(|f| f.name == name).cloned().collect();
        let worst = found.iter().map(|f| f.grade).min();
        let (result, text) = match (worst, source(name, input)) {
            (Some(Grade::Blocked), _) => (Result::Blocked, String::new()),
            (Some(Grade::Drift), _) => (Result::Drift, String::new()),
            (Some(Grade::Warning), _) => (Result::Warning, String::new()),
            (None, Observed::Present(())) => (Result::Ok, name.when_well().to_owned()),
            (None, Observed::Absent) => (Result::Skipped, not_named(name).to_owned()),
            (None, Observed::Unknown(why)) => (Result::Unknown, why),
        };
        out.push(Check {
            check: name.to_string(),
            result,
            text,
            findings: found,
        });
    }
    out.push(beyond(input));
    out
}

/// Nodes that the framework has rows of and the spec does not name: no drift, and worth a look.
fn beyond(input: &PlanInput<'_>) -> Check {
    let names: Vec<String> = super::extra(input)
        .iter()
        .map(ToString::to_string)
        .collect();
    let (result, text) = if !names.is_empty() {
        let text = format!(
            "{} in the framework's rows, not in the spec; left alone (`state: gone` removes the rows)",
            names.join(", ")
        );
        (Result::Warning, text)
    } else {
        match source(Name::NotRegistered, input) {
            Observed::Present(()) => (Result::Ok, "no node beyond the spec".to_owned()),
            Observed::Absent => (Result::Skipped, not_named(Name::NotRegistered).to_owned()),
            Observed::Unknown(why) => (Result::Unknown, why),
        }
    };
    Check {
        check: "extra-nodes".to_owned(),
        result,
        text,
        findings: vec![],
    }
}

fn hosts(input: &PlanInput<'_>) -> Check {
    use tarsops_model::host::NodeState;
    let meant: Vec<_> = input
        .desired
        .hosts()
        .filter(|(n, h)| {
            input.scope.has_node(n)
                && matches!(h.state, NodeState::Present | NodeState::Absent { .. })
        })
        .map(|(n, _)| n)
        .collect();
    let silent: Vec<String> = meant
        .iter()
        .filter_map(|n| {
            input
                .inventory
                .host(n)
                .unknown()
                .map(|why| format!("{n}: {why}"))
        })
        .collect();
    let (result, text) = if silent.is_empty() {
        (
            Result::Ok,
            format!("{} of {0} answer over SSH", meant.len()),
        )
    } else {
        (Result::Unknown, silent.join("; "))
    };
    Check {
        check: "hosts".to_owned(),
        result,
        text,
        findings: vec![],
    }
}

/// Why nothing can tell.
const fn not_named(name: Name) -> &'static str {
    match name {
        Name::RegistrySilent | Name::ServantSilent | Name::DeadLocator => {
            "the spec says `rpc: none`"
        }
        Name::ConnectionLost => "the spec names no database, or no AdminRegistry to ask",
        _ => "the spec names no database",
    }
}

/// Whether the sources of a check gave their word; absent where the spec names none.
fn source(name: Name, input: &PlanInput<'_>) -> Observed<()> {
    let Some(framework) = &input.inventory.framework else {
        return match name {
            Name::NodeidTwice | Name::PortTaken => Observed::Present(()),
            _ => Observed::Absent,
        };
    };
    let database = || match &framework.database {
        Observed::Present(facts) => facts.rows.as_ref().map(|_| ()),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why.clone()),
    };
    // Without db_tars there are no rows that could be wrong, and no-database says so.
    let rows = || match database() {
        Observed::Absent if !framework.database.is_absent() => {
            Observed::Unknown("there is no db_tars".to_owned())
        }
        other => other,
    };
    let rpc = |registries: bool| {
        if input.desired.rpc == Rpc::Off {
            return Observed::Absent;
        }
        let silent = framework
            .servants
            .values()
            .filter(|a| {
                input
                    .desired
                    .host(&a.node)
                    .is_some_and(|h| h.state == tarsops_model::host::NodeState::Present)
            })
            .filter(|a| !registries || framework.registries.contains_key(&a.at))
            .find_map(|a| a.answer.unknown().map(str::to_owned));
        silent.map_or(Observed::Present(()), Observed::Unknown)
    };
    match name {
        Name::NodeidTwice | Name::PortTaken => Observed::Present(()),
        Name::RegistrySilent | Name::DeadLocator => rpc(true),
        Name::ServantSilent => rpc(false),
        Name::ConnectionLost => match (rows(), framework.admin.as_ref().map(|_| ())) {
            (Observed::Present(()), Observed::Present(())) => Observed::Present(()),
            (Observed::Unknown(why), _) => Observed::Unknown(why),
            (Observed::Absent, _) | (_, Observed::Absent) => Observed::Absent,
            (_, Observed::Unknown(why)) => {
                if input.desired.rpc == Rpc::Off {
                    Observed::Absent
                } else {
                    Observed::Unknown(why)
                }
            }
        },
        Name::DefaultPassword => match &framework.database {
            Observed::Present(facts) => facts.default_login.as_ref().map(|_| ()),
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
        },
        Name::RegistryUnlisted => match (rows(), rpc(true)) {
            (Observed::Present(()), word) => word,
            (word, _) => word,
        },
        Name::NoDatabase => match database() {
            Observed::Absent if !framework.database.is_absent() => Observed::Present(()),
            other => other,
        },
        _ => rows(),
    }
}
