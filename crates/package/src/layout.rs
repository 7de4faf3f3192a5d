//! Which file of a package belongs to which component, and where it would be installed.
//!
//! The layouts are those that exist: `X/{bin,conf,util}` (the framework's installer packs its
//! components so, `deploy/tars-install.sh`), `X/X` (`make X-tar`), `X/bin/X` of several components
//! (`make framework-tar`), and the tree that `make install` leaves. A name alone decides where a
//! file goes, so that one pass over an archive is enough and a second pass finds it again.
//!
//! Only `bin/`, `conf/` and `util/` of a component are taken. `data/`, logs and what a running
//! service leaves beside its configuration belong to the host that it was packed on.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::{Layout, PackageFile};
use tarsops_model::version::Version;

use crate::lock::is_template;
use crate::refusal::{Limits, PackageError};

/// The file of a deploy tree that says its version.
pub const VERSION_FILE: &str = "FRAMEWORK_VERSION.txt";

/// One component as one source holds it. Without a binary in a deploy tree that has only its
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which component.
    pub component: Component,
    /// How the source lays it out.
    pub layout: Layout,
    /// The name of the source, as it will stand in the lock file.
    pub source: String,
    /// Digest and size of the archive; none for an unpacked tree.
    pub archive: Option<(Digest, u64)>,
    /// The version that the source itself says.
    pub version: Option<Version>,
    /// The files as they would be installed, ordered by path.
    pub files: Vec<PackageFile>,
}

impl Found {
    /// The component's binary.
    #[must_use]
    pub fn binary(&self) -> Option<&PackageFile> {
        let path = format!("bin/{}", self.component);
        self.files.iter().find(|f| f.path == path)
    }

    /// Whether it has a file below `folder`, such as `conf`.
    #[must_use]
    pub fn has(&self, folder: &str) -> bool {
        self.files.iter().any(|f| is_below(&f.path, folder))
    }
}

/// Where a deploy tree has the file that would be installed as `path` of `component`.
#[must_use]
pub fn tree_path(component: Component, path: &str) -> String {
    let folder = match path.split_once('/') {
        Some(("bin", _)) => "servers",
        Some(("conf", _)) => "conf",
        _ => "util-linux",
    };
    format!("framework/{folder}/{component}/{path}")
}

pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Where a file called `name` in a package of `layout` would be installed; none if it is no file
/// of a component that counts. The name has no leading `./`.
#[must_use]
pub fn place(layout: Layout, name: &str) -> Option<(Component, String)> {
    let parts: Vec<&str> = name.split('/').collect();
    let (component, inside) = match layout {
        Layout::Deploy => deploy_place(&parts)?,
        Layout::Component | Layout::Binary | Layout::Bundle | Layout::Node => {
            let component: Component = parts.first()?.parse().ok()?;
            match &parts[1..] {
                [] => (component, vec!["bin", component.name()]),
                [one] if *one == component.name() => (component, vec!["bin", component.name()]),
                inside => (component, inside.to_vec()),
            }
        }
    };
    belongs(&inside).then(|| (component, inside.join("/")))
}

/// A deploy tree may are in one folder of its own.
fn deploy_place<'a>(parts: &[&'a str]) -> Option<(Component, Vec<&'a str>)> {
    let rest = match parts {
        ["framework", rest @ ..] | [_, "framework", rest @ ..] => rest,
        _ => return None,
    };
    let (&[group, component], inside) = rest.split_first_chunk::<2>()?;
    let component = component.parse().ok()?;
    let folder = match group {
        "servers" => "bin",
        "conf" => "conf",
        "util-linux" => "util",
        _ => return None,
    };
    (inside.first() == Some(&folder)).then(|| (component, inside.to_vec()))
}

/// Whether a file at this place of a component is installed.
fn belongs(inside: &[&str]) -> bool {
    let Some((file, folders)) = inside.split_last() else {
        return false;
    };
    let left_out = |f: &&str| matches!(*f, "data" | "app_log" | "log" | "logs");
    matches!(folders.first(), Some(&("bin" | "conf" | "util")))
        && !folders.iter().any(left_out)
        && ![".log", ".bak", ".tmp", ".pid"]
            .iter()
            .any(|end| file.ends_with(end))
}

