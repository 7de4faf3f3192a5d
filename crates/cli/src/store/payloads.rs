//! The files of packages that an apply installs.

use std::path::PathBuf;

use tarsops_apply::Payloads;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::Layout;
use tarsops_model::version::Version;
use tarsops_package::layout::tree_path;

use super::Store;
use super::failures::no_space;
use super::spool::{NoFile, Origin};
use crate::failure::{Failure, Result};

impl Store {
    /// Takes a file of a pinned package out of its source and checks it, as an apply will; false
    /// where the source is not on this machine.
    pub fn prepare(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> Result<bool> {
        let there = match self.origin(component, version, path, digest) {
            Some(Origin::Archive { path, .. } | Origin::Plain(path)) => path.exists(),
            None => false,
        };
        if !there {
            return Ok(false);
        }
        let what = format!("the package of {component} {version}");
        match self.spooled_file(component, version, path, digest) {
            Ok(_) => Ok(true),
            Err(e @ NoFile::Room(_)) => Err(no_space(
                &format!("could not unpack {what}; nothing was changed"),
                &e,
            )),
            Err(e @ NoFile::Read(_)) => Err(Failure::new(format!(
                "could not read {what}; nothing was changed"
            ))
            .because(&e)
            .hint("check that the file exists and that you may read it")),
            Err(e @ NoFile::Other(_)) => Err(Failure::new(format!(
                "{what} is not the one that was pinned; nothing was changed"
            ))
            .because(&e)
            .hint("put the pinned package back; if the new one is meant, run `tarsops package lock` and commit the lock file")),
        }
    }

    /// The file in the spool that has `digest`, taken there if it is not there yet.
    fn spooled_file(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> std::result::Result<PathBuf, NoFile> {
        self.spool.file(digest, || {
            self.origin(component, version, path, digest)
                .ok_or_else(|| {
                    NoFile::Other(format!("no package has {path} of {component} {version}"))
                })
        })
    }

    fn origin(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> Option<Origin> {
        let known = self.spool.origin(digest);
        if known.is_some() {
            return known;
        }
        // Only the lock file was read so far: it says which source has the binary.
        let pin = self.lock.as_ref()?.pin(component, version)?;
        let folder = self.folder(version)?;
        match pin.layout {
            Layout::Node => None,
            Layout::Deploy if pin.archive.is_none() => {
                let root = folder.join(&pin.source);
                Some(Origin::Plain(root.join(tree_path(component, path))))
            }
            layout => Some(Origin::Archive {
                path: folder.join(&pin.source),
                layout,
                component,
                file: path.to_owned(),
            }),
        }
    }
}

impl Payloads for Store {
    fn file(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> std::result::Result<PathBuf, String> {
        self.spooled_file(component, version, path, digest)
            .map_err(|e| e.to_string())
    }
}
