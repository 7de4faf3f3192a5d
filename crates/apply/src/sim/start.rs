//! How a cluster in memory begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{ADDITIONS, AdapterRow, ServerRow, TemplateRow, parent_of};
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;
use tokio::time::Instant;

use super::faults::Schedule;
use super::machine::Machine;
use super::part::{File, Part, Process, TARS};
use super::state::{NodeBase, State};

/// The port of a registry's QueryObj.
const REGISTRY: u16 = 17890;

/// A cluster that is being made.
pub(super) struct Start<'a> {
    desired: &'a Arc<Desired>,
    catalog: &'a Arc<Catalog>,
    /// What everything is at.
    version: Version,
    locator: String,
    rng: Rng,
    at: Instant,
    texts: BTreeMap<Digest, String>,
    servers: BTreeMap<NodeName, Vec<ServerRow>>,
    adapters: Vec<AdapterRow>,
}

impl<'a> Start<'a> {
    pub(super) fn new(
        desired: &'a Arc<Desired>,
        catalog: &'a Arc<Catalog>,
        version: Version,
        seed: u64,
    ) -> Self {
        let locator: Vec<String> = desired
            .registries
            .iter()
            .map(|e| format!("tcp -h {} -p {}", e.host, e.port))
            .collect();
        Self {
            desired,
            catalog,
            version,
            locator: locator.join(":"),
            rng: Rng::with_seed(seed),
            at: Instant::now(),
            texts: BTreeMap::new(),
            servers: BTreeMap::new(),
            adapters: Vec::new(),
        }
    }

    /// The cluster in which everything runs that `present` asks for.
    pub(super) fn of(mut self, present: &Desired, applications: &[&str]) -> State {
        let new_programs = self.read_packages();
        let mut machines = BTreeMap::new();
        let mut nodes = BTreeMap::new();
        let desired = self.desired;
        let new = desired
            .hosts()
            .filter(|(node, _)| present.host(node).is_none());
        for (node, spec) in present.hosts().chain(new) {
            let parts = self.install(present, node, spec);
            let is_new = parts.is_empty();
            let stays = desired
                .host(node)
                .is_some_and(|host| host.state == NodeState::Present);
            if !spec.role.is_framework() && stays && !is_new {
                self.add_applications(node, spec, applications);
            }
            let label = (self.rng.usize(0..4) == 0)
                .then(|| format!("{{\"rack\":\"{}\"}}", self.rng.u8(..)));
            if !is_new {
                let row = NodeBase {
                    id: i64::try_from(nodes.len()).unwrap_or(0) + 1,
                    label,
                    group: Some(-1),
                    version: Some(self.version.to_string()),
                };
                nodes.insert(node.to_string(), row);
            }
            machines.insert(node.clone(), self.machine(node, spec, parts));
        }
        State {
            start: self.at,
            desired: Arc::clone(desired),
            catalog: Arc::clone(self.catalog),
            machines,
            templates: templates(&self.servers),
            texts: self.texts,
            nodes,
            servers: self.servers,
            adapters: self.adapters,
            columns: columns(),
            rng: self.rng,
            faults: Schedule::default(),
            new_programs,
            guarded: BTreeSet::new(),
            broken: vec![],
            unread: BTreeSet::new(),
            blind: BTreeSet::new(),
            runs: vec![],
            acts: 0,
            tasks: BTreeMap::new(),
        }
    }

    /// Takes the texts of all packages. Returns the programs of other versions than the one that runs.
    fn read_packages(&mut self) -> BTreeSet<Digest> {
        let mut new_programs = BTreeSet::new();
        let packages = self.catalog.available.values().flatten();
        for (version, package) in packages {
            if *version != self.version {
                new_programs.insert(package.pin.binary);
            }
            let texts = package.files.iter().filter_map(|file| {
                let text = file.text.clone()?;
                Some((file.digest, text))
            });
            self.texts.extend(texts);
        }
        new_programs
    }

    /// The components of a host, with their rows.
    fn install(
        &mut self,
        present: &Desired,
        node: &NodeName,
        spec: &Host,
    ) -> BTreeMap<Component, Part> {
        let mut parts = BTreeMap::new();
        let ip = spec.ip.to_string();
        for id in present.resources.keys() {
            let component = match id {
                ResourceId::Agent(at) if at == node => Component::Tarsnode,
                ResourceId::Server(component, at) if at == node => *component,
                _ => continue,
            };
            let Some(package) = self.catalog.get(component, self.version) else {
                continue;
            };
            let mut part = Part::default();
            for file in &package.files {
                if file.path.starts_with("data/") {
                    continue;
                }
                let digest = match &file.text {
                    Some(text) => {
                        let text = filled(text, node, &ip, &self.locator);
                        let digest = Digest::of(text.as_bytes());
                        self.texts.insert(digest, text);
                        digest
                    }
                    None => file.digest,
                };
                let mode = if file.path.starts_with("conf/") {
                    0o644
                } else {
                    0o755
                };
                let path = format!("{component}/{}", file.path);
                part.files.insert(path, File { digest, mode });
            }
            part.process = Some(Process {
                pid: 100 + u32::try_from(parts.len()).unwrap_or(0),
                exe: package.pin.binary,
                up: self.at,
            });
            parts.insert(component, part);
            if component != Component::Tarsnode {
                self.add_server("tars", component.name(), node);
                for (servant, port) in component.servants() {
                    let row = adapter_row("tars", component.name(), node, servant, &ip, *port);
                    self.adapters.push(row);
                }
            }
        }
        parts
    }

