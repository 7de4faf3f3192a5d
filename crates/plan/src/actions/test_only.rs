//! The recipe of the developer's guide, as a test: in this crate an action is this file and its line in
//! the enum, and everything that asks actions has it.

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::stage::{ChangeKind, Stage};

/// Gives the database server another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOnly {
    /// The name.
    pub name: String,
    /// The name before.
    pub before: String,
}

impl ActionKind for TestOnly {
    type Inverse = Self;

    fn target(&self) -> Target<'_> {
        Target::Tables
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Schema
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Schema, ChangeKind::Change)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        Writes::default()
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self> {
        UndoBy::inverse(Self {
            name: self.before.clone(),
            before: self.name.clone(),
        })
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        if let Some(framework) = &mut inventory.framework
            && let Observed::Present(database) = &mut framework.database
        {
            database.server.clone_from(&self.name);
        }
    }

    fn check(&self, _step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        if self.name.is_empty() {
            say("it has no name");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, say: &mut dyn FnMut(&str)) {
        if self.name == "other" {
            say("no package has that name");
        }
    }
}
