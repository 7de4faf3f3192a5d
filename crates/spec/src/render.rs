//! Diagnostics as text, in the form that rustc made known.
//!
//! Widths of characters, tabs and long lines are the business of `annotate-snippets`; this module only
//! hands it one source line per place. The spec may come from anybody: what a terminal would obey, or
//! nobody would see, is made visible before.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use tarsops_model::display;

use crate::diag::{Diagnostic, Label, Severity, Span};

/// Longer lines are cut around the caret.
const WIDTH: usize = 140;

/// The byte range of `span`, moved to the nearest place that exists in its line.
fn range(span: &Span) -> std::ops::Range<usize> {
    let line = span.source.as_str();
    let start = floor(line, span.offset);
    let end = floor(line, span.offset.saturating_add(span.length)).max(start);
    start..end
}

fn floor(line: &str, mut at: usize) -> usize {
    at = at.min(line.len());
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The place with a line that is harmless; the caret stays where it was.
fn harmless(span: &Span) -> Span {
    // A tab is no harm here, and people know a line by its depth.
    let shown = |text: &str| {
        let parts: Vec<_> = text.split('\t').map(display::line).collect();
        parts.join("\t")
    };
    let covered = range(span);
    let before = shown(&span.source[..covered.start]);
    let marked = shown(&span.source[covered.clone()]);
    let after = shown(&span.source[covered.end..]);
    Span {
        source: format!("{before}{marked}{after}"),
        offset: before.len(),
        length: marked.len(),
        ..*span
    }
}

/// The line with its file's name, which is said apart where the line is cut or hides something,
/// because its columns are others then.
fn elements<'a>(
    file: &'a str,
    span: &'a Span,
    notes: Vec<Annotation<'a>>,
) -> (Option<Origin<'a>>, Snippet<'a, Annotation<'a>>) {
    let snippet = Snippet::source(span.source.as_str())
        .line_start(span.line)
        .fold(false)
        .annotations(notes);
    let before = span.source.get(..range(span).start).unwrap_or_default();
    if before.chars().count() + 1 == span.column {
        return (None, snippet.path(file));
    }
    let origin = Origin::path(file).line(span.line).char_column(span.column);
    (Some(origin), snippet)
}

/// Renders one diagnostic.
pub(crate) fn render(d: &Diagnostic, color: bool) -> String {
    let said = |text: &str| display::line(text).into_owned();
    let d = &Diagnostic {
        severity: d.severity,
        code: d.code,
        message: said(&d.message),
        file: said(&d.file),
        span: harmless(&d.span),
        related: d
            .related
            .iter()
            .map(|label| Label {
                message: said(&label.message),
                span: harmless(&label.span),
            })
            .collect(),
        help: d.help.as_deref().map(said),
    };
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut first = vec![AnnotationKind::Primary.span(range(&d.span))];
    let mut more = Vec::new();
    for label in &d.related {
        let note = AnnotationKind::Context
            .span(range(&label.span))
            .label(label.message.as_str());
        // A cut line shows something else for each caret.
        if label.span.line == d.span.line && label.span.source == d.span.source {
            first.push(note);
        } else {
            more.push((&label.span, vec![note]));
        }
    }
    let mut group = Group::with_title(level.primary_title(d.message.as_str()).id(d.code.code()));
    for (span, notes) in std::iter::once((&d.span, first)).chain(more) {
        let (origin, snippet) = elements(&d.file, span, notes);
        if let Some(origin) = origin {
            group = group.element(origin);
        }
        group = group.element(snippet);
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let text = renderer.term_width(WIDTH).render(&[group]);
    // A gutter line that holds nothing would otherwise end in a space.
    text.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}
