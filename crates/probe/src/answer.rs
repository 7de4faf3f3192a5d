//! Reads the probe script's answer; its format is described at the head of `probe.sh`.
//!
//! An answer counts only as a whole: one without its last line, or with another number of lines than
//! that line says, is no answer at all. Lines about the host, about its agent and about its other
//! components are read in a module each.

mod agent;
mod console;
mod docker;
mod frame;
mod host;
mod line;
mod servers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::console::ConsoleFacts;
use tarsops_model::host::HostFacts;
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;

use crate::Options;
use agent::AgentLines;
use console::ConsoleLines;
use docker::DockerLines;
use frame::{Frame, Part};
use host::HostLines;
use servers::ServerLines;

pub use line::AnswerError;

type Servers = BTreeMap<Component, Observed<ServerFacts>>;
/// What an answer says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) host: HostFacts,
    pub(crate) agent: Observed<AgentFacts>,
    pub(crate) servers: Servers,
    /// None where nobody asked for the platform.
    pub(crate) console: Option<ConsoleFacts>,
}

/// Reads `stdout` of a probe that was given `nonce` at `now` (seconds since 1970).
pub(crate) fn read(
    stdout: &[u8],
    nonce: &str,
    options: &Options,
    now: i64,
) -> Result<Answer, AnswerError> {
    let mut frame = Frame::new(stdout, nonce).ok_or(AnswerError::NoBeginning)?;
    let mut host = HostLines::new(options, now);
    let mut agent = AgentLines::new();
    let mut servers = ServerLines::default();
    let mut docker = DockerLines::default();
    let mut console = ConsoleLines::default();
    loop {
        match frame.next()? {
            Part::Line(line) => {
                // A line with an unknown first word is skipped: a newer script may say more.
                let _known = host.read(&line)?
                    || agent.read(&line)?
                    || servers.read(&line)?
                    || docker.read(&line, options)?
                    || console.read(&line)?;
            }
            Part::OfFile { file, line } => {
                let _known = host.read_file(file, line)?
                    || agent.read_file(file, line)?
                    || docker.read_file(file, line)?;
            }
            Part::End => {
                let (mut host, agent, servers) = finish(host, &agent, servers, options);
                host.docker = docker.finish();
                return Ok(Answer {
                    host,
                    agent,
                    servers,
                    console: console.finish(),
                });
            }
        }
    }
}

fn finish(
    host: HostLines<'_>,
    agent: &AgentLines,
    servers: ServerLines,
    options: &Options,
) -> (HostFacts, Observed<AgentFacts>, Servers) {
    let broken = host.broken();
    let (mut facts, listening) = host.finish();
    let agent = agent.finish(options, facts.is_root, listening.as_ref());
    let servers = servers.finish(&facts.components);
    let Some(why) = broken else {
        return (facts, agent, servers);
    };
    // What such programs have shown does not count, and least of all what they have not.
    facts.components = Observed::Unknown(why.clone());
    facts.installed = Observed::Unknown(why.clone());
    facts.ports = Observed::Unknown(why.clone());
    if facts.interfaces.unknown().is_some() {
        facts.interfaces = Observed::Unknown(why.clone());
    }
    let servers = servers
        .into_keys()
        .map(|component| (component, Observed::Unknown(why.clone())))
        .collect();
    (facts, Observed::Unknown(why), servers)
}

/// What a fact is before its line came.
fn not_reported<T>() -> Observed<T> {
    Observed::Unknown("the host did not report it".to_owned())
}
