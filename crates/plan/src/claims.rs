//! What a host remembers of a run is a claim, and about that host only.
//!
//! Whoever can write into a host's records can write anything there. So a record is compared with
//! the place that it was read from and with what the spec says of that host, before anything is
//! planned from it: it can neither name another host, user or folder, nor bring a file or a crontab
//! line that is not this tool's.

mod change;
mod mismatch;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::framework::{ADDITIONS, BACKED_UP_DATABASES};
use tarsops_model::names::{AbsPath, NodeName, RunId, StepName};
use tarsops_model::resource::ResourceId;

use change::is_word;
pub(crate) use change::{fits_host, fits_modes, fits_user};
pub use change::{is_endpoint_on, is_own_file};
pub use mismatch::{Field, RecordMismatch};
use mismatch::{mismatch, must, same};

use crate::actions::{Content, FileChange, Folder, HostChange, NewContainer, ReplaceContainer};
use crate::crontab::{component_monitor_line, is_plain_monitor};
use crate::intent::{Changed, DatabaseChange, FORMAT, Intent};
use crate::plan::ChangeKind;

/// The longest that a record may ask to wait for, in seconds.
const LONGEST_SETTLE: u64 = 3600;

/// Where a record was read.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The host.
    pub node: &'a NodeName,
    /// The folder of the run.
    pub run: &'a RunId,
    /// The folder of the step.
    pub step: &'a StepName,
}

/// Whether what a host remembers of a step fits that host, and what the master alone can know of.
///
/// Its machine-id is compared where the host itself was looked at, see
/// [`crate::restore::rollback_step`].
///
/// # Errors
/// [`RecordMismatch`] names the first part that does not fit.
pub fn fits(intent: &Intent, place: Place<'_>, desired: &Desired) -> Result<(), RecordMismatch> {
    must(
        intent.format == FORMAT,
        Field::Format,
        &intent.format,
        "another tarsops wrote it",
    )?;
    same(Field::Cluster, &intent.cluster, &desired.cluster)?;
    same(Field::Run, &intent.run, place.run)?;
    same(Field::Step, &intent.step, place.step)?;
    match &intent.changed {
        Changed::Host(host) => fits_change(intent, &host.change, place, desired),
        Changed::Database(done) => fits_database(intent, done, place, desired),
        Changed::Container(change) => fits_container(intent, change, place, desired),
    }
}

/// The same for what it says of a change of the host.
fn fits_change(
    intent: &Intent,
    change: &HostChange,
    place: Place<'_>,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    // A change of the user is known by either of the two: the spec may have gone back since.
    let before = change.ran_as.as_ref();
    if before.is_none_or(|user| fits_user(user, place.node, desired).is_err()) {
        fits_user(&change.run_user, place.node, desired)?;
    }
    fits_host(change, place.node, desired)?;
    same(Field::Resource, &intent.resource, &change.resource())?;
    must(
        is_step_of(&intent.step, change.component, place.node),
        Field::Step,
        &intent.step,
        "no step of that component on that node is called so",
    )?;
    // Whatever the rows of a servant said is a port to go back to, also one that no release has.
    for port in [change.port.before, change.port.after]
        .into_iter()
        .flatten()
    {
        must(port != 0, Field::Port, port, "nothing listens there")?;
    }
    let signs = match change.folder() {
        Folder::Create => intent.sign == ChangeKind::Add,
        Folder::Remove => intent.sign == ChangeKind::Remove,
        Folder::Keep => intent.sign != ChangeKind::Add || change.publish().is_some(),
    };
    let sign = format!("{:?}", intent.sign).to_lowercase();
    must(signs, Field::ChangeKind, sign, "its folder says another")?;
    let settle = change.settle.unwrap_or(0);
    must(
        settle <= LONGEST_SETTLE,
        Field::Settle,
        settle,
        "nobody waits for so long",
    )?;
    for file in change.files() {
        fits_file(file, change)?;
    }
    fits_crontab(change)?;
    if let Some(renamed) = change.patch_version() {
        for name in [&renamed.from, &renamed.to] {
            must(
                is_word(name),
                Field::Package,
                name,
                "no package is called so",
            )?;
        }
    }
    Ok(())
}

/// Whether a step that changes `component` on `node` may have this name.
fn is_step_of(name: &StepName, component: Component, node: &NodeName) -> bool {
    let made = |id: String| is_made_of(name, &id);
    let words = [
        "install", "change", "remove", "publish", "start", "place", "watch",
    ];
    let mut ids = words
        .iter()
        .map(|word| format!("{component}.{word}@{node}"));
    let rolled_back = match component {
        Component::Tarsnode => format!("rollback@{node}"),
        other => format!("rollback.{other}@{node}"),
    };
    ids.any(&made) || made(rolled_back) || made(format!("rollback.cron@{node}"))
}

/// Whether a path is made of plain parts.
fn is_plain(path: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p != "." && p != "..";
    path.split('/').all(part)
        && path
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c))
}

