//! What can be done to a cluster. The enum is closed and every detail is filled in by the planner;
//! there is no action that drops, rebuilds or resets a database.
//!
//! Each action has a file with its data and everything about it that is pure ([`ActionKind`]). Nobody
//! else asks which action it is: they ask the action.

mod add_column;
mod add_server_rows;
mod add_template;
mod backup;
mod change_host;
mod delete_node_rows;
mod delete_registry_rows;
mod delete_server_rows;
mod edit;
mod images;
mod kind;
mod merge_template;
mod recover;
mod remove_server_rows;
mod replace_container;
mod restore_labels;
mod restore_template;
mod rows;
mod start_server;
mod stop_server;
mod template;
#[cfg(test)]
mod test_only;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use tarsops_model::desired::Policy;

pub use add_column::AddColumn;
pub use add_server_rows::AddServerRows;
pub use add_template::AddTemplate;
pub use backup::Backup;
pub(crate) use change_host::FlatChange;
pub use change_host::{
    Content, CrontabBefore, CrontabChange, FileChange, Folder, HostChange, Install, Modify,
    Operation, Owner, Place, Port, Process, Publish, Remove, RemoveRest, Renamed, Restart, Restore,
};
pub use delete_node_rows::DeleteNodeRows;
pub use delete_registry_rows::DeleteRegistryRows;
pub use delete_server_rows::DeleteServerRows;
pub use edit::are_made;
pub use images::Images;
pub use kind::{
    ActionKind, Changes, Interruption, OnHost, Order, Settle, StepView, Target, UndoBy, Writes,
};
pub use merge_template::MergeTemplate;
pub use recover::Recover;
pub use remove_server_rows::RemoveServerRows;
pub use replace_container::{ContainerCreation, NewContainer, ReplaceContainer, ReplacedContainer};
pub use restore_labels::RestoreLabels;
pub use restore_template::RestoreTemplate;
pub use rows::{Cell, DeletedRows, NewRow, NewServers, RowEdit, Table, Via};
pub use start_server::StartServer;
pub use stop_server::StopServer;
#[cfg(test)]
pub use test_only::TestOnly;

use crate::stage::ChangeKind;

/// How a step is rolled back.
pub type Undo = UndoBy<Action>;

/// The enum of all actions: a variant, how it is stored, and the type of its data.
macro_rules! actions {
    ($($(#[doc = $doc:literal])* $(#[cfg($cfg:meta)])? $variant:ident($stored:ty): $data:ty,)*) => {
        /// One thing to do.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "do", rename_all = "kebab-case")]
        pub enum Action {
            $($(#[doc = $doc])* $(#[cfg($cfg)])? $variant($stored),)*
        }

        impl Action {
            /// What there is to ask of it.
            #[must_use]
            pub fn kind(&self) -> &dyn ActionKind {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant(action) => { let action: &$data = action; action })*
                }
            }

            fn kind_mut(&mut self) -> &mut dyn ActionKind {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant(action) => { let action: &mut $data = action; action })*
                }
            }

            /// How a step that makes `sign` of its resource by this is undone.
            #[must_use]
            pub fn undo(&self, sign: ChangeKind) -> Undo {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant(action) => {
                        let action: &$data = action;
                        action.undo(sign).map(Into::into)
                    })*
                }
            }
        }

        /// The names of all variants.
        #[cfg(test)]
        const VARIANTS: &[&str] = &[$(stringify!($variant)),*];

        $($(#[cfg($cfg)])? impl From<$data> for Action {
            fn from(action: $data) -> Self {
                Self::$variant(action.into())
            }
        })*
    };
}

actions! {
    /// Ends a change that a dead run left on a host.
    Recover(Recover): Recover,
    /// Changes a component on a host.
    ChangeHost(Box<HostChange>): HostChange,
    /// Deletes the framework's rows of a node whose machine is gone.
    DeleteNodeRows(DeleteNodeRows): DeleteNodeRows,
    /// Deletes the framework's rows of a registry that is gone.
    DeleteRegistryRows(DeleteRegistryRows): DeleteRegistryRows,
    /// Deletes the framework's rows of its own servers that were removed from a node.
    DeleteServerRows(DeleteServerRows): DeleteServerRows,
    /// Dumps databases.
    Backup(Backup): Backup,
    /// Replaces the framework's container on a host.
    ReplaceContainer(Box<ReplaceContainer>): ReplaceContainer,
    /// Adds a column to a table.
    AddColumn(AddColumn): AddColumn,
    /// Changes keys of a template.
    MergeTemplate(Box<MergeTemplate>): MergeTemplate,
    /// Adds a template.
    AddTemplate(Box<AddTemplate>): AddTemplate,
    /// Restores a template as a run found it.
    RestoreTemplate(RestoreTemplate): RestoreTemplate,
    /// Restores the label and the group of a node's row.
    RestoreLabels(RestoreLabels): RestoreLabels,
    /// Writes rows of new servers.
    AddServerRows(AddServerRows): AddServerRows,
    /// Deletes rows of servers that were never started.
    RemoveServerRows(RemoveServerRows): RemoveServerRows,
    /// Has AdminRegistry start a server.
    StartServer(StartServer): StartServer,
    /// Has AdminRegistry stop a server.
    StopServer(StopServer): StopServer,
    /// Proves the recipe of the developer's guide.
    #[cfg(test)]
    TestOnly(TestOnly): TestOnly,
}

impl From<Infallible> for Action {
    fn from(none: Infallible) -> Self {
        match none {}
    }
}

impl Action {
    /// The data of one kind of action; none where it is of another one.
    #[must_use]
    pub fn get<K: ActionKind>(&self) -> Option<&K> {
        (self.kind() as &dyn Any).downcast_ref()
    }

    /// As [`Self::get`], to be changed.
    pub fn get_mut<K: ActionKind>(&mut self) -> Option<&mut K> {
        (self.kind_mut() as &mut dyn Any).downcast_mut()
    }

    /// What is done on a host; none for an action on the database.
    #[must_use]
    pub fn on_host(&self) -> Option<OnHost<'_>> {
        match self.kind().target() {
            Target::Host(host) => Some(host),
            Target::Rows | Target::Tables => None,
        }
    }

    /// Seconds for which what it changes must have been healthy before it has succeeded; 0 where
    /// nothing is watched afterwards.
    #[must_use]
    pub fn settle(&self, policy: &Policy) -> u64 {
        self.on_host().map_or(0, |host| host.settle.seconds(policy))
    }

    /// Whether what comes after it waits until the other registries have read its row.
    #[must_use]
    pub fn waits_for_registries(&self) -> bool {
        let settle = self.on_host().map(|host| host.settle);
        settle == Some(Settle::Registry)
    }

    /// Whether it makes a container, whose installation logs in as the account that the spec names for it.
    #[must_use]
    pub fn installs(&self) -> bool {
        self.kind().installs()
    }

    /// Whether it is about the database as such: its backup, its tables, its templates.
    #[must_use]
    pub fn is_of_tables(&self) -> bool {
        self.kind().target() == Target::Tables
    }

    /// Whether it works on rows about nodes, registries and servers rather than on a host.
    #[must_use]
    pub fn is_of_rows(&self) -> bool {
        self.kind().target() == Target::Rows
    }
}
