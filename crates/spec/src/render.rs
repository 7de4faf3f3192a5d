//! Diagnostics as text, in the form that rustc made known.
//!
//! Widths of characters, tabs, control characters and long lines are the business of
//! `annotate-snippets`; this module only hands it one source line per place.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::diag::{Diagnostic, Severity, Span};

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

fn snippet<'a>(file: &'a str, span: &'a Span) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(span.source.as_str())
        .line_start(span.line)
        .path(file)
        .fold(false)
}

/// Renders one diagnostic.
pub(crate) fn render(d: &Diagnostic, color: bool) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut first =
        snippet(&d.file, &d.span).annotation(AnnotationKind::Primary.span(range(&d.span)));
    let mut more: Vec<Snippet<'_, _>> = Vec::new();
    for label in &d.related {
        let note = AnnotationKind::Context
            .span(range(&label.span))
            .label(label.message.as_str());
        if label.span.line == d.span.line {
            first = first.annotation(note);
        } else {
            more.push(snippet(&d.file, &label.span).annotation(note));
        }
    }
    let mut group = level
        .primary_title(d.message.as_str())
        .id(d.code.code())
        .element(first)
        .elements(more);
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
