//! A Tars server whose every byte a test decides, and a bound that a busy machine does not break. The
//! tests of the crate `framework` use this file, too.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses what it needs"
)]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tarsops_model::names::Endpoint;
use tarsops_wire::packet::{Request, Response, take_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Runs `work`, which must end within `limit`. Time is counted in ticks of this runtime, each of which
/// takes longer on a busy machine, as the work does: the bound compares the two within one run.
pub async fn in_time<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    const TICK: Duration = Duration::from_millis(10);
    let ticks = async {
        for _ in 0..limit.as_millis() / TICK.as_millis() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        biased;
        out = work => out,
        () = ticks => panic!("it takes longer than {limit:?}"),
    }
}

/// Where it listens, and how many connections it took.
pub struct Server {
    pub at: Endpoint,
    pub accepted: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Hands each connection and its number, from 0, to `handle`.
    pub async fn start<F, Fut>(handle: F) -> Self
    where
        F: Fn(usize, Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let buffer = Vec::new();
                connections.spawn(handle(number, Peer { stream, buffer }));
            }
        });
        let at = Endpoint::at(at.ip(), at.port());
        Self { at, accepted, task }
    }

    /// A server that answers every call with what `answer` makes of it; nothing for none.
    pub async fn answering(
        answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::start(move |_, mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(request) = peer.request().await {
                    if let Some(response) = answer(&request) {
                        peer.say(&response.to_frame().unwrap()).await;
                    }
                }
            }
        })
        .await
    }

    pub fn count(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The other end of a connection.
pub struct Peer {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    /// The next call; none when the client hung up.
    pub async fn request(&mut self) -> Option<Request> {
        loop {
            if let Some((frame, rest)) = take_frame(&self.buffer, 1 << 26).unwrap() {
                let request = Request::from_frame(frame).unwrap();
                self.buffer = rest.to_vec();
                return Some(request);
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn answer(&mut self, request: &Request, ret: i32, body: Vec<u8>) {
        let response = Response::to(request, ret, body);
        self.say(&response.to_frame().unwrap()).await;
    }

    /// Stays until the client hangs up, and says nothing.
    pub async fn stay(mut self) {
        while self.request().await.is_some() {}
    }
}
