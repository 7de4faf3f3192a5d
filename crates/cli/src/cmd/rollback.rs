//! `rollback`: every host that a run changed goes to where it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tarsops_apply::history::{Memory, ask};
use tarsops_model::names::RunId;
use tarsops_plan::action::Changes;
use tarsops_plan::plan::{Plan, Step};
use tarsops_plan::record::{Ended, Record};
use tarsops_plan::rollback::{self, Rollback};
use tarsops_plan::{Checked, render};
use tarsops_probe::Report;

use super::plan::Saving;
use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{print, publish_outcome, publish_plan, say};
use crate::privacy::Stops;
use crate::progress::Bar;
use crate::runs::now;
use crate::saved::Saved;
use crate::session::Session as Context;
use crate::style::style;
use crate::unreachable_hosts;

/// The newest run, but for rollbacks that did not come about: what they were to roll back is meant.
/// Runs from the future, by a clock that says `now` in seconds since 1970, are not meant either: any
/// host can make one up.
fn newest(memory: &Memory, now: i64) -> Option<(&RunId, &Vec<Record>)> {
    let failed_back = |c: &Record| c.undoes().is_some() && c.ended != Ended::Ok;
    let mut all = memory.runs.iter().rev().filter(|(run, _)| run.is_by(now));
    all.find(|(_, changes)| !changes.iter().all(failed_back))
}

/// Says which hosts remember runs from the future, of which none is meant by a bare `rollback`.
fn announce_ahead(memory: &Memory, now: i64) {
    for (run, changes) in memory.runs.iter().filter(|(run, _)| !run.is_by(now)) {
        let nodes: BTreeSet<&str> = changes.iter().map(|c| c.node.as_str()).collect();
        let nodes: Vec<&str> = nodes.into_iter().collect();
        say(format!(
            "{}: remembers run {run}, which is from the future; it is not meant unless it is named",
            nodes.join(", ")
        ));
    }
}

/// A rollback that is ready to be carried out.
struct Prepared {
    /// The run that it rolls back.
    run: RunId,
    /// Its steps.
    plan: Checked<Plan>,
    /// What was seen.
    report: Report,
    /// How many hosts did not say what they remember.
    silent: usize,
}

/// Takes a run back, or saves the plan that does.
pub async fn run(
    global: &Global,
    look: &Look,
    run: Option<&str>,
    out: Option<&Path>,
    yes: bool,
    stops: &Stops,
) -> Result {
    let out = out.map(Saving::open).transpose()?;
    let context = Context::open(global, look)?;
    context.ready().await?;
    let prepared = prepare(&context, run).await?;
    let Some(out) = out else {
        return carry_out(global, &context, &prepared, yes, stops).await;
    };
    out.save(&prepared.plan)?;
    publish_plan(global, &prepared.plan, || {
        render::text(&prepared.plan, style(global))
    })?;
    context.close().await;
    Ok(exit::of_plan(&prepared.plan))
}

/// Takes a run back by those steps that a saved plan has. They are planned again from what the hosts
/// remember.
pub async fn run_saved(
    global: &Global,
    context: &Context,
    run: &RunId,
    saved: &Saved,
    yes: bool,
    stops: &Stops,
) -> Result {
    say(format!("the saved plan is a rollback of run {run}"));
    let mut prepared = prepare(context, Some(run.as_str())).await?;
    let silent = super::execution::silent_hosts(context, &prepared.report);
    let input = context.input(&prepared.report);
    prepared.plan = saved.narrow(&prepared.plan, &input, &silent)?;
    carry_out(global, context, &prepared, yes, stops).await
}

