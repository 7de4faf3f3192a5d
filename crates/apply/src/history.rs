//! What the hosts remember of runs, so that a machine that never saw a run can tell of it and take
//! it back.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use tarsops_model::desired::Desired;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_plan::claims::{self, Place};
use tarsops_plan::database_record::DatabaseIntent;
use tarsops_plan::record::{Record, Runs};
use tarsops_plan::restore::Intent;
use tarsops_transport::{Bounds, Connect, Fault, FaultKind};

use crate::execute::place;
use crate::record_limits::HistoryError;
use crate::scripts::{self, ChangeRecord};

/// How long a host may take to tell what it remembers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all hosts remember.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Changes by run, newest run last.
    pub runs: Runs,
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
) -> Result<Vec<ChangeRecord>, Fault> {
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
pub(crate) fn believed(node: &NodeName, told: ChangeRecord, desired: &Desired) -> Option<Record> {
    let run = RunId::new(told.run).ok()?;
    let step = StepName::new(told.step).ok()?;
    let Ok(ended) = told.verdict.parse();
    let place = Place {
        node,
        run: &run,
        step: &step,
    };
    let mut intent: Option<Intent> = serde_json::from_str(&told.intent).ok();
    let mut database: Option<DatabaseIntent> = serde_json::from_str(&told.intent).ok();
    let mismatch = match (&intent, &database) {
        (Some(intent), _) => claims::fits(intent, place, desired).err(),
        (None, Some(database)) => claims::fits_database(database, place, desired).err(),
        (None, None) => None,
    };
    if mismatch.is_some() || intent.is_some() {
        database = None;
    }
    if mismatch.is_some() {
        intent = None;
    }
    Some(Record {
        node: node.clone(),
        run,
        step,
        intent,
        database,
        mismatch,
        ended,
        text: told.text,
        gate: told.gate,
    })
}
