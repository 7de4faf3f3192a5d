//! The whole program against a framework in containers, on real engines of test hosts, with a real
//! database.
//!
//! Needs root, `docker.io`, `iptables` and a MariaDB (see `tarsops_testkit::require_engine`). Making a
//! world is what takes the time, so few tests share one.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod story;
mod upgrade;
mod world;
