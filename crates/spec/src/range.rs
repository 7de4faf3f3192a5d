//! `10.0.1.[1-40]`: many names in one.
//!
//! A pattern holds any number of brackets; each stands for a list of numbers and ranges, such as
//! `[1-3,7]`. Numbers written with leading zeros keep their width: `[08-11]` is `08 09 10 11`.
//! Whether a name is a good node name is not decided here.

use std::fmt;

/// Most names that one pattern may stand for.
pub const MAX_NAMES: usize = 10_000;

/// Why a pattern is not usable; the text is one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeError(String);

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RangeError {}

fn bad<T>(why: impl Into<String>) -> Result<T, RangeError> {
    Err(RangeError(why.into()))
}

/// Whether `pattern` stands for more than itself.
#[must_use]
pub fn is_range(pattern: &str) -> bool {
    pattern.contains(['[', ']'])
}

/// A number of a bracket: its value and the width that its leading zeros ask for.
fn number(text: &str) -> Result<(u32, usize), RangeError> {
    if text.is_empty() {
        return bad("a number is missing in the brackets");
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return bad(format!("`{text}` in the brackets is not a number"));
    }
    let width = if text.len() > 1 && text.starts_with('0') {
        text.len()
    } else {
        0
    };
    match text.parse() {
        Ok(n) if text.len() <= 9 => Ok((n, width)),
        _ => bad(format!("`{text}` in the brackets is too large")),
    }
}

/// The numbers of one bracket as text.
fn numbers(list: &str) -> Result<Vec<String>, RangeError> {
    let mut out = Vec::new();
    for part in list.split(',') {
        let part = part.trim();
        let (from, to, width) = match part.split_once('-') {
            Some((from, to)) => {
                let ((from, width), (to, _)) = (number(from.trim())?, number(to.trim())?);
                (from, to, width)
            }
            None => {
                let (n, width) = number(part)?;
                (n, n, width)
            }
        };
        if from > to {
            return bad(format!(
                "`{part}` counts down; write the smaller number first"
            ));
        }
        if (to - from) as usize >= MAX_NAMES || out.len() + (to - from) as usize >= MAX_NAMES {
            return bad(format!("it has more than {MAX_NAMES} names"));
        }
        out.extend((from..=to).map(|n| format!("{n:0width$}")));
    }
    Ok(out)
}

/// The range that was most likely meant by a text that is none, as in `10.0.1.1-40`, `10.0.1.1..40`,
/// `10.0.1.1-10.0.1.40` or `10.0.1.{1..40}`.
#[must_use]
pub fn meant(text: &str) -> Option<String> {
    let text = text.trim();
    let (from, to) = ["..", "-", "~", "\u{2013}"]
        .iter()
        .find_map(|between| text.rsplit_once(between))?;
    let from = from.trim_end_matches('.').trim();
    let to = to.trim_start_matches('.').trim();
    // As a shell writes it.
    let (from, to) = match (from.rsplit_once('{'), to.strip_suffix('}')) {
        (Some((stem, first)), Some(last)) => (format!("{stem}{first}"), last),
        _ => (from.to_owned(), to),
    };
    let (stem, first) = from.rsplit_once('.')?;
    // The last number may come with the whole address before it.
    let last = match to.rsplit_once('.') {
        Some((other, last)) => (other == stem).then_some(last)?,
        None => to,
    };
    let address = format!("{stem}.{first}");
    address.parse::<std::net::Ipv4Addr>().ok()?;
    let (low, high): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
    (low < high).then(|| format!("{stem}.[{low}-{high}]"))
}

/// All names that `pattern` stands for, in the order in which they are written.
///
/// # Errors
/// [`RangeError`] if a bracket is not closed, holds something else than numbers, or stands for
/// more than [`MAX_NAMES`] names.
pub fn expand(pattern: &str) -> Result<Vec<String>, RangeError> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find(['[', ']']) {
        let (text, tail) = rest.split_at(open);
        let Some(tail) = tail.strip_prefix('[') else {
            return bad("a bracket is closed that was never opened");
        };
        let Some((list, after)) = tail.split_once(']') else {
            return bad("a bracket is not closed");
        };
        let list = numbers(list)?;
        if names.len() * list.len() > MAX_NAMES {
            return bad(format!("it has more than {MAX_NAMES} names"));
        }
        names = names
            .iter()
            .flat_map(|n| list.iter().map(move |i| format!("{n}{text}{i}")))
            .collect();
        rest = after;
    }
    if !rest.is_empty() {
        for n in &mut names {
            n.push_str(rest);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_is_written_otherwise_is_recognised() {
        for text in [
            "10.0.1.1-40",
            "10.0.1.1 - 40",
            "10.0.1.1..40",
            "10.0.1.1...40",
            "10.0.1.1-10.0.1.40",
            "10.0.1.1~40",
            "10.0.1.{1..40}",
            "10.0.1.{1-40}",
        ] {
            assert_eq!(meant(text).as_deref(), Some("10.0.1.[1-40]"), "{text}");
        }
        for text in [
            "10.0.1.1",
            "gw-1",
            "gw-1-40",
            "10.0.1.40-1",
            "10.0.1.1-300",
            "10.0.1.1-10.0.2.4",
            "10.0.1.[1-40]",
            "a.b-c",
            "-",
            "..",
            "",
        ] {
            assert_eq!(meant(text), None, "{text}");
        }
    }
}
