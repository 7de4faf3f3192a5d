//! What looking costs: one connection and one exec per host, and nothing stays behind.

use std::time::Duration;

use crate::support::*;

/// SSH clients on the control side of the network, which is this test's own.
fn masters(machine: &Machine) -> Vec<String> {
    machine
        .processes()
        .into_iter()
        .filter(|p| {
            let program = p.split(' ').next().unwrap_or_default();
            program.ends_with("/ssh") || program == "ssh" || program == "ssh:"
        })
        .collect()
}

fn plan_costs_one_of_each(n: u8) {
    let cluster = Cluster::new(n);
    let machine = cluster.machine();
    cluster.reset_counts();
    machine.tarsops(["plan"]).exits(2);
    for host in &cluster.hosts {
        let seen = (host.connections().unwrap(), host.execs().unwrap());
        assert_eq!(seen, (1, 1), "{}: connections, execs", host.name());
    }
    assert_eq!(masters(&machine), Vec::<String>::new(), "left by the run");
    let left: Vec<_> = std::fs::read_dir(machine.tmp())
        .unwrap()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Masters of a run that is killed end by themselves.
#[test]
fn a_killed_run_leaves_no_master_for_long() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    let mut run = machine.command(["apply", "-y"]).spawn().unwrap();
    wait_until("the run connects", Duration::from_secs(20), || {
        !masters(&machine).is_empty()
    });
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("the masters end", Duration::from_secs(60), || {
        masters(&machine).is_empty()
    });
}

#[test]
fn a_plan_over_3_hosts() {
    plan_costs_one_of_each(3);
}

#[test]
fn a_plan_over_20_hosts() {
    plan_costs_one_of_each(20);
}
