//! Signals that end a demonstration: what it has started is stopped and removed first. A second one
//! ends it at once, and what is left is named.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::say;
use crate::privacy::Signals;

/// How often a command that runs is asked to end: its second signal stops it at once.
const AGAIN: Duration = Duration::from_millis(300);

/// Whether a demonstration is to end, and what it would leave behind.
#[derive(Default)]
pub struct Stop {
    asked: AtomicBool,
    /// The command that runs.
    child: Mutex<Option<OwnedFd>>,
    /// The folder of the cluster, while there is something in it.
    folder: Mutex<Option<PathBuf>>,
}

impl Stop {
    /// Fails where a signal has come.
    pub fn check(&self) -> Result<()> {
        if self.asked.load(Ordering::SeqCst) {
            return Err(Failure::new("the demonstration was interrupted").code(exit::INTERRUPTED));
        }
        Ok(())
    }

    /// Notes the folder of the cluster; none once it is removed.
    pub fn holds(&self, folder: Option<&Path>) {
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder.map(Path::to_path_buf);
    }

    /// Starts a command, and `finish` waits for its end, which a signal brings about.
    pub fn run<T>(
        &self,
        command: &mut Command,
        finish: impl FnOnce(Child) -> io::Result<T>,
    ) -> io::Result<T> {
        let child = command.spawn()?;
        let held = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let held = held.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        self.watch(held);
        let done = finish(child);
        self.watch(None);
        done
    }

    fn watch(&self, child: Option<OwnedFd>) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = child;
    }

    /// Asks the command that runs to end, if there is one.
    fn end_child(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = child.as_ref() {
            // One that has ended already needs no signal.
            let _ = pidfd_send_signal(child, Signal::TERM);
        }
    }

    /// What stays behind, and how it is removed.
    fn report_leftovers(&self) {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        match folder.as_ref() {
            Some(folder) => {
                say("stopped at once; the embedded cluster and its processes are left");
                say(format!(
                    "hint: remove them with `tarsops demo down --dir {}`",
                    folder.display()
                ));
            }
            None => say("stopped at once"),
        }
    }
}

/// Runs `work` to its end. The first signal makes it stop and remove what it has made; with the second
/// one the whole program ends.
pub fn until_stopped(work: impl FnOnce(&Stop) -> Result + Send + 'static) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new("could not start").because(&e))?;
    let stop = Arc::new(Stop::default());
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let of_work = Arc::clone(&stop);
        let mut work = tokio::task::spawn_blocking(move || work(&of_work));
        loop {
            let asked = stop.asked.load(Ordering::SeqCst);
            tokio::select! {
                done = &mut work => {
                    return done.unwrap_or_else(|e| {
                        Err(Failure::new("the demonstration broke off").because(&e))
                    });
                }
                () = signals.next() => {
                    if asked {
                        stop.report_leftovers();
                        return Ok(exit::INTERRUPTED);
                    }
                    stop.asked.store(true, Ordering::SeqCst);
                    say("stopping, and removing what the demonstration has created (Ctrl-C again leaves it)");
                    stop.end_child();
                }
                () = tokio::time::sleep(AGAIN), if asked => stop.end_child(),
            }
        }
    });
    // A command that still runs is not waited for.
    runtime.shutdown_background();
    outcome
}
