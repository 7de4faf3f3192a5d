//! The embedded cluster of the demonstration, and its spec.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use tarsops_standin::cluster::{
    Cluster, ConsoleFacts, FrameworkOptions, Options, OwnDatabase, free_network,
};
use tarsops_standin::database;
use tarsops_standin::framework::{COMPONENTS, Component};
use tarsops_standin::standin::{Behaviour, Identity, Timings};
use tarsops_standin::store::Database;

use super::stop::Stop;
use crate::failure::{Failure, Result};

/// SSH port of the embedded hosts.
const SSH_PORT: u16 = 2222;
/// Versions in the packages folder.
pub const VERSIONS: [&str; 3] = ["3.0.17", "3.0.18", "3.0.19"];
/// The components that tarsops changes on the hosts itself, beside tarsnode; the others are published,
/// which needs the rows of a database.
const CORE: [&str; 4] = [
    "tarsregistry",
    "tarsAdminRegistry",
    "tarsconfig",
    "tarspatch",
];
/// How soon a stand-in rewrites its own configuration; the real one takes a minute.
const REWRITE: Duration = Duration::from_secs(2);
/// The account in the spec.
const OPERATOR: &str = "tarsops";
/// The file with its password, below the cluster's folder.
const PASSWORD: &str = "database.password";
/// The file with the management platform's ticket, below the cluster's folder.
const TICKET: &str = "web.ticket";

/// Where the framework's tables are.
pub enum Tables {
    /// In a MariaDB that listens there.
    MariaDb(SocketAddr),
    /// In a file, because of this.
    File(String),
}

impl Tables {
    /// One line about it.
    fn line(&self) -> String {
        match self {
            Self::MariaDb(at) => format!(
                "The framework's tables are in a real MariaDB: this machine's mariadbd, at {at}."
            ),
            Self::File(why) => format!(
                "The framework's tables are in a file, and the spec has no `database:`: {why}."
            ),
        }
    }

    /// One word about it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::MariaDb(_) => "mariadb",
            Self::File(_) => "file",
        }
    }
}

/// A cluster that was made.
pub struct Made {
    /// It.
    pub cluster: Cluster,
    /// Where the framework's tables are.
    pub tables: Tables,
    /// The management platform, which has its tables in a database only.
    pub console: Option<ConsoleFacts>,
}

impl Made {
    /// A few lines about what it has and what it lacks.
    pub fn line(&self) -> String {
        let tables = self.tables.line();
        self.console.as_ref().map_or_else(
            || {
                format!(
                    "{tables}\nNothing is published here, and the six basic services stay as they \
                     are: publishing needs a database's rows."
                )
            },
            |console| {
                format!(
                    "{tables}\nA stand-in of the management platform publishes, at {}.",
                    console.url
                )
            },
        )
    }
}

/// Makes a cluster and its spec.
pub fn up(dir: &Path, nodes: usize, cron: Duration, stop: &Stop) -> Result<Made> {
    let failed = |e: &dyn std::error::Error| {
        Failure::new("could not create the embedded cluster").because(e)
    };
    let mut options = Options::new().map_err(|e| failed(&e))?;
    options.ssh_port = SSH_PORT;
    options.network = free_network(SSH_PORT).ok_or_else(|| {
        Failure::new(format!(
            "port {SSH_PORT} or one of the framework's is taken on every loopback address"
        ))
    })?;
    options.cron_period = cron;
    options.packages = VERSIONS
        .into_iter()
        .map(|version| healthy(version).rewriting_after(REWRITE))
        .collect();
    options.framework = Some(FrameworkOptions {
        database: Database::File(dir.join("tables.json")),
        identity: healthy(VERSIONS[0]),
        timings: Timings::faster(haste(nodes)),
        slaves: 1,
    });
    let mut why = match database::require() {
        Ok(()) => None,
        Err(missing) => Some(missing.to_string()),
    };
    if why.is_none() {
        options.own_database = Some(OwnDatabase {
            operator: OPERATOR.to_owned(),
            password: password().map_err(|e| failed(&e))?,
        });
    }
    stop.check()?;
    stop.holds(Some(dir));
    let mut made = Cluster::up(dir, nodes, &options);
    // A mariadbd that is there and does not run must not stop a demonstration.
    if let Err(e) = &made
        && let Some(said) = e.of_database()
        && stop.check().is_ok()
    {
        why = Some(format!("this machine's mariadbd does not start ({said})"));
        options.own_database = None;
        made = Cluster::up(dir, nodes, &options);
    }
    let cluster = made.map_err(|e| {
        stop.holds(None);
        // A signal of the terminal also ends what was being started.
        stop.check().err().unwrap_or_else(|| failed(&e))
    })?;
    let at = address(&cluster);
    let finished = stop
        .check()
        .and_then(|()| finish(&cluster, &options, at.is_some()));
    let console = match finished {
        Ok(console) => console,
        Err(e) => {
            super::program::down(cluster.dir())?;
            stop.holds(None);
            return Err(e);
        }
    };
    Ok(Made {
        cluster,
        tables: match (at, why) {
            (Some(at), _) => Tables::MariaDb(at),
            (None, why) => Tables::File(why.unwrap_or_default()),
        },
        console,
    })
}

