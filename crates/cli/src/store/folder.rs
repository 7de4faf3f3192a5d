//! The packages folder of a release: archives and deploy trees.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tarsops_model::component::Component;
use tarsops_package::archive::stem;
use tarsops_package::layout::tree_path;
use tarsops_package::tree::{Tree, TreeEntry, TreeKind};
use tarsops_package::{Found, Limits, PackageError, read_archive_keeping, read_whole_tree};

use super::failures::{at_path, no_space, unreadable};
use super::spool::{Origin, Spool};
use crate::failure::{Failure, Result};

/// Whether a deploy tree is at `path`.
fn is_tree(path: &Path) -> bool {
    path.join("FRAMEWORK_VERSION.txt").is_file() || path.join("framework/servers").is_dir()
}

/// Whether a file is by its name a release archive of the management platform, as `package web` is
/// told to write it.
fn is_console(name: &str) -> bool {
    name.starts_with("tars-web-")
}

/// Whether a packages folder has something that may hold `component`: its own archive, an archive that
/// is no other component's, or a deploy tree, which may be the folder itself.
pub fn may_hold(folder: &Path, component: Component) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    is_tree(folder)
        || entries.filter_map(std::result::Result::ok).any(|entry| {
            let name = entry.file_name();
            if name.to_str().is_some_and(is_console) {
                return false;
            }
            match name.to_str().and_then(stem) {
                Some(stem) => stem.parse().map_or(true, |c: Component| c == component),
                None => is_tree(&entry.path()),
            }
        })
}

/// Reads everything in `folder` that may hold one of `components`, and the templates of a deploy tree that
/// is there. With `keep`, binaries are laid into `spool` on the way.
pub fn read(
    folder: &Path,
    spool: &Spool,
    components: &[Component],
    keep: bool,
    templates: &mut BTreeMap<String, String>,
) -> Result<Vec<Found>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => {
            return Err(Failure::new(format!("could not read {}", folder.display())).because(&e));
        }
    };
    let mut names: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    names.sort();
    let mut found = Vec::new();
    if is_tree(folder) {
        found.extend(one_tree(spool, folder, ".", templates)?);
    }
    for path in names {
        let Some(name) = path.file_name().and_then(|n| n.to_str()).map(str::to_owned) else {
            continue;
        };
        if is_console(&name) {
            // It may lie beside the others, and has links, which packages of components may not have.
        } else if let Some(stem) = stem(&name) {
            // Another component's own package has nothing of ours.
            let other = stem
                .parse::<Component>()
                .is_ok_and(|c| !components.contains(&c));
            if !other {
                found.extend(one_archive(
                    spool,
                    &path,
                    &name,
                    if keep { components } else { &[] },
                    templates,
                )?);
            }
        } else if path.is_dir() && is_tree(&path) {
            found.extend(one_tree(spool, &path, &name, templates)?);
        }
    }
    found.retain(|f| components.contains(&f.component));
    Ok(found)
}

fn one_archive(
    spool: &Spool,
    path: &Path,
    name: &str,
    keep: &[Component],
    templates: &mut BTreeMap<String, String>,
) -> Result<Vec<Found>> {
    let refused = |e: PackageError| match e {
        PackageError::Write(e) => no_space(
            &format!("could not unpack {}; nothing was changed", path.display()),
            &at_path(spool.path(), e),
        ),
        PackageError::Read(e) => unreadable(path, &e),
        other => Failure::new(format!("the package {} was refused", path.display()))
            .because(&other)
            .hint("replace it; nothing was unpacked and nothing was changed"),
    };
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let mut copies: Vec<PathBuf> = Vec::new();
    let archive = read_archive_keeping(
        BufReader::with_capacity(1 << 16, file),
        name,
        &Limits::default(),
        &mut |entry| {
            let last = entry.rsplit('/').next().unwrap_or_default();
            if !keep.iter().any(|c| c.name() == last) {
                return Ok(None);
            }
            let copy = tempfile::Builder::new()
                .prefix("copy-")
                .tempfile_in(spool.path())?;
            let (file, path) = copy.keep().map_err(|e| e.error)?;
            copies.push(path);
            Ok(Some(Box::new(BufWriter::with_capacity(1 << 16, file))))
        },
    )
    .map_err(refused)?;
    for (digest, copy) in archive.kept.iter().zip(copies) {
        spool.insert(*digest, copy);
    }
    if archive.trailing > 0 {
        tracing::warn!(
            "{} has {} bytes after its end",
            path.display(),
            archive.trailing
        );
    }
    for found in &archive.found {
        for file in &found.files {
            spool.remember(
                file.digest,
                Origin::Archive {
                    path: path.to_path_buf(),
                    layout: found.layout,
                    component: found.component,
                    file: file.path.clone(),
                },
            );
        }
    }
    templates.extend(archive.templates);
    Ok(archive.found)
}

fn one_tree(
    spool: &Spool,
    root: &Path,
    name: &str,
    templates: &mut BTreeMap<String, String>,
) -> Result<Vec<Found>> {
    let (found, shipped) = read_whole_tree(&Folder(root.to_path_buf()), name, &Limits::default())
        .map_err(|e| {
        Failure::new(format!("the package tree {} was refused", root.display())).because(&e)
    })?;
    templates.extend(shipped);
    for f in &found {
        for file in &f.files {
            let place = tree_path(f.component, &file.path);
            spool.remember(file.digest, Origin::Plain(root.join(place)));
        }
    }
    Ok(found)
}

/// A folder of the file system as a package tree.
struct Folder(PathBuf);

impl Tree for Folder {
    fn entries(&self) -> io::Result<Vec<TreeEntry>> {
        let mut out = Vec::new();
        let mut todo = vec![PathBuf::new()];
        while let Some(below) = todo.pop() {
            for entry in std::fs::read_dir(self.0.join(&below))? {
                let entry = entry?;
                let name = below.join(entry.file_name());
                let meta = entry.metadata()?;
                let kind = if meta.file_type().is_symlink() {
                    let target = std::fs::read_link(entry.path())?;
                    TreeKind::Link {
                        target: target.to_string_lossy().into_owned(),
                    }
                } else if meta.is_dir() {
                    todo.push(name.clone());
                    TreeKind::Folder
                } else if meta.is_file() {
                    TreeKind::File { size: meta.len() }
                } else {
                    TreeKind::Special
                };
                out.push(TreeEntry {
                    name: name.as_os_str().as_bytes().to_vec(),
                    kind,
                });
            }
        }
        Ok(out)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        let path = self.0.join(path);
        if path.symlink_metadata()?.file_type().is_symlink() {
            return Err(io::Error::other("it has become a link"));
        }
        Ok(Box::new(BufReader::with_capacity(
            1 << 16,
            File::open(path)?,
        )))
    }
}
