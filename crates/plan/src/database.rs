//! The framework's database in an upgrade: the columns that a release needs, its templates, and the
//! backup before anything of it changes.
//!
//! A database is present, proven absent, or unknown; the last two lead to no step. Nothing is
//! dropped and nothing is made again. A template is merged three ways (`tarsops_conf::merge`): as the
//! release ships it that the cluster runs, as the wanted one does, and as it lives; the texts of
//! releases come from the lock file. A conflict holds up its own template only.
//!
//! What must stay true: no value of a live template is in a plan, but for those that may be shown
//! ([`shown`]).

use std::collections::{BTreeMap, BTreeSet};

use tarsops_conf::Document;
use tarsops_conf::merge::{Edit, Left, Merge, Place, Value, apply, is_credential, merge, shown};
use tarsops_conf::placeholder::{Vars, substitute};
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, Rebuild, Resource, Rpc};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{ADDITIONS, BACKED_UP_DATABASES, Rows, TemplateRow, parent_of};
use tarsops_model::inventory::Inventory;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::actions::{AddColumn, AddTemplate, Backup, MergeTemplate};
use crate::condition::Condition;
use crate::containers::versions;
use crate::drift::{Drift, DriftKind, FieldChange};
use crate::input::PlanInput;
use crate::plan::{ChangeKind, Stage, Step};
use crate::report::{Blocked, Clash, Line};

/// So many keys are told of one template.
const TOLD: usize = 5;

/// What there is to do in the database.
#[derive(Default)]
pub(crate) struct DatabaseAssessment {
    pub(crate) schema: Vec<Step>,
    pub(crate) templates: Vec<Step>,
    pub(crate) drift: Vec<Drift>,
    pub(crate) lines: Vec<Line>,
}

/// The release that the spec asks for: that of the core services.
#[must_use]
pub fn target(desired: &Desired) -> Option<Version> {
    let core = desired.resources.iter().find_map(|(id, r)| match (id, r) {
        (ResourceId::Server(Component::TarsAdminRegistry, _), Resource::Server(s)) => {
            Some(s.version)
        }
        _ => None,
    });
    core.or_else(|| desired.agent(&desired.master).map(|a| a.version))
}

/// The release that the cluster runs: AdminRegistry's own word; where the spec lets it not be asked,
/// the tarsnode of the master, or its container. None for one that the lock file does not know; and why it cannot be
/// told, which must not look like a release that is not known.
fn running(input: &PlanInput<'_>) -> Result<Option<Version>, String> {
    let Some(framework) = input.inventory.framework.as_deref() else {
        return Err("the framework was not asked".to_owned());
    };
    match &framework.admin {
        Observed::Present(admin) => match &admin.version {
            Observed::Present(version) => return Ok(version.parse().ok()),
            other => return Err(other.unknown().unwrap_or("it reports none").to_owned()),
        },
        Observed::Unknown(why) if input.desired.rpc != Rpc::Off => return Err(why.clone()),
        Observed::Unknown(_) | Observed::Absent => {}
    }
    let master = &input.desired.master;
    if input.desired.container(master).is_some() {
        let seen = versions::running(input, Component::Tarsnode, master);
        return seen.map_or(Ok(None), |seen| seen.map(|all| all.last().copied()));
    }
    let binary = match input.inventory.agent(master) {
        Observed::Present(agent) => agent.binary.as_ref().map(|b| b.digest),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why),
    };
    match binary {
        Observed::Present(digest) => {
            let versions = input.catalog.versions_of(Component::Tarsnode, &digest);
            Ok(versions.last().copied())
        }
        Observed::Absent => Ok(None),
        Observed::Unknown(why) => Err(why),
    }
}

pub(crate) fn assess(input: &PlanInput<'_>) -> DatabaseAssessment {
    let mut work = DatabaseAssessment::default();
    let whole = input.scope.nodes.is_empty() && input.scope.components.is_empty();
    if input.desired.database().is_none() || !whole {
        return work;
    }
    let rows = match input.inventory.framework.as_ref().map(|f| f.rows()) {
        Some(Observed::Present(rows)) => rows,
        Some(Observed::Absent) => {
            work.lines.push(Line::Blocked {
                resource: ResourceId::Schema,
                why: Blocked::NoDatabase {
                    bootstrap: input.desired.rebuild == Rebuild::Bootstrap,
                },
            });
            return work;
        }
        // Told as drift of its own.
        Some(Observed::Unknown(_)) | None => return work,
    };
    let Some(release) = target(input.desired) else {
        return work;
    };
    schema(rows, release, &mut work);
    templates(input, rows, release, &mut work);
    work
}

fn unknown(work: &mut DatabaseAssessment, resource: ResourceId, why: String) {
    work.drift.push(Drift {
        resource,
        kind: DriftKind::Unknown { why: vec![why] },
    });
}

