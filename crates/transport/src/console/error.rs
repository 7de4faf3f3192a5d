//! Why the console gave no answer, or one that says no.

use std::path::PathBuf;
use std::time::Duration;

/// Why a call of the console has no answer, or one that says no. One lowercase clause each; the
/// ticket is in none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// The address or the ticket cannot be used; nothing was sent.
    #[error("the console cannot be used: {why}")]
    Settings {
        /// Why.
        why: String,
    },
    /// A package that is to be uploaded cannot be read, or the console would not take it; nothing
    /// was sent.
    #[error("{} cannot be uploaded: {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Nothing listens there.
    #[error("{at} refuses the connection for {call}")]
    Refused {
        /// Where.
        at: String,
        /// Which call.
        call: &'static str,
    },
    /// There is no way there: no address, no route, no trust in its certificate.
    #[error("{at} cannot be reached for {call}: {why}")]
    Unreachable {
        /// Where.
        at: String,
        /// Which call.
        call: &'static str,
        /// Why.
        why: String,
    },
    /// The connection ended before the whole answer came.
    #[error("{at} ended the connection before it had answered {call}: {why}")]
    Disconnected {
        /// Where.
        at: String,
        /// Which call.
        call: &'static str,
        /// Why.
        why: String,
    },
    /// The deadline passed, while connecting or while waiting for the answer.
    #[error("{at} gave no answer to {call} within {} s", .waited.as_secs_f32())]
    NoAnswer {
        /// Where.
        at: String,
        /// Which call.
        call: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The console does not accept the ticket: unknown, revoked or none.
    #[error("the console does not accept the ticket for {call}: {err_msg}")]
    NotLoggedIn {
        /// Which call.
        call: &'static str,
        /// Its words.
        err_msg: String,
    },
    /// More requests came from this address than the console takes.
    #[error("the console takes no more requests for now, {call} is one too many{}", match .retry_after {
        Some(wait) => format!(": again in {} s", wait.as_secs()),
        None => String::new(),
    })]
    RateLimited {
        /// Which call.
        call: &'static str,
        /// When it takes requests again, as it says; none where it does not say.
        retry_after: Option<Duration>,
    },
    /// The console sends us elsewhere. We do not go, as the ticket would go along.
    #[error("{call} is answered with a redirection to {to}, which is not followed")]
    Redirected {
        /// Which call.
        call: &'static str,
        /// Scheme, host and port only, as the rest may repeat what was asked.
        to: String,
    },
    /// A page or a bare text came and no JSON, or a status other than 200.
    #[error("{call} is answered with a page and status {status}: {}", or_none(.words))]
    Html {
        /// Which call.
        call: &'static str,
        /// The HTTP status; it may be 200.
        status: u16,
        /// The line of the page that says most.
        words: String,
    },
    /// The console says no.
    #[error("{call} is answered with ret_code {ret_code}: {}", or_none(.err_msg))]
    Said {
        /// Which call.
        call: &'static str,
        /// Its code, 500 for nearly everything.
        ret_code: i64,
        /// Its words; empty where it has none. They seldom tell the cause.
        err_msg: String,
    },
    /// What came cannot be read, or is more than is taken.
    #[error("what {at} answered to {call} cannot be read: {why}")]
    Garbled {
        /// Where.
        at: String,
        /// Which call.
        call: &'static str,
        /// Why.
        why: String,
    },
}

/// What stands for words that are not there.
fn or_none(words: &str) -> &str {
    if words.is_empty() {
        "(no message)"
    } else {
        words
    }
}

impl ConsoleError {
    /// Whether it is sure that the console has not done what it was asked for: it was not reached,
    /// or it turned us away before it looked at the call. After anything else a call that changes
    /// something may have been carried out, or will be: "system error" for `add_task` was seen to be
    /// followed by the task. What is so must be read again then, not the call repeated.
    #[must_use]
    pub const fn is_sure_that_nothing_happened(&self) -> bool {
        matches!(
            self,
            Self::Settings { .. }
                | Self::File { .. }
                | Self::Refused { .. }
                | Self::Unreachable { .. }
                | Self::NotLoggedIn { .. }
                | Self::RateLimited { .. }
                | Self::Redirected { .. }
        )
    }
}
