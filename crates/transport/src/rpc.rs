//! Calls over the Tars protocol: one connection for many calls in flight.
//!
//! A [`RpcClient`] stands for one address. It connects when it is first used, again when the
//! connection broke, and matches answers to calls by their numbers, in whatever order they come.
//! Every call has its deadline; one that passes leaves the others alone. It knows no interface and
//! decides nothing: each way in which a call can fail is its own
//! [`CallError`], because each means something else for the cluster.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tarsops_model::names::{Endpoint, NodeName};
use tarsops_wire::packet::{Request, Response, code, take_frame};
use tarsops_wire::{WireError, interface};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::Instant;

use crate::remote::Connect;

/// Bytes of one answer that are taken at most, unless the client says otherwise.
pub const MAX_ANSWER: usize = 16 << 20;

/// Why a call has no answer, or one that says no. One lowercase clause each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing listens there.
    #[error("{at} refuses connections")]
    Refused {
        /// Where.
        at: String,
    },
    /// There is no way there.
    #[error("{at} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        at: String,
        /// Why.
        why: String,
    },
    /// The deadline passed, while connecting or while waiting for the answer.
    #[error("{at} gave no answer to {function} within {} s", .waited.as_secs_f32())]
    NoAnswer {
        /// Where.
        at: String,
        /// Which call.
        function: String,
        /// How long it was waited for.
        waited: Duration,
        /// Whether the connection stood, so that something is there and does not answer.
        connected: bool,
    },
    /// The connection ended before the answer came.
    #[error("{at} ended the connection before the answer: {why}")]
    Disconnected {
        /// Where.
        at: String,
        /// Whether it may have been SSH that ended it, as nothing ever came back.
        tunnel: bool,
        /// Why.
        why: String,
    },
    /// Something listens there that does not have the servant (result -4).
    #[error("{at} has no servant {servant} (result -4)")]
    UnknownServant {
        /// Where.
        at: String,
        /// Which servant.
        servant: String,
    },
    /// The servant does not have the function (result -3).
    #[error("{servant} at {at} has no function {function} (result -3)")]
    UnknownFunction {
        /// Where.
        at: String,
        /// The servant.
        servant: String,
        /// The function.
        function: String,
    },
    /// An answer came that says no.
    #[error("{function} answered with code {code}: {}", if .text.is_empty() { "(no message)" } else { .text })]
    Answered {
        /// Which call.
        function: String,
        /// Its code: the protocol's own below 0, else the function's.
        code: i32,
        /// Its words.
        text: String,
    },
    /// What came cannot be read.
    #[error("what {at} answered to {function} cannot be read: {why}")]
    Garbled {
        /// Where.
        at: String,
        /// Which call.
        function: String,
        /// Why.
        why: WireError,
    },
}

impl CallError {
    /// Whether it is proven that nothing serves the servant at the address.
    #[must_use]
    pub const fn is_proof_of_absence(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::UnknownServant { .. })
    }
}

/// How an address is reached.
#[derive(Clone)]
pub enum Route {
    /// By a TCP connection from this machine.
    Direct,
    /// Through the SSH connection to a node.
    Through {
        /// Makes the connection.
        connect: Arc<dyn Connect>,
        /// The node.
        node: NodeName,
    },
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The servant.
    pub servant: &'a str,
    /// The function.
    pub function: &'a str,
    /// The arguments, with tags from 1.
    pub arguments: Vec<u8>,
    /// What is told beside the arguments.
    pub context: tarsops_wire::codec::Pairs<String, String>,
    /// How long the answer may take, connecting included.
    pub deadline: Duration,
    /// Whether the call changes nothing, so that it may be made again on a new connection when a
    /// kept one turns out to be dead.
    pub repeatable: bool,
}

type Answer = Result<Response, String>;

/// Calls that wait, by number; or why none can be made any more.
enum Waiting {
    Open(HashMap<i32, oneshot::Sender<Answer>>),
    Closed(String),
}

struct Shared {
    waiting: Mutex<Waiting>,
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection: everybody who waits is told, and nobody can begin to.
    fn close(&self, why: &str) {
        let before = std::mem::replace(&mut *self.lock(), Waiting::Closed(why.to_owned()));
        if let Waiting::Open(all) = before {
            for (_, waiter) in all {
                let _ = waiter.send(Err(why.to_owned()));
            }
        } else {
            *self.lock() = before;
        }
    }
}

/// One connection.
struct Link {
    shared: Arc<Shared>,
    write: AsyncMutex<Box<dyn AsyncWrite + Send + Unpin>>,
    reader: tokio::task::AbortHandle,
    /// Whether anything ever came back on it.
    heard: Arc<AtomicBool>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Takes a call off the list if its caller goes away, so that nothing is kept for it.
struct Seat<'a> {
    shared: &'a Shared,
    id: i32,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Waiting::Open(all) = &mut *self.shared.lock() {
            all.remove(&self.id);
        }
    }
}

