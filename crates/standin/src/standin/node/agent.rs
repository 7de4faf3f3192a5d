//! The agent towards the registries: it registers, keeps alive and asks (TarsFramework
//! `NodeServer/KeepAliveThread.cpp`).
//!
//! All of it happens in the background and fails quietly: without a registry the agent is as it would
//! be without this module. It registers once; after that a registry that has forgotten it is not
//! noticed, since `keepAlive` always answers 0, until the agent is started again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tarsops_wire::Decode;
use tarsops_wire::interface::{EndpointF, field};
use tarsops_wire::packet::Response;

use super::super::conf::Endpoint;
use super::super::lies::{Lie, Lies};
use super::super::log::Log;
use super::super::net::{Client, body};
use super::super::shapes::{LoadInfo, NodeInfo, PatchResult, ServerDescriptor, ServerStateInfo};
use super::super::timings::Timings;
use super::patch::Patches;
use super::servers::Servers;
use crate::clock::since_1970;

const QUERY: &str = "tars.tarsregistry.QueryObj";
const REGISTRY: &str = "tars.tarsregistry.RegistryObj";
const ADMIN: &str = "tars.tarsAdminRegistry.AdminRegObj";
/// How long one registry may take for anything; the next one is asked then.
const PATIENCE: Duration = Duration::from_millis(1000);

/// What a registry tells for the agent's own configuration.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) template: String,
    /// Where QueryObj is, active or not, as often as it was answered.
    pub(super) queries: Vec<Endpoint>,
}

/// The agent.
pub(super) struct Agent {
    pub(super) version: String,
    pub(super) data: PathBuf,
    pub(super) timings: Timings,
    pub(super) log: Log,
    pub(super) servers: Servers,
    pub(super) patches: Patches,
    pub(super) lies: Lies,
    /// The registries of the locator.
    pub(super) queries: Vec<SocketAddr>,
    /// Its name; empty until the registry has told it, where it was started without one.
    name: Mutex<String>,
    /// The connection to a RegistryObj that works.
    registry: Mutex<Option<Client>>,
    /// When the background thread last came around, in seconds since 1970.
    around: AtomicI64,
}

impl Agent {
    pub(super) fn new(
        version: String,
        data: PathBuf,
        nodeid: &str,
        queries: Vec<SocketAddr>,
        (timings, log, servers): (Timings, Log, Servers),
    ) -> Self {
        // The literal means: the address from which the registry sees me.
        let name = Some(nodeid).filter(|name| *name != "localip.tars.com");
        Self {
            version,
            data,
            timings,
            log,
            servers,
            patches: Patches::default(),
            lies: Lies::own(),
            queries,
            name: Mutex::new(name.unwrap_or_default().to_owned()),
            registry: Mutex::default(),
            around: AtomicI64::new(seconds()),
        }
    }

    /// Seconds since 1970 of the last time that the background thread came around; it says nothing
    /// of the registry (`ServerImp.cpp`, `getLatestKeepAliveTime`).
    pub(super) fn latest_keep_alive(&self) -> i64 {
        self.around.load(Ordering::Relaxed)
    }

    pub(super) fn name(&self) -> String {
        held(&self.name).clone()
    }

    /// Registers, keeps alive, looks after the servers: for ever.
    pub(super) fn run(&self) {
        let mut registered = false;
        let mut kept: Option<Instant> = None;
        let mut synced = Instant::now();
        let mut complained = false;
        loop {
            if !registered {
                match self.register() {
                    Ok(()) => {
                        registered = true;
                        self.log.write("INFO|registered");
                    }
                    Err(why) => {
                        // Every few seconds for ever: once is enough.
                        if !complained {
                            self.log.write(&format!("WARN|cannot register: {why}"));
                        }
                        complained = true;
                    }
                }
            }
            if registered {
                if kept.is_none_or(|at| at.elapsed() >= self.timings.keep_alive) {
                    kept = Some(Instant::now());
                    let _ = self.keep_alive();
                }
                // The tables may have changed behind its back, as those of a node that was silent do.
                if synced.elapsed() >= self.timings.sync {
                    synced = Instant::now();
                    self.servers.forget_reports();
                }
                self.look_after();
            }
            self.around.store(seconds(), Ordering::Relaxed);
            let due = match kept {
                Some(_) => self.timings.monitor.min(self.timings.keep_alive),
                None => self.timings.monitor,
            };
            thread::sleep(due);
        }
    }

