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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use openssh::{ForwardType, Session, Socket, Stdio};
use tarsops_model::digest::Digest;
use tarsops_model::display;
use tarsops_model::host::{Become, Jump, SshAccess};
use tarsops_model::names::{Endpoint, NodeName};
use tokio::io::{AsyncReadExt, AsyncSeekExt as _, AsyncWriteExt};
use tokio::sync::Mutex;

mod config;
mod failure;
mod keep;
mod receive;
mod scan;

pub use scan::{ConfigRefusal, scan};

use config::client_config;
use failure::{Words, connect_fault};
use keep::Keep;

use crate::remote::{Bounds, Connect, Fault, FaultKind, Output, Payload, Remote};

/// Seconds of idleness after which an orphaned SSH master ends.
pub const PERSIST_SECS: u64 = 20;
/// Connections that are kept between uses; with more hosts each is closed after its use.
pub const KEEP: usize = 64;
/// Bytes of standard error that are kept.
const MAX_STDERR: usize = 64 << 10;
const NO_SSH: &str = "there is no program `ssh` in PATH on this machine; install it (Debian and Ubuntu: openssh-client, Fedora and RHEL: openssh-clients)";

/// Bytes that are shown of what login files print.
const NOISE_SHOWN: usize = 400;

/// What a host sends before the answer to a script. Whatever comes before it is printed by login files.
pub const ANSWER: &str = "tarsops-answer/1\n";
/// Lines before a script: a login file that reads standard input takes these and not the script.
const PADDING: &str = "\n\n\n\n\n\n\n\n";
/// The line after which the script follows.
const BEGIN: &str = "tarsops-begin/1";
/// The status with which the command ends if the script did not arrive.
const NO_SCRIPT: i32 = 97;

/// The command that receives a script. It is one line that every login shell reads in the same way, csh
/// and fish as well: one kind of quotes, and none of `!`, a backslash or a line end between them.
fn receiver(r#become: Become, then: &str) -> String {
    let prefix = match r#become {
        Become::None => "",
        Become::Sudo => "sudo -n ",
    };
    let answer = ANSWER.trim_end();
    // Without a limit it would read a whole payload, byte by byte, where a login file took the line.
    format!(
        "{prefix}sh -c 'n=0; while [ $n -lt 99 ] && IFS= read -r l; do n=$((n+1)); case $l in {BEGIN}) echo {answer}; {then};; esac; done; exit {NO_SCRIPT}'"
    )
}

