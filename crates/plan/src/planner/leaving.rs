//! Hosts that leave: whole, or not at all.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;

use super::Draft;
use crate::actions::HostChange;
use crate::condition::Condition;
use crate::crontab::{self, CrontabEdit};
use crate::drift::DriftKind;
use crate::endpoints::Gone;
use crate::input::PlanInput;
use crate::leaving;
use crate::plan::{Stage, Step};
use crate::report::{Blocked, Line};
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;

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
    /// after what is left, and its registry is what that resolves names by.
    pub(super) fn leave_untouched(&mut self, input: &PlanInput<'_>) {
        let mut held: BTreeSet<NodeName> = BTreeSet::new();
        let mut gone = Gone::default();
        for (node, host) in input.desired.hosts() {
            if !matches!(host.state, NodeState::Absent { .. }) {
                continue;
            }
            let blocked = |l: &Line| matches!(l, Line::Blocked { resource, .. } if resource.node() == Some(node));
            let unseen = self.drift.iter().any(|d| {
                d.resource.node() == Some(node) && matches!(d.kind, DriftKind::Unknown { .. })
            });
            if unseen || self.report.iter().any(blocked) {
                held.insert(node.clone());
                continue;
            }
            let own =
                |s: &&Step| s.stage == Stage::ServerRemoval && s.resource.node() == Some(node);
            let steps: Vec<&Step> = self.todo.iter().filter(own).collect();
            if let Err((step, servant)) = self.batches.endpoints.take_away(&steps, &mut gone) {
                self.report.push(Line::Blocked {
                    resource: step.resource.clone(),
                    why: Blocked::OnlyEndpoint {
                        servant: servant.to_owned(),
                    },
                });
                held.insert(node.clone());
            }
        }
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
        for step in waits {
            let said = |l: &Line| matches!(l, Line::Blocked { resource, .. } if *resource == step.resource);
            if !self.report.iter().any(said) {
                self.report.push(Line::Note {
                    resource: step.resource,
                    text: "it stays until all of its host can be removed".to_owned(),
                });
            }
        }
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
