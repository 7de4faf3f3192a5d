//! What the stand-in agent does once started.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::conf::{Endpoint, Section};
use super::{Behaviour, Identity, REWRITE_ENV};

/// How long `--monitor` waits for a connection and for an answer. The real one waits 2 s.
const MONITOR_PATIENCE: Duration = Duration::from_secs(2);
/// Frame that `--monitor` sends and gets back: a 4-byte length that counts itself, then a word. The
/// port being open is not enough, a stopped process keeps its port open.
const QUESTION: &[u8] = b"\0\0\0\x0ealive?\r\n\r\n";
/// Connections that are served at once; more are closed, as the real one's `maxconns` does.
const MOST_CONNECTIONS: usize = 256;

/// Run with these flags; the result is the exit code.
pub(super) fn run(identity: &Identity, flags: &[String]) -> i32 {
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    let value = |name: &str| flags.iter().rev().find_map(|flag| flag.strip_prefix(name));

    if has("--version") {
        return say(&format!("TARS:{}", identity.tarscpp));
    }
    if has("--nodeversion") {
        return say(&format!("Node:{}", identity.version));
    }
    let Some(config) = value("--config=").filter(|path| !path.is_empty()) else {
        return complain("start with --config=FILE, and --nodeid=NAME");
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
    match serve(identity, Path::new(config), nodeid) {
        Ok(()) => 0,
        Err(why) => complain(&why),
    }
}

/// One line on standard output. That nobody reads it is no reason to fail.
fn say(line: &str) -> i32 {
    let _ = writeln!(io::stdout(), "{line}");
    0
}

fn complain(why: &str) -> i32 {
    let _ = writeln!(io::stderr(), "tarsnode: {why}");
    1
}

fn read_conf(path: &Path) -> Result<Section, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read config {}: {error}", path.display()))?;
    let conf = Section::parse(&text)
        .map_err(|error| format!("cannot parse config {}: {error}", path.display()))?;
    match conf.at(&["tars", "application", "server"]) {
        Some(_) => Ok(conf),
        None => Err(format!("config {} has no <server>", path.display())),
    }
}

fn server_endpoint(conf: &Section) -> Result<Endpoint, String> {
    conf.at(&["tars", "application", "server", "ServerAdapter"])
        .and_then(|adapter| adapter.get("endpoint"))
        .ok_or_else(|| "config has no ServerAdapter endpoint".to_owned())
        .and_then(Endpoint::parse)
}