fn fits_file(file: &FileChange, change: &HostChange) -> Result<(), RecordMismatch> {
    let component = change.component;
    let inside = file.path.strip_prefix(component.name());
    let below = inside.and_then(|rest| rest.strip_prefix('/'));
    let shipped = below.is_some_and(|rest| {
        is_plain(rest)
            && rest
                .split('/')
                .next()
                .is_some_and(|d| ["bin", "conf", "util"].contains(&d))
    });
    // What was installed is removed as a whole; single files of it are not touched.
    let own = match change.folder() {
        Folder::Create => shipped,
        Folder::Keep | Folder::Remove => is_own_file(component, &file.path),
    };
    must(
        own,
        Field::File,
        &file.path,
        "it is none of that component's that this tool changes",
    )?;
    fits_modes(file)?;
    must(
        file.content == Content::None,
        Field::File,
        &file.path,
        "a record has no content",
    )
}

fn fits_crontab(change: &HostChange) -> Result<(), RecordMismatch> {
    let Some(crontab) = change.crontab() else {
        return Ok(());
    };
    let tars = change.tars_path.as_str();
    let name = change.component.name();
    if let Some(line) = &crontab.edit.add {
        same(
            Field::Crontab,
            &line.as_str(),
            &component_monitor_line(tars, name).as_str(),
        )?;
    }
    for (_, line) in &crontab.edit.remove {
        must(
            is_plain_monitor(line, tars, name),
            Field::Crontab,
            line,
            "it must run that component's monitor and nothing else",
        )?;
    }
    Ok(())
}

/// The same for what it says of the host's container. Another container of that host is none of ours:
/// a rollback stops the one that the spec names, and starts one that it has replaced.
fn fits_container(
    intent: &Intent,
    change: &ReplaceContainer,
    place: Place<'_>,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    same(Field::Node, &change.node, place.node)?;
    let resource = ResourceId::Container(change.node.clone());
    same(Field::Resource, &intent.resource, &resource)?;
    let Some(wanted) = desired.container(place.node) else {
        return Err(mismatch(
            Field::Container,
            &change.name,
            "the spec has no container there",
        ));
    };
    same(Field::Container, &change.name, &wanted.name)?;
    same(Field::Socket, &change.socket, &wanted.socket)?;
    let back = match &change.new {
        NewContainer::Back { id, .. } => Some(id),
        NewContainer::Create(_) => None,
    };
    for id in [Some(&change.old.id), back].into_iter().flatten() {
        must(
            is_word(id),
            Field::Container,
            id,
            "no engine calls a container so",
        )?;
    }
    must(
        change.stop_timeout <= LONGEST_SETTLE,
        Field::Settle,
        change.stop_timeout,
        "nobody waits for so long",
    )?;
    let sign = format!("{:?}", intent.sign).to_lowercase();
    must(
        intent.sign == ChangeKind::Change,
        Field::ChangeKind,
        sign,
        "a container is replaced",
    )?;
    let node = place.node;
    let ids = [
        format!("container.replace@{node}"),
        format!("rollback.container@{node}"),
    ];
    must(
        ids.iter().any(|id| is_made_of(&intent.step, id)),
        Field::Step,
        &intent.step,
        "no step on that container is called so",
    )
}

/// Whether the folder of a step is that of the step `id`, or of what undoes it.
fn is_made_of(name: &StepName, id: &str) -> bool {
    [StepName::of(id), StepName::of(&format!("{id}.back"))].contains(name)
}

/// The same for what it says of the database.
fn fits_database(
    intent: &Intent,
    done: &DatabaseChange,
    place: Place<'_>,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    // Nobody else can know of the database.
    same(Field::Node, place.node, &desired.master)?;
    let (resource, ids) = match done {
        DatabaseChange::Backup {
            databases, file, ..
        } => {
            let known = databases
                .iter()
                .find(|d| !BACKED_UP_DATABASES.contains(&d.as_str()));
            if let Some(other) = known {
                return Err(mismatch(
                    Field::Backup,
                    other,
                    "it is none of the framework's databases",
                ));
            }
            let named = AbsPath::new(file.as_str()).is_ok() && file.ends_with(".sql.gz");
            must(named, Field::Backup, file, "there is no dump")?;
            (ResourceId::Schema, vec!["database.backup".to_owned()])
        }
        DatabaseChange::Column { table, column } => {
            let known = ADDITIONS
                .iter()
                .any(|a| a.table == table && a.column == column);
            must(
                known,
                Field::Column,
                format_args!("{table}.{column}"),
                "no release has added it",
            )?;
            let id = format!("schema.add@{table}.{column}");
            (ResourceId::Schema, vec![id])
        }
        DatabaseChange::Template { name, .. } => {
            must(
                is_word(name) && name.starts_with("tars."),
                Field::Template,
                name,
                "it is none of the framework's",
            )?;
            let ids = ["template.merge", "template.add", "rollback.template"];
            let ids = ids.iter().map(|id| format!("{id}@{name}")).collect();
            (ResourceId::Template(name.clone()), ids)
        }
    };
    same(Field::Resource, &intent.resource, &resource)?;
    must(
        ids.iter().any(|id| is_made_of(&intent.step, id)),
        Field::Step,
        &intent.step,
        "no step on that resource is called so",
    )
}
