//! The outside of the program on real hosts: signals, outputs, waiting.

use std::time::Duration;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Two hosts on 3.0.17 and a spec that asks for 3.0.18, one host at a time, the plain node first.
fn before_an_upgrade() -> (Cluster, Machine) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.package("3.0.18", Layout::Full, Behaviour::Healthy);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    spec.with_rollout("settle: 3s")
        .with_rollout("max_parallel: 1");
    machine.spec(&spec);
    machine.lock();
    (cluster, machine)
}

fn until_acting(host: &Host) {
    wait_until("the change begins", MINUTE, || {
        host.has(&format!("{STATE}/current"))
    });
}

/// Nobody holds the lease, and this machine has no temporary file left.
#[track_caller]
fn nothing_is_left(cluster: &Cluster, machine: &Machine) {
    let lease = format!("{STATE}/lease");
    assert!(!cluster.host(1).has(&lease), "the lease is given back");
    let left: Vec<_> = std::fs::read_dir(machine.tmp())
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_first_signal_finishes_what_runs() {
    let (cluster, machine) = before_an_upgrade();
    for (signal, version, back) in [
        (Signal::Term, "3.0.18", "3.0.17"),
        (Signal::Hup, "3.0.18", "3.0.17"),
    ] {
        let run = machine.start(["apply", "-y"]);
        until_acting(cluster.host(2));
        run.signal(signal);
        run.ends_within(MINUTE)
            .exits(130)
            .complains("running steps are finished");
        nothing_is_left(&cluster, &machine);
        let host = |n| cluster.host(n);
        host(2).assert_runs("10.77.1.2", "tars", &healthy(version));
        host(1).assert_runs("10.77.1.1", "tars", &healthy(back));
        // Nobody has to wait until a lease runs out.
        machine.tarsops(["rollback", "-y"]).exits(0);
        host(2).assert_runs("10.77.1.2", "tars", &healthy(back));
    }
}

#[test]
fn the_second_signal_stops_at_once_and_gives_the_lease_back() {
    let (cluster, machine) = before_an_upgrade();
    for (first, second) in [(Signal::Term, Signal::Term), (Signal::Hup, Signal::Int)] {
        let mut run = machine.start(["apply", "-y"]);
        until_acting(cluster.host(2));
        run.signal(first);
        run.until_it_says("running steps are finished");
        run.signal(second);
        let ran = run.ends_within(Duration::from_secs(8));
        // What goes on by itself is named.
        ran.exits(130)
            .complains("stopped at once; hosts and the framework finish by themselves")
            .complains("\n  10.77.1.2: ")
            .hides("\n  10.77.1.1: ");
        nothing_is_left(&cluster, &machine);
        wait_until("the host finishes by itself", MINUTE, || {
            !cluster.host(2).has(&format!("{STATE}/current"))
        });
        machine.tarsops(["rollback", "-y"]).exits(0);
    }
}

/// `nohup` and background jobs of scripts have signals ignored, and mean it.
#[test]
fn a_signal_that_the_caller_had_ignored_ends_nothing() {
    let (cluster, machine) = before_an_upgrade();
    let mut plain = machine.command(["apply", "-y"]);
    let mut words: Vec<_> = vec![plain.get_program().to_owned()];
    words.extend(plain.get_args().map(std::ffi::OsStr::to_owned));
    let at = words.iter().position(|w| w == "apply").unwrap() - 1;
    let mut command = std::process::Command::new(&words[0]);
    command
        .args(&words[1..at])
        .args(["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .args(&words[at..])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .current_dir(plain.get_current_dir().unwrap());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let _ = plain.stdin(std::process::Stdio::null());
    let child = command.spawn().unwrap();
    until_acting(cluster.host(2));
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-HUP", &pid])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    Ran::new("apply -y".to_owned(), output, Duration::ZERO)
        .exits(0)
        .hides("running steps are finished");
}
