//! What the stand-in agent does once started.

mod agent;
mod generate;
mod link;
mod patch;
mod rewrite;
mod servers;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tarsops_wire::interface::NODE;
use tarsops_wire::packet::Request;

use self::agent::Agent;
use self::rewrite::Rewriter;
use super::conf::{Endpoint, Section};
use super::log::Log;
use super::net::{Arguments, Caller, Client, Outcome, Reply, Servant, body, listen, serve};
use super::own::{AdminObj, MOST_CONNECTIONS, wait_for_the_end};
use super::timings::Timings;
use super::{Behaviour, Identity, REWRITE_ENV, complain, read_conf, say};
use crate::clock::since_1970;

/// How long `--monitor` waits for a connection and for an answer. The real one waits 2 s.
const MONITOR_PATIENCE: Duration = Duration::from_secs(2);
/// Seconds after which the agent's background thread counts as hanging (`main.cpp`).
const HANGING: i64 = 300;

/// Run with these flags; the result is the exit code.
pub(crate) fn run(identity: &Identity, flags: &[String]) -> i32 {
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    let value = |name: &str| flags.iter().rev().find_map(|flag| flag.strip_prefix(name));

    if has("--version") {
        return say(&format!("TARS:{}", identity.tarscpp));
    }
    if has("--nodeversion") {
        return say(&format!("Node:{}", identity.version));
    }
    let Some(config) = value("--config=").filter(|path| !path.is_empty()) else {
        return complain("tarsnode", "start with --config=FILE, and --nodeid=NAME");
    };
    if has("--monitor") {
        return match monitor(Path::new(config)) {
            Ok(()) => 0,
            Err(why) => {
                say(&format!("monitor failed: {why}"));
                255
            }
        };
    }
    let nodeid = value("--nodeid=").unwrap_or_default();
    match start(identity, Path::new(config), nodeid) {
        Ok(()) => 0,
        Err(why) => complain("tarsnode", &why),
    }
}

fn server_endpoint(conf: &Section) -> Result<Endpoint, String> {
    conf.at(&["tars", "application", "server", "ServerAdapter"])
        .and_then(|adapter| adapter.get("endpoint"))
        .ok_or_else(|| "config has no ServerAdapter endpoint".to_owned())
        .and_then(Endpoint::parse)
}

/// Ask the agent that this configuration describes when its background thread last came around. An
/// open port is not enough: a stopped process keeps its port open.
fn monitor(config: &Path) -> Result<(), String> {
    let address = server_endpoint(&read_conf(config)?)?.address()?;
    let failed = |error: io::Error| format!("{address}: {error}");
    let mut client = Client::connect(address, MONITOR_PATIENCE).map_err(failed)?;
    let answer = client
        .call(NODE, "getLatestKeepAliveTime", Vec::new(), &[])
        .map_err(failed)?;
    let around = tarsops_wire::interface::field::<i64>(&answer, 0)
        .map_err(|why| format!("{address}: {why}"))?
        .unwrap_or_default();
    let now = i64::try_from(since_1970().as_secs()).unwrap_or_default();
    if now - around <= HANGING {
        Ok(())
    } else {
        Err(format!("{address}: silent for {} s", now - around))
    }
}

fn start(identity: &Identity, config: &Path, nodeid: &str) -> Result<(), String> {
    // As a daemon: a session of its own, files created with the widest mode.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::empty());

    let conf = read_conf(config)?;
    let server = conf
        .at(&["tars", "application", "server"])
        .cloned()
        .unwrap_or_default();
    let folder = |key: &str| -> Result<PathBuf, String> {
        let path = PathBuf::from(server.get(key).unwrap_or_default());
        if !path.is_absolute() {
            return Err(format!("{key} '{}' is no absolute path", path.display()));
        }
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(path)
    };
    let log = Log::open(&folder("logpath")?, "tarsnode")?;
    log.write(&format!(
        "INFO|start {} nodeid={nodeid} pid={}",
        identity.version,
        std::process::id()
    ));

    let outcome = folder("datapath")
        .and_then(|data| start_logged(identity, config, nodeid, &conf, &data, &log));
    if let Err(why) = &outcome {
        log.write(&format!("ERROR|{why}"));
    }
    outcome
}

