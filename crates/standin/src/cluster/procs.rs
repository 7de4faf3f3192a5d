//! Which processes belong to a folder, and ending them.
//!
//! What must stay true: only a process whose executable lies inside the folder, or that was started
//! with the folder's mark in its environment, is ever signalled. Names and command lines prove
//! nothing.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Environment variable that marks every process of a host, with the host's folder, and the cluster's
/// server and its database, with the cluster's.
pub(super) const MARK: &str = "TARSOPS_HOST_ROOT";

/// A process, distinguished from a later one with the same number by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) started: u64,
}

impl Process {
    /// The living process with this number; `None` also for a zombie.
    pub(super) fn find(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold spaces and brackets: fields are counted from the last bracket.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        Some(Self {
            pid,
            started: fields.nth(18)?.parse().ok()?,
        })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Send a signal if it still is the same process.
    pub(super) fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

/// The processes that belong to `folder` (canonical): hosts' and stand-ins'. This process and its
/// like never do.
pub(super) fn inside(folder: &Path) -> Vec<Process> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| u32::try_from(*pid) != Ok(own))
        .filter(|pid| belongs(*pid, folder))
        .filter_map(Process::find)
        .collect()
}

fn belongs(pid: i32, folder: &Path) -> bool {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    if exe.starts_with(folder) {
        return true;
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| {
        variable
            .strip_prefix(MARK.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
            .is_some_and(|root| PathBuf::from(OsStr::from_bytes(root)).starts_with(folder))
    })
}

/// End every process of `folder`, and those they start meanwhile.
///
/// # Errors
/// When some are still there after 10 s.
pub(super) fn end_all(folder: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = inside(folder);
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let pids: Vec<String> = found
                .iter()
                .map(|process| process.pid.to_string())
                .collect();
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("processes {} do not end", pids.join(", ")),
            ));
        }
        found
            .iter()
            .for_each(|process| process.signal(Signal::KILL));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_marked_processes_end() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap();
        let mut ours = Command::new("sleep")
            .arg("60")
            .env(MARK, folder.join("a"))
            .spawn()
            .unwrap();
        let mut other = Command::new("sleep")
            .arg("60")
            .arg("0")
            .env(MARK, "/else")
            .spawn()
            .unwrap();
        // Until exec the child still has the parent's environment.
        let deadline = Instant::now() + Duration::from_secs(5);
        while inside(&folder).len() != 1 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        end_all(&folder).unwrap();
        assert!(ours.wait().unwrap().code().is_none());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
