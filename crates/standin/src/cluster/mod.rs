//! The embedded cluster: hosts on this machine's loopback addresses, behind a real SSH server.
//!
//! Each host is a folder with an install path, a home, a crontab and a machine-id of its own, and an
//! address of 127.0.0.0/8. Nothing needs root and nothing outside the cluster's folder is written.
//! Hosts share this machine's processes, ports and users; more separation needs the test hosts of
//! the crate `tarsops-testkit`.
//!
//! It knows no spec: it states facts, and others write the file. What must stay true: [`Cluster::down`]
//! ends only what runs from within the folder, and the user's own crontab is never touched.

mod console;
mod cron;
mod database;
mod facts;
mod framework;
mod procs;
mod serve;
mod shims;

pub use console::ConsoleFacts;
pub use facts::{Facts, FrameworkFacts, FrameworkOptions, HostFacts, Naming, Options, OwnDatabase};
pub use serve::serve;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::database::MariaDbError;
use crate::framework::{Component, FrameworkError};
use crate::packages::{self, LocalAdmin, PackageError};
use crate::ssh_server::{SshServerError, make_key};
use crate::standin::Identity;
use crate::store::StoreError;

/// First argument with which the multi-call program serves a cluster, see [`serve`].
pub const SERVE: &str = "standin-serve";

const FACTS: &str = "sandbox.json";
const PID: &str = "run/server.pid";
const STATES: &str = "run/hosts.json";
const STATES_SEEN: &str = "run/hosts.seen";
/// How long the server may take for anything that is asked of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How the server's last words begin where its database does not start.
const DATABASE_FAILED: &str = "error: cannot run the cluster's database: ";
/// How long it may take to come up with a database of its own.
const DATABASE_PATIENCE: Duration = Duration::from_secs(90);

