//! Hosts that leave: whole, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use super::Draft;
use crate::actions::HostChange;
use crate::condition::Condition;
use crate::crontab::{self, CrontabEdit};
use crate::drift::{Drift, DriftKind};
use crate::endpoints::Gone;
use crate::input::PlanInput;
use crate::leaving;
use crate::plan::{Stage, Step};
use crate::report::{Blocked, Line};
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;

/// The resources that lines of a report call blocked.
fn blocked(report: &[Line]) -> impl Iterator<Item = &ResourceId> {
    report.iter().filter_map(|line| match line {
        Line::Blocked { resource, .. } => Some(resource),
        _ => None,
    })
}

impl Draft {
    /// The components of a node that the spec calls absent.
    pub(super) fn leaving(
        &mut self,
        input: &PlanInput<'_>,
        node: &NodeName,
        spec: &Host,
        host: &HostFacts,
    ) {
        let NodeState::Absent { stop_servers } = &spec.state else {
            return;
        };
        if !input.scope.has_component(Component::Tarsnode) {
            return;
        }
        let work = leaving::assess(input, node, spec, host, *stop_servers);
        self.drift.extend(work.drift);
        self.report.extend(work.lines);
        self.todo.extend(work.removals);
        self.todo.extend(work.rows);
    }

    /// While one component of a host that leaves has to stay, all of the host stays: its tarsnode looks
    /// after what is left, and its registry is what that resolves names by. One has to stay, too, while
    /// the host has the last endpoint of a servant: of all hosts that leave together, the last ones.
    pub(super) fn leave_untouched(&mut self, input: &PlanInput<'_>) {
        let mut held: BTreeSet<NodeName> = BTreeSet::new();
        let mut gone = Gone::default();
        let is_unseen = |d: &&Drift| matches!(d.kind, DriftKind::Unknown { .. });
        let unseen = self.drift.iter().filter(is_unseen).map(|d| &d.resource);
        let obstacles: BTreeSet<&NodeName> = unseen
            .chain(blocked(&self.report))
            .filter_map(ResourceId::node)
            .collect();
        let mut removals: BTreeMap<&NodeName, Vec<&Step>> = BTreeMap::new();
        for step in &self.todo {
            if let (
                Stage::RegistryRemoval | Stage::ServerRemoval | Stage::AgentRemoval,
                Some(node),
            ) = (step.stage, step.resource.node())
            {
                removals.entry(node).or_default().push(step);
            }
        }
        let mut lines = Vec::new();
        for (node, host) in input.desired.hosts() {
            if !matches!(host.state, NodeState::Absent { .. }) {
                continue;
            }
            if obstacles.contains(node) {
                held.insert(node.clone());
                continue;
            }
            let steps = removals.remove(node).unwrap_or_default();
            if let Err((step, servant)) = self.batches.endpoints.take_away(&steps, &mut gone) {
                lines.push(Line::Blocked {
                    resource: step.resource.clone(),
                    why: Blocked::OnlyEndpoint {
                        servant: servant.to_owned(),
                    },
                });
                held.insert(node.clone());
            }
        }
        self.report.extend(lines);
        if held.is_empty() {
            return;
        }
        let is_held = |step: &mut Step| {
            let removes = matches!(
                step.stage,
                Stage::RegistryRemoval | Stage::ServerRemoval | Stage::AgentRemoval | Stage::Rows
            );
            removes && step.resource.node().is_some_and(|n| held.contains(n))
        };
        let waits: Vec<Step> = self.todo.extract_if(.., is_held).collect();
        let said: BTreeSet<ResourceId> = blocked(&self.report).cloned().collect();
        let untold = waits.into_iter().map(|step| step.resource);
        let untold = untold.filter(|resource| !said.contains(resource));
        self.report.extend(untold.map(|resource| Line::Note {
            resource,
            text: "it stays until all of its host can be removed".to_owned(),
        }));
    }

    /// Several steps may edit one crontab: each is made for the crontab that the steps before it leave.
    pub(super) fn in_sequence(&mut self, input: &PlanInput<'_>) {
        let mut before: BTreeMap<NodeName, Vec<CrontabEdit>> = BTreeMap::new();
        for step in &mut self.batches.steps {
            let Some(change) = step.action.get_mut::<HostChange>() else {
                continue;
            };
            let node = change.node.clone();
            let Some(crontab) = change.crontab_mut() else {
                continue;
            };
            let earlier = before.entry(node.clone()).or_default();
            let seen = input.inventory.host(&node);
            let text = match seen.present().map(|h| &h.crontab) {
                Some(Observed::Present(text)) => crontab::without_guard(text),
                _ => String::new(),
            };
            let digest = |text: Option<&str>| {
                let text = text.filter(|t| !t.is_empty());
                text.map(|t| Digest::of(t.as_bytes()))
            };
            // One that was made for what is left by the others is right already.
            if !earlier.is_empty() && crontab.before == digest(Some(&text)) {
                let mut now = Some(text);
                for edit in earlier.iter() {
                    now = crontab::apply(now.as_deref(), edit);
                    crontab.edit = crontab.edit.after(edit);
                }
                let was = Condition::Crontab {
                    digest: crontab.before,
                };
                crontab.before = digest(now.as_deref());
                for condition in step.pre.iter_mut().filter(|c| **c == was) {
                    *condition = Condition::Crontab {
                        digest: crontab.before,
                    };
                }
            }
            earlier.push(crontab.edit.clone());
        }
    }
}
