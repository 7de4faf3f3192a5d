//! The planner: a plain function, one flat list of stages. Read [`plan`] from top to bottom to know
//! the policy.

mod additions;
mod adoption;
mod batches;
mod closing;
mod leaving;

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::container::Container;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::actions::Recover;
use crate::assess::{Assessment, Places, Prepared, assess_among};
use crate::batch::Batches;
use crate::components;
use crate::condition::Condition;
use crate::drift::{Drift, DriftKind};
use crate::gates;
use crate::identity::{distrusted, identity, machines};
use crate::input::PlanInput;
use crate::plan::{ChangeKind, Plan, Stage, Step};
use crate::report::{Blocked, ContainerWork, Line};
use crate::rows::{self, Gone};
use crate::{containers, expansion, registries, servers};

/// Makes the plan that brings the cluster to the spec, as far as that can be done.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut draft = Draft {
        batches: Batches::of(input),
        gap: input.desired.policy.registry_gap,
        ..Draft::default()
    };
    let machines = machines(input);
    let places = Places::of(input);
    for (node, host) in input
        .desired
        .hosts()
        .filter(|(n, _)| input.scope.has_node(n))
    {
        let managed = components::LOOKED_AT.iter().chain(&[Component::Tarsnode]);
        if managed.copied().any(|c| input.scope.has_component(c)) {
            draft.node(input, node, host, &machines, &places);
        }
    }
    draft.not_yet(input);
    if input.scope.has_component(Component::Tarsregistry) {
        let (steps, lines) = rows::registries(input);
        draft.todo.extend(steps);
        draft.report.extend(lines);
    }
    draft.database(input);
    draft.console(input);
    draft.findings(input);
    // From here on the steps stand in the order of the work.
    draft.todo.sort_by_key(|step| step.stage);
    // Before the gates, which count on every step that is left.
    draft.protect_last_endpoints();
    let held = gates::postpone(input, &mut draft.todo);
    draft.report.extend(held);
    draft.postpone_for_run_user(input);
    draft.postpone_for_console(input);
    draft.postpone_strangers(input);
    draft.start_once();
    draft.leave_untouched(input);
    draft.backup(input);
    for stage in Stage::all() {
        draft.place(stage, input.desired);
    }
    draft.in_sequence(input);
    draft.unchecked(input);
    draft.fold_missing_rights(input);
    draft.finish(input)
}

#[derive(Default)]
struct Draft {
    /// Steps in their batches.
    batches: Batches,
    /// Whether the only registry that answers may be restarted.
    gap: bool,
    drift: Vec<Drift>,
    report: Vec<Line>,
    /// Steps that no batch has yet.
    todo: Vec<Step>,
    /// Resources that are added, of which the framework is silent until they are there.
    coming: BTreeSet<ResourceId>,
}

