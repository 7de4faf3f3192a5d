//! Text from outside, made harmless for those who read it.
//!
//! Hosts, servants, consoles, databases, records and specs send text that ends up on a terminal, in a
//! log, in a comment on a change or on a page. There a character can be more than a sign to read: it
//! moves the cursor, turns the direction of writing, hides, or begins markup. Here every such
//! character becomes words that show it, as `\u{1b}`; nothing is dropped, so that what was sent can
//! still be told.
//!
//! What must stay true: [`Text`] holds no character that [`is_harmless`] refuses, but for the ends of
//! its own lines, tabs in blocks, and the colours that this module put there. Data has no way to bring a colour
//! or a line of its own.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Bytes of one line that are shown; who sends more is told how much was cut.
pub const LINE: usize = 16 << 10;

/// Whether a character stands for itself wherever it is shown: it is seen, and nothing obeys it.
///
/// Refused are controls, escapes, marks of direction, joiners and other characters without a shape,
/// tags, separators of lines and paragraphs, private and unassigned characters.
#[must_use]
pub fn is_harmless(c: char) -> bool {
    match c {
        ' '..='~' => true,
        // Wide as they are, these are blanks that people type.
        '\u{a0}' | '\u{3000}' => true,
        c => !is_ignorable(c) && is_printable(c),
    }
}

/// What the standard library would print as it is within a text. Its table follows Unicode, which one
/// of ours would not do for long. A mark that belongs to the letter before it is printable there.
fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let end = 1 + c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..end]).is_ok_and(|pair| pair.escape_debug().nth(1) == Some(c))
}

/// Letters and marks that Unicode has readers leave out (`Default_Ignorable_Code_Point`), as far as
/// the standard library holds them to be printable.
const fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn shown(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    replaced(text, stays, |c, out| out.extend(c.escape_default()))
}

/// The text with `escape` in the place of each character that is neither harmless nor stays.
fn replaced(
    text: &str,
    stays: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let good = |c: char| is_harmless(c) || stays(c);
    let Some(first) = text.find(|c| !good(c)) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if good(c) {
            out.push(c);
        } else {
            escape(c, &mut out);
        }
    }
    Cow::Owned(out)
}

/// Text as one line: ends of lines and tabs are shown as well, lest data begins a line that looks
/// like one of ours.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    shown(text, |_| false)
}

/// Text of several lines: their ends and tabs stay.
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    shown(text, |c| matches!(c, '\n' | '\t'))
}

/// At most `most` bytes of a text, with a word on what was cut.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    Cow::Owned(format!(
        "{}… (cut, {} more bytes)",
        &text[..end],
        text.len() - end
    ))
}

/// A JSON document with the same data, and harmless where somebody shows it: what JSON lets through
/// becomes `\u`. Characters other than blanks stand only within texts there, so nothing else changes.
#[must_use]
pub fn json(document: &str) -> Cow<'_, str> {
    let blank = |c| matches!(c, '\n' | '\t' | '\r');
    replaced(document, blank, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// The colours that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Something is added, or right.
    Green,
    /// Something changes, or is not as it should be.
    Yellow,
    /// Something goes, or stops us.
    Red,
    /// Something is unknown.
    Magenta,
}

impl Colour {
    const fn begin(self) -> &'static str {
        match self {
            Self::Red => "\x1b[31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Magenta => "\x1b[35m",
        }
    }
}

