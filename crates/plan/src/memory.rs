//! What a step on the database leaves on the master as intent, and the way back from it.
//!
//! It lies where the intents of hosts lie (`.tarsops/runs/<run>/<step>/intent`) and holds no content:
//! the row as it was lies beside it, for its owner only.

use serde::{Deserialize, Serialize};
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{ClusterName, RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::action::{Action, Undo};
use crate::condition::Condition;
use crate::plan::{Sign, Stage, Step};
use crate::restore::NoWayBack;

/// Format name and number of such an intent.
pub const FORMAT: &str = "tarsops.database-intent/1";

/// What a step does to the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "kebab-case")]
pub enum Deed {
    /// It dumps databases.
    Backup {
        /// Which.
        databases: Vec<String>,
        /// Where the dump lies on the master.
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
    pub sign: Sign,
    /// What it does, in a few words.
    pub summary: String,
    /// What it works on.
    pub resource: ResourceId,
    /// What it does.
    pub deed: Deed,
}

impl DatabaseIntent {
    /// Whether what it did stays when the rest is taken back.
    #[must_use]
    pub const fn stays(&self) -> bool {
        !matches!(self.deed, Deed::Template { .. })
    }
}

/// The step that takes the database back to where it was before `intent`; none where nothing is left
/// to take back.
///
/// # Errors
/// [`NoWayBack`] if somebody has changed the row since, or if it cannot be told.
pub fn way_back(intent: &DatabaseIntent, inventory: &Inventory) -> Result<Option<Step>, NoWayBack> {
    let Deed::Template {
        name,
        before,
        after,
    } = &intent.deed
    else {
        return Ok(None);
    };
    let rows = match inventory.framework.as_ref().map(|f| f.rows()) {
        Some(Observed::Present(rows)) => rows,
        Some(Observed::Absent) => return Err(NoWayBack::Moved("the database".to_owned())),
        Some(Observed::Unknown(why)) => {
            return Err(NoWayBack::Unknown(format!("the database: {why}")));
        }
        None => return Err(NoWayBack::Unknown("the database was not asked".to_owned())),
    };
    let now = match rows.template(name) {
        Observed::Present(row) => Some(digest_of(row).ok_or_else(|| {
            NoWayBack::Unknown(format!("the template {name}: its text was not read"))
        })?),
        Observed::Absent => None,
        Observed::Unknown(why) => {
            return Err(NoWayBack::Unknown(format!("the template {name}: {why}")));
        }
    };
    if now == *before {
        return Ok(None);
    }
    if now != *after {
        return Err(NoWayBack::Moved(format!("the template {name}")));
    }
    let is = |digest: Option<Digest>| Condition::Template {
        name: name.clone(),
        digest,
    };
    Ok(Some(Step {
        id: format!("rollback.template@{name}"),
        stage: Stage::Templates,
        batch: 0,
        needs: vec![],
        resource: ResourceId::Template(name.clone()),
        sign: match (before, after) {
            (None, _) => Sign::Remove,
            (_, None) => Sign::Add,
            _ => Sign::Change,
        },
        summary: format!("take back run {}: {}", intent.run, intent.summary),
        action: Action::RestoreTemplate {
            name: name.clone(),
            run: intent.run.clone(),
            step: intent.step.clone(),
            now,
            before: *before,
        },
        pre: vec![is(now)],
        post: vec![is(*before)],
        undo: Undo::Restore,
    }))
}

/// The digest of a template's text.
pub(crate) fn digest_of(row: &tarsops_model::framework::TemplateRow) -> Option<Digest> {
    match &row.text {
        Some(text) => Some(Digest::of(text.expose().as_bytes())),
        None => row.digest.as_ref()?.parse().ok(),
    }
}
