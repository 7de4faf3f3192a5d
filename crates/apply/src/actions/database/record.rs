//! The record on the master of what a step does to the database.

use std::time::Duration;

use tarsops_model::names::StepName;
use tarsops_plan::intent::{Changed, DatabaseChange};
use tarsops_transport::mysql::WriteError;

use crate::answer::saved;
use crate::intent;
use crate::job::Job;
use crate::port::{Ask, Request};
use crate::run::Run;
use crate::verdict::Verdict;

/// How long a small script on the master may take.
pub(crate) const SCRIPT: Duration = Duration::from_secs(30);

/// Has the master save or remove something; what it says beside that, such as a path.
pub(crate) async fn tell(run: &Run<'_>, request: &Request<'_>) -> Result<String, String> {
    let remote = run.master().await?;
    let output = match remote.tell(request, SCRIPT).await {
        Ok(output) => output,
        Err(fault) => {
            run.connect.forget(&run.desired.master).await;
            return Err(format!("the master {}: {fault}", run.desired.master));
        }
    };
    saved(&output).map_err(|why| format!("the master {}: {why}", run.desired.master))
}

/// Records the intent on the master, and the verdict where there is one.
pub(crate) async fn write(
    job: &Job<'_>,
    change: &DatabaseChange,
    verdict: Option<&str>,
) -> Result<(), Verdict> {
    let run = job.run;
    let intent = intent::of(job, Changed::Database(change.clone()));
    let failed = |why: String| {
        Verdict::NotStarted(format!(
            "what is to be done could not be written down on the master: {why}"
        ))
    };
    let text = serde_json::to_string(&intent).map_err(|e| failed(e.to_string()))?;
    let place = run.place(&run.desired.master);
    let request = Request(Ask::WriteIntent {
        place: &place,
        run: &run.id,
        step: &intent.step,
        intent: text,
        verdict: verdict.map(str::to_owned),
    });
    tell(run, &request).await.map_err(failed).map(drop)
}

/// Removes the record of a step that changed nothing.
pub(crate) async fn remove(job: &Job<'_>) {
    let run = job.run;
    let place = run.place(&run.desired.master);
    let request = Request(Ask::RemoveIntent {
        place: &place,
        run: &run.id,
        step: &StepName::of(&job.step.id),
    });
    let _ = tell(run, &request).await;
}

/// The end of a write: whether anything may have been changed decides whether its record stays.
pub(crate) async fn after_write(
    job: &Job<'_>,
    result: Result<(), WriteError>,
) -> Result<(), Verdict> {
    match result {
        Ok(()) => Ok(()),
        Err(WriteError::Refused(why)) => {
            remove(job).await;
            Err(Verdict::Moved(why))
        }
        Err(WriteError::Database(e)) => {
            remove(job).await;
            Err(Verdict::NotStarted(format!("nothing was changed: {e}")))
        }
        Err(e @ WriteError::InDoubt(_)) => Err(Verdict::LeftFailed(format!(
            "{e}; the next run checks it again"
        ))),
    }
}
