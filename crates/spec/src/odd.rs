//! Characters that nobody sees, and letters and signs that look like others.
//!
//! They come with text that was copied from a web page, a chat or an editor for prose, and what YAML
//! makes of them is found far from where they stand: a full-width colon is no colon, so the parser
//! complains of the next line. So they are named first, by their code points, where they are.
//!
//! Comments may hold anything, and `reason` any sentence. A value that is accepted may have any
//! letters, but no invisible ones, and no word of Latin letters with a look-alike among them.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::diag::Diagnostic;
use crate::rules::Rule;
use crate::source::Source;
use crate::tree::{Node, Value};

/// What is odd about a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oddity {
    /// It has no width, or changes the direction of what stands around it.
    Invisible(&'static str),
    /// It looks like a space, and YAML does not take it for one.
    Space(&'static str),
    /// It looks like the ASCII character.
    Like(char, &'static str),
}

/// Letters of other alphabets, each with the Latin one that it looks like.
const CYRILLIC: &str = "аaсcеeһhіiјjоoрpѕsԛqԁdуyхxԝwАAВBСCЕEНHІIЈJКKМMОOРPЅSТTХXУY";
const GREEK: &str = "οoνvαaιiκkρpυuΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX";

fn like(pairs: &str, c: char) -> Option<char> {
    let mut all = pairs.chars();
    while let (Some(odd), Some(plain)) = (all.next(), all.next()) {
        if odd == c {
            return Some(plain);
        }
    }
    None
}

fn oddity(c: char) -> Option<Oddity> {
    if c.is_ascii() {
        return None;
    }
    let invisible = match c {
        '\u{ad}' => "soft hyphen",
        '\u{34f}' => "combining grapheme joiner",
        '\u{61c}' => "Arabic letter mark",
        '\u{180e}' => "Mongolian vowel separator",
        '\u{200b}' => "zero width space",
        '\u{200c}' => "zero width non-joiner",
        '\u{200d}' => "zero width joiner",
        '\u{200e}' => "left-to-right mark",
        '\u{200f}' => "right-to-left mark",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "a change of direction",
        '\u{2060}' => "word joiner",
        '\u{2061}'..='\u{2064}' => "invisible operator",
        '\u{2028}' => "line separator",
        '\u{2029}' => "paragraph separator",
        '\u{feff}' => "byte order mark",
        '\u{fe00}'..='\u{fe0f}' => "variation selector",
        '\u{e0000}'..='\u{e007f}' => "tag",
        '\u{85}' => "next line",
        _ => "",
    };
    if !invisible.is_empty() {
        return Some(Oddity::Invisible(invisible));
    }
    let space = match c {
        '\u{a0}' => "no-break space",
        '\u{202f}' => "narrow no-break space",
        '\u{3000}' => "ideographic space",
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => "a space of another width",
        _ => "",
    };
    if !space.is_empty() {
        return Some(Oddity::Space(space));
    }
    let sign = match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some(('-', "a dash")),
        '\u{2018}' | '\u{2019}' | '\u{201b}' => Some(('\'', "a curly quote")),
        '\u{201c}' | '\u{201d}' | '\u{201e}' => Some(('"', "a curly quote")),
        '\u{2024}' | '\u{3002}' => Some(('.', "a full stop")),
        '\u{2236}' | '\u{a789}' | '\u{fe55}' | '\u{fe13}' => Some((':', "a colon")),
        '\u{3001}' => Some((',', "a comma")),
        '\u{3010}' => Some(('[', "a bracket")),
        '\u{3011}' => Some((']', "a bracket")),
        _ => None,
    };
    if let Some((plain, name)) = sign {
        return Some(Oddity::Like(plain, name));
    }
    if let '\u{ff01}'..='\u{ff5e}' = c {
        // The full-width forms are ASCII, moved.
        let plain = char::from_u32(u32::from(c) - 0xfee0)?;
        return Some(Oddity::Like(plain, "a full-width character"));
    }
    like(CYRILLIC, c)
        .map(|plain| Oddity::Like(plain, "a Cyrillic letter"))
        .or_else(|| like(GREEK, c).map(|plain| Oddity::Like(plain, "a Greek letter")))
}

/// The ASCII character that `c` looks like, `c` itself where it looks like none, and nothing for one
/// that nobody sees.
pub(crate) fn plain(c: char) -> Option<char> {
    match oddity(c) {
        Some(Oddity::Invisible(_)) => None,
        Some(Oddity::Space(_)) => Some(' '),
        Some(Oddity::Like(plain, _)) => Some(plain),
        None => Some(c),
    }
}

/// Where the character at `at` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a key.
    Key,
    /// In a value.
    Value,
    /// In a sentence for people.
    Prose,
    /// In a text that is no document.
    Anywhere,
}

/// An odd character and its byte range.
struct Found {
    range: Range<usize>,
    what: Oddity,
    c: char,
}

/// Adds what is odd about `root` to `problems`, and removes the problems of the same lines, which
/// come from it.
pub(crate) fn explain(source: &Source, root: &Node, problems: &mut Vec<Diagnostic>) {
    if source.text().is_ascii() {
        return;
    }
    let bad: BTreeSet<usize> = problems.iter().map(|d| d.span.line).collect();
    let mut found = Vec::new();
    visit(source, root, false, &bad, &mut found);
    add(source, found, problems);
}