impl Draft {
    fn node(
        &mut self,
        input: &PlanInput<'_>,
        node: &NodeName,
        spec: &Host,
        machines: &BTreeMap<&str, Vec<&NodeName>>,
        places: &Places<'_>,
    ) {
        let resource = match input.desired.container(node) {
            Some(_) => ResourceId::Container(node.clone()),
            None => ResourceId::Agent(node.clone()),
        };
        if spec.state == NodeState::Gone {
            if !input.scope.has_component(Component::Tarsnode) {
                return;
            }
            match rows::gone(input, node, spec, places.rows_naming(node)) {
                Gone::Nothing => {}
                Gone::Told(line) => self.report.push(line),
                Gone::Unknown(why) => self.drift.push(Drift {
                    resource,
                    kind: DriftKind::Unknown { why: vec![why] },
                }),
                Gone::Step(step) => {
                    self.drift.push(rows::surplus(resource));
                    self.todo.push(*step);
                }
            }
            return;
        }
        let facts = match input.inventory.host(node) {
            Observed::Present(facts) => facts,
            other => {
                let why = other.unknown().unwrap_or("it is not there").to_owned();
                if let Some(line) = self.maintenance(input, spec, &resource, &why) {
                    self.report.push(line);
                    return;
                }
                self.drift.push(Drift {
                    resource,
                    kind: DriftKind::Unknown { why: vec![why] },
                });
                return;
            }
        };
        if let Some(why) = identity(input, node, spec, facts, machines) {
            // A machine whose disks are swapped may well be another one for a while.
            let told = match &why {
                Ok(blocked) => blocked.to_string(),
                Err(unknown) => unknown.clone(),
            };
            if let Some(line) = self.maintenance(input, spec, &resource, &told) {
                self.report.push(line);
                return;
            }
            match why {
                Ok(blocked) => self.report.push(Line::Blocked {
                    resource,
                    why: blocked,
                }),
                Err(unknown) => self.drift.push(Drift {
                    resource,
                    kind: DriftKind::Unknown { why: vec![unknown] },
                }),
            }
            return;
        }
        if let Some(why) = distrusted(input, node, facts) {
            let line = self.maintenance(input, spec, &resource, &why.to_string());
            let line = line.unwrap_or(Line::Blocked { resource, why });
            self.report.push(line);
            return;
        }
        if facts.clock_skew.saturating_abs() > 2 {
            self.report.push(Line::Note {
                resource: ResourceId::Host(node.clone()),
                text: format!(
                    "its clock differs from this machine's by {} s",
                    facts.clock_skew
                ),
            });
        }
        if let Some(left) = &facts.unfinished {
            if let NodeState::Maintenance { until, .. } = &spec.state {
                let differs = format!("run {} left a change unfinished", left.run);
                let line = self
                    .maintenance(input, spec, &resource, &differs)
                    .unwrap_or_else(|| maintenance_over(resource, *until));
                self.report.push(line);
                return;
            }
            if left.alive {
                let why = Blocked::ChangeInProgress {
                    run: left.run.clone(),
                };
                self.report.push(Line::Blocked { resource, why });
                return;
            }
            self.report.push(Line::Unfinished {
                node: node.clone(),
                run: left.run.clone(),
            });
            self.todo.push(recover_step(node, left));
            return;
        }
        if let Some(container) = input.desired.container(node) {
            self.container(input, node, spec, facts, container);
            return;
        }
        let agent = input
            .desired
            .agent(node)
            .filter(|_| input.scope.has_component(Component::Tarsnode));
        let assessment = agent.map(|a| assess_among(input, places, node, spec, a, facts));
        let change = assessment.as_ref().and_then(|a| a.change.as_ref());
        self.components(input, node, spec, facts, change);
        let mut start = None;
        if input.scope.has_component(Component::Tarsregistry) {
            let work = registries::assess(input, node, spec, facts);
            // One that lacks something comes with the rest of it, or not at all.
            let id = ResourceId::Server(Component::Tarsregistry, node.clone());
            let lacks = |d: &Drift| d.resource == id && d.kind == DriftKind::Missing;
            start = work
                .start
                .filter(|_| !expansion::may_be_new(input, node) && !self.drift.iter().any(lacks));
            self.todo.extend(work.stop);
            self.report.extend(work.lines);
        }
        self.servers(input, node, spec, facts, start);
        self.leaving(input, node, spec, facts);
        self.elsewhere(input, node, spec, facts);
        let Some(assessment) = assessment else {
            return;
        };
        // A change that restarts puts them back itself.
        let restarts = assessment
            .change
            .as_ref()
            .is_some_and(|p| p.change.restarts());
        if let (Some(labels), NodeState::Present, false) = (&facts.labels, &spec.state, restarts) {
            self.todo.extend(rows::labels(input, node, labels));
        }
        self.take(input, node, spec, resource, assessment);
    }

    /// Tells of components that run where the spec does not place them; a registry is a step.
    fn elsewhere(&mut self, input: &PlanInput<'_>, node: &NodeName, spec: &Host, host: &HostFacts) {
        // What leaves with its host has steps of its own.
        if matches!(spec.state, NodeState::Absent { .. }) {
            return;
        }
        let running = host.components.present().into_iter().flatten();
        let others: Vec<&str> = running
            .filter_map(|name| name.parse::<Component>().ok())
            .filter(|c| !matches!(c, Component::Tarsnode | Component::Tarsregistry))
            .filter(|c| input.desired.server(*c, node).is_none() && input.scope.has_component(*c))
            .map(Component::name)
            .collect();
        if !others.is_empty() {
            self.report.push(Line::Note {
                resource: ResourceId::Host(node.clone()),
                text: format!(
                    "runs {}, which the spec does not place there; left as it is",
                    others.join(", ")
                ),
            });
        }
    }

    /// The core services of a node. `start` is the step that starts a registry which is down.
    fn servers(
        &mut self,
        input: &PlanInput<'_>,
        node: &NodeName,
        spec: &Host,
        host: &HostFacts,
        mut start: Option<Step>,
    ) {
        for component in components::CORE.into_iter().chain(components::BASIC) {
            let Some(server) = input.desired.server(component, node).filter(|_| {
                input.scope.has_component(component)
                    && components::is_known(input.catalog, component)
                    && !matches!(spec.state, NodeState::Absent { .. } | NodeState::Gone)
            }) else {
                continue;
            };
            let work = servers::assess(input, component, node, spec, server, host);
            let resource = ResourceId::Server(component, node.clone());
            let Some(kind) = work.drift else {
                self.report.extend(work.lines);
                continue;
            };
            if let NodeState::Maintenance { until, .. } = &spec.state {
                let differs = match (&work.step, &kind) {
                    (Some(step), _) => format!("{component}: {}", step.summary),
                    (None, DriftKind::Unknown { why }) => {
                        format!("{component}: {}", why.join("; "))
                    }
                    (None, _) => format!("{component} differs from the spec"),
                };
                match self.maintenance(input, spec, &resource, &differs) {
                    Some(line) => self.report.push(line),
                    None => self.report.push(maintenance_over(resource, *until)),
                }
                continue;
            }
            self.report.extend(work.lines);
            self.drift.push(Drift {
                resource: resource.clone(),
                kind,
            });
            self.todo.extend(work.deploy);
            let Some(step) = work.step else { continue };
            if component.is_basic() {
                self.coming.insert(resource);
            }
            let started = start
                .as_mut()
                .filter(|_| component == Component::Tarsregistry);
            match started {
                Some(start) => servers::start_with(start, step),
                None => self.todo.push(step),
            }
        }
        self.todo.extend(start);
    }

