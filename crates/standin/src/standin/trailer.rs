//! The trailer at the end of a stand-in: what it pretends to be.
//!
//! Layout, from the end of the file: 16 bytes of magic, 8 bytes little-endian length of the JSON
//! before it, the JSON, and before that whatever padding was asked for.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 16] = b"tarsops-standin1";
const FOOTER: u64 = 16 + 8;
/// No honest trailer is larger; a larger length means a damaged file.
const LARGEST: u64 = 64 * 1024;

/// A stand-in could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum StandinError {
    /// A file could not be read or written.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was being done, as an infinitive.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The trailer is there but does not make sense.
    #[error("the stand-in trailer of {} is damaged", .path.display())]
    Trailer {
        /// The file.
        path: PathBuf,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
}

/// What a stand-in does once started as the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Behaviour {
    /// Listens, answers `--monitor`, rewrites its configuration: as the real one.
    Healthy,
    /// Reads its configuration, complains, exits with 1.
    CrashAtStart,
    /// Runs, but opens no port.
    NeverListens,
    /// Healthy for this many seconds, then exits with 1.
    ExitAfter(u64),
}

impl From<Behaviour> for String {
    fn from(behaviour: Behaviour) -> Self {
        match behaviour {
            Behaviour::Healthy => "healthy".into(),
            Behaviour::CrashAtStart => "crash-at-start".into(),
            Behaviour::NeverListens => "never-listens".into(),
            Behaviour::ExitAfter(seconds) => format!("exit-after:{seconds}"),
        }
    }
}

impl TryFrom<String> for Behaviour {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "healthy" => Ok(Self::Healthy),
            "crash-at-start" => Ok(Self::CrashAtStart),
            "never-listens" => Ok(Self::NeverListens),
            other => other
                .strip_prefix("exit-after:")
                .and_then(|seconds| seconds.parse().ok())
                .map(Self::ExitAfter)
                .ok_or_else(|| format!("unknown behaviour '{other}'")),
        }
    }
}

/// What a stand-in pretends to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Framework version: what `--nodeversion` prints.
    pub version: String,
    /// Library version: what `--version` prints.
    pub tarscpp: String,
    /// What it does once started.
    pub behaviour: Behaviour,
    /// Milliseconds until it first rewrites its own configuration, and between two looks after.
    pub rewrite_ms: u64,
    /// Size in bytes that the file is padded to with incompressible data, if it is smaller.
    #[serde(skip)]
    pub pad_to: Option<u64>,
}

impl Identity {
    /// An agent of framework `version` that behaves so; it rewrites its configuration after a minute.
    #[must_use]
    pub fn new(version: impl Into<String>, behaviour: Behaviour) -> Self {
        Self {
            version: version.into(),
            tarscpp: "3.0.20".into(),
            behaviour,
            rewrite_ms: 60_000,
            pad_to: None,
        }
    }

    /// The same with another delay before it rewrites its own configuration.
    #[must_use]
    pub fn rewriting_after(mut self, delay: Duration) -> Self {
        self.rewrite_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// The same with the file padded to at least `bytes` of incompressible data.
    #[must_use]
    pub fn padded_to(mut self, bytes: u64) -> Self {
        self.pad_to = Some(bytes);
        self
    }
}

/// Write to `out` a copy of the program `exe` that pretends to be `identity`, mode 0755.
///
/// The copy appears under its name in one rename, so a running stand-in is never written to. A
/// trailer that `exe` already has is left out of the copy.
///
/// # Errors
/// When a file cannot be read or written.
pub fn make(exe: &Path, out: &Path, identity: &Identity) -> Result<(), StandinError> {
    let mut source = File::open(exe).map_err(at("open", exe))?;
    let program = match find(&mut source, exe)? {
        Some((start, _)) => start,
        None => source.metadata().map_err(at("read", exe))?.len(),
    };
    source.rewind().map_err(at("read", exe))?;

    let folder = out
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(at("create", folder))?;
    let mut copy =
        tempfile::NamedTempFile::new_in(folder).map_err(at("create a file in", folder))?;
    io::copy(&mut source.take(program), copy.as_file_mut()).map_err(at("write", out))?;

    let json = serde_json::to_vec(identity).map_err(|source| StandinError::Trailer {
        path: out.into(),
        source,
    })?;
    let mut writer = BufWriter::new(copy.as_file_mut());
    if let Some(size) = identity.pad_to {
        let padding = size.saturating_sub(program + json.len() as u64 + FOOTER);
        write_noise(&mut writer, padding, &json).map_err(at("write", out))?;
    }
    writer
        .write_all(&json)
        .and_then(|()| writer.write_all(&(json.len() as u64).to_le_bytes()))
        .and_then(|()| writer.write_all(MAGIC))
        .and_then(|()| writer.flush())
        .map_err(at("write", out))?;
    drop(writer);

    std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755))
        .map_err(at("set the mode of", out))?;
    copy.persist(out)
        .map_err(|error| at("rename into place", out)(error.error))?;
    Ok(())
}

