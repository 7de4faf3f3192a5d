//! One file for each command.

pub mod apply;
pub mod check;
pub mod completions;
#[cfg(feature = "demo")]
pub mod demo;
pub mod drift;
pub mod history;
pub mod init;
pub mod package;
pub mod plan;
pub mod recover;
pub mod rollback;
pub mod schema;
pub mod status;
pub mod validate;
