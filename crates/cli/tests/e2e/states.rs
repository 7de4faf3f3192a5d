//! Nodes that are to be absent, in maintenance or gone; packages from a living node.

use std::time::Duration;

use crate::support::*;

fn override_of(cluster: &Cluster, machine: &Machine, line: &str) {
    let mut spec = cluster.spec();
    spec.with_override(line);
    machine.spec(&spec);
}

#[test]
fn a_node_is_removed() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(3);
    let theirs = "# theirs\n7 7 * * * true\n";
    let own = host.crontab("tars").unwrap();
    host.set_crontab("tars", format!("{theirs}{own}").as_bytes());
    // A server that it runs, as far as anybody can tell.
    host.sh(&format!(
        "mkdir -p {INSTALL}/tars/tarsnode/data/App.S/bin && cp /bin/sleep {INSTALL}/tars/tarsnode/data/App.S/bin/S && \
         chown -R tars: {INSTALL}/tars/tarsnode/data && \
         (setsid {INSTALL}/tars/tarsnode/data/App.S/bin/S 3600 >/dev/null 2>&1 </dev/null &)"
    ))
    .unwrap();
    let servers = || {
        host.processes()
            .iter()
            .filter(|p| p.command.contains("/data/App.S/"))
            .count()
    };
    override_of(&cluster, &machine, "10.77.1.3: {state: absent}");
    machine.tarsops(["plan"]).exits(6).tells("stop_servers");
    machine.tarsops(["apply", "-y"]).exits(6);
    assert_eq!(
        (host.agents().len(), servers()),
        (1, 1),
        "nothing was stopped"
    );
    override_of(
        &cluster,
        &machine,
        "10.77.1.3: {state: absent, stop_servers: true}",
    );
    machine.tarsops(["plan"]).exits(2).says("1 to remove");
    machine.converge();
    assert_eq!((host.agents().len(), servers()), (0, 0));
    assert!(!host.has(&format!("{INSTALL}/tars/tarsnode")));
    assert_eq!(host.crontab("tars").unwrap_or_default(), theirs);
    host.assert_tidy();
    machine.in_sync();
    // And back, as nothing was thrown away.
    machine.tarsops(["rollback", "-y"]).exits(0);
    host.assert_runs("10.77.1.3", "tars", &healthy("3.0.17"));
}

#[test]
fn what_is_left_of_a_removed_node_is_stopped() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(2);
    host.set_crontab("tars", b"# theirs\n");
    host.sh(&format!("rm -rf {INSTALL}/tars/tarsnode")).unwrap();
    assert_eq!(host.agents().len(), 1);
    override_of(&cluster, &machine, "10.77.1.2: {state: absent}");
    machine
        .tarsops(["plan"])
        .exits(2)
        .says("remove what is left of tarsnode");
    machine.converge();
    assert_eq!(host.agents().len(), 0);
    assert!(!host.has(&format!("{INSTALL}/tars/tarsnode")));
    host.assert_tidy();
    machine.in_sync();
}

#[test]
fn maintenance_is_looked_at_and_left_alone() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(2);
    host.sh(&format!("sed -i 's/localip=.*/localip=10.77.1.99/' {CONF}"))
        .unwrap();
    override_of(
        &cluster,
        &machine,
        "10.77.1.2: {state: maintenance, reason: \"disk swap\", until: 2036-12-01}",
    );
    let before = host.snapshot();
    machine.tarsops(["apply", "-y"]).exits(0);
    assert_eq!(before.changes(&host.snapshot()), "");
    host.stop_sshd().unwrap();
    machine.tarsops(["apply", "-y"]).exits(0);
}

#[test]
fn what_is_gone_is_not_asked() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    cluster.host(3).link_down().unwrap();
    override_of(&cluster, &machine, "10.77.1.3: {state: gone}");
    cluster.reset_counts();
    machine.converge();
    assert_eq!(cluster.host(3).connections().unwrap(), 0);
}

