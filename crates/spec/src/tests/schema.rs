//! The JSON Schema: fresh, complete, and of the same mind as the parser.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::{folder, specs};
use super::{json_schema, json_schema_text};
use crate::source::Source;
use crate::tree;

/// A fixture as JSON, if it is YAML at all.
fn json(text: &str) -> Option<Value> {
    let (root, problems) = tree::read(&Source::new(text, "f"));
    root.filter(|_| problems.is_empty()).map(|r| r.to_json())
}

#[test]
fn the_schema_in_the_repository_is_fresh() {
    let path = folder("schemas/cluster.schema.json");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, json_schema_text()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == json_schema_text(),
        "schemas/cluster.schema.json is stale; write it anew with \
         `cargo run -- schema > schemas/cluster.schema.json` or \
         `UPDATE_SCHEMAS=1 cargo test -p tarsops-spec schema`"
    );
}

#[test]
fn the_schema_accepts_what_is_valid_and_sees_what_a_schema_can_see() {
    let schema = json_schema();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, text) in specs("fixtures/specs/valid") {
        let value = json(&text).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    let mut accepted = BTreeSet::new();
    for (name, text) in specs("fixtures/specs/invalid") {
        if json(&text).is_some_and(|v| validator.is_valid(&v)) {
            accepted.insert(name);
        }
    }
    // These need more than one value of the document, the calendar, or other knowledge.
    let beyond = [
        "ca-without-tls",
        "ca-without-tls--fingerprint",
        "canary-too-large",
        "component-unknown-node",
        "conflicting-roles",
        "docker-conflict",
        "docker-conflict--network",
        "docker-conflict--platform",
        "docker-incomplete",
        "docker-unused",
        "duplicate-endpoint",
        "duplicate-mount",
        "framework-not-endpoint",
        "invalid-address--protocol",
        "invalid-date",
        "invalid-ip",
        "invalid-ip--no-machine",
        "leaving-node",
        "local-node",
        "loopback-node",
        "master-leaving",
        "no-master",
        "node-without-ip",
        "node-without-ip--range",
        "odd-character--direction",
        "out-of-range--kept-for-days",
        "out-of-range--nothing-at-once",
        "out-of-range--nothing-in-a-batch",
        "overlapping-nodes",
        "overlapping-nodes--address",
        "overlapping-nodes--ip",
        "override-unknown-node",
        "override-unknown-node--range",
        "packages-unknown-node",
        "range-mismatch",
        "registry-not-framework",
        "rows-of-core",
        "rows-without-database",
        "settle-too-long",
        "several-too-early",
        "stop-servers-without-absent",
        "tarsnode-placement",
        "too-large",
        "two-masters",
        "two-tarslogs",
        "until-without-maintenance",
        "version-without-package",
        "versions-apart",
        "versions-apart--both-exceptions",
        "versions-apart--newer-exception",
        "versions-apart--newer-than-templates",
        "versions-apart--one-registry",
        "versions-apart--templates",
        "via-unknown-node",
        "web-apart",
        "web-apart--older",
        "web-unknown-node",
        "web-unused",
    ];
    let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
    assert_eq!(accepted, beyond);
}

/// Every path of properties that a schema knows, with `*` for free keys.
fn paths(root: &Value, schema: &Value, path: &str, out: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let next = root.pointer(reference.trim_start_matches('#')).unwrap();
        paths(root, next, path, out);
    }
    if let Some(map) = schema["properties"].as_object() {
        for (key, value) in map {
            let at = format!("{path}/{key}");
            out.insert(at.clone());
            paths(root, value, &at, out);
        }
    }
    if schema["additionalProperties"].is_object() {
        let at = format!("{path}/*");
        out.insert(at.clone());
        paths(root, &schema["additionalProperties"], &at, out);
    }
    if schema["items"].is_object() {
        paths(root, &schema["items"], path, out);
    }
}

/// Every path of keys that a document uses, as the schema's paths where they are free.
fn used(known: &BTreeSet<String>, value: &Value, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let exact = format!("{path}/{key}");
                let at = if known.contains(&exact) {
                    exact
                } else {
                    format!("{path}/*")
                };
                out.insert(at.clone());
                used(known, value, &at, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|i| used(known, i, path, out)),
        _ => {}
    }
}

#[test]
fn the_valid_corpus_uses_every_key_and_every_word() {
    let schema = json_schema();
    let mut known = BTreeSet::new();
    paths(&schema, &schema, "", &mut known);
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for (_, spec) in specs("fixtures/specs/valid") {
        used(&known, &json(&spec).unwrap(), "", &mut seen);
        text.push_str(&spec);
    }
    let missing: Vec<&String> = known
        .difference(&seen)
        // One component's exceptions stand for all of them.
        .filter(|p| !p.starts_with("/components/") || p.matches('/').count() == 2)
        .collect();
    assert!(missing.is_empty(), "no valid spec uses {missing:?}");
    assert!(seen.contains("/components/tarslog/nodes") && seen.contains("/components/tarslog"));
    let words = schema.pointer("/$defs").unwrap().as_object().unwrap();
    for (name, def) in words {
        for word in def["oneOf"].as_array().into_iter().flatten() {
            let Some(word) = word["const"].as_str() else {
                continue;
            };
            let default = ["none", "present"].contains(&word);
            assert!(
                default || text.contains(word),
                "no valid spec says {word} ({name})"
            );
        }
    }
}

#[test]
fn every_key_is_described_and_most_have_an_example() {
    fn visit(value: &Value, at: &str) {
        for (key, property) in value["properties"].as_object().into_iter().flatten() {
            if at.ends_with("/components") {
                continue;
            }
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.len() > 10, "{at}/{key} has no description");
            let plain = property["type"].is_string()
                && property["type"] != "object"
                && property["items"].is_null();
            assert!(
                !plain || property["examples"].is_array(),
                "{at}/{key} has no example"
            );
        }
        if let Value::Object(map) = value {
            for (key, value) in map {
                visit(value, &format!("{at}/{key}"));
            }
        }
    }
    let schema = json_schema();
    visit(&schema, "");
    assert!(!json_schema_text().contains("\"null\""));
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
}

#[test]
fn examples_fit_their_own_schema() {
    let schema = json_schema();
    fn visit(root: &Value, value: &Value, at: &str) {
        if let Some(examples) = value["examples"].as_array() {
            let mut own = value.clone();
            own["$defs"] = root["$defs"].clone();
            let validator = jsonschema::validator_for(&own).unwrap();
            for e in examples {
                assert!(validator.is_valid(e), "{at}: {e} does not fit");
            }
        }
        if let Value::Object(map) = value {
            for (key, value) in map.iter().filter(|(k, _)| *k != "examples") {
                visit(root, value, &format!("{at}/{key}"));
            }
        }
    }
    visit(&schema, &schema, "");
}

#[test]
fn patterns_and_checks_agree_on_what_is_good() {
    let schema = json_schema();
    for leaf in crate::leaf::LEAVES {
        let examples = schema["$defs"][leaf.name]["examples"].as_array();
        let examples = examples.unwrap_or_else(|| panic!("{} is not used", leaf.name));
        for example in examples {
            let text = example.as_str().unwrap();
            let none = leaf.name == "Jump" && text == "none";
            assert!(none || (leaf.check)(text).is_ok(), "{}: {text}", leaf.name);
        }
    }
}
