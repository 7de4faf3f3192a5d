//! The Tars framework as tarsops reads and changes it: its servants, its database and its management
//! platform.
//!
//! | module | holds |
//! |---|---|
//! | [`Read`], [`Write`] | what an apply reads and changes, as narrow traits |
//! | [`Publish`] | what an apply asks of those who publish programs |
//! | [`Client`], [`Publisher`] | the real ones |
//! | [`ask()`], [`Questions`] | one pass over everything that answers |
//! | [`NodeWatch`] | one node, for health gates |
//! | [`calls`] | typed calls of the framework's servants |
//!
//! It decides nothing: what could not be read is
//! [`Observed::Unknown`](tarsops_model::observed::Observed) with the reason.

mod answers;
mod ask;
pub mod calls;
mod client;
mod common;
mod deploy;
mod node;
mod publish;
mod publisher;
mod questions;
mod read;
mod statements;
mod ways;
mod write;

pub use ask::{DATABASE, ask};
pub use client::Client;
pub use common::CALL;
pub use node::NodeWatch;
pub use publish::{Fault, Package, Publish, Standing};
pub use publisher::Publisher;
pub use questions::Questions;
pub use read::Read;
pub use ways::Ways;
pub use write::{Order, Unedited, Write};
