//! Reads the probe script's answer; its format is described at the head of `probe.sh`.
//!
//! Nothing is believed that is not whole: an answer without its last line, or with another number
//! of lines than that line says, is no answer at all. Lines about the host, about its agent and about
//! its other components are read in a module each.

mod agent;
mod host;
mod line;
mod servers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::host::HostFacts;
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;

use crate::Options;
use agent::AgentLines;
use host::HostLines;
use line::Line;
use servers::ServerLines;

pub use line::AnswerError;

type Servers = BTreeMap<Component, Observed<ServerFacts>>;
type Answer = (HostFacts, Observed<AgentFacts>, Servers);

/// Reads `stdout` of a probe that was given `nonce` at `now` (seconds since 1970).
pub(crate) fn read(
    stdout: &[u8],
    nonce: &str,
    options: &Options,
    now: i64,
) -> Result<Answer, AnswerError> {
    // Banners before it may be of any kind; what the script writes is ASCII.
    let text = String::from_utf8_lossy(stdout);
    let first = format!("tarsops-probe/1 {nonce}");
    let mut lines = text.lines().skip_while(|l| *l != first);
    lines.next().ok_or(AnswerError::NoBeginning)?;
    let mut host = HostLines::new(options, now);
    let mut agent = AgentLines::new();
    let mut servers = ServerLines::default();
    for (count, text) in (1usize..).zip(lines) {
        if let Some(total) = text.strip_prefix("end ") {
            return if total.trim().parse() == Ok(count) {
                Ok(finish(host, &agent, servers, options))
            } else {
                Err(AnswerError::CutOff)
            };
        }
        let line = Line::new(text);
        // A line with an unknown first word is skipped: a newer script may say more.
        let _known = host.read(&line)? || agent.read(&line)? || servers.read(&line)?;
    }
    Err(AnswerError::CutOff)
}

fn finish(
    host: HostLines<'_>,
    agent: &AgentLines,
    servers: ServerLines,
    options: &Options,
) -> Answer {
    let broken = host.broken();
    let (mut facts, listening) = host.finish();
    let agent = agent.finish(options, facts.is_root, listening.as_ref());
    let servers = servers.finish(&facts.components);
    let Some(why) = broken else {
        return (facts, agent, servers);
    };
    // What such programs have shown is not believed, and least of all what they have not.
    facts.components = Observed::Unknown(why.clone());
    facts.installed = Observed::Unknown(why.clone());
    facts.ports = Observed::Unknown(why.clone());
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
