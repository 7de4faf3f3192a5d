//! tarsnode on a node that should be absent. Its monitor goes first, or cron brings it back.

use tarsops_model::agent::AgentFacts;
use tarsops_model::observed::Observed;

use super::{
    Assessment, NodeAssessment,
    ending::Kind,
    host::{edited, watched_elsewhere},
    runs,
};
use crate::crontab;
use crate::drift::DriftKind;
use crate::report::Blocked;

impl NodeAssessment<'_> {
    pub(super) fn removal(mut self, facts: Option<&AgentFacts>, stop_servers: bool) -> Assessment {
        let text = self.crontab_text();
        let crontab = match &self.host.crontab {
            Observed::Unknown(why) if self.host.tools.get("crontab") != Some(&false) => {
                self.unknown.push(format!("its crontab: {why}"));
                None
            }
            _ => crontab::removal_edit(text.as_deref(), self.tars())
                .map(|edit| edited(text.as_deref(), edit)),
        };
        for (place, line) in watched_elsewhere(self.host, self.tars()) {
            self.block(Blocked::WatchedElsewhere { place, line });
        }
        let there = facts.filter(|f| !f.folder.is_absent());
        let running = facts.is_some_and(runs);
        if let Some(facts) = facts {
            if let Observed::Unknown(why) = &facts.folder {
                self.unknown.push(format!("the folder: {why}"));
            }
            if let Observed::Unknown(why) = &facts.processes {
                self.unknown.push(format!("its processes: {why}"));
            }
            self.check_reach(facts);
        }
        if there.is_none() && crontab.is_none() && !running && self.unknown.is_empty() {
            return Assessment {
                lines: self.lines,
                ..Assessment::default()
            };
        }
        let servers = facts.map_or(&[][..], |f| &f.servers[..]);
        if !servers.is_empty() && stop_servers {
            let all = servers.join(", ");
            self.note(format!("its servers are stopped with it: {all}"));
        } else if !servers.is_empty() {
            self.block(Blocked::ServersRunning {
                servers: servers.to_vec(),
            });
        }
        if self.host.user != self.agent.run_user.as_str() && !self.host.is_root {
            self.block(Blocked::NeedsRoot {
                what: "removing tarsnode".to_owned(),
            });
        }
        self.restart = there.is_none() && running;
        let kind = if there.is_some() {
            Kind::Remove { stop_servers }
        } else {
            Kind::RemoveRest { stop_servers }
        };
        self.finish(DriftKind::Surplus, kind, crontab, None)
    }
}
