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
use openssh::{ForwardType, Session, Socket, Stdio};
use tarsops_model::digest::Digest;
use tarsops_model::host::{Become, SshAccess};
use tarsops_model::names::{Endpoint, NodeName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

mod config;
mod receive;
mod scan;

pub use scan::{ConfigRefusal, scan};

use config::client_config;

use crate::remote::{Bounds, Connect, Fault, FaultKind, Output, Payload, Remote, quote};

/// Seconds of idleness after which an orphaned SSH master ends.
pub const PERSIST_SECS: usize = 20;
/// Connections that are kept between uses; with more hosts each is closed after its use.
pub const KEEP: usize = 64;
/// Bytes of standard error that are kept.
const MAX_STDERR: usize = 64 << 10;

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
    keep: bool,
    sockets: AtomicU32,
    /// Taken while a connection to the node is being made.
    turns: Mutex<HashMap<NodeName, Arc<Mutex<()>>>>,
    /// Variables of the environment that `ssh` does not see.
    hidden: Vec<String>,
}

/// One connected host.
struct SshHost {
    session: Session,
    r#become: Become,
    /// Unix sockets that lead through it, by where to.
    tunnels: Mutex<HashMap<Endpoint, PathBuf>>,
}

impl SshConnector {
    /// Prepares connections to the nodes in `access`; nothing is connected yet.
    ///
    /// # Errors
    /// A [`Fault`] if no private temporary folder can be made.
    pub fn new(
        access: BTreeMap<NodeName, SshAccess>,
        new_keys: NewHostKeys,
    ) -> Result<Self, Fault> {
        let dir = crate::folder::private("tarsops-")
            .map_err(|e| local(format!("could not make a folder for sockets: {e}")))?;
        let keep = access.len() <= KEEP;
        Ok(Self {
            access,
            new_keys,
            dir,
            kept: Mutex::default(),
            keep,
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

    /// Ends every kept connection.
    pub async fn close(&self) {
        let kept: Vec<_> = self.kept.lock().await.drain().collect();
        futures::future::join_all(kept.into_iter().map(|(_, host)| async move {
            if let Ok(host) = Arc::try_unwrap(host) {
                let _ = tokio::time::timeout(Duration::from_secs(5), host.session.close()).await;
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
        // OpenSSH counts its own time-out anew for a jump host, so ours is the longer one.
        let timeout = Duration::from_secs(u64::from(access.connect_timeout));
        let patience = timeout * 2 + Duration::from_secs(2);
        let started = self.master(&config, access);
        match tokio::time::timeout(patience, started).await {
            Err(_) => Err(Fault::new(
                FaultKind::TimedOut,
                format!("{} did not finish an SSH handshake in time", access.address),
            )),
            Ok(Err(e)) => Err(match e {
                Unstarted::Program(e) if e.kind() == std::io::ErrorKind::NotFound => {
                    local("the program ssh is not on this machine (package openssh-client)")
                }
                Unstarted::Program(e) => local(format!("the program ssh cannot be started: {e}")),
                Unstarted::Folder(e) => local(format!("could not make a folder for a socket: {e}")),
                Unstarted::Said(words) => connect_fault(&words, access),
            }),
            Ok(Ok(session)) => Ok(SshHost {
                session,
                r#become: access.r#become,
                tunnels: Mutex::default(),
            }),
        }
    }

    /// Starts `ssh` as a master in the background, as [`SessionBuilder`](openssh::SessionBuilder)
    /// would, which gives it all of our environment. Whatever can stand in the configuration does:
    /// there alone paths are written so that OpenSSH reads them as they are.
    async fn master(&self, config: &Path, access: &SshAccess) -> Result<Session, Unstarted> {
        let dir = tempfile::Builder::new()
            .prefix("m")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(self.dir.path())
            .map_err(Unstarted::Folder)?;
        let log = dir.path().join("log");
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.arg("-F").arg(config).arg("-E").arg(&log);
        ssh.arg("-S").arg(dir.path().join("master"));
        ssh.args(["-M", "-f", "-N"]);
        ssh.arg("-o").arg(format!("ControlPersist={PERSIST_SECS}s"));
        if let Some(port) = access.port {
            ssh.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &access.user {
            ssh.arg("-l").arg(user.as_str());
        }
        if let Some(jump) = &access.jump {
            ssh.arg("-J").arg(jump.to_string());
        }
        ssh.arg("--").arg(access.address.as_str());
        for name in &self.hidden {
            ssh.env_remove(name);
        }
        // It goes to the background as soon as it is logged in.
        let ended = ssh
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            // Ctrl-C of a terminal goes to us, who let what runs end.
            .process_group(0)
            .kill_on_drop(true)
            .status()
            .await
            .map_err(Unstarted::Program)?;
        if ended.success() {
            return Ok(Session::new_native_mux(dir));
        }
        let mut words = Vec::new();
        if let Ok(file) = tokio::fs::File::open(&log).await {
            let _ = file.take(MAX_STDERR as u64).read_to_end(&mut words).await;
        }
        Err(Unstarted::Said(
            String::from_utf8_lossy(&words).into_owned(),
        ))
    }
}

/// Why there is no master.
enum Unstarted {
    /// No folder for its socket.
    Folder(std::io::Error),
    /// No process.
    Program(std::io::Error),
    /// It ended with these words.
    Said(String),
}

fn local(text: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Local, text)
}

/// What OpenSSH said, without our own prefix and line ends, and which kind of failure it is.
fn connect_fault(text: &str, access: &SshAccess) -> Fault {
    let low = text.to_lowercase();
    let kind = if low.contains("host key verification failed")
        || low.contains("remote host identification has changed")
        || low.contains("host key is known")
        || low.contains("host key for")
    {
        FaultKind::HostKey
    } else if low.contains("permission denied") || low.contains("too many authentication failures")
    {
        FaultKind::Login
    } else if low.contains("connection refused") {
        FaultKind::Refused
    } else if low.contains("timed out") || low.contains("timeout") {
        FaultKind::TimedOut
    } else if low.contains("could not resolve")
        || low.contains("no route to host")
        || low.contains("network is unreachable")
    {
        FaultKind::Unreachable
    } else {
        FaultKind::Disconnected
    };
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.chars().all(|c| c == '@'))
        .collect();
    let said = said.last().copied().unwrap_or("no word");
    let said = said.strip_prefix("ssh: ").unwrap_or(said);
    let port = access
        .port
        .map_or_else(String::new, |p| format!(" port {p}"));
    let what = match kind {
        FaultKind::HostKey => "the host key is not the known one",
        FaultKind::Login => "the login was refused",
        FaultKind::Refused => "the connection was refused",
        FaultKind::TimedOut => "no answer in time",
        FaultKind::Unreachable => "there is no way to the host",
        _ => "the connection ended",
    };
    Fault::new(kind, format!("{what} ({}{port}: {said})", access.address))
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
            let mut tunnels = host.tunnels.lock().await;
            if let Some(path) = tunnels.get(to) {
                return Ok(path.clone());
            }
            // The name is ours alone: the folder is private, and a new connection counts on.
            let number = self.sockets.fetch_add(1, Ordering::Relaxed);
            let path = self.dir.path().join(format!("t{number}"));
            let target = to.host.as_str();
            host.session
                .request_port_forward(
                    ForwardType::Local,
                    Socket::UnixSocket {
                        path: path.clone().into(),
                    },
                    Socket::TcpSocket {
                        host: target.into(),
                        port: to.port,
                    },
                )
                .await
                .map_err(|e| {
                    Fault::new(
                        FaultKind::Disconnected,
                        format!("could not forward to {to}: {e}"),
                    )
                })?;
            tunnels.insert(to.clone(), path.clone());
            drop(tunnels);
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
                let _ = tokio::time::timeout(Duration::from_secs(5), host.session.close()).await;
            }
        })
    }
}

/// Where the standard output of a host's script goes.
enum Sink<'a> {
    /// To whoever asked.
    Memory(Bounds),
    /// To a new file, at most so many bytes.
    File { to: &'a Path, most: u64 },
}

impl SshHost {
    /// Whether the master process still answers on its socket; nothing goes over the network.
    async fn is_alive(&self) -> bool {
        tokio::time::timeout(Duration::from_secs(2), self.session.check())
            .await
            .is_ok_and(|checked| checked.is_ok())
    }

    async fn run(
        &self,
        command: String,
        head: &[u8],
        payload: Option<&Payload>,
        into: Sink<'_>,
    ) -> Result<Output, Fault> {
        let mut child = self
            .session
            .raw_command(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .await
            .map_err(|e| broken(&e))?;
        let mut stdin = child.stdin().take();
        let mut stdout = child.stdout().take();
        let mut stderr = child.stderr().take();
        let send = async {
            let Some(mut pipe) = stdin.take() else {
                return Ok(());
            };
            // A script may end before it has read everything; what it answered tells why.
            if pipe.write_all(head).await.is_err() {
                return Ok(());
            }
            if let Some(payload) = payload {
                let mut file = tokio::fs::File::open(&payload.file).await.map_err(|e| {
                    local(format!("could not read {}: {e}", payload.file.display()))
                })?;
                let mut buffer = vec![0u8; 256 << 10];
                let mut left = payload.size;
                while left > 0 {
                    let n = file.read(&mut buffer).await.map_err(|e| {
                        local(format!("could not read {}: {e}", payload.file.display()))
                    })?;
                    if n == 0 {
                        return Err(local(format!("{} became shorter", payload.file.display())));
                    }
                    left = left.saturating_sub(n as u64);
                    if pipe.write_all(&buffer[..n]).await.is_err() {
                        return Ok(());
                    }
                }
            }
            let _ = pipe.flush().await;
            Ok(())
        };
        let receive = async {
            let Some(mut pipe) = stdout.take() else {
                return Ok((Vec::new(), None));
            };
            match into {
                Sink::Memory(bounds) => Ok((receive::answer(&mut pipe, bounds).await?, None)),
                Sink::File { to, most } => {
                    Ok((Vec::new(), Some(receive::file(&mut pipe, to, most).await?)))
                }
            }
        };
        let complain = async {
            let mut err = Vec::new();
            if let Some(mut pipe) = stderr.take() {
                let mut buffer = vec![0u8; 8 << 10];
                while let Ok(n) = pipe.read(&mut buffer).await {
                    if n == 0 {
                        break;
                    }
                    err.extend_from_slice(&buffer[..n]);
                    if err.len() > MAX_STDERR {
                        let cut = err.len() - MAX_STDERR;
                        err.drain(..cut);
                    }
                }
            }
            Ok(err)
        };
        // Once one of them fails we read no more: what the host still runs loses its output.
        let ((), (stdout, file), stderr) = tokio::try_join!(send, receive, complain)?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let status = match child.wait().await {
            Ok(status) => status.code(),
            Err(openssh::Error::RemoteProcessTerminated) => None,
            Err(e) => return Err(broken(&e)),
        };
        if self.r#become == Become::Sudo && status != Some(0) && stderr.contains("sudo:") {
            let said = stderr
                .lines()
                .rfind(|l| l.contains("sudo:"))
                .unwrap_or_default();
            return Err(Fault::new(
                FaultKind::Become,
                format!("could not become root ({said})"),
            ));
        }
        if let Some(file) = file.filter(|_| status == Some(0)) {
            file.keep();
        }
        Ok(Output {
            stdout,
            stderr,
            status,
        })
    }

    async fn within<F>(&self, deadline: Duration, run: F) -> Result<Output, Fault>
    where
        F: Future<Output = Result<Output, Fault>>,
    {
        tokio::time::timeout(deadline, run)
            .await
            .unwrap_or_else(|_| {
                Err(Fault::new(
                    FaultKind::TimedOut,
                    format!(
                        "it connected but did not answer within {} s",
                        deadline.as_secs()
                    ),
                ))
            })
    }

    const fn prefix(&self) -> &'static str {
        match self.r#become {
            Become::None => "",
            Become::Sudo => "sudo -n ",
        }
    }
}

