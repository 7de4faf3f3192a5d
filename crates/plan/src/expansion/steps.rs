//! The steps of an expansion: files, rows, starts, and what cron watches.

use tarsops_model::agent::Monitor;
use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;

use super::{ComponentContext, ExpansionAssessment, MissingParts};
use crate::actions::{
    AddServerRows, CrontabChange, FileChange, NewRow, NewServers, Operation, Owner, Place,
    StartServer, Via,
};
use crate::components;
use crate::condition::Condition;
use crate::crontab;
use crate::places;
use crate::places::binary_path;
use crate::plan::{ChangeKind, Stage, Step};
use crate::report::Line;
use crate::tables::framework;

impl ComponentContext<'_> {
    pub(super) fn steps(&self, lacking: Vec<MissingParts<'_>>, work: &mut ExpansionAssessment) {
        let Observed::Present(machine) = &self.host.machine_id else {
            return;
        };
        let machine = Condition::Machine {
            id: machine.clone(),
        };
        let mut files = Vec::new();
        let mut rows = Vec::new();
        let mut starts = Vec::new();
        let mut watch = None;
        for lack in lacking {
            let component = lack.component;
            rows.extend(lack.rows.iter().cloned());
            if lack.start {
                starts.push(self.start(&lack, &machine));
                work.started.insert(component);
                if component == Component::Tarsregistry {
                    watch = self.watch(&lack);
                }
            } else if lack.stopped {
                work.lines.push(Line::Note {
                    resource: self.resource(component),
                    text: "somebody has stopped it; it is not started".to_owned(),
                });
            }
            if let Some(placed) = lack.files {
                files.extend(self.place(component, lack.server, placed));
            }
        }
        work.steps.extend(files);
        if !rows.is_empty() {
            work.steps.push(self.write(rows, machine));
        }
        work.steps.extend(starts);
        work.steps.extend(watch);
    }

    /// The step that places the files of a component.
    fn place(&self, component: Component, server: &Server, files: Vec<FileChange>) -> Option<Step> {
        let summary = format!("place {component} {}", server.version);
        let digest = files
            .iter()
            .find(|f| f.path == binary_path(component))
            .and_then(|f| f.after);
        let operation = Operation::Place(Place {
            files,
            owner: if self.host.is_root {
                Owner::RunUser
            } else {
                Owner::Unchanged
            },
        });
        let change = components::on_host(
            self.input,
            component,
            self.node,
            self.spec,
            self.host,
            (summary, operation),
        )?;
        let pre = crate::preconditions::preconditions(&change);
        let post = vec![
            Condition::Installed {
                component,
                there: true,
            },
            Condition::File {
                path: binary_path(component),
                digest,
            },
        ];
        Some(Step::of_change(
            format!("{component}.place@{}", self.node),
            change,
            pre,
            post,
        ))
    }

    /// The step that writes the rows of all components of the host.
    fn write(&self, rows: Vec<NewRow>, machine: Condition) -> Step {
        let new = NewServers {
            node: self.node.clone(),
            rows,
            via: Via::Tars,
        };
        let names = new.names();
        Step::new(
            format!("rows.add@{}", self.node),
            (Stage::Expansion, ChangeKind::Add),
            match names.len() {
                1 => "write 1 row of its servers, set inactive".to_owned(),
                count => format!("write {count} rows of its servers, set inactive"),
            },
            AddServerRows(new),
            vec![
                machine,
                Condition::RowsAbsent {
                    rows: names.clone(),
                },
            ],
            vec![Condition::RowsThere { rows: names }],
        )
    }

    /// The step that starts a component.
    fn start(&self, lack: &MissingParts<'_>, machine: &Condition) -> Step {
        let component = lack.component;
        let mut post = vec![
            Condition::ServerRuns {
                component,
                digest: lack.digest,
                // As whom its tarsnode runs.
                user: self
                    .input
                    .desired
                    .agent(self.node)
                    .map_or(&lack.server.run_user, |a| &a.run_user)
                    .to_string(),
            },
            Condition::ServerListens { component },
            Condition::ServerActive { component },
        ];
        let asked = framework(self.input).is_some_and(|f| {
            f.servants
                .values()
                .any(|a| a.component == component && a.node == *self.node)
        });
        if asked {
            post.push(Condition::ServantsAnswer { component });
        }
        if component == Component::Tarsregistry {
            let registry = places::endpoint_at(self.spec.ip);
            let readable = framework(self.input)
                .and_then(|f| f.rows().present().copied())
                .is_some_and(|r| r.registries.present().is_some());
            post.push(Condition::RegistryAnswers {
                registry: registry.clone(),
            });
            if readable {
                post.push(Condition::RegistryListed { registry });
            }
        }
        Step::new(
            format!("{component}.start@{}", self.node),
            (Stage::Expansion, ChangeKind::Add),
            format!("start {component} through AdminRegistry"),
            StartServer {
                component,
                node: self.node.clone(),
            },
            vec![machine.clone(), Condition::Unfinished { run: None }],
            post,
        )
    }

    /// The step that has cron watch a registry that tarsops places, so that it comes back after a
    /// reboot; none where something watches it, or nobody should.
    fn watch(&self, lack: &MissingParts<'_>) -> Option<Step> {
        let component = lack.component;
        let agent = self.input.desired.agent(self.node)?;
        if agent.monitor == Monitor::None || self.host.tools.get("crontab") == Some(&false) {
            return None;
        }
        // A package need not have one; an installed component may.
        let ships = lack.files.as_ref().is_none_or(|files| {
            let monitor = format!("{component}/util/monitor.sh");
            files.iter().any(|f| f.path == monitor)
        });
        if !ships {
            return None;
        }
        let now = match &self.host.crontab {
            Observed::Present(text) => Some(crontab::without_guard(text)),
            Observed::Absent => None,
            Observed::Unknown(_) => return None,
        };
        let now = now.filter(|text| !text.is_empty());
        // tarsnode's own change comes first.
        let text = match self.agent.crontab {
            Some(change) => crontab::apply(now.as_deref(), &change.edit),
            None => now,
        };
        let edit = crontab::component_watch_edit(
            text.as_deref().unwrap_or_default(),
            agent.tars_path.as_str(),
            component.name(),
        )?;
        let after = crontab::apply(text.as_deref(), &edit)?;
        let summary = "have cron watch tarsregistry".to_owned();
        let operation = Operation::Watch(CrontabChange {
            before: text.map(|t| Digest::of(t.as_bytes())),
            edit,
            back: None,
        });
        let change = components::on_host(
            self.input,
            component,
            self.node,
            self.spec,
            self.host,
            (summary, operation),
        )?;
        let pre = crate::preconditions::preconditions(&change);
        Some(Step::of_change(
            format!("{component}.watch@{}", self.node),
            change,
            pre,
            vec![Condition::Crontab {
                digest: Some(Digest::of(after.as_bytes())),
            }],
        ))
    }
}
