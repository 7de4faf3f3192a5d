//! YAML text as a tree whose every value knows its place.
//!
//! The tree is built from the events of `saphyr-parser`, one after the other, without recursion.
//! It knows nothing of clusters. What must stay true: any text gives a tree or an error in time
//! and memory proportional to its length, so aliases are not followed but refused.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as YamlSpan, Tag};

use crate::diag::Diagnostic;
use crate::rules::Rule;
use crate::source::Source;

/// Longest text in bytes; ten thousand nodes written one by one are a tenth of it.
pub(crate) const MAX_TEXT: usize = 8 << 20;
/// Deepest nesting; the grammar needs six.
const MAX_DEPTH: usize = 32;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Byte range in the text.
    pub(crate) span: Range<usize>,
    /// What is there.
    pub(crate) value: Value,
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    /// The key's text.
    pub(crate) key: String,
    /// The key's place.
    pub(crate) key_span: Range<usize>,
    /// The value.
    pub(crate) node: Node,
}

/// A YAML value, by the core schema of YAML 1.2.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float,
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Pair>),
    /// Something that was refused already.
    Refused,
}

impl Value {
    /// What it is, for "found …".
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Float => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Refused => "something refused",
        }
    }
}

impl Node {
    /// The pair under `key`, where this is a mapping that has it.
    pub(crate) fn pair(&self, key: &str) -> Option<&Pair> {
        match &self.value {
            Value::Map(pairs) => pairs.iter().find(|p| p.key == key),
            _ => None,
        }
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.pair(key).map(|p| &p.node)
    }

    /// The value at `index`, where this is a list.
    pub(crate) fn item(&self, index: usize) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.get(index),
            _ => None,
        }
    }

    /// The same value without places.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Float | Value::Refused => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => Json::from(*i),
            Value::Text(t) => Json::from(t.as_str()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(pairs) => Json::Object(
                pairs
                    .iter()
                    .map(|p| (p.key.clone(), p.node.to_json()))
                    .collect(),
            ),
        }
    }
}

/// A collection whose end has not been seen yet.
enum Open {
    List {
        start: usize,
        items: Vec<Node>,
    },
    Map {
        start: usize,
        pairs: Vec<Pair>,
        seen: BTreeMap<String, Range<usize>>,
        key: Option<(Option<String>, Range<usize>)>,
    },
}

/// From the parser's places, which count characters, to bytes.
struct Places {
    /// Byte offset of every character; empty where the text is ASCII and both are the same.
    bytes: Vec<usize>,
    len: usize,
}

impl Places {
    fn new(text: &str) -> Self {
        let bytes = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(i, _)| i).collect()
        };
        Self {
            bytes,
            len: text.len(),
        }
    }

    fn byte(&self, index: usize) -> usize {
        if self.bytes.is_empty() {
            index.min(self.len)
        } else {
            self.bytes.get(index).copied().unwrap_or(self.len)
        }
    }

    fn range(&self, span: YamlSpan, base: usize) -> Range<usize> {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index()).max(start);
        start + base..end + base
    }
}

struct Builder<'a> {
    source: &'a Source,
    stack: Vec<Open>,
    root: Option<Node>,
    problems: Vec<Diagnostic>,
}

const NO_ANCHORS: &str = "write the value out; what nodes have in common belongs to `ssh`, \
     `framework` or a range of nodes, and text that starts with `*` or `&` must be in quotes";

/// Reads `source` as one document; the problems are complete only if there is a tree.
pub(crate) fn read(source: &Source) -> (Option<Node>, Vec<Diagnostic>) {
    let text = source.text();
    if text.len() > MAX_TEXT {
        let d = source.diagnostic(
            Rule::TooLarge,
            &(0..0),
            format!("the file has {} bytes, the limit is {MAX_TEXT}", text.len()),
            "write nodes as ranges, or split the cluster",
        );
        return (None, vec![d]);
    }
    // A byte order mark is no part of the document.
    let base = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let body = &text[base..];
    let places = Places::new(body);
    let mut builder = Builder {
        source,
        stack: Vec::new(),
        root: None,
        problems: Vec::new(),
    };
    let mut parser = Parser::new_from_str(body);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok((event, span)) => (event, places.range(span, base)),
            Err(e) => {
                let at = places.byte(e.marker().index()) + base;
                builder.problems.push(syntax(source, at, e.info()));
                return (None, builder.problems);
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                builder.problems.push(source.diagnostic(
                    Rule::SeveralDocuments,
                    &span,
                    "a second document starts here, but a spec is one document",
                    "write one file for each cluster, and name it with `--file`",
                ));
                break;
            }
        }
        if let Err(fatal) = builder.event(event, span) {
            builder.problems.push(*fatal);
            return (None, builder.problems);
        }
    }
    let Builder {
        root, mut problems, ..
    } = builder;
    let Some(root) = root else {
        problems.push(empty(source, base));
        return (None, problems);
    };
    match &root.value {
        Value::Map(_) | Value::Refused => (Some(root), problems),
        Value::Null => {
            problems.push(empty(source, base));
            (None, problems)
        }
        other => {
            problems.push(source.diagnostic(
                Rule::RootNotMapping,
                &root.span,
                format!("expected a mapping at the top, found {}", other.kind()),
                "a spec starts with `schema: tarsops/v1`",
            ));
            (None, problems)
        }
    }
}