fn broken(error: &openssh::Error) -> Fault {
    use std::error::Error as _;
    let cause = error
        .source()
        .map_or_else(String::new, |s| format!(": {s}"));
    Fault::new(
        FaultKind::Disconnected,
        format!("the connection broke ({error}{cause})"),
    )
}

impl Remote for SshHost {
    fn ask<'a>(&'a self, script: &'a str, bounds: Bounds) -> BoxFuture<'a, Result<Output, Fault>> {
        let command = format!("{}sh -s", self.prefix());
        let into = Sink::Memory(bounds);
        Box::pin(self.within(
            bounds.time,
            self.run(command, script.as_bytes(), None, into),
        ))
    }

    fn upload<'a>(
        &'a self,
        command: &'a str,
        payload: &'a Payload,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        let command = format!("{}sh -c {}", self.prefix(), quote(command));
        let into = Sink::Memory(Bounds::new(Bounds::CONFIRMATION, deadline));
        Box::pin(self.within(
            deadline,
            self.run(command, payload.head.as_bytes(), Some(payload), into),
        ))
    }

    fn download<'a>(
        &'a self,
        script: &'a str,
        to: &'a Path,
        most: u64,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        let command = format!("{}sh -s", self.prefix());
        let into = Sink::File { to, most };
        Box::pin(self.within(deadline, self.run(command, script.as_bytes(), None, into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> SshAccess {
        SshAccess {
            address: "10.0.0.1".parse().unwrap(),
            user: None,
            port: None,
            identity: Some("/k/id".into()),
            jump: None,
            r#become: Become::None,
            known_hosts: Some("/k/known hosts".into()),
            config: None,
            connect_timeout: 7,
        }
    }

    #[test]
    fn what_openssh_says_is_told_apart() {
        let cases = [
            ("Host key verification failed.", FaultKind::HostKey),
            ("me@h: Permission denied (publickey).", FaultKind::Login),
            (
                "connect to host h port 22: Connection refused",
                FaultKind::Refused,
            ),
            (
                "connect to host h port 22: Connection timed out",
                FaultKind::TimedOut,
            ),
            (
                "Could not resolve hostname h: Name or service not known",
                FaultKind::Unreachable,
            ),
            (
                "kex_exchange_identification: Connection closed by remote host",
                FaultKind::Disconnected,
            ),
        ];
        for (said, kind) in cases {
            assert_eq!(connect_fault(said, &access()).kind, kind, "{said}");
        }
    }
}
