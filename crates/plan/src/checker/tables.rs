//! Whether a plan does no more to the database than it may: known columns come, templates come or
//! change by what a release ships, and a whole backup was made before.

use tarsops_conf::Document;
use tarsops_conf::merge::{Edit, Value, apply, is_credential, is_shipped};
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{ADDITIONS, BACKED_UP_DATABASES, parent_of};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::violation::{Violation, violation};
use crate::action::{Action, TemplateChange};
use crate::condition::Condition;
use crate::input::{PlanInput, Scope};
use crate::plan::{ChangeKind, Plan, Stage, Step};

/// Whether everything that changes the database comes after a backup of it.
pub(super) fn backed_up(plan: &Plan, found: &mut Vec<Violation>) {
    let mut kept = false;
    for step in &plan.steps {
        kept |= matches!(step.action, Action::Backup { .. });
        if step.changes_database() && !kept {
            found.push(violation(
                &step.id,
                "it changes the database without a backup before it",
            ));
        }
    }
}

/// What must be so of each such step, whatever was seen.
pub(super) fn shape(step: &Step, desired: &Desired, scope: &Scope, found: &mut Vec<Violation>) {
    let mut say = |what: &str| found.push(violation(&step.id, what));
    if desired.database().is_none() {
        say("the spec names no database");
    }
    // A backup is made for whatever a narrowed command does to rows.
    let narrow = !scope.nodes.is_empty() || !scope.components.is_empty();
    if narrow && !matches!(step.action, Action::Backup { .. }) {
        say("it is not among those that were asked for");
    }
    let template = |name: &str| ResourceId::Template(name.to_owned());
    let expects = |name: &str, before: Option<Digest>, after: Option<Digest>| {
        let is = |digest| Condition::Template {
            name: name.to_owned(),
            digest,
        };
        step.pre.contains(&is(before)) && step.post.contains(&is(after))
    };
    let (resource, stage, sign) = match &step.action {
        Action::Backup { databases } => {
            let ours = databases
                .iter()
                .all(|d| BACKED_UP_DATABASES.contains(&d.as_str()));
            if !ours || !databases.iter().any(|d| d == "db_tars") {
                say("it does not dump the framework's databases, and only those");
            }
            (ResourceId::Schema, Stage::Backup, ChangeKind::Add)
        }
        Action::AddColumn {
            table,
            column,
            definition,
        } => {
            let known = ADDITIONS
                .iter()
                .any(|a| a.table == table && a.column == column && a.definition == definition);
            if !known {
                say("it adds a column that no release has added");
            }
            let missing = Condition::Column {
                table: table.clone(),
                column: column.clone(),
                there: false,
            };
            if !step.pre.contains(&missing) {
                say("it does not check that the column is missing");
            }
            (ResourceId::Schema, Stage::Schema, ChangeKind::Add)
        }
        Action::MergeTemplate(change) => {
            if !expects(&change.name, Some(change.before), Some(change.after)) {
                say("it does not check the text that it changes");
            }
            if change.edits.iter().any(writes_credential) {
                say("it has a credential in it");
            }
            (template(&change.name), Stage::Templates, ChangeKind::Change)
        }
        Action::AddTemplate(new) => {
            let digest = Digest::of(new.text.as_bytes());
            if !expects(&new.name, None, Some(digest)) {
                say("it does not check that there is no such template");
            }
            if new.parent != parent_of(&new.name) {
                say("it gives the template another parent than the framework does");
            }
            match Document::parse(&new.text) {
                Ok(document) if has_credential(&document) => say("it has a credential in it"),
                Ok(_) => {}
                Err(_) => say("its text is not a configuration"),
            }
            (template(&new.name), Stage::Templates, ChangeKind::Add)
        }
        Action::RestoreTemplate {
            name, now, before, ..
        } => {
            if !expects(name, *now, *before) {
                say("it does not check the text that it restores");
            }
            (template(name), Stage::Templates, step.sign)
        }
        _ => return,
    };
    if step.resource != resource || step.stage != stage || step.sign != sign {
        say("its stage is not that of its action, or works on something else");
    }
}

/// Whether what a step writes is what the pinned release ships.
pub(super) fn pinned(step: &Step, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    let mut say = |what: &str| found.push(violation(&step.id, what));
    match &step.action {
        Action::MergeTemplate(change) => {
            let shipped = input.catalog.templates.get(&change.release);
            let Some(text) = shipped.and_then(|all| all.get(&change.name)) else {
                return say("no pinned release has the template");
            };
            if !ships(change, text) {
                say("it writes what the release does not ship");
            }
            if !comes_to(change, input) {
                say("its edits do not give the announced text");
            }
        }
        Action::AddTemplate(new) => {
            let shipped = input.catalog.templates.get(&new.release);
            let text = shipped.and_then(|all| all.get(&new.name));
            let same = text.is_some_and(|text| match Document::parse(text) {
                Ok(document) => {
                    Document::parse(&new.text).is_ok_and(|mine| mine.paths() == document.paths())
                }
                Err(_) => false,
            });
            if !same {
                say("it writes what the release does not ship");
            }
        }
        _ => {}
    }
}

/// Whether every value that is written stands in the release's text, placeholders aside.
fn ships(change: &TemplateChange, text: &str) -> bool {
    let Ok(document) = Document::parse(text) else {
        return false;
    };
    change.edits.iter().all(|edit| match edit {
        Edit::AddDomain { path } => {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            document.has_domain(&path)
        }
        Edit::Set { at, value } => match (at.of(&document), value) {
            (Some(shipped), Value::Text(text)) => is_shipped(shipped, text),
            (Some(_), Value::As(from)) => is_credential(at) && is_credential(from),
            (None, _) => false,
        },
        Edit::Remove { at } => at.of(&document).is_none(),
    })
}

/// Whether the edits make of the live text what the step announces.
fn comes_to(change: &TemplateChange, input: &PlanInput<'_>) -> bool {
    let Some(Observed::Present(rows)) = input.inventory.framework.as_ref().map(|f| f.rows()) else {
        return false;
    };
    let Observed::Present(row) = rows.template(&change.name) else {
        return false;
    };
    let live = row.text.as_ref().map(|t| Document::parse(t.expose()));
    let Some(Ok(live)) = live else { return false };
    apply(&live, &change.edits)
        .is_ok_and(|after| Digest::of(after.to_string().as_bytes()) == change.after)
}

fn writes_credential(edit: &Edit) -> bool {
    matches!(edit, Edit::Set { at, value: Value::Text(_) } if is_credential(at))
}

fn has_credential(document: &Document) -> bool {
    document.paths().iter().any(|path| {
        document
            .entries(path)
            .iter()
            .any(|(key, _)| is_credential(&tarsops_conf::merge::Place::new(path, key)))
    })
}
