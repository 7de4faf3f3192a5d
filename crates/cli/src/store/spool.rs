//! Files of packages on their way to hosts: each is taken out of its source once, into a private
//! folder, with its digest checked on the way.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

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

/// A private folder with the files that were taken out of packages, by digest.
pub struct Spool {
    folder: tempfile::TempDir,
    files: Mutex<BTreeMap<Digest, PathBuf>>,
    origins: Mutex<BTreeMap<Digest, Origin>>,
}

impl Spool {
    /// Makes the folder, which goes with this value.
    pub fn make() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tarsops-spool-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|e| no_space("could not create a temporary folder", &e))?;
        Ok(Self {
            folder,
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
