//! The end of a comparison: a change with its conditions, or the reasons why there is none.
//!
//! A change is made only if nothing is unknown and nothing blocks: all of it, or none of it.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::agent::{Monitor, SERVER_OBJ_PORT};
use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::{Assessment, NodeAssessment, Prepared, runs};
use crate::places::{BINARY, CONF};
use crate::preconditions::{is_script, other_user, preconditions};
use tarsops_model::framework::NodeLabels;

use crate::actions::{
    Content, CrontabChange, HostChange, Install, Modify, Operation, Owner, Port, Remove, RemoveRest,
};
use crate::condition::{Condition, Truth};
use crate::drift::DriftKind;
use crate::input::PlanInput;
use crate::report::{Blocked, Line};

/// What becomes of a tarsnode.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Install,
    Modify,
    Remove { stop_servers: bool },
    RemoveRest { stop_servers: bool },
}

impl NodeAssessment<'_> {
    pub(super) fn finish(
        mut self,
        drift: DriftKind,
        kind: Kind,
        crontab: Option<CrontabChange>,
        port_before: Option<u16>,
    ) -> Assessment {
        let quiet = matches!(&drift, DriftKind::Changed { fields } if fields.is_empty());
        if quiet && self.unknown.is_empty() && self.blocked.is_empty() {
            return Assessment {
                lines: self.lines,
                ..Assessment::default()
            };
        }
        let removal = drift == DriftKind::Surplus;
        if !quiet {
            self.check_means();
        }
        if !quiet && !removal && self.restart {
            self.check_framework();
        }
        let Observed::Present(machine_id) = self.host.machine_id.clone() else {
            self.unknown
                .push("its machine-id cannot be read".to_owned());
            return self.without_change(drift, quiet);
        };
        if !self.unknown.is_empty() || !self.blocked.is_empty() || quiet {
            return self.without_change(drift, quiet);
        }
        let modes = observed_modes(self.input, self.node);
        for file in &mut self.files {
            file.before_mode = file.before.and_then(|_| modes.get(&file.path).copied());
        }
        // The binary is last: until it is in place, whoever restarts it starts the old one whole.
        self.files.sort_by_key(|f| f.path == BINARY);
        let summary = self.summary(&drift, kind);
        let labels = (self.restart && !removal)
            .then(|| observed_labels(self.input, self.node).or_else(|| self.host.labels.clone()))
            .flatten();
        let agent = self.input.inventory.agent(self.node);
        let agent = agent.present();
        let owner = match (self.make_user, self.own) {
            (true, _) => Owner::NewRunUser,
            (false, true) => Owner::RunUser,
            (false, false) => Owner::Unchanged,
        };
        let files = std::mem::take(&mut self.files);
        let change = HostChange {
            component: Component::Tarsnode,
            node: self.node.clone(),
            summary,
            operation: match kind {
                Kind::Install => Operation::Install(Install {
                    files,
                    owner,
                    crontab,
                    labels,
                }),
                Kind::Modify => Operation::Modify(Modify {
                    files,
                    owner,
                    restart: self.restart,
                    crontab,
                    labels,
                }),
                Kind::Remove { stop_servers } => Operation::Remove(Remove {
                    crontab,
                    stop_servers,
                }),
                Kind::RemoveRest { stop_servers } => Operation::RemoveRest(RemoveRest {
                    crontab,
                    stop: self.restart,
                    stop_servers,
                }),
            },
            tars_path: self.agent.tars_path.clone(),
            run_user: self.agent.run_user.clone(),
            ran_as: agent.and_then(|a| other_user(&a.processes, &self.agent.run_user)),
            ip: self.agent.ip,
            port: Port {
                before: port_before,
                after: self.port,
            },
            ran: agent.is_some_and(|a| runs(a)),
            machine_id,
            settle: None,
        };
        let pre = preconditions(&change);
        let post = if removal {
            self.removed()
        } else {
            self.converged(&change)
        };
        Assessment {
            drift: Some(drift),
            lines: self.lines,
            change: Some(Prepared { change, pre, post }),
        }
    }

    /// What a restart rests upon beyond its host. A tarsnode that works is not stopped while nobody
    /// could say whether it comes back, nor what its registration makes the framework forget.
    fn check_framework(&mut self) {
        if let (true, Some(path)) = (self.is_port_taken(), self.host.runs_from.clone()) {
            self.block(Blocked::InstalledElsewhere {
                path,
                wanted: self.input.desired.install_path_on(self.node).to_string(),
            });
        }
        let Some(framework) = &self.input.inventory.framework else {
            return;
        };
        if self.input.desired.database().is_some() {
            let why = match framework.rows() {
                Observed::Unknown(why) => Some(why),
                Observed::Present(rows) => rows.nodes.unknown().map(str::to_owned),
                Observed::Absent => None,
            };
            if let Some(why) = why {
                self.unknown
                    .push(format!("its registration, on which a restart rests: {why}"));
            }
        }
        let runs = self
            .input
            .inventory
            .agent(self.node)
            .present()
            .is_some_and(|a| runs(a));
        // The tarsnode of a framework host is what starts the registry there.
        let starts = self
            .input
            .desired
            .host(self.node)
            .is_some_and(|h| h.role.is_framework());
        if self.places.no_registry && (runs || !starts) {
            self.block(Blocked::NoRegistry);
        }
        if self.is_port_taken() && self.host.runs_from.is_none() {
            let port = self.port.unwrap_or(SERVER_OBJ_PORT);
            self.block(Blocked::PortTaken { port });
        }
    }

    /// Whether another process than this tarsnode listens on its port.
    fn is_port_taken(&self) -> bool {
        let agent = self.input.inventory.agent(self.node);
        let port = self.port.unwrap_or(SERVER_OBJ_PORT);
        let ports = self.host.ports.present();
        !agent.present().is_some_and(|a| runs(a)) && ports.is_some_and(|p| p.contains(&port))
    }

    pub(super) fn without_change(mut self, drift: DriftKind, quiet: bool) -> Assessment {
        let resource = self.resource();
        let blocked = !self.blocked.is_empty();
        for why in std::mem::take(&mut self.blocked) {
            self.lines.push(Line::Blocked {
                resource: resource.clone(),
                why,
            });
        }
        let drift = if !self.unknown.is_empty() {
            Some(DriftKind::Unknown { why: self.unknown })
        } else if blocked && quiet {
            None
        } else {
            Some(drift)
        };
        Assessment {
            drift,
            lines: self.lines,
            change: None,
        }
    }

    pub(super) fn summary(&self, drift: &DriftKind, kind: Kind) -> String {
        match (drift, kind) {
            (DriftKind::Missing, _) => format!("install tarsnode {}", self.agent.version),
            (DriftKind::Surplus, Kind::Remove { .. }) => "remove tarsnode".to_owned(),
            (DriftKind::Surplus, _) => "remove what is left of tarsnode".to_owned(),
            (DriftKind::Changed { fields }, _) => {
                let mut words: Vec<String> = Vec::new();
                for field in fields {
                    let word = if field.field == "version" {
                        let from = field.old.split(' ').next().unwrap_or_default();
                        format!("version {from} to {}", self.agent.version)
                    } else {
                        field.field.clone()
                    };
                    if !words.contains(&word) {
                        words.push(word);
                    }
                }
                let restart = if self.restart { " (restart)" } else { "" };
                format!("change {}{restart}", words.join(", "))
            }
            _ => "change tarsnode".to_owned(),
        }
    }

    pub(super) fn converged(&self, change: &HostChange) -> Vec<Condition> {
        let digest = self
            .package
            .map(|p| p.pin.binary)
            .filter(|_| self.retains_binary.is_none());
        let digest = digest.or(self.retains_binary);
        let mut out = vec![
            Condition::File {
                path: BINARY.to_owned(),
                digest,
            },
            Condition::ScriptNodeid {
                nodeid: self.agent.nodeid.clone(),
            },
            Condition::Conf {
                ip: self.agent.ip.to_string(),
                nodeid: self.agent.nodeid.clone(),
                locator: match &self.locator_after {
                    None => self.agent.locator.clone(),
                    Some(some) => {
                        let wanted = self.agent.locator.iter();
                        wanted
                            .filter(|at| some.contains(&(at.host.to_string(), at.port)))
                            .cloned()
                            .collect()
                    }
                },
            },
            Condition::Runs {
                digest,
                nodeid: self.agent.nodeid.clone(),
                user: self.agent.run_user.to_string(),
            },
            Condition::Listens,
            Condition::Owner {
                user: self.agent.run_user.to_string(),
            },
        ];
        // What the framework must say, so far as it can be asked. A change without a restart need
        // not mend what it does not touch: it must only leave it as good as it is.
        if let Some(framework) = &self.input.inventory.framework {
            let owed = |c: &Condition| {
                change.restarts() || c.eval(self.node, self.input.inventory) == Truth::Holds
            };
            let rows = framework
                .rows()
                .present()
                .is_some_and(|r| r.nodes.present().is_some());
            let admin = framework.admin.present().is_some();
            let asked = [
                rows.then_some(Condition::Registered),
                admin.then_some(Condition::Connected),
            ];
            out.extend(asked.into_iter().flatten().filter(owed));
            let servers: BTreeSet<String> = self
                .places
                .servers_on(self.node)
                .iter()
                .filter(|r| r.present.as_deref() == Some("active"))
                .filter(|r| r.setting.as_deref() == Some("active"))
                .map(|r| r.full_name())
                .collect();
            if change.restarts() && !servers.is_empty() {
                out.push(Condition::ServersActive { servers });
            }
        }
        // The rest of what is written, so far as a probe reports it: without it a step that only
        // mends a script would count as done before it ran.
        for file in change.files() {
            if is_script(&file.path) {
                out.push(Condition::File {
                    path: file.path.clone(),
                    digest: file.after,
                });
            }
            if file.content == Content::None && file.after.is_some() {
                out.push(Condition::Mode {
                    path: file.path.clone(),
                    mode: file.mode,
                });
            }
        }
        if self.agent.monitor == Monitor::Cron {
            out.push(Condition::Watched {
                tars_path: self.tars().to_owned(),
            });
        }
        out
    }

    pub(super) fn removed(&self) -> Vec<Condition> {
        let mut out = vec![Condition::Folder { exists: false }, Condition::Stopped];
        if self.host.crontab.unknown().is_none() {
            out.push(Condition::Unwatched {
                tars_path: self.tars().to_owned(),
            });
        }
        out
    }
}

/// What the node's row says and its next registration loses; none where it says nothing of its own.
fn observed_labels(input: &PlanInput<'_>, node: &NodeName) -> Option<NodeLabels> {
    let Observed::Present(row) = input.inventory.framework.as_ref()?.node_row(node) else {
        return None;
    };
    NodeLabels::of(row)
}

/// Permission bits of the files that a probe reports.
fn observed_modes(input: &PlanInput<'_>, node: &NodeName) -> BTreeMap<String, u32> {
    let mut out = BTreeMap::new();
    if let Observed::Present(agent) = input.inventory.agent(node) {
        if let Observed::Present(file) = &agent.binary {
            out.insert(BINARY.to_owned(), file.mode);
        }
        if let Observed::Present(file) = &agent.conf {
            out.insert(CONF.to_owned(), file.mode);
        }
        for (name, script) in &agent.util {
            if let Observed::Present(file) = script {
                out.insert(format!("tarsnode/util/{name}"), file.mode);
            }
        }
    }
    out
}
