//! Whether there is a package for every version that a spec asks for.
//!
//! What packages there are is told by the caller; this module only knows where in the document a
//! version is written.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::version::Version;

use crate::diag::Diagnostics;
use crate::lower::{Check, Parsed};
use crate::rules::Rule;

impl Parsed {
    /// Names every version that `desired` asks for and `available` lacks, where it is written.
    /// Only components in `managed` count: those that the caller would install.
    #[must_use]
    pub fn check_packages(
        &self,
        desired: &Desired,
        available: &BTreeSet<(Component, Version)>,
        managed: &[Component],
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
            let help = if there.is_empty() {
                "put the package where `framework.packages` says, or correct the version".to_owned()
            } else {
                format!(
                    "there are packages of {}; put this one where `framework.packages` says, or \
                     correct the version",
                    there.join(", ")
                )
            };
            let place = check.place(&path);
            check.say(
                Rule::VersionWithoutPackage,
                &place,
                format!("no package holds version {version} of {}", names.join(", ")),
                help,
            );
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
