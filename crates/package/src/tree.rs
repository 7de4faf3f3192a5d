//! Unpacked folders, seen through a trait so that this crate opens no file.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::archive::read_plain;
use crate::layout::{Found, Listing, VERSION_FILE, check_name, place, template_name};
use crate::refusal::{Limits, PackageError};
use tarsops_model::package::Layout;

/// What stands at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeKind {
    /// A file of so many bytes.
    File {
        /// Its size.
        size: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link, not followed.
    Link {
        /// Where it points.
        target: String,
    },
    /// Anything else.
    Special,
}

/// One name in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// The path below the root, divided by `/`, as the file system's bytes.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: TreeKind,
}

/// A folder that holds a deploy tree or components laid out as in an archive.
pub trait Tree {
    /// All entries below the root, in any order; links are reported and not followed.
    ///
    /// # Errors
    /// What the file system says.
    fn entries(&self) -> io::Result<Vec<TreeEntry>>;

    /// Opens the file at `path`, a name from [`Tree::entries`], without following links.
    ///
    /// # Errors
    /// What the file system says.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// Reads the components of an unpacked tree. Files that belong to no component are not opened, and
/// nothing below `web/` is judged: a web console is full of links. `source` is its name in the lock file.
///
/// # Errors
/// [`PackageError`], as for archives.
pub fn read_tree(
    tree: &dyn Tree,
    source: &str,
    limits: &Limits,
) -> Result<Vec<Found>, PackageError> {
    read_whole_tree(tree, source, limits).map(|(found, _)| found)
}

/// As [`read_tree`], with the templates that a deploy tree has, by name.
///
/// # Errors
/// As [`read_tree`], and [`PackageError::Template`].
pub fn read_whole_tree(
    tree: &dyn Tree,
    source: &str,
    limits: &Limits,
) -> Result<(Vec<Found>, BTreeMap<String, String>), PackageError> {
    let mut entries = tree.entries().map_err(PackageError::Read)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut listing = Listing::default();
    let (mut count, mut total) = (0, 0_u64);
    for entry in entries {
        let is_plain = matches!(entry.kind, TreeKind::File { .. } | TreeKind::Folder);
        // A link may stand for a whole folder of a component, so more of them are judged.
        if in_web(&entry.name) || (is_plain && !counts(&entry.name)) {
            continue;
        }
        let name = check_name(&entry.name, limits)?;
        count += 1;
        if count > limits.max_entries {
            return Err(PackageError::TooMuch {
                what: "too many entries",
                limit: limits.max_entries as u64,
            });
        }
        let size = match entry.kind {
            TreeKind::File { size } => size,
            TreeKind::Folder => {
                listing.add_folder(name)?;
                continue;
            }
            TreeKind::Link { target } => return Err(PackageError::Link { name, target }),
            TreeKind::Special => return Err(PackageError::Special { name }),
        };
        total = total.saturating_add(size);
        if size > limits.max_file || total > limits.max_total {
            return Err(PackageError::TooMuch {
                what: "too many bytes",
                limit: limits.max_file.min(limits.max_total),
            });
        }
        listing.check_new(&name)?;
        let keep = listing.keeps_text(&name, size, limits);
        let mut content = tree.open(&name).map_err(PackageError::Read)?;
        let item = read_plain(&mut *content, size, keep)?;
        listing.add_file(name, item);
    }
    listing.sort_all(source, None)
}

/// Whether a name may be that of a component's file or folder, or say the version.
fn counts(raw: &[u8]) -> bool {
    let name = String::from_utf8_lossy(raw);
    let is_version = name.rsplit('/').next() == Some(VERSION_FILE)
        && name.bytes().filter(|b| *b == b'/').count() <= 1;
    is_version
        || template_name(&name).is_some()
        || [Layout::Deploy, Layout::Component]
            .into_iter()
            .any(|layout| place(layout, &name).is_some())
}

/// Whether a name is in the web console that a deploy tree may hold.
fn in_web(raw: &[u8]) -> bool {
    raw.split(|b| *b == b'/').take(2).any(|part| part == b"web")
}
