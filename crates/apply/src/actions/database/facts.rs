//! What the database says, before and after a step on it.

use std::collections::BTreeMap;
use std::time::Duration;

use tarsops_model::framework::{DatabaseFacts, FrameworkFacts};
use tarsops_model::inventory::Inventory;
use tarsops_model::observed::Observed;
use tarsops_plan::intent::{Changed, DatabaseChange};
use tokio::time::Instant;

use super::record;
use crate::intent;
use crate::job::{Job, Precheck};
use crate::look::{holds, ready};
use crate::port::Database;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;

/// How long a look or a statement may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The database of the spec.
pub(crate) fn access<'a>(run: &'a Run<'_>) -> Result<&'a dyn Database, Verdict> {
    let none = || Verdict::NotStarted("the spec names no database that can be used".into());
    run.database.as_deref().ok_or_else(none)
}

/// What the database says now, and nobody else.
pub(crate) async fn look(run: &Run<'_>, access: &dyn Database) -> Result<Inventory, String> {
    let facts: DatabaseFacts = access
        .read(run.clock, PATIENCE)
        .await
        .map_err(|e| e.to_string())?;
    let not_asked = "it was not asked".to_owned();
    Ok(Inventory {
        observed_at: (run.clock)(),
        framework: Some(Box::new(FrameworkFacts {
            servants: BTreeMap::new(),
            registries: BTreeMap::new(),
            admin: Observed::Unknown(not_asked),
            database: Observed::Present(facts),
            console: Observed::Absent,
        })),
        ..Inventory::default()
    })
}

/// Whether the step is done or may begin. One that `repeats` is never done before.
pub(crate) async fn precheck(job: &Job<'_>, repeats: bool) -> Result<Precheck<()>, Verdict> {
    let access = access(job.run)?;
    let seen = look(job.run, access).await.map_err(Verdict::NotStarted)?;
    if !repeats && holds(&job.step.post, job.node, &seen).is_ok() {
        return Ok(Precheck::Done);
    }
    ready(&job.step.pre, job.node, &seen)?;
    Ok(Precheck::Ready(()))
}

/// Confirms that the database says what the step wrote, and records that it was done.
pub(crate) async fn settle(
    job: &Job<'_>,
    change: DatabaseChange,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let seen = look(job.run, access(job.run)?).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "it was written, and could not be seen since: {why}"
        ))
    })?;
    holds(&job.step.post, job.node, &seen)
        .map_err(|why| Verdict::LeftFailed(format!("it was written, and yet {why}")))?;
    record::write(job, &change, Some("done"))
        .await
        .map_err(|v| Verdict::LeftFailed(v.into_why()))?;
    end.intent = Some(intent::of(job, Changed::Database(change)));
    Ok(())
}

/// How long one write may take: as long as a step, and no longer than people wait.
pub(crate) fn patience(run: &Run<'_>) -> Duration {
    Duration::from_secs(run.desired.policy.deadline.clamp(5, 300))
}

/// A wait for an answer of the database.
pub(crate) fn waiting(run: &Run<'_>, what: &str) -> Waiting {
    Waiting::until(Instant::now() + patience(run), what)
}
