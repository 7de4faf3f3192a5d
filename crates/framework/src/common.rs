//! What all questions and changes share.

use std::time::Duration;

/// How long one call may take.
pub const CALL: Duration = Duration::from_secs(3);
/// The application of the framework's own servers.
pub(crate) const APPLICATION: &str = "tars";
