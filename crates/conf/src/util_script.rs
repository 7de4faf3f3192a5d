//! `--nodeid` in tarsnode's `util/execute.sh`.
//!
//! The shipped script names the node twice: in a line that prints what it is about to do, and in
//! the line that starts the binary (framework `deploy/framework/util-linux/tarsnode/util/execute.sh`).
//! Only the second decides as whom the host registers: a folder copied from another node with that
//! node's id in it takes the other node's services out of name resolution.
//!
//! Operators edit the script, so it is read with a small scanner for words, quotes, comments and
//! commands, not with a pattern. It does not run or expand anything: a value such as `$HOST` is
//! given as it is written. What must stay true: [`set_nodeid`] changes only the values.

use std::ops::Range;

/// The option as tarsnode reads it: `--name=value` in one word (TarsCpp `util/src/tc_option.cpp`).
const OPTION: &str = "--nodeid=";

/// Why the node id of a script could not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// No command of the script has the option.
    #[error("no command in the script starts tarsnode with --nodeid=")]
    NoNodeId,
    /// An id that does not belong into a script.
    #[error(
        "`{id}` cannot be written as a node id: it may contain letters, digits, `.`, `:`, `-` and `_`"
    )]
    BadId {
        /// The id.
        id: String,
    },
}

/// One place where the option has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The value without quotes.
    value: Range<usize>,
    /// Whether the command only prints it.
    printed: bool,
}

/// The values of `--nodeid=` in all commands that do more than print them, in their order.
#[must_use]
pub fn nodeids(text: &str) -> Vec<&str> {
    let places = scan(text).into_iter().filter(|p| !p.printed);
    places.map(|p| &text[p.value]).collect()
}

/// The node id with which the script starts tarsnode; none if it gives none, or several that
/// differ.
#[must_use]
pub fn nodeid(text: &str) -> Option<&str> {
    let all = nodeids(text);
    let first = *all.first()?;
    all.iter().all(|id| *id == first).then_some(first)
}

/// The script with `id` as the value of each `--nodeid=`, printed or run; comments stay.
///
/// # Errors
/// [`ScriptError::NoNodeId`] if no command that runs has the option, [`ScriptError::BadId`] if the
/// id is empty or has a character that means something to a shell.
pub fn set_nodeid(text: &str, id: &str) -> Result<String, ScriptError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".:-_".contains(&b);
    if id.is_empty() || !id.bytes().all(allowed) {
        return Err(ScriptError::BadId { id: id.to_owned() });
    }
    let places = scan(text);
    if places.iter().all(|p| p.printed) {
        return Err(ScriptError::NoNodeId);
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for place in places {
        out.push_str(&text[from..place.value.start]);
        out.push_str(id);
        from = place.value.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

/// Folders in which a script looks for tarsnode's own parts, other than `home`: the `X` of words such
/// as `X/tarsnode/bin/tarsnode`, in their order and each once. Comments do not count.
#[must_use]
pub fn other_homes<'a>(text: &'a str, home: &str) -> Vec<&'a str> {
    let mut out: Vec<&str> = Vec::new();
    for place in homes(text) {
        let found = &text[place];
        if found != home && !out.contains(&found) {
            out.push(found);
        }
    }
    out
}

