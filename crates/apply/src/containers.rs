//! The replacement of the framework's container on its host: the new one beside the old one, and back
//! where it is not healthy.
//!
//! The host makes it by itself (`host/container/*.sh`); this side starts it and reads its verdict.
//! Every start of a framework container is an installation, which resets the rows of its host. What that
//! takes is not put back here.

use std::sync::Arc;
use std::time::Duration;

use tarsops_model::names::{AbsPath, ContainerName};

use crate::host_session::Conversation;
use crate::place::Place;
use crate::port::{Ask, Host, Request};
use crate::scripts::{self, ChangeReport, ContainerLaunch, Mode};
use crate::verdict::Verdict;
use crate::words::ChangeWord;

pub use crate::scripts::{
    BadContainer, ContainerChange, Creation, Expiry, Mount, Network, NewContainer, OldContainer,
    Sound,
};

/// How long the removal of retired containers may take.
const PRUNING: Duration = Duration::from_secs(600);

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

impl ContainerVerdict {
    /// The verdict of a step that ended so.
    ///
    /// # Errors
    /// Every end but [`Self::Done`].
    pub fn of_step(self) -> Result<(), Verdict> {
        Err(match self {
            Self::Done => return Ok(()),
            Self::RolledBack(why) => Verdict::RolledBack(why),
            Self::Moved(why) => Verdict::Moved(why),
            Self::Refused(why) | Self::Rebuild(why) => Verdict::Refused(why),
            Self::NoLease(why) => Verdict::NoLease(why),
            Self::Stuck(why) => Verdict::Stuck(why),
            Self::Left(why) => Verdict::LeftFailed(why),
            Self::Unfinished => {
                Verdict::Stuck("nothing on the host finishes the replacement".to_owned())
            }
        })
    }
}

impl From<ChangeReport> for ContainerReport {
    fn from(report: ChangeReport) -> Self {
        match report {
            ChangeReport::Verdict { word, text, log } => {
                let verdict = match word {
                    Some(word) => ContainerVerdict::new(word, text),
                    None => ContainerVerdict::Refused(text),
                };
                Self { verdict, log }
            }
            ChangeReport::Lost { log } => Self {
                verdict: ContainerVerdict::Unfinished,
                log,
            },
        }
    }
}

/// A replacement that is talked about.
pub(crate) struct Replacement<'a> {
    /// With its host. Its patience is that of the change.
    pub(crate) conversation: Conversation<'a>,
    /// What is done.
    pub(crate) change: Sound<'a>,
    /// Who holds the lease, for the host's log.
    pub(crate) holder: &'a str,
    /// What the host remembers of it.
    pub(crate) intent: &'a str,
    /// After which moment it does not begin; none where the host has no such clock.
    pub(crate) expires: Option<&'a Expiry>,
}

impl Replacement<'_> {
    /// Has the host do it, and waits for the verdict. Asking again is harmless: what has begun goes on,
    /// and what has a verdict keeps it.
    ///
    /// # Errors
    /// The verdict of a step whose host was not heard to the end, or was not asked.
    pub(crate) async fn carry_out(&self, host: Arc<dyn Host>) -> Result<ContainerReport, Verdict> {
        let first = || {
            Request(Ask::ReplaceContainer(ContainerLaunch {
                place: self.conversation.place,
                run: self.conversation.id,
                step: self.conversation.name,
                change: self.change,
                holder: self.holder,
                intent: self.intent,
                expires: self.expires,
            }))
        };
        let report = self.conversation.hold(host, &first, Mode::Start).await?;
        Ok(report.into())
    }
}

/// Removes containers of this cluster that a container called `name` has replaced, all but the newest
/// `keep`, without force and without their volumes. Returns the names of what was removed.
///
/// # Errors
/// One lowercase clause, also where the host refuses.
pub(crate) async fn prune(
    host: &dyn Host,
    place: &Place,
    socket: &AbsPath,
    name: &ContainerName,
    keep: u32,
) -> Result<Vec<String>, String> {
    let request = Request(Ask::PruneContainers {
        place,
        socket,
        name,
        keep,
    });
    let output = host.tell(&request, PRUNING).await.map_err(|e| e.text)?;
    scripts::read_pruned(&output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict of the step for each word of a host.
    #[test]
    fn each_word_of_a_host_is_one_verdict() {
        let why = || "why".to_owned();
        for word in ChangeWord::ALL {
            let expected = match word {
                ChangeWord::Ok => Ok(()),
                ChangeWord::RolledBack => Err(Verdict::RolledBack(why())),
                ChangeWord::Moved => Err(Verdict::Moved(why())),
                ChangeWord::Refused | ChangeWord::Rebuild | ChangeWord::Unknown => {
                    Err(Verdict::Refused(why()))
                }
                ChangeWord::Late | ChangeWord::Fenced | ChangeWord::Busy => {
                    Err(Verdict::NoLease(why()))
                }
                ChangeWord::Stuck => Err(Verdict::Stuck(why())),
                ChangeWord::Failed => Err(Verdict::LeftFailed(why())),
            };
            let report = ContainerReport::from(ChangeReport::Verdict {
                word: Some(*word),
                text: why(),
                log: vec![],
            });
            assert_eq!(report.verdict.of_step(), expected, "{word:?}");
        }
        // A word of another version, and no word at all.
        let report = |word| ChangeReport::Verdict {
            word,
            text: why(),
            log: vec![],
        };
        let unread = ContainerReport::from(report(None)).verdict.of_step();
        assert_eq!(unread, Err(Verdict::Refused(why())));
        let lost = ContainerReport::from(ChangeReport::Lost { log: vec![] });
        assert!(matches!(lost.verdict.of_step(), Err(Verdict::Stuck(_))));
    }
}

/// They look into what is private here, and are many.
#[cfg(test)]
#[path = "../tests/container/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod container;
