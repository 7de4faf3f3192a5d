//! The script of the lease on the master, and its answer.

use tarsops_model::digest::Digest;
use tarsops_model::names::RunId;
use tarsops_transport::Script;

use super::text::plain;
use crate::place::Place;
use crate::words::LeaseWord;

pub(crate) const LEASE: &str = include_str!("../host/lease.sh");

/// What the lease script does.
#[derive(Clone, Copy)]
pub(crate) enum LeaseMode {
    /// Take it.
    Acquire,
    /// Say that we live.
    Renew,
    /// Give it back.
    Release,
}

/// The lease script for the master.
pub(crate) fn lease(
    place: &Place,
    run: &RunId,
    holder: &str,
    ttl: u64,
    spec: &Digest,
    mode: LeaseMode,
) -> String {
    let mut out = Script::new();
    out.set("E_INSTALL", place.install_path.as_str());
    out.set("E_CLUSTER", place.cluster.as_str());
    out.set("E_RUN", run.as_str());
    out.set("E_HOLDER", holder);
    out.set("E_TTL", &ttl.to_string());
    out.set("E_SPEC", &spec.to_string());
    let word = match mode {
        LeaseMode::Acquire => "acquire",
        LeaseMode::Renew => "renew",
        LeaseMode::Release => "release",
    };
    out.set("E_MODE", word);
    out.part(LEASE);
    out.into_text()
}

/// Reads the answer of the lease script: its word and what follows.
pub(crate) fn read_lease(stdout: &[u8]) -> Option<(LeaseWord, Vec<String>)> {
    let text = String::from_utf8_lossy(stdout);
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("tarsops-lease/1 "))?;
    let mut words = line.split(' ');
    let word = words.next()?.parse().ok()?;
    Some((word, words.map(|w| plain(Some(w))).collect()))
}
