//! A program as the framework publishes it: an archive with the program alone.
//!
//! tarsnode takes the file of the server's name out of it and puts it where the server's `exe_path`
//! leads; of the layouts that it knows, `X/X` is the one that the framework's own build makes. The
//! same program gives the same bytes, so that an archive that was uploaded before is known again.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// Writes the archive of a program called `name`, which has `size` bytes.
///
/// # Errors
/// What reading or writing gave; also where the program has another size.
pub fn publishable<R: Read, W: Write>(name: &str, program: R, size: u64, into: W) -> io::Result<W> {
    let gz = GzBuilder::new().mtime(0).write(into, Compression::fast());
    let mut archive = Builder::new(gz);
    let mut folder = header(EntryType::Directory, 0);
    archive.append_data(&mut folder, format!("{name}/"), io::empty())?;
    let mut file = header(EntryType::Regular, size);
    archive.append_data(&mut file, format!("{name}/{name}"), program.take(size))?;
    archive.into_inner()?.finish()
}

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_is_one_archive_and_comes_out_again() {
        let program = b"\x7fELF and more".repeat(5000);
        let size = program.len() as u64;
        let one = publishable("tarsstat", program.as_slice(), size, Vec::new()).unwrap();
        let two = publishable("tarsstat", program.as_slice(), size, Vec::new()).unwrap();
        assert_eq!(one, two);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(one.as_slice()));
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().display().to_string());
            if names.len() == 2 {
                assert_eq!(entry.header().mode().unwrap(), 0o755);
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, program);
            }
        }
        assert_eq!(names, ["tarsstat/", "tarsstat/tarsstat"]);
    }
}
