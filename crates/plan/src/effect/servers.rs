//! Servers that come to a host and go: their rows, their processes, and what the framework says then.

use std::collections::BTreeSet;

use tarsops_model::agent::ProcessFact;
use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, Answer, RegistryRow, Rows};
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::facts::{host_mut, keep, with_rows};
use crate::action::{Cell, NewRow, NewServers, RowEdit, Table};
use crate::expansion::{observed_adapter, observed_server};
use crate::registry_rows;

pub(super) fn add_servers(rows: &mut Rows, new: &NewServers) {
    for row in &new.rows {
        match row.table {
            Table::TServerConf => {
                if let Observed::Present(all) = &mut rows.servers {
                    all.push(observed_server(row));
                }
            }
            Table::TAdapterConf => {
                if let Observed::Present(all) = &mut rows.adapters {
                    all.push(observed_adapter(row));
                }
            }
        }
    }
}

/// A row says what it should, comes or goes; where it does not say what it must, nothing happens.
pub(super) fn edit_row(rows: &mut Rows, edit: &RowEdit) {
    let of = |column| edit.of_key(column).unwrap_or_default();
    let (server, node, adapter) = (of("server_name"), of("node_name"), of("adapter_name"));
    match (edit.table, &edit.after) {
        (Table::TServerConf, Some(after)) => {
            let Observed::Present(all) = &mut rows.servers else {
                return;
            };
            for row in all
                .iter_mut()
                .filter(|r| r.server == server && r.node == node)
            {
                for (column, cell) in after {
                    if let ("template_name", Cell::Text(text)) = (column.as_str(), cell) {
                        row.template = Some(text.clone());
                    }
                }
            }
        }
        (Table::TServerConf, None) => {}
        (Table::TAdapterConf, after) => {
            let Observed::Present(all) = &mut rows.adapters else {
                return;
            };
            let is_it =
                |r: &AdapterRow| r.server == server && r.node == node && r.adapter == adapter;
            match (&edit.before, after) {
                (None, Some(after)) => all.push(observed_adapter(&NewRow {
                    table: edit.table,
                    columns: after.clone(),
                })),
                (_, None) => all.retain(|r| !is_it(r)),
                (Some(_), Some(after)) => {
                    for row in all.iter_mut().filter(|r| is_it(r)) {
                        for (column, cell) in after {
                            set(row, column, cell);
                        }
                    }
                }
            }
        }
    }
}

/// Whether rows say already what edits make of them, so far as they are looked at.
#[must_use]
pub fn are_made(rows: &Rows, edits: &[RowEdit]) -> bool {
    let Some(adapters) = rows
        .adapters
        .present()
        .filter(|_| rows.servers.present().is_some())
    else {
        return false;
    };
    let mut after = rows.clone();
    let there = edits.iter().all(|edit| {
        let of = |column| edit.of_key(column).unwrap_or_default();
        let there = edit.table == Table::TServerConf
            || adapters.iter().any(|r| {
                r.server == of("server_name")
                    && r.node == of("node_name")
                    && r.adapter == of("adapter_name")
            });
        if edit.before.is_some() && edit.after.is_some() {
            edit_row(&mut after, edit);
        }
        there == edit.after.is_some()
    });
    there && after == *rows
}

fn set(row: &mut AdapterRow, column: &str, cell: &Cell) {
    let text = match cell {
        Cell::Text(text) => Some(text.clone()),
        _ => None,
    };
    let number = match cell {
        Cell::Number(number) => Some(*number),
        _ => None,
    };
    match column {
        "servant" => row.servant = text,
        "endpoint" => row.endpoint = text,
        "protocol" => row.protocol = text,
        "thread_num" => row.threads = number,
        "max_connections" => row.connections = number,
        "queuecap" => row.queue = number,
        "queuetimeout" => row.queue_timeout = number,
        _ => {}
    }
}

/// Of servers whose own row is among the new ones, only what is set inactive goes.
pub(super) fn remove_servers(rows: &mut Rows, new: &NewServers) {
    let names = new.names();
    let node = new.node.as_str();
    let mut active: BTreeSet<String> = BTreeSet::new();
    if let Observed::Present(all) = &rows.servers {
        let of_node = all
            .iter()
            .filter(|r| r.node == node && names.contains(&r.full_name()));
        let set = of_node.filter(|r| r.setting.as_deref() != Some("inactive"));
        active.extend(set.map(|r| r.server.clone()));
    }
    keep(&mut rows.adapters, |r| {
        r.node != node || active.contains(&r.server) || !names.contains(&r.adapter)
    });
    keep(&mut rows.servers, |r| {
        r.node != node || active.contains(&r.server) || !names.contains(&r.full_name())
    });
}

