//! A start of a server by AdminRegistry.

use serde::{Deserialize, Serialize};
use tarsops_model::agent::ProcessFact;
use tarsops_model::component::Component;
use tarsops_model::framework::Answer;
use tarsops_model::inventory::Facts;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::Endpoint;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, OnHost, Order, Settle, StepView, Target, UndoBy, Writes};
use super::stop_server::StopServer;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::{host_mut, registry_alive, with_rows};
use crate::places::endpoint_at;
use crate::registry_rows;
use crate::stage::{ChangeKind, Stage};

/// Has AdminRegistry start a server of the framework, which sets it active.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartServer {
    /// The component.
    pub component: Component,
    /// The node that it is on.
    pub node: NodeName,
}

impl ActionKind for StartServer {
    type Inverse = StopServer;

    fn target(&self) -> Target<'_> {
        Target::Host(OnHost {
            component: Some(self.component),
            interrupts: None,
            settle: match self.component {
                Component::Tarsregistry => Settle::Registry,
                _ => Settle::AtLeast(0),
            },
            programs: None,
        })
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Server(self.component, self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        let mut all = vec![(Stage::Expansion, ChangeKind::Add)];
        // One that is set active and does not run is started where it is, and stays.
        if self.component.is_basic() {
            all.push((Stage::BasicServices, ChangeKind::Change));
        }
        all
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

    fn undo(&self, sign: ChangeKind) -> UndoBy<Self::Inverse> {
        match sign {
            ChangeKind::Change => UndoBy::irreversible("it is set active, and should run"),
            ChangeKind::Add | ChangeKind::Remove => UndoBy::inverse(StopServer {
                component: self.component,
                node: self.node.clone(),
            }),
        }
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        let (component, node) = (self.component, &self.node);
        let id = ResourceId::Server(component, node.clone());
        // Its tarsnode starts it, as whom it runs itself.
        let user = match inventory.agent(node) {
            Observed::Present(agent) => agent
                .processes
                .present()
                .and_then(|all| all.first())
                .map(|p| p.user.clone()),
            _ => None,
        };
        if let Some(Observed::Present(Facts::Server(facts))) = inventory.resources.get_mut(&id) {
            facts.processes = Observed::Present(vec![ProcessFact {
                pid: 1,
                exe: facts.binary.as_ref().map(|b| b.digest),
                exe_deleted: false,
                user: user.unwrap_or_default(),
                nodeid: None,
                config: None,
            }]);
        }
        let mut at = None;
        if let Some(host) = host_mut(inventory, node) {
            if let Observed::Present(all) = &mut host.components {
                all.insert(component.name().to_owned());
            }
            if let Observed::Present(ports) = &mut host.ports {
                ports.extend(component.servants().iter().map(|(_, port)| *port));
            }
        }
        if let Some(framework) = &mut inventory.framework {
            let own = framework.servants.values_mut();
            for asked in own.filter(|a| a.component == component && a.node == *node) {
                asked.answer = Answer::Answers;
                if component == Component::Tarsregistry && at.is_none() {
                    at = Some(Endpoint {
                        port: 17890,
                        ..asked.at.clone()
                    });
                }
            }
        }
        with_rows(inventory, |rows| {
            if let Observed::Present(all) = &mut rows.servers {
                for row in all.iter_mut() {
                    if row.server == component.name() && row.node == node.as_str() {
                        row.setting = Some("active".to_owned());
                        row.present = Some("active".to_owned());
                        row.library = Some("3.0.20".to_owned());
                        row.pid = Some(1);
                    }
                }
            }
        });
        if component != Component::Tarsregistry {
            return;
        }
        // Of a registry of the spec that nobody asked the rows of its adapters tell the address.
        let at = at.or_else(|| {
            let rows = inventory.framework.as_ref()?.rows();
            let found = registry_rows::resolved(rows.present()?);
            let own = found.into_iter().find(|(_, n)| n.node == node.as_str())?;
            Some(own.0)
        });
        if let Some(at) = at {
            registry_alive(inventory, &at);
        }
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let component = self.component;
        if !step.is_placed(component, &self.node) {
            say("it starts a server that the spec does not have there");
        }
        let runs = |c: &Condition| matches!(c, Condition::ServerRuns { component: of, digest: Some(_), .. } if *of == component);
        let mut needs = vec![
            step.checks_machine(),
            step.post.iter().any(runs),
            step.post.contains(&Condition::ServerListens { component }),
            step.post.contains(&Condition::ServerActive { component }),
        ];
        if component == Component::Tarsregistry {
            let registry = step.desired.host(&self.node).map(|h| endpoint_at(h.ip));
            needs.push(registry.is_some_and(|registry| {
                step.desired.registries.contains(&registry)
                    && step.post.contains(&Condition::RegistryAnswers { registry })
            }));
        }
        if needs.contains(&false) {
            say("it does not check the machine, or its own result");
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}
