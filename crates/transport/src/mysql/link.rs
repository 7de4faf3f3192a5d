//! A connection together with the relay that it runs through.

use std::ops::{Deref, DerefMut};

use mysql_async::Conn;
use tokio::task::JoinHandle;

/// Ends the relay when it is dropped, whatever the client library still waits for.
pub(super) struct Relay(JoinHandle<()>);

impl Relay {
    pub(super) const fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }

    /// Waits until all that was said has been forwarded.
    async fn ended(mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection to the database. Dropping it cuts it.
pub struct Link {
    conn: Conn,
    relay: Relay,
}

impl Link {
    pub(super) const fn new(conn: Conn, relay: Relay) -> Self {
        Self { conn, relay }
    }

    /// Ends the connection in good order.
    ///
    /// # Errors
    /// The server is not there any more; there is no connection then, either.
    pub async fn disconnect(self) -> Result<(), mysql_async::Error> {
        let Self { conn, relay } = self;
        conn.disconnect().await?;
        relay.ended().await;
        Ok(())
    }
}

impl Deref for Link {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
