//! How an intent is read, also one that an earlier version wrote.
//!
//! The name of a document's format alone decides how it is read: a record of the database is never
//! taken for one of a host, nor the other way round.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tarsops_model::digest::Digest;
use tarsops_model::names::{ClusterName, RunId, StepName};
use tarsops_model::resource::ResourceId;

use super::{Changed, CrontabLeft, DatabaseChange, FORMAT, HostChanged, Intent};
use crate::actions::{FlatChange, HostChange};
use crate::plan::ChangeKind;

impl<'de> Deserialize<'de> for Intent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        let read = match Format::of(&document) {
            Some(format) => format.read(document),
            None => Self::deserialize(document),
        };
        read.map_err(serde::de::Error::custom)
    }
}

/// A format that is read and no longer written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `tarsops.intent/1` to `/3`: a change of a host.
    Host,
    /// `tarsops.database-intent/1`: a step on the database.
    Database,
}

impl Format {
    /// The older format of a document; none where it is the current one or not known.
    fn of(document: &Value) -> Option<Self> {
        match document.get("format")?.as_str()? {
            "tarsops.intent/1" | "tarsops.intent/2" | "tarsops.intent/3" => Some(Self::Host),
            "tarsops.database-intent/1" => Some(Self::Database),
            _ => None,
        }
    }

    /// Reads a document of this format.
    ///
    /// # Errors
    /// What does not fit the format.
    fn read(self, document: Value) -> serde_json::Result<Intent> {
        match self {
            Self::Host => OfHost::deserialize(document)?
                .current()
                .map_err(serde::de::Error::custom),
            Self::Database => Ok(OfDatabase::deserialize(document)?.current()),
        }
    }
}

/// A record of a host.
#[derive(Deserialize)]
struct OfHost {
    cluster: ClusterName,
    run: RunId,
    step: StepName,
    holder: String,
    spec_digest: Digest,
    started_at: i64,
    sign: ChangeKind,
    change: ChangeAsWritten,
    crontab_after: CrontabAsWritten,
}

/// Formats 1 and 2 wrote one flat structure for every operation.
#[derive(Deserialize)]
#[serde(untagged)]
enum ChangeAsWritten {
    Change(Box<HostChange>),
    Flat(Box<FlatChange>),
}

/// Format 1 wrote `null` both for a crontab that stays as it is and for one that is removed.
#[derive(Deserialize)]
#[serde(untagged)]
enum CrontabAsWritten {
    Named(CrontabLeft),
    Digest(Option<Digest>),
}

impl OfHost {
    fn current(self) -> Result<Intent, String> {
        let change = match self.change {
            ChangeAsWritten::Change(change) => *change,
            ChangeAsWritten::Flat(flat) => flat
                .change(&self.run, &self.step)
                .map_err(|e| e.to_string())?,
        };
        let crontab_after = match (self.crontab_after, change.crontab()) {
            (CrontabAsWritten::Named(left), _) => left,
            (CrontabAsWritten::Digest(Some(digest)), _) => CrontabLeft::Written(digest),
            // Whoever changes a crontab and leaves no digest leaves no crontab.
            (CrontabAsWritten::Digest(None), Some(_)) => CrontabLeft::Removed,
            (CrontabAsWritten::Digest(None), None) => CrontabLeft::Unchanged,
        };
        Ok(Intent {
            format: FORMAT.to_owned(),
            cluster: self.cluster,
            run: self.run,
            step: self.step,
            holder: self.holder,
            spec_digest: self.spec_digest,
            started_at: self.started_at,
            sign: self.sign,
            summary: change.summary.clone(),
            resource: change.resource(),
            changed: Changed::Host(Box::new(HostChanged {
                change,
                crontab_after,
            })),
        })
    }
}

/// A record of a step on the database.
#[derive(Deserialize)]
struct OfDatabase {
    cluster: ClusterName,
    run: RunId,
    step: StepName,
    holder: String,
    spec_digest: Digest,
    started_at: i64,
    sign: ChangeKind,
    summary: String,
    resource: ResourceId,
    deed: DatabaseChange,
}

impl OfDatabase {
    fn current(self) -> Intent {
        Intent {
            format: FORMAT.to_owned(),
            cluster: self.cluster,
            run: self.run,
            step: self.step,
            holder: self.holder,
            spec_digest: self.spec_digest,
            started_at: self.started_at,
            sign: self.sign,
            summary: self.summary,
            resource: self.resource,
            changed: Changed::Database(self.deed),
        }
    }
}
