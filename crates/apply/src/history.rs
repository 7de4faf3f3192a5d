//! What the hosts remember of runs, so that a machine that never saw a run can tell of it and take
//! it back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_plan::claims::{self, Misfit, Place};
use tarsops_plan::memory::DatabaseIntent;
use tarsops_plan::restore::Intent;
use tarsops_transport::{Bounds, Connect, Fault, FaultKind};

use crate::bounds::HistoryError;
use crate::execute::place;
use crate::scripts::{self, Told};

/// How long a host may take to tell what it remembers.
const PATIENCE: Duration = Duration::from_secs(30);

/// One change as its host remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Where.
    pub node: NodeName,
    /// The run.
    pub run: RunId,
    /// The step's folder on the host.
    pub step: StepName,
    /// What it meant to do; none if this tarsops cannot read it, or does not believe it.
    pub intent: Option<Intent>,
    /// The same of a step on the database, which the master remembers.
    pub database: Option<DatabaseIntent>,
    /// Why it is not believed: what a host remembers counts for that host only.
    pub misfit: Option<Misfit>,
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
    /// Hosts with records whose folder is called as no run or step is; they count for nothing.
    pub strange: BTreeSet<NodeName>,
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
                for told in list {
                    match believed(node, told, desired) {
                        Some(item) => memory.runs.entry(item.run.clone()).or_default().push(item),
                        None => {
                            memory.strange.insert(node.clone());
                        }
                    }
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
) -> Result<Vec<Told>, Fault> {
    let remote = connect.connect(node).await?;
    let script = scripts::history(&place(desired, node), limit);
    let output = remote
        .ask(&script, Bounds::new(Bounds::RECORDS, PATIENCE))
        .await?;
    scripts::read_history(&output.stdout).map_err(|why| {
        let kind = match why {
            HistoryError::NotWhole => FaultKind::Garbled,
            HistoryError::Changes | HistoryError::Intent { .. } => FaultKind::TooMuch,
        };
        Fault::new(kind, why.to_string())
    })
}

/// What is believed of what `node` said; none where its folder is called as no run or step is.
fn believed(node: &NodeName, told: Told, desired: &Desired) -> Option<Remembered> {
    let run = RunId::new(told.run).ok()?;
    let step = StepName::new(told.step).ok()?;
    let place = Place {
        node,
        run: &run,
        step: &step,
    };
    let mut intent: Option<Intent> = serde_json::from_str(&told.intent).ok();
    let mut database: Option<DatabaseIntent> = serde_json::from_str(&told.intent).ok();
    let misfit = match (&intent, &database) {
        (Some(intent), _) => claims::fits(intent, place, desired).err(),
        (None, Some(database)) => claims::fits_database(database, place, desired).err(),
        (None, None) => None,
    };
    if misfit.is_some() || intent.is_some() {
        database = None;
    }
    if misfit.is_some() {
        intent = None;
    }
    Some(Remembered {
        node: node.clone(),
        run,
        step,
        intent,
        database,
        misfit,
        verdict: told.verdict,
        text: told.text,
        gate: told.gate,
    })
}