fn note(work: &mut DatabaseAssessment, resource: ResourceId, text: String) {
    work.lines.push(Line::Note { resource, text });
}

/// Columns that the release needs and that are proven missing.
fn schema(rows: &Rows, release: Version, work: &mut DatabaseAssessment) {
    let mut fields = Vec::new();
    let mut unseen: BTreeSet<String> = BTreeSet::new();
    for addition in ADDITIONS.iter().filter(|a| a.since <= release) {
        let (table, column) = (addition.table, addition.column);
        match rows.column(table, column) {
            Observed::Present(true) => {}
            Observed::Present(false) => {
                fields.push(FieldChange::new(
                    &format!("{table}.{column}"),
                    "no such column",
                    addition.definition,
                ));
                work.schema
                    .push(column_step(table, column, addition.definition));
            }
            Observed::Absent => note(
                work,
                ResourceId::Schema,
                format!("there is no table {table}, so its column {column} is not added"),
            ),
            Observed::Unknown(why) => {
                unseen.insert(why);
            }
        }
    }
    if !fields.is_empty() {
        work.drift.push(Drift {
            resource: ResourceId::Schema,
            kind: DriftKind::Changed { fields },
        });
    }
    for why in unseen {
        unknown(work, ResourceId::Schema, why);
    }
}

fn column_step(table: &str, column: &str, definition: &str) -> Step {
    let there = |there| Condition::Column {
        table: table.to_owned(),
        column: column.to_owned(),
        there,
    };
    Step::new(
        format!("schema.add@{table}.{column}"),
        (Stage::Schema, ChangeKind::Add),
        format!("add the column {column} to {table}"),
        AddColumn {
            table: table.to_owned(),
            column: column.to_owned(),
            definition: definition.to_owned(),
        },
        vec![there(false)],
        vec![there(true)],
    )
}

/// What stands in the place of the placeholders of shipped templates: what the installer of the
/// master puts there.
fn vars(desired: &Desired) -> Vars {
    let master = desired.host(&desired.master).map(|h| h.ip.to_string());
    Vars {
        localip: master.clone(),
        registries: master.iter().map(|ip| (ip.clone(), 17890)).collect(),
        registry_host: master,
        database_host: desired.database().map(|d| d.address.host.to_string()),
        tars_path: Some(desired.tars_path()),
        upload_path: Some(desired.install_path.to_string()),
    }
}

/// A template without which a component of the framework has no configuration.
fn is_needed(name: &str) -> bool {
    matches!(name, "tars.default" | "tars.framework-db")
        || name
            .strip_prefix("tars.")
            .is_some_and(|c| c.parse::<Component>().is_ok())
}

fn templates(input: &PlanInput<'_>, rows: &Rows, release: Version, work: &mut DatabaseAssessment) {
    let Some(shipped) = input.catalog.templates.get(&release) else {
        work.lines.push(Line::NotYet {
            topic: "database".to_owned(),
            what: format!("templates (the lock file has no deploy tree of {release})"),
        });
        return;
    };
    if let Some(why) = rows.templates.unknown() {
        return unknown(work, ResourceId::Schema, why.to_owned());
    }
    let running = match running(input) {
        Ok(running) => running,
        Err(why) => {
            let why = format!("which release its templates come from: {why}");
            return unknown(work, ResourceId::Schema, why);
        }
    };
    let release = Release {
        number: release,
        old: running.and_then(|v| input.catalog.templates.get(&v)),
        vars: vars(input.desired),
    };
    let mut missing: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, text) in shipped {
        match rows.template(name) {
            Observed::Present(row) => release.merged(row, text, work),
            Observed::Absent => {
                let known = release.old.is_some_and(|old| old.contains_key(name));
                if known && !is_needed(name) {
                    let what = format!("{} ships it, and somebody deleted it here", release.number);
                    note(work, ResourceId::Template(name.clone()), what);
                } else {
                    missing.insert(name, text);
                }
            }
            Observed::Unknown(why) => unknown(work, ResourceId::Template(name.clone()), why),
        }
    }
    release.added(rows, missing, work);
}

/// What templates are brought to.
struct Release<'a> {
    number: Version,
    /// The templates of the release that the cluster runs.
    old: Option<&'a BTreeMap<String, String>>,
    vars: Vars,
}

