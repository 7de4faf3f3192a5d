//! What may come to a framework host: files, rows and starts of the components that the spec places
//! there, and nothing else.
//!
//! Says again, from the spec alone, what a slave's rows look like; it shares nothing with those who
//! write them.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::resource::ResourceId;

use super::violation::{Violation, violation};
use crate::action::{
    Action, Cell, Content, Folder, HostChange, NewRow, NewServers, Operation, Table, Undo, Via,
};
use crate::condition::Condition;
use crate::input::Scope;
use crate::plan::{ChangeKind, Plan, Stage, Step};

/// Whether AdminRegistry can start it on a slave.
fn comes(component: Component, node: &NodeName, desired: &Desired) -> bool {
    use tarsops_model::component::Role;
    let present = desired
        .host(node)
        .is_some_and(|h| h.state == NodeState::Present);
    present
        && component != Component::Tarsnode
        && (component.placed_on(Role::Slave) || component.is_basic())
        && desired.server(component, node).is_some()
}

fn registry_of(desired: &Desired, node: &NodeName) -> Option<Endpoint> {
    let port = Component::Tarsregistry.servants().first()?.1;
    Some(Endpoint::at(desired.host(node)?.ip, port))
}

/// Whether a component is placed where the spec has it, whole and with nothing started.
pub(super) fn change(
    step: &Step,
    node: &NodeName,
    change: &HostChange,
    desired: &Desired,
    found: &mut Vec<Violation>,
) {
    let component = change.component;
    let mut say = |what: &str| found.push(violation(&step.id, what));
    let Some(host) = desired.host(node) else {
        return;
    };
    if change.node != *node || step.resource != ResourceId::Server(component, node.clone()) {
        say("its action is on another node or component");
    }
    if !comes(component, node, desired) {
        say("it places a component that the spec does not have there");
    }
    if change.ip != host.ip {
        say("its action is on another registry");
    }
    let tars = desired
        .agent(node)
        .map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    if change.tars_path.as_str() != tars {
        say("it works in another folder than the spec's");
    }
    let files = match &change.operation {
        Operation::Place(place) => &place.files,
        Operation::Watch(crontab) => {
            let line = format!("* * * * * {tars}/tarsregistry/util/monitor.sh >/dev/null 2>&1");
            let edit = &crontab.edit;
            let watches = edit.remove.is_empty() && edit.add.as_ref() == Some(&line);
            if component != Component::Tarsregistry || !watches || crontab.back.is_some() {
                say("it does more than to have cron watch a registry");
            }
            return;
        }
        _ => return say("it does more than to place files"),
    };
    let binary = format!("{component}/bin/{component}");
    if files.last().is_none_or(|f| f.path != binary) {
        say("its program is not the last file that is placed");
    }
    for file in files {
        let inside = file.path.strip_prefix(&format!("{component}/"));
        let below = inside.and_then(|p| p.split('/').next());
        let plain = file
            .path
            .split('/')
            .all(|p| !p.is_empty() && p != "." && p != "..")
            && file
                .path
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c));
        if !plain || !matches!(below, Some("bin" | "conf" | "util")) {
            say("it writes what is not its component's");
        }
        let right = match &file.content {
            Content::Text(text) => file.after == Some(Digest::of(text.as_bytes())),
            Content::Package {
                component: of,
                version,
                ..
            } => {
                let wanted = desired.server(component, node).map(|s| s.version);
                *of == component && Some(*version) == wanted && file.after.is_some()
            }
            Content::Before { .. } | Content::None => false,
        };
        if !right || file.before.is_some() {
            say("the content of one of its files is not the announced one");
        }
    }
}

/// Whether only rows of the spec's own servers are written, on its node, with its address, and
/// inactive.
pub(super) fn rows(
    step: &Step,
    new: &NewServers,
    desired: &Desired,
    scope: &Scope,
    found: &mut Vec<Violation>,
) {
    let mut say = |what: &str| found.push(violation(&step.id, what));
    let node = &new.node;
    let basic = new.rows.iter().all(|row| {
        let named = row.text("server_name").map(str::parse::<Component>);
        named.is_some_and(|c| c.is_ok_and(Component::is_basic))
    });
    let right = step.stage == Stage::Expansion && new.via == Via::Tars
        || step.stage == Stage::BasicServices && basic;
    if !right || step.sign != ChangeKind::Add {
        say("its stage is not that of its action");
    }
    if new.via == Via::Console && desired.web().is_none() {
        say("it fills in the form of a platform that the spec does not name");
    }
    if step.resource != ResourceId::Host(node.clone()) || !scope.has_node(node) {
        say("its node is not among those that were asked for");
    }
    let Some(host) = desired.host(node) else {
        say("the spec has no such node");
        return;
    };
    let absent = Condition::RowsAbsent { rows: new.names() };
    let there = Condition::RowsThere { rows: new.names() };
    let machine = |c: &Condition| matches!(c, Condition::Machine { .. });
    if !step.pre.contains(&absent) || !step.post.contains(&there) || !step.pre.iter().any(machine) {
        say("it does not check that no row has the key");
    }
    let back = Undo::Inverse {
        action: Box::new(Action::RemoveServerRows(new.clone())),
    };
    if step.undo != back {
        say("its undo is not that of its rows");
    }
    if new.rows.is_empty() || new.names().len() != new.rows.len() {
        say("it writes nothing, or a row twice");
    }
    let tars = desired
        .agent(node)
        .map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    for row in &new.rows {
        let component = row
            .text("server_name")
            .and_then(|n| n.parse::<Component>().ok());
        let Some(component) = component.filter(|c| comes(*c, node, desired)) else {
            say("it writes a row of a server that the spec does not have there");
            continue;
        };
        let server = desired.server(component, node);
        let template = server.and_then(|s| s.rows.template.as_deref());
        if !is_right(row, component, node, host.ip, (&tars, template)) {
            say("it writes a row that is not an inactive server's of that node and address");
        }
    }
}

