//! The lease: the exclusive right to change a cluster.
//!
//! It is on the master, in the master's own time, and names its holder. It is renewed every
//! [`BEAT`]; a holder that is silent for [`TTL`] loses it. This side stops starting steps as soon as
//! its last confirmed renewal is older than [`SAFE`], so that it never acts on a lease that another
//! may hold by now. Beside it each host refuses a run that is older than the newest it has seen.

use std::sync::Arc;
use std::time::Duration;

use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId};
use tarsops_transport::Fault;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::place::Place;
use crate::port::{Ask, Hosts, Request};
use crate::scripts::{self, LeaseMode};
use crate::words::LeaseWord;

/// Time after which a silent holder has lost the lease.
pub const TTL: Duration = Duration::from_secs(45);
/// Time between renewals.
pub const BEAT: Duration = Duration::from_secs(10);
/// Age of the last renewal up to which we may act.
pub const SAFE: Duration = Duration::from_secs(30);
/// How long before its end the lease counts as over where a host has to tell by its own clock.
const MARGIN: Duration = Duration::from_secs(5);
/// How long one exchange with the master may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the lease could not be had, or is not ours any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error(
        "{holder} holds the lease (run {run}, last renewed {age} s ago); it expires {ttl} s after its last renewal"
    )]
    Held {
        /// `user@host pid N`.
        holder: String,
        /// Their run.
        run: String,
        /// Seconds since their last word.
        age: String,
        /// Seconds of silence after which they lose it.
        ttl: String,
    },
    /// It was ours and is not any more.
    #[error("the lease was lost to {0}")]
    Lost(String),
    /// The master could not write it.
    #[error("the master could not take the lease down: {0}")]
    Failed(String),
    /// The master could not be reached.
    #[error("the master could not be asked for the lease")]
    Unreachable(#[source] Fault),
}

/// Where and as whom the lease is taken.
#[derive(Clone)]
pub struct LeaseSpec {
    /// The node on which it lies.
    pub master: NodeName,
    /// Where tarsops works there.
    pub place: Place,
    /// Our run.
    pub run: RunId,
    /// `user@host pid N`.
    pub holder: String,
    /// Digest of the spec.
    pub spec: Digest,
}

/// A lease that is held, with its heartbeat.
pub struct Lease {
    connect: Arc<dyn Hosts>,
    spec: LeaseSpec,
    beats: watch::Receiver<Beat>,
    heart: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Beat {
    at: Instant,
    lost: Option<LeaseError>,
}

async fn exchange(
    connect: &dyn Hosts,
    spec: &LeaseSpec,
    mode: LeaseMode,
) -> Result<(), LeaseError> {
    let request = Request(Ask::Lease {
        place: &spec.place,
        run: &spec.run,
        holder: &spec.holder,
        ttl: TTL.as_secs(),
        spec: &spec.spec,
        mode,
    });
    let remote = connect
        .connect(&spec.master)
        .await
        .map_err(LeaseError::Unreachable)?;
    let output = remote
        .tell(&request, PATIENCE)
        .await
        .map_err(LeaseError::Unreachable)?;
    let Some((word, rest)) = scripts::read_lease(&output.stdout) else {
        let why = output
            .stderr
            .lines()
            .last()
            .unwrap_or("it did not answer as it should");
        return Err(LeaseError::Failed(why.to_owned()));
    };
    let mut rest = rest.into_iter();
    let mut next = || rest.next().unwrap_or_default();
    match word {
        LeaseWord::Ok => Ok(()),
        LeaseWord::Held => Err(LeaseError::Held {
            holder: next(),
            run: next(),
            age: next(),
            ttl: next(),
        }),
        LeaseWord::Lost => Err(LeaseError::Lost(format!("{} (run {})", next(), next()))),
        LeaseWord::Failed => Err(LeaseError::Failed(next())),
    }
}

impl Drop for Lease {
    /// A lease that nobody has any more is not renewed: it frees itself.
    fn drop(&mut self) {
        self.heart.abort();
    }
}

impl Lease {
    /// Takes the lease and keeps it alive until [`Lease::release`].
    ///
    /// # Errors
    /// [`LeaseError`] names the holder if somebody else has it.
    pub async fn acquire(connect: Arc<dyn Hosts>, spec: LeaseSpec) -> Result<Self, LeaseError> {
        let asked = Instant::now();
        exchange(&*connect, &spec, LeaseMode::Acquire).await?;
        let (send, beats) = watch::channel(Beat {
            at: asked,
            lost: None,
        });
        let heart = tokio::spawn({
            let connect = Arc::clone(&connect);
            let spec = spec.clone();
            async move {
                loop {
                    tokio::time::sleep(BEAT).await;
                    // Counted from the question: the answer may have been long on its way.
                    let asked = Instant::now();
                    match exchange(&*connect, &spec, LeaseMode::Renew).await {
                        Ok(()) => {
                            send.send_modify(|b| b.at = asked);
                        }
                        Err(e @ (LeaseError::Lost(_) | LeaseError::Held { .. })) => {
                            send.send_modify(|b| b.lost = Some(e));
                            return;
                        }
                        Err(e) => {
                            tracing::warn!("could not renew the lease: {e}");
                            connect.forget(&spec.master).await;
                        }
                    }
                }
            }
        });
        Ok(Self {
            connect,
            spec,
            beats,
            heart,
        })
    }

    /// The moment up to which what was sent may begin: some seconds before the lease could be another's.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.beats.borrow().at + (TTL - MARGIN)
    }

    /// Whether we may act.
    ///
    /// # Errors
    /// [`LeaseError`] if the lease is lost or could not be renewed in time.
    pub fn check(&self) -> Result<(), LeaseError> {
        let beat = self.beats.borrow();
        if let Some(lost) = &beat.lost {
            return Err(lost.clone());
        }
        if beat.at.elapsed() > SAFE {
            let secs = beat.at.elapsed().as_secs();
            return Err(LeaseError::Lost(format!(
                "silence: it could not be renewed for {secs} s"
            )));
        }
        Ok(())
    }

    /// Releases the lease. A failure is only logged: the lease expires.
    pub async fn release(self) {
        self.heart.abort();
        if let Err(e) = exchange(&*self.connect, &self.spec, LeaseMode::Release).await {
            tracing::warn!("could not give the lease back, it frees itself: {e}");
        }
    }
}