    fn register(&self) -> Result<(), String> {
        if self.name().is_empty() {
            let answer = self.ask("getClientIp", Vec::new())?;
            *held(&self.name) = word(&answer, 1)?;
        }
        let name = self.name();
        let info = NodeInfo {
            name: name.clone(),
            data: self.data.to_string_lossy().into_owned(),
            version: self.version.clone(),
            ..NodeInfo::default()
        };
        let answer = self.ask(
            "registerNode",
            body(|w| {
                w.put(1, &name);
                w.put(2, &info);
                w.put(3, &load());
            }),
        )?;
        match word::<i32>(&answer, 0)? {
            0 => Ok(()),
            other => Err(format!("registerNode answers {other}")),
        }
    }

    fn keep_alive(&self) -> Result<(), String> {
        self.ask(
            "keepAlive",
            body(|w| {
                w.put(1, &self.name());
                w.put(2, &load());
            }),
        )
        .map(drop)
    }

    /// Loads the servers, reports what changed, and starts those that should run and do not.
    fn look_after(&self) {
        if let Ok(descriptors) = self.load("", "") {
            self.servers.know(descriptors);
        }
        let mut changed = self.servers.changed();
        for info in &mut changed {
            info.node = self.name();
        }
        if !changed.is_empty() {
            let reported = self.ask("updateServerBatch", body(|w| w.put(1, &changed)));
            if reported.is_err() {
                self.servers.forget_reports();
            }
        }
        let dead = match self.lies.tells(Lie::StartFails) {
            true => Vec::new(),
            false => self.servers.dead(),
        };
        for (application, server) in dead {
            let (_, words) = self.servers.start(&application, &server);
            self.log
                .write(&format!("INFO|{application}.{server} was dead: {words}"));
        }
    }

    /// Reports one server at once.
    pub(super) fn report(&self, info: &ServerStateInfo) {
        let _ = self.ask(
            "updateServer",
            body(|w| {
                w.put(1, &self.name());
                w.put(2, &info.application);
                w.put(3, &info.server);
                w.put(4, info);
            }),
        );
    }

    /// Tells a server's library version (`ServerImp.cpp`, `reportVersion`).
    pub(super) fn report_library(&self, application: &str, server: &str, library: &str) {
        let name = self.name();
        let _ = self.ask(
            "reportVersion",
            body(|w| {
                w.put(1, application);
                w.put(2, server);
                w.put(3, &name);
                w.put(4, library);
            }),
        );
    }

    /// Tells what was published (`CommandPatch.cpp`, `updatePatchResult`).
    pub(super) fn patched(&self, result: &PatchResult) -> Result<(), String> {
        self.ask("updatePatchResult", body(|w| w.put(1, result)))
            .map(drop)
            .map_err(|_| {
                "patch succ but update version and user fault, get registry proxy fail".into()
            })
    }

    /// Where an object is.
    pub(super) fn places(&self, object: &str) -> Vec<SocketAddr> {
        let found = self.find("findObjectById4Any", object).unwrap_or_default();
        found.iter().filter_map(|at| at.address().ok()).collect()
    }

    /// The servers of this node, all or one.
    pub(super) fn load(
        &self,
        application: &str,
        server: &str,
    ) -> Result<Vec<ServerDescriptor>, String> {
        let name = self.name();
        let arguments = body(|w| {
            w.put(1, application);
            w.put(2, server);
            w.put(3, &name);
        });
        word(&self.ask("getServers", arguments)?, 0)
    }

