//! The whole program against a framework that speaks: registry, AdminRegistry, nodes and the other
//! components as stand-ins on an embedded cluster, and a real MariaDB, all on loopback addresses.
//!
//! No root is needed, but for small disks that are filled (`stops`). Without `mariadbd` the tests fail and say which package has it.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;
mod world;

mod adopt;
mod core;
mod database;
mod expand;
mod faults;
mod gates;
mod healing;
mod killed;
mod leaving;
mod logins;
mod outside;
mod publish;
mod registries;
mod rows;
mod stops;
mod truth;
