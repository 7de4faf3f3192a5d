//! What the subcommands of `package` share.

use crate::exit;
use crate::failure::{Failure, Result};
use std::collections::BTreeMap;
use tarsops_model::component::Component;
use tarsops_model::package::Layout;
use tarsops_model::version::Version;
use tarsops_package::LockFile;
use tarsops_package::archive::stem;

/// The source of a pin in words: of a deploy tree also where in the packages folder it is.
pub fn source(layout: Layout, name: &str) -> String {
    match (layout, name) {
        (Layout::Deploy, ".") => "the packages folder itself (deploy tree)".to_owned(),
        (Layout::Deploy, name) if stem(name).is_none() => {
            format!("the deploy tree {name}/")
        }
        (_, name) => name.to_owned(),
    }
}

pub fn list_json(lock: &LockFile) -> Result<String> {
    let document = serde_json::json!({
        "format": "tarsops.packages/1",
        "packages": lock.pins().collect::<Vec<_>>(),
        "known": lock.known().collect::<Vec<_>>(),
        "unknown": lock.unknown().collect::<Vec<_>>(),
        "platforms": lock.consoles().values().collect::<Vec<_>>(),
        "images": lock.images().values().collect::<Vec<_>>(),
        "templates": lock.templates().iter().map(|(version, all)| {
            (version.to_string(), all.keys().collect::<Vec<_>>())
        }).collect::<BTreeMap<_, _>>(),
    });
    Ok(format!("{document:#}\n"))
}

/// That the command line names no package.
pub fn not_meant(e: &dyn std::error::Error) -> Failure {
    Failure::new("could not understand which package is meant")
        .because(e)
        .code(exit::USAGE)
}

/// A component and a version from the command line.
pub fn named(component: &str, version: &str) -> Result<(Component, Version)> {
    Ok((
        component.parse().map_err(|e| not_meant(&e))?,
        version.parse().map_err(|e| not_meant(&e))?,
    ))
}
