//! A column that a release adds to a table.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::ADDITIONS;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::template;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::with_rows;
use crate::stage::{ChangeKind, Stage};

/// Adds a column to a table of `db_tars`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddColumn {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// Its type, with its default.
    pub definition: String,
}

impl ActionKind for AddColumn {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Tables
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Schema
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Schema, ChangeKind::Add)]
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

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::irreversible(
            "a column that was added stays; nothing reads it before the new version",
        )
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        with_rows(inventory, |rows| {
            if let Some(Observed::Present(all)) = rows.columns.get_mut(&self.table) {
                all.insert(self.column.clone());
            }
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        template::check_whole(step, say);
        let known = ADDITIONS.iter().any(|a| {
            a.table == self.table && a.column == self.column && a.definition == self.definition
        });
        if !known {
            say("it adds a column that no release has added");
        }
        let missing = Condition::Column {
            table: self.table.clone(),
            column: self.column.clone(),
            there: false,
        };
        if !step.pre.contains(&missing) {
            say("it does not check that the column is missing");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