/// The name of the template that a file of a deploy tree is: `framework/sql/template/<name>`, or the
/// same in one folder of its own.
pub(crate) fn template_name(name: &str) -> Option<&str> {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["framework", "sql", "template", name] | [_, "framework", "sql", "template", name]
            if is_template(name) =>
        {
            Some(name)
        }
        _ => None,
    }
}

/// Whether the text of this file may be wanted.
pub(crate) fn may_be_text(name: &str) -> bool {
    if template_name(name).is_some() {
        return true;
    }
    let mut parts = name.split('/').rev();
    parts.next() == Some(VERSION_FILE) || parts.any(|p| matches!(p, "conf" | "util"))
}

/// A file of a package before it is known whose it is.
pub(crate) struct Item {
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) text: Option<String>,
}

/// All names of a package, checked.
#[derive(Default)]
pub(crate) struct Listing {
    files: BTreeMap<String, Item>,
    folders: BTreeSet<String>,
    first: Option<String>,
    text: u64,
}

impl Listing {
    /// Whether a file of this name and size may be kept as text.
    pub(crate) fn keeps_text(&self, name: &str, size: u64, limits: &Limits) -> bool {
        may_be_text(name)
            && size <= limits.max_text
            && self.text.saturating_add(size) <= limits.max_all_text
    }

    pub(crate) fn add_folder(&mut self, name: String) -> Result<(), PackageError> {
        self.first.get_or_insert_with(|| name.clone());
        if self.files.contains_key(&name) {
            return Err(PackageError::Duplicate { name });
        }
        self.folders.insert(name);
        Ok(())
    }

