//! The rows that the framework's installer writes about a slave's servers, as data.
//!
//! Values are those of `deploy/framework/sql/tars_servers.sql` of the framework 3.0.17, in which the
//! installer (`deploy/tars-install.sh`) puts the host's address for `localip.tars.com`, the release
//! for `2.1.0` and its own folder for `/usr/local/app/tars`. Three values differ, so that nothing
//! starts half placed and what was never started can be told: both states are `inactive`, and
//! `tars_version` is empty. The start sets the states, and a server that has started reports its
//! library's version, which the installer's row does not have either.

use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::framework::{AdapterRow, ServerRow};
use tarsops_model::names::NodeName;

use crate::actions::{Cell, NewRow, Table};

/// The application that the framework's own servers belong to.
pub(super) const APPLICATION: &str = "tars";
/// Who the installer says wrote the rows (`lastuser`).
const WRITER: &str = "admin";

/// What of an adapter the installer's statements say, which differs from server to server.
struct Adapter {
    threads: i64,
    connections: i64,
    /// Milliseconds for which a request may wait.
    queue_timeout: i64,
}

/// Requests that may wait, of every slave's adapter.
const QUEUE: i64 = 100_000;

const fn adapter(component: Component) -> Adapter {
    match component {
        Component::Tarsregistry => Adapter {
            threads: 5,
            connections: 100_000,
            queue_timeout: 10_000,
        },
        Component::Tarsconfig => Adapter {
            threads: 10,
            connections: 200_000,
            queue_timeout: 60_000,
        },
        _ => Adapter {
            threads: 5,
            connections: 200_000,
            queue_timeout: 60_000,
        },
    }
}

/// Whether the installer's statement for the server names a profile; the column is NULL otherwise.
const fn has_profile(component: Component) -> bool {
    matches!(
        component,
        Component::Tarsregistry | Component::Tarsquerystat | Component::Tarsqueryproperty
    )
}

fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

/// What the installer writes, and in its place or beside it what the spec says.
fn with_settings(
    table: Table,
    installer: Vec<(&str, Cell)>,
    desired: &Server,
) -> Vec<(String, Cell)> {
    let named = installer.into_iter().map(|(n, c)| (n.to_owned(), c));
    let mut all: Vec<(String, Cell)> = named.collect();
    for (setting, value) in desired.rows.of_table(table.name()) {
        match all.iter_mut().find(|(name, _)| name == setting.column) {
            Some((_, cell)) => *cell = value.into(),
            None => all.push((setting.column.to_owned(), value.into())),
        }
    }
    all
}

/// The row of a server.
pub(crate) fn server(component: Component, node: &NodeName, desired: &Server) -> NewRow {
    let name = component.name();
    let (version, tars_path) = (desired.version, &desired.tars_path);
    let template = format!("{APPLICATION}.{name}");
    let mut all = vec![
        ("application", text(APPLICATION)),
        ("server_name", text(name)),
        ("node_group", text("")),
        ("node_name", text(node.as_str())),
        ("registry_timestamp", Cell::Now),
        ("base_path", text("")),
        ("exe_path", text(format!("{tars_path}/{name}/bin/{name}"))),
        ("template_name", text(template)),
        ("bak_flag", Cell::Number(0)),
        ("setting_state", text("inactive")),
        ("present_state", text("inactive")),
        ("process_id", Cell::Number(0)),
        ("patch_version", text(version.to_string())),
        ("patch_time", Cell::Now),
        ("patch_user", text("")),
        ("tars_version", text("")),
        ("posttime", Cell::Now),
        ("lastuser", text(WRITER)),
        ("server_type", text("tars_cpp")),
    ];
    if has_profile(component) {
        all.push(("profile", text("")));
    }
    NewRow {
        table: Table::TServerConf,
        columns: with_settings(Table::TServerConf, all, desired),
    }
}

/// The row of an adapter.
pub(crate) fn adapter_row(
    component: Component,
    servant: &str,
    port: u16,
    node: &NodeName,
    ip: IpAddr,
    desired: &Server,
) -> NewRow {
    let values = adapter(component);
    let installer = vec![
        ("application", text(APPLICATION)),
        ("server_name", text(component.name())),
        ("node_name", text(node.as_str())),
        ("adapter_name", text(adapter_name(servant))),
        ("registry_timestamp", Cell::Now),
        ("thread_num", Cell::Number(values.threads)),
        ("endpoint", text(endpoint(ip, port))),
        ("max_connections", Cell::Number(values.connections)),
        ("allow_ip", text("")),
        ("servant", text(servant)),
        ("queuecap", Cell::Number(QUEUE)),
        ("queuetimeout", Cell::Number(values.queue_timeout)),
        ("posttime", Cell::Now),
        ("lastuser", text(WRITER)),
        ("protocol", text(component.protocol_in(desired.version))),
        ("handlegroup", text("")),
    ];
    NewRow {
        table: Table::TAdapterConf,
        columns: with_settings(Table::TAdapterConf, installer, desired),
    }
}

/// Whether an adapter for `found` is that of `servant`, under whatever name it had in its release.
pub(crate) fn is_servant(found: &str, servant: &str) -> bool {
    found == servant || Component::renamed(servant) == Some(found)
}

/// The name of a servant's adapter.
pub(crate) fn adapter_name(servant: &str) -> String {
    format!("{servant}Adapter")
}

/// An endpoint as the installer writes it.
pub(super) fn endpoint(ip: IpAddr, port: u16) -> String {
    format!("tcp -h {ip} -t 60000 -p {port}")
}

/// Whether a row is of a server that was never started: nobody has set it active, no process was
/// ever seen, and none has reported its library. One that somebody stopped has reported it.
#[must_use]
pub(crate) fn never_started(row: &ServerRow) -> bool {
    let blank = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    row.setting.as_deref() == Some("inactive")
        && row.present.as_deref() == Some("inactive")
        && row.pid.unwrap_or_default() == 0
        && blank(&row.library)
}

/// What will be seen of a row that was written.
pub(crate) fn observed_server(row: &NewRow) -> ServerRow {
    let mut out = ServerRow::default();
    for (column, cell) in &row.columns {
        out.set_cell(column, cell.text());
    }
    out
}

/// What will be seen of a row that was written.
pub(crate) fn observed_adapter(row: &NewRow) -> AdapterRow {
    let mut out = AdapterRow::default();
    for (column, cell) in &row.columns {
        out.set_cell(column, cell.text());
    }
    out
}
