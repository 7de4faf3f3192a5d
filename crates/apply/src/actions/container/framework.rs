//! What the framework has to say before a container counts as healthy: that its programs run in it says
//! nothing of what it serves.

use std::collections::BTreeSet;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::framework::{FrameworkFacts, ServerRow, server_key};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_plan::condition::Condition;
use tokio::time::Instant;

use crate::gate::{Watched, follow_all, pass_gate};
use crate::job::Job;
use crate::verdict::Failed;

/// What the framework has to say of `node` afterwards: what the plan wants, and of each server of the
/// node what it said before. One that was inactive before is not waited for, as its start is undone.
pub(super) fn wanted(
    planned: &[Condition],
    node: &NodeName,
    desired: &Desired,
    before: &Inventory,
) -> Vec<Condition> {
    let mut out = planned.to_vec();
    let mut add = |condition: Condition| {
        if !out.contains(&condition) {
            out.push(condition);
        }
    };
    let Some(framework) = before.framework.as_deref() else {
        return out;
    };
    let ip = desired.host(node).map(|host| host.ip);
    for registry in &desired.registries {
        let own = ip.is_some_and(|ip| *registry == Endpoint::at(ip, registry.port));
        let answered = framework.registries.get(registry);
        if own && answered.is_some_and(|a| a.is_alive()) {
            let registry = registry.clone();
            add(Condition::RegistryAnswers { registry });
        }
    }
    let active = active_servers(framework, node);
    let components = Component::ALL.iter().copied();
    for component in components.filter(|c| active.contains(&format!("tars.{c}"))) {
        let mut asked = framework.servants.values();
        if component != Component::Tarsregistry
            && asked.any(|a| a.component == component && a.node == *node && a.answer.is_alive())
        {
            add(Condition::ServantsAnswer { component });
        }
        let admin = framework.admin.present();
        let view = admin.and_then(|a| a.servers.get(&server_key(component, node)));
        if component != Component::TarsAdminRegistry
            && view.is_some_and(|v| v.present().is_some_and(|v| v.in_node == "Active"))
        {
            add(Condition::ServerInNode { component });
        }
    }
    if !active.is_empty() {
        add(Condition::ServersActive { servers: active });
    }
    out
}

/// The servers of a node that are active and should be, business services included.
fn active_servers(framework: &FrameworkFacts, node: &NodeName) -> BTreeSet<String> {
    let rows = framework.rows();
    let rows = rows.present().and_then(|rows| rows.servers.present());
    let is_active = |row: &&ServerRow| {
        row.node == node.as_str()
            && row.present.as_deref() == Some("active")
            && row.setting.as_deref() == Some("active")
    };
    let active = rows.into_iter().flatten().filter(is_active);
    active.map(ServerRow::full_name).collect()
}

/// Waits until the framework has said so for `settle` seconds.
///
/// # Errors
/// [`Failed::Undo`] where it says something else when the deadline is over; where it says nothing, the
/// container is left.
pub(super) async fn healthy(
    job: &Job<'_>,
    wanted: &[Condition],
    settle: u64,
) -> Result<(), Failed> {
    let (run, settle) = (job.run, Duration::from_secs(settle));
    let watched = Watched::default();
    let until = Instant::now() + run.deadline() + settle;
    tokio::select! {
        biased;
        passed = pass_gate(run.desired.policy.deadline, until, settle, &watched) => passed,
        never = follow_all(run, job.node, wanted, settle, &watched) => match never {},
    }
}
