//! The deletion of new rows of servers.

use std::collections::BTreeSet;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::rows::NewServers;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{keep, with_rows};
use crate::stage::{ChangeKind, Stage};

/// Deletes rows that [`AddServerRows`](super::AddServerRows) wrote, those of servers that were never
/// started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoveServerRows(pub NewServers);

impl ActionKind for RemoveServerRows {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Rows
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Host(self.0.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Rows, ChangeKind::Remove)]
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
        UndoBy::irreversible("it is itself a rollback")
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        // Of servers whose own row is among the new ones, only those that are set inactive are deleted.
        let names = self.0.names();
        let node = self.0.node.as_str();
        with_rows(inventory, |rows| {
            let mut active: BTreeSet<String> = BTreeSet::new();
            if let Observed::Present(all) = &rows.servers {
                let of_node = all
                    .iter()
                    .filter(|r| r.node == node && names.contains(&r.full_name()));
                let set = of_node.filter(|r| r.setting.as_deref() != Some("inactive"));
                active.extend(set.map(|r| r.server.clone()));
            }
            keep(&mut rows.adapters, |r| {
                r.node != node || active.contains(&r.server) || !names.contains(&r.adapter)
            });
            keep(&mut rows.servers, |r| {
                r.node != node || active.contains(&r.server) || !names.contains(&r.full_name())
            });
        });
    }

    fn check(&self, _step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        say("it deletes rows that no run has written");
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
