//! Scalars of the document that have a type of their own.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tarsops_model::host::JumpHost;

use crate::leaf;
use crate::range;

/// A name, or a range of names such as `10.0.1.[1-40]`; it can always be expanded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl Pattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has more than itself.
    #[must_use]
    pub fn is_range(&self) -> bool {
        range::is_range(&self.0)
    }

    /// All names that it stands for, in the order in which they are written.
    #[must_use]
    pub fn expand(&self) -> Vec<String> {
        // Whoever made the value has expanded it before.
        range::expand(&self.0).unwrap_or_default()
    }
}

impl TryFrom<String> for Pattern {
    type Error = range::RangeError;
    fn try_from(s: String) -> Result<Self, range::RangeError> {
        range::expand(&s)?;
        Ok(Self(s))
    }
}

/// A duration in whole seconds, written `30s`, `5m`, `1h` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Seconds(pub u64);

/// Longest duration: a week.
const LONGEST: u64 = 7 * 24 * 3600;

impl FromStr for Seconds {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("`{s}` is not a duration");
        let mut total = 0u64;
        let mut rest = s;
        let mut units = [('h', 3600), ('m', 60), ('s', 1)].as_slice();
        if s.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 || digits > 6 {
                return Err(bad());
            }
            let (number, tail) = rest.split_at(digits);
            // Units go from large to small, each at most once.
            let at = units
                .iter()
                .position(|(u, _)| tail.starts_with(*u))
                .ok_or_else(bad)?;
            let seconds = number.parse::<u64>().map_err(|_| bad())?;
            // Whatever the number of digits, what is too long is refused below.
            total = total.saturating_add(seconds.saturating_mul(units[at].1));
            units = &units[at + 1..];
            rest = &tail[1..];
        }
        if total > LONGEST {
            return Err(format!("`{s}` is longer than a week"));
        }
        Ok(Self(total))
    }
}

impl TryFrom<String> for Seconds {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

/// A number of hosts, or a percentage of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CountForm")]
pub enum Count {
    /// So many.
    Number(u32),
    /// So many of a hundred, rounded up.
    Percent(u8),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CountForm {
    Number(u32),
    Text(String),
}

impl TryFrom<CountForm> for Count {
    type Error = String;
    fn try_from(form: CountForm) -> Result<Self, String> {
        match form {
            CountForm::Number(n) => Ok(Self::Number(n)),
            CountForm::Text(t) => t.parse(),
        }
    }
}

impl FromStr for Count {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("`{s}` is neither a number nor a percentage");
        let digits = s.strip_suffix('%').ok_or_else(bad)?;
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        match digits.parse::<u32>() {
            Ok(n) if n <= 100 => Ok(Self::Percent(u8::try_from(n).map_err(|_| bad())?)),
            _ => Err(format!("`{s}` is more than all hosts")),
        }
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<leaf::CountText>();
        json_schema!({
            "description": "A number of hosts, or a percentage of them, rounded up.",
            "anyOf": [{ "type": "integer", "minimum": 0, "maximum": u32::MAX }, text],
        })
    }
}

/// How many hosts are changed at once: the same number in every batch, or one for each batch of which the
/// last one repeats. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RampForm")]
pub struct Ramp(Vec<Count>);

impl Ramp {
    /// The numbers of the first batches, and the one of all later batches.
    #[must_use]
    pub fn split(&self) -> (Count, &[Count]) {
        match self.0.split_last() {
            Some((last, first)) => (*last, first),
            None => (Count::Number(1), &[]),
        }
    }

    /// All numbers, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Count> {
        self.0.iter().copied()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RampForm {
    Always(Count),
    Each(Vec<Count>),
}

impl TryFrom<RampForm> for Ramp {
    type Error = &'static str;
    fn try_from(form: RampForm) -> Result<Self, Self::Error> {
        match form {
            RampForm::Always(count) => Ok(Self(vec![count])),
            RampForm::Each(all) if all.is_empty() => Err("it names no number of hosts"),
            RampForm::Each(all) => Ok(Self(all)),
        }
    }
}

impl JsonSchema for Ramp {
    fn schema_name() -> Cow<'static, str> {
        "Ramp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let count = generator.subschema_for::<Count>();
        json_schema!({
            "description": "A number of hosts, or one for each batch; the last one repeats.",
            "anyOf": [count, { "type": "array", "items": count, "minItems": 1 }],
        })
    }
}

/// A jump host, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Jump {
    /// Connect directly.
    None,
    /// Go through this host.
    Through(JumpHost),
}

impl TryFrom<String> for Jump {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        if s == "none" {
            return Ok(Self::None);
        }
        s.parse().map(Self::Through).map_err(|e| format!("{e}"))
    }
}

/// Where packages are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PackagesAt {
    /// In a folder; `{version}` in it stands for the version.
    Folder(String),
    /// On the node of this name.
    Node(String),
}

impl FromStr for PackagesAt {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if let Some(node) = s.strip_prefix("node:") {
            return match tarsops_model::names::NodeName::new(node) {
                Ok(_) => Ok(Self::Node(node.to_owned())),
                Err(e) => Err(e.to_string()),
            };
        }
        if s.is_empty() {
            return Err("the path of the packages is empty".to_owned());
        }
        if s.contains("://") {
            return Err("packages come from a folder or a node, not from an address".to_owned());
        }
        if s.chars().any(char::is_control) {
            return Err("the path contains a control character".to_owned());
        }
        if s.starts_with('~') && s != "~" && !s.starts_with("~/") {
            return Err(format!("`{s}` starts at the home of another user"));
        }
        let plain = s.replace("{version}", "");
        if let Some(at) = plain.find(['{', '}']) {
            let found = plain[at..]
                .split_once('}')
                .map_or(&plain[at..], |(head, _)| head);
            return Err(format!(
                "`{found}}}` is not a placeholder; the only one is `{{version}}`"
            ));
        }
        Ok(Self::Folder(s.to_owned()))
    }
}

impl TryFrom<String> for PackagesAt {
    type Error = String;
    fn try_from(s: String) -> Result<Self, String> {
        s.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_refused_where_it_is_too_long() {
        let read = |text: &str| text.parse::<Seconds>().map(|s| s.0);
        assert_eq!(read("1h30m5s"), Ok(5405));
        assert_eq!(read("168h"), Ok(LONGEST));
        for long in ["168h1s", "999999h", "999999h999999m999999s"] {
            assert_eq!(read(long), Err(format!("`{long}` is longer than a week")));
        }
        let digits = "9".repeat(400);
        for wrong in ["", "h", "5", "1s1h", "1m1m", "-1s", "1é", "1000000s"] {
            assert_eq!(read(wrong), Err(format!("`{wrong}` is not a duration")));
        }
        assert!(read(&format!("{digits}h")).is_err());
    }
}
