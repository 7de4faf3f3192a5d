//! What a host remembers of a run is a claim, and about that host only.
//!
//! Whoever can write into a host's records can write anything there. So a record is compared with
//! the place that it was read from and with what the spec says of that host, before anything is
//! planned from it: it can neither name another host, user or folder, nor bring a file or a crontab
//! line that is not this tool's.

use std::fmt;

use serde::Serialize;
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::framework::{ADDITIONS, BACKED_UP_DATABASES};
use tarsops_model::names::{AbsPath, NodeName, RunId, StepName, UserName};
use tarsops_model::resource::ResourceId;

use crate::action::{Cell, Content, FileChange, Folder, HostChange, RowEdit, Table};
use crate::crontab::{component_monitor_line, is_plain_monitor};
use crate::database_record::{self, DatabaseChange, DatabaseIntent};
use crate::places::{BINARY, CONF, SCRIPTS, binary_path, endpoint_at};
use crate::plan::ChangeKind;
use crate::restore::{self, Intent};

/// The longest that a record may ask to wait for, in seconds.
const LONGEST_SETTLE: u64 = 3600;
/// The longest text in a column of a row.
const LONGEST_CELL: usize = 512;

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// Its format.
    Format,
    /// The cluster.
    Cluster,
    /// The run.
    Run,
    /// The step.
    Step,
    /// The node.
    Node,
    /// The address of the node.
    Ip,
    /// The framework's folder.
    TarsPath,
    /// The user that the framework runs as.
    RunUser,
    /// A port.
    Port,
    /// The registry that comes or goes.
    Registry,
    /// Whether the resource came, changed or went.
    ChangeKind,
    /// A file.
    File,
    /// The permission bits of a file.
    Mode,
    /// A line of the crontab.
    Crontab,
    /// How long it waits.
    Settle,
    /// A row of the framework's database.
    Row,
    /// The package that a row names.
    Package,
    /// What a step on the database worked on.
    Resource,
    /// A template.
    Template,
    /// A column.
    Column,
    /// A dump of the database.
    Backup,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "format",
            Self::Cluster => "cluster",
            Self::Run => "run",
            Self::Step => "step",
            Self::Node => "node",
            Self::Ip => "address",
            Self::TarsPath => "folder",
            Self::RunUser => "run user",
            Self::Port => "port",
            Self::Registry => "registry",
            Self::ChangeKind => "sign",
            Self::File => "file",
            Self::Mode => "mode of a file",
            Self::Crontab => "crontab line",
            Self::Settle => "settling time",
            Self::Row => "row",
            Self::Package => "package",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Column => "column",
            Self::Backup => "backup",
        })
    }
}

/// Why a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its {field} is `{says}`, and {wanted}")]
pub struct RecordMismatch {
    /// Which part of it does not fit.
    pub field: Field,
    /// What it says, shortened and without what a terminal would obey.
    pub says: String,
    /// What it may say.
    pub wanted: String,
}

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

fn mismatch(field: Field, says: impl fmt::Display, wanted: impl Into<String>) -> RecordMismatch {
    let says = says.to_string();
    RecordMismatch {
        field,
        says: says.chars().take(80).flat_map(char::escape_debug).collect(),
        wanted: wanted.into(),
    }
}

fn same<T: PartialEq + fmt::Display>(
    field: Field,
    says: &T,
    wanted: &T,
) -> Result<(), RecordMismatch> {
    if says == wanted {
        return Ok(());
    }
    Err(mismatch(field, says, format!("it must be `{wanted}`")))
}

fn must(
    holds: bool,
    field: Field,
    says: impl fmt::Display,
    wanted: &str,
) -> Result<(), RecordMismatch> {
    if holds {
        Ok(())
    } else {
        Err(mismatch(field, says, wanted))
    }
}

