//! Calls over TCP for stand-ins: a server that answers them, and a client that makes them.
//!
//! A thread serves each connection; what an answer waits for is kept elsewhere, so one connection can
//! have many calls in progress. It knows frames, servants and functions, and nothing of what they mean.
//! Bytes come from strangers: a frame that is no request ends its connection and nothing else.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tarsops_wire::codec::{Bytes, Decode, Pairs};
use tarsops_wire::packet::{Request, Response, code};
use tarsops_wire::{Fields, WireError, Writer};

use super::conf::Endpoint;

/// Frames that are larger are refused, as the framework's servers do (TarsCpp `tc_epoll_server.cpp`).
const LARGEST: u32 = 10 * 1024 * 1024;
/// The packet type of a call that nobody answers.
const ONE_WAY: i8 = 1;
/// The result code of a server that cannot read the arguments (`TARSSERVERDECODEERR`).
const NOT_READABLE: i32 = -1;
/// How long a peer may take none of what it is sent.
const WRITING: Duration = Duration::from_secs(3);
/// How long a port may be taken by whoever had it before.
const TAKEN: Duration = Duration::from_secs(1);
/// Stack of a thread that serves one connection: it parses JSON at most.
const STACK: usize = 1024 * 1024;

/// One end of a connection: where answers go, and pushed messages.
#[derive(Clone)]
pub(super) struct Caller(Arc<Line>);

struct Line {
    stream: Mutex<TcpStream>,
    peer: SocketAddr,
    number: u64,
}

impl Caller {
    /// What distinguishes this connection from every other of this process.
    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    /// The address of the other side.
    pub(super) fn ip(&self) -> String {
        self.0.peer.ip().to_string()
    }

    /// Sends a whole message; false where the connection is gone.
    pub(super) fn send(&self, bytes: &[u8]) -> bool {
        let mut stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = stream.write_all(bytes).is_ok();
        if !sent {
            // Half a message was sent, perhaps: nothing can follow it.
            let _ = stream.shutdown(Shutdown::Both);
        }
        sent
    }

    /// Answers a call.
    pub(super) fn answer(&self, request: &Request, ret: i32, body: Vec<u8>) {
        if let Ok(bytes) = Response::to(request, ret, body).to_frame() {
            self.send(&bytes);
        }
    }

    /// Pushes a message: an answer that nobody asked for (`NodePush.tars`).
    pub(super) fn push(&self, function: &str, body: Vec<u8>) -> bool {
        let message = Response {
            version: tarsops_wire::packet::VERSION,
            body: Bytes(body),
            status: Pairs(vec![("TARS_FUNC".to_owned(), function.to_owned())]),
            ..Response::default()
        };
        message.to_frame().is_ok_and(|bytes| self.send(&bytes))
    }
}

/// What becomes of a call.
pub(super) enum Reply {
    /// It is answered with this.
    Body(Vec<u8>),
    /// It is answered with this, and its own context comes back.
    WithContext(Vec<u8>),
    /// There is no such function.
    NoFunction,
    /// Somebody answers it later through the caller, or nobody does.
    Later,
}

/// What a call comes to; an error where its arguments are not readable.
pub(super) type Outcome = Result<Reply, WireError>;

/// An object that answers calls.
pub(super) trait Servant: Send + Sync {
    /// Takes a call. `tars_ping` never comes here.
    fn call(&self, caller: &Caller, request: &Request) -> Outcome;
    /// The connection is gone.
    fn closed(&self, _caller: &Caller) {}
}

/// A servant with no function of its own: most components' are never called by tarsops.
pub(super) struct Mute;

impl Servant for Mute {
    fn call(&self, _caller: &Caller, _request: &Request) -> Outcome {
        Ok(Reply::NoFunction)
    }
}

/// The arguments of a call, read in the order of their tags.
pub(super) struct Arguments<'a>(Fields<'a>);

impl<'a> Arguments<'a> {
    pub(super) fn of(request: &'a Request) -> Result<Self, WireError> {
        Fields::new(&request.arguments.0).map(Self)
    }

    /// An argument that must be there.
    pub(super) fn get<T: Decode>(&mut self, tag: u8) -> Result<T, WireError> {
        let name = "argument";
        let value = self.0.find(tag)?.ok_or(WireError::Missing { tag, name })?;
        T::decode(value, tag)
    }
}

/// A body written by `fill`.
pub(super) fn body(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    fill(&mut writer);
    writer.finish()
}

/// Listen on an endpoint. Whoever was killed a moment ago may still hold the port, since the scripts do
/// not wait for its end: it is tried for a while.
pub(super) fn listen(endpoint: &Endpoint) -> Result<TcpListener, String> {
    let address = endpoint.address()?;
    let deadline = Instant::now() + TAKEN;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(format!("cannot bind {endpoint}: {error}")),
        }
    }
}

