//! The step that changes a component, and what it takes.

use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::digest::Digest;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::observed::Observed;

use crate::actions::{
    Content, FileChange, HostChange, Modify, Operation, Owner, Port, Publish, Restart, RowEdit,
    Table,
};
use crate::basic;
use crate::components::{means, on_host};
use crate::condition::Condition;
use crate::drift::FieldChange;
use crate::places;
use crate::places::binary_path;
use crate::plan::Step;
use crate::preconditions::other_user;
use crate::prerequisites;
use crate::report::Blocked;
use crate::tables::framework;

use super::ServerContext;

impl ServerContext<'_> {
    pub(super) fn change(
        &self,
        fields: &[FieldChange],
        file: Option<FileChange>,
        rows: Option<Vec<RowEdit>>,
        restart: bool,
        unknown: &mut Vec<String>,
        blocked: &mut Vec<Blocked>,
    ) -> Option<HostChange> {
        let means = means(self.input, self.component, self.node, self.host);
        blocked.extend(means);
        let registry = self.component == Component::Tarsregistry;
        if restart
            && registry
            && !self.another_registry()
            && !self.input.desired.policy.registry_gap
        {
            blocked.push(Blocked::OnlyRegistry);
        }
        if restart && let Some(why) = self.unreadable_template() {
            blocked.push(why);
        }
        self.check_space(file.as_ref(), unknown, blocked);
        if restart && self.input.desired.database().is_some() {
            // Without the rows nobody could tell whether it comes back.
            let rows = framework(self.input).map(FrameworkFacts::rows);
            match rows {
                Some(Observed::Unknown(why)) => {
                    unknown.push(format!("its row, on which a restart rests: {why}"));
                }
                // One that Tars cannot read would make it start with nothing.
                Some(Observed::Present(rows)) => {
                    let unseen = rows.templates.unknown().or_else(|| rows.servers.unknown());
                    if let Some(why) = unseen {
                        unknown.push(format!("its template, on which a restart rests: {why}"));
                    }
                }
                _ => {}
            }
        }
        let Observed::Present(_) = &self.host.machine_id else {
            unknown.push("its machine-id cannot be read".to_owned());
            return None;
        };
        if !unknown.is_empty() || !blocked.is_empty() {
            return None;
        }
        let mut words: Vec<String> = fields
            .iter()
            .map(|f| {
                let from = f.old.split(' ').next().unwrap_or_default();
                let to = f.new.split(' ').next().unwrap_or_default();
                match f.field.as_str() {
                    "version" | "running version" => format!("{} {from} to {to}", f.field),
                    other => other.to_owned(),
                }
            })
            .collect();
        if words.is_empty() {
            words.push("process".to_owned());
        }
        let again = if restart { " (restart)" } else { "" };
        let summary = format!("change {}{again}", words.join(", "));
        let component = self.component;
        let publishes = file.is_some() && component.is_basic();
        let operation = if publishes {
            let via = match basic::way(self.input) {
                Ok(via) => via,
                Err(why) => {
                    blocked.push(why);
                    return None;
                }
            };
            if let Some(why) = basic::admin_silent(self.input) {
                unknown.push(why);
                return None;
            }
            let other = basic::elsewhere(self.input, component, self.node, self.server);
            if let Some(why) = other {
                blocked.push(why);
                return None;
            }
            let summary = format!("publish {component}, {}, {}", words.join(", "), via.words());
            let publish = Publish {
                via,
                program: file?,
                first: false,
                rows: rows.unwrap_or_default(),
                patch_version: None,
            };
            (summary, Operation::Publish(publish))
        } else if let Some(rows) = rows {
            // Its node writes its configuration again when AdminRegistry tells it so.
            if self.input.desired.rpc == Rpc::Off {
                blocked.push(Blocked::NoStartPath {
                    what: "the spec says `rpc: none`, and AdminRegistry has its node read its rows"
                        .to_owned(),
                });
                return None;
            }
            if let Some(why) = basic::admin_silent(self.input) {
                unknown.push(why);
                return None;
            }
            let restart = Restart { rows, undoes: None };
            (summary, Operation::Restart(restart))
        } else {
            let modify = Modify {
                files: file.into_iter().collect(),
                owner: Owner::Unchanged,
                restart,
                crontab: None,
                labels: None,
            };
            (summary, Operation::Modify(modify))
        };
        let mut change = on_host(
            self.input, component, self.node, self.spec, self.host, operation,
        )?;
        let moves = |edit: &RowEdit| edit.table == Table::TAdapterConf;
        if change.rows().iter().any(moves) {
            // As long as registries take to tell others where its servants are now.
            change.settle = Some(self.input.desired.policy.registry_settle);
        }
        change.ran = self.facts.runs();
        change.ran_as = other_user(&self.facts.processes, &change.run_user);
        if restart {
            let port = component.servants().first().map(|(_, port)| *port);
            let moved = port.and_then(|port| basic::rows::port_before(change.rows(), port));
            change.port = Port {
                before: moved.or(port),
                after: port,
            };
        }
        Some(change)
    }

    /// Whether another registry of the spec answers.
    pub(super) fn another_registry(&self) -> bool {
        let own = places::endpoint_at(self.spec.ip);
        framework(self.input).is_some_and(|f| {
            f.registries
                .iter()
                .any(|(at, answer)| *at != own && answer.is_alive())
        })
    }

    pub(super) fn check_space(
        &self,
        file: Option<&FileChange>,
        unknown: &mut Vec<String>,
        blocked: &mut Vec<Blocked>,
    ) {
        let payload = match file.map(|f| &f.content) {
            Some(Content::Package { size, .. }) => *size,
            _ => 0,
        };
        let (against, unseen) = prerequisites::room(self.input, self.host, payload);
        blocked.extend(against);
        unknown.extend(unseen);
    }

    pub(super) fn step(&self, change: HostChange, after: Option<Digest>, restart: bool) -> Step {
        let component = self.component;
        let mut pre = crate::preconditions::preconditions(&change);
        if restart
            && component == Component::Tarsregistry
            && !self.input.desired.policy.registry_gap
        {
            pre.push(Condition::AnotherRegistry {
                but: places::endpoint_at(self.spec.ip),
            });
        }
        let mut post = vec![Condition::File {
            path: binary_path(component),
            digest: after,
        }];
        if restart {
            post.push(Condition::ServerRuns {
                component,
                digest: after,
                user: self.server.run_user.to_string(),
            });
            post.push(Condition::ServerListens { component });
            post.extend(self.framework_conditions());
        }
        Step::of_change(
            format!("{component}.change@{}", self.node),
            change,
            pre,
            post,
        )
    }

    /// What the framework must say of it afterwards, so far as it can be asked.
    pub(super) fn framework_conditions(&self) -> Vec<Condition> {
        let component = self.component;
        let Some(framework) = framework(self.input) else {
            return vec![];
        };
        let mut out = Vec::new();
        let rows = framework.rows();
        if component == Component::Tarsregistry {
            let registry = places::endpoint_at(self.spec.ip);
            if framework.registries.contains_key(&registry) {
                out.push(Condition::RegistryAnswers {
                    registry: registry.clone(),
                });
            }
            if rows
                .present()
                .is_some_and(|r| r.registries.present().is_some())
            {
                out.push(Condition::RegistryListed { registry });
            }
        } else {
            let asked = framework.servants.values();
            if asked
                .filter(|a| a.component == component && a.node == *self.node)
                .count()
                > 0
            {
                out.push(Condition::ServantsAnswer { component });
            }
        }
        // One that nobody counted as active before need not be so afterwards.
        if self
            .row()
            .is_some_and(|r| r.setting.as_deref() == Some("active"))
        {
            out.push(Condition::ServerActive { component });
        }
        if component != Component::TarsAdminRegistry && framework.admin.present().is_some() {
            let key = tarsops_model::framework::server_key(component, self.node);
            let view = framework.admin.present().and_then(|a| a.servers.get(&key));
            if view.is_some_and(|v| v.present().is_some_and(|v| v.in_node == "Active")) {
                out.push(Condition::ServerInNode { component });
            }
        }
        out
    }
}