/// The script is all that follows.
fn script_receiver(r#become: Become) -> String {
    receiver(r#become, "exec sh -s")
}

/// The script is the next line, as [`one_line`] writes it; what follows is its standard input.
fn upload_receiver(r#become: Become) -> String {
    receiver(
        r#become,
        "IFS= read -r l; eval \"$(printf %b \"$l\")\"; exit",
    )
}

/// A script in one line, for `printf %b`.
fn one_line(script: &str) -> String {
    script.replace('\\', "\\\\").replace('\n', "\\n")
}

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

/// One connected host.
struct SshHost {
    node: NodeName,
    session: Session,
    r#become: Become,
    /// Unix sockets that lead through it, by where to.
    tunnels: Mutex<HashMap<Endpoint, PathBuf>>,
    /// Whether what it printed before an answer was shown.
    noisy: AtomicBool,
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
        Ok(SshHost {
            node: node.clone(),
            session,
            r#become: access.r#become,
            tunnels: Mutex::default(),
            noisy: AtomicBool::new(false),
        })
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
    /// Ends what leads through it, whose sockets are this run's.
    async fn cancel_tunnels(&self) {
        for (to, path) in self.tunnels.lock().await.drain() {
            let listen = Socket::UnixSocket { path: path.into() };
            let target = Socket::TcpSocket {
                host: to.host.as_str().into(),
                port: to.port,
            };
            let ended = self
                .session
                .close_port_forward(ForwardType::Local, listen, target);
            let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
        }
    }

    /// Whether the master process still answers on its socket; nothing goes over the network.
    async fn is_alive(&self) -> bool {
        tokio::time::timeout(Duration::from_secs(2), self.session.check())
            .await
            .is_ok_and(|checked| checked.is_ok())
    }

    async fn run(
        &self,
        command: String,
        script: &str,
        payload: Option<&Payload>,
        into: Sink<'_>,
    ) -> Result<Output, Fault> {
        let mut head = format!("{PADDING}{BEGIN}\n");
        if let Some(payload) = payload {
            head += &format!("{}\n{}", one_line(script), payload.head);
        } else {
            head += script;
        }
        let head = head.as_bytes();
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
                return Ok((Vec::new(), false, Vec::new(), None));
            };
            let begun = receive::skip_to(&mut pipe, ANSWER.as_bytes()).await?;
            let mut pipe = begun.rest.chain(pipe);
            let (answer, file) = match into {
                Sink::Memory(bounds) => (receive::answer(&mut pipe, bounds).await?, None),
                Sink::File { to, most } => {
                    (Vec::new(), Some(receive::file(&mut pipe, to, most).await?))
                }
            };
            Ok((begun.noise, begun.found, answer, file))
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
        let ((), (noise, begun, stdout, file), stderr) = tokio::try_join!(send, receive, complain)?;
        let noise = display::block(&String::from_utf8_lossy(&noise)).into_owned();
        // Each login there says it again.
        if !noise.is_empty() && !self.noisy.swap(true, Ordering::Relaxed) {
            let printed = display::cut(&noise, NOISE_SHOWN);
            tracing::warn!(node = %self.node, %printed, "ignored what was printed there before the answer (by a login file?)");
        }
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
        if !begun {
            return Err(unreceived(status, &noise, &stderr));
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
}

/// Why a script was not received: what stands between its login and `sh`.
fn unreceived(status: Option<i32>, noise: &str, stderr: &str) -> Fault {
    if status == Some(NO_SCRIPT) {
        return Fault::new(
            FaultKind::Garbled,
            "a login file of the user there reads standard input, and with it what tarsops sends (~/.bashrc, ~/.cshrc, config.fish): let it do so only in an interactive shell",
        );
    }
    let words = [stderr, noise];
    let said = words
        .iter()
        .find_map(|text| text.lines().map(str::trim).rfind(|l| !l.is_empty()));
    let said = display::line(said.unwrap_or("it printed nothing"));
    let ended = status.map_or_else(|| "a signal".to_owned(), |s| format!("status {s}"));
    Fault::new(
        FaultKind::Garbled,
        format!(
            "the login shell of the user there ended with {ended} before it ran anything ({said})"
        ),
    )
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
        let into = Sink::Memory(bounds);
        let command = script_receiver(self.r#become);
        Box::pin(self.within(bounds.time, self.run(command, script, None, into)))
    }

    fn upload<'a>(
        &'a self,
        script: &'a str,
        payload: &'a Payload,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        let into = Sink::Memory(Bounds::new(Bounds::CONFIRMATION, deadline));
        let command = upload_receiver(self.r#become);
        Box::pin(self.within(deadline, self.run(command, script, Some(payload), into)))
    }

    fn download<'a>(
        &'a self,
        script: &'a str,
        to: &'a Path,
        most: u64,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        let into = Sink::File { to, most };
        let command = script_receiver(self.r#become);
        Box::pin(self.within(deadline, self.run(command, script, None, into)))
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

    /// What comes out of a login shell that gets `command`, with these bytes on standard input.
    fn login(shell: &str, command: &str, input: &[u8]) -> (String, Option<i32>) {
        use std::io::{Read as _, Seek as _, Write as _};
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input).unwrap();
        stdin.rewind().unwrap();
        let mut words = shell.split(' ');
        let mut child = std::process::Command::new(words.next().unwrap())
            .args(words)
            .arg("-c")
            .arg(command)
            .stdin(stdin)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("these tests need the shell {shell}: {e}"));
        let mut out = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        (out, child.wait().unwrap().code())
    }

    const SHELLS: [&str; 6] = ["dash", "bash", "busybox sh", "tcsh -f", "tcsh", "fish"];

    #[test]
    fn every_login_shell_passes_a_script_on() {
        let script = "printf '%s|' \"$0\" 'a\\nb' \"it's\" '!x' `echo y`; cd /\nexit 7\n";
        let input = format!("{PADDING}{BEGIN}\n{script}");
        for shell in SHELLS {
            let (out, code) = login(shell, &script_receiver(Become::None), input.as_bytes());
            assert_eq!(out, format!("{ANSWER}sh|a\\nb|it's|!x|y|"), "{shell}");
            assert_eq!(code, Some(7), "{shell}");
        }
    }

    #[test]
    fn every_login_shell_passes_an_upload_on() {
        let script = "IFS= read -r a\nprintf '%s|' 'x\\ty' '\\\\' \"$a\" '100% \\c'\ncat\nexit 7\n";
        let input = format!("{PADDING}{BEGIN}\n{}\nhead\n\0\n!pay", one_line(script));
        for shell in SHELLS {
            let (out, code) = login(shell, &upload_receiver(Become::None), input.as_bytes());
            let want = format!("{ANSWER}x\\ty|\\\\|head|100% \\c|\0\n!pay");
            assert_eq!(out, want, "{shell}");
            assert_eq!(code, Some(7), "{shell}");
        }
    }

    #[test]
    fn a_script_that_a_login_file_took_is_missed() {
        for (input, what) in [
            (String::new(), "nothing is left"),
            (format!("{BEGIN}x\necho no\n"), "another line"),
            ("\0\n".repeat(1 << 20), "a payload is left"),
        ] {
            let command = upload_receiver(Become::None);
            let (out, code) = login("dash", &command, input.as_bytes());
            assert_eq!((out.as_str(), code), ("", Some(NO_SCRIPT)), "{what}");
        }
        let fault = unreceived(Some(NO_SCRIPT), "", "");
        assert!(fault.text.contains("reads standard input"), "{fault}");
        let fault = unreceived(Some(1), "This account is\x1b[2J not available.\n", "");
        assert!(fault.text.contains("ended with status 1"), "{fault}");
        assert!(fault.text.contains("This account is"), "{fault}");
        assert!(!fault.text.contains('\x1b'), "{fault}");
    }
}
