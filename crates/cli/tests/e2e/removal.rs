//! A node that is removed and comes back, with its crontab as it was.

use crate::support::*;

/// Removes the second node and takes the run back.
fn away_and_back(crontab: Option<&str>) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(2);
    if let Some(text) = crontab {
        host.set_crontab("tars", text.as_bytes());
        machine.in_sync();
    }
    let before = host.crontab("tars");
    assert!(
        before
            .as_ref()
            .is_some_and(|t| t.contains("tarsnode/util/monitor.sh"))
    );
    let mut spec = cluster.spec();
    spec.with_override("10.77.1.2: {state: absent, stop_servers: true}");
    machine.spec(&spec);
    machine.converge();
    let watched = host.crontab("tars").unwrap_or_default();
    assert!(!watched.contains("tarsnode"), "{watched}");
    machine
        .tarsops(["rollback", "-y"])
        .exits(0)
        .says("1 of 1 hosts are restored to their state before");
    assert_eq!(host.crontab("tars"), before);
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.17"));
    host.assert_tidy();
    machine.spec(&cluster.spec());
    machine.in_sync();
}

/// The monitor's line is all that it holds: the removal leaves no crontab, and the rollback makes one.
#[test]
fn a_crontab_with_only_our_line_comes_back() {
    away_and_back(None);
}

#[test]
fn a_crontab_with_other_lines_is_restored() {
    away_and_back(Some(&format!(
        "# theirs\n* * * * * {INSTALL}/tars/tarsnode/util/monitor.sh >/dev/null 2>&1\n7 7 * * * true\n"
    )));
}
