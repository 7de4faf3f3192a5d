//! The story of a cluster, from nothing to an upgrade that is rolled back.

use std::time::Duration;

use crate::support::*;

#[test]
fn from_nothing_to_in_sync() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    machine.tarsops(["validate"]).exits(0);
    machine.tarsops(["plan"]).exits(2).says("Plan: 3 to add");
    machine.converge();
    for n in 1..=3 {
        let host = cluster.host(n);
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
        assert_eq!(
            host.crontab("tars").unwrap().matches("monitor.sh").count(),
            1
        );
    }
    machine.in_sync();
    machine.tarsops(["drift"]).exits(0).is_quiet();
}

/// What is in sync is not written to, not even to remember that it was looked at.
#[test]
fn a_second_apply_writes_nothing() {
    let cluster = Cluster::new(3);
    let machine = cluster.bare_machine();
    // The agent itself must not write meanwhile.
    let still =
        Identity::new("3.0.17", Behaviour::Healthy).rewriting_after(Duration::from_secs(3600));
    machine.package_of("3.0.17", Layout::Full, &still);
    machine.lock();
    machine.converge();
    let before: Vec<_> = cluster.hosts.iter().map(HostExt::snapshot).collect();
    machine.tarsops(["apply", "-y"]).exits(0).says("no changes");
    for (host, before) in cluster.hosts.iter().zip(&before) {
        let changes = before.changes(&host.snapshot());
        assert_eq!(changes, "", "{}", host.name());
    }
}

/// What people do to a host at night, one host each; found, named and put right.
#[test]
fn manual_drift_is_found_and_corrected() {
    let cluster = Cluster::of((0..8).map(|n| {
        // Their monitors would start what is killed.
        let mut options = HostOptions::numbered(n);
        options.cron = n != 4;
        options
    }));
    let machine = cluster.machine();
    machine.converge();
    let other = "MAILTO=\"\"\n# by hand, with  two blanks\n*/5 * * * * true   # theirs\n";
    let sed = |n: usize, edit: &str, path: &str| {
        cluster
            .host(n)
            .sh(&format!("sed -i '{edit}' {path}"))
            .unwrap();
    };
    sed(2, "s/localip=.*/localip=10.77.1.99/", CONF);
    sed(
        3,
        "s/nodeid=\"10.77.1.3\"/nodeid=\"10.77.1.1\"/",
        &format!("{UTIL}/execute.sh"),
    );
    cluster.host(4).set_crontab("tars", other.as_bytes());
    cluster.host(5).kill_agents();
    cluster
        .host(6)
        .sh(&format!("chown -R ops: {INSTALL}/tars/tarsnode/conf"))
        .unwrap();
    cluster
        .host(7)
        .set_crontab("tars", format!("{other}{MONITOR}\n{MONITOR}\n").as_bytes());
    sed(8, "s/10.77.1.1 -p 17890/10.77.1.9 -p 17890/", CONF);
    let found = machine.tarsops(["drift"]);
    found.exits(2);
    for n in 2..=8 {
        found.says(&node(n));
    }
    machine.converge();
    for n in 1..=8 {
        let host = cluster.host(n);
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
    for n in [4, 7] {
        let text = cluster.host(n).crontab("tars").unwrap();
        assert!(text.contains(other), "{text}");
        assert_eq!(text.matches("monitor.sh").count(), 1, "{text}");
    }
    machine.tarsops(["drift"]).exits(0).is_quiet();
}

/// A saved plan is applied with the `--on` that it was made with: it is done when that is, whatever
/// else differs.
#[test]
fn a_saved_plan_of_one_host() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let on = cluster.hosts[0].ip().to_string();
    machine
        .tarsops(["plan", "-o", "one.plan", "--on", &on])
        .exits(2)
        .says("1 to change");
    let other = cluster.hosts[1].ip().to_string();
    machine
        .tarsops(["apply", "-y", "one.plan", "--on", &other])
        .exits(64)
        .tells(&format!(
            "made with --on {on}, and this is with --on {other}"
        ));
    machine
        .tarsops(["apply", "-y", "one.plan"])
        .exits(64)
        .tells("and this is without --on");
    machine
        .tarsops(["apply", "-y", "one.plan", "--on", &on])
        .exits(0)
        .says("converged");
    let versions = ["3.0.18", "3.0.17"];
    for (host, version) in cluster.hosts.iter().zip(versions) {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy(version));
    }
    machine.tarsops(["plan"]).exits(2).says("1 to change");
}

