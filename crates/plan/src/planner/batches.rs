//! The stages one after the other, each cut into a canary and batches with a gate after each.

use std::collections::{BTreeMap, VecDeque};

use tarsops_model::component::Role;
use tarsops_model::desired::{Count, Policy};
use tarsops_model::names::NodeName;

use super::Draft;
use crate::action::Action;
use crate::database;
use crate::input::PlanInput;
use crate::names::natural_key;
use crate::plan::{Gate, Stage, Step};
use crate::report::{Blocked, Line};

impl Draft {
    /// Steps that would take the only endpoint that answers of a servant with several are not made.
    /// A registry has a guard of its own, and one that starts takes nothing.
    pub(super) fn keep_last_endpoints(&mut self) {
        let endpoints = std::mem::take(&mut self.endpoints);
        let mut lines = Vec::new();
        let mut stays = |step: &Step| match endpoints.last_of(step) {
            None => true,
            Some((servant, silent)) => {
                lines.push(Line::Blocked {
                    resource: step.resource.clone(),
                    why: Blocked::LastEndpoint {
                        servant: servant.to_owned(),
                        silent,
                    },
                });
                false
            }
        };
        self.admin.retain(&mut stays);
        self.core.retain(&mut stays);
        self.basic.retain(&mut stays);
        self.agents.retain(|(_, step)| stays(step));
        if !self.gap {
            self.registries.retain(|step| {
                let starts = matches!(&step.action, Action::ChangeHost(c) if !c.ran);
                starts || stays(step)
            });
        }
        self.report.extend(lines);
        self.endpoints = endpoints;
    }

    pub(super) fn recover(&mut self) {
        self.steps.append(&mut self.recover);
    }

    /// The dump of the database, before the first step of the plan that changes it.
    pub(super) fn backup(&mut self, input: &PlanInput<'_>) {
        let all = [
            &self.schema,
            &self.templates,
            &self.rows,
            &self.expansion,
            &self.deploys,
            &self.basic,
            &self.registries,
            &self.registry_removals,
            &self.server_removals,
        ];
        if !all.into_iter().flatten().any(Step::changes_database) {
            return;
        }
        if let Some((step, lines)) = database::backup(input.inventory) {
            self.report.extend(lines);
            self.one_by_one(Stage::Backup, vec![step], &input.desired.policy);
        }
    }