    /// Refuses a name that is there already, before its content is read.
    pub(crate) fn check_new(&mut self, name: &str) -> Result<(), PackageError> {
        self.first.get_or_insert_with(|| name.to_owned());
        let above = name.match_indices('/').map(|(at, _)| &name[..at]);
        let mut taken = above.filter(|n| self.files.contains_key(*n));
        if self.files.contains_key(name) || self.folders.contains(name) || taken.next().is_some() {
            return Err(PackageError::Duplicate {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    pub(crate) fn add_file(&mut self, name: String, item: Item) {
        self.text += item.text.as_ref().map_or(0, |t| t.len() as u64);
        self.files.insert(name, item);
    }

    /// The templates among the files, by name, with their texts.
    ///
    /// # Errors
    /// [`PackageError::Template`] for one that is no text, or too long.
    pub(crate) fn templates(&self) -> Result<BTreeMap<String, String>, PackageError> {
        let mut out = BTreeMap::new();
        for (path, item) in &self.files {
            let Some(name) = template_name(path) else {
                continue;
            };
            let Some(text) = &item.text else {
                return Err(PackageError::Template { name: path.clone() });
            };
            out.insert(name.to_owned(), text.clone());
        }
        Ok(out)
    }

    /// The components and the templates. A deploy tree may have templates alone: those are what an
    /// upgrade needs of the release that runs.
    pub(crate) fn sort_all(
        self,
        source: &str,
        archive: Option<(Digest, u64)>,
    ) -> Result<(Vec<Found>, BTreeMap<String, String>), PackageError> {
        let templates = self.templates()?;
        match self.sort(source, archive) {
            Err(PackageError::NoComponent { .. }) if !templates.is_empty() => {
                Ok((Vec::new(), templates))
            }
            sorted => Ok((sorted?, templates)),
        }
    }

    /// Gives each component its files.
    fn sort(
        self,
        source: &str,
        archive: Option<(Digest, u64)>,
    ) -> Result<Vec<Found>, PackageError> {
        let version_file = self.files.iter().find(|(name, _)| {
            let (above, file) = name.rsplit_once('/').unwrap_or(("", name));
            file == VERSION_FILE && !above.contains('/')
        });
        let is_deploy = version_file.is_some()
            || self
                .files
                .keys()
                .any(|n| place(Layout::Deploy, n).is_some() || template_name(n).is_some());
        let version = match version_file {
            Some((_, item)) => {
                let text = item.text.as_deref().unwrap_or_default().trim();
                Some(text.parse().map_err(PackageError::Version)?)
            }
            None => None,
        };
        let rule = if is_deploy {
            Layout::Deploy
        } else {
            Layout::Component
        };
        self.check_binaries(rule)?;
        let Self {
            files,
            folders,
            first,
            ..
        } = self;

        let mut all: BTreeMap<Component, BTreeMap<String, PackageFile>> = BTreeMap::new();
        // Whether a component has its files in folders, as opposed to a binary alone.
        let mut foldered = BTreeSet::new();
        for (name, item) in files {
            let Some((component, path)) = place(rule, &name) else {
                continue;
            };
            if path != format!("bin/{component}") {
                foldered.insert(component);
            }
            let file = PackageFile {
                mode: mode_of(&path),
                size: item.size,
                digest: item.digest,
                text: item.text.filter(|_| !is_below(&path, "bin")),
                path: path.clone(),
            };
            let mine = all.entry(component).or_default();
            match mine.get(&path) {
                // `X/X` beside `X/bin/X` is one binary only if it is the same.
                Some(other) if other.digest != file.digest => {
                    return Err(PackageError::Duplicate { name });
                }
                _ => {
                    mine.insert(path, file);
                }
            }
        }
        if !is_deploy {
            let named = folders.iter().filter_map(|f| f.parse::<Component>().ok());
            for component in named.chain(all.keys().copied().collect::<Vec<_>>()) {
                let binary = format!("bin/{component}");
                if !all.get(&component).is_some_and(|f| f.contains_key(&binary)) {
                    return Err(PackageError::NoBinary { component });
                }
            }
        }
        if all.is_empty() {
            return Err(
                first.map_or(PackageError::Empty, |first| PackageError::NoComponent {
                    first,
                }),
            );
        }
        let several = all.len() > 1;
        Ok(all
            .into_iter()
            .map(|(component, files)| Found {
                component,
                layout: match rule {
                    Layout::Deploy => Layout::Deploy,
                    _ if foldered.contains(&component) => Layout::Component,
                    _ if several => Layout::Bundle,
                    _ => Layout::Binary,
                },
                source: source.to_owned(),
                archive,
                version,
                files: files.into_values().collect(),
            })
            .collect())
    }

    /// A binary must be a file with content.
    fn check_binaries(&self, rule: Layout) -> Result<(), PackageError> {
        let is_binary = |name: &str| {
            let (component, path) = place(rule, name)?;
            (path == format!("bin/{component}")).then_some(component)
        };
        let bad = |component, name: &str, why| PackageError::BadBinary {
            component,
            name: name.to_owned(),
            why,
        };
        for (name, item) in &self.files {
            if item.size == 0
                && let Some(component) = is_binary(name)
            {
                return Err(bad(component, name, "is empty"));
            }
        }
        // A file below such a folder implies it, even if the archive does not list the folder.
        let implied = self
            .files
            .keys()
            .filter_map(|n| n.rsplit_once('/'))
            .map(|n| n.0);
        for name in self.folders.iter().map(String::as_str).chain(implied) {
            // The folder `X` itself is no attempt at a bare binary.
            if name.contains('/')
                && let Some(component) = is_binary(name)
            {
                return Err(bad(component, name, "is a folder"));
            }
        }
        Ok(())
    }
}

/// Modes are made the same whoever packed: programs and scripts can be run, others cannot.
fn mode_of(path: &str) -> u32 {
    if is_below(path, "bin") || path.ends_with(".sh") {
        0o755
    } else {
        0o644
    }
}

/// A name as it is compared: UTF-8 without control characters, no `.` or empty parts, below the
/// root. The root itself is empty.
pub(crate) fn check_name(raw: &[u8], limits: &Limits) -> Result<String, PackageError> {
    let shown = || {
        let lossy = String::from_utf8_lossy(&raw[..raw.len().min(200)]);
        lossy.escape_debug().to_string()
    };
    let fail = |why| PackageError::Name { name: shown(), why };
    if raw.len() > limits.max_name {
        return Err(fail("is too long"));
    }
    let name = std::str::from_utf8(raw).map_err(|_| fail("is not UTF-8"))?;
    if name.chars().any(char::is_control) {
        return Err(fail("has a control character"));
    }
    if name.is_empty() {
        return Err(fail("is empty"));
    }
    if name.starts_with('/') {
        return Err(PackageError::Absolute { name: shown() });
    }
    let parts: Vec<&str> = name
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(PackageError::Traversal { name: shown() });
    }
    Ok(parts.join("/"))
}
