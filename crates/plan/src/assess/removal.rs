//! tarsnode on a node that shall be absent. Its monitor goes first, or cron brings it back.

use tarsops_model::agent::AgentFacts;
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;

use super::{Assessment, Work, runs};
use crate::action::{CrontabChange, Folder};
use crate::crontab;
use crate::drift::DriftKind;
use crate::report::Blocked;

impl Work<'_> {
    pub(super) fn removal(mut self, facts: Option<&AgentFacts>, stop_servers: bool) -> Assessment {
        let text = self.crontab_text();
        let crontab = match &self.host.crontab {
            Observed::Unknown(why) if self.host.tools.get("crontab") != Some(&false) => {
                self.unknown.push(format!("its crontab: {why}"));
                None
            }
            _ => crontab::removal_edit(text.as_deref(), self.tars()).map(|edit| CrontabChange {
                before: text.map(|t| Digest::of(t.as_bytes())),
                edit,
                back: None,
            }),
        };
        let there = facts.filter(|f| !f.folder.is_absent());
        let running = facts.is_some_and(runs);
        if there.is_none() && crontab.is_none() && !running && self.unknown.is_empty() {
            return Assessment {
                lines: self.lines,
                ..Assessment::default()
            };
        }
        if let Some(facts) = facts {
            if let Observed::Unknown(why) = &facts.processes {
                self.unknown.push(format!("its processes: {why}"));
            }
            if !facts.servers.is_empty() {
                if stop_servers {
                    self.note(format!(
                        "its servers are stopped with it: {}",
                        facts.servers.join(", ")
                    ));
                } else {
                    self.block(Blocked::ServersRunning {
                        servers: facts.servers.clone(),
                    });
                }
            }
        }
        if self.host.user != self.agent.run_user.as_str() && !self.host.is_root {
            self.block(Blocked::NeedsRoot {
                what: "removing tarsnode".to_owned(),
            });
        }
        self.restart = there.is_none() && running;
        let folder = if there.is_some() {
            Folder::Remove
        } else {
            Folder::Keep
        };
        let mut done = self.finish(DriftKind::Surplus, folder, crontab, None);
        if let Some(prepared) = &mut done.change {
            prepared.change.stop_servers = stop_servers;
        }
        done
    }
}
