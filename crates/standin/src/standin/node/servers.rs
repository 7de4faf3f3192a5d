//! The servers of a node: what the registry says of them, and the processes behind them.
//!
//! A server's process is the one that runs its executable; nothing else is ever signalled. A server
//! is started as the framework's scripts do it, with the configuration that the agent once generated
//! when it loaded the server, or else with its own.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tarsops_wire::codec::Pairs;

use super::super::conf::{Endpoint, Section};
use super::super::net::{Client, body};
use super::super::shapes::{ServerDescriptor, ServerStateInfo, state};

/// How long a server may take to end before it is killed (`deactivating-timeout` as shipped).
const ENDING: Duration = Duration::from_secs(3);
/// How long a started server may take until its process is there.
const STARTING: Duration = Duration::from_secs(2);

type Key = (String, String);

struct Known {
    descriptor: ServerDescriptor,
    stopping: bool,
    /// State and process as last reported.
    reported: Option<(i32, i32)>,
}

/// The servers of this node.
pub(super) struct Servers {
    /// The agent's data folder.
    data: PathBuf,
    /// The agent's own administration object.
    local: Option<Endpoint>,
    known: Mutex<HashMap<Key, Known>>,
    /// The process that was last seen of an executable.
    seen: Mutex<HashMap<PathBuf, i32>>,
}

impl Servers {
    pub(super) fn new(data: &Path, local: Option<Endpoint>) -> Self {
        Self {
            data: data.to_path_buf(),
            local,
            known: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry's word on all servers.
    pub(super) fn know(&self, descriptors: Vec<ServerDescriptor>) {
        let mut known = self.held();
        known.retain(|(application, server), _| {
            descriptors
                .iter()
                .any(|d| (&d.application, &d.server) == (application, server))
        });
        drop(known);
        self.know_one(descriptors);
    }

    /// The registry's word on some servers.
    pub(super) fn know_one(&self, descriptors: Vec<ServerDescriptor>) {
        let mut known = self.held();
        for descriptor in descriptors {
            let key = (descriptor.application.clone(), descriptor.server.clone());
            match known.get_mut(&key) {
                Some(old) => old.descriptor = descriptor,
                None => drop(known.insert(
                    key,
                    Known {
                        descriptor,
                        stopping: false,
                        reported: None,
                    },
                )),
            }
        }
    }

    pub(super) fn forget(&self, application: &str, server: &str) {
        self.held().remove(&key(application, server));
    }

    pub(super) fn knows(&self, application: &str, server: &str) -> bool {
        self.held().contains_key(&key(application, server))
    }

    pub(super) fn is_stopping(&self, application: &str, server: &str) -> bool {
        let known = self.held();
        known
            .get(&key(application, server))
            .is_some_and(|known| known.stopping)
    }

    /// The executable, and whether the server is on its way down.
    fn find(&self, application: &str, server: &str) -> Option<(PathBuf, bool)> {
        let known = self.held();
        let known = known.get(&key(application, server))?;
        Some((self.executable(&known.descriptor), known.stopping))
    }

    /// Where a server's program is, or would be.
    pub(super) fn place(&self, application: &str, server: &str) -> Option<PathBuf> {
        self.find(application, server).map(|(exe, _)| exe)
    }

    /// The library that a server was built with, by its own word.
    pub(super) fn library(&self, application: &str, server: &str) -> Option<String> {
        let (exe, _) = self.find(application, server)?;
        let said = Command::new(exe).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout);
        let version = text.trim().strip_prefix("TARS:")?;
        (!version.is_empty()).then(|| version.to_owned())
    }

    fn executable(&self, descriptor: &ServerDescriptor) -> PathBuf {
        if !descriptor.exe.is_empty() {
            return PathBuf::from(&descriptor.exe);
        }
        let folder = format!("{}.{}", descriptor.application, descriptor.server);
        self.data.join(folder).join("bin").join(&descriptor.server)
    }

    /// How a server is (`ServerManager.cpp`, `getStateInfo`): a number, the state, words.
    pub(super) fn state(&self, application: &str, server: &str) -> (i32, ServerStateInfo, String) {
        let title = format!("getStateInfo [{application}.{server}] ");
        let known = self.held();
        let Some(of) = known.get(&key(application, server)) else {
            let info = ServerStateInfo {
                pid: -1,
                ..ServerStateInfo::default()
            };
            return (-1, info, title + "server not exist");
        };
        let (state, pid) = self.look(of);
        let enabled = of.descriptor.setting == "active";
        let info = ServerStateInfo {
            state,
            pid,
            node: String::new(),
            application: application.to_owned(),
            server: server.to_owned(),
            setting: if enabled {
                state::ACTIVE
            } else {
                state::INACTIVE
            },
            more: Pairs::default(),
        };
        (0, info, title + "succ")
    }

    fn look(&self, known: &Known) -> (i32, i32) {
        match self.process(&self.executable(&known.descriptor)) {
            Some(pid) if known.stopping => (state::DEACTIVATING, pid),
            Some(pid) => (state::ACTIVE, pid),
            None => (state::INACTIVE, 0),
        }
    }

    /// A process of an executable. Where the one that was seen last still runs, it is that one, and
    /// no other is looked at: a node looks every second, and a machine of stand-ins has many.
    fn process(&self, exe: &Path) -> Option<i32> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = seen.get(exe)
            && runs(*pid, exe, &deleted(exe))
        {
            return Some(*pid);
        }
        let found = processes(exe).first().copied();
        match found {
            Some(pid) => seen.insert(exe.to_owned(), pid),
            None => seen.remove(exe),
        };
        found
    }

