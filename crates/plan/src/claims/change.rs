//! Whether a change works on a host as the spec has that host. It serves records and rollbacks alike.

use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::names::{NodeName, UserName};
use tarsops_model::tables::SETTINGS;

use super::mismatch::{Field, RecordMismatch, mismatch, must, same};
use crate::actions::{Cell, FileChange, HostChange, RowEdit, Table};
use crate::places::{BINARY, CONF, SCRIPTS, binary_path, endpoint_at};

/// The longest text in a column of a row.
const LONGEST_CELL: usize = 512;

/// Whether programs of `node` run as this user, as the spec has it.
pub(crate) fn fits_user(
    user: &UserName,
    node: &NodeName,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    let agent = desired.agent(node);
    same(
        Field::RunUser,
        user,
        agent.map_or(&desired.run_user, |a| &a.run_user),
    )
}

/// Whether a change works on `node` as the spec has that node: its name, address, folder, user and
/// registry, and its own rows. It serves records and rollbacks alike.
pub(crate) fn fits_host(
    change: &HostChange,
    node: &NodeName,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    same(Field::Node, &change.node, node)?;
    let Some(host) = desired.host(node) else {
        return Err(mismatch(Field::Node, node, "the spec has no such node"));
    };
    same(Field::Ip, &change.ip, &host.ip)?;
    let agent = desired.agent(node);
    let tars = agent.map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    same(Field::TarsPath, &change.tars_path.as_str(), &tars.as_str())?;
    if change.restore().is_some_and(|r| r.crontab.is_some()) {
        fits_user(change.crontab_user(), node, desired)?;
    }
    let registry = (change.component == Component::Tarsregistry).then(|| endpoint_at(host.ip));
    if change.registry() != registry {
        let says = change.registry().as_ref().map(ToString::to_string);
        return Err(mismatch(
            Field::Registry,
            says.unwrap_or_else(|| "none".to_owned()),
            "it must be the node's own, for tarsregistry, and none for the others",
        ));
    }
    fits_rows(change, host.ip, desired)
}

/// Whether a file gets no more than permission bits.
pub(crate) fn fits_modes(file: &FileChange) -> Result<(), RecordMismatch> {
    for mode in [Some(file.mode), file.before_mode].into_iter().flatten() {
        must(
            mode & !0o777 == 0,
            Field::Mode,
            format_args!("{mode:o} of {}", file.path),
            "it has more than permission bits",
        )?;
    }
    Ok(())
}

/// Whether this tool changes a file of a component that is installed.
#[must_use]
pub fn is_own_file(component: Component, path: &str) -> bool {
    match component {
        Component::Tarsnode => {
            let script = path.strip_prefix("tarsnode/util/");
            path == BINARY || path == CONF || script.is_some_and(|name| SCRIPTS.contains(&name))
        }
        other => path == binary_path(other),
    }
}

/// Whether rows that change are those of the change's own server, which the spec has there. Only a
/// basic service has its rows changed together with its program.
fn fits_rows(change: &HostChange, ip: IpAddr, desired: &Desired) -> Result<(), RecordMismatch> {
    if let Some(edit) = change.rows().first() {
        let placed = desired.server(change.component, &change.node).is_some();
        must(
            change.component.is_basic() && placed && desired.database().is_some(),
            Field::Row,
            edit.table.name(),
            "the spec has no basic service there whose rows tarsops changes",
        )?;
    }
    let mut rows = change.rows().iter();
    rows.try_for_each(|edit| fits_row(edit, change, ip))
}

/// Whether a row is of the change's own server, and only columns change that this tool writes.
fn fits_row(edit: &RowEdit, change: &HostChange, ip: IpAddr) -> Result<(), RecordMismatch> {
    let named = edit.key.iter().map(|(column, _)| column.as_str());
    let own = edit.of_key("application") == Some("tars")
        && edit.of_key("server_name") == Some(change.component.name())
        && edit.of_key("node_name") == Some(change.node.as_str())
        && edit.key.len() == edit.table.key().len()
        && named.eq(edit.table.key().iter().copied());
    let name = edit.table.name();
    must(own, Field::Row, name, "it is not of that server")?;
    if let Some(adapter) = edit.of_key("adapter_name") {
        must(
            is_word(adapter),
            Field::Row,
            adapter,
            "no adapter is called so",
        )?;
    }
    for (column, cell) in [&edit.before, &edit.after].into_iter().flatten().flatten() {
        let mut settings = SETTINGS.iter().filter(|s| s.table == name);
        let of_adapter = edit.table == Table::TAdapterConf
            && (ADAPTER.contains(&column.as_str()) || edit.table.key().contains(&column.as_str()));
        let known = of_adapter || settings.any(|s| s.column == column);
        must(
            known,
            Field::Row,
            column,
            "this tool does not write that column",
        )?;
        let Cell::Text(text) = cell else { continue };
        let plain =
            text.len() <= LONGEST_CELL && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        must(plain, Field::Row, text, "it is not plain text")?;
        let of_key = edit.of_key(column).is_none_or(|value| value == text);
        must(of_key, Field::Row, text, "its key says otherwise")?;
        // Whoever asks for a servant is sent to where such a row says.
        if column == "servant" {
            must(
                is_servant_of(change.component, text),
                Field::Row,
                text,
                "it must be a servant of that component",
            )?;
        }
        if column == "endpoint" {
            must(
                is_endpoint_on(text, ip),
                Field::Row,
                text,
                "it must be an endpoint of that node",
            )?;
        }
    }
    Ok(())
}

/// Columns of an adapter that this tool writes, beside its key and those that a spec may own.
const ADAPTER: [&str; 8] = [
    "servant",
    "endpoint",
    "protocol",
    "handlegroup",
    "allow_ip",
    "posttime",
    "lastuser",
    "registry_timestamp",
];

/// Whether a component has that servant, in some release.
fn is_servant_of(component: Component, servant: &str) -> bool {
    let mut all = component.servants().iter();
    all.any(|(own, _)| *own == servant || Component::renamed(own) == Some(servant))
}

/// Whether a text of `t_adapter_conf` is one endpoint at the address of a node, or at all or its local
/// addresses.
#[must_use]
pub fn is_endpoint_on(text: &str, ip: IpAddr) -> bool {
    let words: Vec<&str> = text.split(' ').filter(|w| !w.is_empty()).collect();
    let at = words.iter().position(|w| *w == "-h");
    let host = at.and_then(|at| words.get(at + 1));
    let once = words.iter().filter(|w| **w == "-h").count() == 1;
    let own = host.and_then(|h| h.parse().ok());
    let local =
        own.is_some_and(|own: IpAddr| own == ip || own.is_unspecified() || own.is_loopback());
    // Several endpoints stand in one text with colons between them.
    once && local
        && !words.iter().any(|w| {
            ["tcp", "udp", "ssl"]
                .iter()
                .any(|p| w.ends_with(&format!(":{p}")))
        })
}

pub(super) fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 128 && text.chars().all(plain)
}
