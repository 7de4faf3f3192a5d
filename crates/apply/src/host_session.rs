//! The conversation with a host about one change: what it lacks is sent, the change is started, and
//! its verdict waited for, through broken connections if need be.

use std::sync::Arc;
use std::time::Duration;

use tarsops_model::host::HostFacts;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::action::{Content, HostChange};
use tarsops_transport::{Fault, FaultKind};
use tokio::time::Instant;

use crate::job::Job;
use crate::lease::Lease;
use crate::place::Place;
use crate::port::{Ask, Host, Hosts, Request, Upload};
use crate::progress::{Observer, Progress};
use crate::run::Run;
use crate::scripts::{self, ChangeReport, Expiry, Mode};
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;
use crate::words::ChangeWord;

/// What is waited for while a host works.
const BUSY: &str = "the host finishes the change";
/// Seconds that a host needs beyond settle and deadline: for staging, stopping and the rollback.
const SLACK: u64 = 180;

/// The longest that a host works on the replacement of a container: the new one, and the old one again.
/// All in seconds.
pub(crate) const fn patience(settle: u64, deadline: u64, stop_timeout: u64) -> Duration {
    Duration::from_secs(2 * (deadline + stop_timeout) + settle + 240)
}

/// Streams the payloads that the host does not hold yet.
pub(crate) async fn upload(
    job: &Job<'_>,
    change: &HostChange,
    host: &HostFacts,
    remote: &dyn Host,
    place: &Place,
) -> Result<(), Verdict> {
    for file in change.files() {
        if let (
            Content::Package {
                component,
                version,
                path,
                size,
            },
            Some(digest),
        ) = (&file.content, file.after)
            && !host.staged.contains(&digest)
        {
            let payloads = job.run.payloads;
            let local = payloads
                .file(*component, *version, path, &digest)
                .map_err(Verdict::NotStarted)?;
            let payload = Upload {
                place,
                digest,
                size: *size,
                file: local,
            };
            upload_one(job, remote, &payload).await?;
        }
    }
    Ok(())
}

async fn upload_one(job: &Job<'_>, remote: &dyn Host, payload: &Upload<'_>) -> Result<(), Verdict> {
    let (run, node) = (job.run, job.node);
    run.progress.event(&Progress::Uploading {
        node,
        bytes: payload.size,
    });
    let deadline = Duration::from_secs(run.desired.policy.deadline.max(60));
    match remote.upload(payload, deadline).await {
        Ok(output) => scripts::read_upload(&output.stdout).map_err(Verdict::Refused),
        Err(fault) => {
            run.connect.forget(node).await;
            Err(match fault.kind {
                FaultKind::Local => Verdict::NotStarted(fault.text),
                _ => Verdict::Silent(format!("while the payload was on its way: {}", fault.text)),
            })
        }
    }
}

/// The moment `until` in the time of a host that was looked at before `looked`. Its clock was read some
/// time before that, so the moment is never later than it says.
pub(crate) fn expiry(host: &HostFacts, looked: Instant, until: Instant) -> Option<Expiry> {
    let left = until.saturating_duration_since(looked).as_millis() / 10;
    Some(Expiry {
        boot_id: host.boot_id.present()?.clone(),
        uptime: host.uptime?.checked_add(u64::try_from(left).ok()?)?,
    })
}

/// One change of a host that is talked about.
#[derive(Clone, Copy)]
pub(crate) struct Conversation<'a> {
    /// Reaches the host again.
    pub(crate) hosts: &'a dyn Hosts,
    pub(crate) progress: &'a dyn Observer,
    /// The right to begin it; none where nobody else could have it.
    pub(crate) lease: Option<&'a Lease>,
    pub(crate) node: &'a NodeName,
    pub(crate) place: &'a Place,
    /// The run that the change belongs to.
    pub(crate) id: &'a RunId,
    /// The step's folder on the host.
    pub(crate) name: &'a str,
    /// The longest that the host may work on it.
    pub(crate) patience: Duration,
}

impl<'a> Conversation<'a> {
    /// About the change in the folder `name` of the run `id` on `node`.
    pub(crate) fn new(
        run: &'a Run<'_>,
        node: &'a NodeName,
        place: &'a Place,
        id: &'a RunId,
        name: &'a str,
    ) -> Self {
        let policy = &run.desired.policy;
        let own = Duration::from_secs(policy.settle + policy.deadline + SLACK);
        // What is unfinished on a host with a container may be its replacement.
        let container = run
            .desired
            .container(node)
            .map(|c| patience(policy.settle, policy.deadline, c.stop_timeout));
        Self {
            hosts: &*run.connect,
            progress: run.progress,
            lease: Some(run.lease),
            node,
            place,
            id,
            name,
            patience: container.map_or(own, |longer| longer.max(own)),
        }
    }

