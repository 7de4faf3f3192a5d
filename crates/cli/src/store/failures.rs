//! Failures of this machine that say nothing of what is in a package.

use std::io;
use std::path::Path;

use crate::failure::Failure;

/// A failure of this machine's temporary folder.
pub fn no_space(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(what).because(error).hint(format!(
        "free space in {}, or set TMPDIR to a folder that has more",
        std::env::temp_dir().display()
    ))
}

/// A failure to read a file of this machine, which says nothing of what is in it.
pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "could not read {}; nothing was changed",
        path.display()
    ))
    .because(error)
    .hint("check that the file exists and that you may read it")
}

pub fn at_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
