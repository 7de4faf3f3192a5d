//! Temporary folders for sockets.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
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

/// The folder called `name` that stays between runs, which only our user may look into. It has room for
/// sockets in folders of twelve letters.
///
/// # Errors
/// No place on this machine has room for it; what each of them said.
pub(crate) fn lasting(name: &str) -> io::Result<PathBuf> {
    let own = format!("/run/user/{}", rustix::process::getuid().as_raw());
    let mut said = Vec::new();
    for place in [own.as_str(), "/dev/shm", "/tmp"] {
        let dir = Path::new(place).join(name);
        match ours(&dir) {
            Ok(()) => return Ok(dir),
            Err(e) => said.push(format!("{}: {e}", dir.display())),
        }
    }
    Err(io::Error::other(said.join("; ")))
}

/// Makes `dir` if it is not there, and sees that nobody else can put anything into it.
fn ours(dir: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    // Where everybody may make folders, somebody else may have made it, or a link in its place.
    let made = std::fs::symlink_metadata(dir)?;
    let is_ours = made.is_dir() && made.uid() == rustix::process::getuid().as_raw();
    if !is_ours || made.mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "it is not a folder that only this user may look into",
        ));
    }
    Ok(())
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
    fn a_lasting_folder_is_ours_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("kept");
        ours(&dir).unwrap();
        ours(&dir).unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        for mode in [0o750, 0o707, 0o701] {
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(ours(&dir).is_err(), "{mode:o}");
        }
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&dir, &link).unwrap();
        assert!(ours(&link).is_err());
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(ours(&file).is_err());
    }

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
