//! What a step leaves on its host as intent, before its first act.
//!
//! It lies in `.tarsops/runs/RUN/STEP/intent`: on the host for a step that changes that host, on the
//! master for one on the database. It holds no content: files and rows as they were are beside it. It is
//! enough to plan the rollback on a machine that never saw the run.

mod reading;

use serde::{Deserialize, Serialize, Serializer};
use tarsops_model::digest::Digest;
use tarsops_model::names::{ClusterName, RunId, StepName};
use tarsops_model::resource::ResourceId;

use crate::actions::{Content, HostChange, ReplaceContainer};
use crate::plan::{ChangeKind, Step};

/// Format name and number of an intent that is written. Older ones are read as this one.
pub const FORMAT: &str = "tarsops.intent/4";

/// Why a step was made and what it means to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Intent {
    /// [`FORMAT`].
    pub format: String,
    /// Whose cluster.
    pub cluster: ClusterName,
    /// The run.
    pub run: RunId,
    /// The step within the run.
    pub step: StepName,
    /// Who ran it.
    pub holder: String,
    /// Digest of the spec that it served.
    pub spec_digest: Digest,
    /// Seconds since 1970, by the control machine's clock.
    pub started_at: i64,
    /// Whether the resource came, changed or went.
    pub sign: ChangeKind,
    /// What the step does, in a few words.
    pub summary: String,
    /// What the step works on.
    pub resource: ResourceId,
    /// What it changes.
    pub changed: Changed,
}

/// What a step changes, by the kind of what it works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// Files, crontab and processes of a host.
    Host(Box<HostChanged>),
    /// The framework's database.
    Database(DatabaseChange),
    /// The framework's container on a host.
    Container(Box<ReplaceContainer>),
}

/// A change of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChanged {
    /// The change, without the content of files.
    pub change: HostChange,
    /// What it leaves of the crontab.
    pub crontab_after: CrontabLeft,
}

/// What a change leaves of the run user's crontab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrontabLeft {
    /// The change does not write it.
    Unchanged,
    /// There is no crontab afterwards.
    Removed,
    /// The crontab has this digest afterwards.
    Written(Digest),
}

impl CrontabLeft {
    /// What is left where a crontab is written; `None` for one that is removed.
    #[must_use]
    pub fn after(digest: Option<Digest>) -> Self {
        digest.map_or(Self::Removed, Self::Written)
    }
}

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

/// The run that a step belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Whose cluster.
    pub cluster: ClusterName,
    /// The run.
    pub run: RunId,
    /// Who runs it.
    pub holder: String,
    /// Digest of the spec that it serves.
    pub spec_digest: Digest,
    /// When the step begins, in seconds since 1970 by the control machine's clock.
    pub started_at: i64,
}

impl Changed {
    /// The change of a host that leaves its crontab so. What is in its files is not recorded.
    #[must_use]
    pub fn host(change: &HostChange, crontab_after: CrontabLeft) -> Self {
        Self::Host(Box::new(HostChanged {
            change: without_content(change),
            crontab_after,
        }))
    }
}

impl Intent {
    /// What is recorded of a step that changes this.
    #[must_use]
    pub fn of(step: &Step, by: By, changed: Changed) -> Self {
        Self {
            format: FORMAT.to_owned(),
            cluster: by.cluster,
            run: by.run,
            step: StepName::of(&step.id),
            holder: by.holder,
            spec_digest: by.spec_digest,
            started_at: by.started_at,
            sign: step.sign,
            summary: step.summary.clone(),
            resource: step.resource.clone(),
            changed,
        }
    }

    /// The change, if it is one of a host.
    #[must_use]
    pub fn host(&self) -> Option<&HostChange> {
        match &self.changed {
            Changed::Host(host) => Some(&host.change),
            Changed::Database(_) | Changed::Container(_) => None,
        }
    }

    /// The change, if it is one of the database.
    #[must_use]
    pub const fn database(&self) -> Option<&DatabaseChange> {
        match &self.changed {
            Changed::Database(change) => Some(change),
            Changed::Host(_) | Changed::Container(_) => None,
        }
    }

    /// The change, if it is the replacement of a container.
    #[must_use]
    pub fn container(&self) -> Option<&ReplaceContainer> {
        match &self.changed {
            Changed::Container(change) => Some(change),
            Changed::Host(_) | Changed::Database(_) => None,
        }
    }

    /// The run that it undoes; none where it brought something to the spec.
    #[must_use]
    pub fn undoes(&self) -> Option<&RunId> {
        match &self.changed {
            Changed::Host(host) => host.change.undoes(),
            Changed::Database(_) => None,
            Changed::Container(change) => change.undoes(),
        }
    }

    /// Whether what it did stays when the rest is rolled back: a registry that was down and was
    /// started is no damage, and neither is a dump or a column that nothing older reads.
    #[must_use]
    pub fn stays(&self) -> bool {
        match &self.changed {
            Changed::Host(host) => {
                let change = &host.change;
                !change.is_agent()
                    && self.sign == ChangeKind::Change
                    && change.files().is_empty()
                    && !change.rereads()
                    && change.restarts()
            }
            Changed::Database(DatabaseChange::Template { .. }) | Changed::Container(_) => false,
            Changed::Database(DatabaseChange::Backup { .. } | DatabaseChange::Column { .. }) => {
                true
            }
        }
    }
}

impl Serialize for Intent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// The intent of a change: the change itself without what is in its files.
#[must_use]
pub fn without_content(change: &HostChange) -> HostChange {
    let mut out = change.clone();
    for file in out.files_mut() {
        file.content = Content::None;
    }
    out
}
