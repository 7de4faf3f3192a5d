//! Keys of database servers that this operator has met, one line for each: address, node of the
//! tunnel or `-`, and the fingerprint of the server's public key.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tarsops_model::digest::Digest;

/// What stands before the digits of a fingerprint.
pub const FINGERPRINT: &str = "sha256:";
/// How long another run may hold the file. Each holds it for the time of one write.
const LOCK: Duration = Duration::from_secs(5);
/// No file of this kind is larger, in bytes.
const LARGEST: u64 = 1 << 20;
const HEAD: &str = "# Database servers that tarsops has met: address, node of the tunnel, key.\n\
                    # Remove the line of a server whose key was changed for a reason that you know.\n";

/// Why the file cannot be relied on; one lowercase clause.
#[derive(Debug, thiserror::Error)]
pub enum KnownError {
    /// The operating system refused something.
    #[error("{} cannot be {what}: {why}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        why: String,
    },
    /// Somebody else could have written it.
    #[error(
        "{} belongs to another user or may be written by others; make it yours, with mode 600",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// A line cannot be read.
    #[error("{} line {line} is damaged; mend it, or remove it", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
    /// Another run holds it.
    #[error("another run of tarsops locks {} for too long; try again", .0.display())]
    Held(PathBuf),
}

/// A server's key as the file has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Digest of the public key.
    pub(super) key: Digest,
    /// The number of the line, from 1.
    pub(super) line: usize,
}

/// The file with the keys of one cluster's database servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownServers(PathBuf);

