//! A component of the framework other than tarsnode, once started.
//!
//! Each reads its configuration, listens where the adapters in it say, and ends on SIGTERM. Most have
//! servants that answer a ping and know no function; tarsregistry, tarsAdminRegistry, tarspatch and
//! tarsnotify speak their protocol. An administration object listens on the `local` endpoint of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::conf::{Endpoint, Section};
use super::lies::Lies;
use super::log::Log;
use super::net::{Mute, Servant, listen, serve};
use super::own::{AdminObj, MOST_CONNECTIONS, Named, Own, wait_for_the_end};
use super::timings::Timings;
use super::{Behaviour, Identity, admin, complain, notify, patch, read_conf, registry, say};
use crate::store::{JsonFile, MySql, Store};

/// More are never taken, whatever the configuration says: each has a thread.
const MOST_EVER: usize = 4096;
/// Run with these flags; the result is the exit code.
pub(crate) fn run(identity: &Identity, component: &str, flags: &[String]) -> i32 {
    if flags.iter().any(|flag| flag == "--version") {
        return say(&format!("TARS:{}", identity.tarscpp));
    }
    let config = flags
        .iter()
        .rev()
        .find_map(|flag| flag.strip_prefix("--config="));
    let Some(config) = config.filter(|path| !path.is_empty()) else {
        return complain(component, "start with --config=FILE");
    };
    match start(identity, component, Path::new(config)) {
        Ok(()) => 0,
        Err(why) => complain(component, &why),
    }
}

fn start(identity: &Identity, component: &str, config: &Path) -> Result<(), String> {
    // As a daemon: a session of its own, files created with the widest mode.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::empty());
    let conf = read_conf(config)?;
    let server = conf
        .at(&["tars", "application", "server"])
        .cloned()
        .unwrap_or_default();
    let log_path = PathBuf::from(server.get("logpath").unwrap_or_default());
    if !log_path.is_absolute() {
        let path = log_path.display();
        return Err(format!("logpath '{path}' is no absolute path"));
    }
    let log = Log::open(&log_path, component)?;
    log.write(&format!(
        "INFO|start {} pid={}",
        identity.version,
        std::process::id()
    ));
    let outcome = start_logged(identity, component, &conf, &server, &log);
    if let Err(why) = &outcome {
        log.write(&format!("ERROR|{why}"));
    }
    outcome
}

fn start_logged(
    identity: &Identity,
    component: &str,
    conf: &Section,
    server: &Section,
    log: &Log,
) -> Result<(), String> {
    if identity.behaviour == Behaviour::CrashAtStart {
        return Err("fatal: cannot initialise, giving up".to_owned());
    }
    let mut adapters = Vec::new();
    for (name, section) in &server.sections {
        let Some(endpoint) = section.get("endpoint") else {
            continue;
        };
        let servant = section
            .get("servant")
            .ok_or_else(|| format!("adapter {name} names no servant"))?;
        let most = section.get("maxconns").and_then(|text| text.parse().ok());
        adapters.push((
            servant.to_owned(),
            endpoint.to_owned(),
            most.unwrap_or(MOST_CONNECTIONS).min(MOST_EVER),
        ));
    }
    if adapters.is_empty() {
        return Err("config has no adapter".to_owned());
    }
    if let Some(local) = server.get("local") {
        adapters.push(("AdminObj".into(), local.to_owned(), MOST_CONNECTIONS));
    }
    let own = Own {
        version: identity.version.clone(),
        library: identity.tarscpp.clone(),
        ip: server.get("localip").unwrap_or_default().to_owned(),
        endpoints: adapters
            .iter()
            .map(|(servant, endpoint, _)| (servant.clone(), endpoint.clone()))
            .collect(),
        timings: Timings::read(conf),
        conf: conf.clone(),
        log: log.clone(),
        lies: Lies::own(),
    };
    if identity.behaviour != Behaviour::NeverListens {
        let mut listeners = Vec::new();
        for (servant, endpoint, most) in adapters {
            let endpoint = Endpoint::parse(&endpoint)?;
            let listener = listen(&endpoint)?;
            log.write(&format!("INFO|{servant} listens on {endpoint}"));
            listeners.push((servant, listener, most));
        }
        let servants = servants(component, own)?;
        let library = identity.tarscpp.clone();
        for (name, listener, most) in listeners {
            let servant: Arc<dyn Servant> = if name == "AdminObj" {
                Arc::new(AdminObj::new(&library))
            } else {
                match servants.iter().find(|(servant, _)| *servant == name) {
                    Some((_, servant)) => Arc::clone(servant),
                    None => Arc::new(Mute),
                }
            };
            thread::spawn(move || serve(&listener, &name, &servant, most));
        }
    }
    if let Behaviour::ExitAfter(seconds) = identity.behaviour {
        let log = log.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            log.write("ERROR|fatal: giving up");
            std::process::exit(1);
        });
    }
    wait_for_the_end(log)
}

fn servants(component: &str, own: Own) -> Result<Vec<Named>, String> {
    match component {
        "tarsregistry" => {
            let store = store(&own.conf)?;
            Ok(registry::servants(own, store))
        }
        "tarsAdminRegistry" => {
            let store = store(&own.conf)?;
            Ok(admin::servants(own, store))
        }
        "tarspatch" => patch::servants(own),
        // The tables are all that it has: without them it takes calls and nothing comes of them.
        "tarsnotify" => {
            let store = store(&own.conf).ok();
            Ok(notify::servants(own, store))
        }
        _ => Ok(Vec::new()),
    }
}

/// The tables that the section `<db>` names: those of a MySQL server, or the file under
/// `standin-file`.
fn store(conf: &Section) -> Result<Arc<dyn Store>, String> {
    let db = conf
        .at(&["tars", "db"])
        .ok_or_else(|| "config has no <db>".to_owned())?;
    if let Some(file) = db.get("standin-file") {
        return Ok(Arc::new(JsonFile::new(Path::new(file))));
    }
    let get = |key: &str| db.get(key).ok_or_else(|| format!("<db> has no {key}"));
    let port = get("dbport")?
        .parse()
        .map_err(|_| "dbport is no port".to_owned())?;
    let store = MySql::new(
        get("dbhost")?,
        port,
        get("dbuser")?,
        db.get("dbpass").unwrap_or_default(),
        get("dbname")?,
    );
    match store {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(format!("cannot use the database: {error}")),
    }
}
