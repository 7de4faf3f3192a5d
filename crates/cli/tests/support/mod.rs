//! What end-to-end tests share: a cluster of test hosts, a control machine with a spec and packages
//! of stand-ins, the program under test, and snapshots of what lies and runs on a host.
//!
//! Everything is real but the agent: OpenSSH, cron, sudo and files of namespaced hosts. The program
//! runs on the network's control side with a home, a state folder and a temporary folder of its own,
//! so that a second [`Machine`] is a machine that never saw the first.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "a test binary uses a part of it"
)]

mod asked;
pub mod client;
pub mod failures;
pub mod framework;
mod packages;
mod running;
mod snapshot;
mod spec;

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
pub use tarsops_standin::standin::{Behaviour, Identity};
pub use tarsops_testkit::{Host, HostOptions, Network, SmallDisk, require_or_fail};

pub use asked::until_asked;
pub use packages::{Layout, program, stand_in, standin_digest};
pub use running::{Running, Signal};
pub use snapshot::{Agent, HostExt, Process, Snapshot};
pub use spec::Spec;

/// Where the framework is on every host.
pub const INSTALL: &str = "/usr/local/app";
/// Where tarsops keeps its own files on a host on which it acts as root.
pub const STATE: &str = "/var/lib/tarsops/test";
/// The agent's configuration on every host.
pub const CONF: &str = "/usr/local/app/tars/tarsnode/conf/tars.tarsnode.config.conf";
/// The agent's binary on every host.
pub const BINARY: &str = "/usr/local/app/tars/tarsnode/bin/tarsnode";
/// The folder of the agent's scripts on every host.
pub const UTIL: &str = "/usr/local/app/tars/tarsnode/util";
/// The crontab line that watches the agent.
pub const MONITOR: &str = "* * * * * /usr/local/app/tars/tarsnode/util/monitor.sh";

/// The address of the host number `n`, counted from 1.
pub fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, n)
}

/// The node on the host number `n`, counted from 1: its address is its name.
pub fn node(n: u8) -> String {
    ip(n).to_string()
}

/// Hosts on a network of their own. Host 1 is the master.
pub struct Cluster {
    /// The hosts, in the order of their numbers.
    pub hosts: Vec<Host>,
    /// Their network.
    pub network: Arc<Network>,
    machines: AtomicU32,
}

impl Cluster {
    /// `n` hosts as [`HostOptions::numbered`] makes them.
    pub fn new(n: u8) -> Cluster {
        Cluster::of((0..n).map(HostOptions::numbered))
    }

    /// Hosts of these kinds.
    pub fn of(options: impl IntoIterator<Item = HostOptions>) -> Cluster {
        require_or_fail();
        let network = Network::new().unwrap();
        let hosts = network.hosts(options).unwrap();
        Cluster {
            hosts,
            network: Arc::new(network),
            machines: AtomicU32::new(0),
        }
    }

