//! Servers whose every byte a test decides, and a tunnel that is only a Unix socket.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses what it needs"
)]

pub mod database;
pub mod hostile;
pub mod server;
pub mod web;

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_transport::rpc::Route;
use tarsops_transport::{Connect, Fault, FaultKind, Remote};
use tokio::net::TcpStream;

/// Leads every tunnel to the same Unix socket.
pub struct Tunnel(pub PathBuf);

impl Connect for Tunnel {
    fn connect<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Remote>, Fault>> {
        async { Err(Fault::new(FaultKind::Unreachable, "only tunnels here")) }.boxed()
    }
    fn tunnel<'a>(
        &'a self,
        _: &'a NodeName,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Result<PathBuf, Fault>> {
        let path = self.0.clone();
        async move {
            if path.as_os_str().is_empty() {
                return Err(Fault::new(FaultKind::TimedOut, "the host does not answer"));
            }
            Ok(path)
        }
        .boxed()
    }
    fn forget<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}

/// The way through a tunnel that begins at `socket`.
pub fn through(socket: PathBuf) -> Route {
    Route::Through {
        connect: Arc::new(Tunnel(socket)),
        node: "10.77.0.1".parse().unwrap(),
    }
}

/// What `ssh -L` does: for each connection to the Unix socket, one to `to`; if that fails, it
/// hangs up.
pub fn forward(socket: &std::path::Path, to: Endpoint) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut here, _)) = listener.accept().await {
            let to = to.clone();
            connections.spawn(async move {
                if let Ok(mut there) = TcpStream::connect((to.host.as_str(), to.port)).await {
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                }
            });
        }
    })
}
