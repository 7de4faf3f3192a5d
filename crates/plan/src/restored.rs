//! What the framework must report of a component that was restored, before the next host is stopped.
//!
//! A host is healthy as soon as its process runs and listens. The framework resolves its servers only once
//! it has registered: whoever stops the next host before that may stop the last endpoint of a servant.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::framework::{FrameworkFacts, ServerRow};

use crate::actions::{Folder, HostChange, Process};
use crate::condition::Condition;

/// What the framework must report after `change` has restored a component that runs, so far as it could
/// be asked. `servers` are the rows of the node's servers; those in `removed` (`application.server`) are
/// gone by then.
#[must_use]
pub fn conditions(
    framework: &FrameworkFacts,
    servers: &[&ServerRow],
    change: &HostChange,
    removed: &BTreeSet<String>,
) -> Vec<Condition> {
    let restarts = change
        .restore()
        .is_some_and(|restore| restore.process == Process::Restart);
    if !restarts || change.folder() != Folder::Keep {
        return vec![];
    }
    let component = change.component;
    if component == Component::Tarsnode {
        return of_tarsnode(framework, servers, removed);
    }
    let mut out = Vec::new();
    let mut servants = framework.servants.values();
    if component != Component::Tarsregistry
        && servants.any(|asked| asked.component == component && asked.node == change.node)
    {
        out.push(Condition::ServantsAnswer { component });
    }
    let is_resolved = servers.iter().any(|row| {
        row.application == "tars"
            && row.server == component.name()
            && row.setting.as_deref() == Some("active")
    });
    if is_resolved {
        out.push(Condition::ServerActive { component });
    }
    out
}

/// The same of a whole node: its tarsnode and the servers that it starts.
pub(crate) fn of_tarsnode(
    framework: &FrameworkFacts,
    servers: &[&ServerRow],
    removed: &BTreeSet<String>,
) -> Vec<Condition> {
    let mut out = Vec::new();
    let rows = framework.rows();
    // What could not be read is waited for all the same: that is no evidence that nothing is to be
    // waited for. AdminRegistry is not: it resolves nothing, and its turn comes after tarsnode's.
    let nodes_count = match rows.present() {
        Some(rows) => !rows.nodes.is_absent(),
        None => rows.unknown().is_some(),
    };
    out.extend(nodes_count.then_some(Condition::Registered));
    out.extend(
        framework
            .admin
            .present()
            .is_some()
            .then_some(Condition::Connected),
    );
    if are_servers_unread(framework) {
        let but = removed.clone();
        out.push(Condition::AllServersActive { but });
        return out;
    }
    let active = |row: &&ServerRow| {
        row.present.as_deref() == Some("active") && row.setting.as_deref() == Some("active")
    };
    let servers: BTreeSet<String> = servers
        .iter()
        .copied()
        .filter(active)
        .map(ServerRow::full_name)
        .filter(|name| !removed.contains(name))
        .collect();
    out.extend((!servers.is_empty()).then_some(Condition::ServersActive { servers }));
    out
}

/// Whether it could not be read which servers a node has.
pub(crate) fn are_servers_unread(framework: &FrameworkFacts) -> bool {
    let rows = framework.rows();
    match rows.present() {
        Some(rows) => rows.servers.unknown().is_some(),
        None => rows.unknown().is_some(),
    }
}

/// Whether it could not be read which nodes have endpoints of the same servant.
pub(crate) fn are_endpoints_unread(framework: &FrameworkFacts) -> bool {
    let rows = framework.rows();
    are_servers_unread(framework)
        || rows
            .present()
            .is_some_and(|rows| rows.adapters.unknown().is_some())
}
