//! What comes to a node: the components that a framework host lacks.

use tarsops_model::component::Component;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use super::{Draft, maintenance_over};
use crate::assess::Prepared;
use crate::drift::DriftKind;
use crate::input::PlanInput;
use crate::{expansion, registries};

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
                Some(prepared) => prepared.change.health,
                None => {
                    let seen = input.inventory.agent(node);
                    let processes = seen.present().and_then(|a| a.processes.present());
                    processes.is_some_and(|all| !all.is_empty())
                }
            },
            crontab: change.and_then(|p| p.change.crontab.as_ref()),
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
            let at = registries::endpoint_at(spec.ip);
            self.coming.insert(ResourceId::RegistryEndpoint(at));
        }
        for component in work.started {
            let id = ResourceId::Server(component, node.clone());
            self.coming.insert(id);
        }
        self.report.extend(work.lines);
        self.drift.extend(work.drift);
        self.expansion.extend(work.steps);
    }
}