fn empty(source: &Source, at: usize) -> Diagnostic {
    source.diagnostic(
        Rule::EmptyDocument,
        &(at..at),
        "the file contains no spec",
        "`tarsops init` writes one to start from",
    )
}

/// The parser's own complaint, with a next step for the usual ones.
fn syntax(source: &Source, at: usize, info: &str) -> Diagnostic {
    let span = at..at;
    if info.contains("unknown anchor") {
        return source.diagnostic(
            Rule::Anchors,
            &span,
            "an alias names an anchor that is not there",
            NO_ANCHORS,
        );
    }
    if info.contains("simple key") {
        // The parser notices it where the next key starts, or the file ends.
        let before = source.text()[..at].trim_end();
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let indent = before[start..].len() - before[start..].trim_start().len();
        return source.diagnostic(
            Rule::YamlSyntax,
            &(start + indent..before.len()),
            "this is no YAML: a key is expected here, with a colon and a space after it",
            "write `key: value`; the space after the colon is needed",
        );
    }
    let line = source.line_text(at);
    if let Some(range) = open_range(source, at) {
        let text = &source.text()[range.clone()];
        return source.diagnostic(
            Rule::YamlSyntax,
            &range,
            "this is no YAML: inside `{…}` a bracket ends a text that is not quoted",
            format!("put it in quotes: `\"{text}\"`"),
        );
    }
    let indent = &line[..line.len() - line.trim_start().len()];
    let help = if indent.contains('\t') {
        "indent with spaces: YAML does not allow tabs there"
    } else {
        "text that contains `: `, ` #`, or starts with one of `[ ] { } & * ! | > % @` and the like \
         must be in quotes; brackets and quotes must be closed"
    };
    let mut info = info.to_owned();
    if let Some(first) = info.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    source.diagnostic(
        Rule::YamlSyntax,
        &span,
        format!("this is no YAML: {info}"),
        help,
    )
}

/// The range of nodes that is written without quotes around the place where the parser stopped: such
/// as `10.0.1.[1-40]` inside `{…}`.
fn open_range(source: &Source, at: usize) -> Option<Range<usize>> {
    let line = source.line_range(at);
    let text = source.text().get(line.clone())?;
    let (before, after) = text.split_at_checked(at.checked_sub(line.start)?)?;
    let left: usize = word(before.chars().rev(), ']', '[');
    let right: usize = word(after.chars(), '[', ']');
    let found = at - left..at + right;
    let names = crate::range::expand(&source.text()[found.clone()]).ok()?;
    (names.len() > 1).then_some(found)
}

