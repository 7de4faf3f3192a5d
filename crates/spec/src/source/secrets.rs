//! Where secrets stand in a text, so that they are never printed.
//!
//! A spec must not hold any, but people write them down before they are told so. Too much hidden
//! is no harm; too little is.

use std::ops::Range;

use crate::leaf;
use crate::odd;
use crate::tree::{Node, Value};

/// Words in keys that speak of secrets.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "ticket",
    "credential",
];

/// Keys that say where a secret comes from, whose values are no secrets.
const SOURCES: &[&str] = &["env", "file", "command"];

/// Keys that look like misspelt ones of secrets and are our own.
const HARMLESS: &[&str] = &["socket"];

/// Whether the value under `key` may be a secret; misspelt keys count.
fn is_secret(key: &str) -> bool {
    let key: String = key.chars().filter_map(odd::plain).collect();
    let key = key.to_lowercase();
    WORDS.iter().any(|w| key.contains(w))
        || !HARMLESS.contains(&key.as_str())
            && ["password", "ticket"]
                .iter()
                .any(|w| strsim::damerau_levenshtein(w, &key) <= 2)
}

/// Places of secrets in a tree.
pub(crate) fn in_tree(root: &Node) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    visit(root, &mut out);
    out
}

fn visit(node: &Node, out: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Map(pairs) => {
            for p in pairs {
                in_words(&p.key, &p.key_span, out);
                if is_secret(&p.key) {
                    secret(&p.node, out);
                } else {
                    visit(&p.node, out);
                }
            }
        }
        Value::List(items) => items.iter().for_each(|i| visit(i, out)),
        // An address may carry a password before its host.
        Value::Text(t) if t.contains("://") && t.contains('@') => out.push(node.span.clone()),
        Value::Text(t) => in_words(t, &node.span, out),
        _ => {}
    }
}

/// What stands behind a colon, or before a space, that YAML takes for a letter: it is part of the text
/// then.
fn in_words(text: &str, span: &Range<usize>, out: &mut Vec<Range<usize>>) {
    if !text.contains(|c: char| odd::plain(c) != Some(c)) {
        return;
    }
    let found = under_keys(text);
    if span.len() == text.len() {
        out.extend(
            found
                .iter()
                .map(|r| span.start + r.start..span.start + r.end),
        );
    } else if !found.is_empty() {
        // Quoted, or of several lines: its places in the file are others.
        out.push(span.clone());
    }
}

/// The value of a key that speaks of a secret.
fn secret(node: &Node, out: &mut Vec<Range<usize>>) {
    let Value::Map(pairs) = &node.value else {
        out.push(node.span.clone());
        return;
    };
    for p in pairs {
        let harmless = match (&p.node.value, p.key.as_str()) {
            // Whoever writes the secret itself under `env` most likely does not write a name.
            (Value::Text(t), "env") => leaf::is_env_name(t),
            (Value::Text(_), "file") | (Value::List(_) | Value::Text(_), "command") => true,
            _ => false,
        };
        if !harmless {
            out.push(p.node.span.clone());
        }
    }
}

/// Places that may hold secrets in a text that is no YAML, by a look at each line.
pub(crate) fn in_text(text: &str) -> Vec<Range<usize>> {
    let mut out = under_keys(text);
    let mut at = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        // Addresses with a password in them.
        if let (Some(from), Some(to)) = (line.find("://"), line.rfind('@'))
            && from < to
        {
            out.push(at + from + 3..at + to);
        }
        at += line.len();
    }
    out
}

/// What stands in a text behind keys that speak of secrets.
fn under_keys(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut at = 0;
    // Indentation of a key whose value stands on the lines below it.
    let mut below: Option<usize> = None;
    for line in text.split_inclusive(['\n', '\r']) {
        let start = at;
        at += line.len();
        let body = line.trim_end();
        let trimmed = body.trim_start();
        if trimmed.is_empty() {
            continue;
        }
        let indent = body.len() - trimmed.len();
        if let Some(outer) = below {
            let source = trimmed
                .split_once(':')
                .is_some_and(|(k, _)| SOURCES.contains(&k.trim().trim_matches(['"', '\''])));
            if indent > outer && !source {
                out.push(start + indent..start + body.len());
                continue;
            }
            if indent <= outer {
                below = None;
            }
        }
        let mut from = 0;
        let is_colon = |c: char| odd::plain(c) == Some(':');
        while let Some(colon) = body[from..].find(is_colon).map(|i| i + from) {
            let key: &str = body[..colon]
                .trim_end_matches(|c: char| c == '"' || c == '\'' || c.is_whitespace());
            let word = key
                .rfind(|c: char| {
                    !(c.is_alphanumeric() || "_-".contains(c) || odd::plain(c).is_none())
                })
                .map_or(key, |i| &key[i..]);
            from = colon + body[colon..].chars().next().map_or(1, char::len_utf8);
            if !is_secret(word.trim_start_matches(|c: char| !c.is_alphanumeric())) {
                continue;
            }
            let value = body[from..].trim();
            if value.is_empty() || value.starts_with(['|', '>']) {
                below = Some(indent);
            }
            let named = value.strip_prefix('{').is_some_and(|v| {
                SOURCES
                    .iter()
                    .any(|s| v.trim_start().starts_with(&format!("{s}:")))
            });
            if !value.is_empty() && !named {
                let first = body.len() - body[from..].trim_start().len();
                out.push(start + first..start + body.len());
                break;
            }
        }
    }
    out
}
