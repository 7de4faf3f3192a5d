//! `apply`: plan, show, ask, change, verify.

use super::consent::{Consent, ask, refuse_blocked};
use super::execution::{carry_out, refuse_silence, silent_hosts};
use super::summary::finish;
use std::path::Path;
use std::time::{Duration, Instant};

use tarsops_apply::Outcome;
use tarsops_plan::plan::Stage;
use tarsops_plan::{Checked, Plan, render};

use crate::args::{Global, Look};
use crate::failure::Result;
use crate::output::{print, say};
use crate::privacy::Stops;
use crate::progress::Bar;
use crate::saved::Saved;
use crate::session::preflight;
use crate::session::{Session as Context, load};
use crate::style::style;

/// Rounds of ending unfinished changes before a plan is carried out.
const ROUNDS: usize = 3;

/// Brings the cluster to the spec, or does those steps towards it that a saved plan has.
pub async fn run(
    global: &Global,
    look: &Look,
    saved: Option<&Path>,
    consent: Consent,
    stops: &Stops,
) -> Result {
    let loaded = load(global)?;
    let saved = saved
        .map(|path| Saved::read(&loaded.desired, path))
        .transpose()?;
    let mut context = Context::opened(global, loaded, look)?;
    if let Some(saved) = &saved {
        saved.fits(&context)?;
        if let Some(run) = saved.rolls_back() {
            context.ready().await?;
            return super::rollback::run_saved(global, &context, run, saved, consent.yes, stops)
                .await;
        }
    }
    super::validate::without_package(global, &context.loaded)?;
    context.ready().await?;
    let mut whole = Outcome::default();
    let mut last: Option<Checked<Plan>> = None;
    for round in 0..ROUNDS {
        let report = context.look(&Bar::new("looking at")).await;
        if round == 0 {
            preflight::check_look(&report)?;
        }
        let mut plan = super::plan::make(&mut context, &report).await?;
        super::plan::explain_silence(&report);
        let silent = silent_hosts(&context, &report);
        if let Some(saved) = &saved {
            refuse_silence(&context, &silent, &report)?;
            plan = saved.narrow(&plan, &context.input(&report), &silent)?;
        }
        if round == 0 || !plan.is_empty() {
            show(global, &plan);
        }
        if plan.is_empty() {
            super::plan::lock_hint(&context, &plan, &report);
            last = Some(plan);
            break;
        }
        refuse_silence(&context, &silent, &report)?;
        if round == 0 {
            refuse_blocked(&plan, consent)?;
            if !consent.yes {
                ask(&plan).await?;
            }
        }
        super::plan::fetch_payloads(&context, &plan).await?;
        let outcome = carry_out(global, &context, &plan, &report, silent.len(), stops).await?;
        let recovered = plan.steps.iter().any(|s| s.stage == Stage::Recover);
        let good = outcome.ends.iter().all(|e| e.verdict.is_good()) && !outcome.interrupted;
        whole = merge(whole, outcome);
        // A host whose unfinished change was ended is checked again and planned for.
        if !(recovered && good && saved.is_none()) {
            break;
        }
    }
    let left = match last {
        Some(plan) => plan,
        None if stops.is_pressed() => return finish(global, &context, &whole, None).await,
        None => {
            context.rehash = false;
            verify(&mut context, stops).await?
        }
    };
    finish(global, &context, &whole, Some(&left)).await
}

fn merge(mut a: Outcome, b: Outcome) -> Outcome {
    a.ends.extend(b.ends);
    a.rolled_back.extend(b.rolled_back);
    a.stages.extend(b.stages);
    a.not_begun = b.not_begun;
    a.interrupted |= b.interrupted;
    a
}

fn show(global: &Global, plan: &Plan) {
    let text = render::text(plan, style(global));
    if global.json {
        say(text.trim_end())
    } else {
        print(&text)
    }
}

/// Between two looks while something heals by itself.
const HEALING: Duration = Duration::from_secs(5);

/// What is left after the run. What heals by itself is waited for, no longer than the spec's deadline.
async fn verify(context: &mut Context, stops: &Stops) -> Result<Checked<Plan>> {
    let began = Instant::now();
    let mut announced = false;
    loop {
        let report = context.look(&Bar::new("verifying")).await;
        let left = super::plan::make(context, &report).await?;
        let Some(seconds) = left.heals_within() else {
            return Ok(left);
        };
        let patience = seconds.min(context.desired().policy.deadline);
        if stops.is_pressed() || began.elapsed() >= Duration::from_secs(patience) {
            return Ok(left);
        }
        if !announced {
            announced = true;
            say(format!(
                "waiting up to {patience} s for contradictions that heal by themselves"
            ));
        }
        tokio::time::sleep(HEALING).await;
    }
}
