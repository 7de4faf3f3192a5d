//! The replacement of the framework's container on its host: the new one beside the old one, and back
//! where it is not healthy.
//!
//! The host makes it by itself (`host/container/*.sh`); this side starts it and reads its verdict.
//! Every start of a framework container is an installation, which resets the rows of its host. What that
//! takes is not put back here.

use std::time::Duration;

use tarsops_model::names::{AbsPath, RunId};
use tarsops_transport::{Bounds, Fault, FaultKind, Remote};

use crate::place::Place;
use crate::scripts::{self, ChangeReport, ContainerLaunch, Mode};
use crate::words::ChangeWord;

pub use crate::scripts::{
    BadContainer, ContainerChange, Creation, Expiry, Mount, Network, NewContainer, OldContainer,
    Secret,
};

/// How the replacement ended on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerVerdict {
    /// The new container runs, was found healthy, and starts by itself from now on.
    Done,
    /// It was not healthy, and the old container runs as before. The start of either is an installation.
    RolledBack(String),
    /// A fact has changed since the plan; nothing was changed.
    Moved(String),
    /// It cannot be done there; nothing was changed.
    Refused(String),
    /// A start may drop the framework's databases; nothing was changed.
    Rebuild(String),
    /// The lease may be another run's by now; nothing was changed.
    NoLease(String),
    /// It failed, and the old container could not be put back.
    Stuck(String),
    /// It ended with what a person found there.
    Left(String),
    /// It has no verdict yet: its host ends it as soon as the engine answers.
    Unfinished,
}

impl ContainerVerdict {
    fn new(word: ChangeWord, text: String) -> Self {
        match word {
            ChangeWord::Ok => Self::Done,
            ChangeWord::RolledBack => Self::RolledBack(text),
            ChangeWord::Moved => Self::Moved(text),
            ChangeWord::Rebuild => Self::Rebuild(text),
            ChangeWord::Refused | ChangeWord::Unknown => Self::Refused(text),
            ChangeWord::Late | ChangeWord::Fenced | ChangeWord::Busy => Self::NoLease(text),
            ChangeWord::Stuck => Self::Stuck(text),
            ChangeWord::Failed => Self::Left(text),
        }
    }
}

/// How a replacement ended, and the end of the host's log of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerReport {
    /// How it ended.
    pub verdict: ContainerVerdict,
    /// The last lines of the host's log.
    pub log: Vec<String>,
}

/// A replacement could not be asked for, or its verdict not be read.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// No host is asked for this.
    #[error("the replacement of the container makes no sense")]
    Bad(#[from] BadContainer),
    /// The host could not be used. It ends by itself what it has begun.
    #[error("the host could not be asked to replace its container")]
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
    pub change: &'a ContainerChange,
}

impl Replacement<'_> {
    /// The longest that a host works on it: the new container, and the old one again.
    fn patience(&self) -> Duration {
        let change = self.change;
        Duration::from_secs(2 * (change.deadline + change.stop_timeout) + change.settle + 240)
    }

    /// Has the host do it, and waits for the verdict. Asking again is harmless: what has begun goes on,
    /// and what has a verdict keeps it.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub async fn carry_out(&self, remote: &dyn Remote) -> Result<ContainerReport, ContainerError> {
        let script = scripts::replace_container(&ContainerLaunch {
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
    /// [`ContainerError`].
    pub async fn recover(&self, remote: &dyn Remote) -> Result<ContainerReport, ContainerError> {
        let script = scripts::wait(self.place, self.run, self.step, Mode::Recover);
        self.converse(remote, script).await
    }

    async fn converse(
        &self,
        remote: &dyn Remote,
        first: String,
    ) -> Result<ContainerReport, ContainerError> {
        let mut script = first;
        let mut tries = 0;
        loop {
            let bounds = Bounds::new(Bounds::CONFIRMATION, self.patience());
            let output = remote.ask(&script, bounds).await?;
            let garbled = || Fault::new(FaultKind::Garbled, "the host sent no verdict");
            match scripts::read_report(&output.stdout).ok_or_else(garbled)? {
                ChangeReport::Verdict { word, text, log } => {
                    let verdict = match word {
                        Some(word) => ContainerVerdict::new(word, text),
                        None => ContainerVerdict::Refused(text),
                    };
                    return Ok(ContainerReport { verdict, log });
                }
                // Nobody works on it: the host is asked to end it.
                ChangeReport::Lost { .. } if tries < 2 => {
                    tries += 1;
                    script = scripts::wait(self.place, self.run, self.step, Mode::Recover);
                }
                ChangeReport::Lost { log } => {
                    let verdict = ContainerVerdict::Unfinished;
                    return Ok(ContainerReport { verdict, log });
                }
            }
        }
    }
}

/// Removes containers of this cluster that a container called `name` has replaced, all but the newest
/// `keep`, without force and without their volumes. Returns the names of what was removed.
///
/// # Errors
/// A [`Fault`], also where the host refuses.
pub async fn prune(
    remote: &dyn Remote,
    place: &Place,
    socket: &AbsPath,
    name: &str,
    keep: u32,
) -> Result<Vec<String>, Fault> {
    let script = scripts::prune_containers(place, socket, name, keep);
    let bounds = Bounds::new(Bounds::CONFIRMATION, Duration::from_secs(600));
    let output = remote.ask(&script, bounds).await?;
    scripts::read_pruned(&output.stdout).map_err(|why| Fault::new(FaultKind::Garbled, why))
}

/// They look into what is private here, and are many.
#[cfg(test)]
#[path = "../tests/container/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod container;
