//! Hosts that mean harm, against the whole program.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/mux.rs"]
#[allow(unreachable_pub, reason = "it is a module of several test binaries")]
mod mux;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use mux::{Asked, Hosts, Reply, probe_answer};

/// What a run of the program may hold in memory, in bytes.
const MEMORY: u64 = 256_000_000;

const LOCK: &str = include_str!("../../../fixtures/packages/cluster.yaml.lock");

fn encoded(text: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A spec, and hosts that answer so. The first host is the master.
struct Place {
    dir: tempfile::TempDir,
    hosts: Hosts,
}

/// The address of a host, counted from 0.
fn address(host: usize) -> String {
    format!("10.99.{}.{}", host / 200, host % 200 + 1)
}

impl Place {
    fn new(hosts: usize, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = "schema: tarsops/v1\ncluster: prod\n\
             framework: {version: 3.0.17, packages: ./packages}\nrpc: none\n\
             registry: {endpoints: [10.99.0.1:17890]}\nnodes:\n"
            .to_owned();
        for host in 0..hosts {
            let role = if host == 0 { ", roles: [master]" } else { "" };
            spec.push_str(&format!("- {{name: {}{role}}}\n", address(host)));
        }
        std::fs::write(dir.path().join("cluster.yaml"), spec).unwrap();
        std::fs::write(dir.path().join("cluster.yaml.lock"), LOCK).unwrap();
        for folder in ["tmp", "home"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let hosts = Hosts::new((0..hosts).map(address), answer);
        Self { dir, hosts }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tarsops"));
        command
            .args(words)
            .args(["-f", "cluster.yaml"])
            .current_dir(self.dir.path())
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.hosts.bin().display()),
            )
            .env("TMPDIR", self.at("tmp"))
            .env("HOME", self.at("home"))
            .env("XDG_STATE_HOME", self.at("home/state"))
            .stdin(Stdio::null());
        for name in ["TARSOPS_SPEC", "TARSOPS_LOG", "NO_COLOR", "RUST_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program; what it held in memory at most, in bytes, goes with its output.
    fn measured(&self, words: &[&str]) -> (Output, u64) {
        let files = ["out", "err"].map(|name| self.at(name));
        let mut child = self
            .command(words)
            .stdout(std::fs::File::create(&files[0]).unwrap())
            .stderr(std::fs::File::create(&files[1]).unwrap())
            .spawn()
            .unwrap();
        let mut peak = 0;
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            peak = peak.max(peak_of(child.id()));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until || peak > 4 * MEMORY {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{words:?} does not end, or holds {peak} bytes");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(status.signal(), None);
        let [stdout, stderr] = files.map(|file| std::fs::read(file).unwrap());
        let output = Output {
            status,
            stdout,
            stderr,
        };
        (output, peak)
    }
}

/// The most memory that a process held so far; 0 once it has ended.
fn peak_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.parse().ok())
        .map_or(0, |kib: u64| kib << 10)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a host says at least, so that it is looked at further.
fn plain_lines(host: &str) -> Vec<String> {
    vec![
        format!("clock {}", now()),
        "user root 1".to_owned(),
        format!("hostname {}", encoded(host)),
        format!("machine-id {}", host.replace('.', "0")),
        "boot-id 1".to_owned(),
        format!("interfaces hostname {}", encoded(host)),
        "tool crontab 1".to_owned(),
        "tool flock 1".to_owned(),
        "run-user 1".to_owned(),
        "disk 100000000".to_owned(),
        "writable 1".to_owned(),
        "base 0".to_owned(),
    ]
}

/// As much of everything as is read, beside the plain lines.
fn worst_lines() -> Vec<String> {
    let lines = |count: usize, entry: fn(usize) -> String| {
        encoded((0..count).map(|i| entry(i) + "\n").collect::<String>())
    };
    // Long lines: their number costs time where nothing is optimised, and memory nowhere.
    let line = format!("#{}\n", "x".repeat(510));
    let file = line.repeat((64 << 10) / 512);
    let crontab = line.repeat((256 << 10) / 512);
    let mut all = Vec::new();
    all.push(format!("crontab text {}", encoded(crontab)));
    all.push("agent present".to_owned());
    all.push("folder tars 755".to_owned());
    all.push(format!("conf text 644 tars {}", encoded(&file)));
    for script in ["start.sh", "stop.sh", "execute.sh", "monitor.sh"] {
        all.push(format!("util {script} text 755 tars {}", encoded(&file)));
    }
    all.push(format!("installed list {}", lines(1024, |i| i.to_string())));
    all.push(format!(
        "exes 1 {}",
        lines(1024, |i| format!("/usr/local/app/tars/a{i}/bin/a{i}"))
    ));
    all.push(format!("strangers {}", lines(1024, |i| format!("a{i}"))));
    for process in 0..1024 {
        all.push(format!(
            "process {process} tars - {} -",
            encoded("/usr/local/app/tars/tarsnode/bin/tarsnode")
        ));
    }
    all.push("processes all".to_owned());
    all
}

fn is_probe(asked: &Asked) -> bool {
    asked.variable("P_NONCE").is_some()
}

#[test]
fn a_hundred_hosts_that_send_all_that_is_read() {
    let worst = worst_lines();
    let place = Place::new(100, move |asked| {
        if !is_probe(asked) {
            return Reply::Text(b"\n".to_vec());
        }
        let lines = [plain_lines(&asked.host), worst.clone()].concat();
        let answer = probe_answer(asked, &lines);
        assert!(answer.len() < 1 << 20, "it is {} bytes", answer.len());
        assert!(answer.len() > 900 << 10, "it is {} bytes", answer.len());
        Reply::Text(answer)
    });
    let began = Instant::now();
    // `check` makes the same look and the same plan.
    let (output, peak) = place.measured(&["plan"]);
    let said = text(&output.stderr);
    println!("plan: {} MB, {:?}", peak / 1_000_000, began.elapsed());
    assert!(!said.contains("answered more"), "{said}");
    assert!(!text(&output.stdout).is_empty(), "{said}");
    assert!((1..MEMORY).contains(&peak), "{peak} bytes");
}

#[test]
fn a_hundred_hosts_that_send_without_end() {
    let place = Place::new(100, |asked| {
        Reply::Endless(match asked.host.as_str() {
            // Lines are counted as well.
            "10.99.0.1" => b"\n".repeat(1 << 10),
            _ => b"x".repeat(64 << 10),
        })
    });
    for words in [
        vec!["plan"],
        vec!["check"],
        vec!["history", "--on", "10.99.0.[123]*"],
    ] {
        let command = words[0];
        let began = Instant::now();
        let (output, peak) = place.measured(&words);
        let said = text(&output.stdout) + &text(&output.stderr);
        println!("{command}: {} MB, {:?}", peak / 1_000_000, began.elapsed());
        assert!((1..MEMORY).contains(&peak), "{command}: {peak} bytes");
        assert_eq!(output.status.code(), Some(4), "{said}");
        let most = match command {
            "history" => "4096 KiB",
            _ => "1024 KiB",
        };
        let refused = said
            .matches(&format!("it answered more than {most}"))
            .count();
        assert!(refused > 0, "{said}");
        assert!(said.contains("it answered more than 16384 lines"), "{said}");
    }
}
