//! What a proposal is made of beside an inventory, and what it says of binaries.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, ClusterName, HostAddress, NodeName, UserName};
use tarsops_model::version::Version;

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
