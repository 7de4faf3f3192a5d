//! What carries out each kind of action: one home for each, and one dispatch, [`of`].

mod container;
pub(crate) mod database;
pub(crate) mod host;
pub(crate) mod recover;
pub(crate) mod rows;
pub(crate) mod server;

use futures::future::LocalBoxFuture;
use tarsops_plan::action::Action;
use tarsops_plan::condition::Condition;

use crate::job::{Execution, Job, Precheck};
use crate::verdict::{Failed, StepEnd, Verdict};

use container::ReplaceContainer;
use database::{AddColumn, Backup, Restored, Template};
use host::ChangeHost;
use recover::Recover;
use rows::{AddRows, DeleteRows, DeleteServerRows, RemoveRows, RestoreLabels};
use server::{StartServer, StopServer};

/// What carries `action` out.
pub(crate) fn of(action: &Action) -> Box<dyn Executable + '_> {
    match action {
        Action::Recover(it) => Box::new(Recover {
            run: &it.run,
            step: &it.step,
            accept: it.accept,
        }),
        Action::ChangeHost(change) => Box::new(ChangeHost(change)),
        Action::DeleteNodeRows(_) => Box::new(DeleteRows { registry: None }),
        Action::DeleteRegistryRows(it) => Box::new(DeleteRows {
            registry: Some(&it.registry),
        }),
        Action::DeleteServerRows(it) => Box::new(DeleteServerRows {
            servers: &it.servers,
        }),
        Action::Backup(it) => Box::new(Backup {
            databases: &it.databases,
        }),
        Action::ReplaceContainer(it) => Box::new(ReplaceContainer(it)),
        Action::AddColumn(it) => Box::new(AddColumn {
            table: &it.table,
            column: &it.column,
        }),
        Action::MergeTemplate(change) => Box::new(Template::Merge(change)),
        Action::AddTemplate(new) => Box::new(Template::Add(new)),
        Action::RestoreTemplate(it) => Box::new(Template::Restore(Restored {
            name: &it.name,
            run: &it.run,
            step: &it.step,
            now: it.now,
            before: it.before,
        })),
        Action::RestoreLabels(it) => Box::new(RestoreLabels(&it.labels)),
        Action::AddServerRows(it) => Box::new(AddRows(&it.0)),
        Action::RemoveServerRows(it) => Box::new(RemoveRows(&it.0)),
        Action::StartServer(it) => Box::new(StartServer(it.component)),
        Action::StopServer(it) => Box::new(StopServer(it.component)),
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

    fn undone(&self) -> Vec<Condition> {
        Execution::undone(self)
    }
}
