//! Everything that can be killed is killed, in the middle of an upgrade. Whatever happens: within a
//! minute or so the agent runs, old or new, and the same apply from another machine converges.

use std::time::Duration;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Two hosts on 3.0.17 and a spec that asks for 3.0.18, one host at a time.
fn before_an_upgrade() -> (Cluster, Machine) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    ask(&cluster, &machine, "3.0.18");
    (cluster, machine)
}

fn ask(cluster: &Cluster, machine: &Machine, version: &str) {
    machine.package(version, Layout::Full, Behaviour::Healthy);
    let mut spec = cluster.spec();
    version.clone_into(&mut spec.version);
    spec.with_rollout("settle: 2s")
        .with_rollout("max_parallel: 1");
    machine.spec(&spec);
    machine.lock();
}

/// Waits until a change is in progress on a host.
fn until_acting(host: &Host) {
    wait_until("the change begins", MINUTE, || {
        host.has(&format!("{STATE}/current"))
    });
}

/// Every host has one agent, within a minute and the one that cron may be late.
fn up_again(cluster: &Cluster) {
    for host in &cluster.hosts {
        wait_until("the agent is up", MINUTE + Duration::from_secs(15), || {
            host.agents().len() == 1
        });
    }
}

/// Another machine converges, whatever was left.
fn another_converges(cluster: &Cluster, machine: &Machine, version: &str) {
    // How a dead holder's lease runs out is another test; here it would only take time.
    cluster.host(1).sh(&format!("rm -f {STATE}/lease")).unwrap();
    let other = machine.another(cluster);
    other.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy(version));
        host.assert_tidy();
    }
    other.in_sync();
}

#[test]
fn tarsops_at_each_journal_event() {
    let (cluster, machine) = before_an_upgrade();
    let mut events = 1;
    let mut versions = ["3.0.18", "3.0.17"].into_iter().cycle();
    loop {
        let version = versions.next().unwrap();
        let mut spec = cluster.spec();
        version.clone_into(&mut spec.version);
        spec.with_framework("allow_downgrade: true");
        spec.with_rollout("max_parallel: 1");
        machine.spec(&spec);
        let before = machine.journals().lines().count();
        let mut run = machine.start(["apply", "-y"]);
        let mut whole = false;
        wait_until("the event", MINUTE, || {
            whole = run.is_over();
            whole || machine.journals().lines().count() >= before + events
        });
        if whole && machine.journals().lines().count() < before + events {
            break;
        }
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.signal(Signal::Kill)));
        drop(run);
        up_again(&cluster);
        another_converges(&cluster, &machine, version);
        events += 1;
    }
    // run, started and succeeded for two hosts, ended.
    assert!(events > 5, "only {} events were seen", events - 1);
}

#[test]
fn the_ssh_masters_die() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    for (pid, line) in machine.processes_by_pid() {
        let program = line.split(' ').next().unwrap_or_default();
        if program == "ssh" || program.ends_with("/ssh") {
            let _ = std::process::Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status();
        }
    }
    run.ends_within(MINUTE).exits(0);
    another_converges(&cluster, &machine, "3.0.18");
}

#[test]
fn the_remote_shell_dies() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    for process in cluster.host(2).processes() {
        // Not what a change runs with the rights of another user.
        if process.command.trim().ends_with("sh -s") {
            let _ = cluster.host(2).sh(&format!("kill -9 {}", process.pid));
        }
    }
    run.ends_within(MINUTE).exits(0);
    another_converges(&cluster, &machine, "3.0.18");
}

#[test]
fn sshd_restarts() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    cluster.host(2).restart_sshd().unwrap();
    run.ends_within(MINUTE).exits(0);
    another_converges(&cluster, &machine, "3.0.18");
}

#[test]
fn the_cable_is_out_for_a_while() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    cluster.host(2).link_down().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    cluster.host(2).link_up().unwrap();
    run.ends_within(Duration::from_secs(120)).exits(0);
    another_converges(&cluster, &machine, "3.0.18");
}

/// The change itself dies: the host puts the old one back, and the run says so.
#[test]
fn the_change_dies() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    kill_changes(cluster.host(2));
    let ended = run.ends_within(Duration::from_secs(120));
    ended.exits(8).complains("rolled back");
    cluster
        .host(2)
        .assert_runs("10.77.1.2", "tars", &healthy("3.0.17"));
    cluster.host(2).assert_tidy();
    another_converges(&cluster, &machine, "3.0.18");
}

fn kill_changes(host: &Host) {
    for process in host.processes() {
        if process.command.contains("/change.sh") {
            let _ = host.sh(&format!("kill -9 {}", process.pid));
        }
    }
}

/// Both at once: nobody is left but the host's own cron.
#[test]
fn the_change_and_tarsops_die() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    run.signal(Signal::Kill);
    kill_changes(cluster.host(2));
    drop(run);
    let host = cluster.host(2);
    wait_until("cron ends the change", Duration::from_secs(90), || {
        !host.has(&format!("{STATE}/current"))
    });
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.17"));
    another_converges(&cluster, &machine, "3.0.18");
}

#[test]
fn the_host_reboots() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    cluster.host(2).reboot().unwrap();
    let ended = run.ends_within(Duration::from_secs(180));
    assert!(
        [0, 4, 8].contains(&ended.code),
        "{}\n{}",
        ended.code,
        ended.err
    );
    up_again(&cluster);
    another_converges(&cluster, &machine, "3.0.18");
}

/// The first Ctrl-C lets the running step end and begins no other; the second does not wait.
#[test]
fn ctrl_c_once() {
    let (cluster, machine) = before_an_upgrade();
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    run.signal(Signal::Int);
    run.ends_within(MINUTE)
        .exits(130)
        .complains("running steps are finished");
    cluster
        .host(2)
        .assert_runs("10.77.1.2", "tars", &healthy("3.0.18"));
    cluster
        .host(1)
        .assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    let lease = format!("{STATE}/lease");
    assert!(!cluster.host(1).has(&lease), "the lease is given back");
    another_converges(&cluster, &machine, "3.0.18");
}

#[test]
fn ctrl_c_twice() {
    let (cluster, machine) = before_an_upgrade();
    let mut run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    run.signal(Signal::Int);
    run.until_it_says("running steps are finished");
    run.signal(Signal::Int);
    let ended = run.ends_within(Duration::from_secs(5));
    ended.exits(130).complains("stopping at once");
    up_again(&cluster);
    another_converges(&cluster, &machine, "3.0.18");
}