impl Release<'_> {
    fn merged(&self, row: &TemplateRow, shipped: &str, work: &mut DatabaseAssessment) {
        let resource = ResourceId::Template(row.name.clone());
        let Some(live_text) = &row.text else {
            return unknown(work, resource, "its text was not read".to_owned());
        };
        let blocked = |why: Blocked| Line::Blocked {
            resource: resource.clone(),
            why,
        };
        let unreadable = |what: &str, why: String| Blocked::Unreadable {
            file: what.to_owned(),
            why,
        };
        let read =
            |what: &str, text: &str| Document::parse(text).map_err(|e| unreadable(what, told(&e)));
        let live = read("its text in the database", live_text.expose());
        let new = read("its shipped text", shipped);
        let (live, new) = match (live, new) {
            (Ok(live), Ok(new)) => (live, new),
            (Err(why), _) | (_, Err(why)) => return work.lines.push(blocked(why)),
        };
        let old = self
            .old
            .and_then(|old| Document::parse(old.get(&row.name)?).ok());
        let found = merge(old.as_ref(), &new, &live, &self.vars);
        let parent = parent_of(&row.name);
        if row.parent.as_deref() != Some(parent) {
            let has = row.parent.as_deref().unwrap_or("none");
            let text = format!("its parent is {has}, and the framework gives it {parent}; left");
            note(work, resource.clone(), text);
        }
        for text in self.left(&found) {
            note(work, resource.clone(), text);
        }
        if !found.conflicts.is_empty() {
            let keys = found.conflicts.iter().map(|c| Clash {
                at: c.at.to_string(),
                old: shown(&c.at, c.old.as_deref()),
                new: shown(&c.at, c.new.as_deref()),
                live: shown(&c.at, c.live.as_deref()),
            });
            return work.lines.push(blocked(Blocked::TemplateConflict {
                release: self.number,
                keys: keys.collect(),
            }));
        }
        if !found.unfilled.is_empty() {
            let keys = found.unfilled.iter().map(ToString::to_string).collect();
            return work.lines.push(blocked(Blocked::NoCredentials { keys }));
        }
        if found.edits.is_empty() {
            return;
        }
        let after = match apply(&live, &found.edits) {
            Ok(after) => after.to_string(),
            Err(e) => {
                let why = unreadable("its text in the database", told(&e));
                return work.lines.push(blocked(why));
            }
        };
        work.drift.push(Drift {
            resource: resource.clone(),
            kind: DriftKind::Changed {
                fields: fields(&found.edits, &live),
            },
        });
        let (before, after) = (
            Digest::of(live_text.expose().as_bytes()),
            Digest::of(after.as_bytes()),
        );
        let is = |digest| Condition::Template {
            name: row.name.clone(),
            digest: Some(digest),
        };
        work.templates.push(Step::new(
            format!("template.merge@{}", row.name),
            (Stage::Templates, ChangeKind::Change),
            format!(
                "add {} of the release {}",
                count(found.edits.iter().filter(|e| is_of_key(e)).count()),
                self.number
            ),
            MergeTemplate {
                name: row.name.clone(),
                release: self.number,
                before,
                after,
                edits: found.edits,
            },
            vec![is(before)],
            vec![is(after)],
        ));
    }

    /// What is left of a merge, in one line for each kind.
    fn left(&self, found: &Merge) -> Vec<String> {
        let (mut lacks, mut kept, mut differs) = (Vec::new(), Vec::new(), Vec::new());
        for left in &found.left {
            match left {
                Left::RemovedHere(at) => lacks.push(at.to_string()),
                Left::KeptHere(at) => kept.push(at.to_string()),
                Left::Differs { at, new, live } => differs.push(format!(
                    "{at} ({} here, {} there)",
                    shown(at, Some(live)),
                    shown(at, Some(new))
                )),
            }
        }
        let number = self.number;
        let mut out = Vec::new();
        if !lacks.is_empty() {
            out.push(format!(
                "it lacks {} of release {number}; left",
                some(&lacks)
            ));
        }
        if !kept.is_empty() {
            let what = some(&kept);
            out.push(format!("it keeps {what}, which {number} has no more"));
        }
        if !differs.is_empty() {
            let what = some(&differs);
            out.push(format!(
                "it differs from release {number} in {what}; its release is not known, so this is left alone"
            ));
        }
        out
    }

    /// Adds templates that are proven missing, those before which their parents are.
    fn added(&self, rows: &Rows, missing: BTreeMap<&str, &str>, work: &mut DatabaseAssessment) {
        let mut coming: BTreeMap<&str, (&str, Document)> = BTreeMap::new();
        for (name, text) in missing {
            let resource = ResourceId::Template(name.to_owned());
            let document = match Document::parse(text) {
                Ok(document) => document,
                Err(e) => {
                    work.lines.push(Line::Blocked {
                        resource,
                        why: Blocked::Unreadable {
                            file: "its shipped text".to_owned(),
                            why: told(&e),
                        },
                    });
                    continue;
                }
            };
            let keys = credentials(&document);
            if keys.is_empty() {
                coming.insert(name, (text, document));
            } else {
                work.lines.push(Line::Blocked {
                    resource,
                    why: Blocked::NoCredentials { keys },
                });
            }
        }
        // A template whose parent is not there is no configuration.
        loop {
            let orphan = coming.keys().copied().find(|name| {
                let parent = parent_of(name);
                !coming.contains_key(parent)
                    && !matches!(rows.template(parent), Observed::Present(_))
            });
            let Some(name) = orphan else { break };
            coming.remove(name);
            work.lines.push(Line::Blocked {
                resource: ResourceId::Template(name.to_owned()),
                why: Blocked::NoParent {
                    parent: parent_of(name).to_owned(),
                },
            });
        }
        for (name, (text, _)) in coming {
            work.drift.push(Drift {
                resource: ResourceId::Template(name.to_owned()),
                kind: DriftKind::Missing,
            });
            work.templates.push(self.new_template(name, text));
        }
    }

    fn new_template(&self, name: &str, shipped: &str) -> Step {
        let text = substitute(shipped, &self.vars);
        let digest = Digest::of(text.as_bytes());
        let parent = parent_of(name);
        let is = |digest| Condition::Template {
            name: name.to_owned(),
            digest,
        };
        Step::new(
            format!("template.add@{name}"),
            (Stage::Templates, ChangeKind::Add),
            format!("add it as release {} ships it, below {parent}", self.number),
            AddTemplate {
                name: name.to_owned(),
                parent: parent.to_owned(),
                release: self.number,
                text,
            },
            vec![is(None)],
            vec![is(Some(digest))],
        )
    }
}

