//! What every source says before rows are changed.

use tarsops_model::inventory::Inventory;

use crate::job::{Job, Precheck};
use crate::look::{holds, look_at, ready};
use crate::run::Run;
use crate::verdict::Verdict;

/// Asks every source of the framework.
pub(crate) async fn ask(run: &Run<'_>) -> Result<Inventory, Verdict> {
    let framework = run.watch.all().await;
    if framework.is_none() {
        return Err(Verdict::NotStarted(
            "the spec allows no source to be asked".to_owned(),
        ));
    }
    Ok(Inventory {
        observed_at: (run.clock)(),
        framework,
        ..Inventory::default()
    })
}

/// As [`ask`], with a look at the node's host.
pub(crate) async fn ask_with_host(job: &Job<'_>) -> Result<Inventory, Verdict> {
    let mut seen = ask(job.run).await?;
    seen.resources = look_at(job.run, job.node).await?.resources;
    Ok(seen)
}

/// Whether the step is done or may begin, as far as its conditions say.
pub(crate) fn precheck(job: &Job<'_>, seen: &Inventory) -> Result<Precheck<()>, Verdict> {
    if holds(&job.step.post, job.node, seen).is_ok() {
        return Ok(Precheck::Done);
    }
    ready(&job.step.pre, job.node, seen)?;
    Ok(Precheck::Ready(()))
}

/// Asks again after rows were changed; `done` says how.
pub(crate) async fn confirm(job: &Job<'_>, done: &str) -> Result<(), Verdict> {
    let seen = ask(job.run).await?;
    holds(&job.step.post, job.node, &seen)
        .map_err(|why| Verdict::LeftFailed(format!("{done}, and yet {why}")))
}