    /// What differs from what was reported last; it counts as reported now.
    pub(super) fn changed(&self) -> Vec<ServerStateInfo> {
        let mut changed = Vec::new();
        for ((application, server), known) in self.held().iter_mut() {
            let seen = self.look(known);
            if known.reported != Some(seen) {
                known.reported = Some(seen);
                changed.push(ServerStateInfo {
                    state: seen.0,
                    pid: seen.1,
                    application: application.clone(),
                    server: server.clone(),
                    ..ServerStateInfo::default()
                });
            }
        }
        changed
    }

    /// Nothing counts as reported.
    pub(super) fn forget_reports(&self) {
        for known in self.held().values_mut() {
            known.reported = None;
        }
    }

    /// Servers that should run and do not.
    pub(super) fn dead(&self) -> Vec<Key> {
        self.held()
            .iter()
            .filter(|(_, known)| known.descriptor.setting == "active" && !known.stopping)
            .filter(|(_, known)| self.look(known).0 == state::INACTIVE)
            .filter(|(_, known)| self.executable(&known.descriptor).exists())
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Starts a server (`CommandStart.cpp`): a number, and words.
    pub(super) fn start(&self, application: &str, server: &str) -> (i32, String) {
        let Some((exe, _)) = self.find(application, server) else {
            return (-1, "server is not exist".to_owned());
        };
        if !processes(&exe).is_empty() {
            return (0, "server is already Active".to_owned());
        }
        if !exe.exists() {
            let words = format!("server start error: {} is not exist.", exe.display());
            return (-1, words);
        }
        let name = format!("tars.{server}");
        let generated = super::generate::place(&self.data, "tars", server);
        let own = exe
            .parent()
            .and_then(Path::parent)
            .map(|root| root.join("conf").join(format!("{name}.config.conf")));
        let config = match own {
            Some(own) if !generated.exists() => own,
            _ => generated,
        };
        let child = Command::new(&exe)
            .arg(format!("--config={}", config.display()))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            // The real one starts a script, and then finds no process.
            Err(_) => return (-1, format!("find server exe: {}", exe.display())),
            // Whoever starts a process hears of its end.
            Ok(mut child) => drop(thread::spawn(move || child.wait())),
        }
        let deadline = Instant::now() + STARTING;
        while processes(&exe).is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        (0, format!("find server exe: {}", exe.display()))
    }

