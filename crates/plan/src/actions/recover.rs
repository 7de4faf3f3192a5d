//! The end of a change that a dead run left.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, OnHost, Order, Settle, StepView, Target, UndoBy, Writes};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::host_mut;
use crate::stage::{ChangeKind, Stage};

/// Ends a change that a dead run left on a host: the host restores its old state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// The node of the host.
    pub node: NodeName,
    /// The run that left the change.
    pub run: RunId,
    /// The step of that run.
    pub step: StepName,
    /// Whether the change ends with what runs there now, because a person said so, and nothing is
    /// restored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept: bool,
}

impl ActionKind for Recover {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Host(OnHost {
            component: None,
            interrupts: None,
            settle: Settle::Not,
            programs: None,
        })
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Agent(self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Recover, ChangeKind::Change)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Hosts
    }

    fn writes(&self) -> Writes<'_> {
        Writes::default()
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::irreversible("it is itself a rollback")
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        if let Some(host) = host_mut(inventory, &self.node) {
            host.unfinished = None;
        }
    }

    fn check(&self, _step: &StepView<'_>, _say: &mut dyn FnMut(&str)) {}

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
