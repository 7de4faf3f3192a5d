//! The stages of a plan, and what a step makes of its resource.

use serde::{Deserialize, Serialize};

/// A stage; the order of its values is the order of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Ending what earlier runs left.
    Recover,
    /// The dump of the database before anything of it changes.
    Backup,
    /// Columns that the release needs.
    Schema,
    /// Templates of the release.
    Templates,
    /// The framework as containers, one host at a time.
    Containers,
    /// Registries, one at a time.
    Registries,
    /// `tarsAdminRegistry`.
    AdminRegistry,
    /// `tarsconfig` and `tarspatch`.
    CoreServices,
    /// `tarsnode` on nodes.
    Agents,
    /// Components that are added to framework hosts, which their `tarsnode` starts.
    Expansion,
    /// The basic services, which are published.
    BasicServices,
    /// Removal of registries.
    RegistryRemoval,
    /// Removal of the other components of framework hosts.
    ServerRemoval,
    /// Removal of `tarsnode`.
    AgentRemoval,
    /// Rows of the framework's database.
    Rows,
}

/// How the steps of a stage follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All at once, before everything else.
    Together,
    /// One at a time, in the order of their names: each may change what the next one rests upon.
    OneByOne,
    /// One at a time, in the order in which they were planned.
    InTurn,
    /// In batches after a canary, by name.
    RollOut,
    /// In batches after a canary, plain nodes before framework hosts, so that a canary is never the
    /// master.
    RollOutByRole,
}

/// All stages in the order of the work, each with its title and its pace.
const STAGES: [(Stage, &str, Pace); 15] = [
    (Stage::Recover, "end unfinished changes", Pace::Together),
    (Stage::Backup, "backup of the database", Pace::OneByOne),
    (Stage::Schema, "schema", Pace::OneByOne),
    (Stage::Templates, "templates", Pace::OneByOne),
    (Stage::Containers, "framework containers", Pace::InTurn),
    (Stage::Registries, "tarsregistry", Pace::OneByOne),
    (Stage::AdminRegistry, "tarsAdminRegistry", Pace::OneByOne),
    (Stage::CoreServices, "tarsconfig, tarspatch", Pace::OneByOne),
    (Stage::Agents, "tarsnode", Pace::RollOutByRole),
    (Stage::Expansion, "framework hosts, expansion", Pace::InTurn),
    (Stage::BasicServices, "basic services", Pace::RollOut),
    (
        Stage::RegistryRemoval,
        "tarsregistry, removal",
        Pace::OneByOne,
    ),
    (
        Stage::ServerRemoval,
        "framework hosts, removal",
        Pace::OneByOne,
    ),
    (
        Stage::AgentRemoval,
        "tarsnode, removal",
        Pace::RollOutByRole,
    ),
    (Stage::Rows, "the framework's rows", Pace::OneByOne),
];

impl Stage {
    /// All stages, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        STAGES.into_iter().map(|(stage, ..)| stage)
    }

    /// The stage in the words of the plan.
    #[must_use]
    pub const fn title(self) -> &'static str {
        STAGES[self as usize].1
    }

    /// How its steps follow each other.
    pub(crate) const fn pace(self) -> Pace {
        STAGES[self as usize].2
    }
}

/// What a step does to its resource, in one sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is added.
    Add,
    /// It changes.
    Change,
    /// It is removed.
    Remove,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_stand_in_the_order_of_the_work() {
        for (index, stage) in Stage::all().enumerate() {
            assert_eq!(stage as usize, index, "{stage:?}");
        }
        assert!(Stage::all().is_sorted());
    }
}
