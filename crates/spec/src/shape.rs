//! Whether a tree has the shape of a spec: keys, types and the form of every scalar.
//!
//! The JSON Schema leads the way, so a key that is added to the document needs no line here. What
//! must stay true: a tree that passes turns into a [`Spec`](crate::document::Spec) without error,
//! and everything that is wrong is found in one pass.

use std::ops::Range;

use serde_json::Value as Json;

use crate::diag::Diagnostic;
use crate::leaf;
use crate::rules::Rule;
use crate::source::Source;
use crate::tree::{Node, Pair, Value};

mod refuse;

/// Checks `root`.
pub(crate) fn check(source: &Source, root: &Node) -> Vec<Diagnostic> {
    let schema = crate::schema::borrowed();
    let mut walk = Walk {
        source,
        schema,
        out: Vec::new(),
    };
    if walk.version(root) {
        let start = root.span.start..root.span.start;
        walk.value(schema, root, &start, "");
    }
    walk.out
}

/// The possibility that was most likely meant.
fn closest<'a>(found: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    options
        .into_iter()
        .map(|o| (strsim::damerau_levenshtein(&found, &o.to_lowercase()), o))
        .filter(|(distance, o)| *distance <= (o.len() / 3).max(1))
        .min()
        .map(|(_, o)| o)
}

/// `a`, `b` and `c`, or with another word before the last.
fn listed<'a>(options: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let all: Vec<String> = options.into_iter().map(|o| format!("`{o}`")).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {word} {last}", rest.join(", ")),
        _ => all.join(""),
    }
}

/// The values of a schema that only names some.
fn choices(schema: &Json) -> Option<Vec<&str>> {
    if let Some(list) = schema.get("enum").and_then(Json::as_array) {
        return list.iter().map(Json::as_str).collect();
    }
    if let Some(one) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![one]);
    }
    schema
        .get("oneOf")
        .and_then(Json::as_array)?
        .iter()
        .map(|s| s.get("const").and_then(Json::as_str))
        .collect()
}

