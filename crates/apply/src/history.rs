//! The records of runs on hosts, so that a machine that never saw a run can show it and roll it back.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use tarsops_model::desired::Desired;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_plan::claims::{self, Place};
use tarsops_plan::intent::Intent;
use tarsops_plan::record::{Record, Runs};
use tarsops_transport::{Bounds, Connect, Fault, FaultKind};

use crate::record_limits::HistoryError;
use crate::run::place;
use crate::scripts::{self, ChangeRecord};

/// How long a host may take to list its records.
const PATIENCE: Duration = Duration::from_secs(30);

/// The records of all hosts.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Changes by run, newest run last.
    pub runs: Runs,
    /// Hosts that could not be asked.
    pub faults: Vec<(NodeName, Fault)>,
    /// Hosts with a record in a folder that has no name of a run or step; it counts for nothing.
    pub strange: BTreeSet<NodeName>,
}

/// Asks `nodes` for the newest `limit` runs that each has records of.
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
                for record in list {
                    match read(node, record, desired) {
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

/// A record of `node`, as far as it fits that host; none where its folder has no name of a run or step.
pub(crate) fn read(node: &NodeName, record: ChangeRecord, desired: &Desired) -> Option<Record> {
    let run = RunId::new(record.run).ok()?;
    let step = StepName::new(record.step).ok()?;
    let Ok(ended) = record.verdict.parse();
    let place = Place {
        node,
        run: &run,
        step: &step,
    };
    let mut intent: Option<Intent> = serde_json::from_str(&record.intent).ok();
    let fits = |intent| claims::fits(intent, place, desired);
    let mismatch = intent.as_ref().and_then(|intent| fits(intent).err());
    if mismatch.is_some() {
        intent = None;
    }
    Some(Record {
        node: node.clone(),
        run,
        step,
        intent,
        mismatch,
        ended,
        text: record.text,
        gate: record.gate,
    })
}
