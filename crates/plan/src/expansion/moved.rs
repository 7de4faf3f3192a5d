//! Framework hosts that the database has under another name or address than the spec.
//!
//! The rows of a framework host carry its name and its address in many places, and everybody's
//! locator names it: moving one by editing rows would take name resolution away. It is told, and left.

use std::net::IpAddr;

use tarsops_model::framework::ServerRow;
use tarsops_model::host::Host;
use tarsops_model::names::NodeName;

use super::rows;
use crate::components::PLACED;
use crate::input::PlanInput;
use crate::report::Blocked;
use crate::tables::readable;

fn is_of_framework(application: &str, server: &str) -> bool {
    application == rows::APPLICATION && PLACED.iter().any(|c| c.name() == server)
}

/// The word after a flag of an endpoint such as `tcp -h 10.0.0.1 -t 60000 -p 17890`.
pub(crate) fn after<'a>(endpoint: &'a str, flag: &str) -> Option<&'a str> {
    let mut words = endpoint.split_whitespace();
    words.find(|word| *word == flag)?;
    words.next()
}

/// The port of an endpoint.
pub(super) fn port_of(endpoint: &str) -> Option<u16> {
    after(endpoint, "-p")?.parse().ok()
}

/// Whether the rows of the node's framework servers carry another address than the spec's.
pub(super) fn address(input: &PlanInput<'_>, node: &NodeName, spec: &Host) -> Option<Blocked> {
    if !spec.role.is_framework() {
        return None;
    }
    let (_, _, adapters) = readable(input).ok()?;
    let other = adapters
        .iter()
        .filter(|row| row.node == node.as_str() && is_of_framework(&row.application, &row.server))
        .filter_map(|row| {
            let ip: IpAddr = after(row.endpoint.as_deref()?, "-h")?.parse().ok()?;
            (ip != spec.ip && !ip.is_unspecified()).then_some((&row.server, ip))
        })
        .min()?;
    let (server, ip) = other;
    Some(Blocked::FrameworkMoved {
        from: ip.to_string(),
        why: format!(
            "the database has its {server} at {ip}, and the spec says {}: changing its address does not move a framework host",
            spec.ip
        ),
    })
}

/// Whether the database has framework servers on a node that the spec does not name, and none on
/// this one: it may be the same host under another name.
pub(super) fn name(
    input: &PlanInput<'_>,
    node: &NodeName,
    servers: &[ServerRow],
) -> Option<Blocked> {
    let all = || {
        servers
            .iter()
            .filter(|row| is_of_framework(&row.application, &row.server))
    };
    // What this module wrote itself is no sign of a framework host that was there before.
    if all().any(|row| row.node == node.as_str()) {
        return None;
    }
    let known = |name: &str| {
        NodeName::new(name)
            .ok()
            .is_some_and(|n| input.desired.host(&n).is_some())
    };
    let from = all()
        .map(|row| row.node.as_str())
        .filter(|name| !known(name))
        .min()?;
    Some(Blocked::FrameworkMoved {
        from: from.to_owned(),
        why: format!(
            "the database has framework servers on {from}, which the spec does not name, and none on {node}: a framework host does not move by a change of its name"
        ),
    })
}
