//! Compares the running tarsnode with the spec: how many, of which file, as whom.

use tarsops_model::agent::{AgentFacts, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;

use super::NodeAssessment;
use crate::drift::FieldChange;

impl NodeAssessment<'_> {
    pub(super) fn compare_processes(&mut self, facts: &AgentFacts, disk: Option<Digest>) {
        let all = match &facts.processes {
            Observed::Unknown(why) => {
                self.unknown.push(format!("its processes: {why}"));
                return;
            }
            Observed::Absent => &vec![],
            Observed::Present(all) => all,
        };
        self.replaced = all.iter().any(|p| p.exe_deleted);
        for one in all {
            self.warn_of_foreign_nodeid(one.nodeid.as_deref(), "it runs with");
        }
        let [one] = all.as_slice() else {
            let old = if all.is_empty() {
                "not running".to_owned()
            } else {
                let pids: Vec<String> = all.iter().map(|p| p.pid.to_string()).collect();
                format!("{} processes ({})", all.len(), pids.join(", "))
            };
            self.fields
                .push(FieldChange::new("process", old, "running once"));
            self.restart = true;
            return;
        };
        self.compare_running(one, facts, disk);
        let nodeid = self.agent.nodeid.as_str();
        if one.nodeid.as_deref() != Some(nodeid) {
            let old = one.nodeid.clone().unwrap_or_else(|| "none".to_owned());
            self.fields
                .push(FieldChange::new("running nodeid", old, nodeid));
            self.restart = true;
        }
        if one.user != self.agent.run_user.as_str() {
            self.fields.push(FieldChange::new(
                "running as",
                &one.user,
                self.agent.run_user.as_str(),
            ));
            self.restart = true;
        }
        match &facts.listening {
            Observed::Present(true) => {}
            Observed::Present(false) | Observed::Absent => {
                self.fields
                    .push(FieldChange::new("port", "does not listen", "listens"));
                self.restart = true;
            }
            Observed::Unknown(why) => self.unknown.push(format!("its port: {why}")),
        }
    }

    /// tarsnode registers at its start only: one whose row is gone must start again.
    pub(super) fn compare_registration(&mut self, facts: &AgentFacts) {
        let Some(framework) = &self.input.inventory.framework else {
            return;
        };
        let nodeid = self.agent.nodeid.as_str();
        let runs = facts
            .processes
            .present()
            .is_some_and(|all| all.iter().any(|p| p.nodeid.as_deref() == Some(nodeid)));
        if runs && framework.node_row(self.node).is_absent() {
            self.fields
                .push(FieldChange::new("registration", "no row", "registered"));
            self.restart = true;
        }
    }

    /// A replaced file whose process still runs the old one is a restart.
    pub(super) fn compare_running(
        &mut self,
        one: &ProcessFact,
        facts: &AgentFacts,
        disk: Option<Digest>,
    ) {
        let on_disk_now = facts.binary.present().map(|b| b.digest);
        match (&one.exe, disk) {
            (Observed::Present(running), Some(disk)) if *running != disk => {
                let versions = self.input.catalog.versions_of(Component::Tarsnode, running);
                if versions.is_empty()
                    && Some(*running) != on_disk_now
                    && !self.agent.replace_unknown
                {
                    self.unknown.push(format!(
                        "it runs a binary {running} that is in no lock file; register it with `tarsops package add`, or set `replace_unknown: true`"
                    ));
                    return;
                }
                if Some(*running) != on_disk_now {
                    self.refuse_downgrade(&versions);
                    self.fields.push(FieldChange::new(
                        "running version",
                        self.name_of(running),
                        self.name_of(&disk),
                    ));
                }
                self.restart = true;
            }
            (Observed::Present(_), _) => {}
            (Observed::Absent, _) if one.exe_deleted => {
                self.fields.push(FieldChange::new(
                    "running version",
                    "a file that was replaced",
                    "the installed one",
                ));
                self.restart = true;
            }
            (Observed::Unknown(why), _) => self.unknown.push(format!("the running binary: {why}")),
            (Observed::Absent, _) => {}
        }
    }
}
