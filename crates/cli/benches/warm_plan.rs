//! What `plan` costs beside the bare minimum: a parallel loop of `ssh` that runs the same probe
//! script on the same hosts. Twenty namespaced hosts, everything warm: packages in sync, digests
//! remembered. Needs root, as the end-to-end tests do.
//!
//! Prints both medians and their ratio; ends with 1 where the ratio is above 1.25.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write as _;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use support::{Cluster, Machine};
use tarsops_model::names::{AbsPath, ClusterName, UserName};
use tarsops_probe::{Look, probe_script};

const HOSTS: u8 = 20;
const ROUNDS: usize = 9;
const LIMIT: f64 = 1.25;

fn bare_loop(cluster: &Cluster, machine: &Machine, script: &str) -> Duration {
    let began = Instant::now();
    let mut children: Vec<_> = cluster
        .hosts
        .iter()
        .map(|host| {
            let mut command = cluster.network.command("ssh");
            command.arg("-F").arg(machine.repo("ssh_config"));
            command.arg("-i").arg(cluster.network.client_key());
            let known = format!(
                "UserKnownHostsFile={}",
                machine.repo("known_hosts").display()
            );
            for option in [
                "BatchMode=yes",
                "StrictHostKeyChecking=yes",
                "IdentitiesOnly=yes",
                &known,
            ] {
                command.args(["-o", option]);
            }
            command
                .arg(format!("ops@{}", host.ip()))
                .arg("sudo -n sh -s");
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            // The script is smaller than a pipe.
            child
                .stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            child
        })
        .collect();
    for child in children.drain(..) {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stdout.len() > 1000,
            "the loop's ssh failed"
        );
    }
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() -> ExitCode {
    let cluster = Cluster::new(HOSTS);
    let machine = cluster.machine();
    machine.converge();
    machine.in_sync();
    let script = probe_script(&Look {
        nonce: "bench".to_owned(),
        install_path: AbsPath::new(support::INSTALL).unwrap(),
        cluster: ClusterName::new("test").unwrap(),
        seconds: 30,
        run_user: UserName::new("tars").unwrap(),
        rehash: false,
        fence: None,
        servers: tarsops_plan::components::LOOKED_AT.to_vec(),
        docker: None,
        console: None,
    });
    bare_loop(&cluster, &machine, &script);
    let (mut bare, mut plan) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        bare.push(bare_loop(&cluster, &machine, &script));
        let ran = machine.tarsops(["plan"]);
        ran.exits(0);
        plan.push(ran.took);
    }
    let (bare, plan) = (median(bare), median(plan));
    let ratio = plan.as_secs_f64() / bare.as_secs_f64();
    println!(
        "plan over {HOSTS} hosts, warm, median of {ROUNDS}: {:.0} ms; bare ssh loop: {:.0} ms; ratio {ratio:.2} (at most {LIMIT})",
        plan.as_secs_f64() * 1e3,
        bare.as_secs_f64() * 1e3
    );
    if ratio <= LIMIT {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
