//! A change that the host's own script makes.

use std::sync::Arc;

use tarsops_model::digest::Digest;
use tarsops_model::host::HostFacts;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{CrontabChange, HostChange};
use tarsops_plan::crontab;
use tarsops_plan::intent::{Changed, CrontabLeft};

use crate::host_session::{Conversation, conclude, expiry, upload};
use crate::intent;
use crate::job::Job;
use crate::port::{Ask, Host, Request};
use crate::scripts::{CrontabAfter, Launch, Mode};
use crate::sight::Sight;
use crate::verdict::{StepEnd, Verdict};

/// Sends what the host lacks, has it make the change, and waits for its verdict.
pub(crate) async fn act(
    job: &Job<'_>,
    change: &HostChange,
    remote: Arc<dyn Host>,
    sight: &Sight,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let (run, node) = (job.run, job.node);
    let Observed::Present(host) = sight.seen.host(node) else {
        return Err(Verdict::Silent("it was not seen".to_owned()));
    };
    let crontab = crontab_after(change, host);
    let intent = intent::of(job, Changed::host(change, left_of(&crontab)));
    let name = intent.step.clone();
    let intent_text = serde_json::to_string(&intent)
        .map_err(|e| Verdict::NotStarted(format!("the intent cannot be written down: {e}")))?;
    let place = run.place(node);
    upload(job, change, host, &*remote, &place).await?;
    run.check_lease()?;
    job.acting();
    let first = || {
        Request(Ask::Launch(Launch {
            place: &place,
            run: &run.id,
            step: &name,
            change,
            holder: &run.holder,
            intent: &intent_text,
            crontab: &crontab,
            settle: job.settle_for(change.settling(&run.desired.policy)),
            deadline: run.desired.policy.deadline,
            stop_on_failure: run.stop_on_failure,
            expires: expiry(host, sight.looked, run.lease.until()),
        }))
    };
    end.intent = Some(intent);
    let conversation = Conversation::new(run, node, &place, &run.id, &name);
    let report = conversation.hold(remote, &first, Mode::Start).await?;
    conclude(report, end)
}

/// What becomes of the crontab that was seen.
fn crontab_after(change: &HostChange, host: &HostFacts) -> CrontabAfter {
    let Some(CrontabChange { edit, back, .. }) = &change.crontab() else {
        return CrontabAfter::Keep;
    };
    if let Some(back) = back {
        return back.digest.map_or(CrontabAfter::None, |digest| {
            CrontabAfter::Back(digest, format!("{}/{}/before/crontab", back.run, back.step))
        });
    }
    // The precondition has made sure that this is the crontab that the edit was made for.
    let text = host
        .crontab
        .present()
        .map(|t| crontab::without_guard(t))
        .filter(|t| !t.is_empty());
    crontab::apply(text.as_deref(), edit).map_or(CrontabAfter::None, CrontabAfter::Text)
}

/// The same, as it is recorded.
fn left_of(crontab: &CrontabAfter) -> CrontabLeft {
    match crontab {
        CrontabAfter::Keep => CrontabLeft::Unchanged,
        CrontabAfter::None => CrontabLeft::Removed,
        CrontabAfter::Text(text) => CrontabLeft::Written(Digest::of(text.as_bytes())),
        CrontabAfter::Back(digest, _) => CrontabLeft::Written(*digest),
    }
}
