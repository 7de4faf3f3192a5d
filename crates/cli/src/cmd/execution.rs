//! A plan is carried out: with the lease, and until the end or a signal.

use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::in_progress::StepsInProgress;
use crate::output::say;
use crate::privacy::Stops;
use crate::progress::Teller;
use crate::runs::{holder, new_run, now};
use crate::session::Session as Context;
use crate::state::state_folder;
use crate::unreachable_hosts;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tarsops_apply::Outcome;
use tarsops_apply::execute::{Run, execute, place};
use tarsops_apply::journal::Journal;
use tarsops_apply::lease::{Lease, LeaseError, LeaseSpec};
use tarsops_apply::port::{Account, Database, Hosts, Scripts};
use tarsops_framework::Publisher;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_plan::{Checked, Plan};
use tarsops_probe::Report;
use tarsops_transport::Connect;

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

pub fn refuse_silence(
    context: &Context,
    silent: &BTreeSet<NodeName>,
    report: &Report,
) -> Result<()> {
    let silent = silent.len();
    let desired = context.desired();
    let allowed = desired.policy.max_unreachable.of(desired.hosts().count());
    if silent <= allowed {
        return Ok(());
    }
    let causes = unreachable_hosts::causes(&report.faults);
    Err(Failure::new(format!(
        "{silent} hosts are silent and the spec allows {allowed} (rollout.max_unreachable); nothing was changed"
    ))
    .code(exit::INCOMPLETE)
    .hint("make them reachable, set them to maintenance, narrow with --on, or raise max_unreachable")
    .about(causes.lines()))
}

/// Takes the lease and walks over the plan.
pub async fn carry_out(
    global: &Global,
    context: &Context,
    plan: &Checked<Plan>,
    report: &Report,
    silent: usize,
    stops: &Stops,
) -> Result<Outcome> {
    let interrupt = stops.count();
    let desired = context.desired();
    let installer = match plan.steps.iter().any(|step| step.action.installs()) {
        true => context.installer().await?,
        false => None,
    };
    let id = new_run(report, None);
    let holder = holder();
    let connect = Arc::clone(&context.connector) as Arc<dyn Connect>;
    let connect: Arc<dyn Hosts> = Arc::new(Scripts::over(connect));
    let folder = state_folder(desired);
    // Before anybody is asked for the lease; without it the run continues, as it is only a cache.
    let journal = Journal::create(&folder, id.as_str()).unwrap_or_else(|e| {
        say(format!(
            "warning: the journal of this run cannot be written: {e}"
        ));
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
    let under_way = StepsInProgress::new(&teller);
    let clock = now;
    let watch = context.framework().await;
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
        installer: installer.map(|account| Arc::new(account) as Arc<dyn Account>),
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
            if tokio::time::timeout(RELEASE_TIMEOUT, lease.release())
                .await
                .is_err()
            {
                say("the lease could not be released; it expires 45 s after its last renewal");
            }
            Err(stopped_at_once(&under_way))
        }
    }
}

/// How long the master may take to take the lease back from a run that is stopped at once.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// What continues by itself when a run is stopped at once.
fn stopped_at_once(under_way: &StepsInProgress<'_>) -> Failure {
    let lines = under_way.lines();
    let failure = Failure::new(if lines.is_empty() {
        "stopped at once; no step was in progress"
    } else {
        "stopped at once; hosts and the framework finish by themselves what was in progress"
    });
    failure.code(exit::INTERRUPTED).about(lines).hint(
        "plan again (`tarsops plan`) before you apply, or undo the run with `tarsops rollback`",
    )
}