fn is_right(
    row: &NewRow,
    component: Component,
    node: &NodeName,
    ip: std::net::IpAddr,
    (tars, template): (&str, Option<&str>),
) -> bool {
    let is = |column: &str, value: &str| row.text(column) == Some(value);
    let named = row.columns.iter().all(|(name, cell)| {
        let word = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let plain = match cell {
            Cell::Text(text) => !text.contains(['\n', '\'', '"', '\\']),
            Cell::Number(number) => (0..=1_000_000).contains(number),
            Cell::Now => true,
            Cell::Null => false,
        };
        word && plain
    });
    let columns: BTreeSet<&str> = row.columns.iter().map(|(n, _)| n.as_str()).collect();
    let own = named
        && columns.len() == row.columns.len()
        && is("application", "tars")
        && is("node_name", node.as_str());
    own && match row.table {
        Table::TServerConf => {
            is("setting_state", "inactive")
                && is("present_state", "inactive")
                && row.number("process_id") == Some(0)
                && is("tars_version", "")
                && is(
                    "template_name",
                    template.unwrap_or(&format!("tars.{component}")),
                )
                && is("exe_path", &format!("{tars}/{component}/bin/{component}"))
                && row.text("profile").unwrap_or_default().is_empty()
        }
        Table::TAdapterConf => component.servants().iter().any(|(servant, port)| {
            is("servant", servant)
                && is("adapter_name", &format!("{servant}Adapter"))
                && is("endpoint", &format!("tcp -h {ip} -t 60000 -p {port}"))
        }),
    }
}

/// Whether a server is started only where the spec has it, and its start is seen through.
pub(super) fn start(
    step: &Step,
    component: Component,
    at: &NodeName,
    desired: &Desired,
    found: &mut Vec<Violation>,
) {
    let mut say = |what: &str| found.push(violation(&step.id, what));
    // One that is set active and does not run is started where it is, and stays.
    let again = step.stage == Stage::BasicServices && step.sign == ChangeKind::Change;
    let own = step.stage == Stage::Expansion && step.sign == ChangeKind::Add;
    if !(own || again && component.is_basic()) {
        say("its stage is not that of its action");
    }
    if step.resource != ResourceId::Server(component, at.clone()) {
        say("its action is on another node or component");
    }
    if !comes(component, at, desired) {
        say("it starts a server that the spec does not have there");
    }
    let back = Undo::Inverse {
        action: Box::new(Action::StopServer {
            component,
            node: at.clone(),
        }),
    };
    let stays = matches!(step.undo, Undo::Irreversible { .. });
    if if again { !stays } else { step.undo != back } {
        say("its undo is not to stop it");
    }
    let runs = |c: &Condition| matches!(c, Condition::ServerRuns { component: of, digest: Some(_), .. } if *of == component);
    let machine = |c: &Condition| matches!(c, Condition::Machine { .. });
    let mut needs = vec![
        step.pre.iter().any(machine),
        step.post.iter().any(runs),
        step.post.contains(&Condition::ServerListens { component }),
        step.post.contains(&Condition::ServerActive { component }),
    ];
    if component == Component::Tarsregistry {
        let registry = registry_of(desired, at);
        needs.push(registry.as_ref().is_some_and(|registry| {
            desired.registries.contains(registry)
                && step.post.contains(&Condition::RegistryAnswers {
                    registry: registry.clone(),
                })
        }));
    }
    if needs.contains(&false) {
        say("it does not check the machine, or its own result");
    }
}

/// Whether a server is started only after its files and its rows are there.
pub(super) fn order(plan: &Plan, found: &mut Vec<Violation>) {
    let batch_of = |wanted: &dyn Fn(&Step) -> bool| {
        plan.steps
            .iter()
            .filter(|s| wanted(s))
            .map(|s| s.batch)
            .max()
    };
    for step in &plan.steps {
        let Action::StartServer { component, node } = &step.action else {
            continue;
        };
        let before = batch_of(&|s: &Step| match &s.action {
            Action::ChangeHost(c) => {
                c.node == *node
                    && c.folder() == Folder::Create
                    && [*component, Component::Tarsnode].contains(&c.component)
            }
            Action::AddServerRows(new) => new.node == *node,
            _ => false,
        });
        if before.is_some_and(|batch| batch >= step.batch) {
            found.push(violation(
                &step.id,
                "it starts a server before its files and rows are there",
            ));
        }
        let after = plan.steps.iter().any(|s| {
            matches!(&s.action, Action::ChangeHost(c)
                if c.node == *node
                    && c.component == *component
                    && matches!(c.operation, Operation::Watch(_))
                    && s.batch <= step.batch)
        });
        if after {
            found.push(violation(
                &step.id,
                "cron would start the server before AdminRegistry does",
            ));
        }
    }
}
