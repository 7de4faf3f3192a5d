//! What keeps the other users of this machine out: no core dumps, nobody who attaches to us, files for
//! our eyes only, and no temporary folders that outlive a signal.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{DumpableBehavior, Resource, Rlimit};
use tarsops_apply::execute::Interrupt;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::say;

/// At the start of the program, before anything secret is read.
pub fn begin() {
    // Neither can fail for a process and its own lower limit; without them we run on all the same.
    // Where core dumps go to a program (`|` in core_pattern), the kernel passes over a limit of 0, and
    // makes no dump only at 1. A file of one byte is none: the kernel writes whole pages or nothing.
    let limit = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    if rustix::process::setrlimit(Resource::Core, limit).is_err() {
        // The limit that we came with is 0 already, and cannot be raised.
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = rustix::process::setrlimit(Resource::Core, none);
    }
    // Nor can a process of our own user read our memory or our environment.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Runs `work` until its end or the first signal that asks us to end. What `work` holds is dropped
/// then, its temporary folders and connections with it.
pub async fn until_signal(work: impl Future<Output = Result>) -> Result {
    let mut signals = Signals::new()?;
    tokio::select! {
        done = work => done,
        () = signals.next() => Ok(exit::INTERRUPTED),
    }
}

/// Signals that ask a command to end which changes something. Until it begins with that, the first one
/// ends it at once; from then on they are counted, and it ends in good order.
#[derive(Default)]
pub struct Stops {
    counted: Interrupt,
    acting: AtomicBool,
}

impl Stops {
    /// From now on something is changed. Gives what counts the signals.
    pub fn count(&self) -> &Interrupt {
        self.acting.store(true, Ordering::SeqCst);
        &self.counted
    }

    /// Nothing is changed any more: the next signal ends the command at once.
    pub fn let_go(&self) {
        self.acting.store(false, Ordering::SeqCst);
    }

    /// Whether a signal came while something was changed.
    pub fn is_pressed(&self) -> bool {
        self.counted.is_pressed()
    }

    /// Takes one signal; whether the command ends at once.
    fn take(&self) -> bool {
        if !self.acting.load(Ordering::SeqCst) {
            return true;
        }
        if self.counted.is_pressed() {
            say("stopping at once, and releasing the lease");
        } else {
            say("running steps are finished, no new step begins (Ctrl-C again stops at once)");
        }
        self.counted.press();
        false
    }
}

/// Runs `work`, which changes something, until its end or the first signal before it begins with that.
/// What it holds is dropped then, as above.
pub async fn finishing(work: impl AsyncFnOnce(&Stops) -> Result) -> Result {
    // Before the work makes its first temporary folder.
    let mut signals = Signals::new()?;
    let stops = Stops::default();
    let work = work(&stops);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => {
                if stops.take() {
                    return Ok(exit::INTERRUPTED);
                }
            }
        }
    }
}

/// Signals that ask the program to end.
pub struct Signals(Vec<tokio::signal::unix::Signal>);

impl Signals {
    /// Takes over those signals that our caller did not have ignored, as `nohup` does.
    pub fn new() -> Result<Self> {
        let ignored = ignored();
        let mut all = Self(Vec::new());
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            if ignored & (1 << (kind.as_raw_value() - 1)) == 0 {
                all.add(kind)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, kind: SignalKind) -> Result<()> {
        let one =
            signal(kind).map_err(|e| Failure::new("could not watch for signals").because(&e))?;
        self.0.push(one);
        Ok(())
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let all = self.0.iter_mut().map(|s| Box::pin(s.recv()));
        futures::future::select_all(all).await;
    }
}

/// Signals that this process ignores, as bits; signal 1 is the lowest.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    bits.and_then(|b| u64::from_str_radix(b.trim(), 16).ok())
        .unwrap_or(0)
}