impl KnownServers {
    /// Keeps keys in `file`, which need not be there yet.
    #[must_use]
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    /// Where they are.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.0
    }

    fn io(&self, what: &'static str) -> impl Fn(io::Error) -> KnownError + '_ {
        move |error| KnownError::Io {
            file: self.0.clone(),
            what,
            why: error.to_string(),
        }
    }

    /// The key of `server`, as [`server`] names it, if it was met before.
    pub(super) fn find(&self, server: &str) -> Result<Option<Known>, KnownError> {
        let text = self.read()?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let damaged = || KnownError::Damaged {
                file: self.0.clone(),
                line: number + 1,
            };
            let (name, key) = line.rsplit_once(' ').ok_or_else(damaged)?;
            let key = key
                .strip_prefix(FINGERPRINT)
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(damaged)?;
            if name == server {
                return Ok(Some(Known {
                    key,
                    line: number + 1,
                }));
            }
        }
        Ok(None)
    }

    /// Adds `server` with `key`, unless another run did meanwhile: then that run's entry.
    pub(super) fn add(&self, server: &str, key: &Digest) -> Result<Option<Known>, KnownError> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(self.io("made"))?;
        let _lock = self.lock()?;
        if let Some(known) = self.find(server)? {
            return Ok(Some(known));
        }
        self.write(server, key, None)?;
        Ok(None)
    }

    /// Adds `server` with `key`, in the place of another key that it had.
    pub(super) fn replace(&self, server: &str, key: &Digest) -> Result<(), KnownError> {
        let is_known = |known: Option<Known>| known.is_some_and(|known| known.key == *key);
        if is_known(self.find(server)?) {
            return Ok(());
        }
        let folder = self.0.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(self.io("made"))?;
        let _lock = self.lock()?;
        let known = self.find(server)?;
        if is_known(known) {
            return Ok(());
        }
        self.write(server, key, known.map(|known| known.line))
    }

    /// Writes `server` with `key` into the line with the number `at`, from 1, or into a new one. The file is
    /// held.
    fn write(&self, server: &str, key: &Digest, at: Option<usize>) -> Result<(), KnownError> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let before = self.read()?;
        let mut lines: Vec<&str> = before.lines().collect();
        if lines.is_empty() {
            lines.extend(HEAD.lines());
        }
        let entry = format!("{server} {FINGERPRINT}{key}");
        match at.and_then(|at| lines.get_mut(at - 1)) {
            Some(line) => *line = &entry,
            None => lines.push(&entry),
        }
        let text = lines.join("\n") + "\n";
        // Readable for its owner only, and never half written under its name.
        let mut new = tempfile::NamedTempFile::new_in(folder).map_err(self.io("written"))?;
        let written = new
            .write_all(text.as_bytes())
            .and_then(|()| new.as_file().set_permissions(Permissions::from_mode(0o600)))
            .and_then(|()| new.as_file().sync_all());
        written.map_err(self.io("written"))?;
        new.persist(&self.0)
            .map_err(|e| self.io("written")(e.error))?;
        Ok(())
    }

    fn read(&self) -> Result<String, KnownError> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(e) => return Err(self.io("read")(e)),
        };
        let meta = file.metadata().map_err(self.io("read"))?;
        let ours = rustix::process::geteuid().as_raw();
        if meta.uid() != ours || meta.mode() & 0o022 != 0 {
            return Err(KnownError::NotOurs(self.0.clone()));
        }
        // Half a file would be written again as a whole one.
        if meta.len() > LARGEST {
            let why = format!("it has more than {LARGEST} bytes");
            return Err(self.io("read")(io::Error::other(why)));
        }
        let mut text = String::new();
        file.take(LARGEST)
            .read_to_string(&mut text)
            .map_err(self.io("read"))?;
        Ok(text)
    }

    /// Holds the file until the result is dropped. The lock has a file of its own, as ours is replaced.
    fn lock(&self) -> Result<File, KnownError> {
        let mut name = self.0.clone().into_os_string();
        name.push(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(name)
            .map_err(self.io("locked"))?;
        let until = Instant::now() + LOCK;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(KnownError::Held(self.0.clone()));
                }
                Err(std::fs::TryLockError::Error(e)) => return Err(self.io("locked")(e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, KnownServers) {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownServers::at(dir.path().join("state/known"));
        (dir, known)
    }

    #[test]
    fn the_first_key_of_a_server_stays() {
        let (_dir, known) = fresh();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert_eq!(known.find("db:3306 -").unwrap(), None);
        assert_eq!(known.add("db:3306 -", &one).unwrap(), None);
        let first = Some(Known { key: one, line: 3 });
        assert_eq!(known.add("db:3306 -", &two).unwrap(), first);
        assert_eq!(known.find("db:3306 -").unwrap(), first);
        // Another server, and the same address behind a node.
        assert_eq!(known.find("db:3307 -").unwrap(), None);
        assert_eq!(known.add("db:3306 gw", &two).unwrap(), None);
        assert_eq!(known.find("db:3306 gw").unwrap().unwrap().key, two);
        let mode = std::fs::metadata(known.file()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_is_vouched_for_takes_the_place_of_another() {
        let (_dir, known) = fresh();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        known.replace("db:1 -", &one).unwrap();
        known.add("db:2 -", &one).unwrap();
        known.replace("db:1 -", &two).unwrap();
        known.replace("db:1 -", &two).unwrap();
        let found = |server| known.find(server).unwrap();
        assert_eq!(found("db:1 -"), Some(Known { key: two, line: 3 }));
        assert_eq!(found("db:2 -"), Some(Known { key: one, line: 4 }));
        let text = std::fs::read_to_string(known.file()).unwrap();
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn a_file_that_is_damaged_or_not_ours_is_refused() {
        let (_dir, known) = fresh();
        known.add("db:3306 -", &Digest::of(b"1")).unwrap();
        let text = std::fs::read_to_string(known.file()).unwrap();
        for line in ["db:3306 - sha256:12", "db:3306", "db:3306 - md5:00"] {
            std::fs::write(known.file(), format!("# a\n\n{line}\n")).unwrap();
            let error = known.find("other:1 -").unwrap_err();
            assert!(
                matches!(error, KnownError::Damaged { line: 3, .. }),
                "{error}"
            );
        }
        let large = "#".repeat(usize::try_from(LARGEST).unwrap() + 1);
        std::fs::write(known.file(), large).unwrap();
        let error = known.add("db:3306 -", &Digest::of(b"1")).unwrap_err();
        assert!(matches!(error, KnownError::Io { .. }), "{error}");
        std::fs::write(known.file(), text).unwrap();
        std::fs::set_permissions(known.file(), Permissions::from_mode(0o620)).unwrap();
        let error = known.find("db:3306 -").unwrap_err();
        assert!(matches!(error, KnownError::NotOurs(_)), "{error}");
    }

    #[test]
    fn runs_at_the_same_time_lose_no_key() {
        let (_dir, known) = fresh();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let known = &known;
                scope.spawn(move || known.add(&format!("db:{number} -"), &Digest::of(b"1")));
            }
        });
        for number in 0..8 {
            assert!(known.find(&format!("db:{number} -")).unwrap().is_some());
        }
    }
}