/// Closes a connection on which a message was begun and not ended: what follows would be read as
/// the rest of it.
struct Half<'a> {
    shared: &'a Shared,
    whole: bool,
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        if !self.whole {
            self.shared.close("a message was cut off by its deadline");
        }
    }
}

/// A client for one address. Cheap to keep; dropping it ends its connection.
pub struct RpcClient {
    at: Endpoint,
    way: Route,
    limit: usize,
    link: AsyncMutex<Option<Arc<Link>>>,
    next: AtomicI32,
}

impl RpcClient {
    /// A client for `at`; nothing is connected yet.
    #[must_use]
    pub fn new(at: Endpoint, way: Route) -> Self {
        Self {
            at,
            way,
            limit: MAX_ANSWER,
            link: AsyncMutex::default(),
            next: AtomicI32::new(1),
        }
    }

    /// With another limit for the size of one answer, in bytes.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> &Endpoint {
        &self.at
    }

    /// How many calls wait for an answer on the connection that is kept.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let link = self.link.try_lock().ok().and_then(|kept| kept.clone());
        link.map_or(0, |link| match &*link.shared.lock() {
            Waiting::Open(all) => all.len(),
            Waiting::Closed(_) => 0,
        })
    }

    /// Asks a servant whether it is alive (`tars_ping`, which every servant answers).
    ///
    /// # Errors
    /// As [`RpcClient::call`].
    pub async fn ping(&self, servant: &str, deadline: Duration) -> Result<(), CallError> {
        let call = Call {
            servant,
            function: interface::PING,
            arguments: Vec::new(),
            context: tarsops_wire::codec::Pairs::default(),
            deadline,
            repeatable: true,
        };
        self.call(&call).await.map(drop)
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// A [`CallError`]; also for every answer whose result code is not 0.
    pub async fn call(&self, call: &Call<'_>) -> Result<Response, CallError> {
        let until = Instant::now() + call.deadline;
        let answer = match tokio::time::timeout_at(until, self.exchange(call)).await {
            Ok(answer) => answer?,
            Err(_) => {
                return Err(CallError::NoAnswer {
                    at: self.at.to_string(),
                    function: call.function.to_owned(),
                    waited: call.deadline,
                    // SSH accepts for the other end, so a tunnel that stands says nothing.
                    connected: matches!(self.way, Route::Direct) && self.is_connected(),
                });
            }
        };
        match answer.ret {
            code::SUCCESS => Ok(answer),
            code::NO_SERVANT => Err(CallError::UnknownServant {
                at: self.at.to_string(),
                servant: call.servant.to_owned(),
            }),
            code::NO_FUNCTION => Err(CallError::UnknownFunction {
                at: self.at.to_string(),
                servant: call.servant.to_owned(),
                function: call.function.to_owned(),
            }),
            other => Err(CallError::Answered {
                function: call.function.to_owned(),
                code: other,
                text: answer.description,
            }),
        }
    }

    fn is_connected(&self) -> bool {
        // Whoever holds the lock is about to connect.
        self.link.try_lock().is_ok_and(|kept| {
            kept.as_ref()
                .is_some_and(|link| matches!(&*link.shared.lock(), Waiting::Open(_)))
        })
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Response, CallError> {
        let (link, fresh) = self.link().await?;
        match self.send(&link, call).await {
            // A kept connection may have been closed by the other side since it was last used.
            Err(CallError::Disconnected { .. }) if !fresh && call.repeatable => {
                let (link, _) = self.link().await?;
                self.send(&link, call).await
            }
            answer => answer,
        }
    }

    async fn send(&self, link: &Link, call: &Call<'_>) -> Result<Response, CallError> {
        // Numbers below 1 are for messages that were pushed.
        let id = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let id = id.max(1);
        let mut request = Request::new(id, call.servant, call.function, call.arguments.clone());
        request.timeout = i32::try_from(call.deadline.as_millis()).unwrap_or(i32::MAX);
        request.context = call.context.clone();
        let frame = request.to_frame().map_err(|why| CallError::Garbled {
            at: self.at.to_string(),
            function: call.function.to_owned(),
            why,
        })?;
        let (tell, told) = oneshot::channel();
        match &mut *link.shared.lock() {
            Waiting::Open(all) => all.insert(id, tell),
            Waiting::Closed(why) => return Err(self.ended(link, why)),
        };
        let _seat = Seat {
            shared: &link.shared,
            id,
        };
        {
            let mut write = link.write.lock().await;
            let mut half = Half {
                shared: &link.shared,
                whole: false,
            };
            let sent = write.write_all(&frame).await;
            half.whole = sent.is_ok();
            if let Err(why) = sent {
                return Err(self.ended(link, &why.to_string()));
            }
        }
        match told.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(self.ended(link, &why)),
            Err(_) => Err(self.ended(link, "it was given up")),
        }
    }

    fn ended(&self, link: &Link, why: &str) -> CallError {
        let through = matches!(self.way, Route::Through { .. });
        let tunnel = through && !link.heard.load(Ordering::Relaxed);
        let why = if through && !link.heard.load(Ordering::Relaxed) {
            // SSH accepts for the other end and hangs up when nobody is there.
            format!("{why}; the SSH server could not connect there, or forwards nothing")
        } else {
            why.to_owned()
        };
        CallError::Disconnected {
            at: self.at.to_string(),
            tunnel,
            why,
        }
    }

    /// The connection, and whether it is a new one.
    async fn link(&self) -> Result<(Arc<Link>, bool), CallError> {
        let mut kept = self.link.lock().await;
        if let Some(link) = &*kept
            && matches!(&*link.shared.lock(), Waiting::Open(_))
        {
            return Ok((Arc::clone(link), false));
        }
        let link = Arc::new(self.dial().await?);
        *kept = Some(Arc::clone(&link));
        Ok((link, true))
    }

    async fn dial(&self) -> Result<Link, CallError> {
        match &self.way {
            Route::Direct => {
                let host = self.at.host.as_str();
                let stream = TcpStream::connect((host, self.at.port)).await;
                let stream = stream.map_err(|e| self.unconnected(&e))?;
                let _ = stream.set_nodelay(true);
                let (read, write) = stream.into_split();
                Ok(start(read, write, self.limit))
            }
            Route::Through { connect, node } => {
                let path: PathBuf = connect.tunnel(node, &self.at).await.map_err(|fault| {
                    CallError::Unreachable {
                        at: self.at.to_string(),
                        why: format!("{node}: {fault}"),
                    }
                })?;
                // Refused here it is the entrance that nobody minds any more, as after the end of
                // the SSH connection: that says nothing of the servant.
                let stream =
                    UnixStream::connect(&path)
                        .await
                        .map_err(|e| CallError::Unreachable {
                            at: self.at.to_string(),
                            why: format!("the tunnel by {node} leads nowhere: {e}"),
                        })?;
                let (read, write) = stream.into_split();
                Ok(start(read, write, self.limit))
            }
        }
    }

    fn unconnected(&self, error: &io::Error) -> CallError {
        let at = self.at.to_string();
        match error.kind() {
            io::ErrorKind::ConnectionRefused => CallError::Refused { at },
            _ => CallError::Unreachable {
                at,
                why: error.to_string(),
            },
        }
    }
}

