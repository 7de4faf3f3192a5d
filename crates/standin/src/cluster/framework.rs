//! The framework on the first hosts of an embedded cluster, and what a story does to it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tarsops_wire::Writer;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{ADMIN, FORWARD, field};
use tarsops_wire::packet::{Request, Response};

use super::{
    Cluster, ClusterError, FrameworkFacts, FrameworkOptions, HostFacts, Options, PATIENCE, database,
};
use crate::framework::{COMPONENTS, Component, FrameworkError, Layout, slave};
use crate::store::{Database, JsonFile, Tables};

/// A component without a process for so long does not come any more.
pub(super) const GONE: Duration = Duration::from_secs(2);

/// The ports that the framework takes on its host.
pub(super) fn ports() -> impl Iterator<Item = u16> {
    COMPONENTS.into_iter().flat_map(Component::ports)
}

/// What the framework on the first of `hosts` will be; none without hosts.
pub(super) fn facts(
    hosts: &[HostFacts],
    options: &FrameworkOptions,
    own_database: bool,
) -> Result<Option<FrameworkFacts>, ClusterError> {
    let members = &hosts[..hosts.len().min(1 + options.slaves)];
    let Some((master, slaves)) = members.split_first() else {
        return Ok(None);
    };
    let mut database = if own_database {
        database::choose(master.ip)?
    } else {
        options.database.clone()
    };
    if let Database::File(path) = &mut database {
        // The components do not run where the caller does.
        *path = std::path::absolute(&path).map_err(super::at(path))?;
    }
    let ip = IpAddr::V4(master.ip);
    Ok(Some(FrameworkFacts {
        host: master.name.clone(),
        slaves: slaves.iter().map(|host| host.name.clone()).collect(),
        version: options.identity.version.clone(),
        database,
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
    /// Lay out the components on the framework's hosts and write the rows about them.
    pub(super) fn lay_out_framework(&self, options: &Options) -> Result<(), ClusterError> {
        let (Some(framework), Some(wanted)) = (&self.facts.framework, &options.framework) else {
            return Ok(());
        };
        let members = self.members(framework)?;
        let registries: Vec<String> = members
            .iter()
            .map(|host| format!("tcp -h {} -p 17890", host.ip))
            .collect();
        if let Database::File(path) = &framework.database {
            JsonFile::create(path, &Tables::default()).map_err(FrameworkError::Store)?;
        }
        let store = framework.database.open().map_err(FrameworkError::Store)?;
        for host in members {
            let layout = Layout {
                tars: &host.install_path.join("tars"),
                ip: IpAddr::V4(host.ip),
                registries: &registries.join(":"),
                database: &framework.database,
                timings: framework.timings,
            };
            let components = components(host.name == framework.host);
            layout.write_rows(&*store, &host.name, &components, &wanted.identity)?;
            layout.lay_out_all(&options.exe, &components, &wanted.identity)?;
        }
        Ok(())
    }

    /// The hosts that have components, the master first.
    fn members(&self, framework: &FrameworkFacts) -> Result<Vec<&HostFacts>, ClusterError> {
        [&framework.host]
            .into_iter()
            .chain(&framework.slaves)
            .map(|name| self.host(name))
            .collect()
    }

    /// Delete the row that the registries have of a node, behind everybody's back; how many rows
    /// there were. Without a framework there is none.
    ///
    /// # Errors
    /// When the tables cannot be changed.
    pub fn delete_node_row(&self, node: &str) -> Result<u64, ClusterError> {
        let Some(framework) = &self.facts.framework else {
            return Ok(0);
        };
        let gone = match &framework.database {
            Database::File(path) => JsonFile::new(path).change(|tables| {
                let before = tables.t_node_info.len();
                tables.t_node_info.retain(|row| row.node_name != node);
                (before - tables.t_node_info.len()) as u64
            })?,
            server => database::delete_node_row(server, node)?,
        };
        Ok(gone)
    }

    /// Stop a component as the management platform does it: AdminRegistry tells the tarsnode of its
    /// host, which ends the process and does not start it again.
    ///
    /// # Errors
    /// When AdminRegistry cannot be asked or says no.
    pub fn stop_component(&self, node: &str, component: &str) -> Result<(), ClusterError> {
        let Some(framework) = &self.facts.framework else {
            return Ok(());
        };
        let refused = |said: String| ClusterError::Refused {
            component: component.to_owned(),
            said,
        };
        let answer = call(framework.admin, "stopServer", &["tars", component, node])
            .map_err(|error| refused(error.to_string()))?;
        let number: Option<i32> = field(&answer, 0).unwrap_or_default();
        if number == Some(0) {
            return Ok(());
        }
        let said: Option<String> = field(&answer, 4).unwrap_or_default();
        Err(refused(said.unwrap_or_else(|| format!("{number:?}"))))
    }

    /// Start the framework's components on its hosts with their own scripts, also again after
    /// [`Cluster::power_off`]; those that run are started again. Returns when all of them listen.
    /// Nothing is done without a framework.
    ///
    /// # Errors
    /// When one of them does not start.
    pub fn start_framework(&self) -> Result<(), ClusterError> {
        let Some(framework) = &self.facts.framework else {
            return Ok(());
        };
        for host in self.members(framework)? {
            for component in components(host.name == framework.host) {
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

/// One call of AdminRegistry with texts.
fn call(admin: SocketAddr, function: &str, texts: &[&str]) -> io::Result<Response> {
    let mut arguments = Writer::new();
    for (tag, text) in (1..).zip(texts) {
        arguments.put(tag, *text);
    }
    let mut request = Request::new(1, ADMIN, function, arguments.finish());
    // Without it nobody answers for a node that is not connected.
    request.context = Pairs(vec![(FORWARD.to_owned(), "on".to_owned())]);
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&request.to_frame().map_err(io::Error::other)?)?;
    let mut size = [0u8; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0u8; (u32::from_be_bytes(size) as usize).saturating_sub(4)];
    stream.read_exact(&mut frame)?;
    Response::from_frame(&frame).map_err(io::Error::other)
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
