//! What an executor does beside a change of a host, before it and after it.

use tarsops_model::component::Component;
use tarsops_model::desired::Policy;

use super::{Folder, HostChange, Operation, Restore};

impl HostChange {
    /// Seconds for which the component must have been healthy before the change has succeeded.
    #[must_use]
    pub fn settling(&self, policy: &Policy) -> u64 {
        self.settle.unwrap_or(0).max(policy.settle)
    }

    /// Whether labels and group of the node are saved before the change and restored after it: a tarsnode
    /// that starts registers, and the framework forgets them.
    #[must_use]
    pub fn saves_labels(&self) -> bool {
        self.is_agent() && self.restarts() && self.ends_healthy()
    }

    /// Whether tarsnode generates the configuration of the server again before the host's script restarts
    /// it, from what templates and rows say now.
    #[must_use]
    pub fn regenerates_configuration(&self) -> bool {
        !self.is_agent()
            && self.restarts()
            && (self.ends_healthy() && self.ran || !self.rows().is_empty())
            && self.is_scripted()
    }

    /// Whether it undoes the installation of a server: AdminRegistry stops the server, and rows that the
    /// run wrote are deleted last.
    #[must_use]
    pub fn undoes_installation(&self) -> bool {
        self.folder() == Folder::Remove && self.undoes().is_some() && !self.is_agent()
    }

    /// Whether it removes a server with its host. AdminRegistry stops the server; a later step deletes its
    /// rows.
    #[must_use]
    pub fn removes_with_host(&self) -> bool {
        self.folder() == Folder::Remove
            && self.undoes().is_none()
            && self.component != Component::Tarsregistry
            && !self.is_agent()
    }

    /// Whether a registry is removed. Its rows are deleted in the same step.
    #[must_use]
    pub fn removes_registry(&self) -> bool {
        self.folder() == Folder::Remove && self.component == Component::Tarsregistry
    }

    /// The restore that moves the folder of a removed server back, a registry included; its rows are
    /// restored with it.
    #[must_use]
    pub fn returned_server(&self) -> Option<&Restore> {
        let restore = self.restore()?;
        (restore.folder == Folder::Create && !self.is_agent()).then_some(restore)
    }

    /// Whether a failed attempt is left as it is by the host's script: a restored program that does not start
    /// is not rolled back, as what it replaced has failed.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        self.undoes().is_some() && self.component.is_basic() && self.folder() == Folder::Keep
    }

    /// Whether the executor undoes it if it fails, as no script on the host does.
    #[must_use]
    pub fn is_undone_by_executor(&self) -> bool {
        match &self.operation {
            Operation::Publish(_) => true,
            Operation::Restart(restart) => restart.undoes.is_none(),
            _ => false,
        }
    }
}
