//! Which servants, nodes and servers the framework is asked about.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, Resource};
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

/// What to ask of whom.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Servants, by node.
    pub servants: Vec<(Component, NodeName, &'static str, Endpoint)>,
    /// AdminRegistry, where the spec places it.
    pub admin: Option<(NodeName, Endpoint)>,
    /// Nodes that AdminRegistry is asked about.
    pub nodes: Vec<NodeName>,
    /// Servers that AdminRegistry is asked about.
    pub servers: Vec<(Component, NodeName)>,
    /// Whether running servers are asked for their library's version. AdminRegistry writes a row of
    /// `t_server_notifys` for each such question, so that only what a person reads asks for it.
    pub libraries: bool,
}

impl Questions {
    /// What the spec lets one expect of `nodes`, and of the registries in any case.
    #[must_use]
    pub fn of(desired: &Desired, nodes: &BTreeSet<NodeName>) -> Self {
        let mut out = Self::default();
        // Of a node that is gone one asks whether it really is.
        let expected = |node: &NodeName| {
            desired
                .host(node)
                .is_some_and(|h| !matches!(h.state, NodeState::Absent { .. }))
        };
        let mut add = |component: Component, node: &NodeName, version: Option<Version>| {
            let Some(host) = desired.host(node) else {
                return;
            };
            for (servant, port) in component.servants() {
                if speaks_tars(component, servant, version) {
                    let at = Endpoint::at(host.ip, *port);
                    out.servants.push((component, node.clone(), servant, at));
                }
            }
        };
        let mut servers = Vec::new();
        for (id, resource) in &desired.resources {
            match id {
                ResourceId::Agent(node) if expected(node) && nodes.contains(node) => {
                    add(Component::Tarsnode, node, None);
                }
                ResourceId::Server(component, node)
                    if expected(node)
                        && desired
                            .host(node)
                            .is_some_and(|h| h.state != NodeState::Gone) =>
                {
                    let meant = nodes.contains(node);
                    // What else answers of a servant decides whether one of its endpoints may go.
                    if meant || !component.is_basic() {
                        let version = match resource {
                            Resource::Server(s) => Some(s.version),
                            _ => None,
                        };
                        add(*component, node, version);
                    }
                    if meant && *component != Component::Tarsnode {
                        servers.push((*component, node.clone()));
                    }
                }
                _ => {}
            }
        }
        out.servers = servers;
        out.admin = desired.admin().map(|(n, e)| (n.clone(), e));
        out.nodes = nodes.iter().filter(|n| expected(n)).cloned().collect();
        out
    }
}

/// Whether a servant speaks Tars in that release: the query services did not before 2.1.0, and
/// `TopologyObj` came with 3.0.1.
fn speaks_tars(component: Component, servant: &str, version: Option<Version>) -> bool {
    let since = match (component, servant) {
        (Component::Tarsquerystat | Component::Tarsqueryproperty, _) => "2.1.0",
        (Component::Tarslog, "tars.tarslog.TopologyObj") => "3.0.1",
        _ => return true,
    };
    match (version, since.parse::<Version>()) {
        (Some(version), Ok(since)) => version >= since,
        _ => true,
    }
}
