//! A real SSH server for many hosts in one process: one listener each, public keys only, `exec` only.
//!
//! It speaks the protocol with the system's `ssh` client, several sessions on one connection
//! included, and treats a command as `sshd` does: the exit status is told when the command ends, the
//! session ends when nobody holds the command's output open any more, and a session whose client
//! went away closes the command's pipes and kills nothing.
//!
//! It knows nothing about Tars. What must stay true: it listens only where it is told, and a command
//! that does not read its input must never hold up the other sessions of its connection.

mod gate;
mod session;

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use russh::{MethodKind, MethodSet, SshId};
use tokio::net::TcpListener;
use tokio::sync::watch;

use gate::{Gate, Gated};
use session::Connection;

/// The server could not be started, or a key could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SshServerError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A key file does not hold a usable key, or could not be written.
    #[error("cannot use the key {}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What the key library said.
        source: russh::keys::ssh_key::Error,
    },
    /// A file could not be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// How a host's listener behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Serves.
    Open,
    /// Refuses connections; those that existed are cut.
    Closed,
    /// The port takes connections and says nothing; those that exist stand still.
    Frozen,
}

/// One host: where it listens and what a command finds there.
#[derive(Clone, Debug)]
pub struct SshHost {
    /// Its name, for the log.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its host key, an OpenSSH private key file.
    pub host_key: PathBuf,
    /// The working directory of commands.
    pub home: PathBuf,
    /// The whole environment of commands; nothing of the server's own is added.
    pub environment: Vec<(String, String)>,
    /// How its listener should behave, now and later.
    pub listener: watch::Receiver<Listener>,
    /// Where the server says that the listener behaves so.
    pub acted: watch::Sender<Listener>,
}

/// The server's log: one line per event, `SECONDS.MILLIS HOST EVENT`, where EVENT is `connection`,
/// `exec BYTES` (length of the command) or words about an error. Connections and commands can be
/// counted from it.
#[derive(Clone, Debug)]
pub struct ServerLog(Arc<Mutex<File>>);

impl ServerLog {
    /// Append to the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, SshServerError> {
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .map(|file| Self(Arc::new(Mutex::new(file))))
            .map_err(|source| SshServerError::File {
                path: path.into(),
                source,
            })
    }

    /// Write one line about `host`.
    pub fn write(&self, host: &str, event: &str) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        if let Ok(mut file) = self.0.lock() {
            // A full disk must not end the server.
            let _ = writeln!(
                file,
                "{}.{:03} {host} {event}",
                now.as_secs(),
                now.subsec_millis()
            );
        }
    }
}

/// What all connections to one host share.
struct Shared {
    host: SshHost,
    user: String,
    authorized: PublicKey,
    log: ServerLog,
}

/// Hosts whose listeners are bound and wait to be served.
pub struct SshServer {
    hosts: Vec<(TcpListener, Arc<russh::server::Config>, Arc<Shared>)>,
}

impl std::fmt::Debug for SshServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshServer")
            .field("hosts", &self.hosts.len())
            .finish()
    }
}

impl SshServer {
    /// Bind every host's listener. `user` is the only login name, `authorized` the file with the only
    /// public key (one line, as `ssh-keygen` writes it).
    ///
    /// # Errors
    /// When an address is taken or a key cannot be read.
    pub async fn bind(
        hosts: Vec<SshHost>,
        user: &str,
        authorized: &Path,
        log: ServerLog,
    ) -> Result<Self, SshServerError> {
        let key_error = |path: &Path| {
            let path = path.to_path_buf();
            move |source| SshServerError::Key { path, source }
        };
        let authorized = PublicKey::read_openssh_file(authorized).map_err(key_error(authorized))?;
        let mut bound = Vec::with_capacity(hosts.len());
        for host in hosts {
            let key =
                PrivateKey::read_openssh_file(&host.host_key).map_err(key_error(&host.host_key))?;
            let listener =
                TcpListener::bind(host.listen)
                    .await
                    .map_err(|source| SshServerError::Bind {
                        address: host.listen,
                        source,
                    })?;
            let shared = Arc::new(Shared {
                host,
                user: user.to_owned(),
                authorized: authorized.clone(),
                log: log.clone(),
            });
            bound.push((listener, Arc::new(config(key)), shared));
        }
        Ok(Self { hosts: bound })
    }

