//! What the control machine's other users and a spec from a stranger get of a run: nothing. A program
//! called `ssh` stands in for the real one.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &str = "hunter2-of-the-database";
const TICKET: &str = "hunter3-of-the-console";

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A spec of one host, with `more` below `ssh`, and an `ssh` that runs `script`.
    fn new(more: &str, script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self { dir };
        let spec = format!(
            "schema: tarsops/v1\ncluster: prod\nframework: {{version: 3.0.17, packages: ./packages}}\n\
             ssh: {{connect_timeout: 20s{more}}}\n\
             registry: {{endpoints: [10.99.0.1:17890]}}\nrpc: none\n\
             database: {{address: 127.0.0.1:1, user: tars, password: {{env: TARS_DB_PASSWORD}}}}\n\
             web: {{url: 'http://127.0.0.1:1', ticket: {{env: TARS_WEB_TICKET}}}}\n\
             nodes: [{{name: 10.99.0.1, roles: [master], address: 127.0.0.1}}]\n"
        );
        std::fs::write(place.at("cluster.yaml"), spec).unwrap();
        // It is there, and nobody gets so far as to read it.
        std::fs::create_dir_all(place.at("packages")).unwrap();
        std::fs::write(place.at("packages/framework.tgz"), "").unwrap();
        for folder in ["bin", "tmp", "home"] {
            std::fs::create_dir(place.at(folder)).unwrap();
        }
        let ssh = place.at("bin/ssh");
        std::fs::write(
            &ssh,
            format!("#!/bin/sh\ncd '{}'\n{script}\n", place.at("").display()),
        )
        .unwrap();
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tarsops(&self, arguments: &[&str]) -> Command {
        // Everything that is made is there for all, were it for the one who starts us.
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "umask 0; exec \"$0\" \"$@\"",
                env!("CARGO_BIN_EXE_tarsops"),
            ])
            .args(arguments)
            .arg("-f")
            .arg(self.at("cluster.yaml"))
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.at("bin").display()),
            )
            .env("TMPDIR", self.at("tmp"))
            .env("HOME", self.at("home"))
            .env("XDG_STATE_HOME", self.at("home/state"))
            .env("TARS_DB_PASSWORD", PASSWORD)
            .env("TARS_WEB_TICKET", TICKET)
            .env("ORDINARY", "seen")
            .stdin(Stdio::null());
        command
    }
}

/// Our folders in the places for temporary ones.
fn folders(place: &Place) -> Vec<PathBuf> {
    let user = format!("/run/user/{}", rustix::process::getuid().as_raw());
    let places = [
        PathBuf::from(user),
        "/dev/shm".into(),
        "/tmp".into(),
        place.at("tmp"),
    ];
    let mut all: Vec<PathBuf> = places
        .iter()
        .filter_map(|p| std::fs::read_dir(p).ok())
        .flatten()
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| {
            p.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("tarsops-")
        })
        .collect();
    all.sort();
    all
}

fn wait_for(path: &Path, command: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(
            Instant::now() < until,
            "{command}: {} does not come",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn ssh_does_not_see_the_variables_that_hold_secrets() {
    let place = Place::new(
        "",
        "env >seen; grep core /proc/$$/limits >core; umask >mask; exit 255",
    );
    let out = place.tarsops(&["status"]).output().unwrap();
    assert_eq!(
        out.status.code(),
        Some(4),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let seen = std::fs::read_to_string(place.at("seen")).unwrap();
    assert!(seen.contains("ORDINARY=seen"));
    for secret in ["TARS_DB_PASSWORD", PASSWORD, "TARS_WEB_TICKET", TICKET] {
        assert!(!seen.contains(secret), "{secret}");
    }
    // In bytes; a program that takes core dumps gets one at 0, and none at 1.
    let core = std::fs::read_to_string(place.at("core")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words[words.len() - 3..], ["1", "1", "bytes"], "{core}");
    assert_eq!(std::fs::read_to_string(place.at("mask")).unwrap(), "0077\n");
}

#[test]
fn a_configuration_beside_the_spec_runs_nothing_unless_it_may() {
    let place = Place::new(", config: ./ssh_config", "touch ran; exit 255");
    std::fs::write(
        place.at("ssh_config"),
        "Host *\n  ProxyCommand touch /tmp/x\n",
    )
    .unwrap();
    for command in [["plan"], ["drift"], ["check"], ["status"]] {
        let out = place.tarsops(&command).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains("ssh_config:2: ProxyCommand"), "{said}");
        assert!(said.contains("--allow-commands"), "{said}");
        assert!(!place.at("ran").exists());
    }
    place
        .tarsops(&["status", "--allow-commands"])
        .output()
        .unwrap();
    assert!(place.at("ran").exists());
    std::fs::remove_file(place.at("ssh_config")).unwrap();
    for more in [&["status"][..], &["status", "--allow-commands"]] {
        let out = place.tarsops(more).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(
            said.contains("ssh_config") && said.contains("No such file"),
            "{said}"
        );
    }
}

#[test]
fn temporary_folders_are_ours_alone_and_gone_after_a_signal() {
    let commands = [
        "plan", "drift", "check", "status", "apply", "history", "rollback",
    ];
    let signals = ["TERM", "HUP", "INT"];
    for (command, signal) in commands.into_iter().flat_map(|c| signals.map(|s| (c, s))) {
        let place = Place::new(
            "",
            "echo \"$3\" >config.tmp; mv config.tmp config; sleep 30",
        );
        let before = folders(&place);
        let mut child = place
            .tarsops(&[command])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&place.at("config"), command);
        let new: Vec<PathBuf> = folders(&place)
            .into_iter()
            .filter(|f| !before.contains(f))
            .filter(|f| std::fs::metadata(f).is_ok_and(|m| m.permissions().mode() & 0o777 == 0o700))
            .collect();
        let pid = child.id().to_string();
        // Neither memory nor environment can be read by others of our user: root's are root's.
        let owner = std::fs::metadata(format!("/proc/{pid}/environ"))
            .unwrap()
            .uid();
        assert_eq!(owner, 0);
        let killed = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(killed.unwrap().success());
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), Some(130), "{command} {signal}: {ended:?}");
        assert!(new.len() >= 2, "{command}: {new:?}");
        for folder in new.iter().filter(|f| f.starts_with(place.at("tmp"))) {
            assert!(!folder.exists(), "{}", folder.display());
        }
        assert_eq!(std::fs::read_dir(place.at("tmp")).unwrap().count(), 0);
    }
}
