//! Writes a release archive: the same bytes for the same checkout, on whatever machine.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The folder of the archive that everything is in.
const FOLDER: &str = "web";

/// What stands at a name of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebKind {
    /// A file of so many bytes.
    File {
        /// Its size.
        size: u64,
        /// Whether it may be run.
        runs: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: String,
    },
}

/// One name of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebEntry {
    /// The path below its folder, divided by `/`.
    pub name: String,
    /// What it is.
    pub kind: WebKind,
}

/// Whether something of a checkout belongs into its archive. What Git, npm and a console that ran leave
/// does not: packages (`files/`) are made by the framework's installer, and logs are of one host.
fn belongs(name: &str) -> bool {
    let top = name.split('/').next().unwrap_or(name);
    !matches!(top, ".git" | ".github" | "files" | "log")
        && !name.starts_with("node_modules/.cache")
        && name != "node_modules/.package-lock.json"
}

/// Writes the archive of a checkout. `open` opens a file by its name.
///
/// # Errors
/// What reading or writing says; a file that changes while it is read.
pub fn write_web<'o>(
    mut entries: Vec<WebEntry>,
    open: &dyn Fn(&str) -> io::Result<Box<dyn Read + 'o>>,
    to: &mut dyn Write,
) -> io::Result<()> {
    entries.retain(|entry| belongs(&entry.name));
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    // No name and no time of the machine that writes it.
    let gzip = GzBuilder::new().mtime(0).write(to, Compression::best());
    let mut archive = Builder::new(gzip);
    let header = |kind: EntryType, size: u64, mode: u32| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header
    };
    let mut top = header(EntryType::Directory, 0, 0o755);
    archive.append_data(&mut top, format!("{FOLDER}/"), io::empty())?;
    for entry in &entries {
        let name = format!("{FOLDER}/{}", entry.name);
        match &entry.kind {
            WebKind::Folder => {
                let mut header = header(EntryType::Directory, 0, 0o755);
                archive.append_data(&mut header, format!("{name}/"), io::empty())?;
            }
            WebKind::Link { target } => {
                let mut header = header(EntryType::Symlink, 0, 0o777);
                archive.append_link(&mut header, name, target)?;
            }
            WebKind::File { size, runs } => {
                let mode = if *runs { 0o755 } else { 0o644 };
                let mut header = header(EntryType::Regular, *size, mode);
                let mut content = open(&entry.name)?.take(*size);
                archive.append_data(&mut header, name, &mut content)?;
                if content.limit() > 0 {
                    let text = format!("{} became shorter while it was read", entry.name);
                    return Err(io::Error::other(text));
                }
            }
        }
    }
    archive.into_inner()?.finish()?.flush()
}
