//! What a component knows of itself, its administration object, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tarsops_wire::interface::{EndpointF, field};
use tarsops_wire::packet::Request;

use super::conf::{Endpoint, Section};
use super::lies::Lies;
use super::log::Log;
use super::net::{Arguments, Caller, Client, Outcome, Reply, Servant, body};
use super::timings::Timings;

/// Connections that an adapter takes at once where its configuration says nothing.
pub(super) const MOST_CONNECTIONS: usize = 256;
/// How long a registry may take to tell where an object is.
const LOOKING: Duration = Duration::from_secs(3);

/// What a persona knows of itself.
pub(super) struct Own {
    /// Framework version.
    pub(super) version: String,
    /// Library version.
    pub(super) library: String,
    /// Its address, by its configuration.
    pub(super) ip: String,
    /// Its servants and their endpoints, the administration object's too.
    pub(super) endpoints: Vec<(String, String)>,
    pub(super) timings: Timings,
    pub(super) conf: Section,
    pub(super) log: Log,
    pub(super) lies: Lies,
}

impl Own {
    /// Where an object is, by the first registry of the locator that answers.
    pub(super) fn places(&self, object: &str) -> Vec<Endpoint> {
        let client = self.conf.at(&["tars", "application", "client"]);
        let locator = client.and_then(|client| client.get("locator"));
        let registries = locator.and_then(|text| Endpoint::parse_locator(text).ok());
        for registry in registries.into_iter().flatten() {
            let Ok(address) = registry.address() else {
                continue;
            };
            let found = Client::connect(address, LOOKING).and_then(|mut client| {
                let id = body(|w| w.put(1, object));
                client.call("tars.tarsregistry.QueryObj", "findObjectById", id, &[])
            });
            if let Ok(answer) = found {
                let places: Option<Vec<EndpointF>> = field(&answer, 0).unwrap_or_default();
                return places
                    .into_iter()
                    .flatten()
                    .filter_map(|place| {
                        Some(Endpoint {
                            host: place.host,
                            port: u16::try_from(place.port).ok()?,
                        })
                    })
                    .collect();
            }
        }
        Vec::new()
    }

    /// Whether it writes no rows about itself, as during a move (`ReapThread.cpp`, `heartbeatoff`).
    pub(super) fn is_silent(&self) -> bool {
        let reap = self.conf.at(&["tars", "reap"]);
        reap.and_then(|reap| reap.get("heartbeatoff")) == Some("Y")
    }
}

/// A servant by its name.
pub(super) type Named = (String, Arc<dyn Servant>);

/// Returns on SIGTERM or SIGINT.
pub(super) fn wait_for_the_end(log: &Log) -> Result<(), String> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    for signal in signals.forever() {
        // A daemon does not end with the session that started it.
        if signal != SIGHUP {
            log.write(&format!("INFO|signal {signal}, stopping"));
            break;
        }
    }
    Ok(())
}

/// Have this process end as SIGTERM ends it.
pub(super) fn end_self() {
    let _ = kill_process(getpid(), Signal::TERM);
}

/// The administration object of every server (TarsProtocol `servant/AdminF.tars`).
pub(super) struct AdminObj {
    library: String,
}

impl AdminObj {
    pub(super) fn new(library: &str) -> Self {
        Self {
            library: library.to_owned(),
        }
    }

    /// What a server says to a command: one line for each of its objects that takes it.
    fn say(&self, command: &str) -> String {
        let answer = match command.trim() {
            "tars.viewversion" => format!("${}$", self.library),
            "tars.help" => "tars.help\r\ntars.viewversion\r\n".to_owned(),
            _ => return String::new(),
        };
        format!("[notify prefix object num:1]\n[1]:{answer}\n")
    }
}

impl Servant for AdminObj {
    fn call(&self, _caller: &Caller, request: &Request) -> Outcome {
        let reply = match request.function.as_str() {
            "notify" => {
                let command: String = Arguments::of(request)?.get(1)?;
                body(|w| w.put(0, &self.say(&command)))
            }
            "getPid" => body(|w| w.int(0, i64::from(std::process::id()))),
            "shutdown" => {
                end_self();
                Vec::new()
            }
            _ => return Ok(Reply::NoFunction),
        };
        Ok(Reply::Body(reply))
    }
}
