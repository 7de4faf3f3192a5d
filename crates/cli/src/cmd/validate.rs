//! `validate`: is the spec right? Looks at nothing but the spec, the lock file and the names in the
//! packages folder; no secret is resolved.

use std::collections::BTreeSet;

use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{is_progress_terminal, publish, say};
use crate::session::load;
use crate::spec_file::Loaded;
use crate::store::{NEEDED, lock_path, may_hold, read_lock};
use crate::style::colored;
use tarsops_model::desired::PackageSource;
use tarsops_model::display::Text;
use tarsops_spec::{Diagnostics, Severity};

/// Checks it.
pub fn run(global: &Global) -> Result {
    let checked = load(global).and_then(|l| {
        let missing = missing_packages(global, &l, Severity::Warning)?;
        Ok((l, missing))
    });
    let (loaded, missing) = match checked {
        Ok(checked) => checked,
        Err(mut failure) => {
            // What hinders the check itself, such as a missing file, is reported as any other error.
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
    let warnings = Diagnostics::new(loaded.warnings.iter().chain(&missing).cloned().collect());
    if !warnings.is_empty() {
        let color = colored(global, is_progress_terminal());
        say(Text::with_colours(&warnings.render(color)).trim_end());
    }
    let nodes = loaded.desired.hosts().count();
    let document = serde_json::json!({
        "format": "tarsops.validate/1", "valid": true, "cluster": loaded.desired.cluster,
        "nodes": nodes, "spec_digest": loaded.desired.spec_digest, "diagnostics": warnings,
    });
    let mut text = Text::new();
    text.line(format_args!(
        "{} is valid: cluster {}, {} node{}",
        global.file.display(),
        loaded.desired.cluster,
        nodes,
        if nodes == 1 { "" } else { "s" }
    ));
    publish(global, &format!("{document:#}\n"), &text)?;
    Ok(exit::OK)
}

/// Ends a command that needs packages where the spec asks for a version that none has. A pin that is
/// not from where the spec takes packages is an error of the lock file.
pub fn without_package(global: &Global, loaded: &Loaded) -> Result<()> {
    let missing = missing_packages(global, loaded, Severity::Error)?;
    if missing.has_errors() {
        let color = colored(global, is_progress_terminal());
        return Err(Failure::invalid(&missing, color));
    }
    Ok(())
}

/// Versions without a package, shown where the spec asks for them.
fn missing_packages(global: &Global, loaded: &Loaded, severity: Severity) -> Result<Diagnostics> {
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
        // What a node holds can only be seen by looking at it.
        PackageSource::Node(_) => return Ok(Diagnostics::default()),
        PackageSource::Folder(template) => {
            let folder = |version: &str| loaded.dir.join(template.replace("{version}", version));
            let there = loaded
                .desired
                .versions
                .iter()
                .filter(|(component, version)| {
                    NEEDED.contains(component)
                        && may_hold(&folder(&version.to_string()), *component)
                });
            available.extend(there.copied());
        }
    }
    let spec = &loaded.parsed;
    Ok(spec.check_packages(&loaded.desired, &available, &NEEDED, severity))
}
