//! A web server on this machine that answers as a real console once did, and keeps what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tarsops_transport::console::{Command, Console, TaskForm, TaskFormItem, Which};
use tarsops_transport::mysql::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A ticket that an address has to have in another form.
pub const TICKET: &str = "made-up/ticket+1";
pub const ENCODED: &str = "made-up%2Fticket%2B1";

/// A client with that ticket, and one deadline for all calls.
pub fn client(url: &str, deadline: Duration) -> Console {
    Console::new(url, Secret::new(TICKET))
        .unwrap()
        .with_deadlines(deadline, deadline)
}

/// A task that restarts one server.
pub fn task() -> TaskForm {
    TaskForm {
        serial: true,
        elegant: false,
        eachnum: 1,
        items: vec![TaskFormItem {
            server_id: 4,
            command: Command::Restart,
        }],
    }
}

/// One recorded exchange.
#[derive(Clone)]
pub struct Exchange {
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query, the ticket left out.
    pub target: String,
    /// The JSON that was sent; empty for none.
    pub sent: String,
    status: u16,
    headers: Vec<String>,
    /// What came back.
    pub body: String,
}

/// The recorded exchange of that name (`fixtures/web/exchanges.txt`).
pub fn exchange(name: &str) -> Exchange {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/web/exchanges.txt"
    );
    let all = std::fs::read_to_string(file).unwrap();
    let start = format!("\n== {name}\n");
    let (_, rest) = all.split_once(&start).unwrap_or_else(|| panic!("{name}"));
    let text = rest.split("\n== ").next().unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut next = lines.next().unwrap();
    let mut sent = "";
    if next.parse::<u16>().is_err() {
        (sent, next) = (next, lines.next().unwrap());
    }
    Exchange {
        method: method.to_owned(),
        target: target.to_owned(),
        sent: sent.to_owned(),
        status: next.parse().unwrap(),
        headers: lines.map(str::to_owned).collect(),
        body: body.trim_end().to_owned(),
    }
}

/// A server on a node.
pub fn which_of(application: &str, server_name: &str, node_name: &str) -> Which {
    Which {
        application: application.to_owned(),
        server_name: server_name.to_owned(),
        node_name: node_name.to_owned(),
    }
}

/// How a request is met.
#[derive(Clone)]
pub enum Reply {
    /// With these bytes; then the connection ends.
    Bytes(Vec<u8>),
    /// With these bytes, and then with the others again and again, after a pause each time.
    Endless(Vec<u8>, Vec<u8>, Duration),
    /// Not at all.
    Silence,
    /// By the end of the connection.
    End,
}

impl Reply {
    /// As it was recorded.
    pub fn recorded(name: &str) -> Self {
        let e = exchange(name);
        let headers: Vec<&str> = e.headers.iter().map(String::as_str).collect();
        Self::of(e.status, &headers, e.body.as_bytes())
    }

    /// With JSON.
    pub fn json(body: &str) -> Self {
        Self::of(200, &["Content-Type: application/json"], body.as_bytes())
    }

    /// Any other.
    pub fn of(status: u16, headers: &[&str], body: &[u8]) -> Self {
        let mut head = format!("HTTP/1.1 {status} Some Words\r\n");
        for header in headers {
            head += &format!("{header}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        Self::Bytes([head.as_bytes(), body].concat())
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The server. It listens until it is dropped.
pub struct Web {
    /// `http://HOST:PORT`.
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Web {
    /// Meets request after request with `replies`, and those that are more with the last.
    pub async fn start(replies: Vec<Reply>) -> Self {
        Self::listen(replies, None).await
    }

    /// The same over TLS.
    pub async fn start_tls(replies: Vec<Reply>, tls: TlsAcceptor) -> Self {
        Self::listen(replies, Some(tls)).await
    }

    async fn listen(replies: Vec<Reply>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, replies) = (Arc::clone(&seen), Arc::clone(&replies));
                match tls.clone() {
                    None => connections.spawn(serve(stream, seen, replies)),
                    Some(tls) => connections.spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, seen, replies).await;
                        }
                    }),
                };
            }
        });
        Self {
            url,
            requests,
            task,
        }
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Meets the one request of a connection.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    seen: Arc<Mutex<Vec<Request>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
) {
    let Some(request) = read(&mut stream).await else {
        // It was no HTTP.
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        return;
    };
    let reply = {
        let mut left = replies.lock().unwrap();
        let next = left.pop_front().unwrap();
        if left.is_empty() {
            left.push_back(next.clone());
        }
        next
    };
    seen.lock().unwrap().push(request);
    match reply {
        Reply::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Reply::Endless(head, part, pause) => {
            let _ = stream.write_all(&head).await;
            while stream.write_all(&part).await.is_ok() {
                let _ = stream.flush().await;
                tokio::time::sleep(pause).await;
            }
        }
        Reply::Silence => std::future::pending().await,
        Reply::End => {}
    }
}

/// An authority in PEM, and what serves by a certificate of it for 127.0.0.1. `openssl` makes them.
pub fn certified() -> (Vec<u8>, TlsAcceptor) {
    certified_as("IP:127.0.0.1", 2)
}

/// As [`certified`], for these names and so many days, which may be past.
pub fn certified_as(names: &str, days: i32) -> (Vec<u8>, TlsAcceptor) {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let made = std::process::Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    let new = "req -batch -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "{new} -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"
    ));
    openssl(&format!(
        "{new} -subj /CN=console -keyout key.pem -out request.pem"
    ));
    let extensions = format!("subjectAltName={names}\n");
    std::fs::write(dir.path().join("names"), extensions).unwrap();
    openssl(&format!(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
         -extfile names -out cert.pem"
    ));
    let certificate = CertificateDer::from_pem_file(dir.path().join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.path().join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let authority = std::fs::read(dir.path().join("ca.pem")).unwrap();
    (authority, TlsAcceptor::from(Arc::new(config)))
}

/// One request, whole.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Request> {
    let mut all = Vec::new();
    let end = loop {
        if let Some(at) = all.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        let handshake = all.first() == Some(&0x16);
        if handshake || stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = all.split_off(end + 4);
    let head = String::from_utf8(all).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length");
    let length = length.map_or(0, |(_, v)| v.parse().unwrap());
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request {
        method: first.next().unwrap().to_owned(),
        target: first.next().unwrap().to_owned(),
        headers,
        body,
    })
}
