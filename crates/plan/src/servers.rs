//! Core services: tarsregistry, tarsAdminRegistry, tarsconfig and tarspatch are brought to the
//! version of the spec where they are installed.
//!
//! Their version is known by digest, of the file and of the process. What must stay true: a binary
//! that no lock file knows is shown and left alone; a server that somebody has set inactive is not
//! started; and a component of which the lock file knows nothing at all is not compared, so that a
//! cluster of which only tarsnode is pinned stays as quiet as it was.

use tarsops_model::component::Component;
use tarsops_model::desired::Server;
use tarsops_model::framework::ServerRow;
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;

use crate::actions::{HostChange, Operation};
use crate::basic;
use crate::components;
use crate::condition::Condition;
use crate::drift::DriftKind;
use crate::input::PlanInput;
use crate::plan::Step;
use crate::report::{Blocked, Line};
use crate::tables::framework;
use crate::{tables, templates};

mod change;
mod compared;
mod down;
mod work;

use compared::Compared;
pub(crate) use work::ServerAssessment;

/// Compares `component` on `node`, whose machine is the node's, with the spec.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    server: &Server,
    host: &HostFacts,
) -> ServerAssessment {
    let mut work = ServerAssessment::default();
    let facts = match input.inventory.server(component, node) {
        Observed::Present(facts)
            if component.is_basic()
                && !components::is_placed(component)
                && basic::is_undeployed(input, component, node) =>
        {
            return basic::missing(input, component, node, spec, server, host, Some(facts));
        }
        Observed::Present(facts) => facts,
        Observed::Unknown(why) => {
            work.drift = Some(DriftKind::Unknown { why: vec![why] });
            return work;
        }
        Observed::Absent if component.is_basic() && !components::is_placed(component) => {
            return basic::missing(input, component, node, spec, server, host, None);
        }
        // What can be placed is told, with what it takes, by the expansion of its host.
        Observed::Absent if components::is_placed(component) => return work,
        Observed::Absent => {
            let resource = ResourceId::Server(component, node.clone());
            work.lines.push(Line::Blocked {
                resource,
                why: Blocked::NotInstalled { component },
            });
            work.drift = Some(DriftKind::Missing);
            return work;
        }
    };
    // It runs as its node's tarsnode does, whoever of them was looked up first.
    let mut server = server.clone();
    if let Some(agent) = input.desired.agent(node) {
        server.run_user.clone_from(&agent.run_user);
    }
    let server = &server;
    let mut compared = Compared::of(input, component, server, facts);
    if component.is_basic() {
        compared.restart_pending(component, host);
        let runs = Some(facts.runs());
        let rows = basic::rows::compare(input, component, node, spec, server, host, runs);
        compared.fields.extend(rows.fields);
        compared.blocked.extend(rows.blocked);
        compared.stale |= !rows.edits.is_empty();
        compared.rows = rows.edits;
    }
    let look = ServerContext {
        input,
        component,
        node,
        spec,
        server,
        host,
        facts,
    };
    look.finish(compared)
}

struct ServerContext<'a> {
    input: &'a PlanInput<'a>,
    component: Component,
    node: &'a NodeName,
    spec: &'a Host,
    server: &'a Server,
    host: &'a HostFacts,
    facts: &'a ServerFacts,
}

impl ServerContext<'_> {
    fn resource(&self) -> ResourceId {
        ResourceId::Server(self.component, self.node.clone())
    }

    fn row(&self) -> Option<&ServerRow> {
        let rows = framework(self.input)?.rows().present()?.servers.present()?;
        tables::row(rows, self.component, self.node)
    }

    fn finish(&self, compared: Compared) -> ServerAssessment {
        let mut work = ServerAssessment::default();
        let Compared {
            fields,
            mut unknown,
            mut blocked,
            file,
            after,
            stale,
            rows,
            owed,
        } = compared;
        let reads = owed || !rows.is_empty();
        if fields.is_empty() && unknown.is_empty() && blocked.is_empty() && !stale {
            return self.down().unwrap_or_default();
        }
        let runs = self.facts.runs();
        let publishes = self.component.is_basic() && file.is_some();
        if publishes || reads {
            match basic::setting(self.input, self.component, self.node) {
                Observed::Present(active) if active => {}
                // A task would start what somebody has stopped.
                Observed::Present(_) => {
                    let to = &self.server.version;
                    work.lines.push(Line::Waiting {
                        resource: self.resource(),
                        why: if publishes {
                            format!(
                                "it is set inactive, and publishing would start it; {to} is published once it is set active"
                            )
                        } else {
                            "it is set inactive; its rows are changed to the spec once it is set active".to_owned()
                        },
                    });
                    return work;
                }
                other => {
                    let why = other.unknown().unwrap_or("the database has no row of it");
                    unknown.push(format!("whether it should run: {why}"));
                }
            }
        }
        // Whoever stopped it knows why; whoever starts it then gets the new binary.
        let restart = stale && (runs || publishes || reads);
        let change = if unknown.is_empty() && blocked.is_empty() {
            let rows = reads.then_some(rows);
            self.change(&fields, file, rows, restart, &mut unknown, &mut blocked)
        } else {
            None
        };
        let kind = if unknown.is_empty() {
            DriftKind::Changed { fields }
        } else {
            DriftKind::Unknown { why: unknown }
        };
        work.drift = Some(kind);
        let blocking = blocked.into_iter().map(|why| Line::Blocked {
            resource: self.resource(),
            why,
        });
        work.lines.extend(blocking);
        let Some(change) = change else { return work };
        if !runs && !restart {
            work.lines.push(Line::Note {
                resource: self.resource(),
                text: "it does not run; it is not started, and runs the new binary when it is"
                    .to_owned(),
            });
        }
        work.step = Some(self.step(change, after, restart));
        work
    }

    fn unreadable_template(&self) -> Option<Blocked> {
        let row = self.row().and_then(|r| r.template.clone());
        templates::unreadable_template(self.input, self.component, row, self.server)
    }
}

/// Has the step that starts a registry put the new binary there first.
pub(crate) fn start_with(start: &mut Step, change: Step) {
    let (Some(into), Some(from)) = (
        start.action.get_mut::<HostChange>(),
        change.action.get::<HostChange>(),
    ) else {
        return;
    };
    let (Operation::Modify(modify), Operation::Modify(from)) =
        (&mut into.operation, &from.operation)
    else {
        return;
    };
    for file in &from.files {
        start.pre.push(Condition::File {
            path: file.path.clone(),
            digest: file.before,
        });
    }
    modify.files.clone_from(&from.files);
    start.post.extend(change.post);
    start.summary = format!("{}, and start it", change.summary);
    into.summary.clone_from(&start.summary);
    start.undo = start.action.undo(start.sign);
}
