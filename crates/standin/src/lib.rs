//! A thin cluster of stand-in Tars processes on this machine, for the demonstration and for tests.
//!
//! * [`standin`]: components of the framework that behave towards files, ports, signals, flags and
//!   callers as the real ones
//! * [`store`]: the tables behind the stand-ins of tarsregistry and tarsAdminRegistry
//! * [`packages`]: release packages for it, in every layout that exists
//! * [`ssh_server`]: a real SSH server for many hosts in one process
//! * [`cluster`]: hosts with an install path, a crontab and an SSH server each, on loopback addresses
//! * [`console`]: the management platform, over HTTP, on such a database
//! * [`database`]: a real MariaDB with the framework's tables
//! * [`framework`]: components laid out on a path, and the framework's rows about them
//! * [`container`]: what a container of the framework does when it starts
//!
//! Nothing here knows a spec, a plan or the applier, and no code is shared with them: a mistake made
//! there must not be repeated here, or tests would agree with it.

mod clock;
pub mod cluster;
pub mod console;
pub mod container;
pub mod database;
pub mod framework;
pub mod packages;
mod run;
pub mod ssh_server;
pub mod standin;
pub mod store;

pub use run::maybe_run;