/// As [`explain`], of a text that is no document: `problems` ends with the parser's complaint.
pub(crate) fn explain_text(source: &Source, problems: &mut Vec<Diagnostic>) {
    let text = source.text();
    if text.is_ascii() || text.len() > crate::tree::MAX_TEXT {
        return;
    }
    let Some(end) = problems.last().map(|d| d.span.line) else {
        return;
    };
    let all = BTreeSet::new();
    let mut found = Vec::new();
    let mut at = 0;
    // What stands after the place of the complaint cannot have caused it.
    for line in text.split_inclusive('\n').take(end) {
        let from = if at == 0 && line.starts_with('\u{feff}') {
            3
        } else {
            0
        };
        let range = at + from..at + comment(line).max(from);
        scan(source, &range, Place::Anywhere, &all, &mut found);
        at += line.len();
    }
    if !found.is_empty() {
        problems.pop();
    }
    add(source, found, problems);
}

/// Where the comment of a line starts; its end if it has none.
fn comment(line: &str) -> usize {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return at,
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
        before = c;
    }
    line.len()
}

fn visit(source: &Source, node: &Node, prose: bool, bad: &BTreeSet<usize>, found: &mut Vec<Found>) {
    match &node.value {
        Value::Map(pairs) => {
            for pair in pairs {
                scan(source, &pair.key_span, Place::Key, bad, found);
                visit(source, &pair.node, pair.key == "reason", bad, found);
            }
        }
        Value::List(items) => {
            for item in items {
                visit(source, item, prose, bad, found);
            }
        }
        _ => {
            let place = if prose { Place::Prose } else { Place::Value };
            scan(source, &node.span, place, bad, found);
        }
    }
}

/// Looks at one stretch of the text.
fn scan(
    source: &Source,
    range: &Range<usize>,
    place: Place,
    bad: &BTreeSet<usize>,
    found: &mut Vec<Found>,
) {
    let Some(text) = source.text().get(range.clone()) else {
        return;
    };
    if text.is_ascii() {
        return;
    }
    for (at, c) in text.char_indices() {
        let Some(what) = oddity(c) else {
            continue;
        };
        let place_of = range.start + at..range.start + at + c.len_utf8();
        let refused = || bad.contains(&source.line_number(place_of.start));
        let counts = match (place, what) {
            // Joiners belong to some scripts and to emoji.
            (Place::Prose, Oddity::Invisible(_)) => {
                !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}')
            }
            (Place::Prose, _) => false,
            (_, Oddity::Invisible(_)) | (Place::Key, _) => true,
            (Place::Value, Oddity::Space(_)) => true,
            (Place::Value, Oddity::Like(..)) => {
                is_amid_latin(text, at) || (refused() && touches_ascii(text, at))
            }
            (Place::Anywhere, _) => touches_ascii(text, at),
        };
        if counts && !source.is_hidden(&place_of) {
            found.push(Found {
                range: place_of,
                what,
                c,
            });
        }
    }
}

/// Whether a visible ASCII character stands directly before or after the one at `at`: among Chinese
/// text full-width signs are at home.
fn touches_ascii(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at..].chars().nth(1);
    [before, after]
        .into_iter()
        .flatten()
        .any(|c| c.is_ascii_graphic())
}

/// Whether the letter at `at` stands in a word of Latin letters and look-alikes only.
fn is_amid_latin(text: &str, at: usize) -> bool {
    let part = |c: &char| c.is_alphanumeric();
    let before = text[..at].chars().rev().take_while(part);
    let after = text[at..].chars().take_while(part);
    let mut latin = false;
    for c in before.chain(after) {
        latin |= c.is_ascii_alphabetic();
        if c.is_alphabetic() && !c.is_ascii() && !matches!(oddity(c), Some(Oddity::Like(..))) {
            return false;
        }
    }
    latin
}

/// One diagnostic for each line, in place of what else was found there.
fn add(source: &Source, found: Vec<Found>, problems: &mut Vec<Diagnostic>) {
    let mut lines: BTreeSet<usize> = BTreeSet::new();
    let mut more = Vec::new();
    for one in &found {
        let line = source.line_number(one.range.start);
        if !lines.insert(line) {
            continue;
        }
        let others = found
            .iter()
            .filter(|f| source.line_number(f.range.start) == line)
            .count()
            - 1;
        more.push(diagnostic(source, one, others));
    }
    problems.retain(|d| !lines.contains(&d.span.line));
    problems.extend(more);
}

fn diagnostic(source: &Source, one: &Found, others: usize) -> Diagnostic {
    let code = format!("U+{:04X}", u32::from(one.c));
    let mut message = match one.what {
        Oddity::Invisible(name) => format!("there is an invisible character here: {code}, {name}"),
        Oddity::Space(name) => {
            format!("this is not a plain space but {code}, {name}, which YAML takes for a letter")
        }
        Oddity::Like(plain, name) => {
            format!("this is not `{plain}` but {code}, {name} that looks like it")
        }
    };
    if others > 0 {
        message.push_str(&format!(" ({others} more on this line)"));
    }
    let help = match one.what {
        Oddity::Invisible(_) => {
            "remove it; such characters are often part of copied text".to_owned()
        }
        Oddity::Space(_) => "write a plain space".to_owned(),
        Oddity::Like(plain, _) => format!("type `{plain}`"),
    };
    source.diagnostic(Rule::OddCharacter, &one.range, message, help)
}
