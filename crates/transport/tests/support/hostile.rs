//! Servers that speak the database's protocol as far as a test says, and keep all that they hear.

use std::future::Future;
use std::sync::{Arc, Mutex};

use tarsops_model::names::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub const SSL: u32 = 1 << 11;
/// Protocol 4.1, transactions, a challenge of 20 bytes, plugins.
const USUAL: u32 = 1 << 9 | 1 << 13 | 1 << 15 | 1 << 19;
pub const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
pub const END: &[u8] = &[0xfe, 0, 0, 2, 0];

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A server and all that it has heard, encrypted or not.
pub struct Hostile {
    pub at: Endpoint,
    heard: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    /// Hands each connection and its number, from 0, to `script`.
    pub async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(usize, Talk) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let talk = Talk {
                    stream: Box::new(stream),
                    heard: Arc::clone(&kept),
                    next: 0,
                };
                connections.spawn(script(number, talk));
            }
        });
        let at = Endpoint::at(at.ip(), at.port());
        Self { at, heard, task }
    }

    /// All that clients have said.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }

    /// Whether these bytes are anywhere in what clients have said.
    pub fn has_heard(&self, bytes: &[u8]) -> bool {
        self.heard().windows(bytes.len()).any(|w| w == bytes)
    }
}

/// One connection to a server of ours.
pub struct Talk {
    stream: Box<dyn Both>,
    heard: Arc<Mutex<Vec<u8>>>,
    /// The number that the next packet must have.
    next: u8,
}

impl Talk {
    pub async fn say(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let head = [length[0], length[1], length[2], self.next];
        self.next = self.next.wrapping_add(1);
        let _ = self.stream.write_all(&[&head, payload].concat()).await;
        let _ = self.stream.flush().await;
    }

    /// Bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next packet; none when the client hung up. Its number must be the one that is due, or 0
    /// where a client may ask something.
    pub async fn hear(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 4];
        self.read(&mut head).await?;
        assert!(head[3] == self.next || head[3] == 0, "{head:?}");
        self.next = head[3].wrapping_add(1);
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let mut payload = vec![0; length as usize];
        self.read(&mut payload).await?;
        Some(payload)
    }

    /// The next packet, whatever its number is; none when the client hung up.
    pub async fn hear_any(&mut self) -> Option<Vec<u8>> {
        let mut head = [0; 4];
        self.read(&mut head).await?;
        self.next = head[3].wrapping_add(1);
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let mut payload = vec![0; length as usize];
        self.read(&mut payload).await?;
        Some(payload)
    }

    async fn read(&mut self, to: &mut [u8]) -> Option<()> {
        let mut done = 0;
        while done < to.len() {
            let count = self.stream.read(&mut to[done..]).await.ok()?;
            if count == 0 {
                return None;
            }
            self.heard
                .lock()
                .unwrap()
                .extend_from_slice(&to[done..done + count]);
            done += count;
        }
        Some(())
    }

    /// Lets the client in, and takes what it sets for its connection.
    pub async fn let_in(&mut self) {
        self.say(OK).await;
        if let Some(question) = self.hear().await {
            assert!(
                question.starts_with(b"\x03SET NAMES utf8mb4"),
                "{question:?}"
            );
            self.say(OK).await;
        }
    }

    /// Hears everything until the client hangs up.
    pub async fn hear_all(&mut self) {
        let mut byte = [0];
        while self.read(&mut byte).await.is_some() {}
    }

    pub async fn greet(&mut self, capabilities: u32, plugin: &str) {
        let bytes = (USUAL | capabilities).to_le_bytes();
        let mut out = b"\x0a8.4.0\0\x01\0\0\0abcdefgh\0".to_vec();
        out.extend_from_slice(&bytes[..2]);
        out.extend_from_slice(&[45, 2, 0]);
        out.extend_from_slice(&bytes[2..]);
        out.extend_from_slice(&[21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(b"ijklmnopqrst\0");
        out.extend_from_slice(plugin.as_bytes());
        out.push(0);
        self.say(&out).await;
    }

    /// Greets without TLS, and hears the client's answer.
    pub async fn begin(&mut self, plugin: &str) -> Option<Vec<u8>> {
        self.greet(0, plugin).await;
        self.hear().await
    }

    /// Greets, takes the request for TLS and encrypts; then hears the client's answer.
    pub async fn begin_tls(mut self, plugin: &str, tls: &TlsAcceptor) -> Option<(Self, Vec<u8>)> {
        self.greet(SSL, plugin).await;
        let request = self.hear().await?;
        assert_eq!((request.len(), self.next), (32, 2));
        let stream = tls.accept(self.stream).await.ok()?;
        self.stream = Box::new(stream);
        let answer = self.hear().await?;
        // Both say the same of the client, and that it encrypts.
        assert_eq!(answer[..32], request);
        assert_ne!(u32::from(answer[1]) << 8 & SSL, 0);
        Some((self, answer))
    }

    /// The head of an answer with `columns` columns of text.
    pub async fn head(&mut self, columns: u8) {
        self.say(&[columns]).await;
        for _ in 0..columns {
            self.column().await;
        }
        self.say(END).await;
    }

    /// One column of text.
    pub async fn column(&mut self) {
        let mut column = b"\x03def\0\0\0\x01x\x01x\x0c".to_vec();
        column.extend_from_slice(&[45, 0, 255, 255, 255, 0, 253, 0, 0, 0, 0, 0]);
        self.say(&column).await;
    }
}

/// The way to a database, of which the connections with these numbers, from 0, lead to a hostile server.
pub async fn sometimes(real: Endpoint, hostile: Endpoint, numbers: &'static [usize]) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        for number in 0.. {
            let (mut here, _) = listener.accept().await.unwrap();
            let to = if numbers.contains(&number) {
                hostile.clone()
            } else {
                real.clone()
            };
            connections.spawn(async move {
                let mut there = TcpStream::connect((to.host.as_str(), to.port))
                    .await
                    .unwrap();
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    Endpoint::at(at.ip(), at.port())
}
