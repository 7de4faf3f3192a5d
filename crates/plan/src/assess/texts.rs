//! The files of a change: what a package ships, with this node's values in it.
//!
//! Knows nothing of what is on the host; every text that it returns is whole and free of the
//! placeholders that tarsnode's files may have.

use tarsops_conf::placeholder::{Vars, substitute};
use tarsops_conf::{Document, tarsnode, util_script};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::PackageFile;

use super::NodeAssessment;
use crate::actions::{Content, FileChange};
use crate::condition::wanted_conf;
use crate::places::{BINARY, CONF};
use crate::report::Blocked;

/// The permission bits that a script should have: cron runs the monitor itself, the others are run
/// through a shell.
pub(super) fn script_mode(name: &str, mode: u32) -> u32 {
    if name == "monitor.sh" {
        mode | 0o555
    } else {
        mode
    }
}

impl NodeAssessment<'_> {
    pub(super) fn vars(&self) -> Vars {
        let registries = &self.agent.locator;
        Vars {
            localip: Some(self.agent.ip.to_string()),
            registries: registries
                .iter()
                .map(|e| (e.host.to_string(), e.port))
                .collect(),
            registry_host: registries.iter().next().map(|e| e.host.to_string()),
            database_host: None,
            tars_path: Some(self.tars().to_owned()),
            upload_path: None,
        }
    }

    /// The configuration from the package, for this node.
    pub(super) fn fresh_conf(&mut self) -> Option<String> {
        let shipped = self
            .package
            .and_then(|p| p.file("conf/tars.tarsnode.config.conf"));
        let Some(text) = shipped.and_then(|f| f.text.as_deref()) else {
            self.lacks_package();
            return None;
        };
        let text = substitute(text, &self.vars());
        let mut wanted = wanted_conf(&self.agent.ip.to_string(), &self.agent.locator);
        wanted.exact = true;
        match tarsnode::rewrite(&text, &wanted) {
            Ok(text) => Some(text),
            Err(e) => {
                self.unreadable("the package's configuration", &e);
                None
            }
        }
    }

    /// A script from the package, for this node.
    pub(super) fn fresh_script(&mut self, name: &str) -> Option<String> {
        let shipped = self.package.and_then(|p| p.file(&format!("util/{name}")));
        let Some(text) = shipped.and_then(|f| f.text.as_deref()) else {
            self.lacks_package();
            return None;
        };
        self.fit_script(name, text)
    }

    /// `text` with this node's values in it.
    pub(super) fn fit_script(&mut self, name: &str, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        if name == "execute.sh" {
            match util_script::set_nodeid(&text, self.agent.nodeid.as_str()) {
                Ok(t) => text = t,
                Err(e) => {
                    self.unreadable("util/execute.sh", &e);
                    return None;
                }
            }
        }
        let text = substitute(&text, &self.vars());
        Some(util_script::set_home(&text, self.tars()))
    }

    /// Says that a file cannot be brought to the spec.
    pub(super) fn unreadable(&mut self, file: &str, why: &impl ToString) {
        self.block(Blocked::Unreadable {
            file: file.to_owned(),
            why: why.to_string(),
        });
    }

    /// A file that is written again.
    pub(super) fn write(&mut self, path: &str, mode: u32, before: Option<Digest>, text: String) {
        self.files.push(FileChange {
            path: path.to_owned(),
            mode,
            before,
            before_mode: None,
            after: Some(Digest::of(text.as_bytes())),
            content: Content::Text(text),
        });
    }

    pub(super) fn binary_from_package(&mut self, before: Option<Digest>) {
        match self.package.and_then(|p| p.file("bin/tarsnode")) {
            None => self.lacks_package(),
            Some(file) => self.copy(file, BINARY, 0o755, before),
        }
    }

    /// A file of the package as it is.
    pub(super) fn copy(
        &mut self,
        file: &PackageFile,
        path: &str,
        mode: u32,
        before: Option<Digest>,
    ) {
        self.files.push(FileChange {
            path: path.to_owned(),
            mode,
            before,
            before_mode: None,
            after: Some(file.digest),
            content: Content::Package {
                component: Component::Tarsnode,
                version: self.agent.version,
                path: file.path.clone(),
                size: file.size,
            },
        });
    }

    /// A file that stays, with other permission bits.
    pub(super) fn chmod(&mut self, path: &str, mode: u32, digest: Digest) {
        self.files.push(FileChange {
            path: path.to_owned(),
            mode,
            before: Some(digest),
            before_mode: None,
            after: Some(digest),
            content: Content::None,
        });
    }

    /// Says that the package is missing, or that it has not what is needed.
    pub(super) fn lacks_package(&mut self) {
        let version = self.agent.version;
        self.block(match self.package {
            None => Blocked::NoPackage { version },
            Some(_) => Blocked::IncompletePackage { version },
        });
    }

    /// The port that the configuration among the files to write names.
    pub(super) fn new_port(&self) -> Option<u16> {
        let text = self
            .files
            .iter()
            .find(|f| f.path == CONF)
            .and_then(|f| match &f.content {
                Content::Text(t) => Some(t.as_str()),
                _ => None,
            })?;
        Document::parse(text)
            .ok()
            .and_then(|d| tarsnode::read(&d).endpoint_port)
    }
}