/// An upgrade by a saved plan, canary first, then rolled back from a machine that never saw it.
#[test]
fn an_upgrade_and_back() {
    let cluster = Cluster::new(4);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine
        .tarsops(["plan", "-o", "next.plan"])
        .exits(2)
        .says("4 to change");
    let applied = machine.tarsops(["apply", "-y", "next.plan"]);
    applied.exits(0).complains("batch 1: 1 host");
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.18"));
    }
    machine.in_sync();
    // A plan that was carried out is stale from then on.
    machine
        .tarsops(["apply", "-y", "next.plan"])
        .exits(5)
        .tells("nothing that can be seen differs there");
    let other = machine.another(&cluster);
    other
        .tarsops(["history"])
        .exits(0)
        .says("4 ok")
        .says("by tester@");
    other
        .tarsops(["rollback", "-y"])
        .exits(0)
        .says("4 of 4 hosts");
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
    other.tarsops(["plan"]).exits(2).says("4 to change");
}

/// A version that dies at once: the canary is restored, nobody else is touched.
#[test]
fn an_upgrade_that_fails_stops_at_the_canary() {
    let cluster = Cluster::new(4);
    let machine = cluster.machine();
    machine.converge();
    machine.package("3.0.18", Layout::Full, Behaviour::CrashAtStart);
    let mut spec = cluster.spec();
    spec.version = "3.0.18".to_owned();
    spec.with_rollout("deadline: 5s");
    machine.spec(&spec);
    machine.lock();
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    let failed = machine.tarsops(["apply", "-y"]);
    failed.exits(8).complains("rolled back").complains("    | ");
    let acted = |host: &Host| {
        let runs = host.sh(&format!("ls {STATE}/runs | wc -l")).unwrap();
        runs.trim().parse::<u32>().unwrap() > 1
    };
    let touched: Vec<&str> = cluster
        .hosts
        .iter()
        .filter(|h| acted(h))
        .map(Host::name)
        .collect();
    assert_eq!(touched, ["n2"], "only the canary");
    for (host, state) in cluster.hosts.iter().zip(&states) {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
        assert_eq!(state.changes(&host.state()), "", "{}", host.name());
    }
}

/// The spec asks host 3 for a version that never listens, after the canary went well.
fn fails_on_host_3(on_failure: &str) -> (Cluster, Ran) {
    let cluster = Cluster::new(4);
    let machine = cluster.machine();
    machine.converge();
    machine.package("3.0.18", Layout::Full, Behaviour::Healthy);
    machine.package("3.0.19", Layout::Full, Behaviour::NeverListens);
    let mut spec = cluster.spec();
    spec.version = "3.0.18".to_owned();
    spec.with_override("10.77.1.3: {version: 3.0.19}");
    spec.with_rollout("deadline: 4s")
        .with_rollout("max_parallel: 1");
    spec.with_rollout(format!("on_failure: {on_failure}"));
    machine.spec(&spec);
    machine.lock();
    let failed = machine.tarsops(["apply", "-y"]);
    failed.exits(8);
    (cluster, failed)
}

#[test]
fn on_failure_rollback_all_takes_the_run_back() {
    let (cluster, failed) = fails_on_host_3("rollback-all");
    failed.complains("does not listen");
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
}

#[test]
fn on_failure_stop_leaves_it_to_be_looked_at() {
    let (cluster, _) = fails_on_host_3("stop");
    let never = digest("3.0.19", Behaviour::NeverListens);
    assert_eq!(cluster.host(3).sha256(BINARY), never);
    assert_eq!(cluster.host(2).sha256(BINARY), healthy("3.0.18"));
    assert_eq!(cluster.host(4).sha256(BINARY), healthy("3.0.17"));
    cluster.host(3).assert_tidy();
}
