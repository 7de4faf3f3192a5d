//! A Tars `<tars>` configuration file that keeps every byte.
//!
//! The meaning of a file is what TarsCpp's `TC_Config` makes of it (`util/src/tc_config.cpp`):
//!
//! - a line is trimmed of blanks, tabs and carriage returns; nothing continues on the next line and
//!   nothing is included from elsewhere;
//! - an empty line and a line that starts with `#` mean nothing; a `#` further right is part of the value;
//! - `<name>` opens a domain, `</name>` closes the innermost one, what follows `>` is ignored;
//! - a domain that is opened twice under the same parent is one domain;
//! - any other line is `key=value`, or a key with an empty value; the first `=` that has no backslash
//!   before it divides them; of a repeated key the last value counts;
//! - in keys and values `\\ \r \n \t \=` are escapes, and any other backslash is an error.
//!
//! What must stay true: [`to_string`](ToString::to_string) gives the parsed text byte for byte, an edit changes
//! the line it names and no other, and a file that Tars refuses is refused here.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::endpoint::EndpointError;

/// What `TC_Common::trim` takes off lines, keys and values.
const BLANKS: [char; 4] = [' ', '\r', '\n', '\t'];

/// How deep domains may are in each other. The framework's own go five deep; texts come from hosts and
/// databases, and the path of a domain is as long as it is deep.
pub const DEEPEST: usize = 64;

/// Why a configuration file could not be read or edited. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfError {
    /// A line starts with `<` and has no `>`.
    #[error("line {line}: the tag has no closing `>`")]
    UnclosedTag {
        /// Where.
        line: usize,
    },
    /// `</name>` does not close the innermost domain.
    #[error("line {line}: `</{found}>` closes `<{expected}>`")]
    MismatchedClose {
        /// Where.
        line: usize,
        /// The innermost open domain.
        expected: String,
        /// What the line closes.
        found: String,
    },
    /// `</name>` where no domain is open.
    #[error("line {line}: `</{name}>` closes a domain that was never opened")]
    UnexpectedClose {
        /// Where.
        line: usize,
        /// What the line closes.
        name: String,
    },
    /// The file ends inside a domain.
    #[error("line {line}: `<{name}>` is never closed")]
    UnclosedDomain {
        /// Where it was opened.
        line: usize,
        /// The domain.
        name: String,
    },
    /// Domains are in each other deeper than [`DEEPEST`].
    #[error(
        "line {line}: the domain is nested in more than {DEEPEST} others; no tars file is so deep"
    )]
    TooDeep {
        /// Where the first one too many is opened.
        line: usize,
    },
    /// A backslash that starts no escape.
    #[error("line {line}: `{text}` has a backslash that starts no escape (\\\\ \\r \\n \\t \\=)")]
    BadEscape {
        /// Where.
        line: usize,
        /// The key or value.
        text: String,
    },
    /// The file starts with a byte order mark, which Tars takes for the name of a key.
    #[error("line 1: the file starts with a byte order mark, which tars cannot read")]
    ByteOrderMark,
    /// The domain to edit does not exist.
    #[error("there is no domain `/{path}`")]
    NoDomain {
        /// Names of the domains, joined by `/`.
        path: String,
    },
    /// A key or value that the file format cannot hold, such as one with a blank at its end.
    #[error("`{key}` cannot hold `{value}` in a tars configuration file")]
    Unrepresentable {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A value that should be an endpoint or a locator and is none.
    #[error("line {line}: the value of `{key}` cannot be used")]
    Endpoint {
        /// Where.
        line: usize,
        /// The key.
        key: String,
        /// What is wrong with it.
        source: EndpointError,
    },
    /// An endpoint or locator that was to be written is not valid.
    #[error("a value for `{key}` cannot be written")]
    Wanted {
        /// The key.
        key: String,
        /// What is wrong with it.
        source: EndpointError,
    },
}

impl ConfError {
    /// The line that is wrong, counted from 1, where the error has one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::UnclosedTag { line }
            | Self::MismatchedClose { line, .. }
            | Self::UnexpectedClose { line, .. }
            | Self::UnclosedDomain { line, .. }
            | Self::TooDeep { line }
            | Self::BadEscape { line, .. }
            | Self::Endpoint { line, .. } => Some(*line),
            Self::ByteOrderMark => Some(1),
            Self::NoDomain { .. } | Self::Unrepresentable { .. } | Self::Wanted { .. } => None,
        }
    }
}

/// One `key=value` line.
#[derive(Debug, Clone)]
struct Entry {
    /// Number of the line, from 1.
    line: usize,
    /// The whole line with its end.
    span: Range<usize>,
    /// Where the written key ends: an `=` goes here if there is none.
    key_end: usize,
    /// The trimmed value as written; none if the line has no `=`.
    raw: Option<Range<usize>>,
    /// The value with its escapes resolved.
    value: String,
}

