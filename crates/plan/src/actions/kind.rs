//! What planner, checker, renderer and executor ask of an action.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Desired, Policy};
use tarsops_model::digest::Digest;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use super::change_host::FileChange;
use super::images::Images;
use super::rows::{DeletedRows, RowEdit};
use crate::condition::Condition;
use crate::input::{PlanInput, Scope};
use crate::stage::{ChangeKind, Stage};

/// Everything about an action that is pure. A question that an action could forget without anybody
/// noticing has no default answer: each action says it.
pub trait ActionKind: Any + fmt::Debug + Send + Sync {
    /// The action that undoes this one; [`Infallible`](std::convert::Infallible) where none does.
    type Inverse
    where
        Self: Sized;

    /// What it works on, and so which part of the executor does it.
    fn target(&self) -> Target<'_>;

    /// The resource of its step.
    fn resource(&self) -> ResourceId;

    /// The stages in which its step may stand, each with what the step makes of the resource.
    fn standing(&self) -> Vec<(Stage, ChangeKind)>;

    /// What it changes. `post` is what its step leaves.
    fn changes(&self, post: &[Condition]) -> Changes;

    /// What of packages and rows it writes.
    fn writes(&self) -> Writes<'_>;

    /// Where it stands beside the step with which AdminRegistry starts `component` on `node`.
    fn beside_start(&self, component: Component, node: &NodeName) -> Order;

    /// How a step that makes `sign` of the resource is undone.
    fn undo(&self, sign: ChangeKind) -> UndoBy<Self::Inverse>
    where
        Self: Sized;

    /// Changes `inventory` to what will be seen once it has succeeded. `images` are the before-images
    /// that a rollback restores.
    fn effect(&self, inventory: &mut Inventory, images: &Images);

    /// Whether it makes a container, whose installation logs in as the account that the spec names for it.
    fn installs(&self) -> bool {
        false
    }

    /// Says what must not be in a plan that brings the cluster to the spec, whatever was seen.
    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str));

    /// Says where it writes what no pinned package has.
    fn check_pins(&self, input: &PlanInput<'_>, say: &mut dyn FnMut(&str));

    /// Says what must not be in the plan that rolls `run` back. Most actions roll nothing back.
    fn check_rollback(&self, _step: &StepView<'_>, _run: &RunId, say: &mut dyn FnMut(&str)) {
        say("it does not roll anything back");
    }
}

/// What an action works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A host, or a component on it.
    Host(OnHost<'a>),
    /// Rows of the framework's database about nodes, registries and servers.
    Rows,
    /// The database as such: its backup, its tables, its templates.
    Tables,
}

/// What is done on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnHost<'a> {
    /// The component that changes; none where that is the whole host.
    pub component: Option<Component>,
    /// The process that does not answer for a moment, or any more.
    pub interrupts: Option<Interruption<'a>>,
    /// For how long what changed must have been healthy before the action has succeeded.
    pub settle: Settle,
    /// The program of each component that it brings all at once; none where it changes one component.
    pub programs: Option<&'a BTreeMap<Component, Digest>>,
}

/// A process that a step stops, for a moment or for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// The component. A tarsnode takes all servers of its node with it.
    pub component: Component,
    /// Whether it ran when the step was planned.
    pub ran: bool,
    /// Whether the component is removed.
    pub is_removal: bool,
    /// Whether the component is new on its host.
    pub is_new: bool,
    /// Whether everything of the framework on the node goes with it, a registry too.
    pub is_whole: bool,
}

impl Interruption<'_> {
    /// Whether a registry that ran does not answer meanwhile.
    #[must_use]
    pub fn takes_registry(&self) -> bool {
        self.ran && (self.is_whole || self.component == Component::Tarsregistry)
    }
}

/// For how long something must have been healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Nothing is watched afterwards.
    Not,
    /// As the policy says, and no shorter than so many seconds.
    AtLeast(u64),
    /// Until the other registries have read its row.
    Registry,
}

impl Settle {
    /// The time in seconds.
    #[must_use]
    pub fn seconds(self, policy: &Policy) -> u64 {
        match self {
            Self::Not => 0,
            Self::AtLeast(seconds) => policy.settle.max(seconds),
            Self::Registry => policy.settle.max(policy.registry_settle),
        }
    }
}

/// What an action changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// Nothing of the cluster: no summary counts it.
    Nothing,
    /// Something outside of the database.
    Hosts,
    /// The framework's database, perhaps among others: a backup comes first.
    Database,
}

/// What of packages and rows an action writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writes<'a> {
    /// Files on its host, in this order.
    pub files: &'a [FileChange],
    /// Rows of servers that are edited column by column.
    pub rows: &'a [RowEdit],
    /// The release of which a template is written.
    pub template: Option<Version>,
    /// Rows that are deleted, and saved before; first those that refer to others.
    pub deleted: Vec<DeletedRows>,
}

/// Where an action stands beside another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// In an earlier batch.
    Before,
    /// In a later batch.
    After,
    /// Anywhere.
    Any,
}

/// What the checks of an action see of its step and of the command.
#[derive(Debug, Clone, Copy)]
pub struct StepView<'a> {
    /// Its stage.
    pub stage: Stage,
    /// What it makes of its resource.
    pub sign: ChangeKind,
    /// What must hold before.
    pub pre: &'a [Condition],
    /// What must hold after.
    pub post: &'a [Condition],
    /// The spec.
    pub desired: &'a Desired,
    /// What the command is narrowed to.
    pub scope: &'a Scope,
    /// The addresses of the nodes of the spec that are not gone.
    pub addresses: &'a BTreeSet<IpAddr>,
}

impl StepView<'_> {
    /// Whether the step makes sure that its host is the one that it was planned for.
    pub(super) fn checks_machine(&self) -> bool {
        let machine = |c: &Condition| matches!(c, Condition::Machine { .. });
        self.pre.iter().any(machine)
    }

    /// Whether the spec has `component` on `node`, and AdminRegistry can start it there.
    pub(super) fn is_placed(&self, component: Component, node: &NodeName) -> bool {
        let present = |h: &Host| h.state == NodeState::Present;
        self.desired.host(node).is_some_and(present)
            && component != Component::Tarsnode
            && (component.placed_on(Role::Slave) || component.is_basic())
            && self.desired.server(component, node).is_some()
    }

    /// The framework's folder on `node`.
    pub(super) fn tars_path(&self, node: &NodeName) -> String {
        let agent = self.desired.agent(node);
        agent.map_or_else(|| self.desired.tars_path(), |a| a.tars_path.to_string())
    }
}

/// How a step is rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "kebab-case")]
pub enum UndoBy<A> {
    /// What was saved before is restored: by the host, or into the row.
    Restore,
    /// Another action undoes it.
    Inverse {
        /// Which.
        action: Box<A>,
    },
    /// It cannot be rolled back.
    Irreversible {
        /// Why not.
        reason: String,
    },
}

impl<A> UndoBy<A> {
    /// The undo by an action.
    pub(crate) fn inverse(action: A) -> Self {
        Self::Inverse {
            action: Box::new(action),
        }
    }

    /// No undo, for a reason.
    pub(crate) fn irreversible(reason: &str) -> Self {
        Self::Irreversible {
            reason: reason.to_owned(),
        }
    }

    /// The same with another type for the action.
    pub(crate) fn map<B>(self, into: impl FnOnce(A) -> B) -> UndoBy<B> {
        match self {
            Self::Restore => UndoBy::Restore,
            Self::Inverse { action } => UndoBy::inverse(into(*action)),
            Self::Irreversible { reason } => UndoBy::Irreversible { reason },
        }
    }
}
