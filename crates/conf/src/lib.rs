//! Lossless reader and editor of Tars configuration files and of the agent's start script.
//!
//! What is read here was written by packagers, operators and by Tars itself, so every byte that an
//! edit does not mean to change stays as it is. This crate knows no file, no host and no desired
//! state: text goes in, values or text come out.
//!
//! | module | for |
//! |---|---|
//! | [`console`] | the console's configuration files: three texts merged into one |
//! | [`document`] | `<tars>` configuration: parse, get, set, remove |
//! | [`merge`] | three texts of one template: what an upgrade changes, and what it must not |
//! | [`endpoint`] | endpoints (`tcp -h H -p P`) and locators (`object@endpoint:endpoint`) |
//! | [`placeholder`] | the names in packaged files that stand for a host's own values |
//! | [`tarsnode`] | the fields of the agent's configuration that are managed |
//! | [`util_script`] | `--nodeid` in the agent's `util/execute.sh` |

pub mod console;
pub mod document;
pub mod endpoint;
pub mod merge;
pub mod placeholder;
pub mod tarsnode;
pub mod util_script;

pub use document::{ConfError, Document};
