//! Steps that work on rows of the framework's database rather than on a host.
//!
//! Everything is asked again before anything is deleted, by every source that knows. What is deleted is
//! first saved, whole, on the master (mode 0600: it may hold credentials).

pub(crate) mod add;
pub(crate) mod delete;
mod labels;
pub(crate) mod saved;
pub(crate) mod sources;

pub(crate) use add::{AddRows, RemoveRows};
pub(crate) use delete::{DeleteRows, DeleteServerRows};
pub(crate) use labels::RestoreLabels;
