//! The deletion of the rows of a node whose machine is gone.

use std::convert::Infallible;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, NodeRow, RegistryRow, ServerRow};
use tarsops_model::host::{Host, NodeState};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::tables::TableRow as _;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::rows::{DELETED, DeletedRows};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{keep, with_rows};
use crate::stage::{ChangeKind, Stage};

/// Deletes the framework's rows of a node whose machine is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteNodeRows {
    /// The node.
    pub node: NodeName,
    /// The address that it had.
    pub ip: IpAddr,
}

impl ActionKind for DeleteNodeRows {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Rows
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Agent(self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Rows, ChangeKind::Remove)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        let with = |table| DeletedRows::with(table, "node_name", self.node.to_string());
        let at = format!("{}:", self.ip);
        Writes {
            deleted: vec![
                with(AdapterRow::TABLE),
                with(ServerRow::TABLE),
                DeletedRows {
                    is_prefix: true,
                    ..DeletedRows::with(RegistryRow::TABLE, "locator_id", at)
                },
                with(NodeRow::TABLE),
            ],
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
        let (name, prefix) = (self.node.as_str(), format!("{}:", self.ip));
        with_rows(inventory, |rows| {
            if let Observed::Present(nodes) = &mut rows.nodes {
                nodes.remove(name);
            }
            keep(&mut rows.servers, |r| r.node != name);
            keep(&mut rows.adapters, |r| r.node != name);
            keep(&mut rows.registries, |r| !r.locator.starts_with(&prefix));
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let gone = |h: &Host| h.state == NodeState::Gone;
        let host = step.desired.host(&self.node);
        if !host.is_some_and(|h| gone(h) && h.ip == self.ip) {
            say("it deletes rows of a node that is not gone in the spec");
        }
        if step.addresses.contains(&self.ip) {
            say("another node has that address");
        }
        if !step.pre.contains(&Condition::Unanswered) {
            say("it does not check that nothing answers");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
