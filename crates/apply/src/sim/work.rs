//! What a change does to a host in memory. Only this file reads the planner's `HostChange`.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::RunId;
use tarsops_plan::action::{Content, Folder, HostChange};

use super::part::{File, Part};
use crate::scripts::{CrontabAfter, Launch};

/// What becomes of the folder of the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It stays where it is.
    Stay,
    /// It is made.
    Make,
    /// It comes back from where a change moved it: run and step.
    Back(RunId, String),
    /// It is moved aside.
    Away,
}

/// What a host does when a change fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    /// It puts the old state back.
    Rollback,
    /// It leaves what is there.
    Stop,
}

/// One change as the host in memory carries it out.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) component: Component,
    pub(super) place: Place,
    /// Path below the framework's folder, mode, digest before and after.
    pub(super) files: Vec<(String, u32, Option<Digest>, Option<Digest>)>,
    /// Files whose content is a before-image of an earlier change.
    pub(super) images: Vec<(RunId, String)>,
    pub(super) restart: bool,
    pub(super) health: bool,
    pub(super) machine_id: String,
    /// Digest of the crontab that must be there; `None` where the crontab stays.
    pub(super) crontab: Option<(Option<Digest>, Option<String>)>,
    /// In seconds.
    pub(super) settle: u64,
    /// In seconds.
    pub(super) deadline: u64,
    pub(super) on_failure: OnFailure,
    /// Texts that come with the change.
    pub(super) texts: Vec<String>,
}

/// Reads a launch. `saved` gives the crontab that a step of a run has saved.
pub(super) fn work(launch: &Launch<'_>, saved: impl Fn(RunId, &str) -> Option<String>) -> Work {
    let c: &HostChange = launch.change;
    let place = match (c.folder(), c.restore()) {
        (Folder::Keep, _) => Place::Stay,
        (Folder::Remove, _) => Place::Away,
        (Folder::Create, None) => Place::Make,
        (Folder::Create, Some(restore)) => {
            Place::Back(restore.undoes.clone(), restore.step.to_string())
        }
    };
    let mut texts: Vec<String> = Vec::new();
    let mut images = Vec::new();
    for file in c.files() {
        match &file.content {
            Content::Text(text) => texts.push(text.clone()),
            Content::Before { run, step, .. } => images.push((run.clone(), step.to_string())),
            Content::Package { .. } | Content::None => {}
        }
    }
    let after = match launch.crontab {
        CrontabAfter::Keep => None,
        CrontabAfter::None => Some(None),
        CrontabAfter::Text(text) => Some(Some(text.clone())),
        CrontabAfter::Back(_, path) => {
            let mut parts = path.split('/');
            let key = parts.next().zip(parts.next());
            Some(key.and_then(|(run, step)| saved(RunId::new(run).ok()?, step)))
        }
    };
    let before = c.crontab().and_then(|c| c.before);
    Work {
        component: c.component,
        place,
        files: c
            .files()
            .iter()
            .map(|f| (f.path.clone(), f.mode, f.before, f.after))
            .collect(),
        images,
        restart: c.restarts(),
        health: c.ends_healthy(),
        machine_id: c.machine_id.clone(),
        crontab: after.map(|after| (before, after)),
        settle: launch.settle,
        deadline: launch.deadline,
        on_failure: if launch.stop_on_failure {
            OnFailure::Stop
        } else {
            OnFailure::Rollback
        },
        texts,
    }
}

impl Work {
    /// Replaces the files: configuration only, or the rest.
    pub(super) fn replace(&self, part: &mut Part, conf: bool) {
        for (path, mode, _, after) in &self.files {
            let is_conf = path.contains("/conf/") && self.restart;
            if is_conf != conf {
                continue;
            }
            match after {
                Some(digest) => {
                    let file = File {
                        digest: *digest,
                        mode: *mode,
                    };
                    part.files.insert(path.clone(), file);
                }
                None => {
                    part.files.remove(path);
                }
            }
        }
    }
}
