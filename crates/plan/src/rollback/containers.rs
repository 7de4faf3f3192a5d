//! What a rollback does to the framework's containers.

use std::collections::BTreeSet;

use tarsops_model::desired::Rpc;
use tarsops_model::framework::{FrameworkFacts, ServerRow};
use tarsops_model::names::{Endpoint, NodeName};

use super::{Draft, Refusal};
use crate::actions::ReplaceContainer;
use crate::condition::{Condition, Truth};
use crate::container_record;
use crate::identity::stranger;
use crate::intent::Intent;
use crate::plan::Step;
use crate::record::{Ended, Record};
use crate::restored;

impl Draft<'_> {
    /// Plans the step that brings back the container that was replaced.
    pub(super) fn undo_container(
        &mut self,
        record: &Record,
        intent: &Intent,
        done: &ReplaceContainer,
    ) -> Result<(), Refusal> {
        let node = record.node.clone();
        if let Some(why) = stranger(self.input, &node, &self.machines) {
            return Err(Refusal::Stranger { node, why });
        }
        let desired = self.input.desired;
        let wanted = desired.container(&node);
        let step = container_record::rollback_step(intent, done, wanted, self.input.inventory);
        let step = step.map_err(|why| Refusal::Container { node, why })?;
        let Some(mut step) = step else { return Ok(()) };
        if record.ended != Ended::Ok {
            self.failed.insert(step.id.clone());
        }
        if let Some(at) = self.registry_of(&record.node) {
            let (but, registry) = (at.clone(), at.clone());
            let has_another = desired.registries.len() > 1 && !desired.policy.registry_gap;
            // Whoever resolves names by it must find another one for as long as the host installs.
            if has_another && self.is_living_registry(&step) {
                step.pre.push(Condition::AnotherRegistry { but });
            }
            if desired.rpc != Rpc::Off {
                step.post.push(Condition::RegistryAnswers { registry });
            }
        }
        self.hosts.push(step);
        Ok(())
    }

    /// Has the step of a container wait until the framework counts on its host again: everything that
    /// runs there goes away with it. `servers` are the rows of that host.
    pub(super) fn await_container(
        &self,
        framework: &FrameworkFacts,
        servers: &[&ServerRow],
        step: &mut Step,
    ) {
        let Some(whole) = step.stops_host() else {
            return;
        };
        let (node, ran) = (whole.node.clone(), whole.ran);
        let is_failed = self.failed.contains(&step.id);
        let mut wanted = restored::of_tarsnode(framework, servers, &BTreeSet::new());
        wanted.retain(|c| {
            let is_new = !step.post.contains(c);
            is_new
                && match c.eval(&node, self.input.inventory) {
                    Truth::Holds => true,
                    Truth::Fails(_) => !is_failed,
                    Truth::Unknown(_) => ran,
                }
        });
        step.post.extend(wanted);
    }

    /// The registry of a framework host.
    pub(super) fn registry_of(&self, node: &NodeName) -> Option<&Endpoint> {
        let desired = self.input.desired;
        let ip = desired.host(node)?.ip.to_string();
        let mut all = desired.registries.iter();
        all.find(|at| at.host.to_string() == ip)
    }
}
