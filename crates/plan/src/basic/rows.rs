//! The rows of a basic service that is there: what differs from its release and from the spec, and
//! the edits that put it right.
//!
//! A release says which servants it has, at which port and in which protocol; the spec says the
//! template and what each adapter may take. All else in the rows is the operator's. A row is changed
//! by its fields, never by a deploy form, which would reset it; a row too many is told and left.

use tarsops_model::component::Component;
use tarsops_model::desired::{Server, SettingValue};
use tarsops_model::framework::{AdapterRow, ServerRow};
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::adapters::differences;
use crate::actions::{Cell, RowEdit, Table};
use crate::components::is_placed;
use crate::drift::FieldChange;
use crate::expansion::{adapter_name, adapter_row, after};
use crate::input::PlanInput;
use crate::report::Blocked;
use crate::tables::{framework, readable, row};

/// What is to be done to the rows of one server.
#[derive(Default)]
pub(crate) struct BasicRowsPlan {
    pub(crate) edits: Vec<RowEdit>,
    pub(crate) fields: Vec<FieldChange>,
    pub(crate) blocked: Vec<Blocked>,
}

/// Compares the rows of `component` on `node` with its release and the spec. Nothing where they
/// cannot be read, or where it has none. `runs` says whether it does; none where it comes and another
/// step writes what is missing.
pub(crate) fn compare(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    server: &Server,
    host: &HostFacts,
    runs: Option<bool>,
) -> BasicRowsPlan {
    let mut work = BasicRowsPlan::default();
    let Ok((_, servers, adapters)) = readable(input) else {
        return work;
    };
    let Some(own) = row(servers, component, node) else {
        return work;
    };
    let adapters = adapters_of(adapters, component, node);
    let wanted = component.servants_in(server.version);
    // What can be placed on a further framework host, and does not run, has its adapters from there.
    let lacks = |(servant, port): &(&str, u16)| of_servant(&adapters, servant, *port).is_none();
    if is_placed(component) && runs != Some(true) && wanted.iter().any(lacks) {
        return work;
    }
    work.server(own, server);
    let answers = |servant: &str| {
        let asked = framework(input).and_then(|f| f.servants.get(&format!("{servant}@{node}")));
        asked.is_some_and(|asked| asked.answer.is_alive())
    };
    for (servant, port) in wanted {
        let moves = match of_servant(&adapters, servant, port) {
            Some(found) => work.adapter(found, (component, servant, port), spec, server),
            None if runs.is_none() => false,
            None => {
                work.added(component, (servant, port), node, spec, server);
                true
            }
        };
        // Its own process holds the port where the row was changed and nobody has restarted it.
        if let (true, Observed::Present(ports)) = (moves, &host.ports)
            && ports.contains(&port)
            && !answers(servant)
        {
            work.blocked.push(Blocked::PortTakenOf { component, port });
        }
    }
    work
}

/// The adapters of a component of the framework on a node.
pub(crate) fn adapters_of<'a>(
    all: &'a [AdapterRow],
    component: Component,
    node: &NodeName,
) -> Vec<&'a AdapterRow> {
    all.iter()
        .filter(|r| {
            r.application == "tars" && r.server == component.name() && r.node == node.as_str()
        })
        .collect()
}

/// The adapter of a servant among those of its server: the one that is for it, at its port if there
/// are several; or the one that was under another release's name; or the one that bears its name.
pub(crate) fn of_servant<'a>(
    all: &[&'a AdapterRow],
    servant: &str,
    port: u16,
) -> Option<&'a AdapterRow> {
    let at_port = |r: &&&AdapterRow| {
        let endpoint = r.endpoint.as_deref().unwrap_or_default();
        after(endpoint, "-p").and_then(|p| p.parse().ok()) == Some(port)
    };
    let for_it = |name: &str| -> Option<&'a AdapterRow> {
        let mut own = all.iter().filter(|r| r.servant.as_deref() == Some(name));
        let first = own.clone().next();
        own.find(at_port).or(first).copied()
    };
    let renamed = || for_it(Component::renamed(servant)?);
    let named = || {
        let name = adapter_name(servant);
        all.iter().find(|r| r.adapter == name).copied()
    };
    for_it(servant).or_else(renamed).or_else(named)
}

/// The port from which the edits move a servant to `port`, if they do.
pub(crate) fn port_before(edits: &[RowEdit], port: u16) -> Option<u16> {
    let port_in = |columns: &Option<Vec<(String, Cell)>>| {
        columns.iter().flatten().find_map(|(_, cell)| match cell {
            Cell::Text(text) => after(text, "-p")?.parse::<u16>().ok(),
            _ => None,
        })
    };
    let moved = edits
        .iter()
        .find(|edit| port_in(&edit.after) == Some(port))?;
    port_in(&moved.before)
}

/// `StatObj` of `tars.tarsstat.StatObj`.
fn short(servant: &str) -> &str {
    servant.rsplit('.').next().unwrap_or(servant)
}

fn text(value: Option<&String>) -> Cell {
    value.map_or(Cell::Null, |text| Cell::Text(text.clone()))
}

/// A setting that a row does not have as the spec says.
struct Differs {
    column: &'static str,
    label: &'static str,
    old: String,
    new: String,
    before: Cell,
    after: Cell,
}