    /// Serve until dropped.
    pub async fn run(self) {
        let mut tasks = tokio::task::JoinSet::new();
        for (listener, config, shared) in self.hosts {
            tasks.spawn(serve_host(listener, config, shared));
        }
        while tasks.join_next().await.is_some() {}
    }
}

fn config(key: PrivateKey) -> russh::server::Config {
    russh::server::Config {
        server_id: SshId::Standard("SSH-2.0-tarsops-standin".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(100),
        // Clients always ask for "none" first, to learn the methods.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![key],
        window_size: 4 * 1024 * 1024,
        // Replies to the client must never wait for space: a full queue here would stop the
        // connection's loop, and with it every session on it.
        event_buffer_size: 64,
        nodelay: true,
        // A multiplexing client keeps an idle connection for as long as it likes.
        inactivity_timeout: None,
        ..russh::server::Config::default()
    }
}

/// Serve one host for ever: open, closed and frozen as its state says.
async fn serve_host(
    listener: TcpListener,
    config: Arc<russh::server::Config>,
    shared: Arc<Shared>,
) {
    let name = shared.host.name.clone();
    let gate = Gate::default();
    let mut state = shared.host.listener.clone();
    let mut listener = Some(listener);
    // Holds a fixed state once nobody is left who could change it.
    let mut _fixed = None;
    loop {
        let now = *state.borrow_and_update();
        gate.set(now);
        if now == Listener::Closed {
            listener = None;
        } else if listener.is_none() {
            match TcpListener::bind(shared.host.listen).await {
                Ok(bound) => listener = Some(bound),
                Err(error) => {
                    shared
                        .log
                        .write(&name, &format!("error: cannot listen again: {error}"));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            }
        }
        shared.host.acted.send_replace(now);
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = state.changed() => {
                if changed.is_err() {
                    let (keep, fixed) = watch::channel(now);
                    state = fixed;
                    _fixed = Some(keep);
                }
            }
            accepted = accepted => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    let stream = gate.wrap(stream);
                    tokio::spawn(serve_connection(stream, config.clone(), shared.clone()));
                }
                Err(error) => {
                    shared.log.write(&name, &format!("error: cannot accept: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn serve_connection(stream: Gated, config: Arc<russh::server::Config>, shared: Arc<Shared>) {
    shared.log.write(&shared.host.name, "connection");
    let connection = Connection::new(shared.clone());
    let outcome = match russh::server::run_stream(config, stream, connection).await {
        Ok(session) => session.await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        shared
            .log
            .write(&shared.host.name, &format!("connection ended: {error}"));
    }
}

/// Make an ed25519 key pair: `path` (0600) and `path.pub`. Returns the public key's line without a
/// comment, as `known_hosts` wants it.
///
/// # Errors
/// When a file cannot be written or there is no randomness.
pub fn make_key(path: &Path, comment: &str) -> Result<String, SshServerError> {
    use std::io::Read;
    let mut seed = [0u8; 32];
    let source = Path::new("/dev/urandom");
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut seed))
        .map_err(|error| SshServerError::File {
            path: source.into(),
            source: error,
        })?;
    let wrong = |source| SshServerError::Key {
        path: path.into(),
        source,
    };
    let key = PrivateKey::new(Ed25519Keypair::from_seed(&seed).into(), comment).map_err(wrong)?;
    key.write_openssh_file(path, LineEnding::LF)
        .map_err(wrong)?;
    let mut public = key.public_key().clone();
    let mut public_path = path.as_os_str().to_owned();
    public_path.push(".pub");
    public
        .write_openssh_file(Path::new(&public_path))
        .map_err(wrong)?;
    public.set_comment("");
    public
        .to_openssh()
        .map(|line| line.trim().to_owned())
        .map_err(wrong)
}
