//! A restart by AdminRegistry, which has the server's node read its rows again.

use std::time::Duration;

use tarsops_framework::Order;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::HostChange;
use tarsops_plan::intent::{Changed, CrontabLeft};
use tokio::time::Instant;

use super::rows::{self, NOTE};
use crate::answer::saved;
use crate::intent;
use crate::job::Job;
use crate::look::{GRACE, connected, holds, look_at_one};
use crate::port::{Ask, Request};
use crate::sight::Sight;
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;

/// Between two looks at the host: each is a login.
const LOOK: Duration = Duration::from_secs(1);
/// After this time what was stopped and does not run is ordered to start once more.
const AGAIN: Duration = Duration::from_secs(5);

/// Changes rows and has AdminRegistry restart the server. `Ok` once its host shows another process that
/// is as it should be; [`Verdict::LeftFailed`] if it is not, so that it should be rolled back.
pub(crate) async fn act(
    job: &Job<'_>,
    change: &HostChange,
    sight: &Sight,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let (run, node, component) = (job.run, job.node, change.component);
    connected(run, node).await?;
    mark(job, change, end).await?;
    if let Err(verdict) = rows::make(run, change, end).await {
        return Err(match verdict {
            // Nothing else is there to be done.
            Verdict::NotStarted(why) if change.undoes().is_some() => Verdict::LeftFailed(why),
            other => other,
        });
    }
    job.acting();
    let before = pids(&sight.seen, change, node);
    // Cut off from here on, it may still happen.
    end.begun = true;
    let refused = run.watch.order(node, component, Order::Restart).await.err();
    if let Some(why) = &refused {
        end.log.push(format!("AdminRegistry: {why}"));
    }
    let restart = Restart {
        job,
        change,
        before,
        refused,
    };
    restart.wait(sight).await
}

/// A restart that was ordered.
struct Restart<'a> {
    job: &'a Job<'a>,
    change: &'a HostChange,
    /// The processes that ran before; none where that is not known.
    before: Option<Vec<u32>>,
    /// Why AdminRegistry did not take the order, if it did not.
    refused: Option<String>,
}

impl Restart<'_> {
    async fn wait(self, sight: &Sight) -> Result<(), Verdict> {
        let (run, component) = (self.job.run, self.change.component);
        let began = Instant::now();
        let until = began + run.deadline();
        let mut ordered = began;
        let waiting = Waiting::until(until, format!("the restart of {component} was ordered"));
        loop {
            let (why, same) = match self.look(&mut ordered, sight).await {
                Ok(()) => return Ok(()),
                Err(not_yet) => not_yet,
            };
            let untouched = self.refused.is_some() && same == Some(true) && began.elapsed() > GRACE;
            if Instant::now() > until || untouched {
                return Err(self.failed(&why, same));
            }
            waiting.say(&*why);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks once. Why the restart is not seen yet otherwise, and whether the same processes still run,
    /// where that is known.
    async fn look(
        &self,
        ordered: &mut Instant,
        sight: &Sight,
    ) -> Result<(), (String, Option<bool>)> {
        let (run, node) = (self.job.run, self.job.node);
        let component = self.change.component;
        let seen = look_at_one(run, node, Some(component))
            .await
            .map_err(|verdict| (verdict.into_why(), None))?;
        let now = pids(&seen, self.change, node);
        let same = now.is_some() && now == self.before && self.before != Some(vec![]);
        // Stopped, and not started: a registry that was slow for a moment is enough for that. To start
        // what runs already does nothing.
        if now == Some(vec![]) && ordered.elapsed() > AGAIN {
            if let Err(why) = run.watch.order(node, component, Order::Start).await {
                tracing::debug!(%node, %component, why, "not started");
            }
            *ordered = Instant::now();
        }
        match holds(&sight.local, node, &seen) {
            Ok(()) if !same => Ok(()),
            Ok(()) => Err((format!("{component} was not restarted"), Some(same))),
            Err(why) => Err((why, Some(same))),
        }
    }

    fn failed(&self, why: &str, same: Option<bool>) -> Verdict {
        let why = match &self.refused {
            Some(answer) => format!("AdminRegistry did not restart it: {answer}; {why}"),
            None => format!(
                "{} was restarted with its rows, and after {} s {why}",
                self.change.component,
                self.job.run.deadline().as_secs()
            ),
        };
        match same {
            // It runs as it did. What was ordered may still happen: the marker stays.
            Some(true) => Verdict::NotStarted(why),
            Some(false) => Verdict::LeftFailed(why),
            None => Verdict::Silent(why),
        }
    }
}

fn pids(seen: &Inventory, change: &HostChange, node: &NodeName) -> Option<Vec<u32>> {
    match seen.server(change.component, node) {
        Observed::Present(facts) => {
            let all = facts.processes.present()?;
            Some(all.iter().map(|p| p.pid).collect())
        }
        _ => None,
    }
}

/// Has the host save the intent and a marker of the pending restart.
async fn mark(job: &Job<'_>, change: &HostChange, end: &mut StepEnd) -> Result<(), Verdict> {
    let (run, node) = (job.run, job.node);
    let intent = intent::of(job, Changed::host(change, CrontabLeft::Unchanged));
    let failed = |why: String| {
        Verdict::NotStarted(format!(
            "what is to be done could not be written down on {node}: {why}"
        ))
    };
    let text = serde_json::to_string(&intent).map_err(|e| failed(e.to_string()))?;
    let place = run.place(node);
    let request = Request(Ask::PendRestart {
        place: &place,
        run: &run.id,
        step: &intent.step,
        intent: &text,
        component: change.component,
    });
    let remote = run.reach(node).await?;
    let output = remote
        .tell(&request, NOTE)
        .await
        .map_err(|e| failed(e.text))?;
    saved(&output).map_err(|e| e.verdict(failed))?;
    end.intent = Some(intent);
    Ok(())
}
