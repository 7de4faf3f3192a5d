//! `init`: a commented starter spec.

use std::io::Write as _;
use std::path::Path;

use tarsops_model::names::ClusterName;

use crate::args::Global;
use crate::context::{print, say};
use crate::exit;
use crate::failure::{Failure, Result};

/// Writes it; an existing file is left alone.
pub fn run(global: &Global, path: &Path, name: &str) -> Result {
    let cluster = ClusterName::new(name).map_err(|e| {
        Failure::new("could not name the cluster")
            .because(&e)
            .code(exit::USAGE)
    })?;
    let text = tarsops_spec::starter(cluster.as_str());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|e| {
            let hint = if e.kind() == std::io::ErrorKind::AlreadyExists {
                "it is left as it is: name another file, or edit this one"
            } else {
                "name a file in a folder that is there and that you may write to"
            };
            Failure::new(format!("could not make {}", path.display()))
                .because(&e)
                .hint(hint)
        })?;
    file.write_all(text.as_bytes())
        .map_err(|e| Failure::new(format!("could not write {}", path.display())).because(&e))?;
    if global.json {
        print(format!(
            "{:#}\n",
            serde_json::json!({"format": "tarsops.init/1", "path": path})
        ));
    } else {
        say(format!("wrote {}", path.display()));
        say(format!(
            "next: edit it, then `tarsops validate -f {0}` and `tarsops package lock -f {0}`",
            path.display()
        ));
    }
    Ok(exit::OK)
}