/// What the file at `path` pretends to be; `None` if it carries no trailer.
///
/// # Errors
/// When the file cannot be read, or carries a damaged trailer.
pub fn read_identity(path: &Path) -> Result<Option<Identity>, StandinError> {
    let mut file = File::open(path).map_err(at("open", path))?;
    Ok(find(&mut file, path)?.map(|(_, identity)| identity))
}

/// Where the trailer's JSON begins, and what it says.
fn find(file: &mut File, path: &Path) -> Result<Option<(u64, Identity)>, StandinError> {
    let size = file.metadata().map_err(at("read", path))?.len();
    if size < FOOTER {
        return Ok(None);
    }
    let mut footer = [0u8; FOOTER as usize];
    file.seek(SeekFrom::Start(size - FOOTER))
        .map_err(at("read", path))?;
    file.read_exact(&mut footer).map_err(at("read", path))?;
    let (length, magic) = footer.split_at(8);
    if magic != MAGIC {
        return Ok(None);
    }
    let length = length
        .iter()
        .rev()
        .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    if length > LARGEST.min(size - FOOTER) {
        return Ok(None);
    }
    let start = size - FOOTER - length;
    let mut json = vec![0u8; usize::try_from(length).unwrap_or_default()];
    file.seek(SeekFrom::Start(start))
        .map_err(at("read", path))?;
    file.read_exact(&mut json).map_err(at("read", path))?;
    serde_json::from_slice(&json)
        .map(|identity| Some((start, identity)))
        .map_err(|source| StandinError::Trailer {
            path: path.into(),
            source,
        })
}

/// Bytes that no archiver shrinks, the same for the same seed (xorshift64*).
fn write_noise(out: &mut impl Write, bytes: u64, seed: &[u8]) -> io::Result<()> {
    let mut state = seed.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    }) | 1;
    let mut left = bytes;
    while left > 0 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        let take = left.min(8);
        out.write_all(&word[..take as usize])?;
        left -= take;
    }
    Ok(())
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StandinError {
    let path = path.to_path_buf();
    move |source| StandinError::File {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_is_read_back_and_not_stacked() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("program");
        std::fs::write(&exe, b"not really a program").unwrap();
        assert_eq!(read_identity(&exe).unwrap(), None);

        let first = Identity::new("3.0.17", Behaviour::Healthy);
        let second = Identity::new("3.0.18", Behaviour::ExitAfter(7));
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        make(&exe, &a, &first).unwrap();
        make(&a, &b, &second).unwrap();
        assert_eq!(read_identity(&a).unwrap(), Some(first));
        assert_eq!(read_identity(&b).unwrap(), Some(second));
        assert!(
            std::fs::read(&b)
                .unwrap()
                .starts_with(b"not really a program{")
        );
        assert_eq!(
            std::fs::metadata(&b).unwrap().permissions().mode() & 0o7777,
            0o755
        );
    }

    #[test]
    fn padding_reaches_the_size_and_does_not_shrink() {
        let dir = tempfile::tempdir().unwrap();
        let (exe, out) = (dir.path().join("program"), dir.path().join("out"));
        std::fs::write(&exe, b"x").unwrap();
        make(
            &exe,
            &out,
            &Identity::new("1", Behaviour::Healthy).padded_to(100_000),
        )
        .unwrap();
        let bytes = std::fs::read(&out).unwrap();
        assert_eq!(bytes.len(), 100_000);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&bytes).unwrap();
        assert!(packed.finish().unwrap().len() > 99_000);
        assert!(read_identity(&out).unwrap().is_some());
    }

    #[test]
    fn behaviours_survive_their_names() {
        for behaviour in [
            Behaviour::Healthy,
            Behaviour::CrashAtStart,
            Behaviour::NeverListens,
            Behaviour::ExitAfter(3),
        ] {
            assert_eq!(Behaviour::try_from(String::from(behaviour)), Ok(behaviour));
        }
        assert!(Behaviour::try_from("exit-after:soon".to_owned()).is_err());
    }
}
