//! `.tgz` archives: read in one pass, and one file taken out in another.
//!
//! The headers that lengthen names (GNU `L` and `K`, PAX `x` and `g`) are read here rather than by
//! the tar library, because it would hold whatever size they claim.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use tar::EntryType;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::Layout;

use crate::layout::{Found, Item, Listing, check_name, place};
use crate::refusal::{Limits, PackageError};
use crate::stream::{Gunzip, Hasher};

/// The name of an archive without its ending; none if it has no ending of an archive.
#[must_use]
pub fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".tgz")
        .or_else(|| name.strip_suffix(".tar.gz"))
}

/// An archive that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// sha256 of the file.
    pub digest: Digest,
    /// Size of the file in bytes.
    pub size: u64,
    /// How many bytes of it come after the compressed data; they mean nothing but are hashed.
    pub trailing: u64,
    /// The components in it, in the order of [`Component`].
    pub found: Vec<Found>,
    /// The templates in it, by name, where it is a deploy tree.
    pub templates: BTreeMap<String, String>,
    /// Digests of the files that were kept on the way, in the order in which they came.
    pub kept: Vec<Digest>,
}

/// Asked for each file, by its name in the archive: where a copy of it goes, if anywhere.
pub type Keep<'k> = dyn FnMut(&str) -> io::Result<Option<Box<dyn Write>>> + 'k;

/// Reads an archive once, to its end. `source` is its name in the lock file.
///
/// # Errors
/// [`PackageError`] for everything that is no well-formed package within the limits.
pub fn read_archive<R: Read>(
    reader: R,
    source: &str,
    limits: &Limits,
) -> Result<Archive, PackageError> {
    read_archive_keeping(reader, source, limits, &mut |_| Ok(None))
}

/// As [`read_archive`], with copies of the files that `keep` asks for, so that nobody has to read
/// the archive again. A copy is good only if all of this succeeds.
///
/// # Errors
/// As [`read_archive`], and [`PackageError::Write`].
pub fn read_archive_keeping<R: Read>(
    reader: R,
    source: &str,
    limits: &Limits,
    keep: &mut Keep<'_>,
) -> Result<Archive, PackageError> {
    let mut gunzip = Gunzip::new(reader, limits)?;
    let mut listing = Listing::default();
    let mut kept = Vec::new();
    walk(&mut gunzip, limits, &mut |name, size, content| {
        let Some(size) = size else {
            listing.add_folder(name)?;
            return Ok(Next::Go);
        };
        listing.check_new(&name)?;
        let text = listing.keeps_text(&name, size, limits);
        let unwritten = |e| Stop::Refused(PackageError::Write(e));
        let mut copy = keep(&name).map_err(unwritten)?;
        let item = read_item(content, size, text, copy.as_deref_mut())?;
        if let Some(copy) = &mut copy {
            copy.flush().map_err(unwritten)?;
            kept.push(item.digest);
        }
        listing.add_file(name, item);
        Ok(Next::Go)
    })?;
    let whole = gunzip.finish()?;
    let (found, templates) = listing.sort_all(source, Some((whole.digest, whole.size)))?;
    Ok(Archive {
        digest: whole.digest,
        size: whole.size,
        trailing: whole.trailing,
        found,
        templates,
        kept,
    })
}

/// Streams one file of an archive to `to`: the one that would be installed at `path` (such as
/// `bin/tarsnode`) of `component`. Gives its size. The digest is known only at the end, so the
/// caller must not use what was written unless this succeeds.
///
/// # Errors
/// [`PackageError::NoFile`], [`PackageError::OtherDigest`], [`PackageError::Write`], and what
/// [`read_archive`] refuses up to the place of the file.
pub fn extract_file<R: Read>(
    reader: R,
    layout: Layout,
    component: Component,
    path: &str,
    expected: &Digest,
    to: &mut dyn Write,
    limits: &Limits,
) -> Result<u64, PackageError> {
    let mut gunzip = Gunzip::new(reader, limits)?;
    let mut result = None;
    walk(&mut gunzip, limits, &mut |name, size, content| {
        let here = place(layout, &name).is_some_and(|(c, p)| c == component && p == path);
        let (true, Some(size)) = (here, size) else {
            return Ok(Next::Go);
        };
        let mut hasher = Hasher::new();
        copy(content, size, &mut |data| {
            hasher.update(data);
            to.write_all(data)
                .map_err(|e| Stop::Refused(PackageError::Write(e)))
        })?;
        result = Some((hasher.finish(), size));
        Ok(Next::Enough)
    })?;
    let name = path.to_owned();
    match result {
        None => Err(PackageError::NoFile { component, name }),
        Some((found, _)) if found != *expected => Err(PackageError::OtherDigest {
            component,
            name,
            found,
        }),
        Some((_, size)) => Ok(size),
    }
}

