//! The framework on the first host of an embedded cluster.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Cluster, ClusterError, FrameworkFacts, FrameworkOptions, HostFacts, PATIENCE};
use crate::framework::{COMPONENTS, Component, FrameworkError, Layout};
use crate::store::{Database, JsonFile, Tables};

/// The ports that the framework takes on its host.
pub(super) fn ports() -> impl Iterator<Item = u16> {
    COMPONENTS.into_iter().flat_map(Component::ports)
}

/// Lay out the components on `host` and write the rows about them.
pub(super) fn lay_out(
    exe: &Path,
    host: &HostFacts,
    options: &FrameworkOptions,
) -> Result<FrameworkFacts, ClusterError> {
    let ip = IpAddr::V4(host.ip);
    let tars = host.install_path.join("tars");
    let registries = format!("tcp -h {ip} -p 17890");
    let layout = Layout {
        tars: &tars,
        ip,
        registries: &registries,
        database: &options.database,
        timings: options.timings,
    };
    if let Database::File(path) = &options.database {
        JsonFile::create(path, &Tables::default()).map_err(FrameworkError::Store)?;
    }
    let store = options.database.open().map_err(FrameworkError::Store)?;
    layout.write_rows(&*store, &host.name, &options.identity)?;
    layout.lay_out_all(exe, &options.identity)?;
    Ok(FrameworkFacts {
        host: host.name.clone(),
        version: options.identity.version.clone(),
        database: options.database.clone(),
        timings: options.timings,
        query: SocketAddr::new(ip, 17890),
        registry: SocketAddr::new(ip, 17891),
        admin: SocketAddr::new(ip, 12000),
    })
}

impl Cluster {
    /// Start the framework's components on the first host with their own scripts, also again after
    /// [`Cluster::power_off`]; returns when all of them listen. Nothing is done without a framework.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub fn start_framework(&self) -> Result<(), ClusterError> {
        let Some(framework) = &self.facts.framework else {
            return Ok(());
        };
        let host = self.host(&framework.host)?.clone();
        for component in COMPONENTS {
            self.start_component(&host, component)?;
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
        let deadline = Instant::now() + PATIENCE;
        for port in component.ports() {
            let address = SocketAddr::new(IpAddr::V4(host.ip), port);
            while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
                if Instant::now() > deadline {
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

fn log_of(tars: &Path, component: Component) -> PathBuf {
    let name = component.name;
    tars.join(format!("app_log/tars/{name}/tars.{name}.log"))
}
