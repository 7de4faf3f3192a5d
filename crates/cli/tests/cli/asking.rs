//! Nobody is changed unasked: `apply` where there is no terminal and no `-y`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tarsops_standin::cluster::Cluster;

/// An embedded cluster that goes with the test.
pub(super) struct Embedded(tempfile::TempDir);

impl Embedded {
    pub(super) fn up() -> Self {
        let embedded = Self(tempfile::tempdir().unwrap());
        let out = embedded.run(&["demo", "up", "--nodes", "2", "--dir", "cluster"], "");
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        embedded
    }

    /// Runs the program as cron or a pipe would.
    pub(super) fn run(&self, args: &[&str], stdin: &str) -> Output {
        let mut child = Command::new(super::PROGRAM)
            .args(args)
            .current_dir(self.0.path())
            .env("XDG_STATE_HOME", self.0.path().join("state"))
            .env("TARSOPS_SPEC", "cluster/cluster.yaml")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let dir = self.0.path().join("cluster");
        if Path::new(&dir).exists() {
            let _ = Cluster::down(&dir);
        }
    }
}

#[test]
fn without_a_terminal_nothing_is_changed_unasked() {
    let cluster = Embedded::up();
    let plan = cluster.run(&["plan"], "");
    let text = String::from_utf8(plan.stdout).unwrap();
    assert_eq!(plan.status.code(), Some(2), "{text}");
    assert!(text.contains("Plan: 2 to add, 0 to change"), "{text}");

    // What comes through a pipe was not written by somebody who read the plan.
    for stdin in ["", "yes\n"] {
        let apply = cluster.run(&["apply"], stdin);
        assert_eq!(apply.status.code(), Some(64), "{apply:?}");
        assert_eq!(String::from_utf8(apply.stdout).unwrap(), text);
        assert_eq!(
            String::from_utf8(apply.stderr).unwrap(),
            "error: cannot ask for confirmation: stdin is not a terminal\n\
             hint: use --yes, or apply a plan that was saved and reviewed: `plan -o FILE`, `apply -y FILE`\n"
        );
    }
    let again = cluster.run(&["plan"], "");
    assert_eq!(again.status.code(), Some(2));
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
}
