//! The deletion of the rows of a registry that is gone.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::rows::{DELETED, DeletedRows};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{forget_registry, with_rows};
use crate::stage::{ChangeKind, Stage};

/// Deletes the framework's rows of a registry that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRegistryRows {
    /// The registry.
    pub registry: Endpoint,
    /// The node that the framework's rows have it on.
    pub node: String,
}

impl ActionKind for DeleteRegistryRows {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Rows
    }

    fn resource(&self) -> ResourceId {
        ResourceId::RegistryEndpoint(self.registry.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Rows, ChangeKind::Remove)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        Writes {
            deleted: DeletedRows::of_registry(&self.registry, &self.node),
            ..Writes::default()
        }
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::irreversible(DELETED)
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        with_rows(inventory, |rows| {
            forget_registry(rows, &self.registry, &self.node);
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        if step.desired.registries.contains(&self.registry) {
            say("it forgets a registry that the spec names");
        }
        let dead = Condition::RegistryDead {
            registry: self.registry.clone(),
        };
        if !step.pre.contains(&dead) || !step.pre.contains(&Condition::RegistryLeft) {
            say("it does not check that the registry is dead and another one answers");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
