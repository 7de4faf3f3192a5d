//! The long connections to the AdminRegistries (TarsFramework `NodeServer/ServerManager.cpp`).
//!
//! The agent connects and says its name every 10 s; commands come on the same connection as answers
//! that nobody asked for, and each is reported on with a one-way call.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tarsops_wire::interface::admin_code::LOAD_DESC;
use tarsops_wire::interface::{ADMIN, field};
use tarsops_wire::packet::{Request, Response};

use super::super::conf::Endpoint;
use super::super::lies::Lie;
use super::super::net::{body, read_frame};
use super::super::own::end_self;
use super::super::shapes::{PatchInfo, ReportNode, Reported, Text};
use super::agent::Agent;

/// How long a connection may take to come about, and to take what is written.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon a connection that broke is made again.
const RETRY: Duration = Duration::from_secs(1);

/// A connection to one AdminRegistry.
struct Link {
    stream: Mutex<TcpStream>,
    /// The last number that a call got.
    id: AtomicI32,
    broken: AtomicBool,
}

impl Link {
    fn call(&self, function: &str, packet_type: i8, timeout: i32, arguments: Vec<u8>) {
        let id = self.id.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut request = Request::new(id, ADMIN, function, arguments);
        request.packet_type = packet_type;
        request.timeout = timeout;
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = request
            .to_frame()
            .is_ok_and(|bytes| stream.write_all(&bytes).is_ok());
        if !sent {
            self.broken.store(true, Ordering::Relaxed);
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn close(&self) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Keeps the connections, for ever.
pub(super) fn run(agent: &Arc<Agent>) {
    let session = session();
    let mut links: HashMap<String, Arc<Link>> = HashMap::new();
    let mut said: Option<Instant> = None;
    let mut looked: Option<Instant> = None;
    loop {
        if agent.name().is_empty() {
            // Until the registry has told who it is, it has nothing to say.
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        let due = said.is_none_or(|at| at.elapsed() >= agent.timings.report);
        let broken = links
            .values()
            .any(|link| link.broken.load(Ordering::Relaxed));
        // With nobody there it looks as often as it looks for a registry.
        let alone = links.is_empty()
            && looked.is_none_or(|at: Instant| at.elapsed() >= agent.timings.monitor);
        if due || broken || alone {
            looked = Some(Instant::now());
            if let Ok(admins) = agent.admins() {
                links.retain(|host, link| {
                    let stays = admins.iter().any(|admin| admin.host == *host);
                    if !stays {
                        link.close();
                    }
                    stays && !link.broken.load(Ordering::Relaxed)
                });
                for admin in admins {
                    if !links.contains_key(&admin.host)
                        && let Ok(link) = connect(agent, &admin)
                    {
                        if !due {
                            say(agent, &link, &session);
                        }
                        links.insert(admin.host, link);
                    }
                }
            } else {
                links.retain(|_, link| !link.broken.load(Ordering::Relaxed));
            }
            if due {
                said = Some(Instant::now());
                links.values().for_each(|link| say(agent, link, &session));
            }
        }
        thread::sleep(RETRY.min(agent.timings.report));
    }
}

/// What distinguishes this process from every other agent: 32 hexadecimal digits.
fn session() -> String {
    let mut random = [0u8; 16];
    let _ = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn say(agent: &Agent, link: &Link, session: &str) {
    let node = ReportNode {
        name: agent.name(),
        session: session.to_owned(),
    };
    link.call("reportNode", 0, 6000, body(|w| w.put(1, &node)));
}

fn connect(agent: &Arc<Agent>, admin: &Endpoint) -> io::Result<Arc<Link>> {
    let address = admin.address().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reading = stream.try_clone()?;
    let link = Arc::new(Link {
        stream: Mutex::new(stream),
        id: AtomicI32::new(0),
        broken: AtomicBool::new(false),
    });
    let (agent, reader) = (Arc::clone(agent), Arc::clone(&link));
    thread::spawn(move || {
        while let Some(frame) = read_frame(&mut reading) {
            let Ok(message) = Response::from_frame(&frame) else {
                break;
            };
            // Answers to the agent's own calls say nothing that it waits for.
            if message.id == 0
                && let Some(function) = message.status.get("TARS_FUNC").cloned()
            {
                let (agent, link) = (Arc::clone(&agent), Arc::clone(&reader));
                thread::spawn(move || obey(&agent, &link, &function, &message));
            }
        }
        reader.broken.store(true, Ordering::Relaxed);
        reader.close();
    });
    Ok(link)
}

fn word(message: &Response, tag: u8) -> String {
    field(message, tag).ok().flatten().unwrap_or_default()
}

/// Carries out one command and reports on it.
fn obey(agent: &Arc<Agent>, link: &Link, function: &str, message: &Response) {
    let Ok(Some(id)) = field::<i32>(message, 1) else {
        return;
    };
    let (application, server) = (word(message, 3), word(message, 4));
    let (ret, result): (i32, Vec<u8>) = match function {
        "ping" => (0, "ping succ".into()),
        "shutdown" => (0, Vec::new()),
        "getStateInfo" => {
            let (ret, info, words) = agent.servers.state(&application, &server);
            let report = body(|w| {
                w.put(0, &info);
                w.put(1, &words);
            });
            (ret, report)
        }
        "startServer" => start(agent, &application, &server),
        "stopServer" => stop(agent, &application, &server),
        "loadServer" => match loaded(agent, &application, &server) {
            Ok(()) => (0, " succ".into()),
            Err(_) => (
                LOAD_DESC,
                " error::cannot load server description.\n".into(),
            ),
        },
        "notifyServer" => {
            let (ret, words) = agent
                .servers
                .notify(&application, &server, &word(message, 5));
            (ret, words.into_bytes())
        }
        "patchPro" => {
            if let Some(time) = agent.lies.busy() {
                thread::sleep(time);
            }
            match field(message, 3) {
                Ok(Some(request)) => super::patch::begin(agent, request),
                _ => (-1, "the request cannot be read".into()),
            }
        }
        "getPatchPercent" => patch_percent(agent, &application, &server),
        // The real one reports something that AdminRegistry cannot read.
        "getNodeLoad" => return,
        _ => (-1, format!("the stand-in has no command {function}").into()),
    };
    let report = Reported {
        id,
        function: format!("callback_{function}"),
        ret,
        result: Text(result),
    };
    link.call("reportResult", 1, 5000, body(|w| report.write_fields(w)));
    if function == "shutdown" {
        agent.log.write("INFO|shut down by AdminRegistry");
        end_self();
    }
}

/// Has the registry's word on one server.
pub(super) fn loaded(agent: &Agent, application: &str, server: &str) -> Result<(), String> {
    let found = agent.load(application, server)?;
    if found.is_empty() {
        agent.servers.forget(application, server);
        return Err("the registry has no such server".to_owned());
    }
    for descriptor in &found {
        if let Err(why) = super::generate::write(agent, descriptor) {
            agent.log.write(&format!("ERROR|{why}"));
            return Err(why);
        }
    }
    agent.servers.know_one(found);
    Ok(())
}

fn start(agent: &Agent, application: &str, server: &str) -> (i32, Vec<u8>) {
    let refused = || {
        let words = "error::cannot load server description from registry.\n";
        (LOAD_DESC, words.into())
    };
    // One that is on its way down is not loaded: restarts lose against themselves here.
    if agent.servers.is_stopping(application, server) || loaded(agent, application, server).is_err()
    {
        return refused();
    }
    let (ret, words) = match agent.servers.place(application, server) {
        Some(exe) if agent.lies.tells(Lie::StartFails) => {
            (-1, format!("find server exe: {}", exe.display()))
        }
        _ => agent.servers.start(application, server),
    };
    if ret != 0 {
        return (ret, format!("error:{words}").into());
    }
    let (_, info, _) = agent.servers.state(application, server);
    agent.report(&info);
    // A server that has started tells its library's version, which its node passes on.
    if let Some(library) = agent.servers.library(application, server) {
        agent.report_library(application, server, &library);
    }
    (
        0,
        format!("server is activating, please check: {words}").into(),
    )
}

fn stop(agent: &Agent, application: &str, server: &str) -> (i32, Vec<u8>) {
    let mut words = String::new();
    let mut ret = -1;
    if agent.servers.knows(application, server) {
        let (stopped, how) = agent.servers.stop(application, server);
        ret = stopped;
        words = if ret == 0 { "succ:" } else { "error:" }.to_owned() + &how;
        let (_, info, _) = agent.servers.state(application, server);
        agent.report(&info);
    }
    if loaded(agent, application, server).is_err() {
        let words = words + " cannot load server description from regisrty server is  not exist";
        return (LOAD_DESC, words.into());
    }
    (ret, words.into())
}

/// How far it is with what it publishes.
fn patch_percent(agent: &Agent, application: &str, server: &str) -> (i32, Vec<u8>) {
    if !agent.servers.knows(application, server) {
        let info = PatchInfo {
            result: format!("getPatchPercent [{application}.{server}] server not exist"),
            ..PatchInfo::default()
        };
        return (LOAD_DESC, body(|w| info.write_fields(w)));
    }
    let (ret, info) = agent.patches.percent(application, server);
    (ret, body(|w| info.write_fields(w)))
}
