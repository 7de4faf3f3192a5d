//! What a rule is: data about it, and the function that finds.

use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::framework::{DatabaseFacts, FrameworkFacts, Rows};
use tarsops_model::host::{HostFacts, NodeState};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::Facts;
use crate::finding::{Finding, RuleName, Severity};

/// One kind of finding. A rule is a file in this folder and a line in the registration; everything
/// else that lists findings asks the registration.
pub struct Rule {
    /// The name, under which findings are printed, stored and documented.
    pub name: RuleName,
    /// How serious its findings are. A finding in a harmless case may be a warning.
    pub severity: Severity,
    /// What a finding means, as a table cell of the documentation (Markdown).
    pub meaning: &'static str,
    /// What `check` says if there is none.
    pub healthy: &'static str,
    /// What it is about; `--on` leaves the others out.
    pub about: About,
    /// What must have been seen before "nothing found" means that all is well, in this order.
    pub(super) sources: &'static [Source],
    /// Finds.
    pub(super) find: fn(&Facts<'_>, &mut Vec<Finding>),
    /// Which steps of a plan explain a finding, so that the plan does not report it as well.
    pub explained_by: ExplainedBy,
    /// What a finding that blocks still lets happen.
    pub lets: Lets,
}

impl Rule {
    /// What most rules have in common: drift of no one component that nothing explains.
    pub(super) const DEFAULT: Self = Self {
        name: RuleName::new(""),
        severity: Severity::Drift,
        meaning: "",
        healthy: "",
        about: About::Any,
        sources: &[],
        find: |_, _| {},
        explained_by: ExplainedBy::Nothing,
        lets: Lets::Nothing,
    };

    /// A finding of this rule.
    pub(super) fn finding(
        &self,
        resource: ResourceId,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            name: self.name,
            severity: self.severity,
            resource,
            text: text.into(),
            fix: fix.into(),
            sources: Vec::new(),
            heals_within: None,
        }
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Nodes and whatever runs on them.
    Any,
    /// One component on nodes.
    Component(Component),
    /// The cluster as a whole. A command that is narrowed to some nodes does not look at it.
    Cluster,
    /// One component of the cluster as a whole.
    ClusterComponent(Component),
    /// The framework's containers. Where there are none, `check` has no line of it.
    Containers,
    /// The management platform. Where none was seen, `check` has no line of it.
    Console,
}

impl About {
    /// Whether it is about the cluster as a whole.
    pub(super) const fn is_cluster(self) -> bool {
        matches!(self, Self::Cluster | Self::ClusterComponent(_))
    }

    /// The component that it is about, if it is one.
    pub(super) const fn component(self) -> Option<Component> {
        match self {
            Self::Component(component) | Self::ClusterComponent(component) => Some(component),
            Self::Any | Self::Cluster | Self::Containers | Self::Console => None,
        }
    }
}

/// Which steps of a plan explain a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainedBy {
    /// None: the plan always reports it.
    Nothing,
    /// One that installs the resource: it is silent because it is not there yet.
    Installation,
    /// Anything that the plan already reports of the resource: the same comparison, with its step.
    Reported,
}

/// What a finding that blocks still lets happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lets {
    /// Nothing: it may be another cluster's state.
    Nothing,
    /// The end of what an earlier run left on a host, which needs no database.
    Recovery,
}

/// A line of `check` that is judged as a whole, without findings.
pub(crate) struct Survey {
    /// The name of the line.
    pub(super) name: &'static str,
    /// What it means, as a table cell of the documentation (Markdown).
    pub(super) meaning: &'static str,
    /// The result and what to print beside it.
    pub(super) judge: fn(&Facts<'_>) -> (Outcome, String),
}

/// How one line of `check` came out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing was found, and everything was looked at.
    Ok,
    /// The spec names no source, or the command is narrowed to something else.
    Skipped,
    /// It works, and should not stay so.
    Warning,
    /// A source could not be read.
    Unknown,
    /// The cluster differs from the spec.
    Drift,
    /// Nothing may be changed while it holds.
    Blocked,
}

impl Outcome {
    /// The word as it is printed.
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

impl From<Severity> for Outcome {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Blocked => Self::Blocked,
            Severity::Drift => Self::Drift,
            Severity::Warning => Self::Warning,
        }
    }
}

/// Whether a source showed what a rule needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// All of it.
    All,
    /// It does not apply, for this reason.
    Skipped(&'static str),
    /// Not all of it, for this reason.
    Unknown(String),
}