/// Whether a walk continues.
enum Next {
    Go,
    Enough,
}

/// Why a walk ends early: an error of the stream is explained by the stream.
pub(crate) enum Stop {
    Io(io::Error),
    Refused(PackageError),
}

impl From<PackageError> for Stop {
    fn from(e: PackageError) -> Self {
        Self::Refused(e)
    }
}

/// Called with the name, the size (none for a folder) and the content.
type Visit<'v> = dyn FnMut(String, Option<u64>, &mut dyn Read) -> Result<Next, Stop> + 'v;

/// Visits all files and folders; refuses everything else.
fn walk<R: Read>(
    gunzip: &mut Gunzip<'_, R>,
    limits: &Limits,
    visit: &mut Visit<'_>,
) -> Result<(), PackageError> {
    let enough = match walk_entries(gunzip, limits, visit) {
        Ok(enough) => enough,
        Err(Stop::Refused(e)) => return Err(e),
        Err(Stop::Io(e)) => return Err(gunzip.explain(e)),
    };
    // The library stops at an empty block without reading on, so whoever saw the end of the data
    // saw it where another entry or the end mark should have been.
    if gunzip.is_empty() {
        return Err(PackageError::Empty);
    }
    if !enough && gunzip.ended {
        return Err(PackageError::Truncated {
            what: "the archive",
        });
    }
    Ok(())
}

fn walk_entries<R: Read>(
    gunzip: &mut Gunzip<'_, R>,
    limits: &Limits,
    visit: &mut Visit<'_>,
) -> Result<bool, Stop> {
    let mut archive = tar::Archive::new(gunzip);
    let entries = archive.entries().map_err(Stop::Io)?.raw(true);
    let mut longer = Longer::default();
    let mut count = 0;
    for entry in entries {
        let mut entry = entry.map_err(Stop::Io)?;
        count += 1;
        if count > limits.max_entries {
            return Err(Stop::Refused(PackageError::TooMuch {
                what: "too many entries",
                limit: limits.max_entries as u64,
            }));
        }
        let kind = entry.header().entry_type();
        let size = entry.size();
        let Some((raw, longer)) = longer.described(&mut entry, limits)? else {
            continue;
        };
        let name = check_name(&raw, limits)?;
        let link = longer
            .link
            .or_else(|| entry.link_name_bytes().map(|l| l.into_owned()));
        check_kind(kind, &name, link.as_deref(), longer.sparse)?;
        if longer.size.is_some_and(|s| s != size) {
            return Err(Stop::Refused(PackageError::Header {
                name,
                why: "it gives two different sizes",
            }));
        }
        // Old archives write folders as files whose name ends with a slash.
        let is_folder = kind.is_dir() || raw.ends_with(b"/");
        if !is_folder && size > limits.max_file {
            return Err(Stop::Refused(PackageError::TooMuch {
                what: "a file with too many bytes",
                limit: limits.max_file,
            }));
        }
        if name.is_empty() {
            if is_folder {
                continue;
            }
            return Err(Stop::Refused(PackageError::Name {
                name: ".".to_owned(),
                why: "is that of no file",
            }));
        }
        let size = (!is_folder).then_some(size);
        if let Next::Enough = visit(name, size, &mut entry)? {
            return Ok(true);
        }
    }
    if longer.name.is_some() || longer.link.is_some() {
        return Err(Stop::Refused(PackageError::Truncated {
            what: "the archive",
        }));
    }
    Ok(false)
}

fn check_kind(
    kind: EntryType,
    name: &str,
    link: Option<&[u8]>,
    sparse: bool,
) -> Result<(), PackageError> {
    let name = name.to_owned();
    match kind {
        EntryType::GNUSparse => Err(PackageError::Sparse { name }),
        EntryType::Regular | EntryType::Continuous if sparse => Err(PackageError::Sparse { name }),
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => Ok(()),
        EntryType::Link | EntryType::Symlink => {
            let target = String::from_utf8_lossy(link.unwrap_or_default());
            let target = target.escape_debug().take(1024).collect();
            Err(PackageError::Link { name, target })
        }
        _ => Err(PackageError::Special { name }),
    }
}

