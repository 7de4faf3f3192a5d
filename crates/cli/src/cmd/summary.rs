//! What `apply` says at its end.

use crate::args::Global;
use crate::exit;
use crate::failure::Result;
use crate::output;
use crate::output::say;
use crate::session::Session as Context;
use crate::style::style;
use std::collections::BTreeSet;
use std::time::Duration;
use tarsops_apply::{Outcome, Verdict};
use tarsops_model::names::NodeName;
use tarsops_plan::{Plan, render};

pub async fn finish(
    global: &Global,
    context: &Context,
    outcome: &Outcome,
    left: Option<&Plan>,
) -> Result {
    let code = exit::of_run(outcome, left);
    let done = outcome
        .ends
        .iter()
        .filter(|e| e.verdict == Verdict::Done)
        .count();
    let already = outcome
        .ends
        .iter()
        .filter(|e| e.verdict == Verdict::AlreadyDone)
        .count();
    // A host that went back by itself was rolled back as well.
    let is_back = |e: &&tarsops_apply::step::StepEnd| matches!(e.verdict, Verdict::RolledBack(_));
    let back = outcome.ends.iter().filter(is_back).count();
    let bad = outcome.ends.iter().filter(|e| !e.verdict.is_good()).count();
    let word = match code {
        exit::OK if outcome.ends.is_empty() => "no changes",
        exit::OK => "converged",
        exit::INTERRUPTED => "interrupted",
        exit::STUCK => "stuck: a person is needed",
        exit::FAILED => "failed",
        exit::LEASE => "stopped: another run is at work",
        exit::BLOCKED => "blocked by a guard",
        exit::STALE => "stale: the cluster has changed since the plan was made",
        exit::PENDING => "not all is done: the cluster still differs from the spec",
        _ => "incomplete",
    };
    let text = if outcome.ends.is_empty() {
        format!("Apply: {word}.\n")
    } else {
        format!(
            "Apply: {word}. {done} done, {already} already done, {bad} failed, {} rolled back, {} not begun.\n",
            back + outcome.rolled_back.len(),
            outcome.not_begun
        )
    };
    let steps: Vec<serde_json::Value> = outcome
        .ends
        .iter()
        .chain(&outcome.rolled_back)
        .map(|e| {
            serde_json::json!({
                "step": e.step, "node": e.node, "verdict": e.verdict.word(), "why": e.verdict.why(),
                "seconds": (e.took.as_secs_f64() * 10.0).round() / 10.0, "log": e.log,
            })
        })
        .collect();
    let left_json = match left {
        Some(plan) => serde_json::to_value(plan.summary).unwrap_or_default(),
        None => serde_json::Value::Null,
    };
    let seconds = |d: Duration| (d.as_secs_f64() * 10.0).round() / 10.0;
    let stages: Vec<serde_json::Value> = outcome
        .stages
        .iter()
        .map(|s| {
            serde_json::json!({
                "stage": s.stage, "steps": s.steps, "seconds": seconds(s.took),
                "settled": seconds(s.settled),
            })
        })
        .collect();
    for s in &outcome.stages {
        say(format!(
            "{}: {} step{} in {:.1} s ({:.1} s of it settling)",
            s.stage.title(),
            s.steps,
            if s.steps == 1 { "" } else { "s" },
            s.took.as_secs_f64(),
            s.settled.as_secs_f64()
        ));
    }
    let stuck = outcome.ends.iter().chain(&outcome.rolled_back);
    let stuck: BTreeSet<&NodeName> = stuck
        .filter(|e| matches!(e.verdict, Verdict::Stuck(_)))
        .map(|e| &e.node)
        .collect();
    for node in stuck {
        say(format!(
            "{node} is stuck: `tarsops recover {node}` tries again to restore the old state; `tarsops recover --accept {node}` accepts what runs there now"
        ));
    }
    let document = serde_json::json!({
        "format": "tarsops.apply/1", "stages": stages, "cluster": context.desired().cluster, "exit_code": code,
        "outcome": word, "steps": steps, "not_begun": outcome.not_begun, "left": left_json,
    });
    if let Some(plan) = left {
        // What is still open after a run is shown, so that nobody has to look again.
        let open =
            !plan.steps.is_empty() || plan.is_blocked() || plan.is_incomplete() || plan.has_drift();
        if open && !outcome.ends.is_empty() {
            say("what still differs:");
            let text = render::text(plan, style(global));
            say(text.trim_end());
        }
    }
    let code = output::publish_outcome(global, &format!("{document:#}\n"), &text, code);
    context.close().await;
    Ok(code)
}
