//! The core services on real hosts: OpenSSH, cron, sudo, MariaDB; a host that is rebooted.

use std::time::Duration;

use crate::support::framework::{self, CONTROL, PASSWORD};
use crate::support::*;
use tarsops_standin::standin::Timings;

const CORE: [&str; 4] = [
    "tarsregistry",
    "tarsAdminRegistry",
    "tarsconfig",
    "tarspatch",
];
const MINUTES: Duration = Duration::from_secs(150);

/// Not a test: what [`framework::start_database`] starts this binary for.
#[test]
#[ignore = "the database of a test, kept by this binary"]
fn keep_database() {
    framework::kept_database();
}

/// The digest of the one process of a component that runs the file that is there.
fn runs(host: &Host, component: &str) -> Option<String> {
    let script = format!(
        "for p in /proc/[0-9]*; do
           [ \"$(readlink $p/exe)\" = {INSTALL}/tars/{component}/bin/{component} ] && sha256sum <$p/exe
         done | cut -d' ' -f1"
    );
    let told = host.sh(&script).unwrap_or_default();
    let mut lines = told.lines();
    let one = lines.next()?.to_owned();
    lines.next().is_none().then_some(one)
}

#[test]
fn a_whole_upgrade_a_reboot_and_the_way_back() {
    let cluster = Cluster::new(3);
    let words = ["--exact", "core::keep_database", "--ignored", "--nocapture"];
    let (mut keeper, port) = framework::start_database(&cluster, &words);
    let tables = framework::database(port);
    for (host, (ip, components)) in cluster.hosts.iter().zip(framework::members()) {
        framework::start_components(host, ip, &components, &tables, Timings::faster(8));
    }
    let machine = cluster.machine();
    machine.write("password", PASSWORD);
    let ask = |version: &str| {
        let mut spec = cluster.spec();
        version.clone_into(&mut spec.version);
        spec.nodes[1] = format!("{{name: {}, roles: [slave]}}", node(2));
        spec.registries = vec!["10.77.1.1:17890".into(), "10.77.1.2:17890".into()];
        spec.rpc = "direct".into();
        spec.with_rollout("settle: 1s");
        spec.with_rollout("registry_settle: 2s");
        spec.with_rollout("deadline: 60s");
        spec.more = format!(
            "database:\n  address: {CONTROL}:{port}\n  user: tarsAdmin\n  \
             password: {{file: ./password}}\n"
        );
        machine.spec(&spec);
        machine.lock();
    };
    for version in ["3.0.17", "3.0.18"] {
        machine.package(version, Layout::Full, Behaviour::Healthy);
        machine.components(version, &CORE, Behaviour::Healthy);
    }
    ask("3.0.17");
    machine.converge();
    wait_until("all to agree", MINUTES, || {
        machine.tarsops(["plan"]).code == 0
    });
    let before: Vec<_> = CORE.iter().map(|c| runs(cluster.host(1), c)).collect();
    assert!(before.iter().all(Option::is_some), "{before:?}");

    ask("3.0.18");
    let applied = machine.tarsops(["apply", "-y"]);
    applied.exits(0).says("9 done");
    let after: Vec<_> = CORE.iter().map(|c| runs(cluster.host(1), c)).collect();
    assert!(after.iter().all(Option::is_some), "{after:?}");
    assert!(before.iter().zip(&after).all(|(a, b)| a != b));
    assert_eq!(runs(cluster.host(2), "tarsregistry"), after[0]);
    assert_eq!(runs(cluster.host(2), "tarsconfig"), after[2]);
    machine.in_sync();

    // A framework host comes back by itself: cron starts tarsnode, and tarsnode its servers.
    cluster.host(2).reboot().unwrap();
    wait_until("the slave is back", MINUTES, || {
        ["tarsregistry", "tarsconfig", "tarsnotify"]
            .iter()
            .all(|c| runs(cluster.host(2), c).is_some())
    });
    assert_eq!(runs(cluster.host(2), "tarsregistry"), after[0]);
    wait_until("all to agree", MINUTES, || {
        machine.tarsops(["drift"]).code == 0
    });

    let history = machine
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    let run = history["runs"][0]["run"].as_str().unwrap().to_owned();
    machine
        .tarsops(["history", &run])
        .exits(0)
        .says("  tarsregistry@10.77.1.")
        .says("  tarspatch@10.77.1.1  ");
    machine.tarsops(["rollback", "-y", &run]).exits(0);
    let back: Vec<_> = CORE.iter().map(|c| runs(cluster.host(1), c)).collect();
    assert_eq!(back, before);
    drop(keeper.stdin.take());
    keeper.wait().unwrap();
}