/// Plans the rollback of a run, or of the newest one, from what the hosts remember.
async fn prepare(context: &Context, run: Option<&str>) -> Result<Prepared> {
    let memory = ask(&*context.connector, context.desired(), &context.nodes(), 20).await;
    if !memory.faults.is_empty() {
        say(unreachable_hosts::causes(&memory.faults).trim_end());
    }
    for node in &memory.strange {
        say(format!("{node}: {}", super::history::STRANGE));
    }
    if run.is_none() {
        announce_ahead(&memory, now());
    }
    let (id, _) = match run {
        Some(name) => super::history::find(&memory, name)?,
        None => newest(&memory, now()).ok_or_else(|| {
            if memory.runs.keys().any(|run| !run.is_by(now())) {
                Failure::new("the hosts remember only runs from the future")
                    .hint("compare the clock of this machine, or give the id of the run, as `tarsops history` shows it")
            } else if memory.faults.is_empty() {
                Failure::new("the hosts have no records of runs").hint("there is nothing to roll back")
            } else {
                Failure::new("no host that answered has records of a run")
                    .code(exit::INCOMPLETE)
                    .hint("make the silent hosts reachable, and try again")
            }
        })?,
    };
    let id = id.clone();
    let report = context.look(&Bar::new("looking at")).await;
    crate::session::preflight::check_look(&report)?;
    super::plan::explain_silence(&report);
    let planned = rollback::plan(&context.input(&report), &id, &memory.runs);
    let Rollback { plan, left } = planned.map_err(|refused| {
        Failure::new(format!(
            "run {id} cannot be rolled back completely; nothing was changed"
        ))
        .code(exit::BLOCKED)
        .hint("put those hosts right, or narrow with --on")
        .about(refused)
    })?;
    for left in left {
        say(left.to_string());
    }
    let plan = Checked::new(plan, &context.input(&report)).map_err(|found| {
        Failure::new(format!(
            "the rollback of run {id} does not pass the check; nothing was changed"
        ))
        .code(exit::BLOCKED)
        .hint("see `tarsops history`: the record of a host may not be what was done there")
        .about(found)
    })?;
    let silent = memory.faults.len();
    Ok(Prepared {
        run: id,
        plan,
        report,
        silent,
    })
}

/// Shows the plan, asks, and carries it out.
async fn carry_out(
    global: &Global,
    context: &Context,
    prepared: &Prepared,
    yes: bool,
    stops: &Stops,
) -> Result {
    let Prepared {
        run: id,
        plan,
        report,
        silent,
    } = prepared;
    let text = render::text(plan, style(global));
    if global.json {
        say(text.trim_end())
    } else {
        print(&text)
    }
    if plan.is_empty() {
        say(format!(
            "run {id} changed nothing that could be rolled back"
        ));
        return Ok(exit::OK);
    }
    if !yes {
        super::consent::ask(plan).await?;
    }
    let outcome =
        super::execution::carry_out(global, context, plan, report, *silent, stops).await?;
    let code = exit::of_run(&outcome, None);
    let document = serde_json::json!({
        "format": "tarsops.rollback/1", "run": id, "exit_code": code,
        "steps": outcome.ends.iter().map(|e| serde_json::json!({
            "node": e.node, "verdict": e.verdict.word(), "why": e.verdict.why(),
        })).collect::<Vec<_>>(),
    });
    let of = |tables: bool| {
        let mine: Vec<&Step> = plan
            .steps
            .iter()
            .filter(|s| s.action.is_of_tables() == tables)
            .filter(|s| s.action.kind().changes(&s.post) != Changes::Nothing)
            .collect();
        let good = |s: &Step| {
            let mut ends = outcome.ends.iter();
            ends.any(|e| e.verdict.is_good() && e.step == s.id)
        };
        // A host is where it was when all of it is; each template counts for itself.
        let mut whole: BTreeMap<String, bool> = BTreeMap::new();
        for step in mine {
            let name = match step.resource.node() {
                Some(node) if !tables => node.to_string(),
                _ => step.id.clone(),
            };
            *whole.entry(name).or_insert(true) &= good(step);
        }
        (whole.values().filter(|good| **good).count(), whole.len())
    };
    let mut back = Vec::new();
    for (counted, what) in [(of(false), "hosts"), (of(true), "templates")] {
        if counted.1 > 0 {
            back.push(format!("{} of {} {what}", counted.0, counted.1));
        }
    }
    let text = format!(
        "Rollback: {} are restored to their state before run {id}.\n\
         The spec still asks for what that run did: revert the commit as well.\n",
        back.join(" and ")
    );
    let code = publish_outcome(global, &format!("{document:#}\n"), &text, code);
    context.close().await;
    Ok(code)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tarsops_model::names::{NodeName, StepName};

    #[test]
    fn a_run_from_the_future_is_not_the_newest() {
        let now = 1_795_176_000;
        let at = |seconds: u64, chance| RunId::from_parts((1_795_176_000 + seconds) * 1000, chance);
        let mut memory = Memory::default();
        let mut remember = |run: &RunId| {
            let change = Record {
                node: NodeName::new("10.0.0.1").unwrap(),
                run: run.clone(),
                step: StepName::of("change@10.0.0.1"),
                intent: None,
                mismatch: None,
                ended: Ended::Ok,
                text: String::new(),
                gate: String::new(),
            };
            memory.runs.insert(run.clone(), vec![change]);
            newest(&memory, now).map(|(run, _)| run.clone())
        };
        for ahead in [at(601, 1), RunId::from_parts(9_999_999_999_999, 1)] {
            assert_eq!(remember(&ahead), None);
        }
        // Clocks of control machines differ by so much.
        let honest = at(600, 0);
        assert_eq!(remember(&honest), Some(honest));
    }
}
