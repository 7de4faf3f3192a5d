//! What a plan says beside its steps: findings, what is not checked and not managed, and the counts.

use std::collections::BTreeSet;

use tarsops_model::desired::Rpc;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::Draft;
use crate::actions::HostChange;
use crate::components;
use crate::console;
use crate::database;
use crate::drift::{Drift, DriftKind};
use crate::finding::{Finding, Severity};
use crate::input::PlanInput;
use crate::plan::{FORMAT, Plan, Summary};
use crate::report::{Blocked, Line};
use crate::rules::{self, ExplainedBy, Lets};

impl Draft {
    /// What the spec describes and no step handles is said, never passed over.
    pub(super) fn not_yet(&mut self, input: &PlanInput<'_>) {
        let unknown = input.desired.resources.keys().filter(|id| match id {
            ResourceId::Server(c, n) => {
                !components::is_known(input.catalog, *c)
                    && input.scope.has_component(*c)
                    && input.scope.has_node(n)
                    && input.desired.container(n).is_none()
            }
            _ => false,
        });
        let count = unknown.count();
        if count > 0 {
            let services = if count == 1 { "service" } else { "services" };
            self.report.push(Line::NotYet {
                topic: "components".to_owned(),
                what: format!("{count} {services} without a pinned package"),
            });
        }
    }

    /// What the release needs of the database.
    pub(super) fn database(&mut self, input: &PlanInput<'_>) {
        let work = database::assess(input);
        self.todo.extend(work.schema);
        self.todo.extend(work.templates);
        self.drift.extend(work.drift);
        self.report.extend(work.lines);
    }

    /// The management platform.
    pub(super) fn console(&mut self, input: &PlanInput<'_>) {
        if let Some((drift, line)) = console::assess(input) {
            self.drift.push(drift);
            self.report.extend(line);
        }
    }

    /// What the sources say against each other, and what they did not say.
    pub(super) fn findings(&mut self, input: &PlanInput<'_>) {
        let mut reported = self.reported();
        for found in rules::findings(input) {
            let Finding {
                name,
                severity,
                resource,
                text,
                fix: cure,
                sources,
                heals_within,
            } = found;
            let rule = rules::rule(name);
            let explained = match rule.map(|rule| rule.explained_by) {
                Some(ExplainedBy::Installation) => self.coming.contains(&resource),
                Some(ExplainedBy::Reported) => reported.contains(&resource),
                Some(ExplainedBy::Nothing) | None => false,
            };
            match severity {
                Severity::Blocked => self.report.push(Line::Blocked {
                    resource,
                    why: Blocked::Finding { name, text, cure },
                }),
                Severity::Drift if explained => {}
                Severity::Drift => {
                    reported.insert(resource.clone());
                    self.drift.push(Drift {
                        resource,
                        kind: DriftKind::Disagreeing {
                            finding: name,
                            sources,
                            explanation: text,
                            cure,
                            heals_within,
                        },
                    });
                }
                Severity::Warning => self.report.push(Line::Warning {
                    resource,
                    name,
                    text,
                    cure,
                }),
            }
            if severity == Severity::Blocked {
                // Whoever may be working on another cluster's state works on nothing. What an
                // earlier run left on a host is ended without the database.
                if rule.is_none_or(|rule| rule.lets == Lets::Nothing) {
                    self.todo.clear();
                }
                self.clear();
            }
        }
        self.drift.extend(rules::unknowns(input));
    }

    /// The resources of which the plan already says how they differ, or that they wait.
    fn reported(&self) -> BTreeSet<ResourceId> {
        let differs = self.drift.iter().map(|d| &d.resource);
        let waits = self.report.iter().filter_map(|line| match line {
            Line::Waiting { resource, .. } => Some(resource),
            _ => None,
        });
        differs.chain(waits).cloned().collect()
    }

    /// Says what the gates after a node's step cannot ask.
    pub(super) fn unchecked(&mut self, input: &PlanInput<'_>) {
        let gated = self
            .batches
            .steps
            .iter()
            .filter_map(|s| s.action.get::<HostChange>())
            .any(HostChange::ends_healthy);
        if !gated {
            return;
        }
        let framework = input.inventory.framework.as_deref();
        let rows = framework.map(tarsops_model::framework::FrameworkFacts::rows);
        let registration = match (input.desired.database(), rows) {
            (None, _) => Some("the spec names no database".to_owned()),
            (Some(_), Some(Observed::Present(rows))) => rows.nodes.unknown().map(str::to_owned),
            (Some(_), Some(Observed::Unknown(why))) => Some(why),
            (Some(_), _) => Some("the database was not read".to_owned()),
        };
        let ping = if input.desired.rpc == Rpc::Off {
            Some("the spec says `rpc: none`".to_owned())
        } else {
            match framework.map(|f| &f.admin) {
                Some(Observed::Present(_)) => None,
                Some(Observed::Unknown(why)) => Some(why.clone()),
                Some(Observed::Absent) | None => Some("AdminRegistry was not asked".to_owned()),
            }
        };
        for (what, why) in [
            ("registration", registration),
            ("AdminRegistry's ping", ping),
        ] {
            if let Some(why) = why {
                self.report.push(Line::Unchecked {
                    what: format!("{what} ({why})"),
                });
            }
        }
    }

    pub(super) fn finish(mut self, input: &PlanInput<'_>) -> Plan {
        self.report.sort();
        self.report.dedup();
        let mut summary = Summary::of(&self.batches.steps);
        let blocked: BTreeSet<&ResourceId> = self
            .report
            .iter()
            .filter_map(|l| match l {
                Line::Blocked { resource, .. } => Some(resource),
                _ => None,
            })
            .collect();
        summary.blocked = blocked.len();
        summary.unknown = self
            .drift
            .iter()
            .filter(|d| {
                matches!(d.kind, DriftKind::Unknown { .. }) && !blocked.contains(&d.resource)
            })
            .count();
        Plan {
            format: FORMAT.to_owned(),
            cluster: input.desired.cluster.clone(),
            spec_digest: input.desired.spec_digest,
            observed_at: input.inventory.observed_at,
            nodes: input
                .desired
                .hosts()
                .filter(|(n, _)| input.scope.has_node(n))
                .count(),
            on: input.scope.words(),
            without_console: input.scope.without_console,
            rolls_back: None,
            summary,
            drift: self.drift,
            extra: rules::extra(input),
            endpoints: self.batches.endpoints.lows(&self.batches.steps),
            steps: self.batches.steps,
            gates: self.batches.gates,
            report: self.report,
        }
    }
}