/// Ask the agent that this configuration describes whether it is alive.
fn monitor(config: &Path) -> Result<(), String> {
    let address = server_endpoint(&read_conf(config)?)?.address()?;
    let failed = |error: io::Error| format!("{address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, MONITOR_PATIENCE).map_err(failed)?;
    stream
        .set_read_timeout(Some(MONITOR_PATIENCE))
        .map_err(failed)?;
    stream.write_all(QUESTION).map_err(failed)?;
    let mut answer = vec![0; QUESTION.len()];
    stream.read_exact(&mut answer).map_err(failed)?;
    if answer == QUESTION {
        Ok(())
    } else {
        Err(format!("{address}: a strange answer"))
    }
}

/// A log file that is opened for each line, so that it may be moved or removed under us.
#[derive(Clone)]
struct Log {
    file: PathBuf,
    gate: Arc<Mutex<()>>,
}

impl Log {
    fn write(&self, line: &str) {
        let _held = self.gate.lock();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // A full disk must not end the agent.
        let _ = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .and_then(|mut file: File| {
                writeln!(file, "{}.{:03}|{line}", now.as_secs(), now.subsec_millis())
            });
    }
}

fn serve(identity: &Identity, config: &Path, nodeid: &str) -> Result<(), String> {
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
    let log_folder = folder("logpath")?.join("tars").join("tarsnode");
    std::fs::create_dir_all(&log_folder)
        .map_err(|error| format!("cannot create {}: {error}", log_folder.display()))?;
    let log = Log {
        file: log_folder.join("tars.tarsnode.log"),
        gate: Arc::default(),
    };
    log.write(&format!(
        "INFO|start {} nodeid={nodeid} pid={}",
        identity.version,
        std::process::id()
    ));

    let outcome = folder("datapath")
        .and_then(|data| serve_logged(identity, config, nodeid, &conf, &data, &log));
    if let Err(why) = &outcome {
        log.write(&format!("ERROR|{why}"));
    }
    outcome
}

fn serve_logged(
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
    for registry in &registries {
        registry.address()?;
    }

    if identity.behaviour != Behaviour::NeverListens {
        let local = conf
            .at(&["tars", "application", "server"])
            .and_then(|server| server.get("local"))
            .ok_or_else(|| "config has no local endpoint".to_owned())
            .and_then(Endpoint::parse)?;
        for endpoint in [server_endpoint(conf)?, local] {
            let listener = TcpListener::bind(endpoint.address()?)
                .map_err(|error| format!("cannot bind {endpoint}: {error}"))?;
            log.write(&format!("INFO|listening on {endpoint}"));
            thread::spawn(move || accept(&listener));
        }
    }
    make_data_files(data)?;

    let rewriter = Rewriter {
        conf: conf.clone(),
        config: config.to_path_buf(),
        nodeid: nodeid.to_owned(),
        registries,
        extra: data.join("registries"),
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

    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    for signal in signals.forever() {
        // A daemon does not end with the session that started it.
        if signal != SIGHUP {
            log.write(&format!("INFO|signal {signal}, stopping"));
            break;
        }
    }
    Ok(())
}

/// Files that the real agent leaves under its data folder.
fn make_data_files(data: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot write under {}: {error}", data.display());
    for folder in ["lib", "tmp/download"] {
        std::fs::create_dir_all(data.join(folder)).map_err(failed)?;
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

fn accept(listener: &TcpListener) {
    let open = Arc::new(());
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: do not spin.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        if Arc::strong_count(&open) <= MOST_CONNECTIONS {
            let counted = Arc::clone(&open);
            thread::spawn(move || {
                answer(stream);
                drop(counted);
            });
        }
    }
}

/// Read frames for as long as the other side keeps the connection; answer the monitor's question.
fn answer(mut stream: TcpStream) {
    let mut frame = Vec::new();
    let mut length = [0u8; 4];
    while stream.read_exact(&mut length).is_ok() {
        let rest = u32::from_be_bytes(length).saturating_sub(4);
        // The real one refuses packets larger than this, too.
        if rest > 10 * 1024 * 1024 {
            return;
        }
        frame.clear();
        frame.extend_from_slice(&length);
        match (&mut stream).take(u64::from(rest)).read_to_end(&mut frame) {
            Ok(read) if read == rest as usize => {}
            _ => return,
        }
        if frame == QUESTION && stream.write_all(QUESTION).is_err() {
            return;
        }
    }
}

/// Rewrites the configuration as the real agent does, from what it read at its start.
struct Rewriter {
    conf: Section,
    config: PathBuf,
    nodeid: String,
    registries: Vec<Endpoint>,
    extra: PathBuf,
    log: Log,
}

impl Rewriter {
    /// Write the file if it does not say what this agent believes.
    fn once(&self) -> io::Result<()> {
        let text = self.text();
        let live = std::fs::read_to_string(&self.config).unwrap_or_default();
        if live == text {
            return Ok(());
        }
        let folder = self.config.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let fresh = folder.join("config.conf.tmp");
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o666)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        drop(file);
        if !live.is_empty() {
            let mut backup = self.config.as_os_str().to_owned();
            backup.push(".bak");
            std::fs::write(backup, live)?;
        }
        std::fs::rename(&fresh, &self.config)?;
        self.log
            .write("INFO|config rewritten from the registry's template");
        Ok(())
    }

    fn text(&self) -> String {
        let mut registries = self.registries.clone();
        let extra = std::fs::read_to_string(&self.extra).unwrap_or_default();
        for line in extra.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let endpoint = Endpoint::parse(line).ok().or_else(|| {
                let (host, port) = line.split_once(':')?;
                Some(Endpoint {
                    host: host.to_owned(),
                    port: port.parse().ok()?,
                })
            });
            if let Some(endpoint) = endpoint.filter(|endpoint| !registries.contains(endpoint)) {
                registries.push(endpoint);
            }
        }
        // The registry answers its rows once per servant, hence every endpoint twice.
        let twice: Vec<String> = registries
            .iter()
            .chain(&registries)
            .map(Endpoint::to_string)
            .collect();

        let mut conf = self.conf.clone();
        let application = conf.at_mut(&["tars", "application"]);
        application.set("setdivision", "");
        let client = application.at_mut(&["client"]);
        client.set(
            "locator",
            &format!("tars.tarsregistry.QueryObj@{}", twice.join(":")),
        );
        client.set("modulename", "${modulename}");
        let server = application.at_mut(&["server"]);
        server.sections.retain(|(name, _)| name != "NodeAdapter");
        if !self.nodeid.is_empty() && self.nodeid != "localip.tars.com" {
            server.set("localip", &self.nodeid);
        }
        server.set_missing("nodename", "");
        server.set_missing("lognum", "10");
        server.set_missing("log", "tars.tarslog.LogObj");
        server.set_missing("activating-timeout", "60000");
        conf.at_mut(&["tars", "node"])
            .set_missing("cmd_white_list_ip", "");
        conf.render()
    }
}
