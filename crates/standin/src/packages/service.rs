//! Packages of basic services, as they are uploaded to the management platform.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Archive, Binary, PackageError, archive};
use crate::standin::Identity;

/// Where in its archive a service's program is. All of these can be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// `X/X`, as the framework's build makes it.
    Folder,
    /// `X/bin/X`.
    Bin,
    /// `./X/X`, as `tar` writes it that was told to pack `.`.
    Dotted,
    /// `X` alone.
    Bare,
}

impl Inside {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Folder, Self::Bin, Self::Dotted, Self::Bare];
}

/// `out` = a package of the service `name` with its program only. With the name of another server it
/// is one that is published without any effect.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_service(
    exe: &Path,
    out: &Path,
    name: &str,
    inside: Inside,
    identity: &Identity,
) -> Result<(), PackageError> {
    write_service_mode(exe, out, (name, inside), identity, 0o755)
}

/// The same with other permission bits: without those to execute, what is published cannot be started.
///
/// # Errors
/// When the stand-in cannot be made or the archive cannot be written.
pub fn write_service_mode(
    exe: &Path,
    out: &Path,
    (name, inside): (&str, Inside),
    identity: &Identity,
    mode: u32,
) -> Result<(), PackageError> {
    let binary = Binary::make(exe, identity)?;
    archive(out, |tar| match inside {
        Inside::Folder => {
            tar.folder(name)?;
            put(tar, &format!("{name}/{name}"), &binary.path, mode)
        }
        Inside::Bin => {
            tar.folder(name)?;
            tar.folder(&format!("{name}/bin"))?;
            put(tar, &format!("{name}/bin/{name}"), &binary.path, mode)
        }
        Inside::Dotted => put(tar, &format!("./{name}/{name}"), &binary.path, mode),
        Inside::Bare => put(tar, name, &binary.path, mode),
    })
}

/// Under exactly this name: the library would take `./` away.
fn put(tar: &mut Archive, path: &str, file: &Path, mode: u32) -> io::Result<()> {
    let file = File::open(file)?;
    let size = file.metadata()?.len();
    let mut header = Archive::header(tar::EntryType::Regular, size, mode);
    let name = &mut header.as_old_mut().name;
    let bytes = path.as_bytes();
    let room = name
        .get_mut(..bytes.len())
        .ok_or_else(|| io::Error::other("the name is too long for an archive"))?;
    room.copy_from_slice(bytes);
    header.set_cksum();
    tar.0.append(&header, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::Behaviour;

    #[test]
    fn names_are_as_they_are_meant() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("exe");
        std::fs::write(&exe, b"program").unwrap();
        let identity = Identity::new("3.0.17", Behaviour::Healthy);
        let last = |inside: Inside| {
            let out = dir.path().join("x.tgz");
            write_service(&exe, &out, "tarsstat", inside, &identity).unwrap();
            let listed = std::process::Command::new("tar")
                .arg("-tzf")
                .arg(&out)
                .output()
                .unwrap();
            let text = String::from_utf8(listed.stdout).unwrap();
            text.lines().last().unwrap().to_owned()
        };
        let names = Inside::ALL.map(last);
        let wanted = [
            "tarsstat/tarsstat",
            "tarsstat/bin/tarsstat",
            "./tarsstat/tarsstat",
            "tarsstat",
        ];
        assert_eq!(names, wanted);
    }
}
