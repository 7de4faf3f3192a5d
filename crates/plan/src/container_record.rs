//! The rollback of a container's replacement, from what its host remembers of it.
//!
//! The container that was replaced is still there under another name. Its start is an installation, as
//! every start of a framework container: it may go back only where that takes nothing away.

use tarsops_model::console_gates::keeps_columns;
use tarsops_model::container::{Container, DockerFacts};
use tarsops_model::inventory::Inventory;
use tarsops_model::observed::Observed;
use tarsops_model::version::Version;

use crate::actions::{NewContainer, ReplaceContainer, ReplacedContainer};
use crate::intent::Intent;
use crate::plan::{ChangeKind, Stage, Step};

/// Why a container does not go back; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotGoBack {
    /// A fact is unknown.
    #[error("{0}")]
    Unknown(String),
    /// The machine is another one.
    #[error("the machine itself has changed since that run")]
    OtherMachine,
    /// A change has not ended there.
    #[error("a change of run {0} has not ended there; apply ends it")]
    Unfinished(tarsops_model::names::RunId),
    /// The spec has no container there any more.
    #[error("the spec has no container there; write `deployment: docker` into it again first")]
    NotDesired,
    /// No container has the name.
    #[error("there is no container {0}: the run, or somebody since, has left none of that name")]
    NoContainer(String),
    /// The container is not the one that the run has made.
    #[error("the container {0} is not the one that the run has made there")]
    Replaced(String),
    /// The container that was replaced was removed.
    #[error(
        "the container it would go back to is gone: it was removed since (`docker.retired` says how many are kept); bring the older image into the spec and apply it instead"
    )]
    Gone,
    /// The container that was replaced runs beside the other one.
    #[error("the container it would go back to, {0}, runs already; stop it there first")]
    Runs(String),
    /// A start of the framework there may drop its databases.
    #[error("a start of a container there would drop the framework's databases ({place})")]
    Rebuild {
        /// Where that is said.
        place: String,
    },
    /// A file that may say so could not be read.
    #[error("{0} could not be read: it may have a start drop the framework's databases")]
    Unread(String),
    /// The older management platform drops columns that it does not know, or that is not known.
    #[error(
        "the management platform {} in the container it would go back to may drop columns of the database that {} has added; exchange the containers by hand if it is proven to know them all",
        text(.old),
        text(.new)
    )]
    Columns {
        /// The one in the container that was replaced.
        old: Option<Version>,
        /// The one in the container that is there.
        new: Option<Version>,
    },
}

/// A version for people.
fn text(version: &Option<Version>) -> String {
    version.map_or_else(|| "of unknown version".to_owned(), |v| v.to_string())
}

/// The id of the step that rolls back what was done to the container of a node.
fn id_of(change: &ReplaceContainer) -> String {
    format!("rollback.container@{}", change.node)
}

/// The step that brings back the container that `intent` has replaced; none where it is back already.
/// `wanted` is what the spec has there.
///
/// # Errors
/// [`CannotGoBack`].
pub fn rollback_step(
    intent: &Intent,
    done: &ReplaceContainer,
    wanted: Option<&Container>,
    inventory: &Inventory,
) -> Result<Option<Step>, CannotGoBack> {
    let wanted = wanted.ok_or(CannotGoBack::NotDesired)?;
    let docker = engine(done, inventory)?;
    let seen = match docker.container(&wanted.name) {
        Observed::Present(seen) => seen,
        Observed::Absent => return Err(CannotGoBack::NoContainer(wanted.name.to_string())),
        Observed::Unknown(why) => return Err(CannotGoBack::Unknown(why)),
    };
    if seen.id == done.old.id {
        return Ok(None);
    }
    if !done.has_made(seen) {
        return Err(CannotGoBack::Replaced(seen.name.clone()));
    }
    let mut retired = docker.listed().filter(|c| c.id == done.old.id);
    let retired = retired.next().ok_or(CannotGoBack::Gone)?;
    if retired.runs() {
        return Err(CannotGoBack::Runs(retired.name.clone()));
    }
    if let Some((place, _)) = docker.rebuilds(wanted.name.as_str()).into_iter().next() {
        return Err(CannotGoBack::Rebuild { place });
    }
    if let Some(file) = docker.unread.first() {
        return Err(CannotGoBack::Unread(file.clone()));
    }
    // Only the master's container starts a management platform (framework `deploy/tars-install.sh`).
    let is_slave = retired.variable("SLAVE") == Some("true");
    if !is_slave && !keeps_columns(done.old.console, done.console) {
        return Err(CannotGoBack::Columns {
            old: done.old.console,
            new: done.console,
        });
    }
    let change = ReplaceContainer {
        node: done.node.clone(),
        machine_id: done.machine_id.clone(),
        socket: wanted.socket.clone(),
        name: wanted.name.clone(),
        old: ReplacedContainer {
            id: seen.id.clone(),
            image: done.image(),
            ran: seen.runs(),
            programs: done.programs.clone(),
            console: done.console,
        },
        new: NewContainer::Back {
            id: retired.id.clone(),
            image: done.old.image,
            undoes: intent.run.clone(),
        },
        programs: done.old.programs.clone(),
        ports: done.ports.clone(),
        stop_timeout: wanted.stop_timeout,
        console: done.old.console,
    };
    let (pre, post) = (change.preconditions(), change.postconditions());
    Ok(Some(Step::new(
        id_of(&change),
        (Stage::Containers, ChangeKind::Change),
        format!("roll back run {}: {}", intent.run, intent.summary),
        change,
        pre,
        post,
    )))
}

/// What the engine of the host says, if it is the same host and idle.
fn engine<'a>(
    done: &ReplaceContainer,
    inventory: &'a Inventory,
) -> Result<&'a DockerFacts, CannotGoBack> {
    let unknown = |why: &str| CannotGoBack::Unknown(why.to_owned());
    let host = match inventory.host(&done.node) {
        Observed::Present(host) => host,
        Observed::Absent => return Err(unknown("the host is not there")),
        Observed::Unknown(why) => {
            return Err(CannotGoBack::Unknown(format!(
                "the host's facts could not be collected: {why}"
            )));
        }
    };
    if let Some(left) = &host.unfinished {
        return Err(CannotGoBack::Unfinished(left.run.clone()));
    }
    match &host.machine_id {
        Observed::Present(id) if *id == done.machine_id => {}
        Observed::Present(_) => return Err(CannotGoBack::OtherMachine),
        other => return Err(unknown(other.unknown().unwrap_or("no machine-id"))),
    }
    let docker = host.docker.as_deref();
    let docker = docker.ok_or_else(|| unknown("the host's engine was not looked at"))?;
    match docker.engine.why(&docker.socket, &host.user) {
        Some((why, _)) => Err(CannotGoBack::Unknown(why)),
        None => Ok(docker),
    }
}
