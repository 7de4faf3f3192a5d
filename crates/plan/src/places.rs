//! Where parts of the framework are: paths below its folder, and the address of a registry.

use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::names::Endpoint;

/// tarsnode's configuration, relative to the framework's folder.
pub const CONF: &str = "tarsnode/conf/tars.tarsnode.config.conf";
/// tarsnode's binary, relative to the framework's folder.
pub const BINARY: &str = "tarsnode/bin/tarsnode";
/// Scripts without which tarsnode cannot be started, stopped and watched.
pub const SCRIPTS: [&str; 4] = ["execute.sh", "monitor.sh", "start.sh", "stop.sh"];
/// The port of a registry's QueryObj, under which it is known (`tarsregistry/conf`).
pub(crate) const REGISTRY_PORT: u16 = 17890;

/// The binary of a component, relative to the framework's folder.
#[must_use]
pub fn binary_path(component: Component) -> String {
    format!("{component}/bin/{component}")
}

/// The endpoint of a registry at `ip`.
pub(crate) fn endpoint_at(ip: IpAddr) -> Endpoint {
    Endpoint::at(ip, REGISTRY_PORT)
}
