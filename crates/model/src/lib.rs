//! The shared vocabulary: names, resources, the desired and the observed state of a Tars cluster.
//!
//! This crate knows no YAML, no network, no clock and no file. Everything in it is a value; every
//! map is ordered, so that the same input always gives the same bytes.
//!
//! | module | holds |
//! |---|---|
//! | [`names`] | newtypes for what is written in specs and on hosts |
//! | [`container`] | the framework as a container |
//! | [`component`] | the eleven framework components and where they are placed |
//! | [`coupling`] | which versions of which components work together, and why |
//! | [`digest`] | sha256 digests, by which versions are known |
//! | [`display`] | text from outside, made harmless for those who read it |
//! | [`version`] | framework versions |
//! | [`resource`] | [`ResourceId`](resource::ResourceId) |
//! | [`observed`] | present, proven absent, or unknown |
//! | [`agent`] | the resource `tarsnode` on one node |
//! | [`host`] | the machine under a node |
//! | [`desired`] | the validated spec |
//! | [`framework`] | what the framework itself says: servants, AdminRegistry, database |
//! | [`tables`] | rows of the framework's database, and the columns that they are read from |
//! | [`inventory`] | what a probe saw |
//! | [`package`] | pinned release packages and what they hold |

pub mod agent;
pub mod component;
pub mod console;
pub mod console_gates;
pub mod container;
pub mod coupling;
pub mod desired;
pub mod digest;
pub mod display;
pub mod framework;
pub mod host;
mod invalid;
pub mod inventory;
pub mod names;
pub mod observed;
pub mod package;
pub mod resource;
pub mod server;
pub mod tables;
pub mod version;
