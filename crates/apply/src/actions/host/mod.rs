//! A change of one component on one host.
//!
//! | module | holds |
//! |---|---|
//! | [`precheck`] | whether the change is made already |
//! | [`script`] | a change that the host's own script makes: every operation but the next two |
//! | [`publish`], [`cause`] | a program that the framework publishes, and why that failed |
//! | [`restart`] | a restart by AdminRegistry |
//! | [`rows`] | rows of a server that change with it |
//! | [`removal`] | what is left of a server that is removed, and what returns with one that is restored |
//! | [`notes`] | what the run records on the host once the change has ended |

pub mod cause;
pub(super) mod notes;
mod precheck;
pub(crate) mod publish;
mod removal;
mod restart;
mod rows;
mod script;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tarsops_model::framework::NodeLabels;
use tarsops_plan::action::{HostChange, Operation};
use tokio::time::Instant;

use crate::gate::{Watched, follow, pass_gate};
use crate::job::{Execution, Job, Precheck};
use crate::look::{GRACE, confirm};
use crate::port::Host;
use crate::sight::Sight;
use crate::verdict::{Failed, StepEnd, Verdict};
use crate::{labels, locators};

/// Changes a component on a host.
pub(crate) struct ChangeHost<'a>(pub(crate) &'a HostChange);

/// What is left to do once the change was seen.
pub(crate) struct Made {
    sight: Sight,
    labels: Option<NodeLabels>,
}

impl Execution for ChangeHost<'_> {
    type Seen = (Arc<dyn Host>, Sight);
    type Acted = Made;

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<Self::Seen>, Verdict> {
        let change = self.0;
        let remote = job.run.reach(job.node).await?;
        let is_registry = change.registry().is_some();
        let sight = Sight::of(job, &*remote, Some(change.component), is_registry).await?;
        if sight.is_reached(job)
            && precheck::is_restored(change, job.node, &sight.seen)
            && precheck::has_rows(job, change, &sight.seen).await
        {
            return Ok(Precheck::Done);
        }
        sight.ready(job)?;
        Ok(Precheck::Ready((remote, sight)))
    }

    async fn act(
        &self,
        job: &Job<'_>,
        (remote, sight): Self::Seen,
        end: &mut StepEnd,
    ) -> Result<Made, Failed> {
        let change = self.0;
        // What the row says now is what the registration will lose, not what it said when the plan was
        // made.
        let labels = labels::to_save(job.run, change, job.node, &sight.seen).await;
        job.run.check_lease()?;
        let began = Instant::now();
        self.prepare(job, &*remote, labels.as_ref(), end).await?;
        let acting = self.bring(job, remote, &sight, end);
        if change.returned_server().is_some() && change.registry().is_none() {
            // It does not run before AdminRegistry starts it, once its rows are there.
            acting.await?;
        } else if sight.wanted.is_empty() || change.removes_registry() {
            acting.await?;
            confirm(job.run, job.node, Some(change.component), &sight.local).await?;
        } else {
            self.watch(job, &sight, began, acting).await?;
        }
        Ok(Made { sight, labels })
    }

    async fn settle(
        &self,
        job: &Job<'_>,
        Made { sight, labels }: Made,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        let (run, node, change) = (job.run, job.node, self.0);
        let registry = change.registry();
        let returned = change.returned_server();
        if let (Some(restore), None) = (returned, &registry) {
            removal::restore_rows(run, change, restore, end).await?;
            let settle = job.settle();
            return Ok(removal::start_again(job, change, settle, end).await?);
        }
        if !change.removes_registry() && !sight.wanted.is_empty() {
            if let Some(labels) = &labels {
                labels::restore_after(run, node, labels, end).await?;
            }
            // One that ran before is in every locator already.
            if let (Some(registry), false) = (&registry, change.ran) {
                locators::follow(run, registry, true, end).await?;
            }
            return Ok(());
        }
        if let (Some(registry), true) = (&registry, change.removes_registry()) {
            if !sight.wanted.is_empty() {
                removal::delete_registry_rows(job, registry, end).await?;
            }
        } else if let Some(labels) = &labels {
            labels::restore_when_registered(run, node, labels, end).await;
        }
        if change.undoes_installation() {
            removal::delete_own_rows(run, change, end).await?;
        }
        if let Some(restore) = returned {
            removal::restore_rows(run, change, restore, end).await?;
        }
        Ok(())
    }

    async fn follow_up(&self, job: &Job<'_>, end: &mut StepEnd) {
        notes::name_restored_package(job, self.0, end).await;
        rows::settle_undo(job.run, job.node, end).await;
    }

    async fn conclude(&self, job: &Job<'_>, refused: bool, end: &mut StepEnd) {
        if !refused {
            rows::settle(job.run, self.0, end).await;
        }
        notes::conclude(job, end).await;
        notes::note_gate(job.run, end).await;
        if let Some(labels) = end.labels.take() {
            labels::settle(job.run, job.node, &labels, end).await;
        }
    }
}

