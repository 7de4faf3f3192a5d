//! How the framework's servants are reached.

use std::collections::BTreeSet;
use std::sync::Arc;

use tarsops_model::desired::Rpc;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_transport::Connect;
use tarsops_transport::rpc::{Route, RpcClient};

/// The way to the framework's servants.
#[derive(Clone)]
pub struct Ways {
    /// How they are asked.
    pub rpc: Rpc,
    /// Makes SSH connections.
    pub connect: Arc<dyn Connect>,
    /// Nodes whose machine is gone, and the one through which their address is asked.
    pub gone: BTreeSet<NodeName>,
    /// The master.
    pub master: NodeName,
}

impl Ways {
    pub(crate) fn is_direct(&self) -> bool {
        self.rpc == Rpc::Direct
    }

    fn to(&self, node: &NodeName) -> Route {
        match self.rpc {
            Rpc::Ssh => Route::Through {
                connect: Arc::clone(&self.connect),
                node: if self.gone.contains(node) {
                    self.master.clone()
                } else {
                    node.clone()
                },
            },
            Rpc::Direct | Rpc::Off => Route::Direct,
        }
    }

    /// A client for a servant that is on `node`.
    #[must_use]
    pub fn client(&self, node: &NodeName, at: Endpoint) -> RpcClient {
        RpcClient::new(at, self.to(node))
    }
}
