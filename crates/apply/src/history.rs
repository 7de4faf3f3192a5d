//! What the hosts remember of runs, so that a machine that never saw a run can tell of it and take
//! it back.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::memory::DatabaseIntent;
use tarsops_plan::restore::Intent;
use tarsops_transport::{Connect, Fault, FaultKind};

use crate::execute::place;
use crate::scripts;

/// One change as its host remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Where.
    pub node: NodeName,
    /// The run.
    pub run: RunId,
    /// The step's folder on the host.
    pub step: String,
    /// What it meant to do; none if this tarsops cannot read it.
    pub intent: Option<Intent>,
    /// The same of a step on the database, which the master remembers.
    pub database: Option<DatabaseIntent>,
    /// The verdict's word, or `unfinished`, or `damaged` where it is none.
    pub verdict: String,
    /// The verdict's line.
    pub text: String,
    /// What the run made of it after its host was content: `failed: …` or `rolled back: …`, empty
    /// where the framework was content, too.
    pub gate: String,
}

impl Remembered {
    /// What it meant to do, in a few words.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        let host = self.intent.as_ref().map(|i| i.change.summary.as_str());
        host.or_else(|| self.database.as_ref().map(|i| i.summary.as_str()))
    }

    /// Who ran it.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let host = self.intent.as_ref().map(|i| i.holder.as_str());
        host.or_else(|| self.database.as_ref().map(|i| i.holder.as_str()))
    }

    /// When it began, in seconds since 1970 by the clock of who ran it.
    #[must_use]
    pub fn started_at(&self) -> Option<i64> {
        let host = self.intent.as_ref().map(|i| i.started_at);
        host.or_else(|| self.database.as_ref().map(|i| i.started_at))
    }

    /// Digest of the spec that it served.
    #[must_use]
    pub fn spec_digest(&self) -> Option<Digest> {
        let host = self.intent.as_ref().map(|i| i.spec_digest);
        host.or_else(|| self.database.as_ref().map(|i| i.spec_digest))
    }
}

/// What all hosts remember.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Changes by run, newest run last.
    pub runs: BTreeMap<RunId, Vec<Remembered>>,
    /// Hosts that could not be asked.
    pub faults: Vec<(NodeName, Fault)>,
}

/// Asks `nodes` for the newest `limit` runs that each remembers.
pub async fn ask(
    connect: &dyn Connect,
    desired: &Desired,
    nodes: &[NodeName],
    limit: usize,
) -> Memory {
    let mut memory = Memory::default();
    let mut answers = futures::stream::iter(
        nodes
            .iter()
            .map(|node| async move { (node, one(connect, desired, node, limit).await) }),
    )
    .buffer_unordered(desired.parallel.max(1) as usize);
    while let Some((node, answer)) = answers.next().await {
        match answer {
            Ok(list) => {
                for item in list {
                    memory.runs.entry(item.run.clone()).or_default().push(item);
                }
            }
            Err(fault) => memory.faults.push((node.clone(), fault)),
        }
    }
    for list in memory.runs.values_mut() {
        list.sort_by(|a, b| (&a.node, &a.step).cmp(&(&b.node, &b.step)));
    }
    memory.faults.sort_by(|a, b| a.0.cmp(&b.0));
    memory
}

async fn one(
    connect: &dyn Connect,
    desired: &Desired,
    node: &NodeName,
    limit: usize,
) -> Result<Vec<Remembered>, Fault> {
    let remote = connect.connect(node).await?;
    let script = scripts::history(&place(desired, node), limit);
    let output = remote.script(&script, Duration::from_secs(30)).await?;
    let told = scripts::read_history(&output.stdout)
        .ok_or_else(|| Fault::new(FaultKind::Garbled, "its answer cannot be read"))?;
    Ok(told
        .into_iter()
        .filter_map(|t| {
            Some(Remembered {
                node: node.clone(),
                run: RunId::new(t.run).ok()?,
                step: t.step,
                intent: serde_json::from_str(&t.intent).ok(),
                database: serde_json::from_str(&t.intent).ok(),
                verdict: t.verdict,
                text: t.text,
                gate: t.gate,
            })
        })
        .collect())
}
