//! One change of one component on one host, by the host's own script or by the framework.

mod agent;
mod change;
mod effect;
mod executor;
mod flat;
mod operation;
mod placed;
mod rollback;
mod rows;
mod server;

use std::convert::Infallible;

use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::resource::ResourceId;

pub use change::{HostChange, Port};
pub(crate) use flat::FlatChange;
pub use operation::{
    Content, CrontabBefore, CrontabChange, FileChange, Folder, Install, Modify, Operation, Owner,
    Place, Process, Publish, Remove, RemoveRest, Renamed, Restart, Restore,
};

use super::images::Images;
use super::kind::{
    ActionKind, Changes, Interruption, OnHost, Order, Settle, StepView, Target, UndoBy, Writes,
};
use crate::actions::rows::DeletedRows;
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::stage::{ChangeKind, Stage};

impl ActionKind for HostChange {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        let interruption = Interruption {
            node: &self.node,
            component: self.component,
            ran: self.ran,
            is_removal: self.folder() == Folder::Remove,
            is_new: self.folder() == Folder::Create && !self.ran,
            is_whole: false,
        };
        Target::Host(OnHost {
            component: Some(self.component),
            interrupts: self.interrupts().then_some(interruption),
            settle: if self.ends_healthy() {
                Settle::AtLeast(self.settle.unwrap_or(0))
            } else {
                Settle::Not
            },
            programs: None,
        })
    }

    fn resource(&self) -> ResourceId {
        Self::resource(self)
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![self.stands()]
    }

    fn changes(&self, post: &[Condition]) -> Changes {
        // The removal of a registry deletes its rows, where they are known.
        let deletes = |c: &Condition| matches!(c, Condition::RegistryRowsDeleted { .. });
        if !self.rows().is_empty() || post.iter().any(deletes) {
            Changes::Database
        } else {
            Changes::Hosts
        }
    }

    fn writes(&self) -> Writes<'_> {
        Writes {
            files: self.files(),
            rows: self.rows(),
            template: None,
            deleted: match self.registry().filter(|_| self.folder() == Folder::Remove) {
                Some(at) => DeletedRows::of_registry(&at, self.node.as_str()),
                None => Vec::new(),
            },
        }
    }

    fn beside_start(&self, component: Component, node: &NodeName) -> Order {
        let with = [component, Component::Tarsnode].contains(&self.component);
        if self.node == *node && with && self.folder() == Folder::Create {
            return Order::Before;
        }
        // Cron would start it before AdminRegistry does.
        let watches = matches!(self.operation, Operation::Watch(_));
        if self.node == *node && self.component == component && watches {
            return Order::After;
        }
        Order::Any
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Infallible> {
        match &self.operation {
            Operation::RemoveRest(rest) if rest.stop => {
                UndoBy::irreversible("the process ran without its folder")
            }
            Operation::Modify(modify)
                if modify.restart
                    && modify.files.is_empty()
                    && self.component == Component::Tarsregistry
                    && !self.ran =>
            {
                UndoBy::irreversible(
                    "a registry that was started is left running; it was down before",
                )
            }
            _ => UndoBy::Restore,
        }
    }

    fn effect(&self, inventory: &mut Inventory, images: &Images) {
        if self.is_agent() {
            effect::agent(inventory, self, images);
        } else {
            effect::server(inventory, self, images);
        }
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let before = |f: &FileChange| matches!(f.content, Content::Before { .. });
        let restores = self.undoes().is_some()
            || self.files().iter().any(before)
            || self.crontab().is_some_and(|c| c.back.is_some());
        if restores {
            say("it restores what a run has saved");
        }
        match &self.operation {
            _ if self.is_agent() => agent::check(step, self, say),
            Operation::Place(_) | Operation::Watch(_) => placed::check(step, self, say),
            _ => server::check(step, self, say),
        }
        let machine = Condition::Machine {
            id: self.machine_id.clone(),
        };
        let needs = [
            step.pre.contains(&machine),
            step.pre.contains(&Condition::Unfinished { run: None }),
            !step.post.is_empty(),
        ];
        if needs.contains(&false) {
            say("it does not check the machine, that the host is idle, or its own result");
        }
    }

    fn check_pins(&self, input: &PlanInput<'_>, say: &mut dyn FnMut(&str)) {
        for file in self.files() {
            if let Content::Package {
                component,
                version,
                path,
                ..
            } = &file.content
            {
                let package = input.catalog.get(*component, *version);
                let pinned = package.and_then(|p| p.file(path)).map(|f| f.digest);
                if pinned.is_none() || pinned != file.after {
                    say(&format!("{} is not as the package has it", file.path));
                }
            }
        }
    }

    fn check_rollback(&self, step: &StepView<'_>, run: &RunId, say: &mut dyn FnMut(&str)) {
        rollback::check(step, self, run, say);
    }
}

impl HostChange {
    /// The stage of its step in a plan that brings the cluster to the spec, and what the step makes of
    /// the component.
    pub(crate) fn stands(&self) -> (Stage, ChangeKind) {
        let stage = match (&self.operation, self.component) {
            (Operation::Install(_) | Operation::Modify(_), Component::Tarsnode) => Stage::Agents,
            (Operation::Remove(_), Component::Tarsnode) | (Operation::RemoveRest(_), _) => {
                Stage::AgentRemoval
            }
            (Operation::Remove(_), Component::Tarsregistry) => Stage::RegistryRemoval,
            (Operation::Remove(_), _) => Stage::ServerRemoval,
            (Operation::Place(_) | Operation::Watch(_), _) => Stage::Expansion,
            (_, Component::TarsAdminRegistry) => Stage::AdminRegistry,
            (_, Component::Tarsconfig | Component::Tarspatch) => Stage::CoreServices,
            (_, basic) if basic.is_basic() => Stage::BasicServices,
            _ => Stage::Registries,
        };
        let sign = match &self.operation {
            Operation::Remove(_) | Operation::RemoveRest(_) => ChangeKind::Remove,
            _ if self.folder() == Folder::Create => ChangeKind::Add,
            _ => ChangeKind::Change,
        };
        (stage, sign)
    }
}
