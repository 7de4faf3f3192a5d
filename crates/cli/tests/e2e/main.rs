//! The whole program against real hosts: OpenSSH, cron, sudo, files and processes in namespaces.
//!
//! One binary, one module for each topic. Needs root (see `tarsops_testkit::require`).
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod core;
mod counts;
mod disks;
mod kill;
mod late;
mod lease;
mod outside;
mod records;
mod refuse;
mod removal;
mod run_user;
mod ssh_edges;
mod states;
mod story;
mod untidy;
mod ways;
