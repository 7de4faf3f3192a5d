//! The real client: one OpenSSH master per host, through the `openssh` crate.
//!
//! OpenSSH's own configuration is respected. What the spec says stands before it in a generated
//! configuration file (a file, because `ssh -J` hands no `-o` option on to the jump host): host
//! keys are always checked, nothing ever asks, keep-alives find a frozen host. Masters end with
//! us; one that outlives a killed tarsops ends after [`PERSIST_SECS`] of idleness.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use openssh::Session;
use tarsops_model::digest::Digest;
use tarsops_model::host::{Jump, SshAccess};
use tarsops_model::names::{Endpoint, NodeName};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::Mutex;

mod config;
mod failure;
mod host;
mod keep;
mod receive;
mod scan;

pub use host::ANSWER;
pub use scan::{ConfigRefusal, scan};

use config::client_config;
use failure::{Words, connect_fault};
use host::SshHost;
use keep::Keep;

use crate::remote::{Connect, Fault, FaultKind, Remote};

/// Seconds of idleness after which an orphaned SSH master ends.
pub const PERSIST_SECS: u64 = 20;
/// Connections that are kept between uses; with more hosts each is closed after its use.
pub const KEEP: usize = 64;
/// Bytes of standard error that are kept.
const MAX_STDERR: usize = 64 << 10;
const NO_SSH: &str = "there is no program `ssh` in PATH on this machine; install it (Debian and Ubuntu: openssh-client, Fedora and RHEL: openssh-clients)";

/// How host keys that were never seen are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewHostKeys {
    /// Refused.
    #[default]
    Refuse,
    /// Written to the known hosts file; a key that changed is refused still.
    Accept,
}

/// Connects to the nodes of one spec.
pub struct SshConnector {
    access: BTreeMap<NodeName, SshAccess>,
    new_keys: NewHostKeys,
    dir: tempfile::TempDir,
    kept: Mutex<HashMap<NodeName, Arc<SshHost>>>,
    /// Whether connections are kept between uses.
    keep: bool,
    /// Where connections are that the next run may use.
    lasting: Option<Keep>,
    sockets: AtomicU32,
    /// Taken while a connection to the node is being made.
    turns: Mutex<HashMap<NodeName, Arc<Mutex<()>>>>,
    /// Variables of the environment that `ssh` does not see.
    hidden: Vec<String>,
}

impl SshConnector {
    /// Prepares connections to the nodes in `access`; nothing is connected yet.
    ///
    /// # Errors
    /// A [`Fault`] if there is no `ssh` on this machine, or no private temporary folder can be made.
    pub fn new(
        access: BTreeMap<NodeName, SshAccess>,
        new_keys: NewHostKeys,
    ) -> Result<Self, Fault> {
        if !is_program_in(&std::env::var_os("PATH").unwrap_or_default(), "ssh") {
            return Err(local(NO_SSH));
        }
        let dir = crate::folder::private("tarsops-")
            .map_err(|e| local(format!("could not make a folder for sockets: {e}")))?;
        let keep = access.len() <= KEEP;
        Ok(Self {
            access,
            new_keys,
            dir,
            kept: Mutex::default(),
            keep,
            lasting: None,
            sockets: AtomicU32::new(0),
            turns: Mutex::default(),
            hidden: Vec::new(),
        })
    }

    /// Keeps these variables of our environment from `ssh`, and from whatever that starts.
    #[must_use]
    pub fn hiding(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.hidden.extend(names);
        self
    }

    /// Leaves connections to the next run, which takes them over unless they were idle for longer.
    ///
    /// # Errors
    /// A [`Fault`] if this machine has no folder for them that is ours alone.
    pub fn keeping(mut self, idle: Option<Duration>) -> Result<Self, Fault> {
        self.lasting = match idle {
            None => None,
            Some(idle) => Some(Keep::new(idle).map_err(|e| {
                local(format!("could not make a folder for kept connections: {e}"))
            })?),
        };
        self.keep |= self.lasting.is_some();
        Ok(self)
    }

    /// Ends every connection but those that are left to the next run.
    pub async fn close(&self) {
        let kept: Vec<_> = self.kept.lock().await.drain().collect();
        futures::future::join_all(kept.into_iter().map(|(_, host)| async move {
            if self.lasting.is_some() {
                host.cancel_tunnels().await;
            } else if let Ok(host) = Arc::try_unwrap(host) {
                host.close().await;
            }
        }))
        .await;
    }

