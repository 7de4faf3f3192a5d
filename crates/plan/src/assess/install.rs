//! tarsnode on a host that has no folder of it.

use tarsops_model::agent::AgentFacts;

use super::{Assessment, NodeAssessment, ending::Kind, runs, texts::script_mode};
use crate::drift::{DriftKind, FieldChange};
use crate::places::{BINARY, CONF, SCRIPTS};

impl NodeAssessment<'_> {
    pub(super) fn install(mut self, facts: Option<&AgentFacts>) -> Assessment {
        let Some(package) = self.package else {
            self.lacks_package();
            return self.finish(DriftKind::Missing, Kind::Install, None, None);
        };
        let has = |script: &&str| package.file(&format!("util/{script}")).is_some();
        if !package.is_complete() || !SCRIPTS.iter().all(has) {
            self.lacks_package();
        }
        for file in &package.files {
            let path = format!("tarsnode/{}", file.path);
            // The binary comes last, and what a tarsnode keeps in `data` is never shipped.
            if path == BINARY || file.path.starts_with("data/") {
                continue;
            }
            let script = file
                .path
                .strip_prefix("util/")
                .filter(|_| file.text.is_some());
            if path == CONF {
                if let Some(text) = self.fresh_conf() {
                    self.write(&path, file.mode, None, text);
                }
            } else if let Some(name) = script {
                if let Some(text) = self.fresh_script(name) {
                    self.write(&path, script_mode(name, file.mode), None, text);
                }
            } else {
                self.copy(file, &path, file.mode, None);
            }
        }
        self.locator_after = self.fresh_registries();
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
        if let Some(facts) = facts {
            self.check_reach(facts);
        }
        self.finish(DriftKind::Missing, Kind::Install, crontab, None)
    }
}
