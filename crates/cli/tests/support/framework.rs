//! The framework on namespaced hosts: a real MariaDB on the control side, stand-ins on the first two
//! hosts.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};

use super::{Behaviour, Cluster, Host, Identity};
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema};
use tarsops_standin::framework::{COMPONENTS, Component, Layout, slave};
use tarsops_standin::standin::{self, Timings};
use tarsops_standin::store::Database;

const TARS: &str = "/usr/local/app/tars";
const REGISTRIES: &str = "tcp -h 10.77.1.1 -p 17890:tcp -h 10.77.1.2 -p 17890";
/// The control side of the network, where the database listens.
pub const CONTROL: &str = "10.77.0.1";
/// Where this program, started again there, keeps it.
const KEEP: &str = "TRUTH_BENCH_DATABASE";
/// The password of both accounts.
pub const PASSWORD: &str = "not-a-secret";

fn identity() -> Identity {
    Identity::new("3.0.17", Behaviour::Healthy)
}

/// The hosts with components: address, and which.
pub fn members() -> [(IpAddr, Vec<Component>); 2] {
    [
        (super::ip(1).into(), COMPONENTS.to_vec()),
        (super::ip(2).into(), slave()),
    ]
}

fn layout(ip: IpAddr, database: &Database, timings: Timings) -> Layout<'_> {
    Layout {
        tars: Path::new(TARS),
        ip,
        registries: REGISTRIES,
        database,
        timings,
    }
}

pub fn database(port: u16) -> Database {
    Database::MariaDb {
        address: SocketAddr::new(CONTROL.parse().unwrap(), port),
        user: "tarsAdmin".into(),
        password: PASSWORD.into(),
        name: "db_tars".into(),
    }
}

/// Runs the database until standard input ends and prints its port, where this process was started
/// for that by [`start_database`]; whether it was.
pub fn kept_database() -> bool {
    let Some(dir) = std::env::var_os(KEEP) else {
        return false;
    };
    keep_database(Path::new(&dir));
    true
}

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
        layout(ip, &database, Timings::default())
            .write_rows(&*store, &ip.to_string(), &components, &identity())
            .unwrap();
    }
    let _ = writeln!(std::io::stdout(), "port {}", server.address().port());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Starts the database on the control side, by this program with these words; its port.
pub fn start_database(cluster: &Cluster, words: &[&str]) -> (Child, u16) {
    let mut keeper = cluster
        .network
        .command(std::env::current_exe().unwrap())
        .args(words)
        .env(KEEP, cluster.network.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(keeper.stdout.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    // A test binary says other things as well.
    let port = lines.find_map(|l| l.split("port ").nth(1)?.trim().parse().ok());
    // Whoever stops listening would end it at its next word.
    std::thread::spawn(move || lines.count());
    (keeper, port.unwrap())
}

/// Puts the components on a host and starts them as the run user, with their own scripts.
pub fn start_components(
    host: &Host,
    ip: IpAddr,
    components: &[Component],
    database: &Database,
    timings: Timings,
) {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("standin");
    standin::make(&super::stand_in(), &binary, &identity()).unwrap();
    let first = format!("{TARS}/{0}/bin/{0}", components[0].name);
    host.write(&first, std::fs::read(&binary).unwrap()).unwrap();
    for component in components {
        let name = component.name;
        for (path, text, mode) in layout(ip, database, timings).files(*component) {
            host.write(&format!("{TARS}/{name}/{path}"), text).unwrap();
            host.sh(&format!("chmod {mode:o} {TARS}/{name}/{path}"))
                .unwrap();
        }
        host.sh(&format!(
            "umask 022; mkdir -p {TARS}/{name}/bin {TARS}/app_log
             chmod 755 {first}; ln -f {first} {TARS}/{name}/bin/{name} 2>/dev/null
             chown -R tars {TARS}
             setpriv --reuid=tars --regid=tars --clear-groups setsid \
                 sh {TARS}/{name}/util/start.sh </dev/null >/dev/null 2>&1 &"
        ))
        .unwrap();
    }
}
