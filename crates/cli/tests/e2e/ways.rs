//! Ways to a host: shells, jump hosts, keys, and hosts that do not answer.

use std::net::Ipv4Addr;
use std::time::Duration;

use tarsops_standin::database::{self, MariaDb, MariaDbOptions, Rights, Schema};

use crate::support::*;

#[test]
fn poor_hosts_are_hosts_too() {
    let bare = |n: u8, programs: &[&str]| {
        let mut options = HostOptions::numbered(n);
        options.hide = programs.iter().map(|p| (*p).to_owned()).collect();
        options
    };
    let cluster = Cluster::of([
        HostOptions::numbered(0),
        HostOptions::numbered(1).busybox(),
        bare(2, &["ss", "pgrep", "sha256sum"]),
    ]);
    let machine = cluster.machine();
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
    machine.in_sync();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.18"));
        host.assert_tidy();
    }
    machine.in_sync();
}

#[test]
fn through_a_jump_host() {
    let inner = Ipv4Addr::new(10, 78, 1, 2);
    let mut gate = HostOptions::numbered(0);
    gate.addresses.push(Ipv4Addr::new(10, 78, 1, 1));
    let cluster = Cluster::of([gate, HostOptions::new("n2", inner)]);
    let machine = cluster.machine();
    let mut spec = cluster.spec();
    spec.with_override(format!("{inner}: {{ssh: {{jump: ops@10.77.1.1}}}}"));
    machine.spec(&spec);
    machine.lock();
    cluster.reset_counts();
    machine.tarsops(["plan"]).exits(2).says("2 to add");
    assert_eq!(cluster.host(2).connections().unwrap(), 1);
    assert_eq!(cluster.host(2).execs().unwrap(), 1);
    machine.converge();
    cluster
        .host(2)
        .assert_runs("10.78.1.2", "tars", &healthy("3.0.17"));
    machine.in_sync();
}

#[test]
fn a_host_with_another_key_is_refused() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    cluster.host(2).change_host_key().unwrap();
    let before = cluster.host(2).snapshot();
    machine
        .tarsops(["plan"])
        .exits(2)
        .tells("10.77.1.2")
        .tells("key");
    machine
        .tarsops(["plan", "--accept-new-host-keys"])
        .exits(2)
        .tells("key");
    machine
        .tarsops(["apply", "-y"])
        .exits(4)
        .tells("nothing was changed");
    assert_eq!(before.changes(&cluster.host(2).snapshot()), "");
    assert!(!cluster.host(1).has(&format!("{INSTALL}/tars")));
}

#[test]
fn new_hosts_are_enrolled_on_purpose_only() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.write("known_hosts", "");
    machine
        .tarsops(["plan"])
        .exits(4)
        .tells("--accept-new-host-keys");
    assert_eq!(machine.read("known_hosts"), "");
    machine.tarsops(["plan", "--accept-new-host-keys"]).exits(2);
    assert!(machine.read("known_hosts").lines().count() >= 2);
    machine.tarsops(["plan"]).exits(2).says("2 to add");
}

#[test]
fn silent_hosts_are_data() {
    let cluster = Cluster::new(5);
    let machine = cluster.machine();
    cluster.host(3).stop_sshd().unwrap();
    cluster.host(4).link_down().unwrap();
    cluster.host(5).freeze().unwrap();
    let plan = machine.tarsops(["plan", "--timeout", "5"]);
    // What is proven to differ is not hidden by hosts that are silent.
    plan.exits(2).says("2 to add").says("3 unknown");
    for n in 3..=5 {
        plan.tells(&node(n));
    }
    assert!(plan.took < Duration::from_secs(15), "{:?}", plan.took);
    machine.tarsops(["drift", "--timeout", "5"]).exits(2);
    machine.tarsops(["status", "--timeout", "5"]).exits(2);
    machine
        .tarsops(["drift", "--timeout", "5", "--on", "10.77.1.3"])
        .exits(4);
    machine
        .tarsops(["apply", "-y", "--timeout", "5"])
        .exits(4)
        .tells("max_unreachable")
        .tells("nothing was changed");
    assert!(!cluster.host(2).has(&format!("{INSTALL}/tars")));
    let mut spec = cluster.spec();
    spec.with_rollout("max_unreachable: 3");
    machine.spec(&spec);
    machine.tarsops(["apply", "-y", "--timeout", "5"]).exits(4);
    for n in [1, 2] {
        let host = cluster.host(n);
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
    }
    cluster.host(3).start_sshd().unwrap();
    cluster.host(4).link_up().unwrap();
    cluster.host(5).thaw().unwrap();
    machine.converge();
    machine.in_sync();
}

#[test]
fn an_operator_without_sudo_hears_of_it() {
    let mut poor = HostOptions::numbered(1);
    poor.sudo = false;
    let cluster = Cluster::of([HostOptions::numbered(0), poor]);
    let machine = cluster.machine();
    machine
        .tarsops(["plan"])
        .exits(2)
        .tells("10.77.1.2")
        .tells("sudo");
}

/// The framework's servants and its database are reached through the SSH connections that stand
/// anyway: nothing of it listens where the control machine could connect.
#[test]
fn servants_and_database_through_ssh() {
    database::require_or_fail();
    let mut closed = HostOptions::numbered(2);
    closed.sshd_config = "AllowTcpForwarding no\nAllowStreamLocalForwarding no\n".to_owned();
    let cluster = Cluster::of([HostOptions::numbered(0), HostOptions::numbered(1), closed]);
    let machine = cluster.machine();
    machine.converge();
    let folder = tempfile::tempdir().unwrap();
    let options = MariaDbOptions {
        ip: Ipv4Addr::new(10, 77, 0, 1).into(),
        ..MariaDbOptions::default()
    };
    let server = cluster
        .network
        .inside(|| MariaDb::start(folder.path(), &options))
        .unwrap()
        .unwrap();
    server.load(Schema::AfterConsole).unwrap();
    server.fill().unwrap();
    server.account("ops", "s3cret word", Rights::All).unwrap();
    machine.write("password", "s3cret word");
    // Only the SSH connection of node 2 may bring anybody to the database.
    server
        .root_sql("RENAME USER ops@'%' TO ops@'10.77.1.2'")
        .unwrap();
    let mut spec = cluster.spec();
    spec.rpc = "ssh".to_owned();
    spec.more = format!(
        "database:\n  address: {}\n  user: ops\n  password: {{file: ./password}}\n",
        server.address()
    );
    machine.spec(&spec);
    let refused = machine.tarsops(["check"]);
    refused.exits(4).says("does not let ops in").hides("s3cret");
    spec.more.push_str("  via: 10.77.1.2\n");
    machine.spec(&spec);
    cluster.reset_counts();
    // Its rows are another cluster's: they were read.
    let checked = machine.tarsops(["check"]);
    checked
        .exits(6)
        .says("none of them is in the spec")
        .hides("s3cret");
    let status = machine.tarsops(["status", "-v"]);
    let line = |n: u8| {
        let start = format!("agent/{} ", node(n));
        let found = status.out.lines().find(|l| l.starts_with(&start));
        found.unwrap_or_default().to_owned()
    };
    assert!(line(2).contains("rpc: ServerObj answers"), "{}", status.out);
    // A server that forwards nothing proves nothing.
    assert!(line(3).contains("forwards nothing"), "{}", status.out);
    let unknown = machine.tarsops(["plan"]);
    unknown.exits(6).says("0 to add, 0 to change, 0 to remove");
    for n in 1..=3 {
        let host = cluster.host(n);
        assert_eq!(host.connections().unwrap(), 3, "{}", host.name());
    }
}
