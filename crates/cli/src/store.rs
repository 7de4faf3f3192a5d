//! Release packages on this machine: the lock file, the packages folder, and the files that go to
//! hosts.
//!
//! A folder is read only when something has to be installed from it; an upgrade needs no more than
//! what the lock file says of the binary. What goes to hosts is taken out of its archive once, into
//! a private folder, with its digest checked on the way.

mod console;
mod failures;
mod folder;
mod image;
mod lock_file;
mod payloads;
mod spool;

pub use console::{console_refused, identify_console};
pub use failures::no_space;
pub use folder::may_hold;
pub use image::identify;
pub use lock_file::{lock_path, lock_text, read_lock, write_lock};
pub use spool::digest_of;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, PackageSource};
use tarsops_model::names::NodeName;
use tarsops_model::package::{Catalog, PackageContents, PackagePin};
use tarsops_model::version::Version;
use tarsops_package::lock::verify;
use tarsops_package::{Found, LockFile, assemble};

use self::spool::Spool;
use crate::failure::{Failure, Result};
use crate::pending::Pending;
use crate::spec_file::Loaded;

/// Components whose files a plan may install: their packages are read whole. The others are published.
const MANAGED: [Component; 8] = [
    Component::Tarsregistry,
    Component::TarsAdminRegistry,
    Component::Tarsconfig,
    Component::Tarspatch,
    Component::Tarsnode,
    Component::Tarsnotify,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];
/// Components whose packages a lock file must have: a spec may leave the others unpinned, and they
/// are not compared then.
pub const NEEDED: [Component; 1] = [Component::Tarsnode];

/// The lock file and the packages of one spec.
pub struct Store {
    /// Where the lock file lies.
    pub lock_path: PathBuf,
    /// What it says; none if there is none.
    pub lock: Option<LockFile>,
    source: PackageSource,
    dir: PathBuf,
    catalog: Catalog,
    full: bool,
    spool: Spool,
}

impl Store {
    /// Reads the lock file of the spec at `spec`.
    pub fn open(spec: &Path, loaded: &Loaded) -> Result<Self> {
        let lock_path = lock_path(spec);
        let lock = read_lock(&lock_path)?;
        let mut store = Self {
            lock_path,
            lock,
            source: loaded.desired.packages.clone(),
            dir: loaded.dir.clone(),
            catalog: Catalog::default(),
            full: false,
            spool: Spool::make()?,
        };
        if let Some(lock) = &store.lock {
            store.catalog = lock.pinned_catalog(&loaded.desired);
        }
        Ok(store)
    }

    /// What is known so far.
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The folder with the packages of `version`; none for `node:` sources.
    pub fn folder(&self, version: Version) -> Option<PathBuf> {
        match &self.source {
            PackageSource::Folder(template) => Some(
                self.dir
                    .join(template.replace("{version}", &version.to_string())),
            ),
            PackageSource::Node(_) => None,
        }
    }

    /// Reads everything in the folder of `version` that may hold one of `components`, and the templates of
    /// a deploy tree that is there. With `keep`, binaries are laid into the spool on the way.
    pub fn read_release(
        &self,
        version: Version,
        components: &[Component],
        keep: bool,
        templates: &mut BTreeMap<String, String>,
    ) -> Result<Vec<Found>> {
        match self.folder(version) {
            Some(folder) => folder::read(&folder, &self.spool, components, keep, templates),
            None => Ok(vec![]),
        }
    }

    /// Pins every package of these releases, and their templates where there is a deploy tree.
    pub fn pin_releases(&self, versions: &BTreeSet<Version>) -> Result<LockFile> {
        let mut out = LockFile::default();
        for version in versions {
            let mut templates = BTreeMap::new();
            let found = self.read_release(*version, &Component::ALL, false, &mut templates)?;
            if !templates.is_empty() {
                out.set_templates(*version, templates);
            }
            let there: BTreeSet<Component> = found
                .iter()
                .filter(|f| f.binary().is_some())
                .map(|f| f.component)
                .collect();
            for component in there {
                let contents = assemble(component, *version, &found).map_err(|e| {
                    Failure::new(format!(
                        "the package of {component} {version} cannot be used"
                    ))
                    .because(&e)
                })?;
                out.insert(contents.pin);
            }
        }
        Ok(out)
    }

