//! `validate`: is the spec right? Looks at nothing but the spec, the lock file and the names in the
//! packages folder; no secret is resolved.

use std::collections::BTreeSet;

use crate::args::Global;
use crate::context::{Loaded, colored, load, publish, say};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::is_progress_terminal;
use crate::packages::{NEEDED, lock_path, read_lock};
use tarsops_model::desired::PackageSource;
use tarsops_model::display::Text;

/// Checks it.
pub fn run(global: &Global) -> Result {
    let checked = load(global).and_then(|l| without_package(global, &l).map(|()| l));
    let loaded = match checked {
        Ok(loaded) => loaded,
        Err(mut failure) => {
            // What hinders the check itself, such as a missing file, is told as any other error.
            if let Some(diagnostics) = &failure.diagnostics {
                let document = serde_json::json!({
                    "format": "tarsops.validate/1", "valid": false, "diagnostics": diagnostics,
                });
                publish(global, &format!("{document:#}\n"), "")?;
                failure.published = true;
            }
            return Err(failure);
        }
    };
    if !loaded.warnings.is_empty() {
        say(loaded.warnings.trim_end());
    }
    let nodes = loaded.desired.hosts().count();
    let document = serde_json::json!({
        "format": "tarsops.validate/1", "valid": true, "cluster": loaded.desired.cluster,
        "nodes": nodes, "spec_digest": loaded.desired.spec_digest,
    });
    let mut text = Text::new();
    text.line(format_args!(
        "{} is right: cluster {}, {} node{}",
        global.file.display(),
        loaded.desired.cluster,
        nodes,
        if nodes == 1 { "" } else { "s" }
    ));
    publish(global, &format!("{document:#}\n"), &text)?;
    Ok(exit::OK)
}

/// A version without a package is an error of the spec, shown where it is written; a pin that is not
/// from where the spec takes packages is one of the lock file.
pub fn without_package(global: &Global, loaded: &Loaded) -> Result<()> {
    let mut available: BTreeSet<_> = BTreeSet::new();
    if let Some(lock) = read_lock(&lock_path(&global.file))? {
        lock.fits(&loaded.desired).map_err(|elsewhere| {
            Failure::new("the lock file does not fit the spec")
                .about(elsewhere)
                .hint("run `tarsops package lock` and commit the lock file")
        })?;
        available.extend(lock.pins().map(|p| (p.component, p.version)));
    }
    match &loaded.desired.packages {
        // What a node holds can only be told by looking at it.
        PackageSource::Node(_) => return Ok(()),
        PackageSource::Folder(template) => {
            for (component, version) in &loaded.desired.versions {
                let folder = loaded
                    .dir
                    .join(template.replace("{version}", &version.to_string()));
                let own = folder.join(format!("{component}.tgz"));
                let some = [
                    own,
                    folder.join("framework.tgz"),
                    folder.join("FRAMEWORK_VERSION.txt"),
                ];
                let any = some.iter().any(|p| p.exists())
                    || std::fs::read_dir(&folder).is_ok_and(|mut d| {
                        d.any(|e| {
                            e.is_ok_and(|e| {
                                let name = e.file_name();
                                let name = name.to_string_lossy();
                                let own = name
                                    .trim_end_matches(".gz")
                                    .trim_end_matches(".tar")
                                    .trim_end_matches(".tgz");
                                let other =
                                    own.parse::<tarsops_model::component::Component>().is_ok();
                                !other
                                    && (name.ends_with(".tgz")
                                        || name.ends_with(".tar.gz")
                                        || e.path().join("FRAMEWORK_VERSION.txt").exists())
                            })
                        })
                    });
                if any {
                    available.insert((*component, *version));
                }
            }
        }
    }
    let lacking = loaded
        .parsed
        .check_packages(&loaded.desired, &available, &NEEDED);
    if lacking.has_errors() {
        let color = colored(global, is_progress_terminal());
        return Err(Failure::invalid(&lacking, color));
    }
    Ok(())
}
