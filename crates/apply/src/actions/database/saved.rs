//! A template's row as a step found it, saved on the master.

use serde::{Deserialize, Serialize};
use tarsops_model::framework::Confidential;
use tarsops_model::names::{RunId, StepName};
use tarsops_transport::Bounds;
use tarsops_transport::mysql::TemplateText;

use super::record::{SCRIPT, tell};
use crate::job::Job;
use crate::port::{Ask, Request};
use crate::records;
use crate::run::Run;
use crate::verdict::Verdict;

/// A row as it was, as the master keeps it.
#[derive(Serialize, Deserialize)]
struct SavedTemplate {
    format: String,
    table: String,
    template_name: String,
    parents_name: String,
    profile: String,
}

const FORMAT: &str = "tarsops.row/1";

/// Saves the row on the master as it is.
pub(crate) async fn save(job: &Job<'_>, name: &str, now: &TemplateText) -> Result<(), Verdict> {
    let run = job.run;
    let failed = |why: String| {
        Verdict::NotStarted(format!(
            "the template could not be saved on the master: {why}"
        ))
    };
    let saved = SavedTemplate {
        format: FORMAT.to_owned(),
        table: "t_profile_template".to_owned(),
        template_name: name.to_owned(),
        parents_name: now.parent.clone(),
        profile: now.text.expose().to_owned(),
    };
    let text = serde_json::to_string(&saved).map_err(|e| failed(e.to_string()))?;
    let place = run.place(&run.desired.master);
    let request = Request(Ask::SaveRows {
        place: &place,
        name: records::row_name(&run.id, &StepName::of(&job.step.id)),
        rows: &text,
    });
    tell(run, &request).await.map_err(failed).map(drop)
}

/// The row as a run found it.
pub(crate) async fn read(
    run: &Run<'_>,
    name: &str,
    from: &RunId,
    step: &str,
) -> Result<TemplateText, Verdict> {
    let failed = |why: String| {
        Verdict::NotStarted(format!("what run {from} saved of it cannot be read: {why}"))
    };
    let place = run.place(&run.desired.master);
    let request = Request(Ask::SavedRows {
        place: &place,
        name: records::row_name(from, step),
    });
    let remote = run.master().await.map_err(failed)?;
    let output = remote
        .ask(&request, Bounds::new(Bounds::RECORDS, SCRIPT))
        .await
        .map_err(|e| failed(e.to_string()))?;
    // An error of the reader may quote what it read.
    let saved: SavedTemplate = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("it is damaged, or not there any more".to_owned()))?;
    if saved.format != FORMAT {
        return Err(failed("a newer tarsops wrote it".to_owned()));
    }
    if saved.template_name != name {
        return Err(failed("it is another template's".to_owned()));
    }
    Ok(TemplateText {
        parent: saved.parents_name,
        text: Confidential::new(saved.profile),
    })
}
