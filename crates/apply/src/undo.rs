//! The steps that roll back what a run has done.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::framework::ServerRow;
use tarsops_model::inventory::Inventory;
use tarsops_plan::action::Undo;
use tarsops_plan::container_record;
use tarsops_plan::database_record;
use tarsops_plan::intent::{Changed, HostChanged, Intent};
use tarsops_plan::plan::{ChangeKind, Plan, Stage, Step};
use tarsops_plan::restore::{Known, rollback_step};
use tarsops_plan::restored;
use tokio::sync::OwnedMutexGuard;

use crate::actions;
use crate::actions::database::facts;
use crate::job::id_of_undo;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};

/// The step of the plan that ended so, if another action undoes it.
pub(crate) fn inverse_of<'a>(plan: &'a Plan, end: &StepEnd) -> Option<&'a Step> {
    let step = plan.steps.iter().find(|s| s.id == end.step)?;
    matches!(step.undo, Undo::Inverse { .. }).then_some(step)
}

/// Whether anything of a step is left to undo that has succeeded.
pub(crate) fn is_left(plan: &Plan, end: &StepEnd) -> bool {
    end.intent.as_ref().is_some_and(|i| !i.stays()) || inverse_of(plan, end).is_some()
}

/// Waits until no other publication is rolled back on the host of this one: a host changes one thing at
/// a time, and would refuse.
pub(crate) async fn turn(run: &Run<'_>, end: &StepEnd) -> Option<OwnedMutexGuard<()>> {
    let published = end.intent.as_ref()?.host()?.publish().is_some();
    let publisher = run.publish.filter(|_| published)?;
    Some(publisher.turn(&format!("host {}", end.node)).await)
}

/// The step that undoes what a step has done; none where nothing is left to undo.
///
/// # Errors
/// One lowercase clause.
pub(crate) async fn step_of(
    run: &Run<'_>,
    end: &StepEnd,
    inverse: Option<&Step>,
) -> Result<Option<Step>, String> {
    if let Some(step) = inverse.and_then(inverse_step) {
        return Ok(Some(step));
    }
    let intent = end
        .intent
        .as_ref()
        .ok_or("nothing is known of what it did")?;
    let back = match &intent.changed {
        Changed::Host(host) => return restore_step(run, end, intent, host).await.map(Some),
        Changed::Container(done) => {
            let seen = look(run, end, None).await?;
            let wanted = run.desired.container(&end.node);
            container_record::rollback_step(intent, done, wanted, &seen)
                .map_err(|e| e.to_string())?
        }
        Changed::Database(done) => {
            let access = facts::access(run).map_err(Verdict::into_why)?;
            let seen = facts::look(run, access).await?;
            database_record::rollback_step(intent, done, &seen).map_err(|e| e.to_string())?
        }
    };
    Ok(back.map(|step| Step {
        id: id_of_undo(&end.step),
        ..step
    }))
}

/// The step that does the inverse action.
fn inverse_step(step: &Step) -> Option<Step> {
    let Undo::Inverse { action } = &step.undo else {
        return None;
    };
    Some(Step {
        id: id_of_undo(&step.id),
        summary: format!("roll back: {}", step.summary),
        sign: ChangeKind::Remove,
        action: (**action).clone(),
        pre: vec![],
        post: actions::of(action).undone(),
        undo: Undo::Irreversible {
            reason: "it is itself a rollback".to_owned(),
        },
        ..step.clone()
    })
}

/// What the host of a step says now.
async fn look(
    run: &Run<'_>,
    end: &StepEnd,
    component: Option<Component>,
) -> Result<Inventory, String> {
    let remote = run.connect.connect(&end.node).await.map_err(|e| e.text)?;
    let now = (run.clock)();
    let options = run.look_options(&end.node, component);
    let seen = remote.look(&end.node, &options, now).await;
    let mut inventory = Inventory {
        observed_at: now,
        ..Inventory::default()
    };
    seen.map_err(|e| e.text)?.into(&mut inventory);
    Ok(inventory)
}

/// The step that restores a host as its record says.
async fn restore_step(
    run: &Run<'_>,
    end: &StepEnd,
    intent: &Intent,
    host: &HostChanged,
) -> Result<Step, String> {
    let inventory = look(run, end, Some(host.change.component)).await?;
    let known = Known {
        asks: run.desired.rpc != Rpc::Off,
        failed: !end.verdict.is_good(),
        other_crontab: false,
    };
    let mut prepared = rollback_step(intent, host, &inventory, known).map_err(|e| e.to_string())?;
    // The next host that is undone must not be the last one of a servant. What has failed need not have
    // been counted on before.
    if !known.failed {
        let change = &prepared.change;
        let framework = match change.component {
            Component::Tarsnode => run.watch.node(&change.node).await,
            server => run.watch.server(&change.node, server).await,
        };
        if let Some(framework) = framework {
            let rows = framework.rows();
            let rows = rows.present().and_then(|rows| rows.servers.present());
            let own = |row: &&ServerRow| row.node == change.node.as_str();
            let servers: Vec<&ServerRow> = rows.into_iter().flatten().filter(own).collect();
            let wanted = restored::conditions(&framework, &servers, change, &BTreeSet::new());
            prepared.post.extend(wanted);
        }
    }
    Ok(Step {
        id: id_of_undo(&end.step),
        stage: Stage::Agents,
        batch: 0,
        needs: vec![],
        resource: host.change.resource(),
        sign: ChangeKind::Change,
        summary: prepared.change.summary.clone(),
        action: prepared.change.into(),
        pre: prepared.pre,
        post: prepared.post,
        undo: Undo::Restore,
    })
}
