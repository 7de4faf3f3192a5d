//! The rows that an action is about, as statements name them.

use tarsops_model::names::NodeName;
use tarsops_plan::action::{Action, Cell, DeletedRows, NewServers, RowEdit, Table};
use tarsops_transport::mysql::{Edition, Insertion, NewValue, Which};

/// The rows that an action deletes.
pub(crate) fn rows_of(action: &Action) -> Vec<Which> {
    let which = |rows: DeletedRows| Which {
        table: rows.table,
        column: rows.column,
        value: rows.value,
        prefix: rows.is_prefix,
        also: rows.also,
    };
    action
        .kind()
        .writes()
        .deleted
        .into_iter()
        .map(which)
        .collect()
}

/// The rows of the framework's own servers and adapters on a node.
pub(crate) fn own_rows_of(node: &NodeName) -> [(Table, Which); 2] {
    [Table::TServerConf, Table::TAdapterConf].map(|table| {
        let which = Which {
            table: table.name(),
            column: "node_name",
            value: node.to_string(),
            prefix: false,
            also: vec![("application", "tars".to_owned())],
        };
        (table, which)
    })
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
