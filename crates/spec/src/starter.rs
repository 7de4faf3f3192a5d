//! The spec that `init` writes.
//!
//! What must stay true: it parses and validates as it is, for every valid name of a cluster.

/// The name of the JSON Schema that the starter's first line looks for beside itself.
pub const SCHEMA_FILE: &str = "cluster.schema.json";

/// The text, with the cluster's name left open.
const TEXT: &str = include_str!("starter.yaml");

/// A commented spec to start from.
#[must_use]
pub fn starter(cluster_name: &str) -> String {
    let plain = cluster_name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null"].contains(&cluster_name.to_ascii_lowercase().as_str());
    let name = if plain {
        cluster_name.to_owned()
    } else {
        // YAML would read a number, a boolean or nothing.
        format!("\"{cluster_name}\"")
    };
    TEXT.replace("CLUSTER_NAME", &name)
}
