//! The document of a plan: one line for each entry of its long lists, written without a second copy of
//! the whole.
//!
//! Steps of a large plan are nearly alike. What stands twice in the internal part of steps (`action`,
//! `pre`, `post`, `undo`) is written once, under `shared`, and the steps refer to it by
//! `{"shared": number}`. There the name of the step's node reads `{node}`, its machine-id `{machine}`, and
//! its address `{ip}` where that is not the name as well; the step has the last two in fields of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use serde::Serialize;
use serde_json::{Map, Value};
use tarsops_model::names::NodeName;

use crate::plan::{Plan, Step};

/// The fields of a step that may refer to shared parts.
const PARTS: [&str; 4] = ["action", "pre", "post", "undo"];
/// The key of a reference, and of the table.
const SHARED: &str = "shared";
/// The fields of a step with the address and the machine-id of its node.
pub(crate) const OWN: [&str; 2] = ["ip", "machine"];
/// What stands in shared parts for the name of a step's node, and for what is in those fields.
const MARKS: [&str; 3] = ["{node}", "{ip}", "{machine}"];
/// A part that is shorter than this, in bytes without its punctuation, is written where it stands.
const LEAST: usize = 24;

/// What a step puts in the place of the marks of shared parts, each for its own of [`MARKS`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fill<'a>([Option<&'a str>; 3]);

impl<'a> Fill<'a> {
    /// Of a step on this node, with the values of its fields [`OWN`].
    pub(crate) fn of(node: Option<&'a NodeName>, own: [Option<&'a str>; 2]) -> Self {
        let [ip, machine] = own;
        Self([node.map(NodeName::as_str), ip, machine])
    }

    /// A text with marks in place of what is the step's own; none if it has such marks itself.
    fn template<'t>(&self, text: &'t str) -> Option<Cow<'t, str>> {
        if MARKS.iter().any(|mark| text.contains(mark)) {
            return None;
        }
        let mut out = Cow::Borrowed(text);
        for (own, mark) in self.0.iter().zip(MARKS) {
            if let Some(own) = own.filter(|own| out.contains(own)) {
                out = Cow::Owned(out.replace(own, mark));
            }
        }
        Some(out)
    }

    /// A text of a shared part as it is in the step.
    fn fill<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut out = Cow::Borrowed(text);
        for (own, mark) in self.0.iter().zip(MARKS).rev() {
            if let Some(own) = own.filter(|_| out.contains(mark)) {
                out = Cow::Owned(out.replace(mark, own));
            }
        }
        out
    }

    /// A shared part as it is in the step.
    pub(crate) fn filled(&self, part: &Value) -> Value {
        match part {
            Value::String(text) => Value::String(self.fill(text).into_owned()),
            Value::Array(all) => all.iter().map(|part| self.filled(part)).collect(),
            Value::Object(all) => {
                let all = all
                    .iter()
                    .map(|(key, part)| (key.clone(), self.filled(part)));
                Value::Object(all.collect())
            }
            other => other.clone(),
        }
    }

    /// A part with marks in place of what is the step's own. None of its texts has such marks itself.
    fn shared(&self, part: &Value) -> Value {
        match part {
            Value::String(text) => {
                let text = self.template(text).unwrap_or(Cow::Borrowed(text));
                Value::String(text.into_owned())
            }
            Value::Array(all) => all.iter().map(|part| self.shared(part)).collect(),
            Value::Object(all) => {
                let all = all
                    .iter()
                    .map(|(key, part)| (key.clone(), self.shared(part)));
                Value::Object(all.collect())
            }
            other => other.clone(),
        }
    }
}

/// The number of a shared part, if a value refers to one.
pub(crate) fn reference(value: &Value) -> Option<usize> {
    let all = value.as_object().filter(|all| all.len() == 1)?;
    usize::try_from(all.get(SHARED)?.as_u64()?).ok()
}

/// The values of the fields [`OWN`] of a step, as its action has them; none of an address that is the
/// node's name as well.
fn own(step: &Step, value: &Value) -> [Option<String>; 2] {
    let field = |name: &str| Some(value.get("action")?.get(name)?.as_str()?.to_owned());
    let is_other = |ip: &String| step.resource.node().is_none_or(|node| node.as_str() != ip);
    // What is shorter than a machine-id may be a part of many words.
    let is_long = |id: &String| id.len() == 32;
    [
        field("ip").filter(is_other),
        field("machine_id").filter(is_long),
    ]
}

