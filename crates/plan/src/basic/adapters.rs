//! How an adapter differs from what a release and the spec say of it.

use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::framework::AdapterRow;
use tarsops_model::version::Version;

use crate::components::is_placed;
use crate::expansion::after;

/// What differs in one adapter, each on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// It is for another servant.
    pub(crate) servant: bool,
    /// It speaks another protocol.
    pub(crate) protocol: bool,
    /// It is at another port.
    pub(crate) port: bool,
    /// It is at another address. That of a component that can be placed is its host's, which is
    /// compared as a whole.
    pub(crate) address: bool,
}

/// Compares the adapter of `servant` of `component` with its release and with the address of its
/// host.
pub(crate) fn differences(
    found: &AdapterRow,
    (component, version): (Component, Version),
    (servant, port): (&str, u16),
    ip: IpAddr,
) -> Differences {
    let endpoint = found.endpoint.as_deref().unwrap_or_default();
    let at = after(endpoint, "-h").unwrap_or_default();
    Differences {
        servant: found.servant.as_deref() != Some(servant),
        protocol: found.protocol.as_deref() != Some(component.protocol_in(version)),
        port: after(endpoint, "-p") != Some(port.to_string().as_str()),
        address: at != ip.to_string() && at != "0.0.0.0" && !is_placed(component),
    }
}