    /// A connection to `node`: one that stands, or a new one.
    async fn host(&self, node: &NodeName) -> Result<Arc<SshHost>, Fault> {
        // Whoever comes while a connection is being made waits for it rather than making another.
        let turn = Arc::clone(self.turns.lock().await.entry(node.clone()).or_default());
        let _turn = turn.lock().await;
        let kept = self.kept.lock().await.get(node).map(Arc::clone);
        if let Some(host) = kept {
            if host.is_alive().await {
                return Ok(host);
            }
            // An idle master ends by itself after a while, as does one whose server went away.
            drop(host);
            self.forget(node).await;
        }
        let host = Arc::new(self.open(node).await?);
        if self.keep {
            self.kept
                .lock()
                .await
                .insert(node.clone(), Arc::clone(&host));
        }
        Ok(host)
    }

    /// The generated client configuration for one access; equal ones share a file.
    fn config_for(&self, access: &SshAccess) -> Result<PathBuf, Fault> {
        let home = std::env::home_dir();
        let write = || -> std::io::Result<PathBuf> {
            let text = client_config(access, self.new_keys, home.as_deref(), self.dir.path())?;
            let name = format!("c{}", Digest::of(text.as_bytes()).short());
            let path = self.dir.path().join(name);
            if !path.exists() {
                // The folder is ours alone; whole or not at all, as others may come for it now.
                let mut file = tempfile::NamedTempFile::new_in(self.dir.path())?;
                std::io::Write::write_all(&mut file, text.as_bytes())?;
                file.persist(&path)?;
            }
            Ok(path)
        };
        write().map_err(|e| local(format!("could not write the configuration for ssh: {e}")))
    }