impl ChangeHost<'_> {
    /// What has to be done before the component is touched.
    async fn prepare(
        &self,
        job: &Job<'_>,
        remote: &dyn Host,
        labels: Option<&NodeLabels>,
        end: &mut StepEnd,
    ) -> Result<(), Verdict> {
        let (run, node, change) = (job.run, job.node, self.0);
        if let Some(labels) = labels {
            labels::save(remote, &run.place(node), labels)
                .await
                .map_err(Verdict::NotStarted)?;
        }
        end.labels = labels.cloned();
        if change.is_scripted() {
            rows::undo_edits(run, node, change, end).await;
        }
        if change.regenerates_configuration()
            // What it starts with is what templates and rows say now. Where nobody can be asked it starts
            // with what it had, as it does whenever its host restarts.
            && let Err(why) = run.watch.load(node, change.component).await
        {
            end.pending_restart = None;
            tracing::debug!(%node, component = %change.component, why, "not reloaded");
            end.log.push(format!(
                "its configuration was not generated again before the restart: {why}"
            ));
        }
        removal::deactivate_removed(run, node, change, end).await;
        Ok(())
    }

    /// Makes the change.
    async fn bring(
        &self,
        job: &Job<'_>,
        remote: Arc<dyn Host>,
        sight: &Sight,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        let change = self.0;
        let made = match &change.operation {
            Operation::Publish(publish) => {
                publish::act(job, change, publish, &sight.local, end).await
            }
            Operation::Restart(_) => restart::act(job, change, sight, end).await,
            Operation::Install(_)
            | Operation::Place(_)
            | Operation::Modify(_)
            | Operation::Watch(_)
            | Operation::Remove(_)
            | Operation::RemoveRest(_)
            | Operation::Restore(_) => script::act(job, change, remote, sight, end).await,
        };
        end.restarted = made.is_ok() && !change.is_scripted();
        match change.is_undone_by_executor() {
            true => made.map_err(Failed::undone_by_executor),
            false => made.map_err(Failed::Ends),
        }
    }

    /// Makes the change and waits until host and framework have been healthy for the settle time. The
    /// framework is watched while the host settles, so that settling is waited for once.
    async fn watch(
        &self,
        job: &Job<'_>,
        sight: &Sight,
        began: Instant,
        acting: impl Future<Output = Result<(), Failed>>,
    ) -> Result<(), Failed> {
        let (run, node, change) = (job.run, job.node, self.0);
        let policy = &run.desired.policy;
        let settle = Duration::from_secs(job.settle_for(change.settling(policy)));
        let watched = Watched::default();
        let component = Some(change.component);
        let passing = async {
            acting.await?;
            // A host that is healthy and wrong is rolled back, too.
            confirm(run, node, component, &sight.local)
                .await
                .map_err(Failed::undone_by_executor)?;
            let until = (began + run.deadline() + settle).max(Instant::now() + settle + GRACE);
            pass_gate(policy.deadline, until, settle, &watched)
                .await
                .map_err(|failed| match change.undoes() {
                    // What it undoes was to be undone: nothing is better than what is there now.
                    Some(_) => failed.left(),
                    None => failed,
                })?;
            if !change.is_scripted() {
                // No script of ours has watched the process: another publication may have come.
                confirm(run, node, component, &sight.local)
                    .await
                    .map_err(|verdict| {
                        let why = verdict.into_why();
                        Verdict::LeftFailed(format!(
                            "it was healthy for long enough, and now {why}: somebody else has changed it; plan again (`tarsops plan`)"
                        ))
                    })?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            passed = passing => passed,
            never = follow(run, node, change, &sight.wanted, settle, &watched) => match never {},
        }
    }
}