/// The settings of a table that a row does not have as the spec says. `is` gives the row's cell of a
/// column.
fn settings(
    table: Table,
    server: &Server,
    is: impl Fn(&str) -> Option<String>,
) -> impl Iterator<Item = Differs> {
    let wanted = server.rows.of_table(table.name());
    wanted.filter_map(move |(setting, value)| {
        let (old, new) = (is(setting.column), value.to_string());
        if old.as_ref() == Some(&new) {
            return None;
        }
        let number = |text: &String| text.parse().map_or(Cell::Null, Cell::Number);
        let before = match value {
            SettingValue::Number(_) => old.as_ref().map_or(Cell::Null, number),
            SettingValue::Text(_) => text(old.as_ref()),
        };
        Some(Differs {
            column: setting.column,
            label: setting.label,
            old: old.unwrap_or_else(|| "none".to_owned()),
            new,
            before,
            after: value.into(),
        })
    })
}

impl BasicRowsPlan {
    fn server(&mut self, own: &ServerRow, server: &Server) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for differs in settings(Table::TServerConf, server, |column| own.cell(column)) {
            let label = differs.label;
            self.fields
                .push(FieldChange::new(label, differs.old, differs.new));
            before.push((differs.column.to_owned(), differs.before));
            after.push((differs.column.to_owned(), differs.after));
        }
        if !after.is_empty() {
            self.edits.push(RowEdit {
                table: Table::TServerConf,
                key: key(&own.server, &own.node, None),
                before: Some(before),
                after: Some(after),
            });
        }
    }

    /// Whether it comes to another port.
    fn adapter(
        &mut self,
        found: &AdapterRow,
        (component, servant, port): (Component, &str, u16),
        spec: &Host,
        server: &Server,
    ) -> bool {
        let (mut before, mut now) = (Vec::new(), Vec::new());
        let mut set = |column: &str, from: Cell, to: Cell| {
            before.push((column.to_owned(), from));
            now.push((column.to_owned(), to));
        };
        let name = short(servant);
        let mut fields = Vec::new();
        let mut field = |what: &str, old: &str, new: &str| {
            let what = format!("{name} {what}");
            fields.push(FieldChange::new(&what, old, new));
        };
        let differs = differences(found, (component, server.version), (servant, port), spec.ip);
        if differs.servant {
            let old = found.servant.as_deref().unwrap_or_default();
            field("servant", short(old), name);
            set(
                "servant",
                text(found.servant.as_ref()),
                Cell::Text(servant.to_owned()),
            );
        }
        if differs.protocol {
            let protocol = component.protocol_in(server.version);
            let old = found.protocol.as_deref().unwrap_or("none");
            field("protocol", old, protocol);
            set(
                "protocol",
                text(found.protocol.as_ref()),
                Cell::Text(protocol.to_owned()),
            );
        }
        let endpoint = found.endpoint.as_deref().unwrap_or_default();
        let wanted = port.to_string();
        let at = after(endpoint, "-h").unwrap_or_default();
        let ip = spec.ip.to_string();
        if differs.port || differs.address {
            if differs.port {
                field("port", after(endpoint, "-p").unwrap_or("none"), &wanted);
            }
            if differs.address {
                field("address", at, &ip);
            }
            let host = if differs.address || at.is_empty() {
                ip.as_str()
            } else {
                at
            };
            set(
                "endpoint",
                text(found.endpoint.as_ref()),
                Cell::Text(with(endpoint, host, &wanted)),
            );
        }
        for differs in settings(Table::TAdapterConf, server, |column| found.cell(column)) {
            field(differs.label, &differs.old, &differs.new);
            set(differs.column, differs.before, differs.after);
        }
        if !now.is_empty() {
            self.fields.extend(fields);
            self.edits.push(RowEdit {
                table: Table::TAdapterConf,
                key: key(&found.server, &found.node, Some(&found.adapter)),
                before: Some(before),
                after: Some(now),
            });
        }
        differs.port
    }

    fn added(
        &mut self,
        component: Component,
        (servant, port): (&str, u16),
        node: &NodeName,
        spec: &Host,
        server: &Server,
    ) {
        let new = adapter_row(component, servant, port, node, spec.ip, server);
        let what = format!("{} adapter", short(servant));
        self.fields
            .push(FieldChange::new(&what, "none", format!("port {port}")));
        self.edits.push(RowEdit {
            table: Table::TAdapterConf,
            key: key(component.name(), node.as_str(), new.text("adapter_name")),
            before: None,
            after: Some(new.columns),
        });
    }
}

fn key(server: &str, node: &str, adapter: Option<&str>) -> Vec<(String, String)> {
    let parts = [
        ("application", Some("tars")),
        ("server_name", Some(server)),
        ("node_name", Some(node)),
        ("adapter_name", adapter),
    ];
    parts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect()
}

/// An endpoint at another host and port; what else it says stays. A text that is no endpoint is
/// written again.
fn with(endpoint: &str, host: &str, port: &str) -> String {
    let mut words: Vec<&str> = endpoint.split_whitespace().collect();
    let mut done = true;
    for (flag, value) in [("-h", host), ("-p", port)] {
        let place = words.iter().position(|word| *word == flag);
        match place.and_then(|at| words.get_mut(at + 1)) {
            Some(word) => *word = value,
            None => done = false,
        }
    }
    if done {
        words.join(" ")
    } else {
        format!("tcp -h {host} -t 60000 -p {port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_keeps_what_else_it_says() {
        assert_eq!(
            with("tcp -h 1.1.1.1 -t 3000 -p 1 -e 0", "2.2.2.2", "18293"),
            "tcp -h 2.2.2.2 -t 3000 -p 18293 -e 0"
        );
        assert_eq!(
            with("tcp -t 3000", "2.2.2.2", "18293"),
            "tcp -h 2.2.2.2 -t 60000 -p 18293"
        );
    }
}
