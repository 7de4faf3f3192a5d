//! A stand-in of the management platform (TarsWeb, "the console"): the calls that publish, over HTTP,
//! on the framework's real tables in MySQL and on tarsAdminRegistry.
//!
//! What it answers, in which envelope and after which checks, is what a real console (3.0.15) was seen
//! to answer (`fixtures/web/exchanges.txt`): nearly every failure is HTTP 200 with `ret_code` 500 and
//! the words "system error", some are pages, `deploy_server` over a server resets it, an empty file is
//! a package. It knows no spec and shares no code with the client.
//!
//! [`Console::start`] runs one in this process; a copy of the multi-call program made by
//! [`crate::standin::make`] and started as [`NAME`] with `--config=FILE` is one in a process of its own,
//! see [`Options::write`]. Lies are switched on by the file `lies` in [`Options::folder`], see
//! [`crate::standin::lies`].
//!
//! It has no pages, no accounts beside the one ticket's, and none of the calls that publish nothing.
//! What must stay true: it listens where it is told and nowhere else, and is gone when it is dropped.

mod ask;
mod calls;
mod multipart;
mod nodes;
mod packages;
mod rpc;
mod serve;
mod servers;
mod tables;
mod tasks;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::standin::lies::Lies;
use crate::store::Database;

/// The name under which the multi-call program becomes a console.
pub const NAME: &str = "tarsweb";
/// Whom its ticket belongs to.
const UID: &str = "admin";
/// The version that it says it has.
pub const VERSION: &str = "3.0.15";

/// Why there is no console.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The operating system refused something.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The tables are not in MySQL.
    #[error("the console has its tables in MySQL and nowhere else")]
    NoMySql,
    /// The tables cannot be reached. The real one does not start then, either.
    #[error("the console cannot use the framework's tables")]
    Database(#[source] mysql_async::Error),
    /// Its configuration cannot be read.
    #[error("the console's configuration cannot be read")]
    Configuration(#[from] serde_json::Error),
}

fn io(what: &'static str) -> impl FnOnce(io::Error) -> ConsoleError {
    move |source| ConsoleError::Io { what, source }
}

/// How a console is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Where it listens; port 0 is one that is free. The real one has port 3000.
    pub listen: SocketAddr,
    /// The framework's tables, in MySQL.
    pub database: Database,
    /// Where tarsAdminRegistry is.
    pub admin: SocketAddr,
    /// The one ticket that it takes.
    pub ticket: String,
    /// Where packages go: `<uploads>/<App>/<Server>/<App>.<Server>_suse_<ms>.tgz`. They can be published
    /// where it is the folder in which tarspatch looks, `<install path>/patchs/tars.upload`.
    pub uploads: PathBuf,
    /// A folder of its own, in which `lies` may lie.
    pub folder: PathBuf,
    /// Whether `?ticket=undefined` and `X-Forwarded-For: 127.0.0.1` let anybody in, as they do.
    pub doors_open: bool,
    /// Whether requests from 127.0.0.1 need no ticket. The real one's do not; in tests all come from
    /// there.
    pub trusts_this_machine: bool,
    /// Requests that it takes from one address in 10 minutes.
    pub most_requests: u32,
    /// How long tarsAdminRegistry may take, in milliseconds.
    pub patience_ms: u64,
}

impl Options {
    /// A console on a free loopback port, with a ticket that is not secret and the real one's defaults.
    #[must_use]
    pub fn new(database: Database, admin: SocketAddr, uploads: &Path, folder: &Path) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            database,
            admin,
            ticket: "stand-in-ticket".into(),
            uploads: uploads.to_path_buf(),
            folder: folder.to_path_buf(),
            doors_open: true,
            trusts_this_machine: false,
            most_requests: 5000,
            patience_ms: 3000,
        }
    }

    /// Write them to a file for `tarsweb --config=FILE`. The database's password is in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ConsoleError> {
        let text = serde_json::to_vec_pretty(self)?;
        fs::write(path, text).map_err(io("write the console's configuration"))
    }
}

/// What all requests share.
struct State {
    options: Options,
    tables: tables::Tables,
    lies: Lies,
    seen: serve::Seen,
}

impl State {
    fn patience(&self) -> Duration {
        Duration::from_millis(self.options.patience_ms)
    }
}

/// Listens, and looks for the tables.
async fn begin(options: Options) -> Result<(SocketAddr, TcpListener, Arc<State>), ConsoleError> {
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(io("listen where the console shall"))?;
    let address = listener.local_addr().map_err(io("learn the port"))?;
    let tables = tables::Tables::new(&options.database).ok_or(ConsoleError::NoMySql)?;
    tables.prepare().await.map_err(ConsoleError::Database)?;
    let state = State {
        tables,
        lies: Lies::of(&options.folder),
        seen: serve::Seen::default(),
        options,
    };
    Ok((address, listener, Arc::new(state)))
}

/// A console in this process. It ends when it is dropped.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    ticket: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Start it; it takes requests at once.
    ///
    /// # Errors
    /// When it cannot listen, or the tables cannot be reached or are not in MySQL.
    pub fn start(options: Options) -> Result<Self, ConsoleError> {
        let ticket = options.ticket.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        // All of it happens on a thread of its own: whoever calls may be within a runtime.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(io("make a runtime")(error)))),
            };
            runtime.block_on(async {
                match begin(options).await {
                    Ok((address, listener, state)) => {
                        let _ = tell.send(Ok(address));
                        tokio::select! {
                            () = serve::run(listener, state) => {}
                            _ = stopped => {}
                        }
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            });
            runtime.shutdown_timeout(Duration::from_millis(200));
        });
        let gone = || io("hear of the console")(io::ErrorKind::BrokenPipe.into());
        let address = told.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self {
            address,
            ticket,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ticket that it takes.
    #[must_use]
    pub fn ticket(&self) -> &str {
        &self.ticket
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Run as a process of its own, until SIGTERM; the result is the exit code.
pub(crate) fn run(flags: &[String]) -> i32 {
    // As a daemon: it does not end with the session that started it.
    let _ = rustix::process::setsid();
    let config = flags
        .iter()
        .rev()
        .find_map(|flag| flag.strip_prefix("--config="));
    let started = config
        .ok_or_else(|| "start with --config=FILE".to_owned())
        .and_then(|path| fs::read(path).map_err(|error| format!("cannot read {path}: {error}")))
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
        .and_then(|options| Console::start(options).map_err(|error| told(&error)))
        .and_then(|console| {
            use signal_hook::consts::{SIGINT, SIGTERM};
            let signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT]);
            let mut signals = signals.map_err(|error| error.to_string())?;
            signals.forever().next();
            drop(console);
            Ok(())
        });
    match started {
        Ok(()) => 0,
        Err(why) => crate::standin::complain(NAME, &why),
    }
}

/// An error with its cause.
fn told(error: &ConsoleError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