/// A server that AdminRegistry has started runs what is there, listens, answers and is active.
pub(super) fn start_server(inventory: &mut Inventory, component: Component, node: &NodeName) {
    let id = ResourceId::Server(component, node.clone());
    // Its tarsnode starts it, as whom it runs itself.
    let user = match inventory.agent(node) {
        Observed::Present(agent) => agent
            .processes
            .present()
            .and_then(|all| all.first())
            .map(|p| p.user.clone()),
        _ => None,
    };
    if let Some(Observed::Present(Facts::Server(facts))) = inventory.resources.get_mut(&id) {
        facts.processes = Observed::Present(vec![ProcessFact {
            pid: 1,
            exe: facts.binary.as_ref().map(|b| b.digest),
            exe_deleted: false,
            user: user.unwrap_or_default(),
            nodeid: None,
            config: None,
        }]);
    }
    let mut at = None;
    if let Some(host) = host_mut(inventory, node) {
        if let Observed::Present(all) = &mut host.components {
            all.insert(component.name().to_owned());
        }
        if let Observed::Present(ports) = &mut host.ports {
            ports.extend(component.servants().iter().map(|(_, port)| *port));
        }
    }
    if let Some(framework) = &mut inventory.framework {
        let own = framework.servants.values_mut();
        for asked in own.filter(|a| a.component == component && a.node == *node) {
            asked.answer = Answer::Answers;
            if component == Component::Tarsregistry && at.is_none() {
                at = Some(Endpoint {
                    port: 17890,
                    ..asked.at.clone()
                });
            }
        }
    }
    with_rows(inventory, |rows| {
        if let Observed::Present(all) = &mut rows.servers {
            for row in all.iter_mut() {
                if row.server == component.name() && row.node == node.as_str() {
                    row.setting = Some("active".to_owned());
                    row.present = Some("active".to_owned());
                    row.library = Some("3.0.20".to_owned());
                    row.pid = Some(1);
                }
            }
        }
    });
    if component != Component::Tarsregistry {
        return;
    }
    // Of a registry of the spec that nobody asked the rows of its adapters tell the address.
    let at = at.or_else(|| {
        let rows = inventory.framework.as_ref()?.rows();
        let found = registry_rows::resolved(rows.present()?);
        let own = found.into_iter().find(|(_, n)| n.node == node.as_str())?;
        Some(own.0)
    });
    if let Some(at) = at {
        registry_alive(inventory, &at);
    }
}

pub(super) fn stop_server(inventory: &mut Inventory, component: Component, node: &NodeName) {
    let id = ResourceId::Server(component, node.clone());
    if let Some(Observed::Present(Facts::Server(facts))) = inventory.resources.get_mut(&id) {
        facts.processes = Observed::Present(vec![]);
    }
    if let Some(host) = host_mut(inventory, node) {
        if let Observed::Present(all) = &mut host.components {
            all.remove(component.name());
        }
        if let Observed::Present(ports) = &mut host.ports {
            for (_, port) in component.servants() {
                ports.remove(port);
            }
        }
    }
    if let Some(framework) = &mut inventory.framework {
        let own = framework.servants.values_mut();
        for asked in own.filter(|a| a.component == component && a.node == *node) {
            asked.answer = Answer::Refused;
        }
    }
    with_rows(inventory, |rows| {
        if let Observed::Present(all) = &mut rows.servers {
            for row in all.iter_mut() {
                if row.server == component.name() && row.node == node.as_str() {
                    row.setting = Some("inactive".to_owned());
                    row.present = Some("inactive".to_owned());
                    row.pid = Some(0);
                }
            }
        }
    });
}

/// A registry that lives stands in the rows and answers.
pub(super) fn registry_alive(inventory: &mut Inventory, at: &Endpoint) {
    let locator = at.to_string();
    with_rows(inventory, |rows| {
        keep(&mut rows.registries, |r| r.locator != locator);
        if let Observed::Present(all) = &mut rows.registries {
            all.push(RegistryRow {
                locator,
                servant: "tars.tarsregistry.QueryObj".to_owned(),
                present: Some("active".to_owned()),
                heartbeat_age: Some(0),
                ..RegistryRow::default()
            });
        }
    });
    if let Some(framework) = &mut inventory.framework
        && let Some(answer) = framework.registries.get_mut(at)
    {
        *answer = Answer::Answers;
    }
}
