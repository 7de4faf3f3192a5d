//! tarsnode on a host that has no folder of it.

use tarsops_model::agent::AgentFacts;

use super::{Assessment, BINARY, CONF, Work, runs};
use crate::action::Folder;
use crate::drift::{DriftKind, FieldChange};

impl Work<'_> {
    pub(super) fn install(mut self, facts: Option<&AgentFacts>) -> Assessment {
        let Some(package) = self.package else {
            self.lacks_package();
            return self.finish(DriftKind::Missing, Folder::Create, None, None);
        };
        if !package.is_complete() {
            self.lacks_package();
        }
        for file in &package.files {
            let path = format!("tarsnode/{}", file.path);
            if path == BINARY {
                continue;
            }
            let text = match file.path.strip_prefix("util/") {
                _ if path == CONF => self.fresh_conf(),
                Some(name) if file.text.is_some() => self.fresh_script(name),
                _ => None,
            };
            match text {
                Some(text) => self.write(&path, file.mode, None, text),
                None if path == CONF || file.path.starts_with("util/") => {}
                None => self.copy(file, &path, file.mode, None),
            }
        }
        self.port = self.new_port();
        self.binary_from_package(None);
        self.fields.push(FieldChange::new(
            "version",
            "none",
            self.agent.version.to_string(),
        ));
        self.check_user();
        self.own = self.host.is_root;
        self.restart = true;
        let crontab = self.crontab_change();
        if facts.is_some_and(runs) {
            self.note("a tarsnode runs there without its folder; it is stopped");
        }
        self.finish(DriftKind::Missing, Folder::Create, crontab, None)
    }
}