/// Whether what a host remembers of a change fits that host.
///
/// Its machine-id is compared where the host itself was looked at, see [`restore::rollback_step`].
///
/// # Errors
/// [`RecordMismatch`] names the first part that does not fit.
pub fn fits(intent: &Intent, place: Place<'_>, desired: &Desired) -> Result<(), RecordMismatch> {
    let change = &intent.change;
    must(
        restore::FORMATS.contains(&intent.format.as_str()),
        Field::Format,
        &intent.format,
        "another tarsops wrote it",
    )?;
    same(Field::Cluster, &intent.cluster, &desired.cluster)?;
    same(Field::Run, &intent.run, place.run)?;
    same(Field::Step, &intent.step, place.step)?;
    // A change of the user is known by either of the two: the spec may have gone back since.
    let before = change.ran_as.as_ref();
    if before.is_none_or(|user| fits_user(user, place.node, desired).is_err()) {
        fits_user(&change.run_user, place.node, desired)?;
    }
    fits_host(change, place.node, desired)?;
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

/// Whether programs of `node` run as this user, as the spec has it.
pub(crate) fn fits_user(
    user: &UserName,
    node: &NodeName,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    let agent = desired.agent(node);
    same(
        Field::RunUser,
        user,
        agent.map_or(&desired.run_user, |a| &a.run_user),
    )
}

/// Whether a change works on `node` as the spec has that node: its name, address, folder, user and
/// registry, and its own rows. It serves records and rollbacks alike.
pub(crate) fn fits_host(
    change: &HostChange,
    node: &NodeName,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    same(Field::Node, &change.node, node)?;
    let Some(host) = desired.host(node) else {
        return Err(mismatch(Field::Node, node, "the spec has no such node"));
    };
    same(Field::Ip, &change.ip, &host.ip)?;
    let agent = desired.agent(node);
    let tars = agent.map_or_else(|| desired.tars_path(), |a| a.tars_path.to_string());
    same(Field::TarsPath, &change.tars_path.as_str(), &tars.as_str())?;
    if change.restore().is_some_and(|r| r.crontab.is_some()) {
        fits_user(change.crontab_user(), node, desired)?;
    }
    let registry = (change.component == Component::Tarsregistry).then(|| endpoint_at(host.ip));
    if change.registry() != registry {
        let says = change.registry().as_ref().map(ToString::to_string);
        return Err(mismatch(
            Field::Registry,
            says.unwrap_or_else(|| "none".to_owned()),
            "it must be the node's own, for tarsregistry, and none for the others",
        ));
    }
    fits_rows(change, host.ip, desired)
}

/// Whether a file gets no more than permission bits.
pub(crate) fn fits_modes(file: &FileChange) -> Result<(), RecordMismatch> {
    for mode in [Some(file.mode), file.before_mode].into_iter().flatten() {
        must(
            mode & !0o777 == 0,
            Field::Mode,
            format_args!("{mode:o} of {}", file.path),
            "it has more than permission bits",
        )?;
    }
    Ok(())
}

/// Whether a step that changes `component` on `node` may have this name.
fn is_step_of(name: &StepName, component: Component, node: &NodeName) -> bool {
    let made = |id: String| [StepName::of(&id), StepName::of(&format!("{id}.back"))].contains(name);
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

/// Whether this tool changes a file of a component that is installed.
#[must_use]
pub fn is_own_file(component: Component, path: &str) -> bool {
    match component {
        Component::Tarsnode => {
            let script = path.strip_prefix("tarsnode/util/");
            path == BINARY || path == CONF || script.is_some_and(|name| SCRIPTS.contains(&name))
        }
        other => path == binary_path(other),
    }
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
    // What was installed goes as a whole; single files of it are not touched.
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

/// Whether rows that change are those of the change's own server, which the spec has there. Only a
/// basic service has its rows changed together with its program.
fn fits_rows(
    change: &HostChange,
    ip: std::net::IpAddr,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    if let Some(edit) = change.rows().first() {
        let placed = desired.server(change.component, &change.node).is_some();
        must(
            change.component.is_basic() && placed && desired.database().is_some(),
            Field::Row,
            edit.table.name(),
            "the spec has no basic service there whose rows tarsops changes",
        )?;
    }
    let mut rows = change.rows().iter();
    rows.try_for_each(|edit| fits_row(edit, change, ip))
}

/// Whether a row is of the change's own server, and only columns change that this tool writes.
fn fits_row(
    edit: &RowEdit,
    change: &HostChange,
    ip: std::net::IpAddr,
) -> Result<(), RecordMismatch> {
    let named = edit.key.iter().map(|(column, _)| column.as_str());
    let own = edit.of_key("application") == Some("tars")
        && edit.of_key("server_name") == Some(change.component.name())
        && edit.of_key("node_name") == Some(change.node.as_str())
        && edit.key.len() == edit.table.key().len()
        && named.eq(edit.table.key().iter().copied());
    let name = edit.table.name();
    must(own, Field::Row, name, "it is not of that server")?;
    if let Some(adapter) = edit.of_key("adapter_name") {
        must(
            is_word(adapter),
            Field::Row,
            adapter,
            "no adapter is called so",
        )?;
    }
    for (column, cell) in [&edit.before, &edit.after].into_iter().flatten().flatten() {
        let known = match edit.table {
            Table::TServerConf => column == "template_name",
            Table::TAdapterConf => {
                ADAPTER.contains(&column.as_str()) || edit.table.key().contains(&column.as_str())
            }
        };
        must(
            known,
            Field::Row,
            column,
            "this tool does not write that column",
        )?;
        let Cell::Text(text) = cell else { continue };
        let plain =
            text.len() <= LONGEST_CELL && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        must(plain, Field::Row, text, "it is not plain text")?;
        let of_key = edit.of_key(column).is_none_or(|value| value == text);
        must(of_key, Field::Row, text, "its key says otherwise")?;
        // Whoever asks for a servant is sent to where such a row says.
        if column == "servant" {
            must(
                is_servant_of(change.component, text),
                Field::Row,
                text,
                "it must be a servant of that component",
            )?;
        }
        if column == "endpoint" {
            must(
                is_endpoint_on(text, ip),
                Field::Row,
                text,
                "it must be an endpoint of that node",
            )?;
        }
    }
    Ok(())
}

/// Columns of an adapter that this tool writes, beside its key.
const ADAPTER: [&str; 12] = [
    "servant",
    "endpoint",
    "protocol",
    "thread_num",
    "max_connections",
    "queuecap",
    "queuetimeout",
    "handlegroup",
    "allow_ip",
    "posttime",
    "lastuser",
    "registry_timestamp",
];

/// Whether a component has that servant, in some release.
fn is_servant_of(component: Component, servant: &str) -> bool {
    let mut all = component.servants().iter();
    all.any(|(own, _)| *own == servant || Component::renamed(own) == Some(servant))
}

/// Whether a text of `t_adapter_conf` is one endpoint at the address of a node, or at all or its local
/// addresses.
#[must_use]
pub fn is_endpoint_on(text: &str, ip: std::net::IpAddr) -> bool {
    let words: Vec<&str> = text.split(' ').filter(|w| !w.is_empty()).collect();
    let at = words.iter().position(|w| *w == "-h");
    let host = at.and_then(|at| words.get(at + 1));
    let once = words.iter().filter(|w| **w == "-h").count() == 1;
    let own = host.and_then(|h| h.parse().ok());
    let local = own.is_some_and(|own: std::net::IpAddr| {
        own == ip || own.is_unspecified() || own.is_loopback()
    });
    // Several endpoints stand in one text with colons between them.
    once && local
        && !words.iter().any(|w| {
            ["tcp", "udp", "ssl"]
                .iter()
                .any(|p| w.ends_with(&format!(":{p}")))
        })
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    text.len() <= 128 && text.chars().all(plain)
}

/// Whether what the master remembers of a step on the database fits it.
///
/// # Errors
/// [`RecordMismatch`] names the first part that does not fit.
pub fn fits_database(
    intent: &DatabaseIntent,
    place: Place<'_>,
    desired: &Desired,
) -> Result<(), RecordMismatch> {
    same(
        Field::Format,
        &intent.format.as_str(),
        &database_record::FORMAT,
    )?;
    same(Field::Cluster, &intent.cluster, &desired.cluster)?;
    same(Field::Run, &intent.run, place.run)?;
    same(Field::Step, &intent.step, place.step)?;
    // Nobody else can know of the database.
    same(Field::Node, place.node, &desired.master)?;
    let (resource, ids) = match &intent.deed {
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
    let made = |id: &String| {
        [StepName::of(id), StepName::of(&format!("{id}.back"))].contains(&intent.step)
    };
    must(
        ids.iter().any(made),
        Field::Step,
        &intent.step,
        "no step on that resource is called so",
    )
}
