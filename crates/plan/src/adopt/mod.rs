//! A spec for a cluster that exists: from what was seen of it to the text of a spec with comments, and to
//! what a lock file should say of the binaries that run.
//!
//! It is called again after each look, with more that was seen: the first spec has one node, and the
//! next one those that the framework knows. What must stay true: a value in the text was seen or given,
//! and its comment says where; what nobody saw is said and never guessed; no secret is in it, only where
//! one comes from.

mod builds;
mod cluster;
mod given;
mod text;
mod values;

use tarsops_model::inventory::Inventory;
use tarsops_model::package::Catalog;

use self::builds::Builds;
use self::cluster::Cluster;

pub use self::given::{Entry, Given, KnownBuild, Start, UnknownBuild};
pub use self::text::quoted;

/// The proposal for a spec and its lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The text of the spec.
    pub text: String,
    /// What it could not express, and what the sources disagree about; one sentence each.
    pub notes: Vec<String>,
    /// Binaries whose version was named.
    pub known: Vec<KnownBuild>,
    /// Binaries whose version nobody names.
    pub unknown: Vec<UnknownBuild>,
}

/// Proposes a spec for what was seen. `catalog` knows the binaries of packages that are at hand.
#[must_use]
pub fn propose(given: &Given, inventory: &Inventory, catalog: &Catalog) -> Proposal {
    let mut notes = Vec::new();
    let cluster = Cluster::read(given, inventory, &mut notes);
    let builds = Builds::read(given, inventory, catalog, &cluster, &mut notes);
    let values = values::read(given, inventory, &mut notes);
    let text = text::write(given, inventory, &cluster, &builds, &values, &notes);
    Proposal {
        text,
        notes,
        known: builds.known,
        unknown: builds.unknown,
    }
}
