//! One line of an answer, and the values in its words.

use std::borrow::Cow;
use std::str::FromStr;

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

/// What a program printed.
pub(super) struct Raw<'a> {
    pub(super) text: &'a [u8],
    pub(super) status: i32,
}

/// One line, and what belongs to it.
pub(super) struct Line<'a> {
    text: Cow<'a, str>,
    /// The lines that follow it.
    more: Vec<u8>,
    pub(super) raw: Option<Raw<'a>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(text: &'a [u8], more: Vec<u8>, raw: Option<Raw<'a>>) -> Self {
        let text = String::from_utf8_lossy(text);
        Self { text, more, raw }
    }

    /// The first word, which says what the line is about.
    pub(super) fn kind(&self) -> &str {
        self.get(0).unwrap_or_default()
    }

    /// That the line is not as the script writes it.
    pub(super) fn error(&self) -> AnswerError {
        AnswerError::Line(self.text.chars().take(60).collect())
    }

    /// A word, if the line has so many.
    pub(super) fn get(&self, at: usize) -> Option<&str> {
        self.text.split(' ').nth(at)
    }

    /// A word.
    pub(super) fn word(&self, at: usize) -> Result<&str, AnswerError> {
        self.get(at).ok_or_else(|| self.error())
    }

    /// A word that is no longer than a name.
    pub(super) fn name(&self, at: usize) -> Result<&str, AnswerError> {
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

    /// What follows a number of words, as at most `most` bytes.
    pub(super) fn text(
        &self,
        what: &'static str,
        at: usize,
        most: usize,
    ) -> Result<String, AnswerError> {
        let rest = self.text.splitn(at + 1, ' ').nth(at);
        let rest = rest.ok_or_else(|| self.error())?;
        if rest.len() > most {
            return Err(AnswerError::TooLong { what, most });
        }
        Ok(rest.trim_end().to_owned())
    }

    /// The lines that follow it, as at most `most` bytes.
    pub(super) fn lines(&self, what: &'static str, most: usize) -> Result<String, AnswerError> {
        if self.more.len() > most {
            return Err(AnswerError::TooLong { what, most });
        }
        Ok(String::from_utf8_lossy(&self.more).into_owned())
    }

    /// The lines that follow it, at most `most`.
    pub(super) fn list(&self, what: &'static str, most: usize) -> Result<String, AnswerError> {
        let text = self.lines(what, LIST)?;
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
