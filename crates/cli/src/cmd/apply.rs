//! `apply`: plan, show, ask, change, verify.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tarsops_apply::execute::{Run, execute, place};
use tarsops_apply::journal::Journal;
use tarsops_apply::lease::{Lease, LeaseError, LeaseSpec};
use tarsops_apply::port::{Database, Hosts, Scripts};
use tarsops_apply::{Outcome, Verdict};
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_plan::action::Action;
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::{Plan, render};
use tarsops_probe::Report;
use tarsops_transport::Connect;

use crate::args::{Global, Look};
use crate::context::{Context, holder, load, new_run, now, print, say, state_folder, style};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::preflight;
use crate::privacy::Stops;
use crate::progress::{Bar, Teller, amount};
use crate::publisher::Publisher;
use crate::saved::Saved;
use crate::silence;
use crate::under_way::UnderWay;

/// Rounds of ending unfinished changes before a plan is carried out.
const ROUNDS: usize = 3;

/// What a person has consented to beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Consent {
    /// Not to be asked.
    pub yes: bool,
    /// That the rest is done where something is blocked.
    pub allow_blocked: bool,
}

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
    let mut last: Option<Plan> = None;
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
            super::plan::lock_hint(&context, &plan);
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
        let recovered = plan
            .steps
            .iter()
            .any(|s| matches!(s.action, Action::Recover { .. }));
        let good = outcome.ends.iter().all(|e| e.verdict.is_good()) && !outcome.interrupted;
        whole = merge(whole, outcome);
        // A host whose unfinished change was ended is looked at anew and planned for.
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
    a.taken_back.extend(b.taken_back);
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

/// Hosts that should be there and did not answer.
pub fn silent_hosts(context: &Context, report: &Report) -> BTreeSet<NodeName> {
    report
        .faults
        .iter()
        .map(|(node, _)| node)
        .filter(|node| {
            context.desired().host(node).is_some_and(|h| {
                !matches!(h.state, NodeState::Maintenance { .. } | NodeState::Gone)
            })
        })
        .cloned()
        .collect()
}

fn refuse_silence(context: &Context, silent: &BTreeSet<NodeName>, report: &Report) -> Result<()> {
    let silent = silent.len();
    let desired = context.desired();
    let allowed = desired.policy.max_unreachable.of(desired.hosts().count());
    if silent <= allowed {
        return Ok(());
    }
    let causes = silence::causes(&report.faults);
    Err(Failure::new(format!(
        "{silent} hosts are silent and the spec allows {allowed} (rollout.max_unreachable); nothing was changed"
    ))
    .code(exit::INCOMPLETE)
    .hint("bring them back, set them to maintenance, narrow with --on, or raise max_unreachable")
    .about(causes.lines()))
}

/// Without a person to ask, half of what the spec says is done only where that was said to be enough.
/// Ending what an earlier run left is no half of it.
fn refuse_blocked(plan: &Plan, consent: Consent) -> Result<()> {
    // Whoever is at work there holds the lease, which says who it is.
    let at_work = |l: &Line| {
        matches!(
            l,
            Line::Blocked {
                why: Blocked::ChangeAtWork { .. },
                ..
            }
        )
    };
    let is_blocked = |l: &&Line| matches!(l, Line::Blocked { .. }) && !at_work(l);
    let recovers = |a: &Action| matches!(a, Action::Recover { .. });
    let asks = !consent.yes && std::io::stdin().is_terminal();
    if consent.allow_blocked
        || asks
        || !plan.report.iter().any(|l| is_blocked(&l))
        || plan.steps.iter().all(|s| recovers(&s.action))
    {
        return Ok(());
    }
    let (count, are) = match plan.summary.blocked {
        1 => ("1 resource".to_owned(), "is"),
        n => (format!("{n} resources"), "are"),
    };
    Err(
        Failure::new(format!("{count} {are} blocked; nothing was changed"))
            .code(exit::BLOCKED)
            .hint("put them right, see the plan above; or say --allow-blocked to do the rest"),
    )
}

/// Between two looks while something heals by itself.
const HEALING: Duration = Duration::from_secs(5);

/// What is left after the run. What heals by itself is waited for, no longer than the spec's deadline.
async fn verify(context: &mut Context, stops: &Stops) -> Result<Plan> {
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
                "waiting up to {patience} s for what heals by itself, as the plan says"
            ));
        }
        tokio::time::sleep(HEALING).await;
    }
}

/// Asks on the terminal; only `yes` goes on.
pub async fn ask(plan: &Plan) -> Result<()> {
    let hosts = amount(&plan.steps);
    let what = match (hosts.as_str(), plan.changes_database()) {
        ("", _) => "the database".to_owned(),
        (hosts, false) => hosts.to_owned(),
        (hosts, true) => format!("{hosts} and the database"),
    };
    let but = match plan.summary.blocked {
        0 => String::new(),
        1 => ", although 1 resource is blocked".to_owned(),
        n => format!(", although {n} resources are blocked"),
    };
    confirm(
        &format!("Change {what}{but}?"),
        "say -y, or carry out a plan that was saved and reviewed: `plan -o FILE`, `apply -y FILE`",
    )
    .await
}

