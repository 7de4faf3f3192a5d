//! `recover`: ends a change that is stuck on a node.

use tarsops_apply::Verdict;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::Recover;
use tarsops_plan::{Checked, Plan, PlanInput};

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{publish, say};
use crate::privacy::Stops;
use crate::progress::Bar;
use crate::session::Session;

/// Has the node put the old state back, or accepts what runs there now.
pub async fn run(
    global: &Global,
    look: &Look,
    node: &str,
    accept: bool,
    yes: bool,
    stops: &Stops,
) -> Result {
    let mut look = look.clone();
    look.on = vec![node.to_owned()];
    let mut session = Session::open(global, &look)?;
    let name: NodeName = node
        .parse()
        .ok()
        .filter(|name| session.desired().host(name).is_some())
        .ok_or_else(|| {
            Failure::new(format!("the spec has no node {node}"))
                .code(exit::USAGE)
                .hint("name one node as the spec does")
        })?;
    let report = session.look(&Bar::new("looking at")).await;
    super::plan::explain_silence(&report);
    let left = match report.inventory.host(&name) {
        Observed::Present(host) => host.unfinished.clone(),
        other => {
            let why = other.unknown().unwrap_or("it is not there").to_owned();
            return Err(
                Failure::new(format!("the facts of {name} could not be collected: {why}"))
                    .code(exit::INCOMPLETE),
            );
        }
    };
    let Some(left) = left else {
        let text = format!("{name}: no change is unfinished there.\n");
        publish(global, &document(&session, &name, "nothing", None)?, &text)?;
        session.close().await;
        return Ok(exit::OK);
    };
    if left.alive {
        return Err(Failure::new(format!(
            "run {} is at work on {name} at this moment; nothing was changed",
            left.run
        ))
        .code(exit::LEASE)
        .hint("wait for it, then look again"));
    }
    let plan = super::plan::make(&mut session, &report).await?;
    let plan = only_recovery(plan.into_inner(), &session.input(&report), &name, accept)?;
    say(format!(
        "{name}: run {} left {} unfinished",
        left.run, left.step
    ));
    if !yes {
        let question = if accept {
            format!("Accept what runs on {name} now, and restore nothing?")
        } else {
            format!("Restore the old state of {name}?")
        };
        super::consent::confirm(&question, "use --yes").await?;
    }
    let outcome =
        super::execution::carry_out(global, &session, &plan, &report, report.faults.len(), stops)
            .await?;
    let verdict = outcome.ends.first().map(|end| &end.verdict);
    let (word, text) = match verdict {
        Some(Verdict::Done | Verdict::AlreadyDone) if accept => (
            "accepted",
            format!(
                "{name}: the change is ended, and what runs there now stays; `tarsops plan` shows how it differs\n"
            ),
        ),
        Some(Verdict::Done | Verdict::AlreadyDone) => {
            ("recovered", format!("{name}: the old state is restored\n"))
        }
        other => (
            "stuck",
            format!(
                "{name}: still stuck: {}; `tarsops recover --accept {name}` accepts what runs there now\n",
                other.and_then(Verdict::why).unwrap_or("it was not begun")
            ),
        ),
    };
    let why = verdict.and_then(Verdict::why);
    publish(global, &document(&session, &name, word, why)?, &text)?;
    session.close().await;
    Ok(exit::of_run(&outcome, None))
}

/// The one step of a plan that ends what was left on `node`.
fn only_recovery(
    mut plan: Plan,
    input: &PlanInput<'_>,
    node: &NodeName,
    accept: bool,
) -> Result<Checked<Plan>> {
    plan.steps
        .retain_mut(|step| match step.action.get_mut::<Recover>() {
            Some(recover) if recover.node == *node => {
                recover.accept = accept;
                true
            }
            _ => false,
        });
    plan.gates.clear();
    if plan.steps.is_empty() {
        return Err(Failure::new(format!(
            "nothing may be done on {node}; nothing was changed"
        ))
        .code(exit::BLOCKED)
        .hint(format!("`tarsops plan --on {node}` says why")));
    }
    Checked::new(plan, input).map_err(|found| {
        Failure::new("the plan does not pass its own check; nothing was changed").about(found)
    })
}

fn document(session: &Session, node: &NodeName, word: &str, why: Option<&str>) -> Result<String> {
    let document = serde_json::json!({
        "format": "tarsops.recover/1", "cluster": session.desired().cluster, "node": node,
        "outcome": word, "why": why,
    });
    Ok(format!("{document:#}\n"))
}
