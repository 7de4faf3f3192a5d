//! One connection and the commands that run on it.
//!
//! Why input is queued here and not in the library's channel: the library answers a full channel by
//! stopping the whole connection, so one command that does not read would freeze its siblings, and a
//! command that echoes its input (`cat`) would freeze for ever. The queue is bounded by refusing, not
//! by waiting.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::keys::PublicKey;
use russh::server::VerifiedPublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Session};
use russh::{Channel, ChannelId, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

use super::Shared;

/// Input that a command has not read yet, in bytes, beyond which its session is given up.
const MOST_WAITING_INPUT: usize = 256 * 1024 * 1024;
/// What is read from a command at once, in bytes: as much as one packet carries.
const CHUNK: usize = 32 * 1024;

/// The state of one connection.
pub(super) struct Connection {
    shared: Arc<Shared>,
    channels: HashMap<ChannelId, State>,
}

enum State {
    /// Opened, no command yet.
    Opened(ChannelWriteHalf<Msg>),
    /// A command runs.
    Running(Running),
}

struct Running {
    /// Input on its way to the command; `None` after the client's end of file.
    input: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Bytes in `input`.
    waiting: Arc<AtomicUsize>,
    /// Dropped when the client goes away, with the channel or with the connection.
    _alive: oneshot::Sender<()>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            channels: HashMap::new(),
        }
    }

    fn allowed(&self, user: &str, key: &PublicKey) -> Auth {
        if user == self.shared.user && key.key_data() == self.shared.authorized.key_data() {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }

    fn start(&self, command: &[u8]) -> io::Result<Child> {
        let host = &self.shared.host;
        Command::new("/bin/sh")
            .arg("-c")
            .arg(OsStr::from_bytes(command))
            .env_clear()
            .envs(host.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&host.home)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.allowed(user, offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.allowed(user, key.public_key))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let id = channel.id();
        // The reading half is dropped: see the head of this file.
        let (_, write) = channel.split();
        self.channels.insert(id, State::Opened(write));
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(State::Opened(write)) = self.channels.remove(&id) else {
            return session.channel_failure(id);
        };
        self.shared
            .log
            .write(&self.shared.host.name, &format!("exec {}", command.len()));
        let child = match self.start(command) {
            Ok(child) => child,
            Err(error) => {
                self.shared.log.write(
                    &self.shared.host.name,
                    &format!("error: cannot start sh: {error}"),
                );
                return session.channel_failure(id);
            }
        };
        let (input, received) = mpsc::unbounded_channel();
        let (alive, gone) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        session.channel_success(id)?;
        let command = Serving {
            child,
            write,
            handle: session.handle(),
            id,
        };
        tokio::spawn(command.run(received, waiting.clone(), gone));
        self.channels.insert(
            id,
            State::Running(Running {
                input: Some(input),
                waiting,
                _alive: alive,
            }),
        );
        Ok(())
    }

    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(State::Running(running)) = self.channels.get_mut(&id) else {
            return Ok(());
        };
        let Some(input) = &running.input else {
            return Ok(());
        };
        let before = running.waiting.fetch_add(data.len(), Ordering::Relaxed);
        if before > MOST_WAITING_INPUT {
            self.channels.remove(&id);
            self.shared.log.write(
                &self.shared.host.name,
                "error: a command left too much input unread",
            );
            return session.close(id);
        }
        if input.send(data.to_vec()).is_err() {
            // The command closed its input: what still comes is thrown away, as sshd does.
            running.input = None;
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        id: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(State::Running(running)) = self.channels.get_mut(&id) {
            running.input = None;
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }
}

/// A command that runs, and the rollback to its client.
struct Serving {
    child: Child,
    write: ChannelWriteHalf<Msg>,
    handle: Handle,
    id: ChannelId,
}

impl Serving {
    /// Until the command has ended and nobody holds its output open, or the client is gone.
    async fn run(
        mut self,
        input: mpsc::UnboundedReceiver<Vec<u8>>,
        waiting: Arc<AtomicUsize>,
        gone: oneshot::Receiver<()>,
    ) {
        let (stdin, stdout, stderr) = (
            self.child.stdin.take(),
            self.child.stdout.take(),
            self.child.stderr.take(),
        );
        let (write, handle, id) = (&self.write, &self.handle, self.id);
        let child = &mut self.child;
        let served = async {
            // Input is fed for as long as the command lives; a grandchild that holds the pipe open
            // must not hold the session.
            let ended = async {
                tokio::select! {
                    biased;
                    status = child.wait() => status,
                    never = feed(stdin, input, waiting) => match never {},
                }
            };
            let told = async {
                if let Ok(status) = ended.await {
                    tell(handle, id, status).await;
                }
            };
            tokio::join!(
                told,
                carry(stdout, write, false),
                carry(stderr, write, true)
            );
            let _ = write.eof().await;
            let _ = write.close().await;
        };
        tokio::select! {
            () = served => {}
            // Dropping `served` closes the pipes: the command meets end of file and SIGPIPE.
            _ = gone => {}
        }
        // Wait for it wherever it goes from here, so that it does not stay a zombie.
        let _ = self.child.wait().await;
    }
}

/// Feed the command's input; closing it when the client's input ends. Never returns, since what ends a
/// session is the command.
async fn feed(
    stdin: Option<ChildStdin>,
    mut input: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
) -> std::convert::Infallible {
    if let Some(mut stdin) = stdin {
        while let Some(data) = input.recv().await {
            let written = stdin.write_all(&data).await;
            waiting.fetch_sub(data.len(), Ordering::Relaxed);
            if written.is_err() {
                break;
            }
        }
    }
    drop(input);
    std::future::pending().await
}

/// Carry the command's output to the client, as fast as the client's window allows.
async fn carry(
    pipe: Option<impl AsyncRead + Unpin>,
    write: &ChannelWriteHalf<Msg>,
    is_stderr: bool,
) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = match pipe.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        let data = chunk[..length].to_vec();
        let sent = if is_stderr {
            write.extended_data_bytes(1, data).await
        } else {
            write.data_bytes(data).await
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Tell the client how the command ended.
async fn tell(handle: &Handle, id: ChannelId, status: ExitStatus) {
    let _ = match (status.code(), status.signal()) {
        (Some(code), _) => {
            handle
                .exit_status_request(id, u32::try_from(code).unwrap_or(255))
                .await
        }
        (None, signal) => {
            let name = match signal.unwrap_or_default() {
                1 => Sig::HUP,
                2 => Sig::INT,
                3 => Sig::QUIT,
                4 => Sig::ILL,
                6 => Sig::ABRT,
                8 => Sig::FPE,
                9 => Sig::KILL,
                10 => Sig::USR1,
                11 => Sig::SEGV,
                13 => Sig::PIPE,
                14 => Sig::ALRM,
                15 => Sig::TERM,
                other => Sig::Custom(format!("SIG{other}@tarsops")),
            };
            let core = status.core_dumped();
            handle
                .exit_signal_request(id, name, core, String::new(), String::new())
                .await
        }
    };
}
