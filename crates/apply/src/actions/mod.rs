//! What carries out each kind of action: one home for each, and one dispatch, [`of`].

pub(crate) mod database;
pub(crate) mod host;
pub(crate) mod recover;
pub(crate) mod rows;
pub(crate) mod server;

use futures::future::LocalBoxFuture;
use tarsops_model::desired::Policy;
use tarsops_plan::action::Action;
use tarsops_plan::condition::Condition;

use crate::job::{Execution, Job, Precheck};
use crate::verdict::{Failed, StepEnd, Verdict};

use database::{AddColumn, Backup, Restored, Template};
use host::ChangeHost;
use recover::Recover;
use rows::{AddRows, DeleteRows, DeleteServerRows, RemoveRows, RestoreLabels};
use server::{StartServer, StopServer};

/// What carries `action` out.
pub(crate) fn of(action: &Action) -> Box<dyn Executable + '_> {
    match action {
        Action::Recover {
            run, step, accept, ..
        } => Box::new(Recover {
            run,
            step,
            accept: *accept,
        }),
        Action::ChangeHost(change) => Box::new(ChangeHost(change)),
        Action::DeleteNodeRows { .. } => Box::new(DeleteRows { registry: None }),
        Action::DeleteRegistryRows { registry, .. } => Box::new(DeleteRows {
            registry: Some(registry),
        }),
        Action::DeleteServerRows { servers, .. } => Box::new(DeleteServerRows { servers }),
        Action::Backup { databases } => Box::new(Backup { databases }),
        Action::AddColumn { table, column, .. } => Box::new(AddColumn { table, column }),
        Action::MergeTemplate(change) => Box::new(Template::Merge(change)),
        Action::AddTemplate(new) => Box::new(Template::Add(new)),
        Action::RestoreTemplate {
            name,
            run,
            step,
            now,
            before,
        } => Box::new(Template::Restore(Restored {
            name,
            run,
            step,
            now: *now,
            before: *before,
        })),
        Action::RestoreLabels { labels, .. } => Box::new(RestoreLabels(labels)),
        Action::AddServerRows(new) => Box::new(AddRows(new)),
        Action::RemoveServerRows(new) => Box::new(RemoveRows(new)),
        Action::StartServer { component, .. } => Box::new(StartServer(*component)),
        Action::StopServer { component, .. } => Box::new(StopServer(*component)),
    }
}

/// An [`Execution`] of any kind.
pub(crate) trait Executable {
    /// Looks, acts, waits and settles. The verdict is the good one.
    ///
    /// # Errors
    /// As for [`Execution::act`].
    fn carry_out<'a>(
        &'a self,
        job: &'a Job<'a>,
        end: &'a mut StepEnd,
    ) -> LocalBoxFuture<'a, Result<Verdict, Failed>>;

    /// As [`Execution::follow_up`].
    fn follow_up<'a>(&'a self, job: &'a Job<'a>, end: &'a mut StepEnd) -> LocalBoxFuture<'a, ()>;

    /// As [`Execution::conclude`].
    fn conclude<'a>(
        &'a self,
        job: &'a Job<'a>,
        refused: bool,
        end: &'a mut StepEnd,
    ) -> LocalBoxFuture<'a, ()>;

    /// As [`Execution::settling`].
    fn settling(&self, policy: &Policy) -> u64;

    /// As [`Execution::undone`].
    fn undone(&self) -> Vec<Condition>;
}

impl<E: Execution> Executable for E {
    fn carry_out<'a>(
        &'a self,
        job: &'a Job<'a>,
        end: &'a mut StepEnd,
    ) -> LocalBoxFuture<'a, Result<Verdict, Failed>> {
        Box::pin(async move {
            let Precheck::Ready(seen) = self.precheck(job).await? else {
                return Ok(Verdict::AlreadyDone);
            };
            let acted = self.act(job, seen, end).await?;
            self.settle(job, acted, end).await?;
            Ok(Verdict::Done)
        })
    }

    fn follow_up<'a>(&'a self, job: &'a Job<'a>, end: &'a mut StepEnd) -> LocalBoxFuture<'a, ()> {
        Box::pin(Execution::follow_up(self, job, end))
    }

    fn conclude<'a>(
        &'a self,
        job: &'a Job<'a>,
        refused: bool,
        end: &'a mut StepEnd,
    ) -> LocalBoxFuture<'a, ()> {
        Box::pin(Execution::conclude(self, job, refused, end))
    }

    fn settling(&self, policy: &Policy) -> u64 {
        Execution::settling(self, policy)
    }

    fn undone(&self) -> Vec<Condition> {
        Execution::undone(self)
    }
}
