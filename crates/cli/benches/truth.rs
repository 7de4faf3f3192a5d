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

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

use support::{Behaviour, Cluster, Host, Identity, Machine, Spec, wait_until};
use tarsops_sandbox::database::{MariaDb, MariaDbOptions, Rights, Schema};
use tarsops_sandbox::framework::{COMPONENTS, Component, Layout, slave};
use tarsops_sandbox::standin::{self, Timings};
use tarsops_sandbox::store::Database;

const HOSTS: u8 = 20;
const ROUNDS: usize = 15;
const LIMIT: f64 = 1.20;
const TARS: &str = "/usr/local/app/tars";
const REGISTRIES: &str = "tcp -h 10.77.1.1 -p 17890:tcp -h 10.77.1.2 -p 17890";
/// The control side of the network, where the database listens.
const CONTROL: &str = "10.77.0.1";
/// Where this program, started again there, keeps it.
const KEEP: &str = "TRUTH_BENCH_DATABASE";
const PASSWORD: &str = "not-a-secret";

fn identity() -> Identity {
    Identity::new("3.0.17", Behaviour::Healthy)
}

/// The hosts with components: address, and which.
fn members() -> [(IpAddr, Vec<Component>); 2] {
    [
        (support::ip(1).into(), COMPONENTS.to_vec()),
        (support::ip(2).into(), slave()),
    ]
}

fn layout(ip: IpAddr, database: &Database) -> Layout<'_> {
    Layout {
        tars: Path::new(TARS),
        ip,
        registries: REGISTRIES,
        database,
        timings: Timings::default(),
    }
}

fn database(port: u16) -> Database {
    Database::MariaDb {
        address: SocketAddr::new(CONTROL.parse().unwrap(), port),
        user: "tarsAdmin".into(),
        password: PASSWORD.into(),
        name: "db_tars".into(),
    }
}

/// Runs the database until standard input ends; prints its port.
fn keep_database(dir: &Path) {
    let options = MariaDbOptions {
        ip: CONTROL.parse().unwrap(),
        ..MariaDbOptions::default()
    };
    let server = MariaDb::start(dir, &options).unwrap();
    server.load(Schema::Installed).unwrap();
    server.account("tarsAdmin", PASSWORD, Rights::All).unwrap();
    server.account("tarsops", PASSWORD, Rights::Read).unwrap();
    let database = database(server.address().port());
    let store = database.open().unwrap();
    for (ip, components) in members() {
        layout(ip, &database)
            .write_rows(&*store, &ip.to_string(), &components, &identity())
            .unwrap();
    }
    println!("{}", server.address().port());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Starts the database on the control side; its port.
fn start_database(cluster: &Cluster) -> (Child, u16) {
    let mut keeper = cluster
        .network
        .command(std::env::current_exe().unwrap())
        .env(KEEP, cluster.network.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (keeper, line.trim().parse().unwrap())
}

/// Puts the components on a host and starts them as the run user.
fn start_components(host: &Host, ip: IpAddr, components: &[Component], database: &Database) {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("standin");
    standin::make(&support::program(), &binary, &identity()).unwrap();
    let first = format!("{TARS}/{0}/bin/{0}", components[0].name);
    host.write(&first, std::fs::read(&binary).unwrap()).unwrap();
    for component in components {
        let name = component.name;
        let conf = format!("{TARS}/{name}/conf/tars.{name}.config.conf");
        host.write(&conf, layout(ip, database).conf(*component))
            .unwrap();
        host.sh(&format!(
            "umask 022; mkdir -p {TARS}/{name}/bin {TARS}/{name}/util {TARS}/app_log
             chmod 755 {first}; ln -f {first} {TARS}/{name}/bin/{name} 2>/dev/null
             : > {TARS}/{name}/util/start.sh
             chown -R tars {TARS}
             setpriv --reuid=tars --regid=tars --clear-groups setsid \
                 {TARS}/{name}/bin/{name} --config={conf} </dev/null >/dev/null 2>&1 &"
        ))
        .unwrap();
    }
}

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
    if let Some(dir) = std::env::var_os(KEEP) {
        keep_database(Path::new(&dir));
        return ExitCode::SUCCESS;
    }
    let cluster = Cluster::new(HOSTS);
    let (mut keeper, port) = start_database(&cluster);
    let framework = database(port);
    for (host, (ip, components)) in cluster.hosts.iter().zip(members()) {
        start_components(host, ip, &components, &framework);
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
