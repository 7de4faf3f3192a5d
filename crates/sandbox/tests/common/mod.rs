//! What the embedded cluster's tests share: a cluster of its own for each, and the real `ssh` client.

#![allow(dead_code, reason = "not every test uses everything")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tarsops_sandbox::cluster::{Cluster, HostFacts, Options, free_network};

/// The small multi-call program.
pub(crate) fn exe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tarsops-standin-test"))
}

/// A cluster that goes down with the test.
pub(crate) struct Up {
    pub(crate) cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Up {
    pub(crate) fn new(count: usize, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new().unwrap();
        options.exe = exe();
        options.ssh_port = 2222;
        change(&mut options);
        // Tests of other processes may take a network between the look and the use.
        for attempt in 0.. {
            options.network = free_network(2222).unwrap();
            match Cluster::up(&folder.path().join("c"), count, &options) {
                Ok(cluster) => return Self { cluster, folder },
                Err(error) if attempt == 5 => panic!("{error:?}"),
                Err(_) => {}
            }
        }
        unreachable!()
    }

    pub(crate) fn host(&self, index: usize) -> &HostFacts {
        &self.cluster.facts().hosts[index]
    }

    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// `ssh` as an operator would call it, without a master.
    pub(crate) fn ssh(&self, index: usize) -> Command {
        let facts = self.cluster.facts();
        let host = self.host(index);
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=5"])
        .arg("-o")
        .arg(format!(
            "UserKnownHostsFile={}",
            facts.known_hosts.display()
        ))
        .arg("-i")
        .arg(&facts.identity)
        .args(["-p", &host.ssh_port.to_string(), "-l", &facts.user])
        .arg(host.ip.to_string())
        .stdin(Stdio::null());
        ssh
    }

    /// Run a command on a host and wait for it.
    pub(crate) fn run(&self, index: usize, command: &str) -> Output {
        let output = self.ssh(index).arg(command).output();
        output.expect("these tests need the OpenSSH client `ssh`")
    }

    /// Run a command that must work; its standard output.
    pub(crate) fn ok(&self, index: usize, command: &str) -> String {
        let output = self.run(index, command);
        assert!(
            output.status.success(),
            "{command}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Err(error) = Cluster::down(self.cluster.dir())
            && !std::thread::panicking()
        {
            panic!("{error:?}");
        }
    }
}

/// Wait until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
