//! What the last registration of a node made it lose.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{host_mut, with_rows};
use crate::stage::{ChangeKind, Stage};

/// Restores in the row of a node what its last registration overwrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreLabels {
    /// The node.
    pub node: NodeName,
    /// What a run that was cut off has saved on the host.
    pub labels: NodeLabels,
}

impl ActionKind for RestoreLabels {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Rows
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Agent(self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Rows, ChangeKind::Change)]
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
        UndoBy::irreversible("they are the node's own")
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        if let Some(host) = host_mut(inventory, &self.node) {
            host.labels = None;
        }
        with_rows(inventory, |rows| {
            let Observed::Present(all) = &mut rows.nodes else {
                return;
            };
            if let Some(row) = all.get_mut(self.node.as_str())
                && NodeLabels::of(row).is_none()
            {
                row.label.clone_from(&self.labels.label);
                row.group_id = self.labels.group_id.or(Some(-1));
            }
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let present = |h: &Host| h.state == NodeState::Present;
        if !step.desired.host(&self.node).is_some_and(present) {
            say("its node is not among those that may be changed");
        }
        let saved = Condition::LabelsSaved {
            labels: Some(self.labels.clone()),
        };
        if !step.pre.contains(&saved) {
            say("it writes labels that were not saved");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
