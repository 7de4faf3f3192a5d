//! Whether the console lets in who shows no ticket. Consoles of today do, in two ways that anybody can
//! try who reaches their port; who runs one should know it.

use serde_json::Value;
use tokio::time::Instant;

use super::{Ask, Console, ConsoleError};

/// A way past the console's login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The word `undefined` instead of a ticket.
    UndefinedTicket,
    /// A header that says that the request comes from the console's own machine.
    ForwardedFor,
    /// Nothing at all: the console asks nobody, or not this machine, to log in.
    NoTicket,
}

impl Door {
    /// Those that are open to everybody if they are open to one.
    pub const FORGED: [Self; 2] = [Self::UndefinedTicket, Self::ForwardedFor];

    /// What anybody can do.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::UndefinedTicket => "`?ticket=undefined`",
            Self::ForwardedFor => "`X-Forwarded-For: 127.0.0.1`",
            Self::NoTicket => "nothing",
        }
    }
}

impl Console {
    /// Whether who knocks at `door` is answered as one who has logged in. One question that reads; the
    /// client's own ticket is not sent.
    ///
    /// # Errors
    /// A [`ConsoleError`] other than [`ConsoleError::NotLoggedIn`].
    pub async fn is_open(&self, door: Door) -> Result<bool, ConsoleError> {
        let query = vec![("application", "tars"), ("server_name", "tarsnode")];
        let ask = Ask::get("server_nodes", query);
        let request = match door {
            Door::UndefinedTicket => self.request_with(&ask, Some("undefined")),
            Door::NoTicket => self.request_with(&ask, None),
            Door::ForwardedFor => self
                .request_with(&ask, None)
                .header("X-Forwarded-For", "127.0.0.1"),
        };
        let until = Instant::now() + self.deadline;
        let body = self.send(ask.name, request, until, self.deadline).await?;
        match self.data::<Value>(ask.name, &body) {
            Ok(_) => Ok(true),
            Err(ConsoleError::NotLoggedIn { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}
