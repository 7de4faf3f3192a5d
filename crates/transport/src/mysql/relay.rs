//! A relay between a client on this machine and the database's server.
//!
//! The client library has no hook for the server's certificate, and the program that dumps has
//! options that differ between its families. So both connect to a Unix socket in a folder of ours,
//! and the relay alone speaks TLS and decides what a server may ask for. Until the server is
//! authenticated it reads packet by packet; no byte of the client's login leaves before that. After
//! the login it forwards what both say, and looks at the heads of the server's packets only.
//!
//! Protocol: <https://mariadb.com/kb/en/clientserver-protocol/>, "Connection" and "Packet".

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tarsops_model::desired::Tls;
use tarsops_model::framework::Protection;
use tarsops_model::names::Endpoint;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;

use super::frames::{Frames, Packet, read_packet, write_packet};
use super::link::Relay;
use super::login::{self, Greeting};
use super::peer::{Expected, Peer, Stream};
use super::{Access, DatabaseError};
use crate::rpc::Route;

/// How large a packet may be before the login is done, in bytes. Real ones have some hundred.
const LOGIN_PACKET: usize = 64 << 10;
/// How many packets of the server a login may have. Real ones have at most four.
const LOGIN_PACKETS: usize = 16;
/// How much is forwarded at a time, in bytes.
const CHUNK: usize = 64 << 10;

/// Where a client on this machine connects to, once.
pub(super) struct Entrance {
    /// The Unix socket.
    pub(super) socket: std::path::PathBuf,
    /// Ends with this.
    pub(super) relay: Relay,
    outcome: oneshot::Receiver<Outcome>,
}

/// How the login went: what protects the connection, or why it was refused; none if the client left.
type Outcome = Result<Protection, Option<DatabaseError>>;

impl Entrance {
    /// How the login went. Waits for its end.
    pub(super) async fn outcome(&mut self) -> Outcome {
        (&mut self.outcome).await.unwrap_or(Err(None))
    }
}

/// Why the relay ends a login.
enum End {
    /// The client left.
    Client,
    /// The server left, or the network failed.
    Server(io::Error),
    /// The server asks for, or is, what we do not take.
    Refused(DatabaseError),
}

impl From<DatabaseError> for End {
    fn from(error: DatabaseError) -> Self {
        Self::Refused(error)
    }
}

/// Connects to the server, and opens an entrance for one client. All until the end of the login takes
/// no longer than `deadline`. No question is answered with more than `answer` bytes, if that is given.
///
/// # Errors
/// The server cannot be reached, or this machine has no place for a socket.
pub(super) async fn open(
    access: &Access,
    deadline: Duration,
    answer: Option<u64>,
) -> Result<Entrance, DatabaseError> {
    let unreachable = |why: String| DatabaseError::Unreachable {
        at: access.address.clone(),
        why,
    };
    let server = reach(access).await?;
    let folder = crate::folder::private("tarsops-db-")
        .map_err(|e| unreachable(format!("no folder for a socket: {e}")))?;
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket)
        .map_err(|e| unreachable(format!("no socket on this machine: {e}")))?;
    let (report, outcome) = oneshot::channel();
    let access = access.clone();
    let task = tokio::spawn(async move {
        let login = async {
            let (client, _) = listener.accept().await.map_err(|_| End::Client)?;
            // One client comes in; then the name is gone.
            drop((listener, folder));
            login(&access, client, server).await
        };
        let ended = match tokio::time::timeout(deadline, login).await {
            Ok(ended) => ended,
            Err(_) => Err(DatabaseError::TimedOut(access.address.clone()).into()),
        };
        match ended {
            Ok(Session { client, server, by }) => {
                let _ = report.send(Ok(by));
                forward(&access.address, client, server, answer).await;
            }
            Err(end) => {
                let _ = report.send(Err(match end {
                    End::Client => None,
                    End::Server(e) => Some(DatabaseError::Unreachable {
                        at: access.address.clone(),
                        why: e.to_string(),
                    }),
                    End::Refused(error) => Some(error),
                }));
            }
        }
    });
    Ok(Entrance {
        socket,
        relay: Relay::new(task),
        outcome,
    })
}

