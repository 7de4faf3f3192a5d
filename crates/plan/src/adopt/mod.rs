//! A spec for a cluster that exists: from what was seen of it to the text of a spec with comments, and to
//! what a lock file should say of the binaries that run.
//!
//! It is called again after each look, with more that was seen: the first spec has one node, and the
//! next one those that the framework knows. What must stay true: a value in the text was seen or given,
//! and its comment says where; what nobody saw is said and never guessed; no secret is in it, only where
//! one comes from.

mod builds;
mod cluster;
mod text;
mod values;

use std::collections::BTreeMap;
use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{AbsPath, ClusterName, HostAddress, NodeName, UserName};
use tarsops_model::package::Catalog;
use tarsops_model::version::Version;

use self::builds::Builds;
use self::cluster::Cluster;

pub use self::text::quoted;

/// The framework host at which an adoption begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its node.
    pub node: NodeName,
    /// The address that its node binds.
    pub ip: IpAddr,
    /// Where SSH connects, if that is not the ip.
    pub address: Option<HostAddress>,
}

/// A value for one line of the text, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key in its section.
    pub key: &'static str,
    /// The value as YAML.
    pub value: String,
    /// Where it is from, in a few words; may be empty.
    pub source: String,
}

/// What no look shows, and what a person or an earlier step said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// Where the adoption begins.
    pub start: Start,
    /// The framework's version, used where AdminRegistry and the rows name none.
    pub version: Option<Version>,
    /// `framework.packages`, if a folder was named.
    pub packages: Option<String>,
    /// Folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The same on nodes where it is another one.
    pub install_paths: BTreeMap<NodeName, AbsPath>,
    /// User that the framework runs as.
    pub run_user: UserName,
    /// The section `ssh`.
    pub ssh: Vec<Entry>,
    /// The section `database`; empty where no account was named.
    pub database: Vec<Entry>,
    /// The section `web`; empty where no ticket was named.
    pub web: Vec<Entry>,
    /// `rpc`, where it is not the default.
    pub rpc: Option<&'static str>,
}

/// A binary whose version a source names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownBuild {
    /// The component.
    pub component: Component,
    /// The version.
    pub version: Version,
    /// sha256 of the binary.
    pub binary: Digest,
    /// Which source says so.
    pub source: String,
}

/// A binary whose version no source names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownBuild {
    /// The component.
    pub component: Component,
    /// sha256 of the binary.
    pub binary: Digest,
    /// The nodes that have it.
    pub nodes: Vec<NodeName>,
}

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
