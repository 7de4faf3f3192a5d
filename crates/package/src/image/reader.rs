//! The archive around an image: its entries, each looked at once.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use super::ImageError;
use super::layer::Layer;
use crate::archive::{Longer, Stop};
use crate::refusal::{Limits, PackageError};

/// Bytes of one text of JSON, and of all together.
const JSON: u64 = 4 << 20;
const ALL_JSON: u64 = 32 << 20;

/// One entry of the archive.
pub(super) enum Blob {
    /// A text that may be JSON.
    Json(Vec<u8>),
    /// A layer, read to its end.
    Layer(Layer),
    /// Something compressed by zstd.
    Zstd,
    /// The same as another entry. Engines before 25 write a layer that comes twice so.
    Link(String),
    /// Anything else.
    Other,
}

/// The entries by name.
#[derive(Default)]
pub(super) struct Blobs(BTreeMap<String, Blob>);

impl Blobs {
    /// An entry; a link is followed once.
    pub(super) fn get(&self, name: &str) -> Option<&Blob> {
        match self.0.get(name)? {
            Blob::Link(target) => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                self.0.get(&beside(folder, target)?)
            }
            blob => Some(blob),
        }
    }
}

/// The path that `target` is from within `folder`; none if it leads out.
fn beside(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A reader that ends with an error once it gave more than it may.
pub(super) struct Counted<R> {
    inner: R,
    /// Bytes that may still come.
    pub(super) left: u64,
}

impl<R> Counted<R> {
    pub(super) const fn new(inner: R, left: u64) -> Self {
        Self { inner, left }
    }
}

/// What [`Counted`] ends with.
#[derive(Debug, thiserror::Error)]
#[error("a limit was passed")]
struct Passed;

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(Passed))?;
        Ok(n)
    }
}

/// An error of reading, as what it means.
pub(super) fn meant(e: io::Error, limits: &Limits) -> PackageError {
    let passed = e.get_ref().is_some_and(|inner| inner.is::<Passed>());
    if passed {
        PackageError::TooMuch {
            what: "too many bytes",
            limit: limits.max_total,
        }
    } else if e.kind() == io::ErrorKind::UnexpectedEof {
        PackageError::Truncated {
            what: "the archive",
        }
    } else {
        PackageError::Damaged(e)
    }
}

/// The reason why an extended header was refused.
pub(super) fn refused(stop: Stop, limits: &Limits) -> PackageError {
    match stop {
        Stop::Io(e) => meant(e, limits),
        Stop::Refused(e) => e,
    }
}

/// Reads all entries.
pub(super) fn read(archive: &mut dyn Read, limits: &Limits) -> Result<Blobs, ImageError> {
    let mut blobs = Blobs::default();
    let mut texts = ALL_JSON;
    // Of unpacked layers, all together.
    let mut room = limits.max_total;
    let mut archive = tar::Archive::new(Counted::new(archive, limits.max_total));
    let entries = archive.entries().map_err(|e| meant(e, limits))?.raw(true);
    let mut longer = Longer::default();
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|e| meant(e, limits))?;
        if count >= limits.max_entries {
            return Err(PackageError::TooMuch {
                what: "too many entries",
                limit: limits.max_entries as u64,
            }
            .into());
        }
        let kind = entry.header().entry_type();
        let size = entry.size();
        let said = longer.described(&mut entry, limits);
        let Some((raw, longer)) = said.map_err(|stop| refused(stop, limits))? else {
            continue;
        };
        // A name only has to be the one that the manifest says.
        let Ok(name) = String::from_utf8(raw) else {
            continue;
        };
        let name = name.trim_start_matches("./").to_owned();
        let blob = match kind {
            EntryType::Regular | EntryType::Continuous => {
                blob(&mut entry, size, &mut texts, &mut room, limits)?
            }
            EntryType::Symlink => {
                let target = longer.link;
                let target = target.or_else(|| entry.link_name_bytes().map(|l| l.into_owned()));
                let target = target.and_then(|t| String::from_utf8(t).ok());
                Blob::Link(target.unwrap_or_default())
            }
            _ => continue,
        };
        if blobs.0.insert(name.clone(), blob).is_some() {
            return Err(PackageError::Duplicate { name }.into());
        }
    }
    Ok(blobs)
}

/// Looks at one entry.
fn blob(
    entry: &mut dyn Read,
    size: u64,
    texts: &mut u64,
    room: &mut u64,
    limits: &Limits,
) -> Result<Blob, ImageError> {
    let mut head = Vec::new();
    let failed = |e| ImageError::from(meant(e, limits));
    let read = entry.take(4).read_to_end(&mut head);
    read.map_err(failed)?;
    let whole = head.as_slice().chain(entry);
    match head.as_slice() {
        [b'{' | b'[', ..] if size <= JSON => {
            let left = texts.checked_sub(size);
            *texts = left.ok_or(PackageError::TooMuch {
                what: "texts of too many bytes",
                limit: ALL_JSON,
            })?;
            let mut text = Vec::new();
            whole.take(JSON).read_to_end(&mut text).map_err(failed)?;
            Ok(Blob::Json(text))
        }
        [0x28, 0xb5, 0x2f, 0xfd] => Ok(Blob::Zstd),
        [0x1f, 0x8b, ..] => {
            let mut unpacked = MultiGzDecoder::new(whole);
            // A few bytes may claim to be any number of them.
            let most = size
                .saturating_mul(limits.max_ratio)
                .max(limits.ratio_from)
                .min(*room);
            Layer::read(&mut unpacked, most, room, limits).map(Blob::Layer)
        }
        // Smaller than any archive.
        _ if size < 512 => Ok(Blob::Other),
        _ => {
            let mut whole = whole;
            let most = *room;
            Layer::read(&mut whole, most, room, limits).map(Blob::Layer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn a_link_stays_in_its_archive() {
        assert_eq!(beside("b", "../a/layer.tar").unwrap(), "a/layer.tar");
        assert_eq!(beside("", "a/layer.tar").unwrap(), "a/layer.tar");
        assert!(beside("b", "../../a").is_none());
    }
}
