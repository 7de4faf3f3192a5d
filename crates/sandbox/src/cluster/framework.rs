//! The framework on the first host of an embedded cluster.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Cluster, ClusterError, FrameworkFacts, FrameworkOptions, HostFacts, PATIENCE};
use crate::framework::{COMPONENTS, Component, FrameworkError, Layout, slave};
use crate::store::{Database, JsonFile, Tables};

/// A component without a process for so long does not come any more.
const GONE: Duration = Duration::from_secs(2);

/// The ports that the framework takes on its host.
pub(super) fn ports() -> impl Iterator<Item = u16> {
    COMPONENTS.into_iter().flat_map(Component::ports)
}

/// Lay out the components on the first of `hosts` and write the rows about them; none without hosts.
pub(super) fn lay_out(
    exe: &Path,
    hosts: &[HostFacts],
    options: &FrameworkOptions,
) -> Result<Option<FrameworkFacts>, ClusterError> {
    let members = &hosts[..hosts.len().min(1 + options.slaves)];
    let Some((master, slaves)) = members.split_first() else {
        return Ok(None);
    };
    let registries: Vec<String> = members
        .iter()
        .map(|host| format!("tcp -h {} -p 17890", host.ip))
        .collect();
    let registries = registries.join(":");
    let mut database = options.database.clone();
    if let Database::File(path) = &mut database {
        // The components do not run where the caller does.
        *path = std::path::absolute(&path).map_err(super::at(path))?;
        JsonFile::create(path, &Tables::default()).map_err(FrameworkError::Store)?;
    }
    let store = database.open().map_err(FrameworkError::Store)?;
    for host in members {
        let layout = Layout {
            tars: &host.install_path.join("tars"),
            ip: IpAddr::V4(host.ip),
            registries: &registries,
            database: &database,
            timings: options.timings,
        };
        let components = components(host.name == master.name);
        layout.write_rows(&*store, &host.name, &components, &options.identity)?;
        layout.lay_out_all(exe, &components, &options.identity)?;
    }
    let ip = IpAddr::V4(master.ip);
    Ok(Some(FrameworkFacts {
        host: master.name.clone(),
        slaves: slaves.iter().map(|host| host.name.clone()).collect(),
        version: options.identity.version.clone(),
        database: database.clone(),
        timings: options.timings,
        query: SocketAddr::new(ip, 17890),
        registry: SocketAddr::new(ip, 17891),
        admin: SocketAddr::new(ip, 12000),
    }))
}

fn components(master: bool) -> Vec<Component> {
    if master { COMPONENTS.to_vec() } else { slave() }
}

impl Cluster {
    /// Start the framework's components on its hosts with their own scripts, also again after
    /// [`Cluster::power_off`]; those that run are started anew. Returns when all of them listen.
    /// Nothing is done without a framework.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub fn start_framework(&self) -> Result<(), ClusterError> {
        let Some(framework) = &self.facts.framework else {
            return Ok(());
        };
        for name in [&framework.host].into_iter().chain(&framework.slaves) {
            let host = self.host(name)?;
            for component in components(*name == framework.host) {
                self.start_component(host, component)?;
            }
        }
        Ok(())
    }

    fn start_component(&self, host: &HostFacts, component: Component) -> Result<(), ClusterError> {
        let tars = host.install_path.join("tars");
        let script = tars.join(component.name).join("util/start.sh");
        let done = Command::new("sh")
            .arg(&script)
            .env_clear()
            .envs(host.environment(&self.facts))
            .current_dir(&host.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        done.map_err(|source| ClusterError::File {
            path: script,
            source,
        })?;
        let binary = tars.join(component.name).join("bin").join(component.name);
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Instant::now();
        for port in component.ports() {
            let address = SocketAddr::new(IpAddr::V4(host.ip), port);
            while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
                if is_running(host, &binary) {
                    seen = Instant::now();
                }
                if Instant::now() > deadline || seen.elapsed() > GONE {
                    let log = log_of(&tars, component);
                    let text = fs::read_to_string(&log).unwrap_or_default();
                    return Err(ClusterError::Component {
                        component: component.name,
                        last: text.lines().next_back().unwrap_or("(nothing)").to_owned(),
                        log,
                    });
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }
}

fn is_running(host: &HostFacts, binary: &Path) -> bool {
    super::procs::inside(&host.root).into_iter().any(|process| {
        fs::read_link(format!("/proc/{}/exe", process.pid)).is_ok_and(|exe| exe == binary)
    })
}

fn log_of(tars: &Path, component: Component) -> PathBuf {
    let name = component.name;
    tars.join(format!("app_log/tars/{name}/tars.{name}.log"))
}