fn start(
    read: impl AsyncRead + Send + Unpin + 'static,
    write: impl AsyncWrite + Send + Unpin + 'static,
    limit: usize,
) -> Link {
    let shared = Arc::new(Shared {
        waiting: Mutex::new(Waiting::Open(HashMap::new())),
    });
    let heard = Arc::new(AtomicBool::new(false));
    let weak = Arc::downgrade(&shared);
    let task = tokio::spawn(listen(read, weak, Arc::clone(&heard), limit));
    Link {
        shared,
        write: AsyncMutex::new(Box::new(write)),
        reader: task.abort_handle(),
        heard,
    }
}

/// Reads answers until the connection ends, and hands each to whoever waits for it.
async fn listen(
    mut read: impl AsyncRead + Send + Unpin,
    shared: Weak<Shared>,
    heard: Arc<AtomicBool>,
    limit: usize,
) {
    let mut buffer: Vec<u8> = Vec::with_capacity(16 << 10);
    let mut used = 0;
    let why = loop {
        match take_frame(&buffer[used..], limit) {
            Ok(Some((frame, rest))) => {
                let answer = Response::from_frame(frame);
                used = buffer.len() - rest.len();
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                match answer {
                    Ok(answer) => hand_over(&shared, answer),
                    Err(e) => break format!("a message cannot be read: {e}"),
                }
            }
            Ok(None) => {
                buffer.drain(..used);
                used = 0;
                match read.read_buf(&mut buffer).await {
                    Ok(0) => break "it was closed".to_owned(),
                    Ok(_) => heard.store(true, Ordering::Relaxed),
                    Err(e) => break e.to_string(),
                }
            }
            Err(e) => break e.to_string(),
        }
    };
    if let Some(shared) = shared.upgrade() {
        shared.close(&why);
    }
}

/// An answer that nobody waits for came after its deadline; a pushed message has the number 0.
fn hand_over(shared: &Shared, answer: Response) {
    let waiter = match &mut *shared.lock() {
        Waiting::Open(all) => all.remove(&answer.id),
        Waiting::Closed(_) => None,
    };
    if let Some(waiter) = waiter {
        let _ = waiter.send(Ok(answer));
    }
}
