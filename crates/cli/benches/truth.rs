//! What asking the framework adds to a plan. The same twenty warm hosts are planned with `rpc: none`
//! and no database, and with `rpc: direct` and a database, turn by turn.
//!
//! The hosts are made of namespaces, as those of `warm_plan` are, and need root: real `sshd` and
//! `sudo`, so that the plan without the framework costs what it costs elsewhere. On the embedded
//! cluster one process would serve all twenty, and the pass beside it would look cheaper than it is.
//! MariaDB is real; registries, AdminRegistry and nodes are stand-ins that answer, as often as the
//! framework itself does its background work.
//!
//! Prints both medians and their ratio; ends with 1 where the ratio is above 1.20.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use support::framework::{self, CONTROL, PASSWORD};
use support::{Cluster, Machine, Spec, wait_until};
use tarsops_standin::standin::Timings;

const HOSTS: u8 = 20;
const ROUNDS: usize = 15;
const LIMIT: f64 = 1.20;
/// The spec; with the framework where there is a port of the database.
fn spec(cluster: &Cluster, port: Option<u16>) -> Spec {
    let mut spec = cluster.spec();
    spec.nodes[1] = format!("{{name: {}, roles: [slave]}}", support::node(2));
    spec.registries = vec!["10.77.1.1:17890".into(), "10.77.1.2:17890".into()];
    if let Some(port) = port {
        spec.rpc = "direct".into();
        spec.more = format!(
            "database:\n  address: {CONTROL}:{port}\n  user: tarsops\n  \
             password: {{file: ./password}}\n"
        );
    }
    spec
}

fn plan(machine: &Machine, file: &str) -> Duration {
    let ran = machine.tarsops(["--file", file, "plan"]);
    ran.exits(0);
    ran.took
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

fn main() -> ExitCode {
    if framework::kept_database() {
        return ExitCode::SUCCESS;
    }
    let cluster = Cluster::new(HOSTS);
    let (mut keeper, port) = framework::start_database(&cluster, &[]);
    let tables = framework::database(port);
    for (host, (ip, components)) in cluster.hosts.iter().zip(framework::members()) {
        framework::start_components(host, ip, &components, &tables, Timings::default());
    }
    let machine = cluster.machine();
    machine.write("password", PASSWORD);
    machine.write("cluster.yaml", spec(&cluster, None).text());
    machine.write("truth.yaml", spec(&cluster, Some(port)).text());
    machine.lock();
    machine.write("truth.yaml.lock", machine.read("cluster.yaml.lock"));
    machine
        .tarsops(["--file", "truth.yaml", "apply", "-y"])
        .exits(0);
    machine.in_sync();
    wait_until("the framework to agree", Duration::from_secs(60), || {
        machine.tarsops(["--file", "truth.yaml", "plan"]).code == 0
    });
    let (mut hosts, mut truth) = (vec![], vec![]);
    for round in 0..ROUNDS {
        // Whatever else the machine does meets both alike.
        for turn in [round % 2, (round + 1) % 2] {
            match turn {
                0 => hosts.push(plan(&machine, "cluster.yaml")),
                _ => truth.push(plan(&machine, "truth.yaml")),
            }
        }
    }
    let (hosts, truth) = (median(hosts), median(truth));
    let ratio = truth / hosts;
    let _ = writeln!(
        std::io::stdout(),
        "plan over {HOSTS} hosts, warm, median of {ROUNDS}: {hosts:.0} ms without the framework, \
         {truth:.0} ms with it (RPC and database); ratio {ratio:.2} (at most {LIMIT:.2})"
    );
    drop(keeper.stdin.take());
    let _ = keeper.wait();
    if ratio <= LIMIT {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
