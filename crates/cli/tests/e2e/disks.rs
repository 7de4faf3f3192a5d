//! Disks that are full or read-only.

use crate::support::*;

fn with_small_disk() -> (Cluster, Machine) {
    let mut small = HostOptions::numbered(1);
    small.small_disks = vec![SmallDisk {
        path: INSTALL.to_owned(),
        bytes: 256 << 20,
    }];
    let cluster = Cluster::of([HostOptions::numbered(0), small]);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    (cluster, machine)
}

#[test]
fn a_full_disk() {
    let (cluster, machine) = with_small_disk();
    let host = cluster.host(2);
    let state = host.state();
    host.fill_disk(INSTALL).unwrap();
    let ran = machine.tarsops(["apply", "-y"]);
    ran.exits(6).tells("MiB are free").tells("free space");
    assert_eq!(state.changes(&host.state()), "");
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.17"));
    host.free_disk(INSTALL).unwrap();
    machine.converge();
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.18"));
    host.assert_tidy();
    machine.in_sync();
}

#[test]
fn a_read_only_disk() {
    let (cluster, machine) = with_small_disk();
    let host = cluster.host(2);
    let state = host.state();
    host.remount_ro(INSTALL).unwrap();
    // The small disk itself is below the mount that is read-only now, or is it.
    machine
        .tarsops(["apply", "-y"])
        .exits(6)
        .tells("cannot be written");
    assert_eq!(state.changes(&host.state()), "");
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.17"));
    host.remount_rw(INSTALL).unwrap();
    machine.converge();
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.18"));
    host.assert_tidy();
}