/// The script with `home` as the folder in which it looks for tarsnode's own parts; all else stays.
#[must_use]
pub fn set_home(text: &str, home: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for place in homes(text) {
        out.push_str(&text[from..place.start]);
        out.push_str(home);
        from = place.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Where absolute paths to tarsnode's parts begin with which folder.
fn homes(text: &str) -> Vec<Range<usize>> {
    const PART: &str = "/tarsnode/";
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b);
    let bytes = text.as_bytes();
    let mut out: Vec<Range<usize>> = Vec::new();
    for (end, _) in text.match_indices(PART) {
        let rest = &text[end + PART.len()..];
        let part = rest.split(|c: char| !c.is_ascii_alphanumeric()).next();
        if !matches!(part, Some("bin" | "conf" | "data" | "util")) {
            continue;
        }
        let before = bytes[..end].iter().rposition(|b| !in_path(*b));
        let start = before.map_or(0, |at| at + 1);
        // A path behind a variable, or one that begins with a name, is relative to something else.
        let relative = before.is_some_and(|at| b"}$~%*?".contains(&bytes[at]) || bytes[at] >= 0x80);
        let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let comment = text[line..].trim_start().starts_with('#');
        let overlaps = out.last().is_some_and(|o| o.end > start);
        if start < end && bytes[start] == b'/' && !relative && !comment && !overlaps {
            out.push(start..end);
        }
    }
    out
}

/// Which placeholders are left in the script, comments included.
#[must_use]
pub fn placeholders(text: &str) -> std::collections::BTreeSet<crate::placeholder::Placeholder> {
    crate::placeholder::placeholders(text)
}

/// Words after which the shell still expects the name of a command.
const RESERVED: [&str; 11] = [
    "if", "then", "elif", "else", "do", "while", "until", "!", "{", "(", "time",
];

/// Commands that print or compare their arguments and start nothing.
const PRINTERS: [&str; 9] = [
    "echo", "printf", ":", "logger", "log", "grep", "pgrep", "test", "[",
];

/// Finds the option in all commands of a script.
fn scan(text: &str) -> Vec<Place> {
    let bytes = text.as_bytes();
    let mut places: Vec<Place> = Vec::new();
    let mut quote = None;
    let mut word: Option<usize> = None;
    // Whether the command only prints; none until its name is known.
    let mut prints: Option<bool> = None;
    // The commands around `( … )` and backticks.
    let mut around: Vec<(u8, Option<bool>)> = Vec::new();
    let mut at = 0;
    let mut line_end = 0;
    while at < bytes.len() {
        let b = bytes[at];
        if at >= line_end {
            let rest = bytes[at..].iter().position(|b| *b == b'\n');
            line_end = rest.map_or(bytes.len(), |n| (at + n).max(at + 1));
        }
        let opens = bytes[at..].starts_with(OPTION.as_bytes())
            && (at == 0 || b" \t\r\n\"'`(".contains(&bytes[at - 1]))
            && places.last().is_none_or(|p| p.value.end <= at);
        if opens {
            places.push(Place {
                value: value(bytes, at + OPTION.len(), line_end, quote),
                printed: prints == Some(true),
            });
        }
        match (quote, b) {
            (None | Some(b'"'), b'\\') => {
                if quote.is_none() && bytes.get(at + 1) != Some(&b'\n') {
                    word.get_or_insert(at);
                }
                at += 2;
                continue;
            }
            (Some(q), _) if q == b => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => {
                quote = Some(b);
                word.get_or_insert(at);
            }
            (None, b'#') if word.is_none() => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            (None, b'&') if redirects(bytes, at) => {}
            (None, b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'`') => {
                if let Some(start) = word.take() {
                    prints = prints.or_else(|| starts_nothing(&bytes[start..at]));
                }
                match b {
                    b'\n' | b';' | b'&' | b'|' => prints = None,
                    b'`' if around.last().is_some_and(|a| a.0 == b'`') => {
                        prints = around.pop().and_then(|a| a.1);
                    }
                    b'(' | b'`' => around.push((b, prints.take())),
                    b')' => prints = around.pop().and_then(|a| a.1),
                    _ => {}
                }
            }
            (None, _) => {
                word.get_or_insert(at);
            }
        }
        at += 1;
    }
    places
}

/// Whether the `&` at `at` belongs to a redirection such as `2>&1` or `&>log`.
fn redirects(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|i| bytes[i]);
    matches!(before, Some(b'>' | b'<')) || bytes.get(at + 1) == Some(&b'>')
}