/// Something that a rule reads. The functions return why a part could not be read, if so.
pub(super) enum Source {
    /// Hosts that the spec calls present.
    Hosts(fn(&HostParts<'_>) -> Option<String>),
    /// As [`Source::Hosts`], with those that are to be removed: these still run under a name and
    /// with a clock.
    HostsAndLeaving(fn(&HostParts<'_>) -> Option<String>),
    /// The answers of servants; of registries only, or of all.
    Answers {
        /// Whether only registries count.
        registries: bool,
    },
    /// AdminRegistry.
    Admin,
    /// A fact about the database server.
    Database(fn(&DatabaseFacts) -> Option<String>),
    /// Tables of the framework's database.
    Tables(fn(&Rows) -> Option<&str>),
    /// Anything else.
    Other(fn(&Facts<'_>) -> Seen),
}

/// What was seen of a host that answers.
pub(super) struct HostParts<'a> {
    /// The host.
    pub(super) host: &'a HostFacts,
    agent: Observed<&'a AgentFacts>,
}

impl HostParts<'_> {
    /// Why the folder of the agent could not be read.
    pub(super) fn agent(&self) -> Option<String> {
        self.agent.unknown().map(str::to_owned)
    }

    /// Why the processes of the agent are not known.
    pub(super) fn processes(&self) -> Option<String> {
        let processes = || self.agent.present()?.processes.unknown().map(str::to_owned);
        self.agent().or_else(processes)
    }

    /// Why the configuration of the agent is not known.
    pub(super) fn conf(&self) -> Option<String> {
        let conf = || self.agent.present()?.conf.unknown().map(str::to_owned);
        self.agent().or_else(conf)
    }

    /// Why it is not known which components run.
    pub(super) fn components(&self) -> Option<String> {
        self.host.components.unknown().map(str::to_owned)
    }

    /// Why it is not known which ports are taken.
    pub(super) fn ports(&self) -> Option<String> {
        self.host.ports.unknown().map(str::to_owned)
    }
}

/// The reason where a command looks at a part of the cluster.
pub(super) const NARROWED: &str = "it is about the whole cluster, and --on names some nodes";
/// The reason where the spec has `rpc: none`.
pub(super) const NO_RPC: &str = "the spec says `rpc: none`";
/// The reason where the spec has no database.
pub(super) const NO_DATABASE: &str = "the spec names no database";

impl Source {
    /// Whether it showed what the rule needs.
    pub(super) fn seen(&self, facts: &Facts<'_>) -> Seen {
        match self {
            Self::Hosts(unread) => hosts(facts, false, *unread),
            Self::HostsAndLeaving(unread) => hosts(facts, true, *unread),
            Self::Answers { registries } => match facts.framework {
                Some(framework) if facts.input.desired.rpc != Rpc::Off => {
                    answers(facts, framework, *registries)
                }
                _ => Seen::Skipped(NO_RPC),
            },
            Self::Admin => match facts.framework.map(|f| &f.admin) {
                Some(Observed::Present(_)) => Seen::All,
                Some(Observed::Unknown(why)) if facts.input.desired.rpc != Rpc::Off => {
                    Seen::Unknown(why.clone())
                }
                _ if facts.input.desired.rpc == Rpc::Off => Seen::Skipped(NO_RPC),
                _ => Seen::Skipped(NO_DATABASE),
            },
            Self::Database(unread) => match facts.framework.map(|f| &f.database) {
                Some(Observed::Present(database)) => {
                    unread(database).map_or(Seen::All, Seen::Unknown)
                }
                Some(Observed::Unknown(why)) => Seen::Unknown(why.clone()),
                Some(Observed::Absent) | None => Seen::Skipped(NO_DATABASE),
            },
            Self::Tables(unread) => tables(facts, *unread),
            Self::Other(seen) => seen(facts),
        }
    }
}

/// Whether the tables could be read.
fn tables(facts: &Facts<'_>, unread: fn(&Rows) -> Option<&str>) -> Seen {
    let Some(Observed::Present(database)) = facts.framework.map(|f| &f.database) else {
        return Source::Database(|_| None).seen(facts);
    };
    match &database.rows {
        Observed::Present(rows) => {
            unread(rows).map_or(Seen::All, |why| Seen::Unknown(why.to_owned()))
        }
        // No rows can be wrong then, and `no-database` reports it.
        Observed::Absent => Seen::Unknown("there is no db_tars".to_owned()),
        Observed::Unknown(why) => Seen::Unknown(why.clone()),
    }
}

/// Whether every host that counts showed the part.
fn hosts(facts: &Facts<'_>, leaving: bool, unread: fn(&HostParts<'_>) -> Option<String>) -> Seen {
    let input = &facts.input;
    for (node, spec) in input.desired.hosts() {
        let counts = match spec.state {
            NodeState::Present => true,
            NodeState::Absent { .. } => leaving,
            NodeState::Maintenance { .. } | NodeState::Gone => false,
        };
        if !counts || !input.scope.has_node(node) {
            continue;
        }
        let why = match input.inventory.host(node) {
            Observed::Present(host) => unread(&HostParts {
                host,
                agent: input.inventory.agent(node),
            }),
            Observed::Absent => Some("it was not observed".to_owned()),
            Observed::Unknown(why) => Some(why),
        };
        if let Some(why) = why {
            return Seen::Unknown(format!("{node}: {why}"));
        }
    }
    Seen::All
}

/// Whether all servants that count answered, or proved that they do not.
fn answers(facts: &Facts<'_>, framework: &FrameworkFacts, registries: bool) -> Seen {
    let is_present = |node| {
        let host = facts.input.desired.host(node);
        host.is_some_and(|h| h.state == NodeState::Present)
    };
    let silent = framework
        .servants
        .values()
        .filter(|a| is_present(&a.node))
        .filter(|a| !registries || framework.registries.contains_key(&a.at))
        .find_map(|a| a.answer.unknown());
    // A registry at an address that no host has is not among the servants.
    let silent = silent.or_else(|| {
        let mut answers = framework.registries.values().filter(|_| registries);
        answers.find_map(|answer| answer.unknown())
    });
    silent.map_or(Seen::All, |why| Seen::Unknown(why.to_owned()))
}

/// Why a value is not known.
pub(super) fn unknown<T>(seen: &Observed<T>) -> Option<String> {
    seen.unknown().map(str::to_owned)
}