/// A connection to the server, directly or through a tunnel.
async fn reach(access: &Access) -> Result<Box<dyn Stream>, DatabaseError> {
    let unreachable = |why: String| DatabaseError::Unreachable {
        at: access.address.clone(),
        why,
    };
    match &access.way {
        Route::Direct => {
            let at = &access.address;
            let stream = TcpStream::connect((at.host.as_str(), at.port)).await;
            let stream = stream.map_err(|e| unreachable(e.to_string()))?;
            // Questions and answers are short, and each waits for the other.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
        Route::Through { connect, node } => {
            let socket = connect
                .tunnel(node, &access.address)
                .await
                .map_err(|fault| unreachable(format!("via {node}: {fault}")))?;
            let stream = UnixStream::connect(&socket).await;
            let stream = stream.map_err(|e| unreachable(format!("via {node}: {e}")))?;
            Ok(Box::new(stream))
        }
    }
}

/// A client that is logged in.
struct Session {
    client: UnixStream,
    server: Box<dyn Stream>,
    by: Protection,
}

async fn login(
    access: &Access,
    mut client: UnixStream,
    mut server: Box<dyn Stream>,
) -> Result<Session, End> {
    let at = &access.address;
    let first = from_server(&mut server, at).await?;
    if first.is_error() {
        // It wants no connection at all, and says why.
        to_client(&mut client, &first).await?;
        return Err(End::Client);
    }
    let greeting =
        Greeting::parse(&first.payload).map_err(|why| protocol(at, format!("greets {why}")))?;
    let expected = Expected::of(access).await?;
    let encrypt = wants_tls(access, &greeting, &expected)?;
    to_client(
        &mut client,
        &Packet::new(first.sequence, greeting.for_client()),
    )
    .await?;
    let mut answer = read_packet(&mut client, LOGIN_PACKET)
        .await
        .map_err(|_| End::Client)?;
    let garbled = |why: String| protocol(at, format!("has a client that answers {why}"));
    login::restrict(&mut answer.payload).map_err(garbled)?;
    // By how much the numbers of packets differ on both sides of us.
    let shift: u8;
    let by;
    if encrypt {
        let request = login::request_tls(&mut answer.payload).map_err(garbled)?;
        to_server(&mut server, &Packet::new(answer.sequence, request)).await?;
        let peer = Peer::new(access, expected)?;
        let (stream, proven) = peer.prove(server).await?;
        server = stream;
        by = proven;
        shift = 1;
    } else {
        by = Protection::None;
        shift = 0;
    }
    let refused = |refusal| match refusal {
        login::Refusal::Exposes(how) => exposed(at, how),
        login::Refusal::Lacks(plugin) => DatabaseError::NoPlugin {
            at: at.clone(),
            user: access.user.clone(),
            plugin,
        },
        login::Refusal::Garbled(why) => protocol(at, why),
    };
    login::hides_password(&answer.payload).map_err(refused)?;
    answer.sequence = answer.sequence.wrapping_add(shift);
    to_server(&mut server, &answer).await?;
    for _ in 0..LOGIN_PACKETS {
        let mut packet = from_server(&mut server, at).await?;
        let ask = login::judge(&packet.payload, encrypt).map_err(refused)?;
        packet.sequence = packet.sequence.wrapping_sub(shift);
        to_client(&mut client, &packet).await?;
        match ask {
            login::Ask::Nothing => continue,
            login::Ask::Done => return Ok(Session { client, server, by }),
            // The client has the server's words. It must hear nothing that could ask it again.
            login::Ask::Nobody => return Err(End::Client),
            login::Ask::Answer => {}
        }
        let mut answer = read_packet(&mut client, LOGIN_PACKET)
            .await
            .map_err(|_| End::Client)?;
        if !encrypt {
            login::is_a_proof(&answer.payload).map_err(|how| exposed(at, how))?;
        }
        answer.sequence = answer.sequence.wrapping_add(shift);
        to_server(&mut server, &answer).await?;
    }
    Err(protocol(at, "does not come to an end with the login".to_owned()).into())
}

/// Whether the connection is encrypted, as the spec, the server's offer and what is known of it say.
fn wants_tls(
    access: &Access,
    greeting: &Greeting<'_>,
    expected: &Expected,
) -> Result<bool, DatabaseError> {
    let offered = greeting.offers_tls();
    let at = || access.address.clone();
    match (&access.tls, offered) {
        (Tls::Off, _) => Ok(false),
        (_, true) => Ok(true),
        (Tls::Prefer, false) => match expected {
            Expected::Known { file, known } => Err(DatabaseError::Downgraded {
                at: at(),
                file: file.clone(),
                line: known.line,
            }),
            Expected::Key(_) | Expected::Authority { .. } => Err(DatabaseError::NoTls(at())),
            Expected::New { .. } | Expected::NoMemory => Ok(false),
        },
        (Tls::Require | Tls::Verify { .. }, false) => Err(DatabaseError::NoTls(at())),
    }
}

fn protocol(at: &Endpoint, why: String) -> DatabaseError {
    DatabaseError::Protocol {
        at: at.clone(),
        why,
    }
}

fn exposed(at: &Endpoint, how: String) -> DatabaseError {
    DatabaseError::Exposed {
        at: at.clone(),
        how,
    }
}

async fn from_server(server: &mut Box<dyn Stream>, at: &Endpoint) -> Result<Packet, End> {
    read_packet(server, LOGIN_PACKET)
        .await
        .map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => protocol(at, format!("logs in with {e}")).into(),
            _ => End::Server(e),
        })
}

async fn to_client(client: &mut UnixStream, packet: &Packet) -> Result<(), End> {
    write_packet(client, packet).await.map_err(|_| End::Client)
}

async fn to_server(server: &mut Box<dyn Stream>, packet: &Packet) -> Result<(), End> {
    write_packet(server, packet).await.map_err(End::Server)
}

/// Forwards what both say, until one of them leaves.
async fn forward(at: &Endpoint, client: UnixStream, server: Box<dyn Stream>, answer: Option<u64>) {
    let (mut questions, mut back) = client.into_split();
    let (mut answers, mut on) = tokio::io::split(server);
    // Whether the next packet of the server is the first of an answer.
    let asked = Arc::new(AtomicBool::new(false));
    let is_asked = Arc::clone(&asked);
    let asking = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = questions.read(&mut buffer).await {
            is_asked.store(true, Ordering::Release);
            if on.write_all(&buffer[..count]).await.is_err() || on.flush().await.is_err() {
                break;
            }
        }
        let _ = on.shutdown().await;
    };
    let answering = async move {
        let (mut buffer, mut out) = (vec![0; CHUNK], Vec::with_capacity(CHUNK));
        let mut frames = Frames::new(answer);
        while let Ok(count @ 1..) = answers.read(&mut buffer).await {
            out.clear();
            let passed = frames.pass(&buffer[..count], &asked, &mut out);
            if let Err(refusal) = &passed {
                // The client tells the user; nothing that came after goes to it.
                let text = format!("tarsops ended the connection to {at}: {}", refusal.why);
                refusal.as_error(&text, &mut out);
            }
            if back.write_all(&out).await.is_err() || passed.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}
