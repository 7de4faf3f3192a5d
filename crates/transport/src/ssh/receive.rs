//! Reads what a host sends, up to a limit. Who sends more is cut off at once.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::local;
use crate::remote::{Bounds, Excess, Fault, FaultKind};

/// Bytes that are read at once.
const PART: usize = 32 << 10;

/// Bytes that login files may print before the answer.
const MAX_NOISE: usize = 64 << 10;

/// What came before an answer, and what was read of it.
pub(super) struct Begun {
    /// What stood before the mark.
    pub(super) noise: Vec<u8>,
    /// Whether the mark came at all.
    pub(super) found: bool,
    /// What was read behind it.
    pub(super) rest: std::io::Cursor<Vec<u8>>,
}

/// Reads up to `mark`, wherever in a line it begins. Where the pipe ends before it, all was noise.
///
/// # Errors
/// An [`Excess`] as a fault where there is too much before it; a fault if the connection breaks.
pub(super) async fn skip_to(
    pipe: &mut (impl AsyncRead + Unpin),
    mark: &[u8],
) -> Result<Begun, Fault> {
    let mut seen = Vec::new();
    let mut part = vec![0u8; PART];
    loop {
        let n = pipe.read(&mut part).await.map_err(|e| {
            Fault::new(
                FaultKind::Disconnected,
                format!("its answer broke off: {e}"),
            )
        })?;
        // The mark may lie across two reads.
        let from = seen.len().saturating_sub(mark.len());
        seen.extend_from_slice(&part[..n]);
        let found = seen[from..].windows(mark.len()).position(|w| w == mark);
        if let Some(at) = found.map(|at| from + at) {
            let rest = seen.split_off(at + mark.len());
            seen.truncate(at);
            return Ok(Begun {
                noise: seen,
                found: true,
                rest: std::io::Cursor::new(rest),
            });
        }
        if n == 0 {
            return Ok(Begun {
                noise: seen,
                found: false,
                rest: std::io::Cursor::default(),
            });
        }
        if seen.len() > MAX_NOISE {
            return Err(Excess::Bytes(MAX_NOISE as u64).into());
        }
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// An [`Excess`] as a fault, as soon as a limit is passed; a fault if the connection breaks.
pub(super) async fn answer(
    pipe: &mut (impl AsyncRead + Unpin),
    bounds: Bounds,
) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut part = vec![0u8; PART];
    let mut lines = 0;
    loop {
        let n = pipe.read(&mut part).await.map_err(|e| {
            Fault::new(
                FaultKind::Disconnected,
                format!("its answer broke off: {e}"),
            )
        })?;
        let part = &part[..n];
        lines += part.iter().filter(|b| **b == b'\n').count();
        if out.len() + n > bounds.bytes {
            return Err(Excess::Bytes(bounds.bytes as u64).into());
        }
        if lines > bounds.lines {
            return Err(Excess::Lines(bounds.lines).into());
        }
        if n == 0 {
            return Ok(out);
        }
        out.extend_from_slice(part);
    }
}

/// Writes at most `most` bytes of `pipe` to the new file `to`. The file stays only where all of it
/// came: a failure, a signal and a future that is dropped remove it.
///
/// # Errors
/// An [`Excess`] as a fault; a fault if the connection breaks or the file cannot be written.
pub(super) async fn file(
    pipe: &mut (impl AsyncRead + Unpin),
    to: &Path,
    most: u64,
) -> Result<Unfinished, Fault> {
    let failed = |e: std::io::Error| local(format!("could not write {}: {e}", to.display()));
    let mut file = tokio::fs::File::create_new(to).await.map_err(failed)?;
    let unfinished = Unfinished(Some(to.to_path_buf()));
    let mut part = vec![0u8; PART];
    let mut left = most;
    loop {
        let n = pipe
            .read(&mut part)
            .await
            .map_err(|e| Fault::new(FaultKind::Disconnected, format!("its file broke off: {e}")))?;
        if n == 0 {
            break;
        }
        left = left
            .checked_sub(n as u64)
            .ok_or_else(|| Fault::from(Excess::Bytes(most)))?;
        file.write_all(&part[..n]).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(unfinished)
}

/// A file that is removed unless it is declared whole.
pub(super) struct Unfinished(Option<PathBuf>);

impl Unfinished {
    /// The file stays.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // The folder that it is in goes with this process anyway.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        bytes: 100,
        lines: 3,
        time: Duration::from_secs(1),
    };

    #[tokio::test]
    async fn an_answer_ends_at_its_limits() {
        let whole = "x".repeat(100);
        assert_eq!(
            answer(&mut whole.as_bytes(), BOUNDS).await.unwrap(),
            whole.as_bytes()
        );
        let large = "x".repeat(101);
        let fault = answer(&mut large.as_bytes(), BOUNDS).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::TooMuch);
        assert_eq!(fault.text, "it answered more than 100 bytes");
        assert!(answer(&mut &b"a\nb\nc\n"[..], BOUNDS).await.is_ok());
        let fault = answer(&mut &b"a\nb\nc\n\n"[..], BOUNDS).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::TooMuch);
        assert_eq!(fault.text, "it answered more than 3 lines");
    }

    #[tokio::test]
    async fn what_stands_before_an_answer_is_no_part_of_it() {
        let begun = skip_to(&mut &b"\x1b]0;n1\x07MARK\nanswer"[..], b"MARK\n")
            .await
            .unwrap();
        assert_eq!(begun.noise, b"\x1b]0;n1\x07");
        assert_eq!(begun.rest.into_inner(), b"answer");
        // In pieces, and a beginning of a mark that is none.
        let pieces = (&b"MAR"[..]).chain(&b"MA"[..]).chain(&b"RK\nx"[..]);
        let begun = skip_to(&mut Box::pin(pieces), b"MARK\n").await.unwrap();
        assert_eq!(begun.noise, b"MAR");
        assert_eq!(begun.rest.into_inner(), b"x");
        let begun = skip_to(&mut &b"sudo: no"[..], b"MARK\n").await.unwrap();
        assert_eq!((&begun.noise[..], begun.found), (&b"sudo: no"[..], false));
        let fault = skip_to(&mut tokio::io::repeat(b'x'), b"MARK\n").await.err();
        assert_eq!(fault.unwrap().kind, FaultKind::TooMuch);
    }

    #[tokio::test]
    async fn what_never_ends_is_not_gathered() {
        let mut endless = tokio::io::repeat(b'x');
        let fault = answer(&mut endless, BOUNDS).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::TooMuch);
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("f");
        let fault = file(&mut endless, &to, 1 << 20).await.err().unwrap();
        assert_eq!(fault.text, "it answered more than 1024 KiB");
        assert!(!to.exists());
    }

    #[tokio::test]
    async fn a_file_stays_only_where_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("f");
        drop(file(&mut &b"abc"[..], &to, 3).await.unwrap());
        assert!(!to.exists());
        file(&mut &b"abc"[..], &to, 3).await.unwrap().keep();
        assert_eq!(std::fs::read(&to).unwrap(), b"abc");
        // What is there already is somebody else's.
        let fault = file(&mut &b"abc"[..], &to, 3).await.err().unwrap();
        assert_eq!(fault.kind, FaultKind::Local);
        assert!(to.exists());
    }
}