    fn add_applications(&mut self, node: &NodeName, spec: &Host, applications: &[&str]) {
        for (i, application) in applications.iter().enumerate() {
            if self.rng.usize(0..3) == 0 {
                let ip = spec.ip.to_string();
                let port = 20_000 + u16::try_from(i).unwrap_or(0);
                let servant = format!("Shop.{application}.{application}Obj");
                self.add_server("Shop", application, node);
                let row = adapter_row("Shop", application, node, &servant, &ip, port);
                self.adapters.push(row);
            }
        }
    }

    fn add_server(&mut self, application: &str, server: &str, node: &NodeName) {
        let row = server_row(application, server, node, self.version);
        self.servers.entry(node.clone()).or_default().push(row);
    }

    fn machine(
        &mut self,
        node: &NodeName,
        spec: &Host,
        parts: BTreeMap<Component, Part>,
    ) -> Machine {
        let is_new = parts.is_empty();
        Machine {
            ip: spec.ip,
            registry: Endpoint::at(spec.ip, REGISTRY),
            machine_id: Digest::of(node.as_str().as_bytes()).to_string()[..32].to_owned(),
            boot_id: "5e1f".to_owned(),
            crontab: (!is_new).then(|| tarsops_plan::crontab::monitor_line(TARS) + "\n"),
            parts,
            away: BTreeMap::new(),
            staged: BTreeSet::new(),
            fence: None,
            changes: BTreeMap::new(),
            current: None,
            lease: None,
            labels: None,
            marks: BTreeMap::new(),
            rows: BTreeMap::new(),
            registered: (!is_new).then_some(self.at),
            left: None,
            frozen: BTreeSet::new(),
            beat: None,
            lag: self.rng.u8(0..12),
            next_pid: 1000,
        }
    }
}

/// The columns that releases have added.
fn columns() -> BTreeMap<String, Observed<BTreeSet<String>>> {
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for addition in ADDITIONS {
        let table = columns.entry(addition.table.to_owned()).or_default();
        table.insert("id".to_owned());
        table.insert(addition.column.to_owned());
    }
    let all = columns.into_iter();
    all.map(|(table, columns)| (table, Observed::Present(columns)))
        .collect()
}

/// The templates that rows name, and those of the framework.
fn templates(servers: &BTreeMap<NodeName, Vec<ServerRow>>) -> Vec<TemplateRow> {
    let named: BTreeSet<String> = servers
        .values()
        .flatten()
        .filter_map(|r| r.template.clone())
        .collect();
    let all = named
        .into_iter()
        .chain(["tars.framework-db".to_owned(), "tars.tarsnode".to_owned()]);
    all.map(|name| TemplateRow::with_text(&name, parent_of(&name), "<tars>\n</tars>\n"))
        .collect()
}

/// `text` of a package as it is on a host.
fn filled(text: &str, node: &NodeName, ip: &str, locator: &str) -> String {
    text.replace(
        "--nodeid=\"localip.tars.com\"",
        &format!("--nodeid=\"{node}\""),
    )
    .replace("--nodeid=localip.tars.com", &format!("--nodeid={node}"))
    .replace("localip.tars.com", ip)
    .replace("registryAddress", locator)
    .replace("TARS_PATH", TARS)
}

fn server_row(application: &str, server: &str, node: &NodeName, version: Version) -> ServerRow {
    ServerRow {
        application: application.to_owned(),
        server: server.to_owned(),
        node: node.to_string(),
        setting: Some("active".to_owned()),
        patch_version: Some(version.to_string()),
        library: Some("3.0.20".to_owned()),
        template: Some(if application == "tars" {
            format!("tars.{server}")
        } else {
            "tars.default".to_owned()
        }),
        kind: Some("tars_cpp".to_owned()),
        exe_path: (application == "tars").then(|| format!("{TARS}/{server}/bin/{server}")),
        ..ServerRow::default()
    }
}

fn adapter_row(
    application: &str,
    server: &str,
    node: &NodeName,
    servant: &str,
    ip: &str,
    port: u16,
) -> AdapterRow {
    AdapterRow {
        application: application.to_owned(),
        server: server.to_owned(),
        node: node.to_string(),
        adapter: format!("{servant}Adapter"),
        servant: Some(servant.to_owned()),
        endpoint: Some(format!("tcp -h {ip} -t 60000 -p {port}")),
        protocol: Some("tars".to_owned()),
        threads: Some(5),
        connections: Some(200_000),
        queue: Some(100_000),
        queue_timeout: Some(60_000),
    }
}
