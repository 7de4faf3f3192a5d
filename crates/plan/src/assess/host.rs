//! What the host must offer: the run user, its crontab, programs, rights and room.

use tarsops_model::agent::{AgentFacts, Monitor};
use tarsops_model::digest::Digest;
use tarsops_model::host::HostFacts;
use tarsops_model::observed::Observed;

use super::NodeAssessment;
use crate::actions::{Content, CrontabChange};
use crate::crontab::{self, CrontabEdit};
use crate::drift::FieldChange;
use crate::prerequisites;
use crate::report::Blocked;

/// An edit of the crontab that was seen.
pub(super) fn edited(text: Option<&str>, edit: CrontabEdit) -> CrontabChange {
    CrontabChange {
        before: text.map(|t| Digest::of(t.as_bytes())),
        edit,
        back: None,
    }
}

/// Lines of other crontabs of a host that watch tarsnode or may, with where they stand.
pub(super) fn watched_elsewhere(host: &HostFacts, tars_path: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (place, text) in &host.other_crontabs {
        let found = crontab::watchers(text, tars_path);
        let lines = found.monitor.into_iter().chain(found.check);
        all.extend(
            lines
                .chain(found.unclear)
                .map(|(_, line)| (place.clone(), line)),
        );
    }
    all
}

impl NodeAssessment<'_> {
    pub(super) fn check_user(&mut self) {
        let user = self.agent.run_user.clone();
        match &self.host.run_user {
            Observed::Present(()) => {}
            Observed::Absent if self.agent.create_run_user => {
                self.make_user = true;
                self.own = true;
                self.fields
                    .push(FieldChange::new("run user", "missing", user.as_str()));
            }
            Observed::Absent => self.block(Blocked::NoRunUser {
                user: user.to_string(),
                comes: false,
            }),
            Observed::Unknown(why) => self.unknown.push(format!("the run user: {why}")),
        }
    }

    pub(super) fn crontab_text(&self) -> Option<String> {
        self.host
            .crontab
            .present()
            .map(|t| crontab::without_guard(t))
            .filter(|t| !t.is_empty())
    }

    pub(super) fn crontab_change(&mut self) -> Option<CrontabChange> {
        if self.agent.monitor == Monitor::None {
            return None;
        }
        if self.host.tools.get("crontab") == Some(&false) {
            self.block(Blocked::NoProgram {
                program: "crontab".to_owned(),
                package: "cron".to_owned(),
            });
            return None;
        }
        if let Observed::Unknown(why) = &self.host.crontab {
            self.unknown.push(format!("its crontab: {why}"));
            return None;
        }
        let text = self.crontab_text();
        let mut elsewhere = false;
        for (place, line) in watched_elsewhere(self.host, self.tars()) {
            elsewhere = true;
            self.note(format!(
                "{place} has a line that watches it, or may: no other is added ({line})"
            ));
        }
        let own = crontab::watchers(text.as_deref().unwrap_or_default(), self.tars());
        for (number, line) in &own.unclear {
            self.note(format!(
                "line {} of its crontab may be its monitor, and its folder is unknown: no other line is added ({line})",
                number + 1
            ));
        }
        crontab::wanted_edit(text.as_deref(), self.tars(), self.agent.monitor, elsewhere)
            .map(|edit| edited(text.as_deref(), edit))
    }

    pub(super) fn crontab_fields(&mut self, change: &CrontabChange) {
        for (_, line) in &change.edit.remove {
            self.fields
                .push(FieldChange::new("crontab", line, "removed"));
        }
        if let Some(line) = &change.edit.add {
            self.fields
                .push(FieldChange::new("crontab", "no monitor", line));
        }
    }

    /// A process of another user can be stopped by root only.
    pub(super) fn check_reach(&mut self, facts: &AgentFacts) {
        let all = facts.processes.present().into_iter().flatten();
        for other in all.filter(|p| p.user != self.host.user) {
            if !self.host.is_root {
                let what = format!("stopping the tarsnode of {}", other.user);
                self.block(Blocked::NeedsRoot { what });
            }
        }
    }

    pub(super) fn check_means(&mut self) {
        for why in prerequisites::programs(self.host) {
            self.block(why);
        }
        if !self.host.is_root {
            if self.make_user {
                self.block(Blocked::NeedsRoot {
                    what: "making a user".to_owned(),
                });
            } else if self.host.user != self.agent.run_user.as_str() {
                let what = format!("running tarsnode as {}", self.agent.run_user);
                self.block(Blocked::NeedsRoot { what });
            }
        }
        let payload: u64 = self
            .files
            .iter()
            .map(|f| match &f.content {
                Content::Package { size, .. } => *size,
                Content::Text(t) => t.len() as u64,
                Content::Before { .. } | Content::None => 0,
            })
            .sum();
        let (against, unseen) = prerequisites::room(self.input, self.host, payload);
        for why in against {
            self.block(why);
        }
        self.unknown.extend(unseen);
    }
}