    /// Asks for the verdict, or has the host end the change.
    pub(crate) const fn wait(&self, mode: Mode) -> Request<'a> {
        Request(Ask::Wait {
            place: self.place,
            run: self.id,
            step: self.name,
            mode,
        })
    }

    /// Sends the first request and waits for the verdict, through broken connections if need be.
    pub(crate) async fn hold(
        &self,
        remote: Arc<dyn Host>,
        first: &(dyn Fn() -> Request<'a> + Sync),
        mode: Mode,
    ) -> Result<ChangeReport, Verdict> {
        let Self {
            hosts,
            node,
            patience,
            ..
        } = *self;
        let until = Instant::now() + patience;
        let mut request = first();
        let mut mode = mode;
        let mut remote = Some(remote);
        let mut lost = 0u32;
        let waiting = Waiting::until(until, BUSY);
        loop {
            waiting.say(BUSY);
            match answer(remote.take(), &request, patience).await {
                Ok(ChangeReport::Lost { log }) => {
                    // Nobody works on it: have the host end it, once.
                    lost += 1;
                    if lost > 2 {
                        return Ok(ChangeReport::Lost { log });
                    }
                    if mode != Mode::Accept {
                        mode = Mode::Recover;
                    }
                }
                // It waits only because the lease was lost before the host knew the change.
                Ok(ChangeReport::Verdict {
                    word: Some(ChangeWord::Unknown),
                    text,
                    ..
                }) if mode == Mode::Wait => return Err(Verdict::NoLease(text)),
                Ok(report) => return Ok(report),
                Err(fault) => {
                    hosts.forget(node).await;
                    if Instant::now() > until {
                        return Err(Verdict::Silent(fault.text));
                    }
                    waiting.say(format!("the host continues by itself: {}", fault.text));
                    self.progress.event(&Progress::Reconnecting {
                        node,
                        why: &fault.text,
                    });
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    // Beginning a change again is harmless, but only a host that knows it may be
                    // asked to wait: the first try may have died before it reached the host.
                }
            }
            remote = match hosts.connect(node).await {
                Ok(host) => Some(host),
                Err(fault) => {
                    if Instant::now() > until {
                        return Err(Verdict::Silent(fault.text));
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    None
                }
            };
            if matches!(mode, Mode::Recover | Mode::Accept) {
                request = self.wait(mode);
            }
            // A launch may be repeated only while we may still act.
            let is_lost = self.lease.is_some_and(|lease| lease.check().is_err());
            if mode == Mode::Start && is_lost {
                mode = Mode::Wait;
                request = self.wait(Mode::Wait);
            } else if mode == Mode::Start {
                request = first();
            }
        }
    }
}

/// What the host reports over this connection.
async fn answer(
    remote: Option<Arc<dyn Host>>,
    request: &Request<'_>,
    patience: Duration,
) -> Result<ChangeReport, Fault> {
    let Some(host) = remote else {
        return Err(Fault::new(FaultKind::Disconnected, "the connection broke"));
    };
    let output = host.tell(request, patience).await?;
    scripts::read_report(&output.stdout)
        .ok_or_else(|| Fault::new(FaultKind::Disconnected, "its answer broke off"))
}

/// The verdict that a report of a host stands for.
pub(crate) fn conclude(report: ChangeReport, end: &mut StepEnd) -> Result<(), Verdict> {
    // A recovery has no intent of its own, and is good however the change has ended.
    let recovery = end.intent.is_none();
    match report {
        ChangeReport::Lost { log } => {
            end.log.extend(log);
            Err(unfinished())
        }
        ChangeReport::Verdict { word, text, log } => {
            end.log.extend(log);
            match word {
                Some(
                    ChangeWord::RolledBack
                    | ChangeWord::Failed
                    | ChangeWord::Refused
                    | ChangeWord::Rebuild
                    | ChangeWord::Unknown,
                ) if recovery => Ok(()),
                word => verdict_of(word, text),
            }
        }
    }
}

/// The verdict of a change of which a host says so; a word that is not known here is none.
pub(crate) fn verdict_of(word: Option<ChangeWord>, text: String) -> Result<(), Verdict> {
    Err(match word {
        Some(ChangeWord::Ok) => return Ok(()),
        Some(ChangeWord::RolledBack) => Verdict::RolledBack(text),
        Some(ChangeWord::Failed) => Verdict::LeftFailed(text),
        Some(ChangeWord::Moved) => Verdict::Moved(text),
        Some(ChangeWord::Late | ChangeWord::Fenced | ChangeWord::Busy) => Verdict::NoLease(text),
        Some(ChangeWord::Stuck) => Verdict::Stuck(text),
        Some(ChangeWord::Refused | ChangeWord::Rebuild | ChangeWord::Unknown) | None => {
            Verdict::Refused(text)
        }
    })
}

/// The verdict of a change that has none on its host, and on which nobody works there.
pub(crate) fn unfinished() -> Verdict {
    Verdict::Stuck("nothing on the host finishes the change".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(verdict_of(Some(*word), why()), expected, "{word:?}");
        }
        // A word of another version, and no word at all.
        assert_eq!(verdict_of(None, why()), Err(Verdict::Refused(why())));
        assert!(matches!(unfinished(), Verdict::Stuck(_)));
    }
}
