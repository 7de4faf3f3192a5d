//! The files of a component that comes to a host: what its package ships, with the host's values.
//!
//! No password is filled in: tarsnode generates what a server really runs with from the database's
//! template (`NodeServer/CommandLoad.cpp`), and takes only the administration port from what is
//! shipped. The credentials in it stay as they were shipped.

use std::collections::BTreeSet;

use tarsops_conf::placeholder::{Vars, substitute};
use tarsops_conf::util_script;
use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::digest::Digest;
use tarsops_model::host::Host;
use tarsops_model::package::PackageContents;

use crate::actions::{Content, FileChange};
use crate::input::PlanInput;
use crate::places::binary_path;

/// What the placeholders stand for on the host, as the framework's installer fills them
/// (`deploy/tars-install.sh`, update_conf): a framework host has a registry of its own.
fn vars(input: &PlanInput<'_>, spec: &Host, server: &Server) -> Vars {
    Vars {
        localip: Some(spec.ip.to_string()),
        registries: input
            .desired
            .registries
            .iter()
            .map(|at| (at.host.to_string(), at.port))
            .collect(),
        registry_host: Some(spec.ip.to_string()),
        database_host: input.desired.database().map(|d| d.address.host.to_string()),
        tars_path: Some(server.tars_path.to_string()),
        upload_path: Some(input.desired.install_path.to_string()),
    }
}

/// The files in the order in which they are placed: the binary last, so that whoever starts it
/// meanwhile finds nothing to start.
pub(super) fn files(
    input: &PlanInput<'_>,
    component: Component,
    spec: &Host,
    server: &Server,
    package: &PackageContents,
) -> Vec<FileChange> {
    let vars = vars(input, spec, server);
    let tars = server.tars_path.as_str();
    // A package that was filled in for another installation path names that one throughout.
    let mut homes: BTreeSet<String> = BTreeSet::new();
    for text in package.files.iter().filter_map(|f| f.text.as_deref()) {
        let filled = substitute(text, &vars);
        homes.extend(
            util_script::other_homes(&filled, tars)
                .into_iter()
                .map(str::to_owned),
        );
    }
    let mut out: Vec<FileChange> = package
        .files
        .iter()
        // What a component keeps in `data` is its host's, and never shipped.
        .filter(|file| !file.path.starts_with("data/"))
        .map(|file| {
            let path = format!("{component}/{}", file.path);
            let in_util = file.path.strip_prefix("util/");
            let Some(shipped) = file.text.as_deref() else {
                return FileChange {
                    path,
                    mode: file.mode,
                    before: None,
                    before_mode: None,
                    after: Some(file.digest),
                    content: Content::Package {
                        component,
                        version: package.pin.version,
                        path: file.path.clone(),
                        size: file.size,
                    },
                };
            };
            let mut text = substitute(shipped, &vars);
            for home in &homes {
                text = text.replace(&format!("{home}/"), &format!("{tars}/"));
            }
            let mut mode = file.mode;
            // cron runs the monitor itself, and scripts of some components run each other.
            if in_util.is_some_and(|name| name.ends_with(".sh")) {
                mode |= 0o555;
            }
            FileChange {
                path,
                mode,
                before: None,
                before_mode: None,
                after: Some(Digest::of(text.as_bytes())),
                content: Content::Text(text),
            }
        })
        .collect();
    let binary = binary_path(component);
    out.sort_by_key(|file| file.path == binary);
    out
}

/// Bytes that the files take.
pub(super) fn size(files: &[FileChange]) -> u64 {
    files
        .iter()
        .map(|file| match &file.content {
            Content::Package { size, .. } => *size,
            Content::Text(text) => text.len() as u64,
            Content::Before { .. } | Content::None => 0,
        })
        .sum()
}
