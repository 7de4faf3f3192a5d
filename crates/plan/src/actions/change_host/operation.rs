//! What is done to a component on a host.

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{RunId, StepName};
use tarsops_model::version::Version;

use crate::actions::rows::{RowEdit, Via};
use crate::crontab::CrontabEdit;

/// What is done to a component on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Install tarsnode where it has no folder, and start it.
    Install(Install),
    /// Place the files of a server. AdminRegistry starts it once its rows are there.
    Place(Place),
    /// Change files, owner or crontab of what is installed.
    Modify(Modify),
    /// Have cron watch what is installed, and nothing else.
    Watch(CrontabChange),
    /// Have the framework bring a program and start it, as it does for any service.
    Publish(Publish),
    /// Have AdminRegistry restart a server, so that its node reads its rows again.
    Restart(Restart),
    /// Stop the component, and move its folder to the before-images.
    Remove(Remove),
    /// Remove what is left of a tarsnode whose folder is gone.
    RemoveRest(RemoveRest),
    /// Put back what an earlier change on the same host replaced.
    Restore(Box<Restore>),
}

/// tarsnode is installed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// The files in the order in which they are written; the binary is last.
    pub files: Vec<FileChange>,
    /// Who owns the folder.
    pub owner: Owner,
    /// The change of the run user's crontab.
    pub crontab: Option<CrontabChange>,
    /// What the node's row needs again once the node has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<NodeLabels>,
}

/// The files of a server are placed on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The files in the order in which they are written; the binary is last.
    pub files: Vec<FileChange>,
    /// Who owns the folder.
    pub owner: Owner,
}

/// What is installed changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modify {
    /// The files in the order in which they are replaced; the binary is last.
    pub files: Vec<FileChange>,
    /// Who owns the folder afterwards.
    pub owner: Owner,
    /// Whether the process is restarted, or started if it does not run.
    pub restart: bool,
    /// The change of the run user's crontab.
    pub crontab: Option<CrontabChange>,
    /// What the node's row needs again once the node has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<NodeLabels>,
}

/// A program is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Who publishes it.
    pub via: Via,
    /// The program.
    pub program: FileChange,
    /// Whether nothing of the server is on the host yet.
    pub first: bool,
    /// The server's rows that change before it is started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowEdit>,
    /// Which package the server's row names; known only once the package was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_version: Option<Renamed>,
}

/// A server is restarted by AdminRegistry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The server's rows that change before.
    pub rows: Vec<RowEdit>,
    /// The run whose restart this undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
}

/// A component is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// The change of the run user's crontab.
    pub crontab: Option<CrontabChange>,
    /// Whether the servers that a tarsnode runs are stopped with it.
    pub stop_servers: bool,
}

/// The rest of a tarsnode is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRest {
    /// The change of the run user's crontab.
    pub crontab: Option<CrontabChange>,
    /// Whether a process runs without its folder, and is stopped.
    pub stop: bool,
    /// Whether the servers that it runs are stopped with it.
    pub stop_servers: bool,
}

/// What an earlier change replaced is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// The run that is undone.
    pub undoes: RunId,
    /// The step of that run; its before-images lie under this name.
    pub step: StepName,
    /// What becomes of the folder as a whole.
    pub folder: Folder,
    /// Single files in the order in which they are restored; the binary is last.
    pub files: Vec<FileChange>,
    /// Whether the owners of the folder's files are restored.
    pub owners: bool,
    /// What becomes of the process.
    pub process: Process,
    /// The crontab that is restored.
    pub crontab: Option<CrontabChange>,
    /// The server's rows that are restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowEdit>,
    /// Which package the server's row names: what the host's own script restores was published once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_version: Option<Renamed>,
}

impl Restore {
    /// The run and the step under which the before-images lie.
    #[must_use]
    pub fn saved_under(&self) -> (RunId, StepName) {
        (self.undoes.clone(), self.step.clone())
    }
}

/// What becomes of the component's folder as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folder {
    /// It stays.
    Keep,
    /// It is made, or moved back from the before-images.
    Create,
    /// It is moved away to the before-images.
    Remove,
}

/// Who owns the component's folder afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Nothing changes.
    #[default]
    Unchanged,
    /// The run user.
    RunUser,
    /// The run user, who is created first.
    NewRunUser,
}

/// What becomes of the component's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Process {
    /// It is left alone, whether it runs or not.
    Leave,
    /// It is left alone, and must be healthy.
    Check,
    /// It is started, or stopped and started, and must be healthy afterwards.
    Restart,
    /// It is stopped.
    Stop,
}

/// The source of a file's new content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A file of a pinned package, streamed to the host.
    Package {
        /// The component of the package.
        component: Component,
        /// The version of the package.
        version: Version,
        /// Path within the component's folder.
        path: String,
        /// Size in bytes.
        size: u64,
    },
    /// This text.
    Text(String),
    /// A before-image of an earlier change on the same host.
    Before {
        /// The run that saved it.
        run: RunId,
        /// The step that saved it.
        step: StepName,
        /// Its number there.
        index: usize,
    },
    /// Nothing is written: only the mode changes, or the file is deleted.
    None,
}

/// The replacement of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Path relative to the framework's folder, such as `tarsnode/bin/tarsnode`.
    pub path: String,
    /// Permission bits afterwards.
    pub mode: u32,
    /// What must be there; `None` for nothing.
    pub before: Option<Digest>,
    /// Permission bits of what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_mode: Option<u32>,
    /// What will be there; `None` for nothing.
    pub after: Option<Digest>,
    /// The source of the new content.
    pub content: Content,
}

/// The package that a server's row names (`t_server_conf.patch_version`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// Before.
    pub from: String,
    /// Afterwards.
    pub to: String,
}

impl Renamed {
    /// The other way round.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }
}

/// A change of a crontab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrontabChange {
    /// Digest of the crontab that the edit was made for; `None` if there was none.
    pub before: Option<Digest>,
    /// What changes in it.
    pub edit: CrontabEdit,
    /// In place of an edit: the crontab that an earlier change on the host saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<CrontabBefore>,
}

/// A crontab among the before-images of an earlier change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrontabBefore {
    /// The run that saved it.
    pub run: RunId,
    /// The step that saved it.
    pub step: StepName,
    /// Its digest; `None` if there was no crontab.
    pub digest: Option<Digest>,
}
