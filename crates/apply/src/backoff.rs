//! Pauses between questions that cost little: short at first, as most answers come soon, and ever
//! longer, as one that did not come soon may not come at all.

use std::time::Duration;

/// The first one.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
pub(crate) const LONGEST: Duration = Duration::from_secs(1);

/// The pauses of one wait. For questions over connections that stand, not for looks at hosts.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// How long the next one is.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST);
        now
    }

    /// Waits for the next one.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}
