//! The account of the database that the installation in a container logs in as.

use std::time::Duration;

use tarsops_plan::action::ReplaceContainer;

use crate::job::Job;
use crate::port::Account;
use crate::verdict::Verdict;

/// How long the database may take to let it in.
const LOGIN: Duration = Duration::from_secs(10);

/// The account that the spec names for it.
///
/// # Errors
/// Its password was not read.
pub(super) fn of<'a>(job: &Job<'a>) -> Result<&'a dyn Account, Verdict> {
    job.run.installer.as_deref().ok_or_else(|| {
        let why = "the password of the installation in the container was not read";
        Verdict::NotStarted(why.to_owned())
    })
}

/// Whether the database lets the account of a new container in: its installation ends everything of the
/// framework on the host first, and then waits for the database for ever (framework
/// `deploy/tars-install.sh`). One that comes back has an account that nobody knows here.
///
/// # Errors
/// The verdict of a step that is impossible now. Nothing was stopped.
pub(super) async fn check(job: &Job<'_>, step: &ReplaceContainer) -> Result<(), Verdict> {
    if !job.step.action.installs() {
        return Ok(());
    }
    let account = of(job)?;
    account.reach(LOGIN).await.map_err(|e| {
        Verdict::NotStarted(format!(
            "a start of the container {} would stop the framework on its host and wait for the database, which its account {} does not reach from this machine: {e}; correct `docker.installer` or the account, and apply again",
            step.name,
            account.user(),
        ))
    })
}
