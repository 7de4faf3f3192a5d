//! The lease script on a master: races, its end, clocks, and a damaged file.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, ClusterName, RunId};

use super::super::{LeaseMode, Place, lease, read_lease};
use crate::words::LeaseWord;

struct Master(tempfile::TempDir);

impl Master {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("ml").tempdir().unwrap())
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("app/.tarsops/lease")
    }

    fn start(&self, shell: &str, n: u64, ttl: u64, mode: LeaseMode) -> Child {
        let place = Place {
            install_path: AbsPath::new(self.0.path().join("app").to_str().unwrap()).unwrap(),
            cluster: ClusterName::new("test").unwrap(),
        };
        let run = RunId::from_parts(n, 1);
        let text = lease(
            &place,
            &run,
            &format!("holder {n}"),
            ttl,
            &Digest::of(b"spec"),
            mode,
        );
        let mut words = shell.split(' ');
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .arg("-s")
            .env("TARSOPS_STATE", self.0.path().join("app/.tarsops"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        child
    }

    fn ask(&self, n: u64, ttl: u64, mode: LeaseMode) -> (LeaseWord, Vec<String>) {
        said(self.start("sh", n, ttl, mode))
    }
}

fn said(child: Child) -> (LeaseWord, Vec<String>) {
    let output = child.wait_with_output().unwrap();
    read_lease(&output.stdout).unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn of_many_at_once_exactly_one_gets_it() {
    for shell in ["dash", "busybox sh", "bash"] {
        for round in 0..4 {
            let master = Master::new();
            let all: Vec<Child> = (1..=8)
                .map(|n| master.start(shell, n, 45, LeaseMode::Acquire))
                .collect();
            let words: Vec<_> = all.into_iter().map(said).collect();
            let ok = words.iter().filter(|w| w.0 == LeaseWord::Ok).count();
            assert_eq!(ok, 1, "{shell}, round {round}: {words:?}");
            let winner = words.iter().position(|w| w.0 == LeaseWord::Ok).unwrap() + 1;
            for (word, said) in words.iter().filter(|w| w.0 != LeaseWord::Ok) {
                assert_eq!(*word, LeaseWord::Held);
                assert_eq!(said[0], format!("holder {winner}"));
            }
        }
    }
}

#[test]
fn it_runs_out_and_is_lost_to_the_next() {
    let master = Master::new();
    assert_eq!(master.ask(1, 1, LeaseMode::Acquire).0, LeaseWord::Ok);
    assert_eq!(master.ask(2, 1, LeaseMode::Acquire).0, LeaseWord::Held);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(master.ask(2, 45, LeaseMode::Acquire).0, LeaseWord::Ok);
    let (word, who) = master.ask(1, 45, LeaseMode::Renew);
    assert_eq!((word, who[0].as_str()), (LeaseWord::Lost, "holder 2"));
    // Neither does the loser give back what is not his.
    assert_eq!(master.ask(1, 45, LeaseMode::Release).0, LeaseWord::Ok);
    assert_eq!(master.ask(3, 45, LeaseMode::Acquire).0, LeaseWord::Held);
    assert_eq!(master.ask(2, 45, LeaseMode::Release).0, LeaseWord::Ok);
    assert_eq!(master.ask(3, 45, LeaseMode::Acquire).0, LeaseWord::Ok);
}

#[test]
fn a_beat_from_the_future_counts_from_now_on() {
    let master = Master::new();
    assert_eq!(master.ask(1, 2, LeaseMode::Acquire).0, LeaseWord::Ok);
    let text = fs::read_to_string(master.file()).unwrap();
    let moved: String = text
        .lines()
        .map(|l| {
            if l.starts_with("beat=") {
                "beat=99999999999\n".to_owned()
            } else {
                format!("{l}\n")
            }
        })
        .collect();
    fs::write(master.file(), moved).unwrap();
    assert_eq!(master.ask(2, 2, LeaseMode::Acquire).0, LeaseWord::Held);
    std::thread::sleep(std::time::Duration::from_millis(3100));
    assert_eq!(master.ask(2, 2, LeaseMode::Acquire).0, LeaseWord::Ok);
}

#[test]
fn the_order_of_its_lines_does_not_matter_and_a_damaged_file_holds_nobody_off() {
    let master = Master::new();
    assert_eq!(master.ask(1, 45, LeaseMode::Acquire).0, LeaseWord::Ok);
    let text = fs::read_to_string(master.file()).unwrap();
    let reversed: String = text.lines().rev().map(|l| format!("{l}\n")).collect();
    fs::write(master.file(), reversed).unwrap();
    assert_eq!(master.ask(2, 45, LeaseMode::Acquire).0, LeaseWord::Held);
    assert_eq!(master.ask(1, 45, LeaseMode::Renew).0, LeaseWord::Ok);
    for junk in [
        "",
        "\0\0\0",
        "run=x\nbeat=$(touch /tmp/x)\nttl=9;9\n",
        "beat=08\nttl=09\nrun=1\n",
    ] {
        fs::write(master.file(), junk).unwrap();
        assert_eq!(
            master.ask(2, 45, LeaseMode::Acquire).0,
            LeaseWord::Ok,
            "{junk:?}"
        );
        assert_eq!(master.ask(2, 45, LeaseMode::Release).0, LeaseWord::Ok);
    }
}
