//! The stages one after the other, each cut into batches as its pace says.

use tarsops_model::component::Role;
use tarsops_model::desired::Desired;

use super::Draft;
use crate::database;
use crate::input::PlanInput;
use crate::names::natural_key;
use crate::plan::{Stage, Step};
use crate::report::{Blocked, Line};
use crate::stage::Pace;

impl Draft {
    /// Steps that would take the only endpoint that answers of a servant with several are not made.
    /// A registry has a guard of its own, and one that starts takes nothing.
    pub(super) fn protect_last_endpoints(&mut self) {
        let endpoints = std::mem::take(&mut self.batches.endpoints);
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
        let gap = self.gap;
        self.todo.retain(|step| match step.stage {
            Stage::Registries => {
                let stopped = step.action.on_host().and_then(|host| host.interrupts);
                gap || stopped.is_none_or(|process| !process.ran) || stays(step)
            }
            Stage::Containers
            | Stage::AdminRegistry
            | Stage::CoreServices
            | Stage::Agents
            | Stage::BasicServices => stays(step),
            _ => true,
        });
        self.report.extend(lines);
        self.batches.endpoints = endpoints;
    }

    /// The dump of the database, before the first step of the plan that changes it.
    pub(super) fn backup(&mut self, input: &PlanInput<'_>) {
        if !self.todo.iter().any(Step::changes_database) {
            return;
        }
        if let Some((step, lines)) = database::backup(input.inventory) {
            self.report.extend(lines);
            self.todo.push(step);
        }
    }

    /// Cuts the steps of a stage into batches, as its pace says. Rows come before what is published
    /// with them, one at a time.
    pub(super) fn place(&mut self, stage: Stage, desired: &Desired) {
        let of_stage = |step: &mut Step| step.stage == stage;
        let mut steps: Vec<Step> = self.todo.extract_if(.., of_stage).collect();
        let by_name = |s: &Step| (natural_key(&s.id), s.id.clone());
        let one = desired.policy.one_by_one();
        match stage.pace() {
            Pace::Together => self.batches.steps.append(&mut steps),
            Pace::InTurn => self.batches.roll_out(steps, &one),
            Pace::OneByOne => {
                steps.sort_by_cached_key(by_name);
                self.batches.roll_out(steps, &one);
            }
            Pace::RollOut => {
                steps.sort_by_cached_key(by_name);
                let rows = steps.extract_if(.., |s| s.action.is_of_rows()).collect();
                self.batches.roll_out(rows, &one);
                self.batches.roll_out(steps, &desired.policy);
            }
            Pace::RollOutByRole => {
                steps.sort_by_cached_key(|step| {
                    let host = step.resource.node().and_then(|node| desired.host(node));
                    let role = host.map_or(Role::Node, |host| host.role);
                    (rank(role), by_name(step))
                });
                self.batches.roll_out(steps, &desired.policy);
            }
        }
    }
}

const fn rank(role: Role) -> u8 {
    match role {
        Role::Node => 0,
        Role::Slave => 1,
        Role::Master => 2,
    }
}
