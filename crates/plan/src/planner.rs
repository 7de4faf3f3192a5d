//! The planner: a plain function, one flat list of stages. Read [`plan`] from top to bottom to know
//! the policy.

mod additions;
mod adoption;
mod batches;
mod leaving;

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::actions::{HostChange, Recover};
use crate::assess::{Assessment, Places, Prepared, assess_among};
use crate::batch::Batches;
use crate::components;
use crate::condition::Condition;
use crate::database;
use crate::drift::{Drift, DriftKind};
use crate::finding::{Finding, Severity};
use crate::gates;
use crate::input::PlanInput;
use crate::plan::{ChangeKind, FORMAT, Plan, Stage, Step, Summary};
use crate::report::{Blocked, Line};
use crate::rows::{self, Gone};
use crate::rules::{self, ExplainedBy, Lets};
use crate::{expansion, registries, servers};

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
    draft.findings(input);
    // From here on the steps stand in the order of the work.
    draft.todo.sort_by_key(|step| step.stage);
    let held = gates::postpone(input, &mut draft.todo);
    draft.report.extend(held);
    draft.postpone_for_run_user(input);
    draft.postpone_for_console(input);
    draft.protect_last_endpoints();
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

/// Which nodes answer with which machine-id.
fn machines<'a>(input: &PlanInput<'a>) -> BTreeMap<&'a str, Vec<&'a NodeName>> {
    let mut out: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for (node, _) in input.desired.hosts() {
        if let Observed::Present(HostFacts {
            machine_id: Observed::Present(id),
            ..
        }) = input.inventory.host(node)
        {
            out.entry(id).or_default().push(node);
        }
    }
    out
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
        let resource = ResourceId::Agent(node.clone());
        if spec.state == NodeState::Gone {
            if !input.scope.has_component(Component::Tarsnode) {
                return;
            }
            match rows::gone(input, node, spec) {
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
        if let Some(why) = identity(node, spec, facts, machines) {
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

    /// What the spec describes and no step handles is said, never passed over.
    fn not_yet(&mut self, input: &PlanInput<'_>) {
        let unknown = input.desired.resources.keys().filter(|id| match id {
            ResourceId::Server(c, n) => {
                !components::is_known(input.catalog, *c)
                    && input.scope.has_component(*c)
                    && input.scope.has_node(n)
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
    fn database(&mut self, input: &PlanInput<'_>) {
        let work = database::assess(input);
        self.todo.extend(work.schema);
        self.todo.extend(work.templates);
        self.drift.extend(work.drift);
        self.report.extend(work.lines);
    }

    /// What the sources say against each other, and what they did not say.
    fn findings(&mut self, input: &PlanInput<'_>) {
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
                Some(ExplainedBy::Reported) => self.is_reported(&resource),
                Some(ExplainedBy::Nothing) | None => false,
            };
            match severity {
                Severity::Blocked => self.report.push(Line::Blocked {
                    resource,
                    why: Blocked::Finding { name, text, cure },
                }),
                Severity::Drift if explained => {}
                Severity::Drift => self.drift.push(Drift {
                    resource,
                    kind: DriftKind::Disagreeing {
                        finding: name,
                        sources,
                        explanation: text,
                        cure,
                        heals_within,
                    },
                }),
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

    /// Whether the plan already says of a server how it differs, or that it waits.
    fn is_reported(&self, server: &ResourceId) -> bool {
        let differs = |d: &Drift| d.resource == *server;
        let waits = |l: &Line| matches!(l, Line::Waiting { resource, .. } if resource == server);
        self.drift.iter().any(differs) || self.report.iter().any(waits)
    }

    /// Says what the gates after a node's step cannot ask.
    fn unchecked(&mut self, input: &PlanInput<'_>) {
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

    fn finish(mut self, input: &PlanInput<'_>) -> Plan {
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

/// The line for a node under maintenance whose time is over and that still differs.
fn maintenance_over(resource: ResourceId, until: Option<jiff::civil::Date>) -> Line {
    let until = until.map_or_else(String::new, |d| d.to_string());
    Line::Blocked {
        resource,
        why: Blocked::MaintenanceOver { until },
    }
}

/// Why a host must not be changed, whatever is planned for it: it is not the node's, or that cannot be
/// told, or its fence is from the future.
#[must_use]
pub fn stranger(input: &PlanInput<'_>, node: &NodeName) -> Option<String> {
    let spec = input.desired.host(node)?;
    let facts = match input.inventory.host(node) {
        Observed::Present(facts) => facts,
        other => return Some(other.unknown().unwrap_or("it is not there").to_owned()),
    };
    let known = identity(node, spec, facts, &machines(input));
    let other = known.map(|why| why.map_or_else(|unknown| unknown, |blocked| blocked.to_string()));
    other.or_else(|| distrusted(input, node, facts).map(|blocked| blocked.to_string()))
}

/// Why tarsops' own files on a host cannot be used, if they cannot.
fn distrusted(input: &PlanInput<'_>, node: &NodeName, facts: &HostFacts) -> Option<Blocked> {
    let unsafe_folder = facts.unsafe_state.clone();
    unsafe_folder
        .map(|why| Blocked::UnsafeFolder { why })
        .or_else(|| fence_ahead(input, node, facts))
}

/// A fence that is later than our clock and some minutes: every run of today would be older.
fn fence_ahead(input: &PlanInput<'_>, node: &NodeName, facts: &HostFacts) -> Option<Blocked> {
    let fence = facts.fence.as_ref()?;
    if fence.is_by(input.now) {
        return None;
    }
    Some(Blocked::FenceAhead {
        run: fence.clone(),
        path: format!(
            "{}/fence",
            input.desired.state_folder_on(node, facts.is_root)
        ),
    })
}

/// The identity guard: a mistyped address must not give one machine another's nodeid. `None` if the
/// host is the node's; a reason that blocks, or one why it cannot be told.
fn identity(
    node: &NodeName,
    spec: &Host,
    facts: &HostFacts,
    machines: &BTreeMap<&str, Vec<&NodeName>>,
) -> Option<Result<Blocked, String>> {
    match &facts.interfaces {
        Observed::Present(has) if has.contains(&spec.ip) => {}
        Observed::Present(has) => {
            return Some(Ok(Blocked::WrongAddress {
                ip: spec.ip.to_string(),
                has: has.iter().map(ToString::to_string).collect(),
            }));
        }
        Observed::Absent | Observed::Unknown(_) => {
            let why = facts.interfaces.unknown().unwrap_or("it has none");
            return Some(Err(format!("its addresses: {why}")));
        }
    }
    match &facts.machine_id {
        Observed::Present(id) => machines
            .get(id.as_str())
            .and_then(|all| all.iter().find(|n| **n != node))
            .map(|other| {
                Ok(Blocked::SameMachine {
                    other: (*other).clone(),
                })
            }),
        Observed::Absent | Observed::Unknown(_) => {
            let why = facts.machine_id.unknown().unwrap_or("it has none");
            Some(Err(format!("its machine-id: {why}")))
        }
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
