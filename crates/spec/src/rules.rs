//! The rules that a spec can break, by stable names.
//!
//! The names appear in messages, in JSON and in documentation, so they are never renamed. Where a
//! rule is checked is no matter of this module.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::diag::Severity;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $severity:ident;)*) => {
        /// A rule, and with it the kind of a diagnostic.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name of the rule.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Whether breaking the rule makes the spec invalid.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

rules! {
    /// The text is no YAML.
    YamlSyntax, "yaml-syntax", Error;
    /// The text holds no document.
    EmptyDocument, "empty-document", Error;
    /// The text holds more than one document.
    SeveralDocuments, "several-documents", Error;
    /// The document is no mapping.
    RootNotMapping, "root-not-mapping", Error;
    /// The text is longer than any spec needs to be.
    TooLarge, "too-large", Error;
    /// The document is nested more deeply than any spec needs to be.
    TooDeep, "too-deep", Error;
    /// An anchor, an alias or a merge key is used.
    Anchors, "anchors", Error;
    /// A YAML tag is used.
    Tags, "tags", Error;
    /// A key is no plain text.
    InvalidKey, "invalid-key", Error;
    /// A key stands twice in one mapping.
    DuplicateKey, "duplicate-key", Error;

    /// A character cannot be seen, or looks like another one.
    OddCharacter, "odd-character", Error;

    /// The file is written for a newer tarsops.
    SchemaNewer, "schema-newer", Error;
    /// The file names a format that tarsops does not know.
    SchemaUnknown, "schema-unknown", Error;
    /// A key does not belong here.
    UnknownKey, "unknown-key", Error;
    /// A component does not exist in the framework.
    UnknownComponent, "unknown-component", Error;
    /// A key is missing.
    MissingKey, "missing-key", Error;
    /// A key has no value.
    MissingValue, "missing-value", Error;
    /// A value has the wrong type.
    WrongType, "wrong-type", Error;
    /// A value is none of those that are possible.
    UnknownValue, "unknown-value", Error;
    /// A number is too small or too large.
    OutOfRange, "out-of-range", Error;
    /// A list is empty.
    EmptyList, "empty-list", Error;
    /// Something would ask for a rebuild of the database.
    RebuildRefused, "rebuild-refused", Error;
    /// A secret stands in the file.
    LiteralSecret, "literal-secret", Error;
    /// A secret does not name exactly one source, or none that could exist.
    SecretForm, "secret-form", Error;

    /// A name is not usable.
    InvalidName, "invalid-name", Error;
    /// A range is not usable.
    InvalidRange, "invalid-range", Error;
    /// An IP address is none.
    InvalidIp, "invalid-ip", Error;
    /// An SSH address is none.
    InvalidAddress, "invalid-address", Error;
    /// An endpoint is none.
    InvalidEndpoint, "invalid-endpoint", Error;
    /// A path is not usable.
    InvalidPath, "invalid-path", Error;
    /// A user name is not usable.
    InvalidUser, "invalid-user", Error;
    /// A jump host is not usable.
    InvalidJump, "invalid-jump", Error;
    /// A label is not usable.
    InvalidLabel, "invalid-label", Error;
    /// A version is none.
    InvalidVersion, "invalid-version", Error;
    /// A duration is none.
    InvalidDuration, "invalid-duration", Error;
    /// A number or percentage of hosts is none.
    InvalidCount, "invalid-count", Error;
    /// A date is none.
    InvalidDate, "invalid-date", Error;
    /// An address of the management platform is none.
    InvalidUrl, "invalid-url", Error;
    /// A fingerprint of a key has a form of its own.
    InvalidFingerprint, "invalid-fingerprint", Error;
    /// The name of an image is not usable.
    InvalidImage, "invalid-image", Error;
    /// A size of a file is none.
    InvalidSize, "invalid-size", Error;
    /// The place of the packages is not usable.
    InvalidPackages, "invalid-packages", Error;

    /// Two entries mean the same node, address or machine.
    OverlappingNodes, "overlapping-nodes", Error;
    /// A node cannot be both master and slave.
    ConflictingRoles, "conflicting-roles", Error;
    /// More than one node is the master.
    TwoMasters, "two-masters", Error;
    /// No node is the master.
    NoMaster, "no-master", Error;
    /// tarslog is placed on more than one node.
    TwoTarslogs, "two-tarslogs", Error;
    /// Two components have versions that cannot work together.
    VersionsApart, "versions-apart", Error;
    /// A component is placed on several nodes, at a version of which there can be only one.
    SeveralTooEarly, "several-too-early", Error;
    /// A node's name or address means "this machine".
    LocalNode, "local-node", Error;
    /// A node is on the loopback network.
    LoopbackNode, "loopback-node", Warning;
    /// A node whose name is no IP address has no `ip`.
    NodeWithoutIp, "node-without-ip", Error;
    /// A range of addresses does not fit the range of names.
    RangeMismatch, "range-mismatch", Error;
    /// A registry endpoint does not lie on a framework node.
    RegistryNotFramework, "registry-not-framework", Error;
    /// A registry endpoint is listed twice.
    DuplicateEndpoint, "duplicate-endpoint", Error;
    /// A framework node's registry is not among the endpoints.
    FrameworkNotEndpoint, "framework-not-endpoint", Warning;
    /// An override is for a node that is not there.
    OverrideUnknownNode, "override-unknown-node", Error;
    /// A component is placed on a node that is not there.
    ComponentUnknownNode, "component-unknown-node", Error;
    /// tarsnode runs on every node and cannot be placed.
    TarsnodePlacement, "tarsnode-placement", Error;
    /// Only the rows of basic services are given values.
    RowsOfCore, "rows-of-core", Error;
    /// Rows are given values in a database that the spec does not name.
    RowsWithoutDatabase, "rows-without-database", Error;
    /// Something relies on a node that is absent or gone.
    LeavingNode, "leaving-node", Error;
    /// The database is reached through a node that is not there.
    ViaUnknownNode, "via-unknown-node", Error;
    /// An authority or a key is named for a connection that is never encrypted.
    CaWithoutTls, "ca-without-tls", Error;
    /// Packages are copied from a node that is not there.
    PackagesUnknownNode, "packages-unknown-node", Error;
    /// The master cannot be taken away.
    MasterLeaving, "master-leaving", Error;
    /// `until` belongs to maintenance.
    UntilWithoutMaintenance, "until-without-maintenance", Error;
    /// `stop_servers` belongs to absent nodes.
    StopServersWithoutAbsent, "stop-servers-without-absent", Error;
    /// Containers are described, and the framework is deployed by script.
    DockerUnused, "docker-unused", Error;
    /// The framework is deployed as containers, and something lacks that they need.
    DockerIncomplete, "docker-incomplete", Error;
    /// Something contradicts containers, in which all components come from one image.
    DockerConflict, "docker-conflict", Error;
    /// Two mounts have one place in the container.
    DuplicateMount, "duplicate-mount", Error;
    /// The platform's package is named, and no version that it would be installed as.
    WebUnused, "web-unused", Error;
    /// The platform and the framework do not go together.
    WebApart, "web-apart", Error;
    /// The platform is on a node that is not there.
    WebUnknownNode, "web-unknown-node", Error;
    /// Health must hold for longer than a step may take.
    SettleTooLong, "settle-too-long", Error;
    /// The canary is larger than the cluster.
    CanaryTooLarge, "canary-too-large", Warning;
    /// No package holds a version that is asked for. `plan` and `apply` end with it, exit code 3.
    VersionWithoutPackage, "version-without-package", Warning;
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}