    fn take(
        &mut self,
        input: &PlanInput<'_>,
        node: &NodeName,
        spec: &Host,
        resource: ResourceId,
        assessment: Assessment,
    ) {
        let Assessment {
            drift,
            lines,
            change,
        } = assessment;
        if let NodeState::Maintenance { until, .. } = &spec.state {
            let Some(kind) = drift else { return };
            let differs = match (&change, &kind) {
                (Some(p), _) => p.change.summary.clone(),
                (None, DriftKind::Unknown { why }) => why.join("; "),
                (None, _) => "it differs from the spec".to_owned(),
            };
            match self.maintenance(input, spec, &resource, &differs) {
                Some(line) => self.report.push(line),
                None => {
                    let alarms = lines
                        .into_iter()
                        .filter(|l| matches!(l, Line::Alarm { .. }));
                    self.report.extend(alarms);
                    self.report.push(maintenance_over(resource.clone(), *until));
                    self.drift.push(Drift { resource, kind });
                }
            }
            return;
        }
        self.report.extend(lines);
        let Some(kind) = drift else { return };
        if let Some(prepared) = change {
            let step = step(node, &kind, prepared);
            self.todo.push(step);
        }
        self.drift.push(Drift { resource, kind });
    }

    /// The framework's container of a node. A command that names components does not mean it.
    fn container(
        &mut self,
        input: &PlanInput<'_>,
        node: &NodeName,
        spec: &Host,
        host: &HostFacts,
        container: &Container,
    ) {
        if !input.scope.components.is_empty() {
            return;
        }
        let resource = ResourceId::Container(node.clone());
        if let NodeState::Absent { .. } = spec.state {
            self.report.push(Line::Blocked {
                resource,
                why: Blocked::NoContainerWork {
                    work: ContainerWork::Remove,
                },
            });
            return;
        }
        let work = containers::assess(input, node, spec, host, container);
        let Some(kind) = work.drift else { return };
        let differs = match (&work.step, work.lines.first()) {
            (Some(step), _) => step.summary.clone(),
            (None, Some(Line::Blocked { why, .. })) => why.to_string(),
            (None, _) => "it is not known how it is".to_owned(),
        };
        if let Some(line) = self.maintenance(input, spec, &resource, &differs) {
            self.report.push(line);
            return;
        }
        if let NodeState::Maintenance { until, .. } = &spec.state {
            self.report.push(maintenance_over(resource.clone(), *until));
        } else {
            self.todo.extend(work.step);
        }
        self.report.extend(work.lines);
        self.drift.push(Drift { resource, kind });
    }

    /// The line for a node under maintenance whose time is not over.
    fn maintenance(
        &self,
        input: &PlanInput<'_>,
        spec: &Host,
        resource: &ResourceId,
        differs: &str,
    ) -> Option<Line> {
        let NodeState::Maintenance { reason, until } = &spec.state else {
            return None;
        };
        let today = jiff::Timestamp::from_second(input.now)
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        if until.is_some_and(|until| today >= until) {
            return None;
        }
        let mut why = String::from("maintenance");
        if let Some(reason) = reason {
            why.push_str(&format!(" ({reason})"));
        }
        if let Some(until) = until {
            why.push_str(&format!(" until {until}"));
        }
        why.push_str(&format!(": {differs}"));
        Some(Line::Ignored {
            resource: resource.clone(),
            why,
        })
    }
}

/// The line for a node under maintenance whose time is over and that still differs.
fn maintenance_over(resource: ResourceId, until: Option<jiff::civil::Date>) -> Line {
    let until = until.map_or_else(String::new, |d| d.to_string());
    Line::Blocked {
        resource,
        why: Blocked::MaintenanceOver { until },
    }
}

fn recover_step(node: &NodeName, left: &tarsops_model::host::Unfinished) -> Step {
    Step::new(
        format!("recover/{node}"),
        (Stage::Recover, ChangeKind::Change),
        format!("end the change that run {} left", left.run),
        Recover {
            node: node.clone(),
            run: left.run.clone(),
            step: left.step.clone(),
            accept: false,
        },
        vec![Condition::Unfinished {
            run: Some(left.run.clone()),
        }],
        vec![Condition::Unfinished { run: None }],
    )
}

fn step(node: &NodeName, kind: &DriftKind, prepared: Prepared) -> Step {
    let word = match kind {
        DriftKind::Missing => "install",
        DriftKind::Surplus => "remove",
        _ => "change",
    };
    Step::of_change(
        format!("tarsnode.{word}@{node}"),
        prepared.change,
        prepared.pre,
        prepared.post,
    )
}