/// One domain, all its blocks together.
#[derive(Debug, Clone, Default)]
struct Domain {
    parent: usize,
    /// Sub-domains in the order in which they first appear.
    order: Vec<String>,
    children: BTreeMap<String, usize>,
    /// Entries of each key, in the order of the file.
    entries: BTreeMap<String, Vec<Entry>>,
    /// The line that opened it last.
    opened: Range<usize>,
    /// The line that closed it last.
    closed: Range<usize>,
    /// The last line that is an entry of this very domain.
    last_entry: Option<Range<usize>>,
}

/// A parsed configuration file; [`to_string`](ToString::to_string) gives back its text.
#[derive(Debug, Clone)]
pub struct Document {
    text: String,
    /// The root is the first; it has no name.
    domains: Vec<Domain>,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Document {
    /// Reads a configuration file. An empty text is an empty document.
    ///
    /// # Errors
    /// [`ConfError`] with the line, for each text that `TC_Config` refuses, and for domains in more
    /// than [`DEEPEST`] others.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        if text.starts_with('\u{feff}') {
            return Err(ConfError::ByteOrderMark);
        }
        let mut domains = vec![Domain::default()];
        // The open domains: index, the name that closes it, the line that opened it.
        let mut open: Vec<(usize, &str, usize)> = Vec::new();
        let mut start = 0;
        for (index, whole) in text.split_inclusive('\n').enumerate() {
            let line = index + 1;
            let span = start..start + whole.len();
            start = span.end;
            let left = whole.trim_start_matches(BLANKS);
            let at = span.end - left.len();
            let trimmed = left.trim_end_matches(BLANKS);
            let here = open.last().map_or(0, |o| o.0);
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let Some(tag) = trimmed.strip_prefix('<') else {
                let entry = Entry::parse(trimmed, at, span.clone(), line)?;
                let domain = &mut domains[here];
                domain.last_entry = Some(span);
                domain.entries.entry(entry.0).or_default().push(entry.1);
                continue;
            };
            let Some((name, _)) = tag.split_once('>') else {
                return Err(ConfError::UnclosedTag { line });
            };
            if let Some(name) = name.strip_prefix('/') {
                match open.pop() {
                    Some((id, expected, _)) if expected == name => domains[id].closed = span,
                    Some((_, expected, _)) => {
                        return Err(ConfError::MismatchedClose {
                            line,
                            expected: expected.to_owned(),
                            found: name.to_owned(),
                        });
                    }
                    None => {
                        let name = name.to_owned();
                        return Err(ConfError::UnexpectedClose { line, name });
                    }
                }
                continue;
            }
            if open.len() >= DEEPEST {
                return Err(ConfError::TooDeep { line });
            }
            let id = match domains[here].children.get(name) {
                Some(id) => *id,
                None => {
                    let id = domains.len();
                    domains[here].order.push(name.to_owned());
                    domains[here].children.insert(name.to_owned(), id);
                    domains.push(Domain {
                        parent: here,
                        ..Domain::default()
                    });
                    id
                }
            };
            domains[id].opened = span;
            // The name is looked up as written but closed by its trimmed form.
            open.push((id, name.trim_matches(BLANKS), line));
        }
        if let Some((_, name, line)) = open.pop() {
            let name = name.to_owned();
            return Err(ConfError::UnclosedDomain { line, name });
        }
        Ok(Self {
            text: text.to_owned(),
            domains,
        })
    }

    /// Whether the file says nothing: no domain and no entry, or nothing but NUL bytes, as a file
    /// can be after a power loss.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.domains.len() == 1
            && self.domains[0]
                .entries
                .keys()
                .all(|k| k.bytes().all(|b| b == 0))
    }

    /// Whether the domain exists; the empty path is the root.
    #[must_use]
    pub fn has_domain(&self, path: &[&str]) -> bool {
        self.find(path).is_some()
    }

    /// The value of `key` in the domain at `path`: the last one if it is repeated, empty if the
    /// key stands alone, none if it is missing. Escapes are resolved.
    #[must_use]
    pub fn get(&self, path: &[&str], key: &str) -> Option<&str> {
        self.entry(path, key).map(|e| e.value.as_str())
    }

    /// The line, counted from 1, that gives `key` its value.
    #[must_use]
    pub fn line_of(&self, path: &[&str], key: &str) -> Option<usize> {
        self.entry(path, key).map(|e| e.line)
    }

    /// The names of the domains directly below `path`, in the order of the file.
    #[must_use]
    pub fn domains(&self, path: &[&str]) -> Vec<&str> {
        self.find(path).map_or_else(Vec::new, |id| {
            self.domains[id].order.iter().map(String::as_str).collect()
        })
    }

    /// The keys of the domain at `path` with the values that count, ordered by key.
    #[must_use]
    pub fn entries(&self, path: &[&str]) -> Vec<(&str, &str)> {
        self.find(path).map_or_else(Vec::new, |id| {
            let all = self.domains[id].entries.iter();
            all.filter_map(|(k, e)| Some((k.as_str(), e.last()?.value.as_str())))
                .collect()
        })
    }

    /// The values of all entries of all domains, those that a later line overrides left out.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let lists = self.domains.iter().flat_map(|d| d.entries.values());
        lists.filter_map(|e| e.last().map(|e| e.value.as_str()))
    }

    /// Gives `key` a value. Where the key exists, only the bytes of the value that counts change;
    /// else a line is added below the domain's last entry, indented as that one is.
    ///
    /// # Errors
    /// [`ConfError::NoDomain`] if the domain does not exist, [`ConfError::Unrepresentable`] if the
    /// format cannot hold the key or the value. The document is unchanged then.
    pub fn set(&mut self, path: &[&str], key: &str, value: &str) -> Result<(), ConfError> {
        let Some(id) = self.find(path) else {
            return Err(ConfError::NoDomain {
                path: path.join("/"),
            });
        };
        let refuse = || ConfError::Unrepresentable {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let written = escape(value, false);
        let (at, new) = match self.entry(path, key) {
            Some(entry) if entry.value == value => return Ok(()),
            Some(Entry { raw: Some(raw), .. }) => (raw.clone(), written),
            Some(entry) => (entry.key_end..entry.key_end, format!("={written}")),
            None => self.added_line(id, &format!("{}={written}", escape(key, true))),
        };
        let mut text = self.text.clone();
        text.replace_range(at, &new);
        // Rather than list what the format cannot hold, see what it made of the edit.
        match Self::parse(&text) {
            Ok(edited) if edited.get(path, key) == Some(value) => {
                *self = edited;
                Ok(())
            }
            _ => Err(refuse()),
        }
    }

    /// Makes sure that the domain at `path` is there, with those above it: what is missing is added as
    /// an empty domain before the end of the one above, indented as its neighbours are.
    ///
    /// # Errors
    /// [`ConfError::Unrepresentable`] if a name cannot be that of a domain. The document is unchanged
    /// then.
    pub fn add_domain(&mut self, path: &[&str]) -> Result<(), ConfError> {
        let mut edited = self.clone();
        for depth in 0..path.len() {
            let (above, name) = (&path[..depth], path[depth]);
            if edited.has_domain(&path[..=depth]) {
                continue;
            }
            let refuse = || ConfError::Unrepresentable {
                key: format!("<{name}>"),
                value: String::new(),
            };
            let parent = edited.find(above).ok_or_else(refuse)?;
            let (at, lines) = edited.added_domain(parent, name);
            let mut text = edited.text.clone();
            text.insert_str(at, &lines);
            edited = Self::parse(&text)
                .ok()
                .filter(|d| d.has_domain(&path[..=depth]))
                .ok_or_else(refuse)?;
        }
        *self = edited;
        Ok(())
    }

    /// All domains, by their names from the root down; a domain comes before those in it.
    #[must_use]
    pub fn paths(&self) -> Vec<Vec<&str>> {
        let mut out: Vec<Vec<&str>> = Vec::new();
        let mut todo: Vec<(usize, Vec<&str>)> = vec![(0, Vec::new())];
        while let Some((id, path)) = todo.pop() {
            let domain = &self.domains[id];
            for name in domain.order.iter().rev() {
                let mut below = path.clone();
                below.push(name);
                todo.push((domain.children[name], below));
            }
            if id != 0 {
                out.push(path);
            }
        }
        out
    }

    /// Takes every line of `key` out of the domain at `path`; tells whether there was one.
    pub fn remove(&mut self, path: &[&str], key: &str) -> bool {
        let Some(id) = self.find(path) else {
            return false;
        };
        let Some(entries) = self.domains[id].entries.get(key) else {
            return false;
        };
        let mut text = String::with_capacity(self.text.len());
        let mut from = 0;
        for entry in entries {
            text.push_str(&self.text[from..entry.span.start]);
            from = entry.span.end;
        }
        text.push_str(&self.text[from..]);
        match Self::parse(&text) {
            Ok(edited) => {
                *self = edited;
                true
            }
            // Entries alone never decide whether a file can be read.
            Err(_) => false,
        }
    }

    fn find(&self, path: &[&str]) -> Option<usize> {
        path.iter()
            .try_fold(0, |id, name| self.domains[id].children.get(*name).copied())
    }

    fn entry(&self, path: &[&str], key: &str) -> Option<&Entry> {
        let domain = &self.domains[self.find(path)?];
        domain.entries.get(key)?.last()
    }

    /// Where a new line of domain `id` goes, and its text with indentation and line end.
    fn added_line(&self, id: usize, body: &str) -> (Range<usize>, String) {
        let domain = &self.domains[id];
        let after = domain.last_entry.as_ref().unwrap_or(&domain.opened);
        let neighbour = &self.text[after.clone()];
        let indent = if domain.last_entry.is_some() || id == 0 {
            indent_of(neighbour).to_owned()
        } else {
            self.indent_in(id)
        };
        let end = line_end(neighbour);
        let lead = if neighbour.is_empty() || neighbour.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let line = format!("{lead}{indent}{body}{end}");
        (after.end..after.end, line)
    }

    /// Where a new domain below `id` goes, and its two lines.
    fn added_domain(&self, id: usize, name: &str) -> (usize, String) {
        let domain = &self.domains[id];
        let (at, end) = if id == 0 {
            (self.text.len(), line_end(&self.text))
        } else {
            let opened = &self.text[domain.opened.clone()];
            (domain.closed.start, line_end(opened))
        };
        let lead = if at == 0 || self.text[..at].ends_with('\n') {
            ""
        } else {
            end
        };
        let indent = if id == 0 {
            String::new()
        } else {
            self.indent_in(id)
        };
        let lines = format!("{lead}{indent}<{name}>{end}{indent}</{name}>{end}");
        (at, lines)
    }

    /// How far what stands in the domain `id` is indented: as its domains are, else as its entries,
    /// else one step more than the domain itself.
    fn indent_in(&self, id: usize) -> String {
        let domain = &self.domains[id];
        if let Some(child) = domain.order.first().map(|n| domain.children[n]) {
            return indent_of(&self.text[self.domains[child].opened.clone()]).to_owned();
        }
        if let Some(entry) = &domain.last_entry {
            return indent_of(&self.text[entry.clone()]).to_owned();
        }
        let own = indent_of(&self.text[domain.opened.clone()]);
        let above = indent_of(&self.text[self.domains[domain.parent].opened.clone()]);
        match own.strip_prefix(above) {
            Some(step) if !step.is_empty() => format!("{own}{step}"),
            _ => format!("{own}    "),
        }
    }
}

