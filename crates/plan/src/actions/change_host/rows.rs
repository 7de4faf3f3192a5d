//! Whether rows that change with their server are its own, and say what its release and the spec say.

use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, Server};
use tarsops_model::tables::SETTINGS;

use super::change::HostChange;
use crate::actions::rows::{Cell, RowEdit, Table};

/// Columns that make a new adapter, beside those that an edit may change.
const OF_NEW: [&str; 8] = [
    "application",
    "server_name",
    "node_name",
    "adapter_name",
    "registry_timestamp",
    "allow_ip",
    "posttime",
    "lastuser",
];

pub(super) fn check(change: &HostChange, ip: IpAddr, desired: &Desired, say: &mut dyn FnMut(&str)) {
    if change.rows().is_empty() {
        return;
    }
    let component = change.component;
    let Some(server) = desired.server(component, &change.node) else {
        return say("it changes rows of a server that the spec does not have there");
    };
    if !component.is_basic() || desired.database().is_none() {
        say("it changes rows that are not a basic service's, or of no database");
    }
    for edit in change.rows() {
        let own = edit.of_key("application") == Some("tars")
            && edit.of_key("server_name") == Some(component.name())
            && edit.of_key("node_name") == Some(change.node.as_str());
        let named = edit
            .of_key("adapter_name")
            .is_some_and(|name| !name.is_empty());
        let whole = match edit.table {
            Table::TServerConf => edit.key.len() == 3,
            Table::TAdapterConf => edit.key.len() == 4 && named,
        };
        if !own || !whole {
            say("it changes a row that is not its server's");
        }
        if edit.before == edit.after {
            say("it changes nothing in a row");
        }
        let Some(after) = &edit.after else {
            say("it deletes a row");
            continue;
        };
        if !after.iter().all(|(column, cell)| {
            let right = is_right(edit.table, column, cell, (component, ip), server);
            let of_new = edit.before.is_none() && is_of_new(edit, column, cell);
            right || of_new
        }) {
            say("it writes into a row what neither the release nor the spec says");
        }
    }
}

/// What a new adapter says beyond what is compared: its key again, and the installer's values.
fn is_of_new(edit: &RowEdit, column: &str, cell: &Cell) -> bool {
    match (column, cell) {
        ("handlegroup" | "allow_ip", Cell::Text(text)) => text.is_empty(),
        (column, Cell::Number(1..=1_000_000)) => SETTINGS.iter().any(|s| s.column == column),
        (_, Cell::Text(text)) if edit.of_key(column).is_some() => {
            edit.of_key(column) == Some(text.as_str())
        }
        ("lastuser", Cell::Text(_)) | (_, Cell::Now) => OF_NEW.contains(&column),
        _ => false,
    }
}

fn is_right(
    table: Table,
    column: &str,
    cell: &Cell,
    (component, ip): (Component, IpAddr),
    server: &Server,
) -> bool {
    let servants = component.servants_in(server.version);
    match (table, column, cell) {
        (Table::TAdapterConf, "servant", Cell::Text(name)) => {
            servants.iter().any(|(servant, _)| servant == name)
        }
        (Table::TAdapterConf, "protocol", Cell::Text(name)) => {
            component.protocol_in(server.version) == name
        }
        (Table::TAdapterConf, "endpoint", Cell::Text(text)) => {
            let words: Vec<&str> = text.split_whitespace().collect();
            let word = |flag: &str| {
                let at = words.iter().position(|w| *w == flag)?;
                words.get(at + 1).copied()
            };
            let port = servants
                .iter()
                .any(|(_, port)| word("-p") == Some(port.to_string().as_str()));
            // Where a host is placed is not this step's affair: its rows are compared as a whole.
            let host = word("-h").is_some_and(|at| {
                at == ip.to_string() || at == "0.0.0.0" || crate::components::is_placed(component)
            });
            matches!(words.first(), Some(&("tcp" | "udp" | "ssl"))) && port && host
        }
        _ => {
            let mut wanted = server.rows.of_table(table.name());
            wanted.any(|(setting, value)| setting.column == column && Cell::from(value) == *cell)
        }
    }
}
