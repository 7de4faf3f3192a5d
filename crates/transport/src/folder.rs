//! Temporary folders for sockets.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A folder with a short path that only our user may look into, whatever the umask says. A socket's
/// path holds about 100 bytes.
pub(crate) fn private(prefix: &str) -> io::Result<tempfile::TempDir> {
    let base = ["/run/user", "/dev/shm", "/tmp"]
        .iter()
        .map(PathBuf::from)
        .map(|p| {
            if p.ends_with("user") {
                p.join(rustix::process::getuid().as_raw().to_string())
            } else {
                p
            }
        })
        .find(|p| p.is_dir() && rustix::fs::access(p, rustix::fs::Access::WRITE_OK).is_ok())
        .unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(&base)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", base.display())))
}
