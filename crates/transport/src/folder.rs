//! Temporary folders for sockets.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes that the path of a folder for sockets may have. A socket's path holds 104 bytes on some
/// systems, and `ssh` appends 17 to a name of ours while it makes one.
const LONGEST: usize = 60;

/// A folder with a short path that only our user may look into, whatever the umask says.
///
/// # Errors
/// No place on this machine has room for one; what each of them said.
pub(crate) fn private(prefix: &str) -> io::Result<tempfile::TempDir> {
    let own = format!("/run/user/{}", rustix::process::getuid().as_raw());
    // What a variable names comes last: it may be long, or on a disk without sockets.
    let mut places: Vec<PathBuf> = [own.as_str(), "/dev/shm", "/tmp"].map(PathBuf::from).into();
    places.push(std::env::temp_dir());
    first_of(&places, prefix)
}

fn first_of(places: &[PathBuf], prefix: &str) -> io::Result<tempfile::TempDir> {
    let mut said = Vec::new();
    for place in places {
        match made(place, prefix) {
            Ok(dir) => return Ok(dir),
            Err(e) => said.push(format!("{}: {e}", place.display())),
        }
    }
    Err(io::Error::other(said.join("; ")))
}

fn made(place: &Path, prefix: &str) -> io::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new()
        .prefix(prefix)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(place)?;
    if dir.path().as_os_str().len() > LONGEST {
        return Err(io::Error::other("its path is too long for a socket"));
    }
    // A full disk makes folders, and no files in them.
    std::fs::write(dir.path().join("try"), [0; 4096])?;
    std::fs::remove_file(dir.path().join("try"))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_serve_is_passed_over() {
        let good = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let long = good.path().join("x".repeat(LONGEST));
        std::fs::create_dir(&long).unwrap();
        let file = good.path().join("file");
        std::fs::write(&file, "").unwrap();
        let missing = good.path().join("missing");
        // Every write there fails as on a full disk or without rights, for root, too.
        let unwritable = PathBuf::from("/proc");
        let bad = [long, file, missing, unwritable];
        let mut places = bad.to_vec();
        places.push(good.path().to_path_buf());
        let dir = first_of(&places, "t-").unwrap();
        assert_eq!(dir.path().parent(), Some(good.path()));
        let error = first_of(&bad, "t-").unwrap_err().to_string();
        for place in &bad {
            assert!(error.contains(&place.display().to_string()), "{error}");
        }
        assert!(error.contains("too long for a socket"), "{error}");
    }
}