    /// A control machine with the spec of all hosts and no package.
    pub fn bare_machine(&self) -> Machine {
        let number = self.machines.fetch_add(1, Ordering::Relaxed);
        let dir = self.network.dir().join(format!("machine-{number}"));
        for folder in ["home", "state", "tmp", "repo/packages"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let machine = Machine {
            network: Arc::clone(&self.network),
            dir,
        };
        machine.write(
            "ssh_config",
            "Host *\n  KexAlgorithms curve25519-sha256\n  IdentityAgent none\n  LogLevel ERROR\n",
        );
        std::fs::copy(self.network.known_hosts(), machine.repo("known_hosts")).unwrap();
        machine.spec(&self.spec());
        machine
    }

    /// A control machine with the spec of all hosts and the healthy package 3.0.17, pinned.
    pub fn machine(&self) -> Machine {
        let machine = self.bare_machine();
        machine.package("3.0.17", Layout::Full, Behaviour::Healthy);
        machine.lock();
        machine
    }

    /// The spec of all hosts: host 1 is master, the others are plain nodes; `sudo` as `ops`.
    pub fn spec(&self) -> Spec {
        let mut spec = Spec::new(self.network.client_key());
        for (index, host) in self.hosts.iter().enumerate() {
            let role = if index == 0 { ", roles: [master]" } else { "" };
            spec.node(format!("{{name: {}{role}}}", host.ip()));
        }
        spec
    }

    /// The host number `n`, counted from 1.
    pub fn host(&self, n: usize) -> &Host {
        &self.hosts[n - 1]
    }

    /// Every host must look to sshd as if nobody had come yet.
    pub fn reset_counts(&self) {
        for host in &self.hosts {
            host.reset_counts().unwrap();
        }
    }
}

/// A machine to run `tarsops` on: a checkout of the spec, a home, a state folder.
pub struct Machine {
    network: Arc<Network>,
    dir: PathBuf,
}

impl Machine {
    /// A machine that never saw this one: a fresh checkout, home and state.
    pub fn another(&self, cluster: &Cluster) -> Machine {
        let other = cluster.bare_machine();
        let copied = Command::new("cp")
            .args(["-r", "--"])
            .arg(self.repo("."))
            .arg(other.repo("."))
            .status()
            .unwrap();
        assert!(copied.success());
        other
    }

    /// A file of the checkout.
    pub fn repo(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join("repo").join(name)
    }

    /// Where journals and caches go.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where temporary files go; empty between runs.
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Writes a file of the checkout.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.repo(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Reads a file of the checkout.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.repo(name)).unwrap()
    }

    /// Writes `cluster.yaml`.
    pub fn spec(&self, spec: &Spec) {
        self.write("cluster.yaml", spec.text());
    }

    /// Puts a package into `packages/<version>`, in place of what was there.
    pub fn package(&self, version: &str, layout: Layout, behaviour: Behaviour) {
        let identity = Identity::new(version, behaviour);
        self.package_of(version, layout, &identity);
    }

    /// As [`Machine::package`], of any identity.
    pub fn package_of(&self, version: &str, layout: Layout, identity: &Identity) {
        packages::put(&self.repo("packages").join(version), layout, identity);
    }

    /// Puts programs of components other than the agent beside it.
    pub fn components(&self, version: &str, names: &[&str], behaviour: Behaviour) {
        let identity = Identity::new(version, behaviour);
        packages::put_components(&self.repo("packages").join(version), names, &identity);
    }

    /// `package lock`, which must work.
    pub fn lock(&self) {
        self.tarsops(["package", "lock"]).exits(0);
    }

