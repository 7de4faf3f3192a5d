//! A launch that arrives after its time: what a frozen controller or a slow network held back.

use std::time::Duration;

use crate::support::*;

/// A login shell that holds the first launch back until it is told to continue.
const HOLDS: &str = r#"#!/bin/sh
exec 3>/tmp/in.$$
cat >&3
if grep -q "^L_MODE='start'" /tmp/in.$$ && mkdir /tmp/held 2>/dev/null; then
  while [ ! -e /tmp/go ]; do sleep 0.05; done
fi
exec /bin/sh "$@" </tmp/in.$$
"#;

/// The holder is frozen after its last look at the lease, with the launch on its way. Whether the run
/// that came after it changed the host or had nothing to do there: nothing begins, and nothing is made.
fn arrives_late(changes: bool) {
    let cluster = Cluster::new(2);
    let first = cluster.machine();
    first.converge();
    let host = cluster.host(2);
    first.package("3.0.18", Layout::Full, Behaviour::Healthy);
    first.package("3.0.19", Layout::Full, Behaviour::Healthy);
    let spec = |version: &str, second: &str| {
        let mut spec = cluster.spec();
        version.clone_into(&mut spec.version);
        spec.with_rollout("max_parallel: 1");
        spec.with_override(format!("{}: {{version: {second}}}", node(2)));
        spec
    };
    first.spec(&spec("3.0.18", "3.0.19"));
    first.lock();
    let second = first.another(&cluster);
    host.write("/usr/local/bin/holds", HOLDS).unwrap();
    host.sh("chmod 755 /usr/local/bin/holds && usermod -s /usr/local/bin/holds ops")
        .unwrap();
    first.spec(&spec("3.0.17", "3.0.18"));
    let frozen = first.start(["apply", "-y"]);
    wait_until("the launch is on its way", Duration::from_secs(60), || {
        host.has("/tmp/held")
    });
    frozen.signal(Signal::Stop);
    let stays = if changes { "3.0.19" } else { "3.0.17" };
    second.spec(&spec("3.0.18", stays));
    wait_until("the lease runs out", Duration::from_secs(120), || {
        second.tarsops(["apply", "-y"]).code == 0
    });
    let before = (
        host.agent(),
        host.state(),
        host.sh(&format!("ls {STATE}/runs")).unwrap(),
    );
    host.assert_runs("10.77.1.2", "tars", &healthy(stays));
    host.write("/tmp/go", "").unwrap();
    frozen.signal(Signal::Cont);
    let ended = frozen.ends_within(Duration::from_secs(120));
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert_eq!(host.agent(), before.0);
    assert_eq!(host.sh(&format!("ls {STATE}/runs")).unwrap(), before.2);
    assert_eq!(before.1.changes(&host.state()), "");
    // What was uploaded for it waits for a change that needs it.
    host.sh(&format!("rm -f {STATE}/stage/*")).unwrap();
    host.assert_tidy();
    second.in_sync();
}

#[test]
fn on_a_host_that_the_newer_run_has_changed() {
    arrives_late(true);
}

#[test]
fn on_a_host_where_the_newer_run_had_nothing_to_do() {
    arrives_late(false);
}
