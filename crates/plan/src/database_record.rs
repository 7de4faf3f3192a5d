//! The rollback of a step on the database, from what the master remembers of it.
//!
//! The row as it was is beside the intent, for its owner only.

use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::observed::Observed;

use crate::actions::RestoreTemplate;
use crate::condition::Condition;
use crate::intent::{DatabaseChange, Intent};
use crate::plan::{ChangeKind, Stage, Step};
use crate::restore::CannotRollBack;

/// The step that takes the database back to where it was before `intent`, which did `done` there;
/// none where nothing is left to roll back.
///
/// # Errors
/// [`CannotRollBack`] if somebody has changed the row since, or if it cannot be told.
pub fn rollback_step(
    intent: &Intent,
    done: &DatabaseChange,
    inventory: &Inventory,
) -> Result<Option<Step>, CannotRollBack> {
    let DatabaseChange::Template {
        name,
        before,
        after,
    } = done
    else {
        return Ok(None);
    };
    let rows = match inventory.framework.as_ref().map(|f| f.rows()) {
        Some(Observed::Present(rows)) => rows,
        Some(Observed::Absent) => return Err(CannotRollBack::Moved("the database".to_owned())),
        Some(Observed::Unknown(why)) => {
            return Err(CannotRollBack::Unknown(format!("the database: {why}")));
        }
        None => {
            return Err(CannotRollBack::Unknown(
                "the database was not asked".to_owned(),
            ));
        }
    };
    let now = match rows.template(name) {
        Observed::Present(row) => Some(digest_of(row).ok_or_else(|| {
            CannotRollBack::Unknown(format!("the template {name}: its text was not read"))
        })?),
        Observed::Absent => None,
        Observed::Unknown(why) => {
            return Err(CannotRollBack::Unknown(format!(
                "the template {name}: {why}"
            )));
        }
    };
    if now == *before {
        return Ok(None);
    }
    if now != *after {
        return Err(CannotRollBack::Moved(format!("the template {name}")));
    }
    let is = |digest: Option<Digest>| Condition::Template {
        name: name.clone(),
        digest,
    };
    Ok(Some(Step::new(
        format!("rollback.template@{name}"),
        (
            Stage::Templates,
            match (before, after) {
                (None, _) => ChangeKind::Remove,
                (_, None) => ChangeKind::Add,
                _ => ChangeKind::Change,
            },
        ),
        format!("roll back run {}: {}", intent.run, intent.summary),
        RestoreTemplate {
            name: name.clone(),
            run: intent.run.clone(),
            step: intent.step.clone(),
            now,
            before: *before,
        },
        vec![is(now)],
        vec![is(*before)],
    )))
}

/// The digest of a template's text.
pub(crate) fn digest_of(row: &tarsops_model::framework::TemplateRow) -> Option<Digest> {
    match &row.text {
        Some(text) => Some(Digest::of(text.expose().as_bytes())),
        None => row.digest.as_ref()?.parse().ok(),
    }
}