/// A cluster could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file or folder could not be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder holds something else already.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The folder holds no cluster, or one of another version.
    #[error("{} holds no embedded cluster that this version knows", .0.display())]
    NoCluster(PathBuf),
    /// Too many hosts, none, or an address that is no loopback address.
    #[error("{0} hosts do not fit into the network {1}.0/24 (1 to 254 in 127.0.0.0/8 do)")]
    Size(usize, String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No such host.
    #[error("the cluster has no host '{0}'")]
    NoHost(String),
    /// The server does not start, or does not answer any more.
    #[error("the cluster's server does not answer; its log {} ends with: {last}", log.display())]
    Server {
        /// The server's log.
        log: PathBuf,
        /// The last line of it.
        last: String,
    },
    /// Processes do not end.
    #[error("cannot end the processes of {}", folder.display())]
    Processes {
        /// The folder they run from.
        folder: PathBuf,
        /// Which ones.
        source: io::Error,
    },
    /// The SSH server or a key.
    #[error("cannot set up the SSH server")]
    Ssh(#[from] SshServerError),
    /// The framework's stand-ins could not be made, or their rows not be written.
    #[error("cannot lay out the framework")]
    Framework(#[from] FrameworkError),
    /// A component of the framework does not start.
    #[error("{component} does not start; its log {} ends with: {last}", log.display())]
    Component {
        /// The component.
        component: &'static str,
        /// Its log.
        log: PathBuf,
        /// The last line of it.
        last: String,
    },
    /// The cluster's own database does not start.
    #[error("cannot run the cluster's database")]
    Database(#[from] MariaDbError),
    /// A row could not be changed.
    #[error("cannot change the framework's tables")]
    Rows(#[from] StoreError),
    /// AdminRegistry does not do what it is told.
    #[error("AdminRegistry does not stop {component}: {said}")]
    Refused {
        /// The component.
        component: String,
        /// What it said.
        said: String,
    },
    /// A package could not be written.
    #[error("cannot write the packages")]
    Package(#[from] PackageError),
}

impl ClusterError {
    /// Why the cluster's own database does not start, if it is that.
    #[must_use]
    pub fn of_database(&self) -> Option<&str> {
        match self {
            Self::Server { last, .. } => last.split_once(DATABASE_FAILED).map(|(_, why)| why),
            _ => None,
        }
    }
}

/// How a host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Serves.
    #[default]
    Up,
    /// Runs, but its SSH server refuses connections, and cuts those that exist.
    Refusing,
    /// Runs, but its SSH server takes connections and says nothing.
    Frozen,
    /// Switched off: refuses connections, cron does not run. Its processes are ended by
    /// [`Cluster::power_off`].
    Off,
}

/// States of hosts as written for the server; a host that is not named is up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct States {
    generation: u64,
    hosts: std::collections::BTreeMap<String, HostState>,
}

/// An embedded cluster that was made. Dropping it leaves it running.
#[derive(Clone, Debug)]
pub struct Cluster {
    dir: PathBuf,
    facts: Facts,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.to_path_buf();
    move |source| ClusterError::File { path, source }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), ClusterError> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(at(path))
}

/// A network 127.A.B whose first addresses nobody listens on with this SSH port or the agent's, and
/// the first two with none of the framework's.
/// Clusters that run side by side need one each.
#[must_use]
pub fn free_network(ssh_port: u16) -> Option<[u8; 3]> {
    // Threads of one process look at the same time: each begins elsewhere.
    static LOOKS: AtomicU32 = AtomicU32::new(0);
    let look = LOOKS.fetch_add(1, Ordering::Relaxed).wrapping_mul(7_919);
    let start = (std::process::id().wrapping_mul(2_654_435_761) >> 8).wrapping_add(look);
    (0..4096u32).find_map(|step| {
        let number = start.wrapping_add(step.wrapping_mul(251));
        let (a, b) = (1 + (number >> 8) % 250, number % 250);
        let network = [127, u8::try_from(a).ok()?, u8::try_from(b).ok()?];
        let free = (1..=8).all(|last| {
            let ip = Ipv4Addr::new(network[0], network[1], network[2], last);
            [ssh_port, 19386, 19387]
                .into_iter()
                .chain((last <= 2).then(framework::ports).into_iter().flatten())
                .all(|port| TcpListener::bind((ip, port)).is_ok())
        });
        free.then_some(network)
    })
}

impl Cluster {
    /// Make a cluster of `count` hosts in the folder `dir`, which must be empty or missing, and start
    /// its server. What was made is removed again if that fails.
    ///
    /// # Errors
    /// When `dir` holds something, an address is taken, a file cannot be written, or the server does
    /// not come up.
    pub fn up(dir: &Path, count: usize, options: &Options) -> Result<Self, ClusterError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let dir = dir.canonicalize().map_err(at(dir))?;
        if fs::read_dir(&dir).map_err(at(&dir))?.next().is_some() {
            return Err(ClusterError::NotEmpty(dir));
        }
        let made = Self::lay_out(&dir, count, options).and_then(|cluster| {
            cluster.start_server(options)?;
            cluster.lay_out_framework(options)?;
            cluster.start_framework()?;
            Ok(cluster)
        });
        if made.is_err() {
            // The first error is the one to tell; the folder was ours alone.
            let _ = procs::end_all(&dir);
            let _ = fs::remove_dir_all(&dir);
        }
        made
    }

    fn lay_out(dir: &Path, count: usize, options: &Options) -> Result<Self, ClusterError> {
        let [a, b, c] = options.network;
        if a != 127 || !(1..=254).contains(&count) {
            return Err(ClusterError::Size(count, format!("{a}.{b}.{c}")));
        }
        let addresses: Vec<Ipv4Addr> = (1..=254)
            .take(count)
            .map(|last| Ipv4Addr::new(a, b, c, last))
            .collect();
        let ssh_port = match options.ssh_port {
            0 => free_port(&addresses)?,
            port => port,
        };
        let user = user_name();
        let mut facts = Facts {
            format: Facts::FORMAT.to_owned(),
            user: user.clone(),
            identity: dir.join("ssh/id_ed25519"),
            known_hosts: dir.join("ssh/known_hosts"),
            packages: dir.join("packages"),
            log: dir.join("run/server.log"),
            cron_ms: u64::try_from(options.cron_period.as_millis()).unwrap_or(u64::MAX),
            hosts: Vec::new(),
            framework: None,
            own_database: options.own_database.clone(),
        };
        for folder in ["hosts", "ssh", "packages", "run"] {
            let folder = dir.join(folder);
            fs::create_dir_all(&folder).map_err(at(&folder))?;
        }
        make_key(&facts.identity, "tarsops demo")?;

        let mut known_hosts = String::new();
        for (index, ip) in addresses.into_iter().enumerate() {
            let name = match &options.naming {
                Naming::ByAddress => ip.to_string(),
                Naming::Numbered(prefix) => format!("{prefix}{}", index + 1),
            };
            let host = host_facts(dir, name, ip, ssh_port);
            let public = lay_out_host(&host, &user)?;
            known_hosts.push_str(&match ssh_port {
                22 => format!("{ip} {public}\n"),
                port => format!("[{ip}]:{port} {public}\n"),
            });
            facts.hosts.push(host);
        }
        write(&facts.known_hosts, &known_hosts, 0o600)?;
        if let Some(wanted) = &options.framework {
            facts.framework = framework::facts(&facts.hosts, wanted, facts.own_database.is_some())?;
        }
        let cluster = Self {
            dir: dir.to_path_buf(),
            facts,
        };
        for identity in &options.packages {
            cluster.add_package(&options.exe, identity)?;
        }
        cluster.write_states(&States::default())?;
        let text = serde_json::to_string_pretty(&cluster.facts)
            .map_err(|error| at(&dir.join(FACTS))(error.into()))?;
        // The password of a database stands in it.
        let mode = if cluster.facts.framework.is_some() {
            0o600
        } else {
            0o644
        };
        write(&dir.join(FACTS), &text, mode)?;
        Ok(cluster)
    }

    fn start_server(&self, options: &Options) -> Result<(), ClusterError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.facts.log)
            .map_err(at(&self.facts.log))?;
        let mut child = Command::new(&options.exe)
            .args(&options.serve_args)
            .arg(&self.dir)
            .current_dir("/")
            // It and the database go down with the cluster, even where it cannot clean up any more.
            .env(procs::MARK, &self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(at(&self.facts.log))?)
            .stderr(log)
            .spawn()
            .map_err(at(&options.exe))?;
        let patience = match &self.facts.own_database {
            Some(_) => DATABASE_PATIENCE,
            None => PATIENCE,
        };
        let deadline = Instant::now() + patience;
        while self.server().is_none() {
            let ended = child.try_wait().map_err(at(&options.exe))?.is_some();
            if ended || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(self.server_error());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The cluster that was made in the folder `dir`.
    ///
    /// # Errors
    /// When there is none, or one of a version that is not known.
    pub fn open(dir: &Path) -> Result<Self, ClusterError> {
        let dir = dir.canonicalize().map_err(at(dir))?;
        let text = fs::read_to_string(dir.join(FACTS))
            .map_err(|_| ClusterError::NoCluster(dir.clone()))?;
        match serde_json::from_str::<Facts>(&text) {
            Ok(facts) if facts.format == Facts::FORMAT => Ok(Self { dir, facts }),
            _ => Err(ClusterError::NoCluster(dir)),
        }
    }

    /// Stop everything that runs from within `dir` and remove the folder.
    ///
    /// # Errors
    /// When `dir` holds no cluster (nothing is touched then), or something does not end.
    pub fn down(dir: &Path) -> Result<(), ClusterError> {
        let cluster = Self::open(dir)?;
        let server = cluster.server();
        if let Some(server) = server {
            server.signal(rustix::process::Signal::TERM);
            let deadline = Instant::now() + Duration::from_secs(2);
            while server.is_alive() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            server.signal(rustix::process::Signal::KILL);
        }
        cluster.end_processes(&cluster.dir)?;
        // A process that ended may still have been writing when the folder was listed.
        let mut outcome = Ok(());
        for _ in 0..5 {
            outcome = fs::remove_dir_all(&cluster.dir);
            match &outcome {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                _ => break,
            }
        }
        outcome.map_err(at(&cluster.dir))
    }

    /// The folder, absolute.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Everything that is known of it.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// One host.
    ///
    /// # Errors
    /// When there is no host of that name.
    pub fn host(&self, name: &str) -> Result<&HostFacts, ClusterError> {
        self.facts
            .hosts
            .iter()
            .find(|host| host.name == name)
            .ok_or_else(|| ClusterError::NoHost(name.to_owned()))
    }

    /// Whether its server runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.server().is_some()
    }

    /// Write `packages/<version>/tarsnode.tgz`, a whole agent made from the multi-call program `exe`.
    /// Returns the archive's path.
    ///
    /// # Errors
    /// When the package cannot be written.
    pub fn add_package(&self, exe: &Path, identity: &Identity) -> Result<PathBuf, ClusterError> {
        let out = self
            .facts
            .packages
            .join(&identity.version)
            .join("tarsnode.tgz");
        packages::write_full(exe, &out, identity, LocalAdmin::OnNodeIp)?;
        Ok(out)
    }

    /// Put what a slave needs of the framework into the packages folder, in the version of `identity`:
    /// binaries, configurations and scripts, as a deploy tree.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn add_slave_packages(&self, exe: &Path, identity: &Identity) -> Result<(), ClusterError> {
        self.add_tree(exe, &crate::framework::slave(), identity)
    }

    /// Put these components into the packages folder, in the version of `identity`: binaries,
    /// configurations and scripts, as a deploy tree. All of them are one file with many names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn add_tree(
        &self,
        exe: &Path,
        components: &[Component],
        identity: &Identity,
    ) -> Result<(), ClusterError> {
        let root = self.facts.packages.join(&identity.version);
        crate::framework::write_deploy_tree(exe, &root, components, identity)?;
        Ok(())
    }

    /// Write `packages/<version>/X.tgz`, the program alone, of each of the components `names`.
    ///
    /// # Errors
    /// When a package cannot be written.
    pub fn add_components(
        &self,
        exe: &Path,
        names: &[&str],
        identity: &Identity,
    ) -> Result<(), ClusterError> {
        for name in names {
            let folder = self.facts.packages.join(&identity.version);
            let out = folder.join(format!("{name}.tgz"));
            packages::write_component(exe, &out, name, identity)?;
        }
        Ok(())
    }

    /// Change how a host is; returns when the server has done it. Processes of the host run on.
    ///
    /// # Errors
    /// When there is no such host, or the server does not answer.
    pub fn set_state(&self, name: &str, state: HostState) -> Result<(), ClusterError> {
        self.host(name)?;
        let mut states = self.read_states();
        states.generation += 1;
        match state {
            HostState::Up => states.hosts.remove(name),
            state => states.hosts.insert(name.to_owned(), state),
        };
        self.write_states(&states)?;
        let deadline = Instant::now() + PATIENCE;
        let seen = self.dir.join(STATES_SEEN);
        while fs::read_to_string(&seen)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
            .is_none_or(|generation| generation < states.generation)
        {
            if Instant::now() > deadline || !self.is_running() {
                return Err(self.server_error());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Switch a host off: no SSH, no cron, and every process of it is killed.
    ///
    /// # Errors
    /// When there is no such host, the server does not answer, or a process does not end.
    pub fn power_off(&self, name: &str) -> Result<(), ClusterError> {
        let root = self.host(name)?.root.clone();
        self.set_state(name, HostState::Off)?;
        self.end_processes(&root)
    }

    /// Switch a host off and on again. What its crontab holds comes back with cron's next run.
    ///
    /// # Errors
    /// As [`Cluster::power_off`].
    pub fn reboot(&self, name: &str) -> Result<(), ClusterError> {
        self.power_off(name)?;
        self.set_state(name, HostState::Up)
    }

    /// A program as the login user of a host runs it there, without input and output.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn command(&self, name: &str, program: &Path) -> Result<Command, ClusterError> {
        let host = self.host(name)?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(host.environment(&self.facts))
            .current_dir(&host.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(command)
    }

    /// Process numbers of everything that runs on a host.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn processes(&self, name: &str) -> Result<Vec<i32>, ClusterError> {
        let root = &self.host(name)?.root;
        Ok(procs::inside(root)
            .into_iter()
            .map(|process| process.pid)
            .collect())
    }

    fn end_processes(&self, folder: &Path) -> Result<(), ClusterError> {
        procs::end_all(folder).map_err(|source| ClusterError::Processes {
            folder: folder.into(),
            source,
        })
    }

    /// The server's process: the one that wrote its number, not a later one that got it.
    fn server(&self) -> Option<procs::Process> {
        let text = fs::read_to_string(self.dir.join(PID)).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let written = procs::Process {
            pid: pid.parse().ok()?,
            started: started.parse().ok()?,
        };
        written.is_alive().then_some(written)
    }

    fn server_error(&self) -> ClusterError {
        let log = fs::read_to_string(&self.facts.log).unwrap_or_default();
        // The program that serves may say the same again in its own words.
        let last = log
            .lines()
            .rfind(|line| line.contains(DATABASE_FAILED))
            .or_else(|| log.lines().next_back());
        ClusterError::Server {
            log: self.facts.log.clone(),
            last: last.unwrap_or("(nothing)").to_owned(),
        }
    }

    fn read_states(&self) -> States {
        fs::read(self.dir.join(STATES))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn write_states(&self, states: &States) -> Result<(), ClusterError> {
        let path = self.dir.join(STATES);
        let fresh = self.dir.join(format!("{STATES}.new"));
        let text = serde_json::to_string(states).map_err(|error| at(&path)(error.into()))?;
        write(&fresh, &text, 0o644)?;
        fs::rename(&fresh, &path).map_err(at(&path))
    }
}

fn host_facts(dir: &Path, name: String, ip: Ipv4Addr, ssh_port: u16) -> HostFacts {
    let root = dir.join("hosts").join(&name);
    HostFacts {
        name,
        ip,
        ssh_port,
        install_path: root.join("app"),
        home: root.join("home"),
        bin: root.join("bin"),
        machine_id: root.join("etc/machine-id"),
        crontab: root.join("var/crontab"),
        cron_log: root.join("var/cron.log"),
        host_key: root.join("etc/ssh_host_ed25519_key"),
        root,
    }
}

/// Make a host's folder; returns its public host key.
fn lay_out_host(host: &HostFacts, user: &str) -> Result<String, ClusterError> {
    for folder in ["app", "home", "bin", "etc", "var"] {
        let folder = host.root.join(folder);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
    }
    let mut random = [0u8; 16];
    let source = Path::new("/dev/urandom");
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(at(source))?;
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    write(&host.machine_id, &format!("{id}\n"), 0o444)?;
    for (name, text) in shims::all(&host.name, &host.ip.to_string(), user, &host.crontab) {
        write(&host.bin.join(name), &text, 0o755)?;
    }
    Ok(make_key(&host.host_key, &host.name)?)
}

/// A port that is free on every address.
fn free_port(addresses: &[Ipv4Addr]) -> Result<u16, ClusterError> {
    let mut last = None;
    for _ in 0..100 {
        let first =
            SocketAddr::from((addresses.first().copied().unwrap_or(Ipv4Addr::LOCALHOST), 0));
        let bound = TcpListener::bind(first).and_then(|listener| listener.local_addr());
        match bound {
            Ok(bound) => {
                let port = bound.port();
                if addresses
                    .iter()
                    .all(|ip| TcpListener::bind((*ip, port)).is_ok())
                {
                    return Ok(port);
                }
            }
            Err(source) => last = Some(source),
        }
    }
    let source = last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
    Err(ClusterError::Address {
        address: SocketAddr::from((addresses.first().copied().unwrap_or(Ipv4Addr::LOCALHOST), 0)),
        source,
    })
}

/// The name of the user this process runs as; its number where no name is known.
fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    fs::read_to_string("/etc/passwd")
        .unwrap_or_default()
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .and_then(|fields| fields.first().map(|name| (*name).to_owned()))
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or(uid)
}
