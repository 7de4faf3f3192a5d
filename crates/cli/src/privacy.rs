//! What keeps the other users of this machine out: no core dumps, nobody who attaches to us, files for
//! our eyes only, and no temporary folders that outlive a signal.

use std::future::Future;

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit;
use crate::failure::{Failure, Result};

/// At the start of the program, before anything secret is read.
pub fn begin() {
    // Neither can fail for a process and its own lower limit; without them we run on all the same.
    let _ = rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
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

/// Runs `work`, which watches for Ctrl-C once it changes something, and then ends in good order. Other
/// signals that ask us to end count as that; before it watches they end it at once, as above.
pub async fn finishing(work: impl Future<Output = Result>) -> Result {
    let mut signals = Signals::new_but_interrupt()?;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = signals.next() => {
                if !is_interrupt_watched() {
                    return Ok(exit::INTERRUPTED);
                }
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::INT);
            }
        }
    }
}

/// Whether Ctrl-C does something else than to end this process, as the kernel says.
fn is_interrupt_watched() -> bool {
    const CAUGHT: &str = "SigCgt:";
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(CAUGHT))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (Signal::INT.as_raw() - 1)) != 0)
}

struct Signals(Vec<tokio::signal::unix::Signal>);

impl Signals {
    fn new() -> Result<Self> {
        let mut all = Self::new_but_interrupt()?;
        all.add(SignalKind::interrupt())?;
        Ok(all)
    }

    fn new_but_interrupt() -> Result<Self> {
        let mut all = Self(Vec::new());
        all.add(SignalKind::terminate())?;
        all.add(SignalKind::hangup())?;
        Ok(all)
    }

    fn add(&mut self, kind: SignalKind) -> Result<()> {
        let one =
            signal(kind).map_err(|e| Failure::new("could not watch for signals").because(&e))?;
        self.0.push(one);
        Ok(())
    }

    async fn next(&mut self) {
        let all = self.0.iter_mut().map(|s| Box::pin(s.recv()));
        futures::future::select_all(all).await;
    }
}
