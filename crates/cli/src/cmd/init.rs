//! `init`: a commented starter spec, and beside it the JSON Schema that its first line names.

use std::io::{self, Write as _};
use std::path::Path;

use tarsops_model::names::ClusterName;
use tarsops_spec::{SCHEMA_FILE, json_schema_text, starter};

use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{print, say};

/// Writes both; an existing file is left alone.
pub fn run(global: &Global, path: &Path, name: &str) -> Result {
    let cluster = ClusterName::new(name).map_err(|e| {
        Failure::new("could not name the cluster")
            .because(&e)
            .code(exit::USAGE)
    })?;
    let schema = path.with_file_name(SCHEMA_FILE);
    if schema == path {
        return Err(
            Failure::new(format!("a spec cannot be named {SCHEMA_FILE}"))
                .hint("this name is reserved for the JSON Schema beside it: name another file")
                .code(exit::USAGE),
        );
    }
    write_new(path, &starter(cluster.as_str())).map_err(|e| {
        let hint = if e.kind() == io::ErrorKind::AlreadyExists {
            "it was not changed: name another file, or edit this one"
        } else {
            "name a file in a folder that is there and that you may write to"
        };
        Failure::new(format!("could not create {}", path.display()))
            .because(&e)
            .hint(hint)
    })?;
    let text = json_schema_text();
    let again = format!("`tarsops schema > {}`", schema.display());
    let mut wrote = path.display().to_string();
    match write_new(&schema, &text) {
        Ok(()) => wrote = format!("{wrote} and {}", schema.display()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let there = std::fs::read(&schema).ok();
            if there.as_deref() != Some(text.as_bytes()) {
                say(format!(
                    "hint: {} was there and is another one; {again} replaces it",
                    schema.display()
                ));
            }
        }
        Err(e) => {
            return Err(Failure::new(format!(
                "wrote {}, and could not write {}",
                path.display(),
                schema.display()
            ))
            .because(&e)
            .hint(format!("{again} writes it")));
        }
    }
    if global.json {
        let document = serde_json::json!({
            "format": "tarsops.init/1", "path": path, "schema": schema,
        });
        print(format!("{document:#}\n"));
    } else {
        say(format!("wrote {wrote}"));
        say(format!(
            "next: edit it, then `tarsops validate -f {0}` and `tarsops package lock -f {0}`",
            path.display()
        ));
    }
    Ok(exit::OK)
}

/// Writes a file that must not be there.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
