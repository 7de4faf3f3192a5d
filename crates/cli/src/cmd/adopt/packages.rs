//! Release packages that are at hand in an adoption.

use std::collections::BTreeSet;
use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::version::Version;
use tarsops_package::LockFile;
use tarsops_package::lock::Known;

use super::seen::Seen;
use crate::failure::Result;
use crate::store::Store;

/// The placeholder of a packages folder.
const PLACE: &str = "{version}";

/// Pins all releases in the folder that the spec names; nothing where it names none.
pub fn pin(
    store: &Store,
    template: Option<&str>,
    dir: &Path,
    given: Option<Version>,
) -> Result<LockFile> {
    let Some(template) = template else {
        return Ok(LockFile::default());
    };
    let mut versions: BTreeSet<Version> = given.into_iter().collect();
    if let Some((before, after)) = template.split_once(PLACE) {
        let (folder, first) = before.rsplit_once('/').unwrap_or((".", before));
        let last = after.split('/').next().unwrap_or_default();
        let entries = std::fs::read_dir(dir.join(folder));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version: Option<Version> = name
                .to_str()
                .and_then(|name| name.strip_prefix(first)?.strip_suffix(last)?.parse().ok());
            versions.extend(version);
        }
    }
    store.pin_releases(&versions)
}

/// Whether the folder has the tarsnode of each version that the spec asks for. If not, the spec takes
/// packages from the master, and the binaries of the folder stay known; gives a note that says so.
pub fn settle(seen: &mut Seen, lock: &mut LockFile) -> Result<Option<String>> {
    if seen.given.packages.is_none() {
        return Ok(None);
    }
    let lacking: Vec<String> = seen
        .desired()
        .versions
        .iter()
        .filter(|(component, _)| *component == Component::Tarsnode)
        .filter(|(component, version)| lock.pin(*component, *version).is_none())
        .map(|(_, version)| version.to_string())
        .collect();
    if lacking.is_empty() {
        return Ok(None);
    }
    let mut known = LockFile::default();
    for pin in lock.pins() {
        known.register(Known {
            component: pin.component,
            version: pin.version,
            binary: pin.binary,
            note: "adopted: as in the packages folder".to_owned(),
        });
    }
    for (version, templates) in lock.templates() {
        known.set_templates(*version, templates.clone());
    }
    *lock = known;
    seen.given.packages = None;
    seen.propose_again()?;
    Ok(Some(format!(
        "the packages folder has no tarsnode {}, so the spec takes packages from the master",
        lacking.join(", ")
    )))
}