/// How many bytes of `chars` belong to one word; in brackets it may have commas and spaces.
fn word(chars: impl Iterator<Item = char>, open: char, close: char) -> usize {
    let mut depth = 0_usize;
    chars
        .take_while(|c| {
            depth += usize::from(*c == open);
            let inside = depth > 0;
            if *c == close {
                depth = depth.saturating_sub(1);
            }
            c.is_ascii_alphanumeric() || "._-[]".contains(*c) || (inside && ", ".contains(*c))
        })
        .map(char::len_utf8)
        .sum()
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), Box<Diagnostic>> {
        match event {
            Event::Alias(_) => {
                self.refuse(
                    Rule::Anchors,
                    &span,
                    "aliases are not supported",
                    NO_ANCHORS,
                );
                self.put(Node {
                    span,
                    value: Value::Refused,
                });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.decorations(anchor, tag.as_deref(), &span);
                // What a tag would make of the text is not known.
                let value = match tag {
                    Some(_) => Value::Refused,
                    None => scalar(&text, style),
                };
                let span = self.trim(span);
                self.put_scalar(&text, Node { span, value });
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), &span)?;
                self.stack.push(Open::List {
                    start: span.start,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), &span)?;
                self.stack.push(Open::Map {
                    start: span.start,
                    pairs: Vec::new(),
                    seen: BTreeMap::new(),
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            _ => {}
        }
        Ok(())
    }

    fn refuse(&mut self, rule: Rule, span: &Range<usize>, message: &str, help: &str) {
        self.problems
            .push(self.source.diagnostic(rule, span, message, help));
    }

    fn decorations(&mut self, anchor: usize, tag: Option<&Tag>, span: &Range<usize>) {
        if anchor != 0 {
            self.refuse(Rule::Anchors, span, "anchors are not supported", NO_ANCHORS);
        }
        if tag.is_some() {
            self.refuse(
                Rule::Tags,
                span,
                "tags are not supported",
                "leave the `!…` away; put text that looks like a number in quotes",
            );
        }
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Range<usize>,
    ) -> Result<(), Box<Diagnostic>> {
        self.decorations(anchor, tag, span);
        if self.stack.len() < MAX_DEPTH {
            return Ok(());
        }
        Err(Box::new(self.source.diagnostic(
            Rule::TooDeep,
            span,
            format!("this is nested more than {MAX_DEPTH} levels deep"),
            "a spec needs six; look for a bracket that is not closed",
        )))
    }

    /// A block scalar's place ends after its last line; the caret should not.
    fn trim(&self, span: Range<usize>) -> Range<usize> {
        let body = self.source.text().get(span.clone()).unwrap_or("");
        span.start..span.start + body.trim_end().len()
    }

    fn put_scalar(&mut self, text: &str, node: Node) {
        if let Some(Open::Map { key, .. }) = self.stack.last_mut()
            && key.is_none()
        {
            let name = (!text.is_empty()).then(|| text.to_owned());
            let span = node.span.clone();
            let bad = name.is_none();
            *key = Some((name, span.clone()));
            if bad {
                self.refuse(
                    Rule::InvalidKey,
                    &span,
                    "a key is empty",
                    "write a name before the colon",
                );
            }
            return;
        }
        self.put(node);
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => {
                self.root.get_or_insert(node);
            }
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                key: key @ None, ..
            }) => {
                let span = node.span.clone();
                *key = Some((None, span.clone()));
                if !matches!(node.value, Value::Refused) {
                    self.refuse(
                        Rule::InvalidKey,
                        &span,
                        format!("expected a name as key, found {}", node.value.kind()).as_str(),
                        "text that starts with a bracket must be in quotes",
                    );
                }
            }
            Some(Open::Map {
                pairs, seen, key, ..
            }) => {
                let Some((Some(name), key_span)) = key.take() else {
                    return;
                };
                if name == "<<" {
                    self.refuse(
                        Rule::Anchors,
                        &key_span,
                        "merge keys are not supported",
                        NO_ANCHORS,
                    );
                    return;
                }
                if let Some(first) = seen.get(&name) {
                    let mut d = self.source.diagnostic(
                        Rule::DuplicateKey,
                        &key_span,
                        format!("the key `{name}` is here a second time"),
                        "keep one of them; YAML would silently forget the other",
                    );
                    d.related
                        .push(self.source.label(first, "first written here"));
                    self.problems.push(d);
                    return;
                }
                seen.insert(name.clone(), key_span.clone());
                pairs.push(Pair {
                    key: name,
                    key_span,
                    node,
                });
            }
        }
    }

    fn close(&mut self, end: usize) {
        let node = match self.stack.pop() {
            Some(Open::List { start, items }) => Node {
                span: start..end.max(start),
                value: Value::List(items),
            },
            Some(Open::Map { start, pairs, .. }) => Node {
                span: start..end.max(start),
                value: Value::Map(pairs),
            },
            None => return,
        };
        self.put(node);
    }
}

/// Resolves a scalar by the core schema of YAML 1.2.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float,
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Value::Float;
    }
    let (number, radix) = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) => (octal, 8),
        (None, None) => ("", 10),
    };
    // Rust would take a sign here, YAML does not.
    if number.starts_with(|c: char| c.is_ascii_alphanumeric())
        && let Ok(n) = i64::from_str_radix(number, radix)
    {
        return Value::Int(n);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Text(text.to_owned());
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or(Value::Float, Value::Int);
    }
    // Rust reads more than YAML does only in words, which start with a letter.
    if text.parse::<f64>().is_ok() {
        return Value::Float;
    }
    Value::Text(text.to_owned())
}
