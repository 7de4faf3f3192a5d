//! Files of packages on their way to hosts: each is taken out of its source once, into a private
//! folder, with its digest checked on the way.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use sha2::Digest as _;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::Layout;
use tarsops_package::{Limits, PackageError, extract_file};

use super::failures::{at_path, no_space};
use crate::failure::Result;

/// Where the bytes of a file can be had.
#[derive(Debug, Clone)]
pub enum Origin {
    Archive {
        path: PathBuf,
        layout: Layout,
        component: Component,
        file: String,
    },
    Plain(PathBuf),
}

/// How the folder of a run is named.
const PREFIX: &str = "tarsops-spool-";
/// The file in it that its process holds locked.
const LOCK: &str = "lock";
/// Age from which a folder without that file is no longer one that is being made.
const YOUNG: Duration = Duration::from_secs(3600);

/// A private folder with the files that were taken out of packages, by digest.
pub struct Spool {
    folder: tempfile::TempDir,
    /// Locked for as long as the folder is in use: the kernel unlocks it when the process is killed.
    _lock: File,
    files: Mutex<BTreeMap<Digest, PathBuf>>,
    origins: Mutex<BTreeMap<Digest, Origin>>,
}

impl Spool {
    /// Makes the folder, which goes with this value.
    ///
    /// A killed process leaves its folder, with copies of whole binaries in it. Such folders are
    /// deleted first.
    pub fn make() -> Result<Self> {
        let fault = |e: io::Error| no_space("could not create a temporary folder", &e);
        delete_left(&std::env::temp_dir());
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(fault)?;
        let lock = File::create_new(folder.path().join(LOCK)).map_err(fault)?;
        lock.lock().map_err(fault)?;
        Ok(Self {
            folder,
            _lock: lock,
            files: Mutex::default(),
            origins: Mutex::default(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Notes where the bytes of a digest can be had; the first place counts.
    pub fn remember(&self, digest: Digest, origin: Origin) {
        if let Ok(mut origins) = self.origins.lock() {
            origins.entry(digest).or_insert(origin);
        }
    }

    /// Where the bytes of a digest can be had, as far as packages were read.
    pub fn origin(&self, digest: &Digest) -> Option<Origin> {
        self.origins
            .lock()
            .ok()
            .and_then(|origins| origins.get(digest).cloned())
    }

    /// Makes a file that came from elsewhere available under its digest.
    pub fn insert(&self, digest: Digest, path: PathBuf) {
        if let Ok(mut files) = self.files.lock() {
            files.insert(digest, path);
        }
    }

    /// Whether a file is available under its digest already.
    pub fn has(&self, digest: &Digest) -> bool {
        self.files
            .lock()
            .is_ok_and(|files| files.contains_key(digest))
    }

    /// The file that has `digest`, taken out of the place that `origin` gives if it is not there yet.
    pub fn file(
        &self,
        digest: &Digest,
        origin: impl FnOnce() -> std::result::Result<Origin, NoFile>,
    ) -> std::result::Result<PathBuf, NoFile> {
        let mut files = self
            .files
            .lock()
            .map_err(|_| NoFile::Other("the spool is broken".to_owned()))?;
        if let Some(path) = files.get(digest) {
            return Ok(path.clone());
        }
        let origin = origin()?;
        let to = self.path().join(digest.to_string());
        let taken = take_out(&origin, digest, &to);
        if taken.is_err() {
            // Half a file takes room and is of no use.
            let _ = std::fs::remove_file(&to);
        }
        taken?;
        files.insert(*digest, to.clone());
        Ok(to)
    }
}

/// Deletes the folders of our own user that no process uses any more. What cannot be deleted stays.
fn delete_left(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
            && entry
                .metadata()
                .is_ok_and(|m| m.is_dir() && m.uid() == user);
        if is_ours && is_left(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether the process that made a folder has ended.
fn is_left(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => std::fs::metadata(folder)
            .and_then(|m| m.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG)),
        Err(_) => false,
    }
}

/// Why a file of a package cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoFile {
    /// It cannot be written to this machine's temporary folder.
    #[error("{0}")]
    Room(io::Error),
    /// Its source cannot be read.
    #[error("{0}")]
    Read(io::Error),
    /// Its source does not hold it.
    #[error("{0}")]
    Other(String),
}

impl NoFile {
    fn refused(source: &Path, to: &Path, error: PackageError) -> Self {
        match error {
            PackageError::Write(e) => Self::Room(at_path(to, e)),
            PackageError::Read(e) => Self::Read(at_path(source, e)),
            other => Self::Other(format!("{}: {other}", source.display())),
        }
    }
}

/// Copies the file with `digest` out of its source to the new file `to`.
fn take_out(origin: &Origin, digest: &Digest, to: &Path) -> std::result::Result<(), NoFile> {
    let room = |e: io::Error| NoFile::Room(at_path(to, e));
    let read = |path: &Path, e: io::Error| NoFile::Read(at_path(path, e));
    let mut out = BufWriter::new(File::create(to).map_err(room)?);
    match origin {
        Origin::Archive {
            path,
            layout,
            component,
            file,
        } => {
            let archive = File::open(path).map_err(|e| read(path, e))?;
            extract_file(
                BufReader::with_capacity(1 << 16, archive),
                *layout,
                *component,
                file,
                digest,
                &mut out,
                &Limits::default(),
            )
            .map_err(|e| NoFile::refused(path, to, e))?;
        }
        Origin::Plain(path) => {
            let mut file = File::open(path).map_err(|e| read(path, e))?;
            let found = copy_hashed(&mut file, &mut out).map_err(|e| match e {
                Copying::From(e) => read(path, e),
                Copying::To(e) => room(e),
            })?;
            if found != *digest {
                let why = format!("{} is not what the lock file says", path.display());
                return Err(NoFile::Other(why));
            }
        }
    }
    out.flush().map_err(room)
}

/// Which side of a copy failed.
enum Copying {
    From(io::Error),
    To(io::Error),
}

/// Copies and hashes in one pass.
fn copy_hashed(
    from: &mut dyn Read,
    to: &mut dyn io::Write,
) -> std::result::Result<Digest, Copying> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let n = from.read(&mut buffer).map_err(Copying::From)?;
        if n == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..n]);
        to.write_all(&buffer[..n]).map_err(Copying::To)?;
    }
}

/// The sha256 of a file.
pub fn digest_of(path: &Path) -> io::Result<Digest> {
    copy_hashed(&mut File::open(path)?, &mut io::sink()).map_err(|error| match error {
        Copying::From(e) | Copying::To(e) => e,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_deleted_once_its_process_has_ended() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = parent.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let (used, left) = (make("tarsops-spool-used"), make("tarsops-spool-left"));
        let (young, other) = (make("tarsops-spool-young"), make("other"));
        let lock = File::create_new(used.join(LOCK)).unwrap();
        lock.lock().unwrap();
        File::create_new(left.join(LOCK)).unwrap();
        std::fs::write(left.join("binary"), "text").unwrap();
        std::os::unix::fs::symlink(&other, parent.path().join("tarsops-spool-link")).unwrap();

        delete_left(parent.path());
        assert!(!left.exists());
        assert!(used.exists() && young.exists() && other.exists());
        drop(lock);
        delete_left(parent.path());
        assert!(!used.exists());
    }
}
