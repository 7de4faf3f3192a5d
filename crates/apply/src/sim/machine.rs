//! One host in memory: its components, the changes that it knows, and what lies beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{Endpoint, RunId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::part::Part;
use super::work::{Place, Work};

/// What a change saved before its first act.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) part: Option<Part>,
    pub(super) crontab: Option<String>,
}

/// A change that a host was told of.
#[derive(Debug)]
pub(super) struct Change {
    /// For people: nobody in the world reads it.
    #[allow(dead_code, reason = "shown by `Debug` when a world breaks a law")]
    pub(super) intent: String,
    pub(super) work: Option<Work>,
    /// There from the first act on.
    pub(super) before: Option<Before>,
    /// Whether somebody on the host works on it.
    pub(super) alive: bool,
    pub(super) verdict: Option<(String, String)>,
    pub(super) gate: Option<String>,
    pub(super) ended: Arc<Notify>,
}

/// The lease as it is on the master.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) run: RunId,
    pub(super) holder: String,
    pub(super) beat: Instant,
    pub(super) ttl: Duration,
}

impl Held {
    pub(super) fn is_held(&self) -> bool {
        self.beat.elapsed() <= self.ttl
    }
}

/// A change by its run and step.
pub(super) type Key = (RunId, String);

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) ip: IpAddr,
    /// Where a registry of it answers.
    pub(super) registry: Endpoint,
    pub(super) machine_id: String,
    pub(super) boot_id: String,
    pub(super) crontab: Option<String>,
    pub(super) parts: BTreeMap<Component, Part>,
    /// Folders that changes moved aside.
    pub(super) away: BTreeMap<(RunId, String), Part>,
    pub(super) staged: BTreeSet<Digest>,
    pub(super) fence: Option<RunId>,
    pub(super) changes: BTreeMap<(RunId, String), Change>,
    /// The change that has begun and not ended.
    pub(super) current: Option<(RunId, String)>,
    pub(super) lease: Option<Held>,
    pub(super) labels: Option<String>,
    pub(super) marks: BTreeMap<Component, Vec<String>>,
    /// Rows of the database that lie here, by name.
    pub(super) rows: BTreeMap<String, String>,
    /// When tarsnode registered, or will have; none while none runs.
    pub(super) registered: Option<Instant>,
    /// When tarsnode stopped.
    pub(super) left: Option<Instant>,
    /// Servers that counted as active when tarsnode stopped.
    pub(super) frozen: BTreeSet<String>,
    /// When the registry beat last before it stopped.
    pub(super) beat: Option<Instant>,
    /// How slow tarsnode is to tell of its servers.
    pub(super) lag: u8,
    pub(super) next_pid: u32,
}

impl Machine {
    /// Why the change cannot be made: the verdict's word, and why.
    pub(super) fn refusal(&self, work: &Work) -> Option<(&'static str, String)> {
        let moved = |why: String| Some(("moved", why));
        if work.machine_id != self.machine_id {
            return moved("this is another machine than the one that was looked at".to_owned());
        }
        let part = self.parts.get(&work.component);
        for (path, _, before, after) in &work.files {
            let now = part.and_then(|p| p.files.get(path)).map(|f| f.digest);
            if now != *before {
                return moved(format!("{path} has changed since it was read"));
            }
            if let Some(after) = after
                && Some(*after) != *before
                && !self.staged.contains(after)
            {
                return moved(format!(
                    "the staged content of {path} is missing or damaged"
                ));
            }
        }
        if let Some((before, _)) = &work.crontab {
            let now = self.crontab.as_ref().map(|t| Digest::of(t.as_bytes()));
            if now != *before {
                return moved("the crontab has changed since it was read".to_owned());
            }
        }
        match (&work.place, part.is_some()) {
            (Place::Make | Place::Back(..), true) => moved("the folder is present".to_owned()),
            (Place::Away, false) => moved("the folder is absent".to_owned()),
            (Place::Back(run, step), _)
                if !self.away.contains_key(&(run.clone(), step.clone())) =>
            {
                moved("the folder that was saved is not there".to_owned())
            }
            _ => None,
        }
    }

    /// The state before the change.
    pub(super) fn before(&self, work: &Work) -> Before {
        Before {
            part: self.parts.get(&work.component).cloned(),
            crontab: self.crontab.clone(),
        }
    }
}
