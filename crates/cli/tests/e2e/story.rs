//! The story of a cluster, from nothing to an upgrade that is taken back.

use crate::support::*;

#[test]
fn from_nothing_to_in_sync() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    machine.tarsops(["validate"]).exits(0);
    machine.tarsops(["plan"]).exits(2).says("Plan: 3 to add");
    machine.converge();
    machine.in_sync();
}
