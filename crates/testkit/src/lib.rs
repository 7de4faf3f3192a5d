//! Real hosts on one machine for end-to-end tests, made of Linux namespaces.
//!
//! A [`Network`] is a private network segment with a control side, where the programs under test
//! run, and [`Host`]s. Each host has its own network, PID, mount, UTS and IPC namespaces, a root
//! file system over the machine's own `/usr` and `/etc`, an OpenSSH `sshd` and a `cron`. Hosts can be
//! powered off, rebooted, cut off, frozen and filled up.
//!
//! ```no_run
//! use tarsops_testkit::{HostOptions, Network, require_or_fail};
//!
//! require_or_fail();
//! let network = Network::new()?;
//! let hosts = network.hosts((0..3).map(HostOptions::numbered))?;
//! let answer = network.ssh("ops@10.77.1.1").arg("uname -n").output()?;
//! assert_eq!(answer.stdout, b"n1\n");
//! assert_eq!((hosts[0].connections()?, hosts[0].execs()?), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What must stay true: nothing outlives the test process, however it ends (processes, mounts,
//! interfaces, folders), no packet leaves the namespaces, and no write goes to the machine's own
//! files. It needs root, and says so through [`require`]. It does not know Tars or `tarsops`.
//!
//! Hosts share the machine's kernel: its clock, `/proc/meminfo` and load are the machine's. Root on
//! a host is root: the harness keeps mistakes apart, not attackers.

mod disk;
mod engine;
mod faults;
mod host;
mod image;
mod network;
mod options;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use engine::{require_engine, require_engine_or_fail};
pub use host::Host;
pub use image::Image;
pub use network::Network;
pub use options::{HostOptions, Shell, SmallDisk};

/// Why something on a test network did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("could not {what}")]
    Io {
        /// What was tried: `start host n1`.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("could not {what}: {said}")]
    Failed {
        /// What was tried.
        what: String,
        /// What it said on standard error, trimmed, or its exit status.
        said: String,
    },
    /// The host is powered off.
    #[error("host {0} is powered off")]
    Off(String),
}

impl Error {
    /// An [`Error::Io`] maker for `map_err`.
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }
}

/// What this machine lacks for test hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("test hosts cannot run here: {}", .0.join("; "))]
pub struct Missing(Vec<String>);

/// The programs that are needed, and the Debian package of each.
const PROGRAMS: [(&str, &str); 17] = [
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("cron", "cron"),
    ("crontab", "cron"),
    ("sudo", "sudo"),
    ("busybox", "busybox"),
    ("dash", "dash"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("pivot_root", "util-linux"),
    ("find", "findutils"),
    ("dd", "coreutils"),
];

/// Folders that hold the programs; `sbin` is often not in a test's `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// `PATH` for everything the harness starts.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a program lies.
fn program(name: &str) -> Option<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

/// Looks for all that test hosts need: root, the programs, namespaces and overlayfs.
///
/// # Errors
///
/// Everything that is missing, in one message, with the `apt-get` line that installs the programs.
pub fn require() -> Result<(), Missing> {
    let mut missing = Vec::new();
    let absent: Vec<_> = PROGRAMS
        .iter()
        .filter(|(name, _)| program(name).is_none())
        .collect();
    if !absent.is_empty() {
        let names: Vec<_> = absent.iter().map(|(name, _)| *name).collect();
        let mut packages: Vec<_> = absent.iter().map(|(_, package)| *package).collect();
        packages.sort_unstable();
        packages.dedup();
        missing.push(format!(
            "missing {} (apt-get install -y {})",
            names.join(", "),
            packages.join(" ")
        ));
    }
    if !Path::new("/bin").is_symlink() {
        missing.push("/bin is no link to /usr/bin (a merged-usr system is needed)".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        missing.push("they need root (run the tests as root or through sudo)".to_owned());
    } else if absent.is_empty() {
        let tried = Command::new("unshare")
            .args([
                "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "true",
            ])
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .output();
        if !tried.is_ok_and(|output| output.status.success()) {
            missing.push("namespaces may not be made (a container needs --privileged)".to_owned());
        } else if !fs::read_to_string("/proc/filesystems").is_ok_and(|t| t.contains("overlay"))
            && !Command::new("modprobe")
                .arg("overlay")
                .env("PATH", PATH)
                .output()
                .is_ok_and(|output| output.status.success())
        {
            missing.push("the kernel has no overlay file system".to_owned());
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

/// [`require`] for the first line of a test, which must never pass without having run.
///
/// # Panics
///
/// Where anything is missing, with the message of [`Missing`].
pub fn require_or_fail() {
    if let Err(missing) = require() {
        panic!("{missing}");
    }
}
