//! One change of one component on one host: all of it, or none of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{AbsPath, Endpoint, NodeName, RunId, StepName, UserName};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use super::rows::{RowEdit, Via};
use crate::crontab::CrontabEdit;
use crate::places;

/// One change of one component on one host: all of it, or none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostChange {
    /// The component that changes.
    pub component: Component,
    /// The node of the host, which is also the `--nodeid` of its tarsnode.
    pub node: NodeName,
    /// The change in a few words, for audit lines.
    pub summary: String,
    /// What is done.
    pub operation: Operation,
    /// The framework's folder.
    pub tars_path: AbsPath,
    /// The user that the component runs as afterwards.
    pub run_user: UserName,
    /// The user that it ran as when the change was planned, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_as: Option<UserName>,
    /// The address that it listens on.
    pub ip: IpAddr,
    /// The port that it listens on, before and afterwards.
    pub port: Port,
    /// Whether a process of it ran when the change was planned.
    pub ran: bool,
    /// The machine that the change was planned for.
    pub machine_id: String,
    /// Seconds for which the component must have been healthy, where that is longer than the policy
    /// says: as long as registries take to see that its servants are back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<u64>,
}

/// The port of a component that is asked whether it is healthy; none where none is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Before the change.
    pub before: Option<u16>,
    /// After the change.
    pub after: Option<u16>,
}

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

/// tarsnode comes to a host.
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

/// The files of a server come to a host.
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

/// Where a file's new content comes from.
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
    /// Where the new content comes from.
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

impl HostChange {
    /// What it changes.
    #[must_use]
    pub fn resource(&self) -> ResourceId {
        match self.component {
            Component::Tarsnode => ResourceId::Agent(self.node.clone()),
            other => ResourceId::Server(other, self.node.clone()),
        }
    }