    /// Reads the packages whole, so that fresh installs can be planned. Every one is compared with
    /// its pin.
    pub fn load(&mut self, desired: &Desired) -> Result<()> {
        if self.full {
            return Ok(());
        }
        self.full = true;
        let Some(lock) = self.lock.clone() else {
            return Ok(());
        };
        // By version, so that no archive is read more than once.
        let mut wanted: BTreeMap<Version, Vec<(Component, PackagePin)>> = BTreeMap::new();
        for (component, version) in desired.versions.iter().filter(|(c, _)| MANAGED.contains(c)) {
            if let Some(pin) = lock.pin(*component, *version) {
                let pins = wanted.entry(*version).or_default();
                pins.push((*component, pin.clone()));
            }
        }
        for (version, pins) in wanted {
            let components: Vec<Component> = pins.iter().map(|(c, _)| *c).collect();
            let all = self.read_release(version, &components, true, &mut BTreeMap::new())?;
            for (component, pin) in pins {
                if !all.iter().any(|f| f.component == component) {
                    continue;
                }
                let contents = assemble(component, version, &all).map_err(|e| {
                    Failure::new(format!(
                        "the package of {component} {version} cannot be used"
                    ))
                    .because(&e)
                })?;
                verify(&pin, &contents).map_err(|e| {
                    Failure::new("a package is not the one that was pinned")
                        .because(&e)
                        .hint("if the new package is meant, run `tarsops package lock` and commit the lock file")
                })?;
                self.catalog.insert(contents);
            }
        }
        Ok(())
    }

    /// Whether packages come from a node, and which.
    pub const fn node_source(&self) -> Option<&NodeName> {
        match &self.source {
            PackageSource::Node(node) => Some(node),
            PackageSource::Folder(_) => None,
        }
    }

    /// Takes over the contents that were seen on a node, if they are what is pinned.
    pub fn take_node(&mut self, contents: PackageContents) -> Result<()> {
        let (component, version) = (contents.pin.component, contents.pin.version);
        if let Some(pin) = self.lock.as_ref().and_then(|l| l.pin(component, version)) {
            verify(pin, &contents).map_err(|e| {
                Failure::new("the node's installation is not the one that was pinned")
                    .because(&e)
                    .hint("if it is meant, run `tarsops package lock` and commit the lock file")
            })?;
            self.catalog.insert(contents);
        }
        Ok(())
    }

    /// Compares the templates that the lock file has of a release with those of its package. A template
    /// is the one thing whose content is in the lock file: what its package does not ship is not written.
    pub fn verify_templates(&self, release: Version) -> Result<()> {
        let mut shipped = BTreeMap::new();
        self.read_release(release, &[], false, &mut shipped)?;
        let lock = self.lock.as_ref();
        let locked = lock.and_then(|l| l.templates().get(&release));
        if shipped.is_empty() {
            return Err(Failure::new(format!(
                "the templates of {release} cannot be compared with its package, which is not on this \
                 machine; nothing was changed"
            ))
            .hint("put the deploy tree of that release where the spec's `framework.packages` says"));
        }
        let differ = locked.into_iter().flatten();
        let differ = differ.filter(|(name, text)| shipped.get(*name) != Some(*text));
        let names: Vec<&String> = differ.map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "templates of {release} in the lock file are not those of its package; nothing was changed"
        ))
        .hint("if the package is meant, run `tarsops package lock` and commit the lock file")
        .about(names))
    }

    /// A private folder for files on their way.
    pub fn spool(&self) -> &Path {
        self.spool.path()
    }

    /// The files that were taken out of packages.
    pub const fn files(&self) -> &Spool {
        &self.spool
    }

    /// Opens the lock file to be written.
    pub fn open_lock(&self) -> Result<Pending> {
        lock_file::open_lock(&self.lock_path)
    }
}

/// Versions that the spec asks for, of components whose packages must be there.
pub fn wanted(desired: &Desired) -> BTreeSet<(Component, Version)> {
    desired
        .versions
        .iter()
        .filter(|(c, _)| NEEDED.contains(c))
        .copied()
        .collect()
}
