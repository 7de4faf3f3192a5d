//! The preflight as a table: of each thing that can be wrong, whether it is, and whether that could
//! be told at all.

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::framework::Protection;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::{Finding, Grade, Name, findings};
use crate::input::PlanInput;
use crate::servers::{self, BASIC};

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
        let skipped = left_out(name, input);
        let told = if skipped.is_some() {
            Observed::Absent
        } else {
            source(name, input)
        };
        let (result, text) = match (worst, told) {
            (Some(Grade::Blocked), _) => (Result::Blocked, String::new()),
            (Some(Grade::Drift), _) => (Result::Drift, String::new()),
            (Some(Grade::Warning), _) => (Result::Warning, String::new()),
            (None, Observed::Present(())) => (Result::Ok, name.when_well().to_owned()),
            (None, Observed::Absent) => {
                let why = skipped.unwrap_or_else(|| not_named(name, input));
                (Result::Skipped, why.to_owned())
            }
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
    let (result, text) = if !input.scope.nodes.is_empty() {
        // Then nobody has compared all rows with the spec.
        (Result::Skipped, OF_CLUSTER.to_owned())
    } else if !names.is_empty() {
        let text = format!(
            "{} in the framework's rows, not in the spec; left alone (`state: gone` removes the rows)",
            names.join(", ")
        );
        (Result::Warning, text)
    } else {
        match rows_for(Name::NotRegistered, input) {
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
    let (result, text) = if meant.is_empty() {
        let why = "no host is meant to be there: each is in maintenance or gone";
        (Result::Skipped, why.to_owned())
    } else if silent.is_empty() {
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

/// Said of a check that --on leaves out.
const OF_CLUSTER: &str = "it is about the whole cluster, and --on names some nodes";

/// Why a check does not apply to what the command is narrowed to; none where it does.
fn left_out(name: Name, input: &PlanInput<'_>) -> Option<&'static str> {
    if is_of_cluster(name) && !input.scope.nodes.is_empty() {
        return Some(OF_CLUSTER);
    }
    // Findings about other components are not shown, so nothing is proven about them.
    let about = match name {
        Name::NodeidTwice
        | Name::RegisteredElsewhere
        | Name::NotRegistered
        | Name::NodeInactive
        | Name::ConnectionLost
        | Name::DeadLocator
        | Name::LocatorBehind
        | Name::Impostor
        | Name::UnsafeFolder => Component::Tarsnode,
        Name::RegistrySilent
        | Name::RegistryUnlisted
        | Name::RegistryGone
        | Name::RegistryNotInSpec => Component::Tarsregistry,
        Name::AdaptersDiffer | Name::AdaptersExtra => return no_basic_service(input),
        _ => return None,
    };
    (!input.scope.has_component(about)).then_some("it is about a component that --on leaves out")
}

/// Why the adapters of no basic service are compared; none where some are.
fn no_basic_service(input: &PlanInput<'_>) -> Option<&'static str> {
    let mut placed = input.desired.resources.keys().filter_map(|id| match id {
        ResourceId::Server(component, node)
            if BASIC.contains(component)
                && input.scope.has_component(*component)
                && input.scope.has_node(node) =>
        {
            Some(*component)
        }
        _ => None,
    });
    let first = placed.next()?;
    let known = |c| servers::is_known(input.catalog, c);
    (!known(first) && !placed.any(known)).then_some("the lock file pins no basic service")
}

/// Why nothing can tell.
fn not_named(name: Name, input: &PlanInput<'_>) -> &'static str {
    let asks = input.desired.rpc != Rpc::Off;
    match name {
        Name::RegistrySilent | Name::ServantSilent | Name::DeadLocator => {
            "the spec says `rpc: none`"
        }
        Name::RegistryUnlisted | Name::ConnectionLost if !asks => "the spec says `rpc: none`",
        _ => "the spec names no database",
    }
}

/// Whether what a check needs from the hosts was seen on every host that it is about.
fn seen(name: Name, input: &PlanInput<'_>) -> Observed<()> {
    let is_meant = |(node, host): &(&NodeName, &Host)| {
        let claims = matches!(name, Name::NodeidTwice | Name::ClockSkew);
        match host.state {
            NodeState::Present => input.scope.has_node(node),
            // Such a host still runs under a name and with a clock.
            NodeState::Absent { .. } => claims && input.scope.has_node(node),
            NodeState::Maintenance { .. } | NodeState::Gone => false,
        }
    };
    input
        .desired
        .hosts()
        .filter(is_meant)
        .find_map(|(node, _)| {
            let why = unseen(name, node, input)?;
            Some(Observed::Unknown(format!("{node}: {why}")))
        })
        .unwrap_or(Observed::Present(()))
}

/// Why a host could not show what a check needs; none where it did.
fn unseen(name: Name, node: &NodeName, input: &PlanInput<'_>) -> Option<String> {
    let owned = |why: &str| why.to_owned();
    let host = match input.inventory.host(node) {
        Observed::Present(host) => host,
        // Nothing was asked of a host that the inventory does not have.
        Observed::Absent => return Some(owned("it was not looked at")),
        Observed::Unknown(why) => return Some(why),
    };
    let agent = input.inventory.agent(node);
    let of_agent = || agent.unknown().map(owned);
    let agent = agent.present();
    let processes = || of_agent().or_else(|| agent.and_then(|a| a.processes.unknown().map(owned)));
    let components = || host.components.unknown().map(owned);
    match name {
        Name::NodeidTwice | Name::NotRegistered | Name::NodeInactive | Name::ServantSilent => {
            processes()
        }
        Name::DeadLocator => of_agent().or_else(|| agent.and_then(|a| a.conf.unknown().map(owned))),
        Name::LocatorBehind => {
            processes().or_else(|| agent.and_then(|a| a.conf.unknown().map(owned)))
        }
        Name::RunsInactive | Name::ActiveNotRunning => of_agent().or_else(components),
        Name::PortTaken => host
            .ports
            .unknown()
            .map(owned)
            .or_else(processes)
            .or_else(components),
        Name::Impostor => components(),
        _ => None,
    }
}

/// Whether the database gave the rows that a check needs; absent where the spec names none.
fn rows_for(name: Name, input: &PlanInput<'_>) -> Observed<()> {
    let Some(framework) = &input.inventory.framework else {
        return Observed::Absent;
    };
    let facts = match &framework.database {
        Observed::Present(facts) => facts,
        Observed::Absent => return Observed::Absent,
        Observed::Unknown(why) => return Observed::Unknown(why.clone()),
    };
    // Without db_tars there are no rows that could be wrong, and no-database says so; and a table
    // that could not be read says nothing.
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
}

/// The first of several words that does not say that all was seen.
fn all_of(words: impl IntoIterator<Item = Observed<()>>) -> Observed<()> {
    words
        .into_iter()
        .find(|word| !matches!(word, Observed::Present(())))
        .unwrap_or(Observed::Present(()))
}

/// Whether the sources of a check gave their word; absent where the spec names none.
fn source(name: Name, input: &PlanInput<'_>) -> Observed<()> {
    let Some(framework) = &input.inventory.framework else {
        return match name {
            Name::NodeidTwice | Name::PortTaken | Name::Impostor | Name::UnsafeFolder => {
                seen(name, input)
            }
            _ => Observed::Absent,
        };
    };
    let database = || match &framework.database {
        Observed::Present(facts) => facts.rows.as_ref().map(|_| ()),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why.clone()),
    };
    let rows = || rows_for(name, input);
    let hosts = || seen(name, input);
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
                    .is_some_and(|h| h.state == NodeState::Present)
            })
            .filter(|a| !registries || framework.registries.contains_key(&a.at))
            .find_map(|a| a.answer.unknown().map(str::to_owned));
        // A registry at the address of no host is in no list of servants.
        let silent = silent.or_else(|| {
            let mut answers = framework.registries.values().filter(|_| registries);
            answers.find_map(|answer| answer.unknown().map(str::to_owned))
        });
        silent.map_or(Observed::Present(()), Observed::Unknown)
    };
    match name {
        Name::NodeidTwice | Name::PortTaken | Name::Impostor | Name::UnsafeFolder => hosts(),
        Name::RegistrySilent => rpc(true),
        Name::DeadLocator => all_of([rpc(true), hosts()]),
        Name::ServantSilent => all_of([rpc(false), hosts()]),
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
        Name::RegistryUnlisted => all_of([rows(), rpc(true)]),
        Name::ClockSkew => all_of([framework.database.as_ref().map(|_| ()), hosts()]),
        Name::NoDatabase => match database() {
            Observed::Absent if !framework.database.is_absent() => Observed::Present(()),
            other => other,
        },
        Name::NotRegistered
        | Name::NodeInactive
        | Name::LocatorBehind
        | Name::RunsInactive
        | Name::ActiveNotRunning => all_of([rows(), hosts()]),
        Name::ForeignDatabase
        | Name::RegistryGone
        | Name::RegistryNotInSpec
        | Name::RegisteredElsewhere
        | Name::AdaptersDiffer
        | Name::AdaptersExtra => rows(),
    }
}
