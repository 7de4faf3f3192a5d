//! One change of one component on one host: all of it, or none of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{AbsPath, Endpoint, NodeName, RunId, UserName};
use tarsops_model::resource::ResourceId;

use super::operation::{
    CrontabChange, FileChange, Folder, Operation, Owner, Process, Publish, Renamed, Restore,
};
use crate::actions::rows::RowEdit;
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
