//! Reads what a host sends, up to a limit. Who sends more is cut off at once.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::local;
use crate::remote::{Bounds, Excess, Fault, FaultKind};

/// Bytes that are read at once.
const PART: usize = 32 << 10;

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
            // The folder that it lies in goes with this process anyway.
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