    /// What a registry says of the agent's configuration; none where none answers.
    pub(super) fn told(&self) -> Option<Told> {
        let name = self.name();
        let arguments = body(|w| {
            w.put(1, &name);
            w.put(2, "");
        });
        let template = word(&self.ask("getNodeTemplate", arguments).ok()?, 2).ok()?;
        let queries = self.find("findObjectById4All", QUERY).ok()?;
        Some(Told { template, queries })
    }

    /// Where the AdminRegistries are, each once.
    pub(super) fn admins(&self) -> Result<Vec<Endpoint>, String> {
        let mut once: Vec<Endpoint> = Vec::new();
        for endpoint in self.find("findObjectById4Any", ADMIN)? {
            if !once.contains(&endpoint) {
                once.push(endpoint);
            }
        }
        Ok(once)
    }

    /// Where an object is, by the first registry of the locator that answers; inactive places last.
    fn find(&self, function: &str, object: &str) -> Result<Vec<Endpoint>, String> {
        let name = self.name();
        let context = [("node_name", name.as_str())];
        let context = if name.is_empty() { &[][..] } else { &context };
        let mut why = "no registry".to_owned();
        for address in &self.queries {
            let arguments = body(|w| {
                w.put(1, object);
                // Whoever calls these by hand sends what comes back, too.
                if function != "findObjectByIdInSameGroup" {
                    w.list(2, 0);
                    w.list(3, 0);
                }
            });
            let answer = Client::connect(*address, PATIENCE)
                .and_then(|mut client| client.call(QUERY, function, arguments, context));
            match answer {
                Ok(answer) => {
                    let active: Vec<EndpointF> = word(&answer, 2)?;
                    let inactive: Vec<EndpointF> = word(&answer, 3)?;
                    return Ok(active
                        .into_iter()
                        .chain(inactive)
                        .filter_map(place)
                        .collect());
                }
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(why)
    }

    /// Calls RegistryObj where the last call went well, else where a registry says it is.
    fn ask(&self, function: &str, arguments: Vec<u8>) -> Result<Response, String> {
        let mut registry = held(&self.registry);
        if let Some(mut client) = registry.take()
            && let Ok(answer) = client.call(REGISTRY, function, arguments.clone(), &[])
        {
            *registry = Some(client);
            return Ok(answer);
        }
        let mut why = "the registries know no RegistryObj".to_owned();
        for endpoint in self.find("findObjectByIdInSameGroup", REGISTRY)? {
            let Ok(address) = endpoint.address() else {
                continue;
            };
            let called = Client::connect(address, PATIENCE).and_then(|mut client| {
                let answer = client.call(REGISTRY, function, arguments.clone(), &[])?;
                Ok((client, answer))
            });
            match called {
                Ok((client, answer)) => {
                    *registry = Some(client);
                    return Ok(answer);
                }
                Err(error) => why = format!("{endpoint}: {error}"),
            }
        }
        Err(why)
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds() -> i64 {
    i64::try_from(since_1970().as_secs()).unwrap_or_default()
}

fn place(found: EndpointF) -> Option<Endpoint> {
    Some(Endpoint {
        host: found.host,
        port: u16::try_from(found.port).ok()?,
    })
}

fn word<T: Decode>(answer: &Response, tag: u8) -> Result<T, String> {
    match field(answer, tag) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(format!("the answer has no field {tag}")),
        Err(why) => Err(why.to_string()),
    }
}

fn load() -> LoadInfo {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').filter_map(|word| word.parse().ok());
    let mut next = || numbers.next().unwrap_or_default();
    LoadInfo {
        one: next(),
        five: next(),
        fifteen: next(),
    }
}

/// Runs the agent's background work: registering and, beside it, the long connections.
pub(super) fn begin(agent: &Arc<Agent>) {
    let keeping = Arc::clone(agent);
    thread::spawn(move || keeping.run());
    let linking = Arc::clone(agent);
    thread::spawn(move || super::link::run(&linking));
}