    pub(super) fn schema(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.schema);
        self.one_by_one(Stage::Schema, steps, policy);
    }

    pub(super) fn templates(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.templates);
        self.one_by_one(Stage::Templates, steps, policy);
    }

    pub(super) fn agents(&mut self, policy: &Policy) {
        let steps = in_order(std::mem::take(&mut self.agents));
        self.roll_out(Stage::Agents, steps, policy);
    }

    /// Host after host, each in the order in which its components come.
    pub(super) fn expansion(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.expansion);
        self.in_turn(Stage::Expansion, steps, policy);
    }

    /// First the rows of what comes; then what is published, a canary first.
    pub(super) fn basic_services(&mut self, policy: &Policy) {
        let rows = std::mem::take(&mut self.deploys);
        self.one_by_one(Stage::BasicServices, rows, policy);
        let mut steps = std::mem::take(&mut self.basic);
        steps.sort_by_cached_key(|s| (natural_key(&s.id), s.id.clone()));
        self.roll_out(Stage::BasicServices, steps, policy);
    }

    pub(super) fn removals(&mut self, policy: &Policy) {
        let steps = in_order(std::mem::take(&mut self.removals));
        self.roll_out(Stage::AgentRemoval, steps, policy);
    }

    pub(super) fn registries(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.registries);
        self.one_by_one(Stage::Registries, steps, policy);
    }

    pub(super) fn admin_registry(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.admin);
        self.one_by_one(Stage::AdminRegistry, steps, policy);
    }

    pub(super) fn core_services(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.core);
        self.one_by_one(Stage::CoreServices, steps, policy);
    }

    pub(super) fn registry_removals(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.registry_removals);
        self.one_by_one(Stage::RegistryRemoval, steps, policy);
    }

    pub(super) fn server_removals(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.server_removals);
        self.one_by_one(Stage::ServerRemoval, steps, policy);
    }

    pub(super) fn forget(&mut self, policy: &Policy) {
        let steps = std::mem::take(&mut self.rows);
        self.one_by_one(Stage::Rows, steps, policy);
    }

    /// Registries and rows go one by one: each may change what the next one rests upon.
    fn one_by_one(&mut self, stage: Stage, mut steps: Vec<Step>, policy: &Policy) {
        steps.sort_by_cached_key(|s| (natural_key(&s.id), s.id.clone()));
        self.in_turn(stage, steps, policy);
    }

    /// One by one, in the order in which they stand.
    fn in_turn(&mut self, stage: Stage, steps: Vec<Step>, policy: &Policy) {
        let one = Policy {
            canary: 0,
            max_parallel: Count::Number(1),
            ..policy.clone()
        };
        self.roll_out(stage, steps, &one);
    }

    /// Cuts the steps of a stage into a canary and batches, with a gate after each.
    fn roll_out(&mut self, stage: Stage, steps: Vec<Step>, policy: &Policy) {
        if steps.is_empty() {
            return;
        }
        let parallel = policy.max_parallel.of(steps.len()).max(1);
        let canary = (policy.canary as usize).min(steps.len()).min(parallel);
        let mut rest: VecDeque<Step> = steps.into();
        let mut first = true;
        loop {
            let size = if first && canary > 0 {
                canary
            } else {
                parallel
            };
            first = false;
            let mut batch = self.next_batch(&mut rest, size);
            if batch.is_empty() {
                break;
            }
            let own = |s: &Step| match &s.action {
                Action::ChangeHost(change) => change.settle,
                _ => None,
            };
            let longest = batch.iter().filter_map(own).max().unwrap_or(0);
            let mut settle = policy.settle.max(longest);
            for step in &mut batch {
                if !self.endpoints.is_shared(step) {
                    continue;
                }
                // What comes next may be the other endpoint of two.
                settle = settle.max(policy.registry_settle);
                if let Action::ChangeHost(change) = &mut step.action {
                    change.settle = Some(settle);
                }
            }
            self.batch += 1;
            let needs: Vec<String> = self
                .gates
                .last()
                .map(|g| g.id.clone())
                .into_iter()
                .collect();
            for step in &mut batch {
                step.stage = stage;
                step.batch = self.batch;
                step.needs.clone_from(&needs);
            }
            self.gates.push(Gate {
                id: format!("gate/{}", self.batch),
                needs: batch.iter().map(|s| s.id.clone()).collect(),
                settle,
            });
            self.steps.append(&mut batch);
        }
    }

    /// Up to `size` steps that may run together; those that would take the last endpoint of a
    /// servant with it wait for a later batch, in their order, and so do those of a host on which a
    /// script works: a host changes one thing at a time.
    fn next_batch(&self, rest: &mut VecDeque<Step>, size: usize) -> Vec<Step> {
        let mut batch = Vec::new();
        let mut later = VecDeque::new();
        let mut down: BTreeMap<usize, usize> = BTreeMap::new();
        // Whether a script works on a host of the batch.
        let mut hosts: BTreeMap<NodeName, bool> = BTreeMap::new();
        while batch.len() < size {
            let Some(step) = rest.pop_front() else { break };
            let scripted = is_scripted(&step);
            let node = step.resource.node();
            let meets = node
                .and_then(|node| hosts.get(node))
                .is_some_and(|other| *other || scripted);
            if meets || !batch.is_empty() && self.endpoints.clash(&down, &step) {
                later.push_back(step);
                continue;
            }
            for servant in self.endpoints.taken(&step) {
                *down.entry(servant).or_default() += 1;
            }
            if let Some(node) = node {
                *hosts.entry(node.clone()).or_default() |= scripted;
            }
            batch.push(step);
        }
        later.append(rest);
        *rest = later;
        batch
    }
}

/// Whether the host's own script does the step.
fn is_scripted(step: &Step) -> bool {
    matches!(&step.action, Action::ChangeHost(change) if change.publish().is_none() && !change.rereads())
}

const fn rank(role: Role) -> u8 {
    match role {
        Role::Node => 0,
        Role::Slave => 1,
        Role::Master => 2,
    }
}

/// Plain nodes first, so that a canary is never the master; then by name, 10.0.0.9 before
/// 10.0.0.10.
fn in_order(mut all: Vec<(Role, Step)>) -> Vec<Step> {
    all.sort_by_cached_key(|(role, s)| (rank(*role), natural_key(&s.id), s.id.clone()));
    all.into_iter().map(|(_, step)| step).collect()
}
