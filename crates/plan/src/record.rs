//! What a host, or the master for the database, remembers of one step of a run.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId, StepName};

use crate::actions::HostChange;
use crate::claims::RecordMismatch;
use crate::intent::{Changed, Intent};

/// What hosts remember of runs, newest run last.
pub type Runs = BTreeMap<RunId, Vec<Record>>;

/// One change as its host remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The host.
    pub node: NodeName,
    /// The run.
    pub run: RunId,
    /// The step's folder on the host.
    pub step: StepName,
    /// What the step meant to do; none if this tarsops cannot read it, or does not believe it.
    pub intent: Option<Intent>,
    /// Why it is not believed: what a host remembers counts for that host only.
    pub mismatch: Option<RecordMismatch>,
    /// How the host says that it ended.
    pub ended: Ended,
    /// The line that the host has beside that.
    pub text: String,
    /// What the run made of it after its host was healthy: `failed: …` or `rolled back: …`; empty
    /// where the framework was healthy, too.
    pub gate: String,
}

/// How a host says that a change ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// It succeeded.
    Ok,
    /// It failed, and its host restored what was there.
    RolledBack,
    /// It failed, and its host is left as it was then.
    Failed,
    /// It failed, and what was there could not be restored.
    Stuck,
    /// It was not begun.
    Refused,
    /// No end is recorded.
    Unfinished,
    /// What is recorded as its end is no end.
    Damaged,
    /// Another word, of another version.
    Other(String),
}

impl Ended {
    /// The word that hosts write.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ok => "ok",
            Self::RolledBack => "rolled-back",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Refused => "refused",
            Self::Unfinished => "unfinished",
            Self::Damaged => "damaged",
            Self::Other(word) => word,
        }
    }
}

impl FromStr for Ended {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = [
            Self::Ok,
            Self::RolledBack,
            Self::Failed,
            Self::Stuck,
            Self::Refused,
            Self::Unfinished,
            Self::Damaged,
        ];
        let found = known.into_iter().find(|ended| ended.as_str() == word);
        Ok(found.unwrap_or_else(|| Self::Other(word.to_owned())))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Record {
    /// What the step meant to do, in a few words.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.intent.as_ref().map(|i| i.summary.as_str())
    }

    /// Who ran it.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.intent.as_ref().map(|i| i.holder.as_str())
    }

    /// When it began, in seconds since 1970 by the clock of who ran it.
    #[must_use]
    pub fn started_at(&self) -> Option<i64> {
        self.intent.as_ref().map(|i| i.started_at)
    }

    /// Digest of the spec that it served.
    #[must_use]
    pub fn spec_digest(&self) -> Option<Digest> {
        self.intent.as_ref().map(|i| i.spec_digest)
    }

    /// The change of its host, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<&HostChange> {
        self.intent.as_ref()?.host()
    }

    /// What it worked on of its node: a component, or with none the framework's container. Nothing for
    /// a step on the database, and where the record cannot be read.
    pub(crate) fn place(&self) -> Option<(&NodeName, Option<Component>)> {
        match &self.intent.as_ref()?.changed {
            Changed::Host(host) => Some((&host.change.node, Some(host.change.component))),
            Changed::Container(change) => Some((&change.node, None)),
            Changed::Database(_) => None,
        }
    }

    /// The run that it undoes; none where it brought something to the spec.
    #[must_use]
    pub fn undoes(&self) -> Option<&RunId> {
        self.intent.as_ref()?.undoes()
    }

    /// Whether its run may have changed something that a rollback has to undo.
    pub(crate) fn may_have_changed(&self) -> bool {
        match self.ended {
            // Whether a damaged record is of a change that was made is not known: it counts.
            Ended::Ok | Ended::Damaged => true,
            // A part of it may be there: its host was left so, or is not done with it. A publication
            // continues by itself when the run ends.
            Ended::Unfinished => self.intent.is_some(),
            // A step on the database changes a row whole or not at all.
            Ended::Failed | Ended::Stuck => match self.intent.as_ref().map(|i| &i.changed) {
                Some(Changed::Host(_) | Changed::Container(_)) => true,
                Some(Changed::Database(_)) | None => false,
            },
            Ended::RolledBack | Ended::Refused | Ended::Other(_) => false,
        }
    }
}
