//! One line of an answer, and the values in its words.

use std::str::FromStr;

use base64::Engine as _;
use tarsops_model::agent::FileFact;
use tarsops_model::observed::Observed;
use tarsops_transport::FaultKind;

use crate::limits::{LIST, NAME};

/// Why an answer could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The first line did not come: another program answered, or the shell did not run the script.
    #[error("it does not begin as a probe answer does")]
    NoBeginning,
    /// The last line did not come, or lines are missing.
    #[error("it is cut off")]
    CutOff,
    /// A part of it is larger than is read.
    #[error("it sends more than {} KiB about its {what}", .most >> 10)]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Bytes that are read.
        most: usize,
    },
    /// It has more of a kind than is read.
    #[error("it names more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many are read.
        most: usize,
    },
    /// A line is not as the script writes it.
    #[error("the line `{}` is not understood", .0.chars().take(80).collect::<String>().escape_debug())]
    Line(String),
}

impl AnswerError {
    /// What kind of failure of the host it is.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::TooLong { .. } | Self::TooMany { .. } => FaultKind::TooMuch,
            Self::NoBeginning | Self::CutOff | Self::Line(_) => FaultKind::Garbled,
        }
    }
}

/// The bytes that a word stands for.
fn decode(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        return Some(Vec::new());
    }
    if let Some(hex) = word.strip_prefix("hex:") {
        return (0..hex.len() / 2)
            .map(|i| {
                hex.get(2 * i..2 * i + 2)
                    .and_then(|h| u8::from_str_radix(h, 16).ok())
            })
            .collect();
    }
    base64::engine::general_purpose::STANDARD.decode(word).ok()
}

/// Bytes that a word stands for, or a few more.
fn decoded_size(word: &str) -> usize {
    match word.strip_prefix("hex:") {
        Some(hex) => hex.len() / 2,
        None => (word.len() / 4 * 3).saturating_sub(2),
    }
}

/// The mode of a file, which is written in octal digits.
fn mode(word: &str) -> Option<u32> {
    u32::from_str_radix(word, 8).ok()
}

/// Refuses more of a kind than are read.
pub(super) fn fits(what: &'static str, count: usize, most: usize) -> Result<(), AnswerError> {
    if count > most {
        return Err(AnswerError::TooMany { what, most });
    }
    Ok(())
}

/// Why a file could not be read.
pub(super) fn unread<T>(word: Option<&str>, otherwise: &str) -> Observed<T> {
    Observed::Unknown(match word {
        Some("no-digest") => "no program there computes its sha256: none of openssl, sha256sum, busybox and shasum works".to_owned(),
        Some("too-large") => "it is larger than any program of the framework".to_owned(),
        _ => otherwise.to_owned(),
    })
}

/// One line.
pub(super) struct Line<'a> {
    text: &'a str,
    words: Vec<&'a str>,
}

impl<'a> Line<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // No line has more words; one of blanks alone would cost sixteen times its size.
        let words = text.splitn(10, ' ').collect();
        Self { text, words }
    }

    /// The first word, which says what the line is about.
    pub(super) fn kind(&self) -> &'a str {
        self.words.first().copied().unwrap_or_default()
    }

    /// That the line is not as the script writes it.
    pub(super) fn error(&self) -> AnswerError {
        AnswerError::Line(self.text.chars().take(60).collect())
    }

    /// A word, if the line has so many.
    pub(super) fn get(&self, at: usize) -> Option<&'a str> {
        self.words.get(at).copied()
    }

    /// A word.
    pub(super) fn word(&self, at: usize) -> Result<&'a str, AnswerError> {
        self.get(at).ok_or_else(|| self.error())
    }

    /// A word that is no longer than a name.
    pub(super) fn name(&self, at: usize) -> Result<&'a str, AnswerError> {
        let word = self.get(at).filter(|w| w.len() <= NAME);
        word.ok_or_else(|| self.error())
    }

    /// The value of a word.
    pub(super) fn value<T: FromStr>(&self, at: usize) -> Result<T, AnswerError> {
        self.word(at)?.parse().map_err(|_| self.error())
    }

    /// Whether a word is `1`.
    pub(super) fn flag(&self, at: usize) -> Result<bool, AnswerError> {
        Ok(self.word(at)? == "1")
    }

    /// The mode of a file.
    pub(super) fn mode(&self, at: usize) -> Result<u32, AnswerError> {
        mode(self.word(at)?).ok_or_else(|| self.error())
    }

    /// Bytes that a word stands for, or a few more.
    pub(super) fn size(&self, at: usize) -> Result<usize, AnswerError> {
        self.word(at).map(decoded_size)
    }

    /// What a word stands for, as at most `most` bytes.
    pub(super) fn bytes(
        &self,
        what: &'static str,
        at: usize,
        most: usize,
    ) -> Result<Vec<u8>, AnswerError> {
        let word = self.word(at)?;
        if decoded_size(word) > most {
            return Err(AnswerError::TooLong { what, most });
        }
        decode(word).ok_or_else(|| self.error())
    }

    /// What a word stands for, as a text without blanks at its end.
    pub(super) fn text(
        &self,
        what: &'static str,
        at: usize,
        most: usize,
    ) -> Result<String, AnswerError> {
        let bytes = self.bytes(what, at, most)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// What a word lists, as at most `most` lines.
    pub(super) fn list(
        &self,
        what: &'static str,
        at: usize,
        most: usize,
    ) -> Result<String, AnswerError> {
        let text = self.text(what, at, LIST)?;
        fits(what, text.lines().count(), most)?;
        Ok(text)
    }

    /// A file whose digest, size, mode and owner begin at a word.
    pub(super) fn file(&self, at: usize) -> Result<FileFact, AnswerError> {
        Ok(FileFact {
            digest: self.value(at)?,
            size: self.value(at + 1)?,
            mode: self.mode(at + 2)?,
            owner: self.name(at + 3)?.to_owned(),
        })
    }
}
