//! The spec, read from its file.

use std::path::{Path, PathBuf};

use tarsops_model::desired::Desired;
use tarsops_spec::{Base, Diagnostics, Parsed};

use crate::failure::{Failure, Result};

/// A spec that was read and found right.
pub struct Loaded {
    /// Its document, for messages that point into it.
    pub parsed: Parsed,
    /// What it wants.
    pub desired: Desired,
    /// Its folder.
    pub dir: PathBuf,
    /// What may not be meant so.
    pub warnings: Diagnostics,
}

/// Reads the spec at `path`; its mistakes are shown in colours if `color`.
///
/// # Errors
/// A file that cannot be read, or the mistakes of the spec (exit code 3).
pub fn read(path: &Path, color: bool) -> Result<Loaded> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let failure = Failure::new(format!("could not read the spec {}", path.display()));
        failure.because(&e).hint(match e.kind() {
            std::io::ErrorKind::NotFound => {
                "name it with -f or TARSOPS_SPEC, or write one with `tarsops init`"
            }
            std::io::ErrorKind::InvalidData => "the spec must be UTF-8 text",
            _ => "name a file that you may read with -f or TARSOPS_SPEC",
        })
    })?;
    of_text(&text, path, color)
}

/// As [`read`], of a text that is, or will be, in the file at `path`.
///
/// # Errors
/// The mistakes of the spec (exit code 3).
pub fn of_text(text: &str, path: &Path, color: bool) -> Result<Loaded> {
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::new(format!("could not resolve {}", path.display())).because(&e))?;
    let dir = absolute.parent().map(Path::to_path_buf).unwrap_or_default();
    let base = Base {
        dir: dir.clone(),
        home: std::env::home_dir(),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    };
    let parsed = tarsops_spec::parse(text, &path.display().to_string())
        .map_err(|d| Failure::invalid(&d, color))?;
    let (desired, warnings) = parsed
        .lower(&base)
        .map_err(|d| Failure::invalid(&d, color))?;
    Ok(Loaded {
        parsed,
        desired,
        dir,
        warnings,
    })
}
