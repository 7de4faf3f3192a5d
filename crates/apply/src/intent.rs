//! What a host records of a change before it is made.

use tarsops_model::names::StepName;
use tarsops_plan::action::HostChange;
use tarsops_plan::restore::{CrontabLeft, FORMAT, Intent, without_content};
use tarsops_transport::Output;

use crate::job::Job;
use crate::verdict::Verdict;
use crate::words::SaveWord;

/// What is recorded on a host before `change` is made there.
pub(crate) fn of(job: &Job<'_>, change: &HostChange, crontab_after: CrontabLeft) -> Intent {
    let run = job.run;
    Intent {
        format: FORMAT.to_owned(),
        cluster: run.desired.cluster.clone(),
        run: run.id.clone(),
        step: StepName::of(&job.step.id),
        holder: run.holder.clone(),
        spec_digest: run.desired.spec_digest,
        started_at: (run.clock)(),
        sign: job.step.sign,
        change: without_content(change),
        crontab_after,
    }
}

/// Whether a script that saves something on a host has reported that it did; why not otherwise, by
/// `failed` where it reported nothing of its own.
pub(crate) fn is_saved(
    output: &Output,
    failed: impl FnOnce(String) -> Verdict,
) -> Result<(), Verdict> {
    let report = String::from_utf8_lossy(&output.stdout);
    let (word, why) = report.trim().split_once(' ').unwrap_or((report.trim(), ""));
    match word.parse() {
        Ok(SaveWord::Kept) => Ok(()),
        Ok(SaveWord::Moved) => Err(Verdict::Moved(why.to_owned())),
        Ok(SaveWord::Fenced) => Err(Verdict::NoLease(why.to_owned())),
        Ok(SaveWord::Refused) => Err(Verdict::Refused(why.to_owned())),
        Err(_) => {
            let why = output.stderr.lines().last().unwrap_or("it printed nothing");
            Err(failed(why.to_owned()))
        }
    }
}
