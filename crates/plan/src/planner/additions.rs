//! What comes to a node: the components that a framework host lacks.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use super::{Draft, maintenance_over};
use crate::actions::StartServer;
use crate::assess::Prepared;
use crate::drift::DriftKind;
use crate::expansion;
use crate::input::PlanInput;
use crate::places;
use crate::plan::{Stage, Step};
use crate::report::{Blocked, Line};

impl Draft {
    /// The components that a node lacks.
    pub(super) fn components(
        &mut self,
        input: &PlanInput<'_>,
        node: &NodeName,
        spec: &Host,
        host: &HostFacts,
        change: Option<&Prepared>,
    ) {
        if matches!(spec.state, NodeState::Absent { .. } | NodeState::Gone) {
            return;
        }
        let agent = expansion::Agent {
            runs: match change {
                Some(prepared) => prepared.change.ends_healthy(),
                None => {
                    let seen = input.inventory.agent(node);
                    let processes = seen.present().and_then(|a| a.processes.present());
                    processes.is_some_and(|all| !all.is_empty())
                }
            },
            crontab: change.and_then(|p| p.change.crontab()),
        };
        let work = expansion::assess(input, node, spec, host, &agent);
        if let NodeState::Maintenance { until, .. } = &spec.state {
            for drift in work.drift {
                let differs = match &drift.kind {
                    DriftKind::Unknown { why } => why.join("; "),
                    _ => "it is missing".to_owned(),
                };
                match self.maintenance(input, spec, &drift.resource, &differs) {
                    Some(line) => self.report.push(line),
                    None => self.report.push(maintenance_over(drift.resource, *until)),
                }
            }
            return;
        }
        if work.started.contains(&Component::Tarsregistry) {
            let at = places::endpoint_at(spec.ip);
            self.coming.insert(ResourceId::RegistryEndpoint(at));
        }
        for component in work.started {
            let id = ResourceId::Server(component, node.clone());
            self.coming.insert(id);
        }
        self.report.extend(work.lines);
        self.drift.extend(work.drift);
        self.todo.extend(work.steps);
    }

    /// A tarsnode starts servers as the user that it runs as itself. Where that is another one than
    /// the spec's and its own step was taken out, nothing is started through it.
    pub(super) fn postpone_strangers(&mut self, input: &PlanInput<'_>) {
        let mut strange: BTreeMap<NodeName, String> = BTreeMap::new();
        let changed: BTreeSet<&NodeName> = self
            .todo
            .iter()
            .filter(|s| s.stage == Stage::Agents)
            .filter_map(|s| s.resource.node())
            .collect();
        let expands = |step: &&Step| step.stage == Stage::Expansion;
        for step in self.todo.iter().filter(expands) {
            let Some(StartServer { node, .. }) = step.action.get() else {
                continue;
            };
            let wanted = input.desired.agent(node).map(|a| a.run_user.as_str());
            let seen = input.inventory.agent(node);
            let runs = seen
                .present()
                .and_then(|a| a.processes.present())
                .and_then(|all| all.iter().find(|p| Some(p.user.as_str()) != wanted));
            if let Some(process) = runs
                && !changed.contains(node)
            {
                strange.insert(node.clone(), process.user.clone());
            }
        }
        let is_held = |step: &Step| {
            let node = step.resource.node();
            step.stage == Stage::Expansion && node.is_some_and(|n| strange.contains_key(n))
        };
        self.todo.retain(|step| !is_held(step));
        for (node, user) in strange {
            self.report.push(Line::Blocked {
                resource: ResourceId::Host(node),
                why: Blocked::StartedAs { user },
            });
        }
    }

    /// What needs a management platform that cannot be used: unless the caller says that it may
    /// wait, nothing is done, as nobody then looks at half an upgrade.
    pub(super) fn postpone_for_console(&mut self, input: &PlanInput<'_>) {
        let mut silent: Option<String> = None;
        let mut held: BTreeSet<ResourceId> = BTreeSet::new();
        self.report.retain(|line| match line {
            Line::Blocked {
                resource,
                why: Blocked::ConsoleSilent { why },
            } => {
                held.insert(resource.clone());
                silent = Some(why.clone());
                false
            }
            _ => true,
        });
        let Some(why) = silent else { return };
        let mut waits = |resource: ResourceId, what: String| {
            self.report.push(Line::Waiting {
                resource,
                why: what,
            });
        };
        for resource in held {
            let version = match &resource {
                ResourceId::Server(component, node) => input.desired.server(*component, node),
                _ => None,
            };
            let what = version.map_or_else(|| "it".to_owned(), |s| s.version.to_string());
            let told = if input.scope.without_console {
                format!(": {why}")
            } else {
                String::new()
            };
            waits(
                resource,
                format!("{what} is published once the management platform can be used{told}"),
            );
        }
        if input.scope.without_console {
            return;
        }
        for step in self.todo.iter().filter(|s| s.stage != Stage::Recover) {
            self.report.push(Line::Waiting {
                resource: step.resource.clone(),
                why: format!("{}: once the management platform can be used", step.summary),
            });
        }
        self.report.push(Line::Blocked {
            resource: ResourceId::Web,
            why: Blocked::ConsoleSilent { why },
        });
        self.clear();
    }

    /// Takes out every step but those that end what earlier runs left.
    pub(super) fn clear(&mut self) {
        self.todo.retain(|step| step.stage == Stage::Recover);
    }

    /// A registry that AdminRegistry starts, as its rows come, is not started by its script as well.
    pub(super) fn start_once(&mut self) {
        let of = |stage| move |step: &&Step| step.stage == stage;
        let starts = self.todo.iter().filter(of(Stage::Expansion));
        let started: BTreeSet<ResourceId> = starts.map(|s| s.resource.clone()).collect();
        self.todo
            .retain(|s| s.stage != Stage::Registries || !started.contains(&s.resource));
    }
}
