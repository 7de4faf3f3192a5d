//! Steps on the database as such: its backup, columns, templates.
//!
//! What a step does is recorded on the master before the first act, and the row as it was beside it, for
//! its owner only; so `history` and `rollback` know of it on any machine. A step that provably changed
//! nothing removes its record again.

mod backup;
mod column;
pub(crate) mod facts;
mod record;
mod saved;
mod template;

pub(crate) use backup::Backup;
pub(crate) use column::AddColumn;
pub(crate) use template::{Restored, Template};
