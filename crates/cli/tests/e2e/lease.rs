//! Two controllers at once, dead ones and frozen ones.

use std::time::Duration;

use crate::support::*;

/// One line for each change that began on a host: its run.
fn runs(host: &Host) -> Vec<String> {
    let text = host
        .sh(&format!("ls {STATE}/runs 2>/dev/null || :"))
        .unwrap();
    text.lines().map(str::to_owned).collect()
}

fn held(cluster: &Cluster) -> bool {
    cluster.host(1).has(&format!("{STATE}/lease"))
}

fn slow(cluster: &Cluster, machine: &Machine) {
    let mut spec = cluster.spec();
    spec.with_rollout("settle: 4s")
        .with_rollout("max_parallel: 1");
    machine.spec(&spec);
}

#[test]
fn the_second_of_two_controllers_is_refused() {
    let cluster = Cluster::new(2);
    let first = cluster.machine();
    slow(&cluster, &first);
    let second = first.another(&cluster);
    slow(&cluster, &second);
    let run = first.start(["apply", "-y"]);
    wait_until("the lease", Duration::from_secs(60), || held(&cluster));
    second
        .tarsops(["apply", "-y"])
        .exits(7)
        .tells("tester@")
        .tells("nothing was changed");
    run.ends_within(Duration::from_secs(60)).exits(0);
    assert!(!held(&cluster));
    second.tarsops(["apply", "-y"]).exits(0).says("no changes");
    for host in &cluster.hosts {
        assert_eq!(runs(host).len(), 1, "{}", host.name());
    }
}

#[test]
fn many_controllers_at_once_act_once() {
    let cluster = Cluster::new(2);
    let first = cluster.machine();
    slow(&cluster, &first);
    let machines: Vec<_> = (0..4)
        .map(|_| {
            let machine = first.another(&cluster);
            slow(&cluster, &machine);
            machine
        })
        .collect();
    let running: Vec<_> = machines.iter().map(|m| m.start(["apply", "-y"])).collect();
    let mut codes: Vec<_> = running
        .into_iter()
        .map(|r| r.ends_within(Duration::from_secs(90)).code)
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 7, 7, 7]);
    for host in &cluster.hosts {
        assert_eq!(runs(host).len(), 1, "{}", host.name());
        host.assert_tidy();
    }
}

/// A holder that died frees the lease by itself; the next run ends what it left.
#[test]
fn a_dead_holder_frees_the_lease() {
    let cluster = Cluster::new(2);
    let first = cluster.machine();
    slow(&cluster, &first);
    let second = first.another(&cluster);
    let run = first.start(["apply", "-y"]);
    wait_until("the first step", Duration::from_secs(60), || {
        run.said().contains(" …")
    });
    run.signal(Signal::Kill);
    drop(run);
    second.tarsops(["apply", "-y"]).exits(7);
    wait_until("the lease runs out", Duration::from_secs(75), || {
        let again = second.tarsops(["apply", "-y"]);
        assert!(again.code == 0 || again.code == 7, "{}", again.err);
        again.code == 0
    });
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
    second.in_sync();
}

/// A controller that was frozen until its lease was another's does nothing more.
#[test]
fn a_frozen_holder_is_fenced_off() {
    let cluster = Cluster::new(3);
    let first = cluster.machine();
    slow(&cluster, &first);
    let second = first.another(&cluster);
    let frozen = first.start(["apply", "-y"]);
    wait_until("the first step", Duration::from_secs(60), || {
        frozen.said().contains(" …")
    });
    frozen.signal(Signal::Stop);
    // Its heart does not beat any more, so the lease runs out.
    wait_until("the lease runs out", Duration::from_secs(90), || {
        second.tarsops(["apply", "-y"]).code == 0
    });
    let before: Vec<_> = cluster.hosts.iter().map(runs).collect();
    let agents: Vec<_> = cluster.hosts.iter().map(HostExt::agent).collect();
    frozen.signal(Signal::Cont);
    let ended = frozen.ends_within(Duration::from_secs(120));
    assert!(
        [0, 4, 5, 7].contains(&ended.code),
        "{}\n{}",
        ended.code,
        ended.err
    );
    for ((host, before), agent) in cluster.hosts.iter().zip(&before).zip(&agents) {
        assert_eq!(
            &runs(host),
            before,
            "{}: it acted without a lease",
            host.name()
        );
        assert_eq!(&host.agent(), agent, "{}", host.name());
    }
    second.in_sync();
}