    /// The program with these words, ready to be started in the checkout; standard input is empty.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.network.command(program());
        command
            .args(words)
            .current_dir(self.repo("."))
            .env("HOME", self.dir.join("home"))
            .env("XDG_STATE_HOME", self.state())
            .env("TMPDIR", self.tmp())
            .env("USER", "tester");
        for name in ["TARSOPS_SPEC", "TARSOPS_LOG", "NO_COLOR", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Command lines of the processes on the control side of the network.
    pub fn processes(&self) -> Vec<String> {
        self.processes_by_pid()
            .into_iter()
            .map(|(_, line)| line)
            .collect()
    }

    /// [`Machine::processes`] with their ids.
    pub fn processes_by_pid(&self) -> Vec<(u32, String)> {
        let output = self
            .network
            .command("readlink")
            .arg("/proc/self/ns/net")
            .output()
            .unwrap();
        let net = String::from_utf8(output.stdout).unwrap();
        assert!(net.starts_with("net:["), "{net}");
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|p| {
                std::fs::read_link(p.path().join("ns/net"))
                    .is_ok_and(|n| n.as_os_str() == net.trim_end())
            })
            .filter_map(|p| {
                let line = std::fs::read(p.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                Some((p.file_name().to_str()?.parse().ok()?, line))
            })
            .collect()
    }

    /// Runs the program to its end.
    pub fn tarsops<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ran {
        run(self.command(words))
    }

    /// `apply -y`, which must converge.
    pub fn converge(&self) -> Ran {
        let ran = self.tarsops(["apply", "-y"]);
        ran.exits(0);
        ran
    }

    /// Puts the healthy package of a version in place, pins it and asks for it.
    pub fn ask_for(&self, cluster: &Cluster, version: &str, behaviour: Behaviour) {
        self.package(version, Layout::Full, behaviour);
        let mut spec = cluster.spec();
        version.clone_into(&mut spec.version);
        self.spec(&spec);
        self.lock();
    }

    /// `plan`, which must find nothing to do.
    pub fn in_sync(&self) {
        self.tarsops(["plan"]).exits(0).says("Nothing to do");
    }
}

/// The digest of the stand-in of this version and behaviour.
pub fn digest(version: &str, behaviour: Behaviour) -> String {
    standin_digest(&Identity::new(version, behaviour))
}

/// The digest of the healthy stand-in of a version.
pub fn healthy(version: &str) -> String {
    digest(version, Behaviour::Healthy)
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ran {
    let words: Vec<String> = command
        .get_args()
        .skip(3)
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let began = Instant::now();
    let output = command.output().unwrap();
    Ran::new(words.join(" "), output, began.elapsed())
}

/// A run of the program that has ended.
pub struct Ran {
    /// The words after `tarsops`.
    pub words: String,
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

impl Ran {
    /// The end of a process that was started by hand.
    pub fn new(words: String, output: Output, took: Duration) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran {
            words,
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
            took,
        }
    }

    fn whole(&self) -> String {
        format!(
            "tarsops {} ended with {} after {:?}\n--- stdout\n{}\n--- stderr\n{}\n---",
            self.words, self.code, self.took, self.out, self.err
        )
    }

    /// It ended with this code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Ran {
        assert!(self.code == code, "want exit {code}: {}", self.whole());
        self
    }

    /// Standard output has this.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Ran {
        assert!(
            self.out.contains(text),
            "want `{text}` on stdout: {}",
            self.whole()
        );
        self
    }

    /// Standard error has this.
    #[track_caller]
    pub fn complains(&self, text: &str) -> &Ran {
        assert!(
            self.err.contains(text),
            "want `{text}` on stderr: {}",
            self.whole()
        );
        self
    }

    /// One of both has this.
    #[track_caller]
    pub fn tells(&self, text: &str) -> &Ran {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "want `{text}`: {}",
            self.whole()
        );
        self
    }

    /// Neither has this.
    #[track_caller]
    pub fn hides(&self, text: &str) -> &Ran {
        assert!(
            !self.out.contains(text) && !self.err.contains(text),
            "want no `{text}`: {}",
            self.whole()
        );
        self
    }

    /// Not a word on either.
    #[track_caller]
    pub fn is_quiet(&self) -> &Ran {
        assert!(
            self.out.is_empty() && self.err.is_empty(),
            "want silence: {}",
            self.whole()
        );
        self
    }

    /// Standard output is one JSON document of this format.
    #[track_caller]
    pub fn json(&self, format: &str) -> Value {
        let document: Value = match serde_json::from_str(&self.out) {
            Ok(document) => document,
            Err(e) => panic!("want one JSON document ({e}): {}", self.whole()),
        };
        assert!(document["format"] == format, "{}", self.whole());
        document
    }
}

/// Asks again and again until `done` or `patience` is over.
#[track_caller]
pub fn wait_until(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    loop {
        let began = Instant::now();
        if done() {
            return;
        }
        assert!(Instant::now() < end, "waited {patience:?} for: {what}");
        // A look that starts programs on many hosts leaves the processors to others for as long again.
        let pause = began
            .elapsed()
            .clamp(Duration::from_millis(50), Duration::from_secs(2));
        std::thread::sleep(pause);
    }
}