fn start_logged(
    identity: &Identity,
    config: &Path,
    nodeid: &str,
    conf: &Section,
    data: &Path,
    log: &Log,
) -> Result<(), String> {
    if identity.behaviour == Behaviour::CrashAtStart {
        return Err("fatal: cannot initialise the server map, giving up".to_owned());
    }
    let locator = conf
        .at(&["tars", "application", "client"])
        .and_then(|client| client.get("locator"))
        .ok_or_else(|| "config has no locator".to_owned())?;
    let registries = Endpoint::parse_locator(locator)?;
    let queries = registries
        .iter()
        .map(Endpoint::address)
        .collect::<Result<Vec<_>, _>>()?;
    let local = conf
        .at(&["tars", "application", "server"])
        .and_then(|server| server.get("local"))
        .and_then(|text| Endpoint::parse(text).ok());
    let agent = Arc::new(Agent::new(
        identity.version.clone(),
        data.to_path_buf(),
        nodeid,
        queries,
        (
            Timings::read(conf),
            log.clone(),
            servers::Servers::new(data, local),
        ),
    ));

    if identity.behaviour != Behaviour::NeverListens {
        let local = conf
            .at(&["tars", "application", "server"])
            .and_then(|server| server.get("local"))
            .ok_or_else(|| "config has no local endpoint".to_owned())
            .and_then(Endpoint::parse)?;
        let objects: [(Endpoint, &str, Arc<dyn Servant>); 2] = [
            (
                server_endpoint(conf)?,
                NODE,
                Arc::new(ServerObj(Arc::clone(&agent))),
            ),
            (
                local,
                "AdminObj",
                Arc::new(AdminObj::new(&identity.tarscpp)),
            ),
        ];
        for (endpoint, name, servant) in objects {
            let listener = listen(&endpoint)?;
            log.write(&format!("INFO|listening on {endpoint}"));
            thread::spawn(move || serve(&listener, name, &servant, MOST_CONNECTIONS));
        }
    }
    make_data_files(data)?;
    if identity.behaviour != Behaviour::NeverListens {
        agent::begin(&agent);
    }

    let rewriter = Rewriter {
        conf: conf.clone(),
        config: config.to_path_buf(),
        nodeid: nodeid.to_owned(),
        registries,
        extra: data.join("registries"),
        agent: Arc::clone(&agent),
        log: log.clone(),
    };
    let every = std::env::var(REWRITE_ENV)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(identity.rewrite_ms)
        .max(10);
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(every));
            if let Err(error) = rewriter.once() {
                rewriter
                    .log
                    .write(&format!("ERROR|cannot rewrite the config: {error}"));
            }
        }
    });
    if let Behaviour::ExitAfter(seconds) = identity.behaviour {
        let log = log.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            log.write("ERROR|fatal: lost the server map, giving up");
            std::process::exit(1);
        });
    }

    wait_for_the_end(log)
}

/// Files that the real agent leaves under its data folder.
fn make_data_files(data: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot write under {}: {error}", data.display());
    for folder in ["lib", "tmp/download"] {
        std::fs::create_dir_all(data.join(folder)).map_err(failed)?;
    }
    // Those that it remembers from before get a folder with an empty bin, wherever they are now
    // (`NodeServer/CommandLoad.cpp`).
    let tars = data.parent().and_then(Path::parent);
    for entry in std::fs::read_dir(data).map_err(failed)?.flatten() {
        let name = entry.file_name();
        if let (Some(server), Some(tars)) =
            (name.to_str().and_then(|n| n.strip_prefix("tars.")), tars)
            && entry.path().is_dir()
        {
            std::fs::create_dir_all(tars.join(server).join("bin")).map_err(failed)?;
        }
    }
    let cache = data.join("serversCache.dat");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o666)
        .open(cache)
        .map_err(failed)?;
    file.set_len(64 * 1024).map_err(failed)
}

/// The agent's own object (TarsProtocol `servant/NodeF.tars`). What servers report to it is taken and
/// not needed: the agent looks at processes.
struct ServerObj(Arc<Agent>);

impl Servant for ServerObj {
    fn call(&self, _caller: &Caller, request: &Request) -> Outcome {
        Ok(match request.function.as_str() {
            "getLatestKeepAliveTime" => Reply::Body(body(|w| w.int(0, self.0.latest_keep_alive()))),
            "keepAlive" | "keepActiving" | "reportVersion" => {
                Arguments::of(request)?;
                Reply::Body(body(|w| w.int(0, 0)))
            }
            _ => Reply::NoFunction,
        })
    }
}
