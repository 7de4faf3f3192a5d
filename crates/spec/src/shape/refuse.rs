//! What is refused with a reason of its own: rebuilds, secrets in the file, unknown keys.
//!
//! What must stay true: no message here repeats a value that could be a secret.

use std::ops::Range;

use serde_json::Value as Json;

use super::{Walk, closest, listed};
use crate::leaf;
use crate::rules::Rule;
use crate::tree::{Node, Pair, Value};

/// Why nothing may ask for a rebuild.
const REBUILD: &str = "tarsops never asks Tars to rebuild its database, which would drop all data";

/// What to write instead.
const REBUILD_HELP: &str = "write `rebuild: never` (nothing is created, nothing is dropped) or \
     `rebuild: bootstrap` (what is proven absent is created, nothing is dropped); left out, it \
     means `never`";

/// The same for the environment of containers.
const REBUILD_OF_CONTAINERS: &str =
    "remove it: the containers that a spec describes always have `REBUILD=false`";

/// Why no secret may stand in a spec.
const SECRET_HELP: &str = "the file is in Git, and a secret there cannot be withdrawn: write \
     `{env: NAME}`, `{file: PATH}` or `{command: [PROGRAM, ARGUMENT]}`, and change this secret if \
     it was ever committed";

/// Keys under which other tools keep what is not ours.
const HINTS: &[(&str, &str)] = &[
    ("hosts", "the machines are listed under `nodes`"),
    ("servers", "the machines are listed under `nodes`"),
    ("role", "roles are a list: `roles: [master]`"),
    (
        "host",
        "where SSH connects is `address`, what the node binds is `ip`",
    ),
    (
        "MYSQL_HOST",
        "the containers' database is the one in `database.address`",
    ),
    (
        "MYSQL_PORT",
        "the containers' database is the one in `database.address`",
    ),
    ("MYSQL_USER", "the account is `docker.installer.user`"),
    (
        "MYSQL_ROOT_PASSWORD",
        "the password comes from `docker.installer.password`",
    ),
    ("SLAVE", "it comes from the node's role"),
    ("INET", "the container's address is the node's name"),
    ("DOMAIN", "the container's address is the node's name"),
    (
        "ENABLE_K8S",
        "a framework in Kubernetes is another product, which tarsops does not manage",
    ),
    (
        "NODE_ENV",
        "the management platform would use a database of its own by it",
    ),
    (
        "state",
        "states of nodes belong under `overrides`, by the node's name",
    ),
    (
        "ssh",
        "SSH settings of single nodes belong under `overrides`, by the node's name",
    ),
];

/// Whether `key` speaks of a rebuild.
pub(super) fn is_rebuild(key: &str) -> bool {
    key.to_ascii_lowercase().contains("rebuild")
}

impl<'a> Walk<'a> {
    pub(super) fn refuse_rebuild(&mut self, span: &Range<usize>, what: &str) {
        let message = format!("{what}: {REBUILD}");
        self.say(Rule::RebuildRefused, span, message, REBUILD_HELP);
    }

    /// A key that speaks of it, and is not the one that may.
    pub(super) fn refuse_rebuild_key(&mut self, span: &Range<usize>, path: &str) {
        let what = format!("the key `{path}` is refused");
        if path.starts_with("docker.") {
            let message = format!("{what}: {REBUILD}");
            self.say(Rule::RebuildRefused, span, message, REBUILD_OF_CONTAINERS);
        } else {
            self.refuse_rebuild(span, &what);
        }
    }

    /// The one key that may speak of it, with the two values that are safe.
    pub(super) fn rebuild(&mut self, schema: &Json, node: &Node, key: &Range<usize>) {
        let safe = super::choices(schema).unwrap_or_default();
        match &node.value {
            Value::Text(t) if safe.contains(&t.as_str()) => {}
            _ => {
                let at = if node.span.is_empty() {
                    key
                } else {
                    &node.span
                };
                let at = at.clone();
                self.refuse_rebuild(&at, "this value of `rebuild` is refused");
            }
        }
    }

    /// Exactly one source, and no secret itself.
    pub(super) fn secret(&mut self, schema: &'a Json, node: &Node, key: &Range<usize>, path: &str) {
        let Value::Map(pairs) = &node.value else {
            if matches!(node.value, Value::Null) {
                let help = "name its source: `{env: NAME}`, `{file: PATH}` or \
                     `{command: [PROGRAM, ARGUMENT]}`";
                self.say(
                    Rule::SecretForm,
                    key,
                    format!("`{path}` names no source for the secret"),
                    help,
                );
                return;
            }
            self.say(
                Rule::LiteralSecret,
                &node.span,
                format!("`{path}` is a secret, which must not be in the file"),
                SECRET_HELP,
            );
            return;
        };
        let properties = schema.get("properties").and_then(Json::as_object);
        let mut known = 0;
        for pair in pairs {
            let at = format!("{path}.{}", pair.key);
            match properties.and_then(|p| p.get(&pair.key)) {
                Some(schema) => {
                    known += 1;
                    self.value(schema, &pair.node, &pair.key_span, &at);
                }
                None => self.unknown(pair, path, &["env", "file", "command"]),
            }
        }
        if known != 1 && pairs.len() != 1 {
            self.say(
                Rule::SecretForm,
                key,
                format!("`{path}` must name exactly one source, but names {known}"),
                "keep one of `env`, `file` and `command`",
            );
        }
    }

    /// Whether the key of a free mapping is good.
    pub(super) fn key(&mut self, schema: &Json, pair: &Pair) -> bool {
        let leaf = schema
            .pointer("/propertyNames/$ref")
            .and_then(Json::as_str)
            .and_then(leaf::find);
        let Some(leaf) = leaf else {
            return true;
        };
        match (leaf.check)(&pair.key) {
            Ok(()) => true,
            Err((rule, message)) => {
                self.say(rule, &pair.key_span, message, leaf.help);
                false
            }
        }
    }

    /// A key that no one asked for.
    pub(super) fn unknown(&mut self, pair: &Pair, path: &str, names: &[&str]) {
        if path == "components" {
            let help = match closest(&pair.key, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the framework has {}", listed(names.iter().copied(), "and")),
            };
            self.say(
                Rule::UnknownComponent,
                &pair.key_span,
                format!("the framework has no component `{}`", pair.key),
                help,
            );
            return;
        }
        let hint = HINTS.iter().find(|(key, _)| *key == pair.key);
        let help = match (closest(&pair.key, names.iter().copied()), hint) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some((_, hint))) => (*hint).to_owned(),
            (None, None) => format!("possible here: {}", listed(names.iter().copied(), "and")),
        };
        let place = if path.is_empty() {
            "at the top of a spec".to_owned()
        } else {
            format!("in `{path}`")
        };
        self.say(
            Rule::UnknownKey,
            &pair.key_span,
            format!("the key `{}` is not known {place}", pair.key),
            help,
        );
    }

    /// How a missing key is written.
    pub(super) fn example(&self, schema: &'a Json, name: &str) -> String {
        let property = schema.pointer(&format!("/properties/{name}"));
        let Some(property) = property else {
            return format!("add `{name}`");
        };
        let (resolved, _) = self.resolve(property);
        let example = [property, resolved]
            .into_iter()
            .find_map(|s| s.pointer("/examples/0"));
        let text = match (example, super::choices(resolved)) {
            (Some(e), _) => e.to_string().replace('"', ""),
            (None, Some(choices)) => choices.first().copied().unwrap_or("…").to_owned(),
            (None, None) => return format!("add the section `{name}:`"),
        };
        format!("add `{name}: {text}`, for example")
    }
}
