//! Whether there is a package for every version that a spec asks for.
//!
//! What packages there are is told by the caller; this module only knows where in the document a
//! version is written.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, PackageSource};
use tarsops_model::version::Version;

use crate::diag::{Diagnostics, Severity};
use crate::lower::{Check, Parsed};
use crate::rules::Rule;

/// The names of files that would hold packages of `components`.
fn file_names(components: &[Component]) -> String {
    let own: Vec<String> = components.iter().map(|c| format!("{c}.tgz")).collect();
    format!(
        "{}, framework.tgz or the deploy tree (the folder with FRAMEWORK_VERSION.txt)",
        own.join(" and ")
    )
}

impl Parsed {
    /// Names every version that `desired` asks for and `available` lacks, where it is written.
    /// Only components in `managed` count: those that the caller would install. A spec is valid
    /// without its packages, so `severity` is the caller's: whoever needs them says `Error`.
    #[must_use]
    pub fn check_packages(
        &self,
        desired: &Desired,
        available: &BTreeSet<(Component, Version)>,
        managed: &[Component],
        severity: Severity,
    ) -> Diagnostics {
        let mut check = Check::new(self);
        let mut lacking: BTreeMap<(String, Version), Vec<Component>> = BTreeMap::new();
        for (component, version) in desired.versions.difference(available) {
            if managed.contains(component) {
                let path = self.version_path(*component, *version);
                lacking
                    .entry((path, *version))
                    .or_default()
                    .push(*component);
            }
        }
        for ((path, version), components) in lacking {
            let names: Vec<&str> = components.iter().map(|c| c.name()).collect();
            let there: BTreeSet<Version> = available
                .iter()
                .filter(|(c, _)| components.contains(c))
                .map(|(_, v)| *v)
                .collect();
            let there: Vec<String> = there.iter().map(Version::to_string).collect();
            let mut help = match &desired.packages {
                PackageSource::Folder(template) => format!(
                    "put {} into {}/, or correct the version",
                    file_names(&components),
                    template.replace("{version}", &version.to_string())
                ),
                PackageSource::Node(node) => {
                    format!("install it on node {node}, or correct the version")
                }
            };
            if !there.is_empty() {
                help.push_str(&format!("; there are packages of {}", there.join(", ")));
            }
            let place = check.place(&path);
            let mut found = check.diagnostic(
                Rule::VersionWithoutPackage,
                &place,
                format!("no package has version {version} of {}", names.join(", ")),
                help,
            );
            found.severity = severity;
            check.push(found);
        }
        check.finish()
    }

    /// Where the document asks for `version` of `component`.
    fn version_path(&self, component: Component, version: Version) -> String {
        let spec = self.spec();
        let own = spec.components.get(&component).and_then(|c| c.version);
        if own.unwrap_or(spec.framework.version) != version {
            let over = spec
                .overrides
                .iter()
                .find(|(_, o)| o.version == Some(version));
            if let Some((name, _)) = over {
                return format!("overrides/{name}/version");
            }
        }
        if own == Some(version) {
            format!("components/{component}/version")
        } else {
            "framework/version".to_owned()
        }
    }
}
