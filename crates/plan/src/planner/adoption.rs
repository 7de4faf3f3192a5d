//! What is written down wrongly is otherwise everywhere alike: a framework that runs as somebody else
//! than the spec says, or an SSH user who may nothing. It is said once, and nothing is restarted for it.

use std::collections::BTreeSet;

use tarsops_model::agent::ProcessFact;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::Draft;
use crate::input::PlanInput;
use crate::report::{Blocked, Line};

impl Draft {
    /// Holds everything back while every process of the framework runs as one other user than the
    /// spec's and nobody has said that this should change: the spec is wrong then, or the change is one
    /// that a person should ask for by name.
    pub(super) fn postpone_for_run_user(&mut self, input: &PlanInput<'_>) {
        if input.desired.change_run_user {
            return;
        }
        let Some(runs_as) = user_of_all(input) else {
            return;
        };
        let why = Blocked::RunsAs {
            runs_as: runs_as.to_owned(),
            wanted: input.desired.run_user.to_string(),
        };
        // It says the same with another cure.
        self.report.retain(|line| {
            !matches!(
                line,
                Line::Blocked {
                    why: Blocked::NoRunUser { .. },
                    ..
                }
            )
        });
        let on_hosts =
            |id: &&ResourceId| matches!(id, ResourceId::Agent(_) | ResourceId::Server(..));
        let differing = self.drift.iter().map(|d| &d.resource).filter(on_hosts);
        let lines = differing.map(|resource| Line::Blocked {
            resource: resource.clone(),
            why: why.clone(),
        });
        self.report.extend(lines.collect::<Vec<_>>());
        self.clear();
    }

    /// Says once, and not for each thing on each host, that the SSH user has no right to do anything.
    pub(super) fn fold_missing_rights(&mut self, input: &PlanInput<'_>) {
        let mut user: Option<&str> = None;
        for (node, _) in input
            .desired
            .hosts()
            .filter(|(n, _)| input.scope.has_node(n))
        {
            let Observed::Present(host) = input.inventory.host(node) else {
                continue;
            };
            let other = user.is_some_and(|user| user != host.user);
            if host.is_root || other || host.user == input.desired.run_user.as_str() {
                return;
            }
            user = Some(&host.user);
        }
        let Some(user) = user else { return };
        for line in &mut self.report {
            if let Line::Blocked { why, .. } = line
                && matches!(why, Blocked::NeedsRoot { .. })
            {
                *why = Blocked::NoRights {
                    user: user.to_owned(),
                    run_user: input.desired.run_user.to_string(),
                };
            }
        }
    }
}

/// The one user other than the spec's that every process of the framework runs as.
fn user_of_all<'a>(input: &PlanInput<'a>) -> Option<&'a str> {
    let mut users: BTreeSet<&str> = BTreeSet::new();
    let mut take = |processes: &'a Observed<Vec<ProcessFact>>| {
        let all = processes.present().into_iter().flatten();
        users.extend(all.map(|p| p.user.as_str()));
    };
    for id in input.desired.resources.keys() {
        match id {
            ResourceId::Agent(node) => {
                if let Observed::Present(agent) = input.inventory.agent(node) {
                    take(&agent.processes);
                }
            }
            ResourceId::Server(component, node) => {
                if let Observed::Present(server) = input.inventory.server(*component, node) {
                    take(&server.processes);
                }
            }
            _ => {}
        }
    }
    let mut users = users.into_iter();
    let first = users.next()?;
    (users.next().is_none() && first != input.desired.run_user.as_str()).then_some(first)
}