/// Whether the word is the name of a command that only prints; none if it is no command's name.
fn starts_nothing(word: &[u8]) -> Option<bool> {
    let word: Vec<u8> = word
        .iter()
        .copied()
        .filter(|b| !b"\"'\\".contains(b))
        .collect();
    let is = |list: &[&str]| list.iter().any(|w| w.as_bytes() == word);
    let name = word
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count();
    let assigns = name > 0 && word.get(name) == Some(&b'=');
    if is(&RESERVED) || assigns {
        None
    } else {
        Some(is(&PRINTERS))
    }
}

/// The place of the value that starts at `start`, given the quote it stands in; it ends at the end
/// of the line at the latest. Looks at no byte behind the value, so that a scan stays linear.
fn value(bytes: &[u8], start: usize, line_end: usize, quote: Option<u8>) -> Range<usize> {
    let rest = &bytes[start..line_end];
    let first = rest.first().copied();
    let Some(outer) = quote else {
        let end = start + word_length(rest);
        if let Some(q @ (b'"' | b'\'')) = first
            && end > start + 1
            && closing(&bytes[start + 1..end], q) == Some(end - start - 2)
        {
            return start + 1..end - 1;
        }
        return start..end;
    };
    // A quote inside the quote, as in `sh -c "… --nodeid='…'"` or `echo "…\"…\""`.
    let inner: &[u8] = match first {
        _ if rest.starts_with(b"\\\"") => b"\\\"",
        Some(q @ (b'"' | b'\'')) if q != outer => &rest[..1],
        _ => b"",
    };
    let body = &rest[inner.len()..];
    let ends = |at: &usize| {
        if inner.is_empty() {
            b" \t\r;&|<>()\\\"'`".contains(&body[*at])
        } else {
            body[*at] == outer || body[*at..].starts_with(inner)
        }
    };
    let length = (0..body.len()).find(ends).unwrap_or(body.len());
    let from = start + inner.len();
    from..from + length
}

/// How many bytes of `rest` come before the unescaped quote `q`.
fn closing(rest: &[u8], q: u8) -> Option<usize> {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b if b == q => return Some(at),
            b'\\' if q == b'"' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The length of the shell word at the start of `rest`, the remainder of a line.
fn word_length(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 1,
            q @ (b'"' | b'\'' | b'`') => {
                at += 1 + closing(&rest[at + 1..], q).unwrap_or(rest.len() - at - 1);
            }
            b'(' | b'{' if depth > 0 || (at > 0 && rest[at - 1] == b'$') => depth += 1,
            b')' | b'}' if depth > 0 => depth -= 1,
            b' ' | b'\t' | b'\r' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' if depth == 0 => {
                break;
            }
            _ => {}
        }
        at += 1;
    }
    at.min(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_installation_is_named_once_and_only_where_it_is_used() {
        let text = "#!/bin/sh\n# was /old/tars/tarsnode/bin/tarsnode\n\
            bin=/data/tars/tarsnode/bin/tarsnode\n\
            cd \"/data/tars/tarsnode/util\" && /usr/local/app/tars/tarsnode/util/start.sh\n\
            cat $HOME/tarsnode/conf/x TARS_PATH/tarsnode/bin/y ../tarsnode/data ${A}/b/tarsnode/bin\n\
            ls /data/tars/tarsnodes/bin /data/tars/tarsnode/other /data/tars/tarsnode/binary\n";
        let home = "/usr/local/app/tars";
        assert_eq!(other_homes(text, home), ["/data/tars"]);
        let new = set_home(text, home);
        assert!(other_homes(&new, home).is_empty());
        assert_eq!(
            new,
            text.replace("bin=/data/tars", "bin=/usr/local/app/tars")
                .replace("\"/data/tars", "\"/usr/local/app/tars")
        );
    }

    #[test]
    fn any_text_can_be_looked_at() {
        for text in [
            "",
            "/tarsnode/bin",
            "é/tarsnode/bin/x",
            "/é/tarsnode/bin",
            "/a/tarsnode/bin/tarsnode/bin",
        ] {
            let new = set_home(text, "/x");
            assert!(other_homes(&new, "/x").is_empty(), "{text} became {new}");
        }
    }
}
