//! Carrying out a plan: the lease, the journal, the steps, and the rollback.
//!
//! The applier decides nothing: what is done to which host in which order is in the plan. Before each
//! step it looks again; a step that is done already is skipped, one whose facts have changed is refused. A
//! change of a host is one script that runs there on its own (`host/change.sh`): this side only starts it
//! and reads its verdict, after a reconnect if need be.
//!
//! Modules import only modules above them in this table.
//!
//! | module | holds |
//! |---|---|
//! | [`place`], `words`, `record_limits`, [`scripts`](send_binary), `records` | the scripts for hosts, and their answers |
//! | [`console`] | the replacement of the management console on its host |
//! | [`port`] | how hosts and the database are reached |
//! | [`lease`] | the exclusive right to change the cluster |
//! | [`journal`] | what this machine remembers of a run; a cache |
//! | [`history`] | what the hosts remember of runs |
//! | [`verdict`], [`outcome`] | how a step ended, and how a run did |
//! | [`progress`], `waiting` | what an observer learns |
//! | [`run`] | all that carrying out a plan needs |
//! | `intent`, `answer`, `look`, `gate`, `host_session`, `labels`, `locators` | looks, waits and conversations that several actions share |
//! | [`containers`] | the replacement of a framework container on its host |
//! | `job` | what the executor asks of an action |
//! | `actions` | one home for each kind of action, and the dispatch |
//! | `gates` | what must hold between two batches |
//! | `undo` | the steps that roll back what a run has done |
//! | [`step`] | one step from its beginning to its end |
//! | [`execute`] | the executor |
//! | `sim` | a world in memory, for tests (feature `sim`) |

mod actions;
mod answer;
mod backoff;
pub mod console;
pub mod containers;
pub mod execute;
mod gate;
mod gates;
pub mod history;
mod host_session;
mod intent;
mod job;
pub mod journal;
mod labels;
pub mod lease;
mod locators;
mod look;
pub mod outcome;
pub mod place;
pub mod port;
pub mod progress;
mod record_limits;
mod records;
mod reset_rows;
pub mod run;
mod scripts;
mod sight;
#[cfg(feature = "sim")]
pub mod sim;
pub mod step;
mod undo;
pub mod verdict;
mod waiting;
mod words;

pub use actions::host::cause;
pub use execute::execute;
pub use outcome::Outcome;
pub use port::Payloads;
pub use run::Run;
pub use scripts::send_binary;
pub use verdict::{StepEnd, Verdict};

/// What tests of replacements share.
#[cfg(test)]
#[path = "../tests/replaced/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod replaced;
