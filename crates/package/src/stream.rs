//! The bytes under an archive: hashed as they come, decompressed, and counted against the limits.
//!
//! What must stay true: no read allocates in proportion to what the data claims, and whoever reads
//! on after a limit was passed gets errors only.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use sha2::Digest as _;
use tarsops_model::digest::Digest;

use crate::refusal::{Limits, PackageError};

/// A running sha256.
pub(crate) struct Hasher(sha2::Sha256);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// The compressed file as it is read.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
    size: u64,
    /// Whether the source itself failed, as opposed to what is made of its bytes.
    failed: bool,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf).inspect_err(|e| {
            self.failed |= e.kind() != io::ErrorKind::Interrupted;
        })?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }
}

/// The file is read through gzip members, then whatever is behind them.
enum State<R> {
    Member(Box<GzDecoder<BufReader<Hashed<R>>>>),
    Behind(BufReader<Hashed<R>>),
    /// Only while one state becomes the other.
    Moving,
}

/// The decompressed stream, with the limits.
pub(crate) struct Gunzip<'l, R: Read> {
    state: State<R>,
    limits: &'l Limits,
    total: u64,
    /// Whether a read found the end of the decompressed data.
    pub(crate) ended: bool,
    refused: Option<PackageError>,
}

/// What is known of an archive once it was read to its end.
pub(crate) struct ArchiveSummary {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Bytes behind the last gzip member.
    pub(crate) trailing: u64,
}

impl<'l, R: Read> Gunzip<'l, R> {
    /// Starts to read; the first two bytes must be those of gzip.
    pub(crate) fn new(reader: R, limits: &'l Limits) -> Result<Self, PackageError> {
        let mut buffered = BufReader::new(Hashed {
            inner: reader,
            hasher: Hasher::new(),
            size: 0,
            failed: false,
        });
        let first = buffered.fill_buf().map_err(PackageError::Read)?;
        match first {
            [] => return Err(PackageError::Empty),
            [0x1f, 0x8b, ..] | [0x1f] => {}
            _ => return Err(PackageError::NotGzip),
        }
        Ok(Self {
            state: State::Member(Box::new(GzDecoder::new(buffered))),
            limits,
            total: 0,
            ended: false,
            refused: None,
        })
    }

    fn source(&self) -> Option<&Hashed<R>> {
        match &self.state {
            State::Member(m) => Some(m.get_ref().get_ref()),
            State::Behind(b) => Some(b.get_ref()),
            State::Moving => None,
        }
    }

    /// Whether there was not one byte to decompress.
    pub(crate) fn is_empty(&self) -> bool {
        self.ended && self.total == 0
    }

    /// The reason behind an error that a read gave: a limit, the source, or the data.
    pub(crate) fn explain(&mut self, error: io::Error) -> PackageError {
        if let Some(refused) = self.refused.take() {
            refused
        } else if self.source().is_some_and(|s| s.failed) {
            PackageError::Read(error)
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            PackageError::Truncated {
                what: "the compressed data",
            }
        } else {
            PackageError::Damaged(error)
        }
    }

    /// Reads to the end of the file and gives its digest.
    pub(crate) fn finish(mut self) -> Result<ArchiveSummary, PackageError> {
        let mut buf = [0; 16 << 10];
        loop {
            match self.read(&mut buf) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => return Err(self.explain(e)),
            }
        }
        let State::Behind(mut rest) = self.state else {
            return Err(PackageError::Truncated {
                what: "the compressed data",
            });
        };
        let mut trailing = 0;
        loop {
            let n = rest.fill_buf().map_err(PackageError::Read)?.len();
            if n == 0 {
                break;
            }
            rest.consume(n);
            trailing += n as u64;
            check_total(rest.get_ref().size, self.limits)?;
        }
        let source = rest.into_inner();
        Ok(ArchiveSummary {
            digest: source.hasher.finish(),
            size: source.size,
            trailing,
        })
    }

    /// Goes on to the next member, if there is one.
    fn next_member(&mut self) -> io::Result<()> {
        if let State::Member(member) = std::mem::replace(&mut self.state, State::Moving) {
            let mut rest = member.into_inner();
            // One byte alone may be the end of a buffer in the middle of the mark.
            let again = rest
                .fill_buf()
                .map(|b| b == [0x1f] || b.starts_with(&[0x1f, 0x8b]));
            self.state = match again {
                Ok(true) => State::Member(Box::new(GzDecoder::new(rest))),
                Ok(false) | Err(_) => State::Behind(rest),
            };
            again?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), PackageError> {
        check_total(self.total, self.limits)?;
        let packed = self.source().map_or(0, |s| s.size);
        check_total(packed, self.limits)?;
        if self.total > self.limits.ratio_from && self.total / self.limits.max_ratio.max(1) > packed
        {
            return Err(PackageError::Ratio {
                ratio: self.limits.max_ratio,
            });
        }
        Ok(())
    }
}

fn check_total(size: u64, limits: &Limits) -> Result<(), PackageError> {
    if size > limits.max_total {
        return Err(PackageError::TooMuch {
            what: "too many bytes",
            limit: limits.max_total,
        });
    }
    Ok(())
}

impl<R: Read> Read for Gunzip<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.refused.is_some() {
            return Err(io::Error::other("a limit was passed"));
        }
        if buf.is_empty() {
            return Ok(0);
        }
        while let State::Member(member) = &mut self.state {
            let n = member.read(buf)?;
            if n == 0 {
                self.next_member()?;
                continue;
            }
            self.total += n as u64;
            if let Err(refused) = self.check() {
                self.refused = Some(refused);
                return Err(io::Error::other("a limit was passed"));
            }
            return Ok(n);
        }
        self.ended = true;
        Ok(0)
    }
}
