//! The preflight as a table: of each thing that can be wrong, whether it is, and whether that could
//! be told at all.

use serde::{Deserialize, Serialize};
use tarsops_model::desired::Rpc;
use tarsops_model::framework::Protection;
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
        let told = if is_of_cluster(name) && !input.scope.nodes.is_empty() {
            Observed::Absent
        } else {
            source(name, input)
        };
        let (result, text) = match (worst, told) {
            (Some(Grade::Blocked), _) => (Result::Blocked, String::new()),
            (Some(Grade::Drift), _) => (Result::Drift, String::new()),
            (Some(Grade::Warning), _) => (Result::Warning, String::new()),
            (None, Observed::Present(())) => (Result::Ok, name.when_well().to_owned()),
            (None, Observed::Absent) => (Result::Skipped, not_named(name, input).to_owned()),
            (None, Observed::Unknown(why)) => (Result::Unknown, why),
        };
        out.push(Check {
            check: name.to_string(),
            result,
            text,
            findings: found,
        });
    }
    out.push(super::builds::check(input));
    out.push(beyond(input));
    out.push(connection(input));
    out
}

/// What protects the connection to the database.
fn connection(input: &PlanInput<'_>) -> Check {
    let framework = input.inventory.framework.as_ref();
    let seen = framework.map_or(Observed::Absent, |f| match &f.database {
        Observed::Present(facts) => facts.protection.clone(),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why.clone()),
    });
    let (result, text) = match seen {
        Observed::Absent => (Result::Skipped, "the spec names no database".to_owned()),
        Observed::Unknown(why) => (Result::Unknown, why),
        Observed::Present(by) => match by {
            Protection::Authority | Protection::Fingerprint | Protection::Known => {
                (Result::Ok, by.to_string())
            }
            Protection::FirstUse => (
                Result::Warning,
                format!(
                    "{by}: compare it on the server, or set `database.ca` or `database.fingerprint`"
                ),
            ),
            Protection::None => (
                Result::Warning,
                format!(
                    "{by}: whoever is in between can read and change what is said; set up TLS there"
                ),
            ),
        },
    };
    Check {
        check: "database-connection".to_owned(),
        result,
        text,
        findings: vec![],
    }
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
            Observed::Absent => (
                Result::Skipped,
                not_named(Name::NotRegistered, input).to_owned(),
            ),
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

/// Whether a check is about the cluster as a whole, which a command that is narrowed to some nodes
/// does not look at.
const fn is_of_cluster(name: Name) -> bool {
    matches!(
        name,
        Name::NoDatabase
            | Name::DatabaseReadOnly
            | Name::DefaultPassword
            | Name::RegistrySilent
            | Name::RegistryUnlisted
            | Name::RegistryGone
            | Name::RegistryNotInSpec
            | Name::ClockSkew
    )
}

/// Why nothing can tell.
fn not_named(name: Name, input: &PlanInput<'_>) -> &'static str {
    if is_of_cluster(name) && !input.scope.nodes.is_empty() {
        return "it is about the whole cluster, and --on names some nodes";
    }
    let asks = input.desired.rpc != Rpc::Off;
    match name {
        Name::RegistrySilent | Name::ServantSilent | Name::DeadLocator => {
            "the spec says `rpc: none`"
        }
        Name::RegistryUnlisted | Name::ConnectionLost if !asks => "the spec says `rpc: none`",
        _ => "the spec names no database",
    }
}

/// Whether every host that is meant was seen.
fn seen(input: &PlanInput<'_>) -> Observed<()> {
    use tarsops_model::host::NodeState;
    input
        .desired
        .hosts()
        .filter(|(n, h)| input.scope.has_node(n) && h.state == NodeState::Present)
        .find_map(|(n, _)| {
            let why = input.inventory.host(n).unknown()?.to_owned();
            Some(Observed::Unknown(format!("{n}: {why}")))
        })
        .unwrap_or(Observed::Present(()))
}

/// Whether the sources of a check gave their word; absent where the spec names none.
fn source(name: Name, input: &PlanInput<'_>) -> Observed<()> {
    let Some(framework) = &input.inventory.framework else {
        return match name {
            Name::NodeidTwice | Name::PortTaken | Name::Impostor | Name::UnsafeFolder => {
                seen(input)
            }
            _ => Observed::Absent,
        };
    };
    let database = || match &framework.database {
        Observed::Present(facts) => facts.rows.as_ref().map(|_| ()),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why.clone()),
    };
    // Without db_tars there are no rows that could be wrong, and no-database says so; and a table
    // that could not be read says nothing.
    let rows = || {
        let Observed::Present(facts) = &framework.database else {
            return database();
        };
        let tables = match &facts.rows {
            Observed::Present(rows) => rows,
            Observed::Absent => return Observed::Unknown("there is no db_tars".to_owned()),
            Observed::Unknown(why) => return Observed::Unknown(why.clone()),
        };
        let unread = match name {
            Name::RunsInactive | Name::ActiveNotRunning => tables.servers.unknown(),
            Name::AdaptersDiffer | Name::AdaptersExtra => tables
                .servers
                .unknown()
                .or_else(|| tables.adapters.unknown()),
            Name::ForeignDatabase
            | Name::RegistryUnlisted
            | Name::RegistryNotInSpec
            | Name::LocatorBehind => tables.registries.unknown(),
            Name::RegistryGone => tables
                .registries
                .unknown()
                .or_else(|| tables.servers.unknown())
                .or_else(|| tables.adapters.unknown()),
            _ => tables.nodes.unknown(),
        };
        unread.map_or(Observed::Present(()), |why| {
            Observed::Unknown(why.to_owned())
        })
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
        Name::NodeidTwice | Name::PortTaken | Name::Impostor | Name::UnsafeFolder => seen(input),
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
        Name::DatabaseReadOnly => match &framework.database {
            Observed::Present(facts) => facts.read_only.as_ref().map(|_| ()),
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why.clone()),
        },
        Name::RegistryUnlisted => match (rows(), rpc(true)) {
            (Observed::Present(()), word) => word,
            (word, _) => word,
        },
        Name::ClockSkew => framework.database.as_ref().map(|_| ()),
        Name::NoDatabase => match database() {
            Observed::Absent if !framework.database.is_absent() => Observed::Present(()),
            other => other,
        },
        _ => rows(),
    }
}
