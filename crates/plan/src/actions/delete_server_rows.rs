//! The deletion of the rows of servers that were removed from a node.

use std::collections::BTreeSet;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::component::Role;
use tarsops_model::framework::{AdapterRow, ServerRow};
use tarsops_model::host::NodeState;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;
use tarsops_model::tables::TableRow as _;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::rows::DeletedRows;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{keep, with_rows};
use crate::stage::{ChangeKind, Stage};

/// Deletes the framework's rows of its own servers that were removed from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteServerRows {
    /// The node.
    pub node: NodeName,
    /// The components.
    pub servers: BTreeSet<Component>,
}

impl ActionKind for DeleteServerRows {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Rows
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Host(self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Rows, ChangeKind::Remove)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        let node = self.node.as_str();
        let of = |table| {
            let each = self.servers.iter();
            each.map(move |component| DeletedRows::of_server(table, *component, node))
        };
        let tables = [AdapterRow::TABLE, ServerRow::TABLE];
        Writes {
            deleted: tables.into_iter().flat_map(of).collect(),
            ..Writes::default()
        }
    }

    fn beside_start(&self, _component: Component, _node: &NodeName) -> Order {
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::irreversible(
            "they are restored with the folders of its servers, from the saved rows on the master",
        )
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        let is_one = |application: &str, server: &str, at: &str| {
            application == "tars"
                && at == self.node.as_str()
                && self.servers.iter().any(|c| c.name() == server)
        };
        with_rows(inventory, |rows| {
            keep(&mut rows.servers, |r| {
                !is_one(&r.application, &r.server, &r.node)
            });
            keep(&mut rows.adapters, |r| {
                !is_one(&r.application, &r.server, &r.node)
            });
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let absent = step
            .desired
            .host(&self.node)
            .is_some_and(|h| matches!(h.state, NodeState::Absent { .. }) && h.role != Role::Master);
        if !absent {
            say("it forgets servers of a node that the spec does not call absent");
        }
        let own = [Component::Tarsnode, Component::Tarsregistry];
        if self.servers.is_empty() || self.servers.iter().any(|c| own.contains(c)) {
            say("it forgets what has a step of its own, or nothing");
        }
        let down = self.servers.iter().all(|component| {
            step.pre.contains(&Condition::Component {
                component: *component,
                runs: false,
            })
        });
        if !down || !step.checks_machine() {
            say("it does not check that they do not run");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
