//! How a step ended, and what its host reported.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::NodeName;
use tarsops_plan::action::RowEdit;
use tarsops_plan::intent::Intent;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its end state was reached before.
    AlreadyDone,
    /// It was done, and its end state seen.
    Done,
    /// The facts that it rests upon have changed since the plan; nothing was changed.
    Moved(String),
    /// The host refused it; nothing was changed.
    Refused(String),
    /// It failed, and the old state was restored and seen to run.
    RolledBack(String),
    /// It failed, and was left as it is, as the policy says.
    LeftFailed(String),
    /// It failed, and the old state could not be restored.
    Stuck(String),
    /// The host fell silent; it ends the change by itself.
    Silent(String),
    /// The lease was lost before it acted.
    NoLease(String),
    /// Something on this machine failed before it acted.
    NotStarted(String),
}

impl Verdict {
    /// Whether the step's end state is reached.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::AlreadyDone | Self::Done)
    }

    /// The verdict in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::AlreadyDone => "already done",
            Self::Done => "done",
            Self::Moved(_) => "moved",
            Self::Refused(_) => "refused",
            Self::RolledBack(_) => "rolled back",
            Self::LeftFailed(_) => "failed",
            Self::Stuck(_) => "stuck",
            Self::Silent(_) => "silent",
            Self::NoLease(_) => "no lease",
            Self::NotStarted(_) => "not started",
        }
    }

    /// Why, where there is something to say.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::AlreadyDone | Self::Done => None,
            Self::Moved(w)
            | Self::Refused(w)
            | Self::RolledBack(w)
            | Self::LeftFailed(w)
            | Self::Stuck(w)
            | Self::Silent(w)
            | Self::NoLease(w)
            | Self::NotStarted(w) => Some(w),
        }
    }

    /// As [`Self::why`], owned; empty where there is nothing to say.
    #[must_use]
    pub(crate) fn into_why(self) -> String {
        self.why().unwrap_or_default().to_owned()
    }
}

/// Why an action did not reach its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The step ends so.
    Ends(Verdict),
    /// The host works, and it or the framework is not as it should be. No script of the host undoes that:
    /// the executor does, if the policy says so.
    Undo(String),
}

impl From<Verdict> for Failed {
    fn from(verdict: Verdict) -> Self {
        Self::Ends(verdict)
    }
}

impl Failed {
    /// The same where nothing undoes it.
    pub(crate) fn left(self) -> Self {
        match self {
            Self::Undo(why) => Self::Ends(Verdict::LeftFailed(why)),
            ends @ Self::Ends(_) => ends,
        }
    }

    /// What a failure of an act means whose effect no script on the host undoes.
    pub(crate) fn undone_by_executor(verdict: Verdict) -> Self {
        match verdict {
            Verdict::LeftFailed(why) => Self::Undo(why),
            other => Self::Ends(other),
        }
    }
}

/// The end of a step, with what its host reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepEnd {
    /// Which step.
    pub step: String,
    /// On which node.
    pub node: NodeName,
    /// How it ended.
    pub verdict: Verdict,
    /// The last lines of the host's log.
    pub log: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// The intent that is on the host, if the step acted; on the master for one on the database.
    pub intent: Option<Intent>,
    /// What the node's row had before its tarsnode was stopped.
    pub labels: Option<NodeLabels>,
    /// The rows of its server that were changed.
    pub edited: Vec<RowEdit>,
    /// The component whose restart is marked as pending on its host, until this rollback has ended.
    pub pending_restart: Option<Component>,
    /// Whether its server was seen to run, started after its rows were written.
    pub restarted: bool,
    /// Whether a task was begun that may still come true.
    pub begun: bool,
}

impl StepEnd {
    /// The end of a step of which nothing else is known.
    #[must_use]
    pub const fn new(step: String, node: NodeName, verdict: Verdict) -> Self {
        Self {
            step,
            node,
            verdict,
            log: Vec::new(),
            took: Duration::ZERO,
            intent: None,
            labels: None,
            edited: Vec::new(),
            pending_restart: None,
            restarted: false,
            begun: false,
        }
    }
}
