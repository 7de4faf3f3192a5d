//! One component out of all places where a folder of packages holds it.
//!
//! Precedence, so that the same folder always gives the same pin:
//!
//! - the **binary** must be the same wherever there is one; the pin names the first of: a
//!   component's own package, its binary alone, a bundle, a deploy tree, a node;
//! - **`conf/`** and **`util/`**, each as a whole, come from the first that has it of: a deploy tree
//!   (its placeholders are untouched), a component's own package (the framework's installer has put
//!   its own `TARS_PATH` into it), a node;
//! - what else is in `bin/` comes with the binary.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::{Layout, PackageContents, PackageFile, PackagePin};
use tarsops_model::version::Version;

use crate::layout::{Found, is_below};
use crate::refusal::PackageError;
use crate::stream::Hasher;

const BINARY_FROM: [Layout; 5] = [
    Layout::Component,
    Layout::Binary,
    Layout::Bundle,
    Layout::Deploy,
    Layout::Node,
];

const CONF_FROM: [Layout; 5] = [
    Layout::Deploy,
    Layout::Component,
    Layout::Node,
    Layout::Bundle,
    Layout::Binary,
];

/// Makes the contents of `component` at `version` out of what was found of it; other components
/// in `found` are passed over.
///
/// # Errors
/// [`PackageError::OtherVersion`] if a source says another version, [`PackageError::Conflicting`]
/// if binaries differ, [`PackageError::NoBinary`] if there is none, [`PackageError::NotText`] if
/// configuration comes from another source than the binary and is no text.
pub fn assemble(
    component: Component,
    version: Version,
    found: &[Found],
) -> Result<PackageContents, PackageError> {
    let mut mine: Vec<&Found> = found.iter().filter(|f| f.component == component).collect();
    mine.sort_by(|a, b| a.source.cmp(&b.source));
    for f in &mine {
        if let Some(said) = f.version.filter(|v| *v != version) {
            return Err(PackageError::OtherVersion {
                source_name: f.source.clone(),
                found: said,
                wanted: version,
            });
        }
    }
    let by = |order: [Layout; 5], has: &dyn Fn(&Found) -> bool| {
        let rank = |f: &&&Found| order.iter().position(|l| *l == f.layout);
        mine.iter().filter(|f| has(f)).min_by_key(rank).copied()
    };
    let Some(main) = by(BINARY_FROM, &|f| f.binary().is_some()) else {
        return Err(PackageError::NoBinary { component });
    };
    let Some(binary) = main.binary() else {
        return Err(PackageError::NoBinary { component });
    };
    for other in &mine {
        if other.binary().is_some_and(|b| b.digest != binary.digest) {
            return Err(PackageError::Conflicting {
                component,
                first: main.source.clone(),
                second: other.source.clone(),
            });
        }
    }
    let mut files: Vec<PackageFile> = below(main, "bin").cloned().collect();
    for folder in ["conf", "util"] {
        let Some(from) = by(CONF_FROM, &|f| f.has(folder)) else {
            continue;
        };
        for file in below(from, folder) {
            // Only texts travel with the contents; all else is read from the pinned source.
            if file.text.is_none() && from.source != main.source {
                return Err(PackageError::NotText {
                    component,
                    name: file.path.clone(),
                });
            }
            files.push(file.clone());
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(PackageContents {
        pin: PackagePin {
            component,
            version,
            layout: main.layout,
            source: main.source.clone(),
            archive: main.archive.map(|a| a.0),
            archive_size: main.archive.map(|a| a.1),
            binary: binary.digest,
            binary_size: binary.size,
            contents: contents_digest(&files),
        },
        files,
    })
}

/// sha256 over path, mode (octal) and digest of each file, ordered by path; a NUL ends the path
/// and the mode, a line feed the digest.
#[must_use]
pub fn contents_digest(files: &[PackageFile]) -> Digest {
    let mut files: Vec<&PackageFile> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hasher = Hasher::new();
    for f in files {
        hasher.update(format!("{}\0{:o}\0{}\n", f.path, f.mode, f.digest).as_bytes());
    }
    hasher.finish()
}

fn below<'f>(found: &'f Found, folder: &'f str) -> impl Iterator<Item = &'f PackageFile> {
    found
        .files
        .iter()
        .filter(move |f| is_below(&f.path, folder))
}