    /// Stops a server and waits for its end (`CommandStop.cpp`): a number, and words.
    pub(super) fn stop(&self, application: &str, server: &str) -> (i32, String) {
        let Some((exe, stopping)) = self.find(application, server) else {
            return (-1, "server is not exist".to_owned());
        };
        if processes(&exe).is_empty() || stopping {
            return (0, "server state is Inactive. ".to_owned());
        }
        self.set_stopping(application, server, true);
        signal(&exe, Signal::TERM);
        let deadline = Instant::now() + ENDING;
        while !processes(&exe).is_empty() {
            if Instant::now() > deadline {
                signal(&exe, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.set_stopping(application, server, false);
        (0, String::new())
    }

    fn set_stopping(&self, application: &str, server: &str, stopping: bool) {
        if let Some(known) = self.held().get_mut(&key(application, server)) {
            known.stopping = stopping;
            if stopping {
                // It stays down from now on, whatever the registry said last.
                known.descriptor.setting = "inactive".to_owned();
            }
        }
    }

    /// Tells a server something and hears what it says (`CommandNotify.cpp`).
    pub(super) fn notify(&self, application: &str, server: &str, command: &str) -> (i32, String) {
        let failed = |why: String| (-1, format!("error:error{why}"));
        if (application, server) == ("tars", "tarsnode") {
            return match self.local.as_ref().map(|local| tell(local, command)) {
                Some(Ok(said)) => (0, said),
                Some(Err(why)) => failed(why),
                None => failed("no local endpoint".to_owned()),
            };
        }
        let Some((exe, _)) = self.find(application, server) else {
            return (-1, "server is not exist".to_owned());
        };
        let Some(pid) = processes(&exe).first().copied() else {
            return (-1, "error:server state is Inactive. ".to_owned());
        };
        let said = configuration(pid)
            .ok_or_else(|| "no configuration".to_owned())
            .and_then(|path| fs::read_to_string(path).map_err(|error| error.to_string()))
            .and_then(|text| Section::parse(&text))
            .and_then(|conf| {
                conf.at(&["tars", "application", "server"])
                    .and_then(|server| server.get("local"))
                    .ok_or_else(|| "no local endpoint".to_owned())
                    .and_then(Endpoint::parse)
            })
            .and_then(|local| tell(&local, command));
        match said {
            Ok(said) => (0, format!("succ:{said}")),
            Err(why) => failed(why),
        }
    }
}

fn key(application: &str, server: &str) -> Key {
    (application.to_owned(), server.to_owned())
}

fn tell(local: &Endpoint, command: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut client = Client::connect(local.address()?, Duration::from_secs(2)).map_err(failed)?;
    let answer = client
        .call("AdminObj", "notify", body(|w| w.put(1, command)), &[])
        .map_err(failed)?;
    let said = tarsops_wire::interface::field(&answer, 0).map_err(|why| why.to_string())?;
    said.ok_or_else(|| "no answer in the answer".to_owned())
}

/// The file after `--config=` on a process's command line.
fn configuration(pid: i32) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let config = line
        .split(|byte| *byte == 0)
        .find_map(|word| word.strip_prefix(b"--config="))?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(config)))
}

/// The processes that run this executable, the one that is there or one that lay there before.
fn processes(exe: &Path) -> Vec<i32> {
    let deleted = deleted(exe);
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| runs(*pid, exe, &deleted))
        .collect()
}

/// How the kernel calls an executable whose file is gone.
fn deleted(exe: &Path) -> PathBuf {
    let mut deleted = exe.as_os_str().to_owned();
    deleted.push(" (deleted)");
    PathBuf::from(deleted)
}

fn runs(pid: i32, exe: &Path, deleted: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == exe || path == deleted)
}

fn signal(exe: &Path, signal: Signal) {
    for pid in processes(exe) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = kill_process(pid, signal);
        }
    }
}
