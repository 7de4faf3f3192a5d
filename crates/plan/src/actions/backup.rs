//! The dump of the framework's databases.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::BACKED_UP_DATABASES;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::stage::{ChangeKind, Stage};

/// Dumps these databases whole, and saves the dump on the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Their names.
    pub databases: Vec<String>,
}

impl ActionKind for Backup {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Tables
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Schema
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Backup, ChangeKind::Add)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Nothing
    }

    fn writes(&self) -> Writes<'_> {
        Writes::default()
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::irreversible("a backup stays")
    }

    fn effect(&self, _inventory: &mut Inventory, _images: &Images) {
        // It changes nothing that is looked at.
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        // A backup is made for whatever a narrowed command does to rows.
        if step.desired.database().is_none() {
            say("the spec names no database");
        }
        let ours = |d: &String| BACKED_UP_DATABASES.contains(&d.as_str());
        if !self.databases.iter().all(ours) || !self.databases.iter().any(|d| d == "db_tars") {
            say("it does not dump the framework's databases, and only those");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}

    fn check_rollback(&self, step: &StepView<'_>, _run: &RunId, say: &mut dyn FnMut(&str)) {
        self.check(step, say);
    }
}
