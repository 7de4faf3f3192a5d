//! The plan as a document: an immutable graph of steps, and what it does not do and why.

use serde::{Deserialize, Serialize};
use tarsops_model::digest::Digest;
use tarsops_model::names::{ClusterName, RunId};
use tarsops_model::resource::ResourceId;

use crate::actions::{Action, Changes, HostChange, Interruption, Undo};
use crate::condition::Condition;
use crate::drift::{Drift, DriftKind};
use crate::report::Line;
pub use crate::stage::{ChangeKind, Stage};

/// Format name and number of the document.
pub const FORMAT: &str = "tarsops.plan/3";

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Readable and stable: the same drift gives the same id.
    pub id: String,
    /// Its stage.
    pub stage: Stage,
    /// Steps with one number run together; the next number waits for all of them.
    pub batch: u32,
    /// The gate that it waits for.
    pub needs: Vec<String>,
    /// What it works on.
    pub resource: ResourceId,
    /// Whether the resource is added, changed or removed.
    pub sign: ChangeKind,
    /// What it does, in a few words.
    pub summary: String,
    /// What it does, whole.
    pub action: Action,
    /// What must hold before.
    pub pre: Vec<Condition>,
    /// What must hold after.
    pub post: Vec<Condition>,
    /// How it is rolled back.
    pub undo: Undo,
}

impl Step {
    /// A step in no batch yet. Its resource and its undo are those of its action.
    pub(crate) fn new(
        id: String,
        (stage, sign): (Stage, ChangeKind),
        summary: String,
        action: impl Into<Action>,
        pre: Vec<Condition>,
        post: Vec<Condition>,
    ) -> Self {
        let action = action.into();
        Self {
            id,
            stage,
            batch: 0,
            needs: vec![],
            resource: action.kind().resource(),
            sign,
            summary,
            undo: action.undo(sign),
            action,
            pre,
            post,
        }
    }

    /// What it stops, if that is everything that runs on its host.
    pub(crate) fn stops_host(&self) -> Option<Interruption<'_>> {
        let stopped = self.action.on_host()?.interrupts;
        stopped.filter(|stopped| stopped.is_whole)
    }

    /// The step of a change of a host.
    pub(crate) fn of_change(
        id: String,
        change: HostChange,
        pre: Vec<Condition>,
        post: Vec<Condition>,
    ) -> Self {
        let summary = change.summary.clone();
        Self::new(id, change.stands(), summary, change, pre, post)
    }

    /// Whether it changes the framework's database; a backup comes before every such step.
    #[must_use]
    pub fn changes_database(&self) -> bool {
        self.action.kind().changes(&self.post) == Changes::Database
    }
}

/// What must hold between two batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name, as steps need it.
    pub id: String,
    /// Steps that must have succeeded.
    pub needs: Vec<String>,
    /// Seconds for which each of them must have been healthy.
    pub settle: u64,
}

/// How many resources the plan touches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Come.
    pub add: usize,
    /// Change.
    pub change: usize,
    /// Go.
    pub remove: usize,
    /// Differ and are not changed, for a reason.
    pub blocked: usize,
    /// Resources of which it is not known whether they differ.
    pub unknown: usize,
}

impl Summary {
    /// What these steps touch; nothing of it is blocked or unknown.
    #[must_use]
    pub fn of(steps: &[Step]) -> Self {
        let mut summary = Self::default();
        for step in steps {
            if step.action.kind().changes(&step.post) == Changes::Nothing {
                continue;
            }
            match step.sign {
                ChangeKind::Add => summary.add += 1,
                ChangeKind::Change => summary.change += 1,
                ChangeKind::Remove => summary.remove += 1,
            }
        }
        summary
    }
}

/// The fewest endpoints that a servant has while the plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Low {
    /// The servant.
    pub servant: String,
    /// How many endpoints it has before; those that were asked and do not answer do not count.
    pub has: usize,
    /// How many are left at the lowest point.
    pub least: usize,
    /// The steps of the first batch in which it has so few.
    pub during: Vec<String>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// Digest of the spec.
    pub spec_digest: Digest,
    /// When the cluster was looked at, in seconds since 1970.
    pub observed_at: i64,
    /// Nodes that were looked at.
    pub nodes: usize,
    /// What it was narrowed to, as `--on` takes it; the whole cluster if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// Whether what needs a management platform that does not answer waits (`--without-console`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_console: bool,
    /// The run that it rolls back; none where it brings the cluster to the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolls_back: Option<RunId>,
    /// Counts.
    pub summary: Summary,
    /// What differs.
    pub drift: Vec<Drift>,
    /// What is there and not in the spec; no drift unless asked for.
    pub extra: Vec<ResourceId>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What holds between batches.
    pub gates: Vec<Gate>,
    /// What is not done, and why.
    pub report: Vec<Line>,
    /// The fewest endpoints that each servant has meanwhile; servants that keep all are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Low>,
}

impl Plan {
    /// Whether any step changes the framework's database.
    #[must_use]
    pub fn changes_database(&self) -> bool {
        self.steps.iter().any(Step::changes_database)
    }

    /// How many steps work on a node: the nodes of a rollback, which looks at no others.
    #[must_use]
    pub fn nodes_of_steps(&self) -> usize {
        let of_node = self.steps.iter().filter(|s| s.resource.node().is_some());
        of_node.count()
    }

    /// Whether it does nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether anything is blocked by a guard.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.summary.blocked > 0
    }

    /// Whether anything could not be seen.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        self.summary.unknown > 0
    }

    /// Whether anything that can be seen differs from the spec.
    #[must_use]
    pub fn has_drift(&self) -> bool {
        self.drift
            .iter()
            .any(|d| !matches!(d.kind, DriftKind::Unknown { .. }))
    }

    /// Seconds within which the last of the contradictions that heal by themselves does; none where
    /// there is none of them.
    #[must_use]
    pub fn heals_within(&self) -> Option<u64> {
        let all = self.drift.iter().filter_map(|d| match &d.kind {
            DriftKind::Disagreeing { heals_within, .. } => *heals_within,
            _ => None,
        });
        all.max()
    }
}