/// What comes on top of a cluster that runs: packages of the framework, the management platform, and
/// the spec.
fn finish(cluster: &Cluster, options: &Options, published: bool) -> Result<Option<ConsoleFacts>> {
    let failed = |e: &dyn std::error::Error| {
        Failure::new("could not create the embedded cluster").because(e)
    };
    let components: Vec<Component> = COMPONENTS
        .into_iter()
        .filter(|c| published || CORE.contains(&c.name))
        .collect();
    for version in VERSIONS {
        cluster
            .add_tree(&options.exe, &components, &healthy(version))
            .map_err(|e| failed(&e))?;
    }
    let console = if published {
        let ticket = password().map_err(|e| failed(&e))?;
        let started = cluster.start_console(|console| {
            console.ticket = ticket;
            // Its port is a common one among those who develop for the web.
            if TcpListener::bind(console.listen).is_err() {
                let any = SocketAddr::new(console.listen.ip(), 0);
                let free = TcpListener::bind(any).and_then(|l| l.local_addr());
                console.listen = free.unwrap_or(console.listen);
            }
        });
        Some(started.map_err(|e| failed(&e))?)
    } else {
        None
    };
    let write = |name: &str, text: &str| {
        let path = cluster.dir().join(name);
        let written = fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(if [PASSWORD, TICKET].contains(&name) {
                0o600
            } else {
                0o644
            })
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
        written.map_err(|e| Failure::new(format!("could not write {}", path.display())).because(&e))
    };
    // Stand-ins write files that anybody may write, as the framework does.
    fs::set_permissions(cluster.dir(), fs::Permissions::from_mode(0o700))
        .map_err(|e| failed(&e))?;
    // The demonstration must not depend on the user's own SSH settings.
    write("ssh_config", "Host *\n  KexAlgorithms curve25519-sha256\n")?;
    if let Some(own) = &cluster.facts().own_database {
        write(PASSWORD, &format!("{}\n", own.password))?;
    }
    if let Some(console) = &console {
        write(TICKET, &format!("{}\n", console.ticket))?;
    }
    write("cluster.yaml", &spec(cluster, console.as_ref()))?;
    Ok(console)
}

/// How much faster than the framework everything happens in the background: twenty times on a few hosts,
/// and no faster than this machine can follow on many.
fn haste(nodes: usize) -> u32 {
    u32::try_from(100 / nodes.max(1)).unwrap_or(1).clamp(1, 20)
}

fn healthy(version: &str) -> Identity {
    Identity::new(version, Behaviour::Healthy)
}

fn password() -> io::Result<String> {
    let mut random = [0u8; 12];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where the cluster's own database listens.
fn address(cluster: &Cluster) -> Option<SocketAddr> {
    match cluster.facts().framework.as_ref().map(|f| &f.database) {
        Some(Database::MariaDb { address, .. }) => Some(*address),
        _ => None,
    }
}

/// The spec of an embedded cluster.
fn spec(cluster: &Cluster, console: Option<&ConsoleFacts>) -> String {
    let facts = cluster.facts();
    let hosts = &facts.hosts;
    let (first, second) = (&hosts[0], &hosts[1]);
    let below = |path: &Path| {
        path.strip_prefix(cluster.dir()).map_or_else(
            |_| path.display().to_string(),
            |p| format!("./{}", p.display()),
        )
    };
    let database = address(cluster).map_or_else(String::new, |at| {
        format!(
            "database:\n\
             \x20 address: \"{at}\"\n\
             \x20 user: {OPERATOR}\n\
             \x20 password: {{file: ./{PASSWORD}}}\n\
             \x20 tls: none\n"
        )
    });
    let web = console.map_or_else(String::new, |console| {
        format!(
            "web:\n\
             \x20 url: \"{}\"\n\
             \x20 ticket: {{file: ./{TICKET}}}\n",
            console.url
        )
    });
    let mut out = format!(
        "# An embedded cluster for demonstrations; everything is below this folder.\n\
         schema: tarsops/v1\n\
         cluster: demo\n\
         rebuild: never\n\
         framework:\n\
         \x20 version: {version}\n\
         \x20 packages: {packages}/{{version}}\n\
         \x20 install_path: {install}\n\
         \x20 run_user: {user}\n\
         ssh:\n\
         \x20 user: {user}\n\
         \x20 port: {port}\n\
         \x20 identity: {identity}\n\
         \x20 known_hosts: {known}\n\
         \x20 config: ./ssh_config\n\
         rpc: direct\n\
         registry:\n\
         \x20 endpoints: [\"{ip}:17890\", \"{slave}:17890\"]\n\
         {database}\
         {web}\
         rollout: {{canary: 1, max_parallel: 8, settle: 0s, registry_settle: 1s, deadline: 10s}}\n\
         nodes:\n",
        version = VERSIONS[0],
        packages = below(&facts.packages),
        install = first.install_path.display(),
        user = facts.user,
        port = first.ssh_port,
        identity = below(&facts.identity),
        known = below(&facts.known_hosts),
        ip = first.ip,
        slave = second.ip,
    );
    for (index, host) in hosts.iter().enumerate() {
        let roles = match index {
            0 => ", roles: [master]",
            1 => ", roles: [slave]",
            _ => "",
        };
        let _ = writeln!(out, "  - {{name: \"{}\"{roles}}}", host.name);
    }
    // Here all hosts share one file system, so each has a folder of its own.
    out.push_str("overrides:\n");
    for host in &hosts[1..] {
        let _ = writeln!(
            out,
            "  \"{}\": {{install_path: {}}}",
            host.name,
            host.install_path.display()
        );
    }
    out
}
