//! Files of results. They are opened before anything else is done, so that a folder that is not there
//! or cannot be written to is known before a cluster is changed and not after it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::{Failure, Result};

/// A file that will be written once, whole. Until then what was there before stays.
pub struct Pending {
    path: PathBuf,
    to: To,
}

enum To {
    /// Beside the file, in whose place it is put at the end.
    Beside(NamedTempFile),
    /// A device or a pipe, which is no file to be replaced.
    Device(File),
}

impl Pending {
    /// Opens a file that only its owner may read.
    ///
    /// # Errors
    /// The path, and why it cannot be written.
    pub fn private(path: &Path) -> Result<Self> {
        Self::open(path, 0o600)
    }

    /// Opens a file that everybody may read.
    ///
    /// # Errors
    /// As for [`Pending::private`].
    pub fn public(path: &Path) -> Result<Self> {
        Self::open(path, 0o644)
    }

    fn open(path: &Path, mode: u32) -> Result<Self> {
        let open = || {
            if is_device(path)? {
                return OpenOptions::new().append(true).open(path).map(To::Device);
            }
            // A name that nobody can predict, made new: whoever may write in the folder cannot put a
            // link in its place.
            tempfile::Builder::new()
                .prefix(".tarsops-")
                .permissions(Permissions::from_mode(mode))
                .tempfile_in(folder(path))
                .and_then(|file| {
                    // The umask does not decide who may read it.
                    file.as_file()
                        .set_permissions(Permissions::from_mode(mode))?;
                    Ok(To::Beside(file))
                })
        };
        Ok(Self {
            path: path.to_path_buf(),
            to: open().map_err(|e| unwritten(path, &e))?,
        })
    }

    /// Writes the whole text and puts the file in its place.
    ///
    /// # Errors
    /// The path, and why it could not be written; what was there before is still there.
    pub fn write(self, text: &str) -> Result<()> {
        self.write_with(|out| out.write_all(text.as_bytes()))
    }

    /// As [`Pending::write`], where nothing may have been there before.
    ///
    /// # Errors
    /// As for [`Pending::write`], and a file that is there: it stays as it is.
    pub fn write_new(self, text: &str) -> Result<()> {
        let Self { path, to } = self;
        let written = match to {
            To::Device(_) => Err(io::ErrorKind::AlreadyExists.into()),
            To::Beside(mut file) => file
                .write_all(text.as_bytes())
                .and_then(|()| file.as_file().sync_all())
                .and_then(|()| {
                    let put = file.persist_noclobber(&path);
                    put.map(|_| ()).map_err(|e| e.error)
                }),
        };
        written.map_err(|e| unwritten(&path, &e))
    }

    /// As [`Pending::write`], with what `put` writes.
    ///
    /// # Errors
    /// As for [`Pending::write`], and those of `put`.
    pub fn write_with(self, put: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<()> {
        let Self { path, to } = self;
        let fill = |file: &mut dyn io::Write| {
            let mut out = io::BufWriter::new(file);
            put(&mut out)?;
            out.flush()
        };
        let written = match to {
            To::Device(mut file) => fill(&mut file),
            To::Beside(mut file) => fill(&mut file)
                .and_then(|()| file.as_file().sync_all())
                .and_then(|()| file.persist(&path).map(|_| ()).map_err(|e| e.error)),
        };
        written.map_err(|e| unwritten(&path, &e))
    }
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Whether a path is one that must be written to as it is. A folder is an error.
fn is_device(path: &Path) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) => {
            let system = ["/dev", "/proc"].iter().any(|p| path.starts_with(p));
            Ok(system || !found.is_file())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("could not write {}", path.display())).because(error);
    failure.hint(match error.kind() {
        io::ErrorKind::NotFound => "create its folder first, or name another one",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there, or name another folder"
        }
        io::ErrorKind::IsADirectory => "name a file",
        _ => "name a file that you may write",
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let pending = Pending::private(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        drop(pending);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        Pending::private(&path).unwrap().write("new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Pending::public(&path).unwrap().write("new").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn what_cannot_be_written_is_known_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [
            dir.path().to_path_buf(),
            dir.path().join("none/out"),
            file.join("out"),
        ] {
            let Err(failure) = Pending::private(&path) else {
                panic!("{} can be written", path.display());
            };
            assert!(failure.layers[0].contains(path.to_str().unwrap()));
            assert_eq!(failure.layers.len(), 2, "{:?}", failure.layers);
        }
    }

    /// A device that was replaced by a file would be missed by everybody on the machine.
    #[test]
    fn a_device_or_a_pipe_is_written_to_and_not_replaced() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        // By links, so that a mistake here harms no device.
        let link = |device: &str| {
            let link = dir.path().join("link");
            let _ = std::fs::remove_file(&link);
            symlink(device, &link).unwrap();
            link
        };
        let null = link("/dev/null");
        Pending::private(&null).unwrap().write("text").unwrap();
        assert!(null.is_symlink());
        let full = Pending::private(&link("/dev/full")).unwrap();
        let Err(failure) = full.write("text") else {
            panic!("a full device takes text");
        };
        assert!(failure.layers[1].contains("space"), "{:?}", failure.layers);
    }
}