/// Asks `question` on the terminal; only `yes` goes on. Where nobody can be asked, `otherwise` is the hint.
pub async fn confirm(question: &str, otherwise: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new("nobody can be asked here")
            .code(exit::USAGE)
            .hint(otherwise));
    }
    let said = output::ask(&format!("{question} Only `yes` is taken: ")).await;
    if said.is_some_and(|line| line.trim() == "yes") {
        return Ok(());
    }
    Err(Failure::new("not confirmed; nothing was changed"))
}

/// Takes the lease and walks over the plan.
pub async fn carry_out(
    global: &Global,
    context: &Context,
    plan: &Plan,
    report: &Report,
    silent: usize,
    stops: &Stops,
) -> Result<Outcome> {
    let interrupt = stops.count();
    let desired = context.desired();
    let id = new_run(report, None);
    let holder = holder();
    let connect = Arc::clone(&context.connector) as Arc<dyn Connect>;
    let connect: Arc<dyn Hosts> = Arc::new(Scripts::over(connect));
    let folder = state_folder(desired);
    // Before anybody is asked for the lease; without it the run goes on, as it is only a cache.
    let journal = Journal::create(&folder, id.as_str()).unwrap_or_else(|e| {
        say(format!("warning: there is no journal on this machine: {e}"));
        Journal::none()
    });
    let lease = Lease::acquire(
        Arc::clone(&connect),
        LeaseSpec {
            master: desired.master.clone(),
            place: place(desired, &desired.master),
            run: id.clone(),
            holder: holder.clone(),
            spec: desired.spec_digest,
        },
    )
    .await
    .map_err(|e| {
        let failure = Failure::new("could not take the lease; nothing was changed").because(&e);
        match e {
            LeaseError::Held { .. } | LeaseError::Lost(_) => failure
                .code(exit::LEASE)
                .hint("wait for that run; a dead one frees the lease by itself"),
            LeaseError::Unreachable(fault) => {
                failure.code(exit::INCOMPLETE).hint(fault.kind.hint())
            }
            LeaseError::Failed(_) => failure,
        }
    })?;
    say(format!("run {id}"));
    let teller = Teller::new(&plan.steps, global.verbose > 0);
    let under_way = UnderWay::new(&teller);
    let clock = now;
    let watch = context.watch().await;
    let publisher = Publisher::new(&watch, context.store.spool());
    let run = Run {
        id,
        holder,
        desired,
        connect,
        payloads: &context.store,
        lease: &lease,
        progress: &under_way,
        interrupt,
        clock: &clock,
        look_deadline: context.timeout,
        stop_on_failure: desired.policy.on_failure == tarsops_model::desired::OnFailure::Stop,
        journal: tokio::sync::Mutex::new(journal),
        watch: &watch,
        database: watch.access().map(|a| Arc::new(a) as Arc<dyn Database>),
        publish: Some(&publisher),
        spool: context.store.spool().to_path_buf(),
    };
    let outcome = tokio::select! {
        outcome = execute(&run, plan, silent) => Some(outcome),
        () = interrupt.twice() => None,
    };
    drop(run);
    teller.finish();
    match outcome {
        Some(outcome) => {
            lease.release().await;
            stops.let_go();
            Ok(outcome)
        }
        None => {
            // A third signal does not wait for the master either.
            stops.let_go();
            if tokio::time::timeout(GIVING_BACK, lease.release())
                .await
                .is_err()
            {
                say("the lease could not be given back; it is free 45 s after the last word");
            }
            Err(stopped_at_once(&under_way))
        }
    }
}

/// How long the master may take to take the lease back from a run that is stopped at once.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// What goes on by itself when a run is stopped at once.
fn stopped_at_once(under_way: &UnderWay<'_>) -> Failure {
    let lines = under_way.lines();
    let failure = Failure::new(if lines.is_empty() {
        "stopped at once; no step was under way"
    } else {
        "stopped at once; hosts and the framework finish by themselves what was under way"
    });
    failure.code(exit::INTERRUPTED).about(lines).hint(
        "look again (`tarsops plan`) before you apply, or undo the run with `tarsops rollback`",
    )
}

async fn finish(
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
    // A host that went back by itself was taken back as well.
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
        exit::STALE => "stale: the cluster has moved since it was looked at",
        exit::PENDING => "not all is done: the cluster still differs from the spec",
        _ => "incomplete",
    };
    let text = if outcome.ends.is_empty() {
        format!("Apply: {word}.\n")
    } else {
        format!(
            "Apply: {word}. {done} done, {already} already done, {bad} failed, {} taken back, {} not begun.\n",
            back + outcome.taken_back.len(),
            outcome.not_begun
        )
    };
    let steps: Vec<serde_json::Value> = outcome
        .ends
        .iter()
        .chain(&outcome.taken_back)
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
            "{}: {} step{} in {:.1} s, {:.1} s beyond settling",
            s.stage.title(),
            s.steps,
            if s.steps == 1 { "" } else { "s" },
            s.took.as_secs_f64(),
            s.took.saturating_sub(s.settled).as_secs_f64()
        ));
    }
    let stuck = outcome.ends.iter().chain(&outcome.taken_back);
    let stuck: BTreeSet<&NodeName> = stuck
        .filter(|e| matches!(e.verdict, Verdict::Stuck(_)))
        .map(|e| &e.node)
        .collect();
    for node in stuck {
        say(format!(
            "{node} is stuck: `tarsops recover {node}` tries again to put the old state back; `tarsops recover --accept {node}` ends the change with what runs there now"
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
