//! When output has colours, and how plans are printed.

use tarsops_plan::render::Style;

use crate::args::{Color, Global};
use crate::output;

/// Whether to colour text that goes to `terminal`.
pub fn colored(global: &Global, terminal: bool) -> bool {
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// How plans are printed.
pub fn style(global: &Global) -> Style {
    Style {
        verbose: global.verbose > 0,
        color: colored(global, output::is_terminal()),
    }
}
