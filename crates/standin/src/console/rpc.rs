//! tarsAdminRegistry, asked from within a call. The client is one that waits, so it has a thread.
//!
//! Calls have no context that asks for an answer about nodes which are not connected: there is none,
//! and the patience ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tarsops_wire::interface::ADMIN;
use tarsops_wire::packet::Response;

use super::State;
use crate::standin::lies::Lie;
use crate::standin::net::Client;

fn call(
    address: SocketAddr,
    patience: Duration,
    function: &'static str,
    arguments: Vec<u8>,
) -> io::Result<Response> {
    Client::connect(address, patience)?.call(ADMIN, function, arguments, &[])
}

impl State {
    /// What tarsAdminRegistry answers; an error where it does not.
    pub(super) async fn admin(
        self: &Arc<Self>,
        function: &'static str,
        arguments: Vec<u8>,
    ) -> io::Result<Response> {
        self.admin_within(self.patience(), function, arguments)
            .await
    }

    /// The same with another patience.
    pub(super) async fn admin_within(
        self: &Arc<Self>,
        patience: Duration,
        function: &'static str,
        arguments: Vec<u8>,
    ) -> io::Result<Response> {
        if self.lies.tells(Lie::AdminSilent) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let address = self.options.admin;
        tokio::task::spawn_blocking(move || call(address, patience, function, arguments))
            .await
            .map_err(io::Error::other)?
    }
}