    async fn open(&self, node: &NodeName) -> Result<SshHost, Fault> {
        let access = self
            .access
            .get(node)
            .ok_or_else(|| local(format!("the spec has no way to reach {node}")))?;
        let config = self.config_for(access)?;
        tracing::debug!(node = %node, address = %access.address, "connect");
        // OpenSSH counts its own time-out again for a jump host, so ours is the longer one.
        let timeout = Duration::from_secs(u64::from(access.connect_timeout));
        let patience = timeout * 2 + Duration::from_secs(2);
        let session = match &self.lasting {
            Some(keep) => {
                self.lasting_session(keep, &config, access, patience)
                    .await?
            }
            None => {
                let dir = tempfile::Builder::new()
                    .prefix("m")
                    .permissions(std::fs::Permissions::from_mode(0o700))
                    .tempdir_in(self.dir.path())
                    .map_err(no_folder)?;
                let persist = Duration::from_secs(PERSIST_SECS);
                self.master(&config, access, dir.path(), persist, patience)
                    .await?;
                Session::new_native_mux(dir)
            }
        };
        Ok(SshHost::new(node.clone(), session, access.r#become))
    }

    /// The connection that an earlier run has left, or a new one for the next run.
    async fn lasting_session(
        &self,
        keep: &Keep,
        config: &Path,
        access: &SshAccess,
        patience: Duration,
    ) -> Result<Session, Fault> {
        let home = std::env::home_dir();
        let turn = keep
            .turn(access, self.new_keys, home.as_deref())
            .await
            .map_err(no_folder)?;
        if let Some(session) = turn.resume().await {
            tracing::debug!(address = %access.address, "a kept connection");
            return Ok(session);
        }
        turn.begin().map_err(no_folder)?;
        let made = self
            .master(config, access, &turn.dir, keep.idle, patience)
            .await;
        if let Err(fault) = made {
            turn.clear();
            return Err(fault);
        }
        Ok(Session::resume_mux(turn.socket().into(), None))
    }

    /// Starts `ssh` as a master in the background, with its socket in `dir`, as [`SessionBuilder`](openssh::SessionBuilder)
    /// would, which gives it all of our environment. Whatever can stand in the configuration does:
    /// there alone paths are written so that OpenSSH reads them as they are.
    async fn master(
        &self,
        config: &Path,
        access: &SshAccess,
        dir: &Path,
        persist: Duration,
        patience: Duration,
    ) -> Result<(), Fault> {
        let log = dir.join("log");
        // What leads to the host writes here: `ssh` to a jump host, or a ProxyCommand.
        let way = dir.join("way");
        let errors = std::fs::File::create_new(&way).map_err(no_folder)?;
        let mut ssh = tokio::process::Command::new("ssh");
        // Without -v a configuration could hide why it fails (LogLevel), and the words of a jump host
        // would be lost, as ControlPersist closes its standard error.
        ssh.arg("-v");
        ssh.arg("-F").arg(config).arg("-E").arg(&log);
        ssh.arg("-S").arg(dir.join("master"));
        ssh.args(["-M", "-f", "-N"]);
        ssh.arg("-o")
            .arg(format!("ControlPersist={}s", persist.as_secs()));
        if let Some(port) = access.port {
            ssh.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &access.user {
            ssh.arg("-l").arg(user.as_str());
        }
        if let Jump::Through(jump) = &access.jump {
            ssh.arg("-J").arg(jump.to_string());
        }
        ssh.arg("--").arg(access.address.as_str());
        for name in &self.hidden {
            ssh.env_remove(name);
        }
        let mut child = ssh
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(errors)
            // Ctrl-C of a terminal goes to us, who let what runs end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => local(NO_SSH),
                _ => local(format!("the program ssh cannot be started: {e}")),
            })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let group = group.and_then(rustix::process::Pid::from_raw);
        // It goes to the background as soon as it is logged in.
        let ended = tokio::time::timeout(patience, child.wait()).await;
        let timed_out = match ended {
            Ok(Ok(status)) if status.success() => return Ok(()),
            Ok(Ok(_)) => false,
            Ok(Err(e)) => return Err(local(format!("the program ssh cannot be waited for: {e}"))),
            Err(_) => {
                let _ = child.kill().await;
                true
            }
        };
        // The programs that lead to the host outlive it. Where two jump hosts lead to each other, they are a
        // chain of `ssh` that never stops growing. What became a daemon has a session of its own.
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
        let (log, way) = tokio::join!(end(&log), end(&way));
        tracing::debug!(address = %access.address, log, way, "ssh failed");
        let words = Words {
            log: &log,
            way: &way,
            timed_out,
        };
        Err(connect_fault(words, access))
    }
}

/// The whole lines in the last [`MAX_STDERR`] bytes of a file; nothing if it cannot be read.
async fn end(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = tokio::fs::File::open(path).await {
        let len = file.metadata().await.map_or(0, |m| m.len());
        let from = len.saturating_sub(MAX_STDERR as u64);
        if file.seek(std::io::SeekFrom::Start(from)).await.is_ok() {
            let _ = file.take(MAX_STDERR as u64).read_to_end(&mut bytes).await;
        }
        // Without its beginning, a line of debug output reads as an error.
        if from > 0 {
            let cut = bytes.iter().position(|b| *b == b'\n');
            bytes.drain(..cut.map_or(bytes.len(), |at| at + 1));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a program called `name` is in one of the folders of `path`, as in the variable `PATH`.
fn is_program_in(path: &std::ffi::OsStr, name: &str) -> bool {
    std::env::split_paths(path).any(|folder| {
        let file = folder.join(name);
        file.is_file() && rustix::fs::access(&file, rustix::fs::Access::EXEC_OK).is_ok()
    })
}

fn no_folder(error: std::io::Error) -> Fault {
    local(format!("could not make a folder for a socket: {error}"))
}

fn local(text: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Local, text)
}

impl Connect for SshConnector {
    fn connect<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Remote>, Fault>> {
        Box::pin(async move { Ok(self.host(node).await? as Arc<dyn Remote>) })
    }

    fn tunnel<'a>(
        &'a self,
        node: &'a NodeName,
        to: &'a Endpoint,
    ) -> BoxFuture<'a, Result<PathBuf, Fault>> {
        Box::pin(async move {
            let host = self.host(node).await?;
            // The name is ours alone: the folder is private, and a new connection counts on.
            let number = self.sockets.fetch_add(1, Ordering::Relaxed);
            let path = host
                .tunnel(to, self.dir.path().join(format!("t{number}")))
                .await?;
            // With very many hosts connections are not kept, and a tunnel needs its own.
            if !self.keep {
                self.kept.lock().await.entry(node.clone()).or_insert(host);
            }
            Ok(path)
        })
    }

    fn forget<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let host = self.kept.lock().await.remove(node);
            if let Some(Ok(host)) = host.map(Arc::try_unwrap) {
                host.close().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenSSH writes where it found an option as debug output, which is no error of the configuration.
    #[tokio::test]
    async fn what_is_read_of_a_long_file_begins_with_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("way");
        let line = "debug1: /etc/ssh/ssh_config line 4: Applying options for 10.77.*\r\n";
        let text = line.repeat(MAX_STDERR / line.len() + 2);
        // Each place where a line can be cut.
        for more in 0..line.len() {
            std::fs::write(&file, format!("{text}{}", &line[..more])).unwrap();
            let read = end(&file).await;
            assert!(read.starts_with("debug1: "), "{more}: {}", &read[..80]);
            assert!(read.len() >= MAX_STDERR - line.len());
        }
        std::fs::write(&file, line).unwrap();
        assert_eq!(end(&file).await, line);
        let endless = "x".repeat(MAX_STDERR + 1);
        std::fs::write(&file, endless).unwrap();
        assert_eq!(end(&file).await, "");
    }
}
