//! What a step on the database leaves on the master as intent, and the rollback from it.
//!
//! It lies where the intents of hosts lie (`.tarsops/runs/<run>/<step>/intent`) and holds no content:
//! the row as it was is beside it, for its owner only.

use serde::{Deserialize, Serialize};
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{ClusterName, RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::actions::RestoreTemplate;
use crate::condition::Condition;
use crate::plan::{ChangeKind, Stage, Step};
use crate::restore::CannotRollBack;

/// Format name and number of such an intent.
pub const FORMAT: &str = "tarsops.database-intent/1";

/// What a step does to the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "kebab-case")]
pub enum DatabaseChange {
    /// It dumps databases.
    Backup {
        /// Which.
        databases: Vec<String>,
        /// Where the dump is on the master.
        file: String,
        /// sha256 of the file.
        digest: Digest,
    },
    /// It adds a column.
    Column {
        /// To which table.
        table: String,
        /// Which.
        column: String,
    },
    /// It writes a template.
    Template {
        /// Which.
        name: String,
        /// sha256 of the text before; none if there was no such template.
        before: Option<Digest>,
        /// sha256 of the text afterwards; none if there is none any more.
        after: Option<Digest>,
    },
}

/// Why a step on the database was made and what it means to do; written before the first act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseIntent {
    /// [`FORMAT`].
    pub format: String,
    /// Whose cluster.
    pub cluster: ClusterName,
    /// The run.
    pub run: RunId,
    /// The step's folder on the master.
    pub step: StepName,
    /// Who ran it.
    pub holder: String,
    /// Digest of the spec that it served.
    pub spec_digest: Digest,
    /// Seconds since 1970, by the control machine's clock.
    pub started_at: i64,
    /// Whether the resource came, changed or went.
    pub sign: ChangeKind,
    /// What it does, in a few words.
    pub summary: String,
    /// What it works on.
    pub resource: ResourceId,
    /// What it does.
    pub deed: DatabaseChange,
}

impl DatabaseIntent {
    /// Whether what it did stays when the rest is rolled back.
    #[must_use]
    pub const fn stays(&self) -> bool {
        !matches!(self.deed, DatabaseChange::Template { .. })
    }
}

/// The step that takes the database back to where it was before `intent`; none where nothing is left
/// to roll back.
///
/// # Errors
/// [`CannotRollBack`] if somebody has changed the row since, or if it cannot be told.
pub fn rollback_step(
    intent: &DatabaseIntent,
    inventory: &Inventory,
) -> Result<Option<Step>, CannotRollBack> {
    let DatabaseChange::Template {
        name,
        before,
        after,
    } = &intent.deed
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
