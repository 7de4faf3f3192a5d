//! What is refused, with nothing changed.

use crate::support::*;

/// A converged cluster of two that is asked for 3.0.18, with all that a change could touch.
fn asked() -> (Cluster, Machine, Vec<Snapshot>) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let states = cluster.hosts.iter().map(HostExt::state).collect();
    (cluster, machine, states)
}

#[track_caller]
fn unchanged(cluster: &Cluster, states: &[Snapshot]) {
    for (host, state) in cluster.hosts.iter().zip(states) {
        assert_eq!(state.changes(&host.state()), "", "{}", host.name());
        host.assert_tidy();
    }
}

#[test]
fn a_plan_whose_facts_have_moved() {
    let (cluster, machine, _) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    for host in &cluster.hosts {
        host.sh(&format!("chmod 755 {BINARY} && mv {BINARY} {BINARY}.x && cp {BINARY}.x {BINARY} && rm {BINARY}.x && echo >> {BINARY}")).unwrap();
    }
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    machine.tarsops(["apply", "-y", "p.json"]).exits(5);
    unchanged(&cluster, &states);
}

#[test]
fn a_plan_for_another_spec() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    let mut spec = cluster.spec();
    spec.with_rollout("canary: 0");
    spec.version = "3.0.18".to_owned();
    machine.spec(&spec);
    machine
        .tarsops(["apply", "-y", "p.json"])
        .exits(5)
        .tells("plan again");
    unchanged(&cluster, &states);
}

#[test]
fn a_plan_that_was_edited() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    let text = machine.read("p.json");
    for (from, to) in [
        ("/usr/local/app/tars", "/usr/local/app/other"),
        ("tarsnode/bin/tarsnode", "../../etc/passwd"),
        ("bin/tarsnode", "../../../../../etc/passwd"),
    ] {
        if !text.contains(from) {
            continue;
        }
        machine.write("p.json", text.replace(from, to));
        let ran = machine.tarsops(["apply", "-y", "p.json"]);
        assert!(
            [1, 6].contains(&ran.code),
            "{from}: {}\n{}",
            ran.code,
            ran.err
        );
    }
    machine.write("p.json", &text[..text.len() / 2]);
    machine
        .tarsops(["apply", "-y", "p.json"])
        .exits(1)
        .tells("p.json");
    unchanged(&cluster, &states);
}

#[test]
fn a_package_that_is_not_the_pinned_one() {
    let (cluster, machine, states) = asked();
    machine.package("3.0.18", Layout::Full, Behaviour::CrashAtStart);
    for command in [["plan", "-v"], ["apply", "-y"]] {
        machine.tarsops(command).exits(1).tells("package lock");
    }
    let gone = machine.repo("packages/3.0.18");
    std::fs::rename(&gone, machine.repo("elsewhere")).unwrap();
    machine
        .tarsops(["plan"])
        .exits(2)
        .complains("not on this machine");
    machine
        .tarsops(["apply", "-y"])
        .exits(1)
        .tells("not on this machine");
    unchanged(&cluster, &states);
}

/// A binary that nobody knows is not replaced until somebody says what it is.
#[test]
fn a_binary_that_nobody_knows() {
    let (cluster, machine, _) = asked();
    let host = cluster.host(2);
    host.sh(&format!("cp {BINARY} {BINARY}.x && echo more >> {BINARY}.x && chown tars: {BINARY}.x && mv {BINARY}.x {BINARY}")).unwrap();
    let found = host.sha256(BINARY);
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    let plan = machine.tarsops(["plan"]);
    assert!([4, 6].contains(&plan.code), "{}\n{}", plan.code, plan.out);
    plan.tells(&found[..8]).tells("package add");
    machine.tarsops(["apply", "-y", "--on", "10.77.1.2"]);
    unchanged(&cluster, &states);
    machine
        .tarsops([
            "package",
            "add",
            "--component",
            "tarsnode",
            "--version",
            "3.0.17",
            &found,
        ])
        .exits(0);
    machine.converge();
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.18"));
    machine.in_sync();
}

#[test]
fn one_machine_under_two_names() {
    let (cluster, machine, _) = asked();
    let id = cluster.host(1).sh("cat /etc/machine-id").unwrap();
    cluster
        .host(2)
        .write("/etc/machine-id", format!("{id}\n"))
        .unwrap();
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    machine.tarsops(["plan"]).exits(6).tells("machine");
    machine.tarsops(["apply", "-y"]).exits(6);
    unchanged(&cluster, &states);
}

#[test]
fn a_downgrade_without_leave() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.16", Behaviour::Healthy);
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    // The binary that runs must be known as newer.
    let newer = healthy("3.0.17");
    machine
        .tarsops([
            "package",
            "add",
            "--component",
            "tarsnode",
            "--version",
            "3.0.17",
            &newer,
        ])
        .exits(0);
    machine.tarsops(["plan"]).exits(6).tells("allow_downgrade");
    machine.tarsops(["apply", "-y"]).exits(6);
    unchanged(&cluster, &states);
    let mut spec = cluster.spec();
    spec.version = "3.0.16".to_owned();
    spec.with_framework("allow_downgrade: true");
    machine.spec(&spec);
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.16"));
    }
}

#[test]
fn an_apply_that_nobody_confirms() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["apply"]).exits(64).tells("-y");
    unchanged(&cluster, &states);
}

#[test]
fn a_rebuild() {
    let (cluster, machine, states) = asked();
    let text = machine.read("cluster.yaml");
    machine.write("cluster.yaml", format!("{text}rebuild: true\n"));
    for command in [["plan", "-v"], ["apply", "-y"]] {
        machine
            .tarsops(command)
            .exits(3)
            .tells("rebuild")
            .tells("cluster.yaml:");
    }
    unchanged(&cluster, &states);
}

/// Each document says its format, and nothing else is on standard output.
#[test]
fn json_is_json() {
    let (_cluster, machine, _) = asked();
    machine
        .tarsops(["plan", "--json"])
        .exits(2)
        .json("tarsops.plan/1");
    machine
        .tarsops(["drift", "--json"])
        .exits(2)
        .json("tarsops.drift/1");
    machine
        .tarsops(["status", "--json"])
        .exits(2)
        .json("tarsops.status/1");
    machine
        .tarsops(["apply", "-y", "--json"])
        .exits(0)
        .json("tarsops.apply/1");
    machine
        .tarsops(["history", "--json"])
        .exits(0)
        .json("tarsops.history/1");
    machine
        .tarsops(["rollback", "-y", "--json"])
        .exits(0)
        .json("tarsops.rollback/1");
}
