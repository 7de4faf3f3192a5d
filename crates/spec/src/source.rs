//! The text of a spec as lines, with the secrets in it hidden.
//!
//! Everything that turns a place into something printable goes through [`Source::span`], so that
//! hiding happens in one place.

use std::ops::Range;

use crate::diag::{Diagnostic, Label, Span};
use crate::rules::Rule;

pub(crate) mod secrets;

/// What is printed in place of a secret. Its length says nothing about the secret's.
const HIDDEN: &str = "********";

/// Longest message; values in messages are the user's and may be anything.
const MESSAGE: usize = 400;

/// Longest line that is kept whole, in bytes, and what is kept before and after the caret of a
/// longer one. A file that is one long line would be copied into every diagnostic otherwise.
const LINE: usize = 1000;
const BEFORE: usize = 200;
const AFTER: usize = 600;

/// The text of one file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: String,
    text: String,
    /// Byte ranges of the lines, without their ends.
    lines: Vec<Range<usize>>,
    /// Byte ranges that are never printed, in order, not overlapping.
    masks: Vec<Range<usize>>,
}

impl Source {
    /// Splits `text` into lines.
    pub(crate) fn new(text: &str, file: &str) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let body = line.trim_end_matches('\n').trim_end_matches('\r');
            lines.push(start..start + body.len());
            start += line.len();
        }
        if lines.is_empty() || text.ends_with('\n') {
            lines.push(start..start);
        }
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            lines,
            masks: Vec::new(),
        }
    }

    /// Its name in messages.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Hides `ranges` from now on.
    pub(crate) fn hide(&mut self, ranges: impl IntoIterator<Item = Range<usize>>) {
        self.masks
            .extend(ranges.into_iter().filter(|r| !r.is_empty()));
        self.masks.sort_by_key(|r| (r.start, r.end));
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(self.masks.len());
        for m in self.masks.drain(..) {
            match merged.last_mut() {
                Some(last) if m.start <= last.end => last.end = last.end.max(m.end),
                _ => merged.push(m),
            }
        }
        self.masks = merged;
    }

    /// The index of the line that holds byte `at`.
    fn line_of(&self, at: usize) -> usize {
        self.lines
            .partition_point(|l| l.start <= at)
            .saturating_sub(1)
    }

    /// The number of the line that holds byte `at`, from 1.
    pub(crate) fn line_number(&self, at: usize) -> usize {
        self.line_of(at) + 1
    }

    /// The line that holds byte `at`, without its end.
    pub(crate) fn line_range(&self, at: usize) -> Range<usize> {
        self.lines[self.line_of(at)].clone()
    }

    /// The text of the line that holds byte `at`, as it was written.
    pub(crate) fn line_text(&self, at: usize) -> &str {
        &self.text[self.line_range(at)]
    }

    /// Makes `range` printable; only its first line counts.
    pub(crate) fn span(&self, range: &Range<usize>) -> Span {
        let index = self.line_of(range.start.min(self.text.len()));
        let line = self.lines[index].clone();
        let start = self.floor(range.start.clamp(line.start, line.end));
        let end = self.floor(range.end.clamp(start, line.end));
        let column = self.text[line.start..start].chars().count() + 1;

        let mut source = String::new();
        let mut at = line.start;
        let (mut from, mut to) = (None, None);
        // Each piece is a stretch of the line that is shown, then one that is hidden.
        let mut pieces: Vec<(Range<usize>, bool)> = Vec::new();
        for m in self.masks_in(&line) {
            let hidden = m.start.max(line.start)..m.end.min(line.end);
            pieces.push((at..hidden.start, false));
            at = hidden.end;
            pieces.push((hidden, true));
        }
        pieces.push((at..line.end, false));
        for (piece, hidden) in pieces {
            let base = source.len();
            let shown = if hidden {
                HIDDEN
            } else {
                &self.text[piece.clone()]
            };
            let place = |p: usize, end: bool| {
                if hidden {
                    base + if end { shown.len() } else { 0 }
                } else {
                    base + (p - piece.start)
                }
            };
            if from.is_none()
                && start >= piece.start
                && (start < piece.end || piece.end == line.end)
            {
                from = Some(place(start, false));
            }
            if to.is_none() && end >= piece.start && end <= piece.end {
                to = Some(place(end, true));
            }
            source.push_str(shown);
        }
        let offset = from.unwrap_or(source.len());
        let length = to.unwrap_or(source.len()).saturating_sub(offset);
        let (source, offset, length) = near(source, offset, length);
        Span {
            line: index + 1,
            column,
            source,
            offset,
            length,
        }
    }

    fn floor(&self, mut at: usize) -> usize {
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// A diagnostic at `range`.
    pub(crate) fn diagnostic(
        &self,
        rule: Rule,
        range: &Range<usize>,
        message: impl AsRef<str>,
        help: impl Into<Help>,
    ) -> Diagnostic {
        Diagnostic {
            severity: rule.severity(),
            code: rule,
            message: self.tame(message.as_ref(), range),
            file: self.file.clone(),
            span: self.span(range),
            related: Vec::new(),
            help: help.into().0.map(|h| self.tame(&h, range)),
        }
    }

    /// Whether any of `range` is hidden.
    pub(crate) fn is_hidden(&self, range: &Range<usize>) -> bool {
        !self.masks_in(range).is_empty()
    }

    /// What is hidden in `range`; the masks are in order and do not overlap.
    fn masks_in(&self, range: &Range<usize>) -> &[Range<usize>] {
        let from = self.masks.partition_point(|m| m.end <= range.start);
        let to = self.masks.partition_point(|m| m.start < range.end);
        self.masks.get(from..to).unwrap_or_default()
    }

    /// One line of bounded length, without control characters and without what is hidden.
    fn tame(&self, message: &str, at: &Range<usize>) -> String {
        let mut message = message.to_owned();
        for m in self.masks_in(at) {
            let secret = self.text[m.clone()].trim_matches(['"', '\'']);
            // Shorter ones would be found within words.
            if secret.len() >= 4 && message.contains(secret) {
                message = message.replace(secret, HIDDEN);
            }
        }
        let mut out: String = message
            .chars()
            .map(|c| if c.is_control() { '\u{fffd}' } else { c })
            .take(MESSAGE)
            .collect();
        if message.chars().nth(MESSAGE).is_some() {
            out.push('…');
        }
        out
    }

    /// A further place for a diagnostic.
    pub(crate) fn label(&self, range: &Range<usize>, message: &str) -> Label {
        Label {
            message: message.to_owned(),
            span: self.span(range),
        }
    }
}

/// Cuts a long line to what is near its caret.
fn near(line: String, offset: usize, length: usize) -> (String, usize, usize) {
    if line.len() <= LINE {
        return (line, offset, length);
    }
    let mut from = offset.saturating_sub(BEFORE);
    while !line.is_char_boundary(from) {
        from -= 1;
    }
    let mut to = (offset + AFTER).min(line.len());
    while !line.is_char_boundary(to) {
        to -= 1;
    }
    (
        line[from..to].to_owned(),
        offset - from,
        length.min(to - offset),
    )
}

/// The next step that a diagnostic names, if it has one.
pub(crate) struct Help(pub(crate) Option<String>);

impl From<&str> for Help {
    fn from(s: &str) -> Self {
        Self(Some(s.to_owned()))
    }
}

impl From<String> for Help {
    fn from(s: String) -> Self {
        Self(Some(s))
    }
}

impl From<Option<String>> for Help {
    fn from(s: Option<String>) -> Self {
        Self(s)
    }
}
