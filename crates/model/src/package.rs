//! Pinned release packages: the entries of a lock file and what the packages hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::console::{ConsolePin, Models};
use crate::digest::Digest;
use crate::names::ImageName;
use crate::version::Version;

/// How a package lays out its files (see the operator's guide for each).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `X/{bin,conf,util}`: an installed component packed whole.
    Component,
    /// `X/X`: the binary alone, as `make X-tar` leaves it.
    Binary,
    /// `X/bin/X` of several components, as `make framework-tar` leaves it.
    Bundle,
    /// The tree that `make install` leaves.
    Deploy,
    /// Copied from a node's live installation.
    Node,
}

/// One pinned component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackagePin {
    /// Which component.
    pub component: Component,
    /// Which framework version it counts as.
    pub version: Version,
    /// How the source lays it out.
    pub layout: Layout,
    /// Where it came from: a path relative to the packages folder, or `node:<name>`.
    pub source: String,
    /// sha256 of the archive; none for an unpacked tree.
    pub archive: Option<Digest>,
    /// Size of the archive in bytes; none for an unpacked tree.
    pub archive_size: Option<u64>,
    /// sha256 of the component's binary.
    pub binary: Digest,
    /// Size of the binary in bytes.
    pub binary_size: u64,
    /// sha256 over the names, modes and digests of all files that are installed.
    pub contents: Digest,
}

/// One pinned image of the framework. Its name is only a name: what counts is everything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagePin {
    /// What the spec calls it.
    pub name: ImageName,
    /// sha256 of its configuration, which engines call its id. It is the same on every host.
    pub id: Digest,
    /// The digest of a registry, where its name has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Digest>,
    /// The kind of machine that it is for, in the engine's word, such as `amd64`.
    pub architecture: String,
    /// sha256 of each unpacked layer. Engines that store images as containerd does call something else
    /// the id; these stay.
    pub layers: Vec<Digest>,
    /// The framework in it.
    pub framework: Version,
    /// The management platform in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Version>,
    /// The columns that the platform's models have; none where they are not understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Models>,
    /// sha256 of what its containers run. Some published images lack it.
    pub entrypoint: Digest,
    /// The program of each component in it.
    pub binaries: BTreeMap<Component, Digest>,
}

/// A file of a component, as it would be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// Path relative to the component's folder, such as `bin/tarsnode`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// sha256 of the content.
    pub digest: Digest,
    /// The content of a small text file (`conf/`, `util/`); none for others.
    pub text: Option<String>,
}

/// A pinned component with the files that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageContents {
    /// The pin that was verified.
    pub pin: PackagePin,
    /// Its files, ordered by path; the binary is always among them.
    pub files: Vec<PackageFile>,
}

impl PackageContents {
    /// The file at `path`.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&PackageFile> {
        self.files.iter().find(|f| f.path == path)
    }

    /// Whether a fresh install can be made from it: it has configuration and scripts.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let c = self.pin.component;
        self.file(&format!("conf/tars.{c}.config.conf")).is_some()
            && ["start.sh", "stop.sh", "execute.sh"]
                .iter()
                .all(|s| self.file(&format!("util/{s}")).is_some())
    }
}

/// All that plan and apply know of packages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Versions by digest of the binary; one binary may be several versions.
    pub known: BTreeMap<Digest, BTreeSet<(Component, Version)>>,
    /// Contents of the packages that the spec asks for.
    pub available: BTreeMap<Component, BTreeMap<Version, PackageContents>>,
    /// Templates as releases ship them, by release and name.
    #[serde(default)]
    pub templates: BTreeMap<Version, BTreeMap<String, String>>,
    /// Pinned images, by what specs call them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<ImageName, ImagePin>,
    /// Pinned release archives of the console, by version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consoles: BTreeMap<Version, ConsolePin>,
}

impl Catalog {
    /// The contents of `component` at `version`, if a pinned package has it.
    #[must_use]
    pub fn get(&self, component: Component, version: Version) -> Option<&PackageContents> {
        self.available.get(&component)?.get(&version)
    }

    /// The versions of `component` that have this binary, lowest first.
    #[must_use]
    pub fn versions_of(&self, component: Component, binary: &Digest) -> Vec<Version> {
        self.known.get(binary).map_or_else(Vec::new, |set| {
            set.iter()
                .filter(|(c, _)| *c == component)
                .map(|(_, v)| *v)
                .collect()
        })
    }

    /// Adds a verified package.
    pub fn insert(&mut self, contents: PackageContents) {
        let pin = &contents.pin;
        self.known
            .entry(pin.binary)
            .or_default()
            .insert((pin.component, pin.version));
        self.available
            .entry(pin.component)
            .or_default()
            .insert(pin.version, contents);
    }
}
