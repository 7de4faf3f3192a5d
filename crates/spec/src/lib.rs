//! The YAML document that describes a cluster, its JSON Schema, and its validation.
//!
//! Text goes in, a [`Desired`](tarsops_model::desired::Desired) comes out, or [`Diagnostics`] that
//! point at the line and column of every mistake. This is the only crate that sees YAML. It opens
//! no file and reads no clock, environment or socket: where paths are relative to something, the
//! caller says to what ([`Base`]).
//!
//! What must stay true: the same text gives the same result; a secret that someone wrote into the
//! file is never repeated in a message; and no value of the document asks Tars to rebuild its
//! database.
//!
//! | module | holds |
//! |---|---|
//! | [`document`] | the document as written, and with it the JSON Schema |
//! | [`diag`] | what is wrong, and where |
//! | [`rules`] | the stable names of everything that can be wrong |
//! | [`range`] | `10.0.1.[1-40]` |

pub mod diag;
mod docker;
pub mod document;
mod leaf;
mod lower;
mod members;
mod odd;
mod packages;
pub mod range;
mod render;
pub mod rules;
mod schema;
mod semantics;
mod shape;
mod source;
mod starter;
mod tree;
mod versions;
mod web;

#[cfg(test)]
mod tests;

pub use diag::{Diagnostic, Diagnostics, Label, Severity, Span};
pub use lower::{Base, Parsed, parse};
pub use rules::Rule;
pub use schema::{SCHEMA_ID, json_schema, json_schema_text};
pub use starter::{SCHEMA_FILE, starter};
