//! A live installation of tarsnode as a package.

use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::{Layout, PackageContents, PackageFile, PackagePin};
use tarsops_model::version::Version;

use crate::assemble::contents_digest;

/// The package that tarsnode on `node` is, as the handbook's chapter 3 copies it: the binary, the
/// configuration and the scripts, without data and logs.
///
/// # Errors
/// One lowercase clause where the binary was not seen.
pub fn installed(
    node: &NodeName,
    version: Version,
    facts: &AgentFacts,
) -> Result<PackageContents, String> {
    let binary = match &facts.binary {
        Observed::Present(file) => file,
        other => {
            return Err(other
                .unknown()
                .unwrap_or("its binary is not there")
                .to_owned());
        }
    };
    let mut files = vec![PackageFile {
        path: "bin/tarsnode".to_owned(),
        mode: 0o755,
        size: binary.size,
        digest: binary.digest,
        text: None,
    }];
    for (name, script) in &facts.util {
        if let Observed::Present(text) = script {
            files.push(text_file(format!("util/{name}"), 0o755, &text.text));
        }
    }
    // A running tarsnode rewrites its configuration, so that is no part of what is pinned.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let contents = contents_digest(&files);
    if let Observed::Present(text) = &facts.conf {
        let path = "conf/tars.tarsnode.config.conf".to_owned();
        files.push(text_file(path, 0o644, &text.text));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(PackageContents {
        pin: PackagePin {
            component: Component::Tarsnode,
            version,
            layout: Layout::Node,
            source: format!("node:{node}"),
            archive: None,
            archive_size: None,
            binary: binary.digest,
            binary_size: binary.size,
            contents,
        },
        files,
    })
}

fn text_file(path: String, mode: u32, text: &str) -> PackageFile {
    PackageFile {
        path,
        mode,
        size: text.len() as u64,
        digest: Digest::of(text.as_bytes()),
        text: Some(text.to_owned()),
    }
}
