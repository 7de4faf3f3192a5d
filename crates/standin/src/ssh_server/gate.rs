//! A valve on a host's connections: open, standing still, or cut.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Listener;

/// The valve of one host.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

struct State {
    listener: Listener,
    streams: Vec<Weak<Mutex<Valve>>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            listener: Listener::Open,
            streams: Vec::new(),
        }
    }
}

/// The valve of one connection, with whoever waits on it.
struct Valve {
    listener: Listener,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Turn the valve. Closing cuts the connections that exist.
    pub(super) fn set(&self, listener: Listener) {
        let mut state = lock(&self.state);
        if state.listener == listener {
            return;
        }
        state.listener = listener;
        state.streams.retain(|stream| {
            let Some(valve) = stream.upgrade() else {
                return false;
            };
            let mut valve = lock(&valve);
            // What was cut stays cut.
            if valve.listener != Listener::Closed {
                valve.listener = listener;
            }
            valve
                .reader
                .take()
                .into_iter()
                .chain(valve.writer.take())
                .for_each(Waker::wake);
            true
        });
    }

    /// Put a new connection behind the valve.
    pub(super) fn wrap(&self, stream: TcpStream) -> Gated {
        let mut state = lock(&self.state);
        let valve = Arc::new(Mutex::new(Valve {
            listener: state.listener,
            reader: None,
            writer: None,
        }));
        state.streams.retain(|stream| stream.strong_count() > 0);
        state.streams.push(Arc::downgrade(&valve));
        Gated { stream, valve }
    }
}

/// A connection behind the valve.
pub(super) struct Gated {
    stream: TcpStream,
    valve: Arc<Mutex<Valve>>,
}

impl Gated {
    /// Pending while frozen, an error once cut. The waker is kept in every case but an error, because
    /// an open connection that waits for bytes must wake when it is cut.
    fn poll_valve(&self, cx: &Context<'_>, reading: bool) -> Poll<io::Result<()>> {
        let mut valve = lock(&self.valve);
        if valve.listener == Listener::Closed {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let waker = Some(cx.waker().clone());
        if reading {
            valve.reader = waker;
        } else {
            valve.writer = waker;
        }
        if valve.listener == Listener::Frozen {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

macro_rules! through {
    ($self:ident, $cx:ident, $reading:literal) => {
        match $self.poll_valve($cx, $reading) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    };
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        through!(self, cx, true);
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        through!(self, cx, false);
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, cx, false);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
