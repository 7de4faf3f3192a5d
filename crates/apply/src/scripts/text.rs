//! Words of scripts and of their answers.

use base64::Engine as _;
use tarsops_model::display;

/// A truth value as scripts read it.
pub(crate) const fn flag(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

/// A line of an answer as it is, harmless to show.
pub(crate) fn harmless(line: &str) -> String {
    display::block(line.trim_end_matches('\n')).into_owned()
}

/// A word of an answer in plain text, harmless to show. One that cannot be read is empty.
pub(crate) fn plain(word: Option<&str>) -> String {
    let word = word.unwrap_or("-");
    base64::engine::general_purpose::STANDARD
        .decode(word)
        .map(|b| display::block(&String::from_utf8_lossy(&b)).into_owned())
        .unwrap_or_default()
}
