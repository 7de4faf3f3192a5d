//! The lock file beside the spec.

use std::io;
use std::path::{Path, PathBuf};

use tarsops_package::LockFile;

use crate::failure::{Failure, Result};
use crate::pending::Pending;

/// The lock file of a spec.
pub fn lock_path(spec: &Path) -> PathBuf {
    let mut name = spec.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Reads a lock file; none if there is none.
pub fn read_lock(path: &Path) -> Result<Option<LockFile>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(Failure::new(format!("could not read {}", path.display())).because(&e));
        }
    };
    LockFile::parse(&text).map(Some).map_err(|e| {
        Failure::new(format!("could not read the lock file {}", path.display()))
            .because(&e)
            .hint("restore it from Git, or remove it and run `tarsops package lock`")
    })
}

/// Opens the lock file at `path` to be written; it belongs into Git and holds no secret.
pub fn open_lock(path: &Path) -> Result<Pending> {
    Pending::public(path)
}

/// Writes the lock file.
pub fn write_lock(file: Pending, lock: &LockFile) -> Result<()> {
    file.write(&lock_text(lock)?)
}

/// The text of a lock file. What could not be read again is none.
pub fn lock_text(lock: &LockFile) -> Result<String> {
    lock.render()
        .and_then(|text| LockFile::parse(&text).map(|_| text))
        .map_err(|e| Failure::new("could not write the lock file").because(&e))
}
