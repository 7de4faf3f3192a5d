//! Carrying out a plan: the lease, the journal, the walk over the steps, and the rollback.
//!
//! The applier takes no decisions: what is done to which host in which order stands in the plan.
//! Before each step it looks again; a step that is done already is skipped, one whose facts have
//! moved is refused. A change of a host is one script that runs there on its own
//! (`host/change.sh`): this side only starts it and reads its verdict, after a reconnect if need be.
//!
//! | module | holds |
//! |---|---|
//! | [`lease`] | the exclusive right to change the cluster |
//! | [`journal`] | what this machine remembers of a run; a cache |
//! | [`execute`] | the walk over a plan |
//! | [`step`] | one step on one host |
//! | [`port`] | how hosts are reached |
//! | `sim` | a world in memory, for tests (feature `sim`) |
//! | [`verdict`] | how a step ended |
//! | [`history`] | what the hosts remember of runs |

mod backoff;
mod database;
pub mod execute;
mod gate;
pub mod history;
mod host_session;
pub mod journal;
mod labels;
pub mod lease;
mod locators;
pub mod port;
pub mod publish;
mod record_limits;
mod records;
mod row_edits;
mod rows;
mod scripts;
mod servers;
#[cfg(feature = "sim")]
pub mod sim;
pub mod step;
pub mod verdict;
mod waiting;
mod words;

pub use execute::{Outcome, Run, execute};
pub use scripts::send_binary;
pub use step::{Payloads, StepEnd, Verdict};