/// One list or mapping within a step.
struct Mark {
    hash: u64,
    /// How long it is, about.
    length: usize,
    /// Whether it can be shared: no text of it has marks.
    is_plain: bool,
    /// How many lists and mappings it has, itself included.
    size: usize,
}

/// Marks of `value` and all within it, each before those within it. Gives the hash, length and plainness
/// of `value`.
fn measure(value: &Value, fill: &Fill<'_>, marks: &mut Vec<Mark>) -> (u64, usize, bool) {
    let mut hasher = DefaultHasher::new();
    let (mut length, mut is_plain) = (0, true);
    let at = marks.len();
    let within = |value: &Value, hasher: &mut DefaultHasher, marks: &mut Vec<Mark>| {
        let (hash, length, is_plain) = measure(value, fill, marks);
        hash.hash(hasher);
        (length, is_plain)
    };
    let mut open = || {
        marks.push(Mark {
            hash: 0,
            length: 0,
            is_plain: true,
            size: 1,
        });
    };
    match value {
        Value::String(text) => {
            let template = fill.template(text);
            is_plain = template.is_some();
            ("text", template.as_deref().unwrap_or(text)).hash(&mut hasher);
            length = text.len();
        }
        Value::Array(all) => {
            open();
            "list".hash(&mut hasher);
            for value in all {
                let (long, plain) = within(value, &mut hasher, marks);
                length += long;
                is_plain &= plain;
            }
        }
        Value::Object(all) => {
            open();
            "mapping".hash(&mut hasher);
            for (key, value) in all {
                key.hash(&mut hasher);
                let (long, plain) = within(value, &mut hasher, marks);
                length += key.len() + long;
                is_plain &= plain;
            }
        }
        other => {
            ("other", other.to_string()).hash(&mut hasher);
            length = 4;
        }
    }
    let hash = hasher.finish();
    if marks.len() > at {
        marks[at] = Mark {
            hash,
            length,
            is_plain,
            size: marks.len() - at,
        };
    }
    (hash, length, is_plain)
}

/// The parts that stand in more than one place.
#[derive(Default)]
struct Table {
    seen: BTreeSet<u64>,
    numbers: BTreeMap<u64, usize>,
    parts: Vec<Value>,
}

impl Table {
    /// Notes what stands in a part; the second time it is shared.
    fn note(&mut self, value: &Value, fill: &Fill<'_>, marks: &[Mark]) {
        let Some((own, mut within)) = marks.split_first() else {
            return;
        };
        if own.is_plain && own.length >= LEAST && !self.seen.insert(own.hash) {
            if !self.numbers.contains_key(&own.hash) {
                self.numbers.insert(own.hash, self.parts.len());
                self.parts.push(fill.shared(value));
            }
            return;
        }
        for value in children(value) {
            if is_marked(value) {
                let (these, rest) = within.split_at(within[0].size);
                self.note(value, fill, these);
                within = rest;
            }
        }
    }

    /// A part of a step, with references to what is shared of it.
    fn replaced(&self, value: &Value, fill: &Fill<'_>, marks: &[Mark]) -> Value {
        let Some((own, mut within)) = marks.split_first() else {
            return value.clone();
        };
        // Two parts of one hash may still differ.
        if let Some(number) = self.numbers.get(&own.hash)
            && own.is_plain
            && fill.filled(&self.parts[*number]) == *value
        {
            let mut reference = Map::new();
            reference.insert(SHARED.to_owned(), (*number).into());
            return Value::Object(reference);
        }
        let mut each = |value: &Value| {
            if !is_marked(value) {
                return value.clone();
            }
            let (these, rest) = within.split_at(within[0].size);
            within = rest;
            self.replaced(value, fill, these)
        };
        match value {
            Value::Array(all) => all.iter().map(each).collect(),
            Value::Object(all) => {
                let all = all.iter().map(|(key, value)| (key.clone(), each(value)));
                Value::Object(all.collect())
            }
            other => other.clone(),
        }
    }
}

