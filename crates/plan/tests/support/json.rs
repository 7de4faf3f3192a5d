//! Documents that are altered at any place.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by the test files, each of which uses another part"
)]

use serde_json::{Value, json};

/// Every path of a document, as JSON pointers.
pub fn paths(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, out: &mut Vec<String>) {
        out.push(at.to_owned());
        match value {
            Value::Object(all) => {
                for (key, value) in all {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(value, &format!("{at}/{key}"), out);
                }
            }
            Value::Array(all) => {
                for (index, value) in all.iter().enumerate() {
                    walk(value, &format!("{at}/{index}"), out);
                }
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(value, "", &mut out);
    out
}

/// Values that somebody would like to see obeyed. `other` is the name of another host.
pub fn hostile(other: &str) -> Vec<Value> {
    vec![
        json!("../../../tars/tarsnode/util"),
        json!("tarsnode/util/../../../etc/passwd"),
        json!("/etc/cron.d/x"),
        json!("tarsnode/util/change.sh"),
        json!("tarsregistry/bin/tarsregistry"),
        json!(other),
        json!("root"),
        json!("/tmp/x"),
        json!("10.9.9.9"),
        json!("a\nb"),
        json!("\u{202e}\u{1b}[2J"),
        json!("x".repeat(100_000)),
        json!("* * * * * id >/tmp/x"),
        json!("1796006775354-f57302"),
        json!(0o6755),
        json!(u64::MAX),
        json!(-1),
        json!(null),
        json!(true),
        json!([]),
        json!({}),
    ]
}
