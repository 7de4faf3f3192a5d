//! The JSON Schema of the document, for editors and for the check of a spec's shape.
//!
//! It is made from the document's types, so the two cannot differ.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::document::Spec;

/// The schema's own name; nothing is fetched from there.
pub const SCHEMA_ID: &str = "https://github.com/tarsops/tarsops/schemas/cluster.schema.json";

static SCHEMA: LazyLock<Value> = LazyLock::new(make);

fn make() -> Value {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Spec>();
    let mut value = schema.to_value();
    without_null(&mut value);
    unwrapped(&mut value);
    if let Value::Object(map) = &mut value {
        let mut head = serde_json::Map::new();
        head.insert(
            "$schema".to_owned(),
            map.remove("$schema").unwrap_or(Value::Null),
        );
        head.insert("$id".to_owned(), json!(SCHEMA_ID));
        map.remove("title");
        head.insert("title".to_owned(), json!("tarsops cluster spec, v1"));
        head.append(map);
        return Value::Object(head);
    }
    value
}

/// A key that may be left out is not one that may be empty: `via:` without a value is a mistake.
fn without_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(any)) = map.get_mut("anyOf") {
                any.retain(|s| s != &json!({"type": "null"}));
                if let [Value::Object(one)] = any.as_mut_slice() {
                    let mut one = std::mem::take(one);
                    map.remove("anyOf");
                    map.append(&mut one);
                }
            }
            if map.get("default") == Some(&Value::Null) {
                map.remove("default");
            }
            map.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

/// Comments are wrapped for the source; an editor wraps a description itself.
fn unwrapped(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(unwrapped),
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get_mut("description") {
                let paragraphs: Vec<String> = text
                    .split("\n\n")
                    .map(|p| p.split('\n').collect::<Vec<_>>().join(" "))
                    .collect();
                *text = paragraphs.join("\n\n");
            }
            map.values_mut().for_each(unwrapped);
        }
        _ => {}
    }
}

/// The schema, borrowed.
pub(crate) fn borrowed() -> &'static Value {
    &SCHEMA
}

/// The JSON Schema (draft 2020-12) of a spec.
#[must_use]
pub fn json_schema() -> Value {
    SCHEMA.clone()
}

/// [`json_schema`] as the text of a file, with a line end.
#[must_use]
pub fn json_schema_text() -> String {
    format!("{:#}\n", *SCHEMA)
}