    /// Whether it changes tarsnode rather than a server.
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.component == Component::Tarsnode
    }

    /// What becomes of the component's folder as a whole.
    #[must_use]
    pub fn folder(&self) -> Folder {
        match &self.operation {
            Operation::Install(_) | Operation::Place(_) => Folder::Create,
            Operation::Publish(publish) if publish.first => Folder::Create,
            Operation::Remove(_) => Folder::Remove,
            Operation::Restore(restore) => restore.folder,
            Operation::Modify(_)
            | Operation::Watch(_)
            | Operation::Publish(_)
            | Operation::Restart(_)
            | Operation::RemoveRest(_) => Folder::Keep,
        }
    }

    /// What becomes of the component's process. A removal stops it with the folder.
    #[must_use]
    pub fn process(&self) -> Process {
        match &self.operation {
            Operation::Install(_) | Operation::Publish(_) | Operation::Restart(_) => {
                Process::Restart
            }
            Operation::Modify(modify) if modify.restart => Process::Restart,
            // A tarsnode is looked after whatever changes of it.
            Operation::Modify(_) if self.is_agent() => Process::Check,
            Operation::RemoveRest(rest) if rest.stop => Process::Stop,
            Operation::Restore(restore) => restore.process,
            Operation::Modify(_)
            | Operation::Place(_)
            | Operation::Watch(_)
            | Operation::Remove(_)
            | Operation::RemoveRest(_) => Process::Leave,
        }
    }

    /// Whether the process is stopped or started, but for a removal.
    #[must_use]
    pub fn restarts(&self) -> bool {
        matches!(self.process(), Process::Restart | Process::Stop)
    }

    /// Whether the change has succeeded only once the process is healthy.
    #[must_use]
    pub fn ends_healthy(&self) -> bool {
        matches!(self.process(), Process::Restart | Process::Check)
    }

    /// Whether no process of the component answers at some moment of the change, or ever after.
    #[must_use]
    pub fn interrupts(&self) -> bool {
        self.restarts() || self.folder() == Folder::Remove
    }

    /// Single files in the order in which they are replaced; the binary is last.
    #[must_use]
    pub fn files(&self) -> &[FileChange] {
        match &self.operation {
            Operation::Install(install) => &install.files,
            Operation::Place(place) => &place.files,
            Operation::Modify(modify) => &modify.files,
            Operation::Publish(publish) => std::slice::from_ref(&publish.program),
            Operation::Restore(restore) => &restore.files,
            Operation::Watch(_)
            | Operation::Restart(_)
            | Operation::Remove(_)
            | Operation::RemoveRest(_) => &[],
        }
    }

    /// As [`Self::files`], to be changed.
    pub fn files_mut(&mut self) -> &mut [FileChange] {
        match &mut self.operation {
            Operation::Install(install) => &mut install.files,
            Operation::Place(place) => &mut place.files,
            Operation::Modify(modify) => &mut modify.files,
            Operation::Publish(publish) => std::slice::from_mut(&mut publish.program),
            Operation::Restore(restore) => &mut restore.files,
            Operation::Watch(_)
            | Operation::Restart(_)
            | Operation::Remove(_)
            | Operation::RemoveRest(_) => &mut [],
        }
    }

    /// The change of a crontab; none where no crontab is written.
    #[must_use]
    pub fn crontab(&self) -> Option<&CrontabChange> {
        match &self.operation {
            Operation::Install(install) => install.crontab.as_ref(),
            Operation::Modify(modify) => modify.crontab.as_ref(),
            Operation::Watch(crontab) => Some(crontab),
            Operation::Remove(remove) => remove.crontab.as_ref(),
            Operation::RemoveRest(rest) => rest.crontab.as_ref(),
            Operation::Restore(restore) => restore.crontab.as_ref(),
            Operation::Place(_) | Operation::Publish(_) | Operation::Restart(_) => None,
        }
    }

    /// As [`Self::crontab`], to be changed.
    pub fn crontab_mut(&mut self) -> Option<&mut CrontabChange> {
        match &mut self.operation {
            Operation::Install(install) => install.crontab.as_mut(),
            Operation::Modify(modify) => modify.crontab.as_mut(),
            Operation::Watch(crontab) => Some(crontab),
            Operation::Remove(remove) => remove.crontab.as_mut(),
            Operation::RemoveRest(rest) => rest.crontab.as_mut(),
            Operation::Restore(restore) => restore.crontab.as_mut(),
            Operation::Place(_) | Operation::Publish(_) | Operation::Restart(_) => None,
        }
    }

    /// The user whose crontab is written. A change to another run user wrote the crontab of the new
    /// one, and that is the one that is restored.
    #[must_use]
    pub fn crontab_user(&self) -> &UserName {
        match (&self.operation, &self.ran_as) {
            (Operation::Restore(_), Some(user)) => user,
            _ => &self.run_user,
        }
    }

    /// The rows of the server that change with it, or are restored with it.
    #[must_use]
    pub fn rows(&self) -> &[RowEdit] {
        match &self.operation {
            Operation::Publish(publish) => &publish.rows,
            Operation::Restart(restart) => &restart.rows,
            Operation::Restore(restore) => &restore.rows,
            Operation::Install(_)
            | Operation::Place(_)
            | Operation::Modify(_)
            | Operation::Watch(_)
            | Operation::Remove(_)
            | Operation::RemoveRest(_) => &[],
        }
    }

    /// Who owns the component's folder afterwards.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match &self.operation {
            Operation::Install(install) => install.owner,
            Operation::Place(place) => place.owner,
            Operation::Modify(modify) => modify.owner,
            _ => Owner::Unchanged,
        }
    }

    /// What the node's row needs again once the node has registered.
    #[must_use]
    pub fn labels(&self) -> Option<&NodeLabels> {
        match &self.operation {
            Operation::Install(install) => install.labels.as_ref(),
            Operation::Modify(modify) => modify.labels.as_ref(),
            _ => None,
        }
    }

    /// Whether servers that the tarsnode runs are stopped with it.
    #[must_use]
    pub const fn stops_servers(&self) -> bool {
        match &self.operation {
            Operation::Remove(remove) => remove.stop_servers,
            Operation::RemoveRest(rest) => rest.stop_servers,
            _ => false,
        }
    }

    /// The run that it undoes; none where it brings the host to the spec.
    #[must_use]
    pub fn undoes(&self) -> Option<&RunId> {
        match &self.operation {
            Operation::Restore(restore) => Some(&restore.undoes),
            Operation::Restart(restart) => restart.undoes.as_ref(),
            _ => None,
        }
    }

    /// The restore that it is, if it is one.
    #[must_use]
    pub fn restore(&self) -> Option<&Restore> {
        match &self.operation {
            Operation::Restore(restore) => Some(restore),
            _ => None,
        }
    }

    /// Which package the server's row names, before and afterwards; none where that is not known, or
    /// follows by itself.
    #[must_use]
    pub fn patch_version(&self) -> Option<&Renamed> {
        match &self.operation {
            Operation::Publish(publish) => publish.patch_version.as_ref(),
            Operation::Restore(restore) => restore.patch_version.as_ref(),
            _ => None,
        }
    }

    /// The publication that it is, if it is one.
    #[must_use]
    pub const fn publish(&self) -> Option<&Publish> {
        match &self.operation {
            Operation::Publish(publish) => Some(publish),
            _ => None,
        }
    }

    /// Whether AdminRegistry restarts the server, so that its node reads its rows again.
    #[must_use]
    pub const fn rereads(&self) -> bool {
        matches!(self.operation, Operation::Restart(_))
    }

    /// Whether a script of tarsops on the host does it, rather than the framework.
    #[must_use]
    pub const fn is_scripted(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Publish(_) | Operation::Restart(_)
        )
    }

    /// The registry that changes with the component; none for any other component.
    #[must_use]
    pub fn registry(&self) -> Option<Endpoint> {
        (self.component == Component::Tarsregistry).then(|| places::endpoint_at(self.ip))
    }
}