/// Text that a terminal may have as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// An empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Appends a part of a line.
    pub fn put(&mut self, part: impl fmt::Display) {
        let part = part.to_string();
        self.0.push_str(&cut(&line(&part), LINE));
    }

    /// Appends a part of a line in a colour, or in none.
    pub fn put_in(&mut self, colour: Option<Colour>, part: impl fmt::Display) {
        self.0.push_str(colour.map_or("", Colour::begin));
        self.put(part);
        self.0.push_str(colour.map_or("", |_| "\x1b[0m"));
    }

    /// Appends a part, and ends the line.
    pub fn line(&mut self, part: impl fmt::Display) {
        self.put(part);
        self.end();
    }

    /// Appends a part in a colour or in none, and ends the line.
    pub fn line_in(&mut self, colour: Option<Colour>, part: impl fmt::Display) {
        self.put_in(colour, part);
        self.end();
    }

    /// Ends the line.
    pub fn end(&mut self) {
        self.0.push('\n');
    }

    /// Appends text of several lines.
    pub fn block(&mut self, text: &str) {
        for part in block(text).split_inclusive('\n') {
            match part.strip_suffix('\n') {
                Some(whole) => {
                    self.0.push_str(&cut(whole, LINE));
                    self.end();
                }
                None => self.0.push_str(&cut(part, LINE)),
            }
        }
    }

    /// Appends what is harmless already.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Text of several lines in which somebody of ours put colours: marks of colours stay, and no other
    /// escapes. Whoever put them there made the data harmless before.
    #[must_use]
    pub fn with_colours(text: &str) -> Self {
        let mut out = Self::new();
        let mut rest = text;
        while let Some(at) = rest.find('\x1b') {
            out.block(&rest[..at]);
            let mark = colour_mark(&rest[at..]);
            if mark == 0 {
                out.block("\x1b");
            }
            out.0.push_str(&rest[at..at + mark]);
            rest = &rest[at + mark.max(1)..];
        }
        out.block(rest);
        out
    }

    /// The same without blanks at its end.
    #[must_use]
    pub fn trim_end(&self) -> Self {
        Self(self.0.trim_end().to_owned())
    }
}

/// Bytes of the mark of a colour that a text begins with: `ESC [`, digits and `;`, `m`; 0 if it is none.
fn colour_mark(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    let digits = rest
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b';')
        .count();
    if rest[digits..].starts_with('m') {
        digits + 3
    } else {
        0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut out = Self::new();
        out.block(text);
        out
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of character that is more than a sign to read.
    const HOSTILE: &[char] = &[
        '\0',
        '\x07',
        '\x08',
        '\x0b',
        '\r',
        '\x1b',
        '\x7f',
        '\u{80}',
        '\u{9b}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{206f}',
        '\u{feff}',
        '\u{fe0f}',
        '\u{fff9}',
        '\u{ffff}',
        '\u{e0001}',
        '\u{e0041}',
        '\u{e01ef}',
        '\u{e000}',
        '\u{10ffff}',
        '\u{115f}',
        '\u{3164}',
        '\u{1d173}',
        '\u{378}',
    ];

    #[test]
    fn what_is_obeyed_or_hidden_is_shown() {
        for c in HOSTILE {
            let text = format!("a{c}b");
            for made in [line(&text), block(&text)] {
                assert!(made.chars().all(is_harmless), "{made:?}");
                assert!(made.len() > text.len(), "{made:?}");
            }
        }
        assert_eq!(line("\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(line("a\nb\tc\r"), "a\\nb\\tc\\r");
        assert_eq!(block("a\nb\tc\r"), "a\nb\tc\\r");
    }

    #[test]
    fn what_people_write_stays() {
        for text in [
            "",
            "plain, with `marks` \\ \" '",
            "Größe → 3 µs … é e\u{301}",
            "中文，全角　空格",
            "ไทย हिन्दी 한국어 עברית",
            "✓ 🚀",
        ] {
            assert_eq!(line(text), text);
            assert_eq!(json(text), text);
        }
    }

    #[test]
    fn a_cut_is_reported() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abécd", 3), "ab… (cut, 4 more bytes)");
        let mut text = Text::new();
        text.line("x".repeat(LINE + 5));
        assert!(text.ends_with("x… (cut, 5 more bytes)\n"));
    }

    #[test]
    fn data_brings_neither_a_colour_nor_a_line() {
        let mut text = Text::new();
        text.line_in(Some(Colour::Red), "\x1b[32mgood\nPlan: nothing");
        assert_eq!(&*text, "\x1b[31m\\u{1b}[32mgood\\nPlan: nothing\x1b[0m\n");
        assert_eq!(
            &*Text::with_colours("\x1b[1;31mred\x1b[0m \x1b[2J\x1b]0;t\x07"),
            "\x1b[1;31mred\x1b[0m \\u{1b}[2J\\u{1b}]0;t\\u{7}"
        );
        assert_eq!(&*Text::from("\x1b[31m\n"), "\\u{1b}[31m\n");
    }

    #[test]
    fn a_json_document_keeps_its_data() {
        let harmful: String = HOSTILE.iter().filter(|c| **c >= '\x7f').collect();
        let made = json(&harmful);
        assert!(made.is_ascii() && made.chars().all(is_harmless), "{made}");
        assert_eq!(
            json("{\n  \"a\": \"\u{e0041}\u{9b}\"\n}"),
            "{\n  \"a\": \"\\udb40\\udc41\\u009b\"\n}"
        );
    }
}