/// As the handbook's third chapter does it: the agent is copied from a node that has it.
#[test]
fn a_package_from_a_living_node() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    machine.tarsops(["apply", "-y", "--on", "10.77.1.1"]);
    cluster
        .host(1)
        .assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    cluster.host(1).sh(&format!(
        "mkdir -p {INSTALL}/tars/tarsnode/data/tmp && echo secret > {INSTALL}/tars/tarsnode/data/tmp/x"
    )).unwrap();
    let other = cluster.bare_machine();
    let mut spec = cluster.spec();
    spec.packages = "node:10.77.1.1".to_owned();
    other.spec(&spec);
    other.lock();
    // Nobody but the spec says where packages come from.
    let honest = other.read("cluster.yaml.lock");
    for edited in [
        honest.replace("node:10.77.1.1", "node:10.77.1.2"),
        honest.replace("node:10.77.1.1", "node:10.9.9.9"),
    ] {
        other.write("cluster.yaml.lock", edited);
        for command in [&["validate"][..], &["plan"], &["apply", "-y"]] {
            let ran = other.tarsops(command);
            ran.exits(1)
                .tells("and the spec takes packages from node:10.77.1.1");
        }
    }
    other.write("cluster.yaml.lock", honest);
    other.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
    for n in [2, 3] {
        let host = cluster.host(n);
        assert!(!host.has(&format!("{INSTALL}/tars/tarsnode/data/tmp/x")));
        let ip = host.ip().to_string();
        assert!(
            host.conf().contains(&format!("localip={ip}")),
            "{}",
            host.conf()
        );
    }
    other.in_sync();
}

/// A source node whose file never ends, or is another one, or does not come: what had come is removed,
/// no process continues there, and nothing is changed.
#[test]
fn a_source_node_sends_no_more_than_the_pinned_binary() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine
        .tarsops(["apply", "-y", "--on", "10.77.1.1"])
        .tells("10.77.1.1");
    let source = cluster.host(1);
    let other = cluster.bare_machine();
    let mut spec = cluster.spec();
    spec.packages = "node:10.77.1.1".to_owned();
    other.spec(&spec);
    other.lock();
    let cat = |sends: &str| {
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = tars/tarsnode/bin/tarsnode ] || exec /bin/cat \"$@\"\n{sends}\n"
        );
        source.write("/usr/local/bin/cat", &script).unwrap();
        source.sh("chmod 755 /usr/local/bin/cat").unwrap();
    };
    let running = |what: &str| source.sh(&format!("pgrep -fx '{what}' || :")).unwrap();
    let untouched = || {
        assert!(!cluster.host(2).has(BINARY));
        assert_eq!(std::fs::read_dir(other.tmp()).unwrap().count(), 0);
    };

    cat("exec yes tarsops-endless");
    let ran = other.tarsops(["apply", "-y"]);
    ran.exits(4)
        .complains("could not copy the binary from node 10.77.1.1")
        .complains("it answered more than")
        .complains("larger than the pinned one");
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
    untouched();
    wait_until("the endless file ends", Duration::from_secs(60), || {
        running("yes tarsops-endless").is_empty()
    });

    cat("echo another one");
    other
        .tarsops(["apply", "-y"])
        .exits(1)
        .complains("is not the one that was pinned: its sha256 is");
    untouched();

    cat("echo no space >&2; exit 1");
    other
        .tarsops(["apply", "-y"])
        .exits(4)
        .complains("no space");
    untouched();

    // A signal removes what has come.
    cat("echo begun; exec sleep 4711");
    let mut run = other.start(["apply", "-y"]);
    let spooled = || {
        let folders = std::fs::read_dir(other.tmp()).unwrap().flatten();
        folders
            .filter_map(|f| std::fs::read_dir(f.path()).ok())
            .flatten()
            .count()
    };
    wait_until("the file begins", Duration::from_secs(60), || {
        spooled() > 0 && !running("sleep 4711").is_empty()
    });
    assert!(!run.is_over());
    run.signal(Signal::Int);
    run.ends_within(Duration::from_secs(10)).exits(130);
    untouched();
    // It writes nothing that could fail, so its own clock ends it: as `timeout 600` shows.
    assert!(!running("timeout -s KILL 600 .*").is_empty());
    source.sh("pkill -fx 'sleep 4711'").unwrap();
}
