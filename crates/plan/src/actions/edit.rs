//! Edits of rows of servers that exist, or that are added and removed with their server's program.

use tarsops_model::framework::{AdapterRow, Rows};
use tarsops_model::observed::Observed;

use super::rows::{NewRow, RowEdit, Table};
use crate::expansion::observed_adapter;

/// Edits, adds or deletes a row. What the row must say before is not compared.
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
                    row.set_cell(column, cell.text());
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
                            row.set_cell(column, cell.text());
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
