//! The rows that an action is about, as statements name them.

use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, NodeRow, RegistryRow, ServerRow};
use tarsops_model::names::Endpoint;
use tarsops_model::tables::TableRow as _;
use tarsops_plan::action::{
    Action, Cell, DeleteNodeRows, DeleteRegistryRows, DeleteServerRows, Folder, NewServers, RowEdit,
};
use tarsops_transport::mysql::{Edition, Insertion, NewValue, Which};

/// The rows that an action is about.
pub(crate) fn rows_of(action: &Action) -> Vec<Which> {
    let row = |table, column, value: String, prefix| Which {
        table,
        column,
        value,
        prefix,
        also: vec![],
    };
    // The installer's rows of a component of the framework.
    let server = |table, component: Component, node: &str| Which {
        table,
        column: "node_name",
        value: node.to_owned(),
        prefix: false,
        also: vec![
            ("application", "tars".to_owned()),
            ("server_name", component.name().to_owned()),
        ],
    };
    // A registry is resolved from those of its server as well.
    let registry = |at: &Endpoint, node: &str| {
        vec![
            server(AdapterRow::TABLE, Component::Tarsregistry, node),
            server(ServerRow::TABLE, Component::Tarsregistry, node),
            row(RegistryRow::TABLE, "locator_id", at.to_string(), false),
        ]
    };
    match action {
        Action::DeleteNodeRows(DeleteNodeRows { node, ip }) => vec![
            row(AdapterRow::TABLE, "node_name", node.to_string(), false),
            row(ServerRow::TABLE, "node_name", node.to_string(), false),
            row(RegistryRow::TABLE, "locator_id", format!("{ip}:"), true),
            row(NodeRow::TABLE, "node_name", node.to_string(), false),
        ],
        Action::DeleteRegistryRows(DeleteRegistryRows {
            registry: at, node, ..
        }) => registry(at, node),
        Action::DeleteServerRows(DeleteServerRows { node, servers }) => {
            let tables = [AdapterRow::TABLE, ServerRow::TABLE];
            let of = |table| {
                let each = servers.iter();
                each.map(move |component| server(table, *component, node.as_str()))
            };
            tables.into_iter().flat_map(of).collect()
        }
        Action::ChangeHost(change) if change.folder() == Folder::Remove => change
            .registry()
            .iter()
            .flat_map(|at| registry(at, change.node.as_str()))
            .collect(),
        _ => vec![],
    }
}

/// New rows as the database takes them.
pub(crate) fn insertions(new: &NewServers) -> Vec<Insertion> {
    new.rows
        .iter()
        .map(|row| Insertion {
            table: row.table.name(),
            key: row.table.key(),
            columns: row.columns.iter().map(cell).collect(),
        })
        .collect()
}

fn cell((name, cell): &(String, Cell)) -> (String, NewValue) {
    let value = match cell {
        Cell::Text(text) => NewValue::Text(text.clone()),
        Cell::Number(number) => NewValue::Number(*number),
        Cell::Now => NewValue::Now,
        Cell::Null => NewValue::Null,
    };
    (name.clone(), value)
}

/// Changes of rows as the database takes them.
pub(crate) fn editions(all: &[RowEdit]) -> Vec<Edition> {
    let cells = |all: &Vec<(String, Cell)>| all.iter().map(cell).collect();
    all.iter()
        .map(|edit| Edition {
            table: edit.table.name(),
            key: edit.key.clone(),
            before: edit.before.as_ref().map(cells),
            after: edit.after.as_ref().map(cells),
        })
        .collect()
}
