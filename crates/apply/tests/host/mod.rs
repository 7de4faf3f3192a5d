//! The scripts that run on hosts, with everything around them failing: killed after any line, any
//! command failing once, a monitor that starts the agent in between, two launches at once.
//!
//! Each test has a folder for a host, with a `crontab` of its own on `PATH`; nobody's real crontab is
//! touched. The agent is a copy of `dash` under the agent's name, so that the scripts find a real
//! process of a real file; it needs no root. What must stay true after every fault: the old state
//! or the new one, whole; the agent runs; nothing of ours is left in the crontab.

mod commands;
pub(crate) mod composed;
mod launching;
mod leases;
mod lines;
mod monitor;
mod needs;
mod tree;
mod world;
