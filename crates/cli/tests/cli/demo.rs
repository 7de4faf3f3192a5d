//! `demo up` and `demo down`: what stays, and what goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tarsops_standin::database::require_or_fail;

// A demonstration copies its program for each component: the one without symbols is a third as large.
use super::packages::program;

fn tarsops(dir: &Path, args: &[&str]) -> Output {
    Command::new(program())
        .args(args)
        .current_dir(dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("TARSOPS_SPEC", "cluster/cluster.yaml")
        .output()
        .unwrap()
}

fn number(path: &Path) -> u32 {
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Ended, or ended and not looked at yet.
fn is_gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

fn database(cluster: &Path) -> PathBuf {
    let mut found = std::fs::read_dir(cluster.join("database")).unwrap();
    found.next().unwrap().unwrap().path()
}

#[test]
fn a_cluster_lives_on_with_its_database_and_goes_with_it() {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let cluster = dir.path().join("cluster");
    for killed in [false, true] {
        let up = tarsops(
            dir.path(),
            &["demo", "up", "--nodes", "2", "--dir", "cluster"],
        );
        assert_eq!(up.status.code(), Some(0), "{up:?}");
        let said = String::from_utf8(up.stderr).unwrap();
        assert!(said.contains("are in a real MariaDB"), "{said}");
        assert!(said.contains("the management platform publishes"), "{said}");
        let mode = |path: &str| {
            use std::os::unix::fs::PermissionsExt as _;
            let meta = std::fs::metadata(cluster.join(path)).unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!((mode("."), mode("database.password")), (0o700, 0o600));
        assert_eq!(mode("web.ticket"), 0o600);
        // All sources answer after the command has ended.
        let check = tarsops(dir.path(), &["check"]);
        assert_eq!(check.status.code(), Some(0), "{check:?}");
        let said = String::from_utf8(check.stdout).unwrap();
        assert!(said.contains("37 ok"), "{said}");

        let server = number(&cluster.join("run/server.pid"));
        let mariadb = number(&database(&cluster).join("pid"));
        assert!(!is_gone(server) && !is_gone(mariadb));
        if killed {
            let status = Command::new("kill")
                .args(["-9", &server.to_string()])
                .status()
                .unwrap();
            assert!(status.success());
        }
        let down = tarsops(dir.path(), &["demo", "down", "--dir", "cluster"]);
        assert_eq!(down.status.code(), Some(0), "{down:?}");
        assert!(!cluster.exists());
        let until = Instant::now() + Duration::from_secs(10);
        while !(is_gone(server) && is_gone(mariadb)) {
            assert!(
                Instant::now() < until,
                "{server} or {mariadb} is still there"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Processes that run from below a folder, or on files of it, by their ids.
fn processes_below(folder: &Path) -> Vec<(String, String)> {
    let folder = folder.to_str().unwrap();
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|p| {
            let words = std::fs::read(p.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            let pid = p.file_name().into_string().ok()?;
            words.contains(folder).then_some((pid, words))
        })
        .collect()
}

/// A folder; what a failed test has left running in it ends with it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for (pid, _) in processes_below(self.path()) {
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
        }
    }
}

/// How long a cluster may take to be made on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// Starts `tarsops demo`, and waits until it says this.
fn demo(dir: &Path, args: &[&str], until: &str) -> std::process::Child {
    let out = dir.join("out");
    let file = std::fs::File::create(&out).unwrap();
    let child = Command::new(program())
        .args(args)
        .current_dir(dir)
        .env("TMPDIR", dir.join("tmp"))
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&out).unwrap().contains(until) {
        assert!(Instant::now() < end, "it does not say `{until}`");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn signal(child: &std::process::Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status();
    assert!(sent.unwrap().success());
}

fn folder_with_tmp() -> Scratch {
    let dir = Scratch(tempfile::tempdir().unwrap());
    std::fs::create_dir(dir.path().join("tmp")).unwrap();
    dir
}

/// In the middle of a command of the story, and while the cluster is made.
#[test]
fn a_signal_removes_what_the_demonstration_has_made() {
    for (name, until) in [("-INT", "$ tarsops apply"), ("-TERM", "$ tarsops package")] {
        let dir = folder_with_tmp();
        let mut child = demo(dir.path(), &["demo"], until);
        signal(&child, name);
        let code = child.wait().unwrap().code();
        let said = std::fs::read_to_string(dir.path().join("out")).unwrap();
        assert_eq!(code, Some(130), "{name}: {said}");
        assert!(said.contains("interrupted"), "{said}");
        assert_eq!(processes_below(dir.path()), [], "{said}");
        let left: Vec<_> = std::fs::read_dir(dir.path().join("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?} {said}");
    }
}

#[test]
fn a_signal_while_a_cluster_is_made_leaves_nothing_of_it() {
    let dir = folder_with_tmp();
    let cluster = dir.path().join("cluster");
    let mut child = demo(dir.path(), &["demo", "up", "--dir", "cluster"], "");
    let end = Instant::now() + PATIENCE;
    while processes_below(&cluster).is_empty() {
        assert!(Instant::now() < end, "no process of the cluster");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-HUP");
    let code = child.wait().unwrap().code();
    let said = std::fs::read_to_string(dir.path().join("out")).unwrap();
    assert_eq!(code, Some(130), "{said}");
    assert_eq!(processes_below(dir.path()), [], "{said}");
    assert!(!cluster.exists(), "{said}");
}

/// A second signal does not wait, and says how to remove the rest.
#[test]
fn a_second_signal_leaves_the_cluster_and_says_how_to_remove_it() {
    let dir = folder_with_tmp();
    let mut child = demo(dir.path(), &["demo"], "$ tarsops plan");
    signal(&child, "-TERM");
    std::thread::sleep(Duration::from_millis(30));
    signal(&child, "-INT");
    let code = child.wait().unwrap().code();
    let said = std::fs::read_to_string(dir.path().join("out")).unwrap();
    assert_eq!(code, Some(130), "{said}");
    let hint = said.split("`tarsops demo down --dir ").nth(1).unwrap();
    let left = hint.split('`').next().unwrap();
    let out = tarsops(dir.path(), &["demo", "down", "--dir", left]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    assert_eq!(processes_below(dir.path()), [], "{said}");
    let left: Vec<_> = std::fs::read_dir(dir.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?} {said}");
}
