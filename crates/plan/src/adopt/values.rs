//! Values of basic services' rows that are not the installer's.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, Rows};
use tarsops_model::inventory::Inventory;

use super::cluster::rows;
use super::given::Given;
use crate::components::BASIC;

/// What a spec can say of one component's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Values {
    /// `template`.
    pub(super) template: Option<String>,
    /// Keys and values of `adapters`, as YAML.
    pub(super) adapters: Vec<(&'static str, String)>,
}

/// A column that a spec may own: its key, the installer's value, the most that a spec may say.
struct Numbered {
    key: &'static str,
    column: &'static str,
    installer: i64,
    most: i64,
}

/// The installer's values (`deploy/framework/sql/tars_servers_master.sql`).
const NUMBERS: [Numbered; 4] = [
    numbered("threads", "thread_num", 5, 1024),
    numbered("max_connections", "max_connections", 200_000, 1_000_000),
    numbered("queue", "queuecap", 100_000, 1_000_000),
    numbered("queue_timeout", "queuetimeout", 60_000, 1_000_000),
];

const fn numbered(key: &'static str, column: &'static str, installer: i64, most: i64) -> Numbered {
    Numbered {
        key,
        column,
        installer,
        most,
    }
}

/// Reads them; nothing where the spec has no database, as such values need one.
pub(super) fn read(
    given: &Given,
    inventory: &Inventory,
    notes: &mut Vec<String>,
) -> BTreeMap<Component, Values> {
    let Some(rows) = rows(inventory).filter(|_| !given.database.is_empty()) else {
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for component in BASIC {
        let values = Values {
            template: template(rows, component, notes),
            adapters: adapters(rows, component, notes),
        };
        if values != Values::default() {
            out.insert(component, values);
        }
    }
    out
}

fn is_own(component: Component, application: &str, server: &str) -> bool {
    application == "tars" && server == component.name()
}

fn template(rows: &Rows, component: Component, notes: &mut Vec<String>) -> Option<String> {
    let own = rows.servers.present()?.iter();
    let own = own.filter(|row| is_own(component, &row.application, &row.server));
    let names: BTreeSet<&str> = own
        .filter_map(|row| row.template.as_deref())
        .filter(|name| !name.is_empty())
        .collect();
    if names.len() > 1 {
        notes.push(format!(
            "{component} has different templates on its nodes, and a spec has one for all"
        ));
        return None;
    }
    let name = names.into_iter().next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_name = name.len() <= 128
        && name.chars().all(plain)
        && name.contains('.')
        && name.split('.').all(|part| !part.is_empty());
    if !is_name {
        notes.push(format!(
            "the template of {component} has a name that a spec cannot have"
        ));
        return None;
    }
    (name != format!("tars.{component}")).then(|| name.to_owned())
}

fn adapters(
    rows: &Rows,
    component: Component,
    notes: &mut Vec<String>,
) -> Vec<(&'static str, String)> {
    let all = rows.adapters.present().into_iter().flatten();
    let own: Vec<&AdapterRow> = all
        .filter(|row| is_own(component, &row.application, &row.server))
        .collect();
    let mut out = Vec::new();
    for number in NUMBERS {
        let cells: BTreeSet<i64> = own
            .iter()
            .filter_map(|row| row.cell(number.column)?.parse().ok())
            .collect();
        let mut cells = cells.into_iter();
        let (Some(value), rest) = (cells.next(), cells.next()) else {
            continue;
        };
        if rest.is_some() {
            notes.push(format!(
                "the adapters of {component} have different values in {}, and a spec has one for all",
                number.column
            ));
            continue;
        }
        if value == number.installer {
            continue;
        }
        let seconds = number.key == "queue_timeout";
        if value < 1 || value > number.most || (seconds && value % 1000 != 0) {
            notes.push(format!(
                "{} of {component} is {value}, which a spec cannot say; it is left alone",
                number.column
            ));
            continue;
        }
        let value = if seconds {
            format!("{}s", value / 1000)
        } else {
            value.to_string()
        };
        out.push((number.key, value));
    }
    out
}
