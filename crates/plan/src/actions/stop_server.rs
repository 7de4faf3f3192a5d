//! A stop of a server by AdminRegistry.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::Answer;
use tarsops_model::inventory::Facts;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{
    ActionKind, Changes, Interruption, OnHost, Order, Settle, StepView, Target, UndoBy, Writes,
};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{host_mut, with_rows};
use crate::stage::{ChangeKind, Stage};

/// Has AdminRegistry stop a server of the framework, which sets it inactive. It undoes a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopServer {
    /// The component.
    pub component: Component,
    /// The node that it is on.
    pub node: NodeName,
}

impl ActionKind for StopServer {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Host(OnHost {
            component: Some(self.component),
            interrupts: Some(Interruption {
                node: &self.node,
                component: self.component,
                ran: true,
                is_removal: true,
                is_new: false,
                is_whole: false,
            }),
            settle: Settle::Not,
            programs: None,
        })
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Server(self.component, self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Expansion, ChangeKind::Remove)]
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
        let (component, node) = (self.component, &self.node);
        let id = ResourceId::Server(component, node.clone());
        if let Some(Observed::Present(Facts::Server(facts))) = inventory.resources.get_mut(&id) {
            facts.processes = Observed::Present(vec![]);
        }
        if let Some(host) = host_mut(inventory, node) {
            if let Observed::Present(all) = &mut host.components {
                all.remove(component.name());
            }
            if let Observed::Present(ports) = &mut host.ports {
                for (_, port) in component.servants() {
                    ports.remove(port);
                }
            }
        }
        if let Some(framework) = &mut inventory.framework {
            let own = framework.servants.values_mut();
            for asked in own.filter(|a| a.component == component && a.node == *node) {
                asked.answer = Answer::Refused;
            }
        }
        with_rows(inventory, |rows| {
            if let Observed::Present(all) = &mut rows.servers {
                for row in all.iter_mut() {
                    if row.server == component.name() && row.node == node.as_str() {
                        row.setting = Some("inactive".to_owned());
                        row.present = Some("inactive".to_owned());
                        row.pid = Some(0);
                    }
                }
            }
        });
    }

    fn check(&self, _step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        say("it stops a server of the framework");
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