struct Walk<'a> {
    source: &'a Source,
    schema: &'a Json,
    out: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    fn say(
        &mut self,
        rule: Rule,
        span: &Range<usize>,
        message: impl AsRef<str>,
        help: impl Into<crate::source::Help>,
    ) {
        self.out
            .push(self.source.diagnostic(rule, span, message, help));
    }

    /// Whether the file's format is ours; if it is not, nothing else is worth saying.
    fn version(&mut self, root: &Node) -> bool {
        let Some(node) = root.get("schema") else {
            return true;
        };
        let Value::Text(text) = &node.value else {
            return true;
        };
        if text == "tarsops/v1" {
            return true;
        }
        let number = text
            .strip_prefix("tarsops/v")
            .and_then(|n| n.parse::<u32>().ok());
        if number.is_some_and(|n| n > 1) {
            self.say(
                Rule::SchemaNewer,
                &node.span,
                format!("this file needs a newer tarsops: its format is `{text}`"),
                "update tarsops; this one reads `tarsops/v1`",
            );
        } else {
            self.say(
                Rule::SchemaUnknown,
                &node.span,
                format!("the format `{text}` does not exist"),
                "write `schema: tarsops/v1`",
            );
        }
        false
    }

    /// Follows references; also the name of the last one.
    fn resolve(&self, mut schema: &'a Json) -> (&'a Json, &'a str) {
        let mut name = "";
        while let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            name = reference;
            let Some(next) = reference
                .strip_prefix('#')
                .and_then(|p| self.schema.pointer(p))
            else {
                break;
            };
            schema = next;
        }
        (schema, name)
    }

    /// Checks one value; `key` is where its absence would be shown, `path` what it is called.
    fn value(&mut self, schema: &'a Json, node: &Node, key: &Range<usize>, path: &str) {
        let (schema, reference) = self.resolve(schema);
        if matches!(node.value, Value::Refused) {
            return;
        }
        if path == "rebuild" {
            return self.rebuild(schema, node, key);
        }
        if reference == "#/$defs/Secret" {
            return self.secret(schema, node, key, path);
        }
        if matches!(node.value, Value::Null) {
            let at = if node.span.is_empty() {
                key
            } else {
                &node.span
            };
            let at = at.clone();
            self.say(
                Rule::MissingValue,
                &at,
                format!("`{path}` has no value"),
                "give it one, or remove the key",
            );
            return;
        }
        if let Some(leaf) = leaf::find(reference) {
            return self.leaf(leaf, node, path);
        }
        if let Some(choices) = choices(schema) {
            return self.choice(&choices, node, path);
        }
        if reference == "#/$defs/Ramp" {
            let form = match node.value {
                Value::List(_) => "/anyOf/1",
                _ => "/anyOf/0",
            };
            if let Some(form) = schema.pointer(form) {
                self.value(form, node, key, path);
            }
            return;
        }
        if reference == "#/$defs/Count" {
            return self.count(schema, node, path);
        }
        match schema.get("type").and_then(Json::as_str) {
            Some("object") => self.object(schema, node, key, path),
            Some("array") => self.array(schema, node, path),
            Some("integer") => {
                let what = if reference == "#/$defs/Port" {
                    "a port number"
                } else {
                    "a whole number"
                };
                self.integer(schema, node, path, what);
            }
            Some("boolean") if !matches!(node.value, Value::Bool(_)) => {
                self.wrong_type(node, path, "true or false", "write `true` or `false`");
            }
            Some("string") if !matches!(node.value, Value::Text(_)) => {
                self.wrong_type(node, path, "a text", "put it in quotes");
            }
            _ => {}
        }
    }

    fn wrong_type(&mut self, node: &Node, path: &str, expected: &str, help: &str) {
        self.say(
            Rule::WrongType,
            &node.span,
            format!(
                "expected {expected} for `{path}`, found {}",
                node.value.kind()
            ),
            help,
        );
    }

    fn leaf(&mut self, leaf: &leaf::Leaf, node: &Node, path: &str) {
        match &node.value {
            Value::Text(text) => {
                // A jump host may also be none at all.
                if leaf.name == "Jump" && text == "none" {
                    return;
                }
                if let Err((rule, message)) = (leaf.check)(text) {
                    let message =
                        if message.contains(text.as_str()) && self.source.is_hidden(&node.span) {
                            format!("`{path}` is not {}", leaf.expected)
                        } else {
                            message
                        };
                    let help = match crate::range::meant(text) {
                        Some(range) if leaf.name.ends_with("Pattern") => {
                            format!("did you mean the range `{range}`? quote it inside `{{…}}`")
                        }
                        _ => leaf.help.to_owned(),
                    };
                    self.say(rule, &node.span, message, help);
                }
            }
            other => {
                let scalar = matches!(other, Value::Bool(_) | Value::Int(_) | Value::Float);
                let written = self.source.text().get(node.span.clone()).unwrap_or("");
                let help = if !scalar || leaf.wrong_type != Rule::WrongType {
                    leaf.help.to_owned()
                } else if (leaf.check)(written).is_ok() {
                    format!("put it in quotes if it is meant so; {}", leaf.help)
                } else {
                    // Quotes would not make it right.
                    let kind = other.kind();
                    format!("YAML reads `{written}` as {kind}; {}", leaf.help)
                };
                self.say(
                    leaf.wrong_type,
                    &node.span,
                    format!(
                        "expected {} for `{path}`, found {}",
                        leaf.expected,
                        other.kind()
                    ),
                    help,
                );
            }
        }
    }

    fn choice(&mut self, choices: &[&str], node: &Node, path: &str) {
        match &node.value {
            Value::Text(t) if choices.contains(&t.as_str()) => {}
            Value::Text(t) => {
                let help = match closest(t, choices.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it takes {}", listed(choices.iter().copied(), "or")),
                };
                self.say(
                    Rule::UnknownValue,
                    &node.span,
                    format!("`{t}` is not a value that `{path}` takes"),
                    help,
                );
            }
            _ => {
                let help = format!("it takes {}", listed(choices.iter().copied(), "or"));
                self.wrong_type(node, path, "a word", &help);
            }
        }
    }

    fn count(&mut self, schema: &'a Json, node: &Node, path: &str) {
        if matches!(node.value, Value::Int(_)) {
            let number = schema.pointer("/anyOf/0").unwrap_or(schema);
            self.integer(number, node, path, "a number of hosts");
        } else if let Some(leaf) = leaf::find("#/$defs/CountText") {
            self.leaf(leaf, node, path);
        }
    }

    fn integer(&mut self, schema: &Json, node: &Node, path: &str, what: &str) {
        let bound = |key| schema.get(key).and_then(Json::as_i64);
        let low = bound("minimum").unwrap_or(0);
        let high = bound("maximum").unwrap_or(i64::from(u32::MAX));
        match node.value {
            Value::Int(n) if (low..=high).contains(&n) => {}
            Value::Int(n) => self.say(
                Rule::OutOfRange,
                &node.span,
                format!("{n} is not possible for `{path}`"),
                format!("it takes {what} from {low} to {high}"),
            ),
            _ => self.wrong_type(node, path, what, "write the digits, without quotes"),
        }
    }

    fn array(&mut self, schema: &'a Json, node: &Node, path: &str) {
        let Value::List(items) = &node.value else {
            let help = match &node.value {
                Value::Text(_) => "put it in brackets: `[…]`",
                _ => "write `[…]`, or one entry a line, each after `- `",
            };
            return self.wrong_type(node, path, "a list", help);
        };
        let least = schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            self.say(
                Rule::EmptyList,
                &node.span,
                format!("`{path}` is an empty list"),
                "name at least one",
            );
        }
        let Some(each) = schema.get("items") else {
            return;
        };
        for (i, item) in items.iter().enumerate() {
            let start = item.span.start..item.span.start;
            self.value(each, item, &start, &format!("{path}[{i}]"));
        }
    }

    fn object(&mut self, schema: &'a Json, node: &Node, key: &Range<usize>, path: &str) {
        let Value::Map(pairs) = &node.value else {
            let help = "write `key: value` lines below it";
            return self.wrong_type(node, path, "a mapping", help);
        };
        let known = schema.get("properties").and_then(Json::as_object);
        let rest = schema
            .get("additionalProperties")
            .filter(|s| !matches!(s, Json::Bool(_)));
        let mut misspelt: Vec<&str> = Vec::new();
        for pair in pairs {
            let at = join(path, &pair.key);
            if refuse::is_rebuild(&pair.key) && at != "rebuild" {
                self.refuse_rebuild_key(&pair.key_span, &at);
                continue;
            }
            if let Some(schema) = known.and_then(|k| k.get(&pair.key)) {
                self.value(schema, &pair.node, &pair.key_span, &at);
            } else if let Some(each) = rest {
                if self.key(schema, pair) {
                    self.value(each, &pair.node, &pair.key_span, &at);
                }
            } else {
                let names: Vec<&str> = known
                    .map(|k| k.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                self.unknown(pair, path, &names);
                misspelt.extend(closest(&pair.key, names));
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            // Whoever wrote it wrong has been told already.
            if node.get(name).is_none() && !misspelt.contains(&name) {
                let at = if key.is_empty() && node.span.start == key.start {
                    first_key(pairs, &node.span)
                } else {
                    key.clone()
                };
                let place = if path.is_empty() {
                    "the spec".to_owned()
                } else {
                    format!("`{path}`")
                };
                self.say(
                    Rule::MissingKey,
                    &at,
                    format!("{place} lacks the key `{name}`"),
                    self.example(schema, name),
                );
            }
        }
    }
}

/// `path` extended by `key`.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Where to show that a mapping without a key of its own lacks something.
fn first_key(pairs: &[Pair], span: &Range<usize>) -> Range<usize> {
    pairs.first().map_or(span.clone(), |p| p.key_span.clone())
}
