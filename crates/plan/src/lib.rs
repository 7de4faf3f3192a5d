//! Drift and plans, as pure functions over values.
//!
//! This is the only place where choices are made. It reads no clock, file, environment or socket:
//! everything that counts comes in through [`PlanInput`], and the same input gives the same bytes.
//!
//! | module | holds |
//! |---|---|
//! | [`input`] | all that the planner may know |
//! | [`drift`] | what differs, resource by resource |
//! | [`adopt`] | a spec for a cluster that exists |
//! | [`assess`] | compares tarsnode on one node with the spec |
//! | [`gates`] | steps that would make versions meet that cannot work together |
//! | [`crontab`] | the monitor's line among other people's lines |
//! | [`database`] | the columns and templates of a release, and the backup before |
//! | [`actions`] | what can be done, every detail filled in: one file for each |
//! | [`expansion`] | components that come to a framework host |
//! | `identity` | whether a host is the node that the spec means |
//! | `inventory_edit` | ways into an inventory that an action changes |
//! | `leaving` | components of a framework host that leaves |
//! | `containers` | the framework's container on a node, compared with the spec |
//! | [`condition`] | predicates as data over observed facts |
//! | [`planner`] | the stages, top to bottom: the policy |
//! | [`plan`] | the plan as a document |
//! | [`saved`] | a plan from a file, which narrows the one that is made now |
//! | [`report`] | typed reasons for what the plan does not do |
//! | [`checker`], [`checked`] | an independent look at a whole plan, and a plan that has passed it |
//! | [`claims`] | whether what a host remembers of a run fits that host |
//! | [`restore`] | how one earlier change is undone |
//! | [`restored`] | what the framework must report of what was restored |
//! | [`record`] | what a host remembers of one step |
//! | [`rollback`] | the plan that rolls a run back |
//! | [`batch`] | which steps are done at the same time |
//! | [`database_record`] | the same for the database |
//! | [`container_record`] | the same for the framework's container |
//! | [`effect`] | what an action does to an inventory |
//! | [`rules`] | what must not be: one file for each finding, one registration |
//! | [`finding`] | one contradiction, as data |
//! | [`sources`] | what each source says of each resource |
//! | [`render`] | the plan as text |
//! | [`names`] | many node names as few ranges |

/// The worlds of `tests/support` call this crate by its name.
#[cfg(test)]
extern crate self as tarsops_plan;

pub mod actions;
pub mod adopt;
pub mod assess;
mod basic;
pub mod batch;
pub mod checked;
pub mod checker;
pub mod claims;
pub mod components;
pub mod condition;
mod console;
pub mod console_obstacle;
pub mod container_record;
mod containers;
pub mod crontab;
pub mod database;
pub mod database_record;
pub mod document;
pub mod drift;
pub mod effect;
pub mod endpoints;
pub mod expansion;
pub mod finding;
pub mod gates;
mod identity;
pub mod input;
pub mod intent;
mod inventory_edit;
mod leaving;
pub mod names;
pub mod places;
pub mod plan;
pub mod planner;
mod preconditions;
mod prerequisites;
pub mod record;
mod registries;
mod registry_rows;
pub mod render;
pub mod report;
pub mod reset_rows;
pub mod restore;
pub mod restored;
pub mod rollback;
pub mod rows;
pub mod rules;
pub mod saved;
pub mod servers;
pub mod sources;
mod stage;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
mod tables;
mod templates;
mod violation;

/// The name of [`actions`] for callers outside.
pub use actions as action;
pub use checked::Checked;
pub use input::{PlanInput, Scope};
pub use plan::Plan;
pub use planner::plan as make_plan;
