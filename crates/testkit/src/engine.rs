//! Docker engines of test hosts: what they need, and what they leave in the machine's kernel.
//!
//! An engine runs in its host's namespaces and ends with them. Only its containers' control groups are
//! the machine's, in one folder for each host. It does not know what containers run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Error, Host, Image, Missing};

/// The programs that an engine needs, and the Debian package of each. Hosts have the machine's `/usr` and
/// not its `/usr/local`.
const PROGRAMS: [(&str, &str); 5] = [
    ("/usr/sbin/dockerd", "docker.io"),
    ("/usr/bin/docker", "docker.io"),
    ("/usr/bin/containerd", "docker.io"),
    ("/usr/bin/runc", "docker.io"),
    ("/usr/sbin/iptables", "iptables"),
];
/// Where the machine's kernel has control groups.
const CGROUPS: &str = "/sys/fs/cgroup";
/// How long control groups may stay busy after their processes ended.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks for all that test hosts with an engine need beside [`crate::require`].
///
/// # Errors
///
/// Everything that is missing, in one message, with the `apt-get` line that installs the programs.
pub fn require_engine() -> Result<(), Missing> {
    crate::require()?;
    let sbin = |path: &Path| Path::new("/usr/sbin").join(path.file_name().unwrap_or_default());
    let bin = |path: &Path| Path::new("/usr/bin").join(path.file_name().unwrap_or_default());
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .map(|(path, package)| (Path::new(path), package))
        .filter(|(path, _)| !sbin(path).exists() && !bin(path).exists())
        .map(|(path, package)| format!("missing {} (package {package})", path.display()))
        .collect();
    if !missing.is_empty() {
        missing.push("apt-get install -y --no-install-recommends docker.io iptables".to_owned());
    }
    if hierarchies().is_empty() {
        missing.push(format!("there are no control groups at {CGROUPS}"));
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Missing(missing))
    }
}

/// [`require_engine`] for the first line of a test, which must never pass without having run.
///
/// # Panics
///
/// Where anything is missing, with the message of [`Missing`].
pub fn require_engine_or_fail() {
    if let Err(missing) = require_engine() {
        panic!("{missing}");
    }
}

impl Host {
    /// Runs the host's own `docker` as root on the host's own engine; goes past `sshd`.
    ///
    /// # Errors
    ///
    /// As [`Host::exec`]; a command that fails is an [`Output`] that says so.
    pub fn docker(&self, words: &[&str]) -> Result<Output, Error> {
        let command = ["docker", "-H", "unix:///run/docker.sock"];
        self.exec(command.iter().chain(words))
    }

    /// Loads an image into the host's engine under a name such as `tarscloud/framework:v3.0.20`. The ID is
    /// [`Image::id`], as on every other host.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with what the engine said.
    pub fn load(&self, image: &Image, reference: &str) -> Result<(), Error> {
        let what = format!("load an image on host {}", self.name());
        let archive = image.archive(reference).map_err(Error::io(&what))?;
        self.write("/var/tmp/image.tar", archive)?;
        let output = self.docker(&["load", "-q", "-i", "/var/tmp/image.tar"])?;
        self.exec(["rm", "-f", "/var/tmp/image.tar"])?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Failed { what, said })
    }

    /// Kills the engine and what it started beside containers, as when it crashes. Containers go on until
    /// an engine is started again.
    ///
    /// # Errors
    ///
    /// [`Error::Off`] or [`Error::Failed`].
    pub fn kill_engine(&self) -> Result<(), Error> {
        self.sh("pid=$(cat /run/docker.pid) && kill -9 \"$pid\" && \
                 while kill -0 \"$pid\" 2>/dev/null; do sleep 0.02; done; \
                 kill -9 $(cat /run/docker/containerd/containerd.pid) 2>/dev/null || :; \
                 rm -f /run/docker.pid")?;
        Ok(())
    }

    /// Stops the engine and its containers, as when an operator does.
    ///
    /// # Errors
    ///
    /// [`Error::Off`] or [`Error::Failed`].
    pub fn stop_engine(&self) -> Result<(), Error> {
        self.sh("pid=$(cat /run/docker.pid) && kill \"$pid\" && \
                 while kill -0 \"$pid\" 2>/dev/null; do sleep 0.02; done")?;
        Ok(())
    }

    /// Starts the engine, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`] with the end of its log.
    pub fn start_engine(&self) -> Result<(), Error> {
        let cgroup = self.cgroup();
        let script = "dockerd --ip-forward=false --cgroup-parent=\"$1\" \
             --exec-opt native.cgroupdriver=cgroupfs </dev/null >>/var/log/dockerd.log 2>&1 & \
             tries=0; until docker -H unix:///run/docker.sock version >/dev/null 2>&1; do \
             tries=$((tries + 1)); \
             [ $tries -lt 300 ] || { tail -n 5 /var/log/dockerd.log >&2; exit 1; }; sleep 0.05; done";
        self.script(script, &[&cgroup])?;
        Ok(())
    }
}

/// The roots of the machine's control groups: one for each controller in version 1, one in version 2.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let below = entries.map(|entry| entry.path());
    below
        .chain([root.to_owned()])
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Removes the control groups of containers whose processes have ended, as a power cut does.
pub(crate) fn remove_cgroups(group: &str) {
    for root in hierarchies() {
        let until = Instant::now() + PATIENCE;
        let folder = root.join(group.trim_start_matches('/'));
        while folder.exists() {
            remove_group(&folder);
            if Instant::now() > until {
                break;
            }
            if folder.exists() {
                sleep(Duration::from_millis(10));
            }
        }
        // The network's own, where this was its last host.
        let _ = folder.parent().map(fs::remove_dir);
    }
}

/// Removes a control group and those below it. Their files go by themselves.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
