//! Adding a column to a table of the framework.

use tarsops_model::framework::ADDITIONS;
use tarsops_plan::intent::DatabaseChange;

use super::{facts, record};
use crate::job::{Execution, Job, Precheck};
use crate::verdict::{Failed, StepEnd, Verdict};

/// Adds a column to a table of `db_tars`.
pub(crate) struct AddColumn<'a> {
    pub(crate) table: &'a str,
    pub(crate) column: &'a str,
}

impl Execution for AddColumn<'_> {
    type Seen = ();
    type Acted = DatabaseChange;

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        facts::precheck(job, false).await
    }

    async fn act(&self, job: &Job<'_>, (): (), _: &mut StepEnd) -> Result<DatabaseChange, Failed> {
        let run = job.run;
        let access = facts::access(run)?;
        run.check_lease()?;
        job.acting();
        let change = DatabaseChange::Column {
            table: self.table.to_owned(),
            column: self.column.to_owned(),
        };
        record::write(job, &change, None).await?;
        let addition = ADDITIONS
            .iter()
            .find(|a| a.table == self.table && a.column == self.column)
            .ok_or_else(|| Verdict::NotStarted("no release has added that column".into()))?;
        let _waiting = facts::waiting(run, "the database adds a column");
        let added = access.add_column(addition, facts::patience(run)).await;
        record::after_write(job, added).await?;
        Ok(change)
    }

    async fn settle(
        &self,
        job: &Job<'_>,
        change: DatabaseChange,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        Ok(facts::settle(job, change, end).await?)
    }
}
