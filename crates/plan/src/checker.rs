//! An independent look at a whole plan before anything is done.
//!
//! It shares no decision with the planner: it takes the plan as a document and asks of it what must
//! be true of every plan, whoever made it. What a saved plan leaves of a plan goes through it, too.

mod endpoints;
mod expansion;
mod rollback;
mod rows;
mod sequence;
mod tables;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::{Component, Role};
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::resource::ResourceId;

pub use violation::Violation;
use violation::violation;

use crate::action::{
    Action, Content, FileChange, Folder, HostChange, Operation, Owner, Publish, Via,
};
use crate::condition::Condition;
use crate::input::{PlanInput, Scope};
use crate::plan::{ChangeKind, Gate, Plan, Stage, Step};

/// Looks at the plan as it was made.
///
/// # Errors
/// Every violation that was found.
pub fn check(plan: &Plan, input: &PlanInput<'_>) -> Result<(), Vec<Violation>> {
    if let Some(run) = &plan.rolls_back {
        let found = rollback::check(plan, run, input);
        return if found.is_empty() { Ok(()) } else { Err(found) };
    }
    let mut found = shape(plan, input.desired, input.scope);
    endpoints::check(plan, input, &mut found);
    sequence::check(plan, input, &mut found);
    for step in &plan.steps {
        tables::pinned(step, input, &mut found);
        // What it takes from a package is what was pinned.
        if let Action::ChangeHost(change) = &step.action {
            for file in change.files() {
                if let Content::Package {
                    component,
                    version,
                    path,
                    ..
                } = &file.content
                {
                    let package = input.catalog.get(*component, *version);
                    let pinned = package.and_then(|p| p.file(path)).map(|f| f.digest);
                    if pinned.is_none() || pinned != file.after {
                        found.push(violation(
                            &step.id,
                            format!("{} is not as the package has it", file.path),
                        ));
                    }
                }
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// Looks at a plan without an inventory: at what must be so whatever was seen.
///
/// # Errors
/// Every violation that was found.
pub fn check_document(plan: &Plan, desired: &Desired) -> Result<(), Vec<Violation>> {
    let found = match Scope::parse(&plan.on, desired) {
        Ok(scope) => match &plan.rolls_back {
            Some(run) => rollback::shape(plan, run, desired, &scope),
            None => shape(plan, desired, &scope),
        },
        Err(e) => vec![violation("on", e.to_string())],
    };
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn shape(plan: &Plan, desired: &Desired, scope: &Scope) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut touched: BTreeMap<(&NodeName, Option<Component>), &str> = BTreeMap::new();
    let mut last = (Stage::Recover, 0u32);
    for step in &plan.steps {
        if !seen.insert(&step.id) {
            found.push(violation(&step.id, "the plan has it twice"));
        }
        if (step.stage, step.batch) < last {
            found.push(violation(&step.id, "it comes after a later stage or batch"));
        }
        last = (step.stage, step.batch);
        if let Action::AddServerRows(new) = &step.action {
            expansion::rows(step, new, desired, scope, &mut found);
            continue;
        }
        if step.action.is_of_tables() {
            tables::shape(step, desired, scope, &mut found);
            continue;
        }
        if step.action.is_of_rows() || step.stage == Stage::Rows {
            rows(step, desired, scope, &mut found);
            continue;
        }
        let Some(node) = step.resource.node() else {
            found.push(violation(&step.id, "it works on no node"));
            continue;
        };
        // An unfinished change is of the whole host; else each component has its own step.
        let component = match &step.action {
            Action::ChangeHost(change) => Some(change.component),
            _ => None,
        };
        let mut before = touched.get(&(node, None)).copied();
        // An expansion has several steps for one component; nothing else works on it.
        let key = match &step.action {
            Action::StartServer { component, .. } => (node, Some(*component)),
            _ => (node, component),
        };
        if step.stage == Stage::Expansion {
            before = before.or_else(|| touched.get(&key).copied());
        } else {
            before = touched.insert(key, &step.id).or(before);
        }
        if let Some(other) = before {
            found.push(violation(
                &step.id,
                format!("{other} works on the same node"),
            ));
        }
        place(step, node, desired, scope, &mut found);
        match &step.action {
            // Looked at above.
            Action::DeleteNodeRows { .. }
            | Action::DeleteRegistryRows { .. }
            | Action::DeleteServerRows { .. }
            | Action::RestoreLabels { .. }
            | Action::Backup { .. }
            | Action::AddColumn { .. }
            | Action::MergeTemplate(_)
            | Action::AddTemplate(_)
            | Action::RestoreTemplate { .. }
            | Action::AddServerRows(_)
            | Action::RemoveServerRows(_) => {}
            Action::StartServer { component, node } => {
                expansion::start(step, *component, node, desired, &mut found);
            }
            Action::StopServer { .. } => {
                found.push(violation(&step.id, "it stops a server of the framework"));
            }
            Action::Recover { node: target, .. } => {
                if target != node {
                    found.push(violation(&step.id, "its action is on another node"));
                }
            }
            Action::ChangeHost(change) => {
                if is_restore(change) {
                    found.push(violation(&step.id, "it restores what a run has saved"));
                }
                if change.component == Component::Tarsnode {
                    agent(&step.id, node, change, desired, &mut found);
                } else if matches!(change.operation, Operation::Place(_) | Operation::Watch(_)) {
                    expansion::change(step, node, change, desired, &mut found);
                } else {
                    server(step, node, change, desired, &mut found);
                }
                let machine = Condition::Machine {
                    id: change.machine_id.clone(),
                };
                let needs = [
                    step.pre.contains(&machine),
                    step.pre.contains(&Condition::Unfinished { run: None }),
                    !step.post.is_empty(),
                ];
                if needs.contains(&false) {
                    found.push(violation(
                        &step.id,
                        "it does not check the machine, that the host is idle, or its own result",
                    ));
                }
            }
        }
    }
    tables::backed_up(plan, &mut found);
    batches(plan, desired, &mut found);
    expansion::order(plan, &mut found);
    found
}

/// Whether anything of a change is a rollback's.
fn is_restore(change: &HostChange) -> bool {
    let before = |f: &FileChange| matches!(f.content, Content::Before { .. });
    change.undoes().is_some()
        || change.files().iter().any(before)
        || change.crontab().is_some_and(|c| c.back.is_some())
}

/// Whether the step may touch its node at all, and stands in the stage of its action.
fn place(
    step: &Step,
    node: &NodeName,
    desired: &Desired,
    scope: &Scope,
    found: &mut Vec<Violation>,
) {
    if !scope.has_node(node) {
        found.push(violation(
            &step.id,
            "its node is not among those that were asked for",
        ));
    }
    match desired.host(node).map(|h| &h.state) {
        None => found.push(violation(&step.id, "the spec has no such node")),
        Some(NodeState::Maintenance { .. } | NodeState::Gone) => {
            found.push(violation(&step.id, "its node must not be changed"));
        }
        Some(NodeState::Present | NodeState::Absent { .. }) => {}
    }
    let stage = match (&step.action, step.sign) {
        (
            Action::DeleteNodeRows { .. }
            | Action::DeleteRegistryRows { .. }
            | Action::DeleteServerRows { .. }
            | Action::RestoreLabels { .. }
            | Action::RemoveServerRows(_),
            _,
        ) => Stage::Rows,
        (Action::StartServer { .. }, ChangeKind::Change) => Stage::BasicServices,
        (Action::AddServerRows(_) | Action::StartServer { .. } | Action::StopServer { .. }, _) => {
            Stage::Expansion
        }
        (Action::Backup { .. }, _) => Stage::Backup,
        (Action::AddColumn { .. }, _) => Stage::Schema,
        (Action::MergeTemplate(_) | Action::AddTemplate(_) | Action::RestoreTemplate { .. }, _) => {
            Stage::Templates
        }
        (Action::Recover { .. }, _) => Stage::Recover,
        (Action::ChangeHost(c), _) => match (&c.operation, c.component) {
            (Operation::Install(_) | Operation::Modify(_), Component::Tarsnode) => Stage::Agents,
            (Operation::Remove(_), Component::Tarsnode) | (Operation::RemoveRest(_), _) => {
                Stage::AgentRemoval
            }
            (Operation::Remove(_), Component::Tarsregistry) => Stage::RegistryRemoval,
            (Operation::Remove(_), _) => Stage::ServerRemoval,
            (Operation::Place(_) | Operation::Watch(_), _) => Stage::Expansion,
            (_, Component::TarsAdminRegistry) => Stage::AdminRegistry,
            (_, Component::Tarsconfig | Component::Tarspatch) => Stage::CoreServices,
            (_, basic) if basic.is_basic() => Stage::BasicServices,
            _ => Stage::Registries,
        },
    };
    if step.stage != stage {
        found.push(violation(&step.id, "its stage is not that of its action"));
    }
    if let Action::ChangeHost(change) = &step.action {
        let sign = match &change.operation {
            Operation::Remove(_) | Operation::RemoveRest(_) => ChangeKind::Remove,
            _ if change.folder() == Folder::Create => ChangeKind::Add,
            _ => ChangeKind::Change,
        };
        if step.sign != sign {
            found.push(violation(&step.id, "its sign is not that of its action"));
        }
    }
}

/// Whether rows are deleted only of what the spec calls gone, or does not name, and only after
/// everybody who knows was asked.
fn rows(step: &Step, desired: &Desired, scope: &Scope, found: &mut Vec<Violation>) {
    let mut say = |what: &str| found.push(violation(&step.id, what));
    let sign = match &step.action {
        Action::RestoreLabels { .. } => ChangeKind::Change,
        _ => ChangeKind::Remove,
    };
    if step.stage != Stage::Rows || step.sign != sign {
        say("its stage is not that of its action");
    }
    match &step.action {
        Action::DeleteNodeRows { node, ip } => {
            if step.resource != ResourceId::Agent(node.clone()) || !scope.has_node(node) {
                say("its node is not among those that were asked for");
            }
            let gone = desired
                .host(node)
                .is_some_and(|h| h.state == NodeState::Gone && h.ip == *ip);
            if !gone {
                say("it deletes rows of a node that is not gone in the spec");
            }
            if desired
                .hosts()
                .any(|(n, h)| n != node && h.ip == *ip && h.state != NodeState::Gone)
            {
                say("another node has that address");
            }
            if !step.pre.contains(&Condition::Unanswered) {
                say("it does not check that nothing answers");
            }
        }
        Action::DeleteRegistryRows { registry, .. } => {
            if step.resource != ResourceId::RegistryEndpoint(registry.clone()) {
                say("its action is on another registry");
            }
            if desired.registries.contains(registry) {
                say("it forgets a registry that the spec names");
            }
            let dead = Condition::RegistryDead {
                registry: registry.clone(),
            };
            if !step.pre.contains(&dead) || !step.pre.contains(&Condition::RegistryLeft) {
                say("it does not check that the registry is dead and another one answers");
            }
        }
        Action::RestoreLabels { node, labels } => {
            let present = desired
                .host(node)
                .is_some_and(|h| h.state == NodeState::Present);
            if step.resource != ResourceId::Agent(node.clone()) || !scope.has_node(node) || !present
            {
                say("its node is not among those that may be changed");
            }
            let kept = Condition::LabelsSaved {
                labels: Some(labels.clone()),
            };
            if !step.pre.contains(&kept) {
                say("it writes labels that were not saved");
            }
        }
        Action::DeleteServerRows { node, servers } => {
            let absent = desired.host(node).is_some_and(|h| {
                matches!(h.state, NodeState::Absent { .. }) && h.role != Role::Master
            });
            if step.resource != ResourceId::Host(node.clone()) || !scope.has_node(node) || !absent {
                say("it forgets servers of a node that the spec does not call absent");
            }
            let own = [Component::Tarsnode, Component::Tarsregistry];
            if servers.is_empty() || servers.iter().any(|c| own.contains(c)) {
                say("it forgets what has a step of its own, or nothing");
            }
            let down = servers.iter().all(|component| {
                step.pre.contains(&Condition::Component {
                    component: *component,
                    runs: false,
                })
            });
            let machine = |c: &Condition| matches!(c, Condition::Machine { .. });
            if !down || !step.pre.iter().any(machine) {
                say("it does not check that they do not run");
            }
        }
        Action::RemoveServerRows(_) => say("it deletes rows that no run has written"),
        _ => {
            say("its stage is not that of its action");
        }
    }
}

/// Whether a gate is the one after a batch.
fn guards(gate: &Gate, batch: &[&Step]) -> bool {
    let of = |step: &&Step| gate.needs.first() == Some(&step.id);
    batch.iter().any(of)
}

fn settle_of(step: &Step) -> Option<u64> {
    match &step.action {
        Action::ChangeHost(change) => change.settle,
        _ => None,
    }
}

/// Whether no batch is larger than the spec allows, and each waits for all of the one before.
fn batches(plan: &Plan, desired: &Desired, found: &mut Vec<Violation>) {
    let gates: BTreeMap<&str, &Gate> = plan.gates.iter().map(|g| (g.id.as_str(), g)).collect();
    let mut all: BTreeMap<u32, Vec<&Step>> = BTreeMap::new();
    for step in plan.steps.iter().filter(|s| s.stage != Stage::Recover) {
        all.entry(step.batch).or_default().push(step);
    }
    let mut stages: BTreeMap<Stage, usize> = BTreeMap::new();
    for batch in all.values() {
        *stages.entry(batch[0].stage).or_default() += batch.len();
    }
    let mut before: Option<(Stage, BTreeSet<&str>)> = None;
    for (number, batch) in &all {
        let stage = batch[0].stage;
        let total = stages.get(&stage).copied().unwrap_or_default();
        let parallel = desired.policy.max_parallel.of(total).max(1);
        let canary = desired.policy.canary as usize;
        let first = before.as_ref().is_none_or(|(s, _)| *s != stage);
        let allowed = if first && canary > 0 {
            canary.min(parallel)
        } else {
            parallel
        };
        if batch.len() > allowed {
            found.push(violation(
                &format!("batch {number}"),
                format!(
                    "it changes {} hosts at once, and the spec allows {allowed}",
                    batch.len()
                ),
            ));
        }
        // A gate that does not wait would let the next batch go before this one has held.
        for gate in plan.gates.iter().filter(|g| guards(g, batch)) {
            let longest = batch.iter().filter_map(|s| settle_of(s)).max();
            if gate.settle < desired.policy.settle.max(longest.unwrap_or(0)) {
                found.push(violation(
                    &gate.id,
                    format!(
                        "it waits {} s, which is less than its steps need",
                        gate.settle
                    ),
                ));
            }
        }
        // Each gate is compared with the batch before once, however many steps wait for it.
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        for step in batch {
            waits(
                step,
                before.as_ref().map(|(_, s)| s),
                &gates,
                &mut known,
                found,
            );
        }
        before = Some((stage, batch.iter().map(|s| s.id.as_str()).collect()));
    }
}

/// Whether the step waits for a gate that holds exactly the batch before.
fn waits<'a>(
    step: &'a Step,
    before: Option<&BTreeSet<&str>>,
    gates: &BTreeMap<&str, &Gate>,
    known: &mut BTreeMap<&'a str, bool>,
    found: &mut Vec<Violation>,
) {
    let mut waited = before.is_none();
    for need in &step.needs {
        match gates.get(need.as_str()) {
            None => found.push(violation(
                &step.id,
                format!("it needs {need}, which does not exist"),
            )),
            Some(gate) => {
                waited |= *known.entry(need).or_insert_with(|| {
                    let holds: BTreeSet<&str> = gate.needs.iter().map(String::as_str).collect();
                    before == Some(&holds)
                });
            }
        }
    }
    if before.is_none() && !step.needs.is_empty() {
        found.push(violation(
            &step.id,
            "it waits, although nothing comes before it",
        ));
    }
    if !waited {
        found.push(violation(
            &step.id,
            "it does not wait for all of the batch before it",
        ));
    }
}

/// Whether a server is changed only where the spec places it, and with the program of the version
/// that the spec asks for; whether a registry is started only where the spec names it, restarted only
/// while another one answers, and stopped only where the spec does not name it.
fn server(
    step: &Step,
    node: &NodeName,
    change: &HostChange,
    desired: &Desired,
    found: &mut Vec<Violation>,
) {
    let component = change.component;
    let mut say = |what: &str| found.push(violation(&step.id, what));
    if change.node != *node || step.resource != ResourceId::Server(component, node.clone()) {
        say("its action is on another node or component");
    }
    let Some(host) = desired.host(node) else {
        return;
    };
    if change.ip != host.ip {
        say("its action is on another registry");
    }
    let user = desired.agent(node).map(|a| &a.run_user);
    if user.is_some_and(|user| *user != change.run_user) {
        say("it runs as another user or node than the spec's");
    }
    let tars = desired
        .agent(node)
        .map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    if change.tars_path.as_str() != tars {
        say("it works in another folder than the spec's");
    }
    rows::check(change, host.ip, desired, &mut say);
    let placed = desired.server(component, node);
    // Only the program is a package's; everything else there is made for its host.
    let binary = format!("{component}/bin/{component}");
    let packed = |file: &FileChange| match &file.content {
        Content::Package {
            component: of,
            version,
            ..
        } => *of == component && placed.is_some_and(|s| s.version == *version),
        _ => false,
    };
    for file in change.files() {
        if file.path != binary || !packed(file) || file.after.is_none() {
            say("it writes what is not its component's program");
        }
    }
    match &change.operation {
        Operation::Publish(publish) => published(step, change, publish, desired, &mut say),
        Operation::Restart(_) => {
            if !component.is_basic() {
                say("it has AdminRegistry restart what is no basic service");
            }
            if placed.is_none() {
                say("it changes a server that the spec does not place there");
            }
        }
        Operation::Modify(modify) => {
            let more = modify.owner != Owner::Unchanged
                || modify.crontab.is_some()
                || modify.labels.is_some();
            if more {
                say("it does more than to change a server");
            }
            // A basic service is published as any other: the framework then knows what runs.
            if component.is_basic() && !modify.files.is_empty() {
                say("it installs a program in another way than the component's");
            }
            if placed.is_none() {
                say("it changes a server that the spec does not place there");
            }
            if modify.files.is_empty() && !modify.restart {
                say("it changes nothing");
            }
            if let (Some(registry), true) = (change.registry(), modify.restart) {
                registry_restart(step, registry, desired, &mut say);
            }
        }
        Operation::Remove(remove) => {
            if remove.stop_servers {
                say("it does more than to remove its component");
            }
            match change.registry() {
                Some(registry) => {
                    if desired.registries.contains(&registry) {
                        say("it stops a registry that the spec names");
                    }
                    if !step.pre.contains(&Condition::RegistryLeft) {
                        say("it does not check that another registry answers");
                    }
                }
                None => removed_server(step, change, &host.state, host.role, &mut say),
            }
        }
        Operation::Install(_)
        | Operation::RemoveRest(_)
        | Operation::Place(_)
        | Operation::Watch(_)
        | Operation::Restore(_) => say("it does to a server what is not done to one here"),
    }
}

/// Whether a program is published only where and how the spec has it, and its end is seen.
fn published(
    step: &Step,
    change: &HostChange,
    publish: &Publish,
    desired: &Desired,
    say: &mut impl FnMut(&str),
) {
    let component = change.component;
    if !component.is_basic() {
        say("it installs a program in another way than the component's");
    }
    if publish.via == Via::Console && desired.web().is_none() {
        say("it publishes through a platform that the spec does not name");
    }
    if desired.server(component, &change.node).is_none() {
        say("it changes a server that the spec does not place there");
    }
    // No script of ours looks whether it is well: what must hold after it is all there is.
    let path = format!("{component}/bin/{component}");
    let after = publish.program.after;
    let runs = Condition::ServerRuns {
        component,
        digest: after,
        user: change.run_user.to_string(),
    };
    let there = Condition::File {
        path: path.clone(),
        digest: after,
    };
    let saved = Condition::File {
        path,
        digest: publish.program.before,
    };
    let needs = [
        after.is_some(),
        step.post.contains(&runs),
        step.post.contains(&there),
        step.post.contains(&Condition::ServerListens { component }),
        publish.first || step.pre.contains(&saved),
    ];
    if needs.contains(&false) {
        say("it does not check the old state, or its own result");
    }
}

/// Whether a registry is started only where the spec names it, and restarted only while another one
/// lives.
fn registry_restart(
    step: &Step,
    registry: Endpoint,
    desired: &Desired,
    say: &mut impl FnMut(&str),
) {
    let down = Condition::Component {
        component: Component::Tarsregistry,
        runs: false,
    };
    if step.pre.contains(&down) {
        if !desired.registries.contains(&registry) {
            say("it starts a registry that the spec does not name");
        }
        return;
    }
    let guarded = Condition::AnotherRegistry { but: registry };
    if !desired.policy.registry_gap && !step.pre.contains(&guarded) {
        say("it restarts a registry without making sure that another one lives");
    }
}

/// Whether a server is removed only with its host, and its end is seen.
fn removed_server(
    step: &Step,
    change: &HostChange,
    state: &NodeState,
    role: Role,
    say: &mut impl FnMut(&str),
) {
    match state {
        NodeState::Absent { stop_servers } if role != Role::Master => {
            if change.ran && !stop_servers {
                say("it stops a server, and the spec does not allow that");
            }
        }
        _ => say("it removes a component of a node that stays"),
    }
    let gone = Condition::Component {
        component: change.component,
        runs: false,
    };
    if change.crontab().is_some() || !step.post.contains(&gone) {
        say("it does more or less than to remove its component");
    }
}

fn agent(
    id: &str,
    node: &NodeName,
    change: &HostChange,
    desired: &Desired,
    found: &mut Vec<Violation>,
) {
    if change.node != *node {
        found.push(violation(id, "its action is on another node"));
    }
    // A node that the spec does not have was told of already.
    let Some(host) = desired.host(node) else {
        return;
    };
    let removes = match &change.operation {
        Operation::Install(_) | Operation::Modify(_) => false,
        Operation::Remove(_) | Operation::RemoveRest(_) => true,
        _ => {
            found.push(violation(id, "it does to tarsnode what is done to servers"));
            false
        }
    };
    match &host.state {
        NodeState::Maintenance { .. } | NodeState::Gone => {}
        NodeState::Absent { stop_servers } => {
            if !removes {
                found.push(violation(id, "it installs on a node that should be absent"));
            }
            if change.stops_servers() && !stop_servers {
                found.push(violation(
                    id,
                    "it stops servers, and the spec does not allow that",
                ));
            }
        }
        NodeState::Present if removes => {
            found.push(violation(
                id,
                "it removes from a node that should be present",
            ));
        }
        NodeState::Present => {}
    }
    if change.folder() == Folder::Remove && host.role == Role::Master {
        found.push(violation(id, "it removes the master"));
    }
    let tars = desired
        .agent(node)
        .map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    if change.tars_path.as_str() != tars {
        found.push(violation(
            id,
            format!("it works in {}, not in {tars}", change.tars_path),
        ));
    }
    let user = desired.agent(node).map(|a| &a.run_user);
    if user.is_some_and(|user| *user != change.run_user) {
        found.push(violation(id, "it runs as another user than the spec's"));
    }
    if change.ip != host.ip {
        found.push(violation(
            id,
            "it gives the host another nodeid or address than the spec's",
        ));
    }
    for file in change.files() {
        let bad = !file.path.starts_with("tarsnode/")
            || file
                .path
                .split('/')
                .any(|p| p.is_empty() || p == ".." || p == ".")
            || !file
                .path
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c));
        if bad {
            found.push(violation(
                id,
                format!("it writes {}, which is not tarsnode's", file.path),
            ));
        }
        if let Content::Text(text) = &file.content
            && file.after != Some(Digest::of(text.as_bytes()))
        {
            found.push(violation(
                id,
                format!("the content of {} is not the announced one", file.path),
            ));
        }
        if file.path.starts_with("tarsnode/data/") {
            found.push(violation(
                id,
                format!("it writes {}, which is data", file.path),
            ));
        }
    }
}

/// Law 8: no text of a plan asks for a rebuild. Looks at the whole document.
#[must_use]
pub fn asks_for_rebuild(document: &str) -> bool {
    let low = document.to_ascii_lowercase();
    // Between the word and its value may stand quotes, escaped ones too, and what shells put there.
    let between = |c: char| "\"'\\".contains(c) || c.is_whitespace();
    low.match_indices("rebuild").any(|(at, word)| {
        let rest = low[at + word.len()..].trim_start_matches(between);
        let Some(value) = rest.strip_prefix(['=', ':']) else {
            return false;
        };
        let value = value.trim_start_matches(|c: char| between(c) || "=:-".contains(c));
        let end = value.find(|c: char| !c.is_ascii_alphanumeric());
        matches!(
            &value[..end.unwrap_or(value.len())],
            "true" | "t" | "yes" | "y" | "1" | "on"
        )
    })
}