/// An error and what caused it, in one clause, without the text that it is about: a live text holds
/// credentials.
fn told(error: &tarsops_conf::ConfError) -> String {
    match error.line() {
        Some(line) => format!("tars cannot read line {line} of it"),
        None => "a key or value cannot be written into it".to_owned(),
    }
}

fn credentials(document: &Document) -> Vec<String> {
    let mut out = Vec::new();
    for path in document.paths() {
        for (key, _) in document.entries(&path) {
            let at = Place::new(&path, key);
            if is_credential(&at) {
                out.push(at.to_string());
            }
        }
    }
    out
}

fn is_of_key(edit: &Edit) -> bool {
    !matches!(edit, Edit::AddDomain { .. })
}

fn count(keys: usize) -> String {
    match keys {
        0 => "a section".to_owned(),
        1 => "1 key".to_owned(),
        n => format!("{n} keys"),
    }
}

fn some(all: &[String]) -> String {
    let mut out = all
        .iter()
        .take(TOLD)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if all.len() > TOLD {
        out.push_str(&format!(" and {} more", all.len() - TOLD));
    }
    out
}

fn fields(edits: &[Edit], live: &Document) -> Vec<FieldChange> {
    edits
        .iter()
        .map(|edit| match edit {
            Edit::AddDomain { path } => FieldChange::new(
                &format!("/{}", path.join("/")),
                "no such section",
                "a section",
            ),
            Edit::Remove { at } => {
                FieldChange::new(&at.to_string(), shown(at, at.of(live)), "no such key")
            }
            Edit::Set { at, value } => FieldChange::new(
                &at.to_string(),
                shown(at, at.of(live)),
                match value {
                    Value::Text(text) => shown(at, Some(text)),
                    Value::As(from) => format!("as {from}"),
                },
            ),
        })
        .collect()
}

/// The dump of the framework's databases before the first change, and what is not in it.
#[must_use]
pub fn backup(inventory: &Inventory) -> Option<(Step, Vec<Line>)> {
    let framework = inventory.framework.as_deref()?;
    let Observed::Present(facts) = &framework.database else {
        return None;
    };
    if !matches!(facts.rows, Observed::Present(_)) {
        return None;
    }
    let mut databases = Vec::new();
    let mut lines = Vec::new();
    for name in BACKED_UP_DATABASES {
        match facts.databases.get(name) {
            _ if name == "db_tars" => databases.push(name.to_owned()),
            Some(Observed::Present(())) => databases.push(name.to_owned()),
            Some(Observed::Unknown(why)) => lines.push(Line::Note {
                resource: ResourceId::Schema,
                text: format!("the backup does not contain {name}: {why}"),
            }),
            Some(Observed::Absent) | None => {}
        }
    }
    Some((backup_step(databases), lines))
}

/// The step that dumps these databases.
fn backup_step(databases: Vec<String>) -> Step {
    Step::new(
        "database.backup".to_owned(),
        (Stage::Backup, ChangeKind::Add),
        format!("back up {} to the master", databases.join(", ")),
        Backup { databases },
        vec![Condition::DatabaseRead],
        vec![Condition::DatabaseRead],
    )
}
