//! What should run and does not.

use tarsops_model::desired::Rpc;
use tarsops_model::observed::Observed;

use crate::actions::StartServer;
use crate::basic;
use crate::condition::Condition;
use crate::drift::{DriftKind, FieldChange};
use crate::plan::{ChangeKind, Stage, Step};
use crate::report::{Blocked, Line};
use crate::tables::framework;

use super::{ServerAssessment, ServerContext};

impl ServerContext<'_> {
    /// A basic service that is set active, has its program, and does not run: AdminRegistry starts
    /// it. Its tarsnode does not where a start has failed before (`NodeServer/KeepAliveThread.cpp`).
    pub(super) fn down(&self) -> Option<ServerAssessment> {
        let (input, component, node) = (self.input, self.component, self.node);
        let Observed::Present(all) = &self.facts.processes else {
            return None;
        };
        let digest = self.facts.binary.present()?.digest;
        let set = self.row()?.setting.as_deref() == Some("active");
        let runs_as = |user: &str| {
            let seen = input.inventory.agent(node);
            let all = seen.present().and_then(|a| a.processes.present());
            all.is_some_and(|all| all.iter().any(|p| p.user == user))
        };
        let user = input.desired.agent(node)?.run_user.to_string();
        let able = input.desired.database().is_some()
            && input.desired.rpc != Rpc::Off
            && basic::admin_silent(input).is_none();
        if !component.is_basic() || !all.is_empty() || !set || !able || !runs_as(&user) {
            return None;
        }
        let machine = Condition::Machine {
            id: self.host.machine_id.present()?.clone(),
        };
        let mut work = ServerAssessment {
            drift: Some(DriftKind::Changed {
                fields: vec![FieldChange::new("process", "not running", "running")],
            }),
            ..ServerAssessment::default()
        };
        let port = component.servants().first().map(|(_, port)| *port);
        let held = |port: &u16| {
            self.host
                .ports
                .present()
                .is_some_and(|all| all.contains(port))
        };
        let why = match port.filter(held) {
            Some(port) => Some(Blocked::PortTakenOf { component, port }),
            None => self.unreadable_template(),
        };
        if let Some(why) = why {
            let resource = self.resource();
            work.lines.push(Line::Blocked { resource, why });
            return Some(work);
        }
        let mut post = vec![
            Condition::ServerRuns {
                component,
                digest: Some(digest),
                user,
            },
            Condition::ServerListens { component },
            Condition::ServerActive { component },
        ];
        let mut asked = framework(input)?.servants.values();
        if asked.any(|a| a.component == component && a.node == *node) {
            post.push(Condition::ServantsAnswer { component });
        }
        work.step = Some(Step::new(
            format!("{component}.start@{node}"),
            (Stage::BasicServices, ChangeKind::Change),
            format!("start {component} through AdminRegistry"),
            StartServer {
                component,
                node: node.clone(),
            },
            vec![machine, Condition::Unfinished { run: None }],
            post,
        ));
        Some(work)
    }
}
