//! `demo up` and `demo down`: what stays, and what goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tarsops_sandbox::database::require_or_fail;

fn tarsops(dir: &Path, args: &[&str]) -> Output {
    Command::new(super::PROGRAM)
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
        assert!(said.contains("28 ok"), "{said}");

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
