//! How a command fails: an exit code, a sentence for each layer, and a next step.

use tarsops_model::display::Text;

use crate::exit;

/// A failure on its way to the edge of the program.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// One lowercase sentence for each layer, outermost first.
    pub layers: Vec<String>,
    /// Things of equal rank that the outermost sentence is about, such as the hosts that refuse.
    pub items: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
    /// Text that was rendered already and stands for the layers.
    pub rendered: Option<Text>,
    /// What is wrong with the spec, for machines.
    pub diagnostics: Option<Box<serde_json::Value>>,
    /// Whether the document for machines is out already.
    pub published: bool,
}

impl Failure {
    /// A plain error (exit code 1).
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            code: exit::ERROR,
            layers: vec![text.into()],
            items: vec![],
            hint: None,
            rendered: None,
            diagnostics: None,
            published: false,
        }
    }

    /// With another exit code.
    #[must_use]
    pub const fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// With a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what the sentence is about; the first few are shown.
    #[must_use]
    pub fn about<T: ToString>(mut self, items: impl IntoIterator<Item = T>) -> Self {
        self.items.extend(items.into_iter().map(|i| i.to_string()));
        self
    }

    /// With an error and all its causes below the sentence.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut cause = Some(error);
        while let Some(c) = cause {
            let text = c.to_string();
            // A layer that repeats what is above says nothing.
            if !self.layers.iter().any(|l| l.contains(&text)) {
                self.layers.push(text);
            }
            cause = c.source();
        }
        self
    }

    /// A spec with mistakes (exit code 3).
    #[must_use]
    pub fn invalid(found: &tarsops_spec::Diagnostics, color: bool) -> Self {
        let mut text = Text::with_colours(&found.render(color)).trim_end();
        text.end();
        let places = found
            .iter()
            .map(|d| format!("{}:{}: {}", d.file, d.span.line, d.message));
        Self {
            layers: places.collect(),
            diagnostics: serde_json::to_value(found).ok().map(Box::new),
            ..Self::rendered(exit::INVALID, text)
        }
    }

    /// A failure whose text is ready.
    #[must_use]
    pub const fn rendered(code: u8, text: Text) -> Self {
        Self {
            code,
            layers: vec![],
            items: vec![],
            hint: None,
            rendered: Some(text),
            diagnostics: None,
            published: false,
        }
    }

    /// The failure as people read it.
    #[must_use]
    pub fn text(&self) -> Text {
        if let Some(text) = &self.rendered {
            return text.clone();
        }
        let mut out = Text::new();
        for (depth, layer) in self.layers.iter().enumerate() {
            match depth {
                0 => out.line(format_args!("error: {layer}")),
                _ => out.line(format_args!("{}because: {layer}", "  ".repeat(depth))),
            }
        }
        const SHOWN: usize = 10;
        for item in self.items.iter().take(SHOWN) {
            out.line(format_args!("  {item}"));
        }
        if let Some(more) = self.items.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            out.line(format_args!("  and {more} more"));
        }
        if let Some(hint) = &self.hint {
            out.line(format_args!("hint: {hint}"));
        }
        out
    }
}

/// What commands return: an exit code, or a failure.
pub type Result<T = u8> = std::result::Result<T, Failure>;
