//! The parts of an answer: its lines, what follows them, and lines of files.

use super::line::{AnswerError, Line, Raw};

/// One part of an answer.
pub(super) enum Part<'a> {
    /// A line of the script, with what belongs to it.
    Line(Line<'a>),
    /// A line `FILE:LINE` of grep.
    OfFile {
        /// The file.
        file: &'a str,
        /// A line of it.
        line: &'a [u8],
    },
    /// The end of a whole answer.
    End,
}

/// An answer that is read part by part.
pub(super) struct Frame<'a> {
    rest: &'a [u8],
    /// Begins the last line of what a program printed. Nobody else on the host knows it.
    marker: Vec<u8>,
    /// Lines so far.
    count: usize,
}

impl<'a> Frame<'a> {
    /// The answer that begins with a line that has `nonce`; banners before it may be of any kind.
    pub(super) fn new(stdout: &'a [u8], nonce: &str) -> Option<Self> {
        let first = format!("tarsops-probe/2 {nonce}");
        let mut rest = stdout;
        while !rest.is_empty() {
            if line(&mut rest) == first.as_bytes() {
                let marker = format!("\n{nonce} ").into_bytes();
                return Some(Self {
                    rest,
                    marker,
                    count: 1,
                });
            }
        }
        None
    }

    /// The next part.
    pub(super) fn next(&mut self) -> Result<Part<'a>, AnswerError> {
        if self.rest.is_empty() {
            return Err(AnswerError::CutOff);
        }
        let head = line(&mut self.rest);
        if let Some((file, line)) = of_file(head) {
            // Those that are below the framework's folder go through the script, which counts them.
            self.count += usize::from(!file.starts_with('/'));
            return Ok(Part::OfFile { file, line });
        }
        if let Some(total) = head.strip_prefix(b"end ") {
            let total = std::str::from_utf8(total).ok();
            return match total.and_then(|t| t.trim().parse::<usize>().ok()) {
                Some(total) if total == self.count => Ok(Part::End),
                _ => Err(AnswerError::CutOff),
            };
        }
        self.count += 1;
        let raw = if head.ends_with(b" raw") {
            Some(self.raw()?)
        } else {
            None
        };
        let mut more = Vec::new();
        while self.rest.first() == Some(&b'+') {
            let next = line(&mut self.rest);
            self.count += 1;
            if !more.is_empty() {
                more.push(b'\n');
            }
            more.extend_from_slice(next.get(1..).unwrap_or_default());
        }
        Ok(Part::Line(Line::new(head, more, raw)))
    }

    /// What a program printed, and its exit status.
    fn raw(&mut self) -> Result<Raw<'a>, AnswerError> {
        // The line before it has an end, which begins the last line where the program printed nothing.
        let at = find(self.rest, &self.marker).ok_or(AnswerError::CutOff)?;
        let (text, after) = self.rest.split_at(at);
        self.rest = after.get(self.marker.len()..).unwrap_or_default();
        let status = std::str::from_utf8(line(&mut self.rest)).ok();
        let status = status.and_then(|s| s.parse().ok());
        Ok(Raw {
            text,
            status: status.ok_or(AnswerError::CutOff)?,
        })
    }
}

/// Takes the next line.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let all = *rest;
    match all.iter().position(|b| *b == b'\n') {
        Some(at) => {
            *rest = all.get(at + 1..).unwrap_or_default();
            all.get(..at).unwrap_or_default()
        }
        None => {
            *rest = &[];
            all
        }
    }
}

fn of_file(head: &[u8]) -> Option<(&str, &[u8])> {
    if !head.starts_with(b"/") && !head.starts_with(b"tars/") {
        return None;
    }
    let at = head.iter().position(|b| *b == b':')?;
    let (file, line) = head.split_at(at);
    Some((std::str::from_utf8(file).ok()?, line.get(1..)?))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}
