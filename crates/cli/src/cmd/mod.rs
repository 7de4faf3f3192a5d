//! One file for each command.

pub mod adopt;
pub mod apply;
pub mod check;
pub mod completions;
pub mod consent;
#[cfg(feature = "demo")]
pub mod demo;
pub mod drift;
pub mod execution;
pub mod history;
pub mod init;
pub mod package;
pub mod plan;
pub mod recover;
pub mod rollback;
pub mod schema;
pub mod status;
pub mod summary;
pub mod validate;