/// Serve the object `name` on this port for ever, with at most `most` connections at once.
pub(super) fn serve(listener: &TcpListener, name: &str, servant: &Arc<dyn Servant>, most: usize) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let open = Arc::new(());
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: do not spin.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        if Arc::strong_count(&open) > most {
            continue;
        }
        let Ok(caller) = line(&stream, NUMBER.fetch_add(1, Ordering::Relaxed)) else {
            continue;
        };
        let (counted, servant, name) = (Arc::clone(&open), Arc::clone(servant), name.to_owned());
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            converse(&stream, &caller, &name, servant.as_ref());
            servant.closed(&caller);
            // Whoever hears that this one ended finds room for the next.
            drop(counted);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn line(stream: &TcpStream, number: u64) -> io::Result<Caller> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITING))?;
    Ok(Caller(Arc::new(Line {
        peer: stream.peer_addr()?,
        stream: Mutex::new(stream.try_clone()?),
        number,
    })))
}

fn converse(mut stream: &TcpStream, caller: &Caller, name: &str, servant: &dyn Servant) {
    while let Some(frame) = read_frame(&mut stream) {
        let Ok(request) = Request::from_frame(&frame) else {
            break;
        };
        let (ret, reply) = take(caller, &request, name, servant);
        let (body, context) = match reply {
            Reply::Body(body) => (body, Pairs::default()),
            Reply::WithContext(body) => (body, request.context.clone()),
            Reply::NoFunction => (Vec::new(), Pairs::default()),
            Reply::Later => continue,
        };
        if request.packet_type == ONE_WAY {
            continue;
        }
        let mut response = Response::to(&request, ret, body);
        response.context = context;
        if !response.to_frame().is_ok_and(|bytes| caller.send(&bytes)) {
            break;
        }
    }
}

fn take(caller: &Caller, request: &Request, name: &str, servant: &dyn Servant) -> (i32, Reply) {
    if request.servant != name {
        return (code::NO_SERVANT, Reply::NoFunction);
    }
    if request.function == "tars_ping" {
        return (code::SUCCESS, Reply::Body(Vec::new()));
    }
    match servant.call(caller, request) {
        Ok(Reply::NoFunction) => (code::NO_FUNCTION, Reply::NoFunction),
        Ok(reply) => (code::SUCCESS, reply),
        Err(_) => (NOT_READABLE, Reply::Body(Vec::new())),
    }
}

/// The next frame without its length; none where the stream ends, or holds something else.
pub(super) fn read_frame(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0u8; 4];
    stream.read_exact(&mut length).ok()?;
    let rest = u32::from_be_bytes(length)
        .checked_sub(4)
        .filter(|rest| *rest <= LARGEST)?;
    // Memory grows with what comes, not with what is claimed.
    let mut frame = Vec::new();
    match stream.take(u64::from(rest)).read_to_end(&mut frame) {
        Ok(read) if read == rest as usize => Some(frame),
        _ => None,
    }
}

/// A connection to a servant, for calls one after the other.
pub(crate) struct Client {
    stream: TcpStream,
    id: i32,
}

impl Client {
    /// Connects within `patience`; every call may take as long.
    pub(crate) fn connect(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, id: 0 })
    }

    /// Calls and waits.
    pub(crate) fn call(
        &mut self,
        servant: &str,
        function: &str,
        arguments: Vec<u8>,
        context: &[(&str, &str)],
    ) -> io::Result<Response> {
        self.id += 1;
        let patience = self.stream.read_timeout()?.unwrap_or_default();
        let mut request = Request::new(self.id, servant, function, arguments);
        request.timeout = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        request.context = Pairs(
            context
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        );
        let bytes = request.to_frame().map_err(io::Error::other)?;
        self.stream.write_all(&bytes)?;
        loop {
            let frame = read_frame(&mut self.stream).ok_or(ErrorKind::UnexpectedEof)?;
            let response = Response::from_frame(&frame).map_err(io::Error::other)?;
            if response.id != self.id {
                continue;
            }
            if response.ret != code::SUCCESS {
                let what = format!("{function} came to {}", response.ret);
                return Err(io::Error::other(what));
            }
            return Ok(response);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(servant: Arc<dyn Servant>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, "a.b.Obj", &servant, 2));
        address
    }

    #[test]
    fn answers_pings_and_refuses_what_it_does_not_know() {
        let address = served(Arc::new(Mute));
        let mut client = Client::connect(address, Duration::from_secs(5)).unwrap();
        client
            .call("a.b.Obj", "tars_ping", Vec::new(), &[])
            .unwrap();
        let error = client.call("a.b.Obj", "fly", Vec::new(), &[]).unwrap_err();
        assert_eq!(error.to_string(), "fly came to -3");
        let error = client.call("a.b.Else", "fly", Vec::new(), &[]).unwrap_err();
        assert_eq!(error.to_string(), "fly came to -4");
    }

    #[test]
    fn hostile_bytes_end_their_connection_only() {
        let address = served(Arc::new(Mute));
        for bytes in [
            &b"\0\0\0\x03"[..],
            b"\xff\xff\xff\xff",
            b"\0\0\0\x08\xff\xff\xff\xff",
            b"GET / HTTP/1.0\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            stream.write_all(bytes).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            assert!(rest.is_empty());
        }
        let mut client = Client::connect(address, Duration::from_secs(5)).unwrap();
        client
            .call("a.b.Obj", "tars_ping", Vec::new(), &[])
            .unwrap();
    }
}
