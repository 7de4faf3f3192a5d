//! What is wrong with a spec, and where: values that can be printed and turned into JSON.
//!
//! A diagnostic carries everything that printing needs, the source line included, so that it
//! outlives the text. The line is already free of secrets when it gets here.

use std::fmt;

use serde::Serialize;

use crate::rules::Rule;

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The spec is invalid.
    Error,
    /// The spec is valid, but may not say what was meant.
    Warning,
}

/// A place in the source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line's text, with secrets hidden; of a very long line only what is near the caret.
    pub source: String,
    /// Where the caret starts in `source`, in bytes, from 0. It differs from `column` where the
    /// line has characters of several bytes or a hidden secret before it, or is cut.
    pub offset: usize,
    /// How many bytes of `source` the caret covers; 0 for a place between characters.
    pub length: usize,
}

/// A further place that explains the first one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Label {
    /// What is there, such as "first named here".
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub span: Span,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether the spec is invalid because of it.
    pub severity: Severity,
    /// The rule that is broken.
    pub code: Rule,
    /// What is wrong, in one lowercase sentence.
    pub message: String,
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Where.
    #[serde(flatten)]
    pub span: Span,
    /// Further places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Label>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Diagnostic {
    /// The message with its place, as rustc would print it; `color` adds terminal colours.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        crate::render::render(self, color)
    }

    /// Whether it makes the spec invalid.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.severity, Severity::Error)
    }
}

/// Most diagnostics that are kept; who has more reads the first ones first.
const MOST: usize = 200;

/// Several mistakes, in the order of their places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// How many more there were.
    #[serde(skip)]
    left_out: usize,
}

impl Diagnostics {
    /// Orders `list` by place, and keeps the first two hundred; errors are kept before warnings.
    #[must_use]
    pub fn new(mut list: Vec<Diagnostic>) -> Self {
        let left_out = list.len().saturating_sub(MOST);
        if left_out > 0 {
            list.sort_by_key(|d| (d.severity, d.span.line, d.span.column));
            list.truncate(MOST);
        }
        list.sort_by(|a, b| {
            (a.span.line, a.span.column, a.code, &a.message).cmp(&(
                b.span.line,
                b.span.column,
                b.code,
                &b.message,
            ))
        });
        list.dedup();
        Self { list, left_out }
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether any of them makes the spec invalid.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// All of them as text, separated by empty lines; `color` adds terminal colours.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<String> = self.list.iter().map(|d| d.render(color)).collect();
        if self.left_out > 0 {
            parts.push(format!("and {} more like these", self.left_out));
        }
        parts.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}
