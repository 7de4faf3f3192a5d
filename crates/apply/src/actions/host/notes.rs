//! What the run records on the host once a change has ended, and which package a restored server's row
//! names.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{HostChange, Renamed};
use tarsops_plan::condition::digest_at;

use super::rows;
use crate::job::Job;
use crate::look::look_at_one;
use crate::port::{Ask, Request};
use crate::records::Unmark;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};
use crate::words::ChangeWord;

/// How long a host may take to write a note.
const NOTE: Duration = Duration::from_secs(10);

/// What the run made of a change is saved beside the host's own verdict, which would otherwise be all
/// that another machine reads. A host that cannot take the note has its own verdict: the journal has the
/// whole of it.
pub(crate) async fn note_gate(run: &Run<'_>, end: &StepEnd) {
    let (Some(intent), Verdict::LeftFailed(why) | Verdict::RolledBack(why) | Verdict::Stuck(why)) =
        (&end.intent, &end.verdict)
    else {
        return;
    };
    let words = format!("{}: {why}", end.verdict.word());
    let place = run.place(&end.node);
    let note = Request(Ask::NoteGate {
        place: &place,
        run: &run.id,
        step: &intent.step,
        words,
    });
    if let Ok(remote) = run.connect.connect(&end.node).await {
        let _ = remote.tell(&note, NOTE).await;
    }
}

/// After a restore of a program that was published: its row names the package again that is there again.
pub(crate) async fn name_restored_package(job: &Job<'_>, change: &HostChange, end: &mut StepEnd) {
    let Some(names) = change.patch_version() else {
        return;
    };
    let is_there = match &end.verdict {
        // A program that was restored and does not start is named by its row all the same.
        Verdict::LeftFailed(_) => has_files(job, change).await,
        verdict => verdict.is_good(),
    };
    if is_there && change.publish().is_none() {
        name_again(job.run, job.node, change.component, names, end).await;
    }
}

/// Whether the host has every file of a change as it is afterwards.
async fn has_files(job: &Job<'_>, change: &HostChange) -> bool {
    let Ok(seen) = look_at_one(job.run, job.node, Some(change.component)).await else {
        return false;
    };
    let files = change.files().iter();
    files
        .filter_map(|file| Some((file, file.after?)))
        .all(|(file, digest)| digest_at(&seen, job.node, &file.path) == Observed::Present(digest))
}

/// Has the server's row name the package again that runs there again.
pub(crate) async fn name_again(
    run: &Run<'_>,
    node: &NodeName,
    component: Component,
    names: &Renamed,
    end: &mut StepEnd,
) {
    let Some(publisher) = run.publish else { return };
    let Renamed { from, to } = names;
    let named = publisher.name_again(node, component, from, to).await;
    match named {
        Ok(true) => end.log.push(format!("its row names package {to} again")),
        Ok(false) => {}
        Err(why) => end.log.push(format!(
            "its row may name package {from}, though {to} runs again: {why}"
        )),
    }
}

/// Records how a publication or a restart by AdminRegistry ended, where the host's own changes leave
/// their verdicts.
pub(crate) async fn conclude(job: &Job<'_>, end: &mut StepEnd) {
    let run = job.run;
    let Some(intent) = &end.intent else { return };
    let by_framework = |change: &&HostChange| !change.is_scripted();
    let Some(change) = intent.host().filter(by_framework) else {
        return;
    };
    let (word, text) = recorded(end);
    let request = Request(Ask::Conclude {
        place: &run.place(&end.node),
        run: &run.id,
        step: &intent.step,
        verdict: word,
        text: text.replace('\n', " "),
        holder: &run.holder,
        unmark: settled(run, word, end).map(|which| (change.component, which)),
        summary: &job.step.summary,
    });
    if let Err(why) = rows::tell(run, &end.node, &request).await {
        end.log.push(format!(
            "how it ended could not be written down on the host: {why}"
        ));
    }
}

/// The verdict that is recorded.
fn recorded(end: &StepEnd) -> (ChangeWord, String) {
    match &end.verdict {
        Verdict::Done | Verdict::AlreadyDone => (ChangeWord::Ok, "done".to_owned()),
        Verdict::RolledBack(why) => (ChangeWord::RolledBack, why.clone()),
        // A task that was begun may still be carried out.
        Verdict::NotStarted(why) if end.begun => (ChangeWord::Failed, why.clone()),
        Verdict::Moved(why) | Verdict::Refused(why) | Verdict::NoLease(why) if !end.begun => {
            (ChangeWord::Refused, why.clone())
        }
        Verdict::NotStarted(why) => (ChangeWord::Refused, why.clone()),
        Verdict::Stuck(why) => (ChangeWord::Stuck, why.clone()),
        other => (
            ChangeWord::Failed,
            other.why().unwrap_or_default().to_owned(),
        ),
    }
}

/// Which markers of a pending restart are settled by this end.
fn settled<'a>(run: &'a Run<'_>, word: ChangeWord, end: &StepEnd) -> Option<Unmark<'a>> {
    match &end.verdict {
        Verdict::Done | Verdict::AlreadyDone => Some(Unmark::Until(&run.id)),
        // It has read its rows, and is not healthy all the same.
        Verdict::LeftFailed(_) | Verdict::Silent(_) if end.restarted => {
            Some(Unmark::Until(&run.id))
        }
        // Rows that stay changed are not read until it is started again.
        _ if word == ChangeWord::Refused && end.edited.is_empty() => {
            Some(Unmark::Own(run.id.as_str()))
        }
        _ => None,
    }
}