/// What headers before an entry say about it.
#[derive(Default)]
pub(crate) struct Longer {
    name: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Longer {
    /// The raw name of the entry, and what the entries before it say of it; none if it is itself about
    /// the next one, which is noted then.
    pub(crate) fn described<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        limits: &Limits,
    ) -> Result<Option<(Vec<u8>, Self)>, Stop> {
        let (kind, size) = (entry.header().entry_type(), entry.size());
        if self.read(kind, entry, size, limits)? {
            return Ok(None);
        }
        let mut said = std::mem::take(self);
        let name = said.name.take();
        let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
        Ok(Some((name, said)))
    }

    /// Reads the entry if it is about the next one; tells whether it was.
    fn read(
        &mut self,
        kind: EntryType,
        entry: &mut dyn Read,
        size: u64,
        limits: &Limits,
    ) -> Result<bool, Stop> {
        if !matches!(
            kind,
            EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
                | EntryType::XGlobalHeader
        ) {
            return Ok(false);
        }
        // Room for a name, a target and the few attributes that archivers add.
        let limit = 2 * limits.max_name as u64 + (16 << 10);
        if size > limit {
            return Err(Stop::Refused(PackageError::TooMuch {
                what: "a header with too many bytes",
                limit,
            }));
        }
        let mut data = Vec::new();
        copy(entry, size, &mut |part| {
            data.extend_from_slice(part);
            Ok(())
        })?;
        match kind {
            EntryType::GNULongName => self.name = Some(until_nul(data)),
            EntryType::GNULongLink => self.link = Some(until_nul(data)),
            // What is said of all entries (a commit, a time) matters only if it were their names.
            EntryType::XGlobalHeader => {
                let mut all = Self::default();
                all.read_pax(&data)?;
                if all.name.is_some() || all.link.is_some() || all.size.is_some() || all.sparse {
                    return Err(Stop::Refused(PackageError::Header {
                        name: "the global header".to_owned(),
                        why: "it names all files at once",
                    }));
                }
            }
            _ => self.read_pax(&data)?,
        }
        Ok(true)
    }

    fn read_pax(&mut self, data: &[u8]) -> Result<(), Stop> {
        let fail = || {
            Stop::Refused(PackageError::Header {
                name: "an extended header".to_owned(),
                why: "it is malformed",
            })
        };
        for record in tar::PaxExtensions::new(data) {
            let record = record.map_err(|_| fail())?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let value = record.value().ok().and_then(|v| v.parse().ok());
                    self.size = Some(value.ok_or_else(fail)?);
                }
                key if key.starts_with(b"GNU.sparse") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|b| *b == 0) {
        name.truncate(end);
    }
    name
}

/// Hashes a file of `size` bytes, and keeps it as text if `keep` and it is text.
fn read_item(
    content: &mut dyn Read,
    size: u64,
    keep: bool,
    mut to: Option<&mut (dyn Write + 'static)>,
) -> Result<Item, Stop> {
    let mut hasher = Hasher::new();
    let mut kept = Vec::new();
    copy(content, size, &mut |data| {
        hasher.update(data);
        if let Some(to) = to.as_deref_mut() {
            to.write_all(data)
                .map_err(|e| Stop::Refused(PackageError::Write(e)))?;
        }
        if keep {
            kept.extend_from_slice(data);
        }
        Ok(())
    })?;
    Ok(Item {
        size,
        digest: hasher.finish(),
        text: String::from_utf8(kept).ok().filter(|_| keep),
    })
}

/// Hands on exactly `size` bytes.
fn copy(
    from: &mut dyn Read,
    size: u64,
    part: &mut dyn FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut buf = [0; 16 << 10];
    let mut left = size;
    while left > 0 {
        let room = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = match from.read(&mut buf[..room]) {
            Ok(0) => return Err(Stop::Refused(PackageError::Truncated { what: "a file" })),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Stop::Io(e)),
        };
        part(&buf[..n])?;
        left -= n as u64;
    }
    Ok(())
}

/// The same for a file of an unpacked tree, which may change while it is read.
pub(crate) fn read_plain(
    content: &mut dyn Read,
    size: u64,
    keep: bool,
) -> Result<Item, PackageError> {
    read_item(content, size, keep, None).map_err(|stop| match stop {
        Stop::Io(e) => PackageError::Read(e),
        Stop::Refused(e) => e,
    })
}