fn is_marked(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(all) => Box::new(all.iter()),
        Value::Object(all) => Box::new(all.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// A step as JSON, after `each` was called with every part of it that may be shared, with its marks and
/// what fills it.
fn with_parts(
    step: &Step,
    mut each: impl FnMut(&mut Value, &Fill<'_>, &[Mark]),
) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(step)?;
    let own = own(step, &value);
    let [ip, machine] = &own;
    let fill = Fill::of(step.resource.node(), [ip.as_deref(), machine.as_deref()]);
    for part in PARTS {
        if let Some(value) = value.get_mut(part).filter(|value| is_marked(value)) {
            let mut marks = Vec::new();
            measure(value, &fill, &mut marks);
            each(value, &fill, &marks);
        }
    }
    for (name, own) in OWN.into_iter().zip(own) {
        if let (Some(own), Some(all)) = (own, value.as_object_mut()) {
            all.insert(name.to_owned(), own.into());
        }
    }
    Ok(value)
}

/// What a document is written to, piece by piece. No piece ends within a text.
pub trait Pieces {
    /// Takes the next piece.
    ///
    /// # Errors
    /// Why it could not be written; nothing more is written then.
    fn piece(&mut self, text: &str) -> io::Result<()>;
}

impl Pieces for String {
    fn piece(&mut self, text: &str) -> io::Result<()> {
        self.push_str(text);
        Ok(())
    }
}

impl Plan {
    /// The plan as a document for machines, with a final newline.
    ///
    /// # Errors
    /// None in practice: every value has a JSON form.
    pub fn to_json(&self) -> io::Result<String> {
        let mut text = String::new();
        write(self, &mut text)?;
        Ok(text)
    }
}

/// Writes the document of a plan.
///
/// # Errors
/// Those of `out`.
pub fn write(plan: &Plan, out: &mut dyn Pieces) -> io::Result<()> {
    let Plan {
        format,
        cluster,
        spec_digest,
        observed_at,
        nodes,
        on,
        without_console,
        rolls_back,
        summary,
        drift,
        extra,
        steps,
        gates,
        report,
        endpoints,
    } = plan;
    out.piece("{\n")?;
    out.piece(&format!("\"format\":{}", serde_json::to_string(format)?))?;
    field(out, "cluster", cluster)?;
    field(out, "spec_digest", spec_digest)?;
    field(out, "observed_at", observed_at)?;
    field(out, "nodes", nodes)?;
    if !on.is_empty() {
        field(out, "on", on)?;
    }
    if *without_console {
        field(out, "without_console", without_console)?;
    }
    if let Some(run) = rolls_back {
        field(out, "rolls_back", run)?;
    }
    field(out, "summary", summary)?;
    list(out, "drift", drift.iter().map(Ok))?;
    field(out, "extra", extra)?;
    let mut table = Table::default();
    for step in steps {
        with_parts(step, |value, fill, marks| table.note(value, fill, marks))?;
    }
    if !table.parts.is_empty() {
        list(out, SHARED, table.parts.iter().map(Ok))?;
    }
    list(out, "steps", steps.iter().map(|step| table.step(step)))?;
    list(out, "gates", gates.iter().map(Ok))?;
    list(out, "report", report.iter().map(Ok))?;
    if !endpoints.is_empty() {
        list(out, "endpoints", endpoints.iter().map(Ok))?;
    }
    out.piece("\n}\n")
}

impl Table {
    /// A step as it is written.
    fn step(&self, step: &Step) -> Result<Value, serde_json::Error> {
        with_parts(step, |value, fill, marks| {
            *value = self.replaced(value, fill, marks);
        })
    }
}

/// A field after another one.
fn field(out: &mut dyn Pieces, name: &str, value: &impl Serialize) -> io::Result<()> {
    let value = serde_json::to_string(value)?;
    out.piece(&format!(",\n\"{name}\":{value}"))
}

/// A list after another field, one entry a line.
fn list<T: Serialize>(
    out: &mut dyn Pieces,
    name: &str,
    all: impl IntoIterator<Item = Result<T, serde_json::Error>>,
) -> io::Result<()> {
    out.piece(&format!(",\n\"{name}\":["))?;
    let mut is_first = true;
    for entry in all {
        let start = if is_first { "\n" } else { ",\n" };
        is_first = false;
        let entry = serde_json::to_string(&entry?)?;
        out.piece(&format!("{start}{entry}"))?;
    }
    out.piece(if is_first { "]" } else { "\n]" })
}
