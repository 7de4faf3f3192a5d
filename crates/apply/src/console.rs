//! The replacement of the management console on its host: the new release beside the old one, and back where
//! it is not healthy.
//!
//! The host makes it by itself (`host/console/*.sh`); this side starts it and reads its verdict. The
//! archive of a release is uploaded before. A console that starts may drop columns of the database that it
//! does not know: whether it may be started is decided before, for either direction.

use std::time::Duration;

use tarsops_model::names::RunId;
use tarsops_transport::{Bounds, Fault, FaultKind, Remote};

use crate::host_session::{unfinished, verdict_of};
use crate::place::Place;
use crate::scripts::{self, ChangeReport, ConsoleLaunch, Mode};
use crate::verdict::Verdict;

pub use crate::scripts::{
    BadConsole, Configuration, ConsoleChange, Expiry, FileText, NewConsole, Reboot, Supervisor,
};

/// How a replacement ended, and the end of the host's log of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleReport {
    /// What starts the new console together with its host; how it ended where that does not run.
    pub verdict: Result<Reboot, Verdict>,
    /// The last lines of the host's log.
    pub log: Vec<String>,
}

/// A replacement could not be asked for, or its verdict not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// No host is asked for this.
    #[error("the replacement of the console makes no sense")]
    Bad(#[from] BadConsole),
    /// The host could not be used. It ends by itself what it has begun.
    #[error("the host could not be asked to replace its console")]
    Host(#[from] Fault),
}

/// A replacement in its run.
#[derive(Debug, Clone, Copy)]
pub struct Replacement<'a> {
    /// Where tarsops works on the host.
    pub place: &'a Place,
    /// Of which run.
    pub run: &'a RunId,
    /// The step's folder on the host.
    pub step: &'a str,
    /// Who holds the lease, for the host's log.
    pub holder: &'a str,
    /// What the host remembers of it.
    pub intent: &'a str,
    /// After which moment it does not begin; none where the host has no such clock.
    pub expires: Option<&'a Expiry>,
    /// What is done.
    pub change: &'a ConsoleChange,
}

impl Replacement<'_> {
    /// The longest that a host works on it: the new console, and the old one again.
    fn patience(&self) -> Duration {
        let change = self.change;
        Duration::from_secs(2 * (change.deadline + change.stop_timeout) + change.settle + 300)
    }

    /// Has the host do it, and waits for the verdict. Asking again is harmless: what has begun goes on,
    /// and what has a verdict keeps it.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub async fn carry_out(&self, remote: &dyn Remote) -> Result<ConsoleReport, ConsoleError> {
        let script = scripts::replace_console(&ConsoleLaunch {
            place: self.place,
            run: self.run,
            step: self.step,
            change: self.change,
            holder: self.holder,
            intent: self.intent,
            expires: self.expires,
        })?;
        self.converse(remote, script).await
    }

    /// Has the host end what was cut off, if nobody works on it, and waits for the verdict.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub async fn recover(&self, remote: &dyn Remote) -> Result<ConsoleReport, ConsoleError> {
        let script = scripts::wait(self.place, self.run, self.step, Mode::Recover);
        self.converse(remote, script).await
    }

    async fn converse(
        &self,
        remote: &dyn Remote,
        first: String,
    ) -> Result<ConsoleReport, ConsoleError> {
        let mut script = first;
        let mut tries = 0;
        loop {
            let bounds = Bounds::new(Bounds::CONFIRMATION, self.patience());
            let output = remote.ask(&script, bounds).await?;
            let garbled = || Fault::new(FaultKind::Garbled, "the host sent no verdict");
            match scripts::read_report(&output.stdout).ok_or_else(garbled)? {
                ChangeReport::Verdict { word, text, log } => {
                    let reboot = text.trim().parse().unwrap_or(Reboot::Unknown);
                    let verdict = verdict_of(word, text).map(|()| reboot);
                    return Ok(ConsoleReport { verdict, log });
                }
                // Nobody works on it: the host is asked to end it.
                ChangeReport::Lost { .. } if tries < 2 => {
                    tries += 1;
                    script = scripts::wait(self.place, self.run, self.step, Mode::Recover);
                }
                ChangeReport::Lost { log } => {
                    let verdict = Err(unfinished());
                    return Ok(ConsoleReport { verdict, log });
                }
            }
        }
    }
}

/// They look into what is private here, and are many.
#[cfg(test)]
#[path = "../tests/console/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