fn line_end(line: &str) -> &'static str {
    if line.ends_with("\r\n") { "\r\n" } else { "\n" }
}

impl Entry {
    /// Reads a trimmed line that starts at byte `at` of the file; gives the key as well.
    fn parse(
        trimmed: &str,
        at: usize,
        span: Range<usize>,
        line: usize,
    ) -> Result<(String, Self), ConfError> {
        let bytes = trimmed.as_bytes();
        // As Tars does: one backslash before `=` is enough to hide it, even an escaped one.
        let divider =
            (0..bytes.len()).find(|&i| bytes[i] == b'=' && (i == 0 || bytes[i - 1] != b'\\'));
        let key = trimmed[..divider.unwrap_or(trimmed.len())].trim_end_matches(BLANKS);
        let raw = divider.map(|d| {
            let value = trimmed[d + 1..].trim_start_matches(BLANKS);
            let end = at + trimmed.len();
            end - value.len()..end
        });
        let value = raw
            .as_ref()
            .map_or("", |r| &trimmed[r.start - at..r.end - at]);
        let unescaped = |s: &str| {
            unescape(s).ok_or_else(|| ConfError::BadEscape {
                line,
                text: s.to_owned(),
            })
        };
        let entry = Self {
            line,
            span,
            key_end: at + key.len(),
            value: unescaped(value)?,
            raw,
        };
        Ok((unescaped(key)?, entry))
    }
}

fn indent_of(line: &str) -> &str {
    let rest = line.trim_start_matches([' ', '\t']);
    &line[..line.len() - rest.len()]
}

/// Resolves the escapes of `TC_ConfigDomain::parse`; none if one is unknown.
fn unescape(s: &str) -> Option<String> {
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            '\\' => '\\',
            'r' => '\r',
            'n' => '\n',
            't' => '\t',
            '=' => '=',
            _ => return None,
        });
    }
    Some(out)
}

/// Writes what [`unescape`] reads. A value may hold a bare `=`, as people write it.
fn escape(s: &str, is_key: bool) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '=' if is_key => out.push_str("\\="),
            c => out.push(c),
        }
    }
    out
}
