//! Looking at a cluster of which one host is known, until another look would show nothing new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tarsops_model::names::{AbsPath, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_plan::adopt::propose;
use tarsops_probe::{FoundAgent, Report, find_agents};
use tarsops_transport::{Connect as _, Fault};

use super::seen::Seen;
use super::{given, keys, packages};
use crate::args::{Adopt, Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::is_progress_terminal;
use crate::progress::Bar;
use crate::session::{Session, preflight};
use crate::spec_file::{self, Loaded};
use crate::store::Store;
use crate::style::colored;

/// Looks at most: the first host, the nodes that the framework knows, those whose path was another one,
/// and the framework once more as the whole spec asks it.
const PASSES: usize = 5;

/// How hosts are looked at here.
fn options(adopt: &Adopt) -> Look {
    Look {
        on: vec![],
        rehash: false,
        accept_new_host_keys: false,
        allow_commands: false,
        without_console: false,
        timeout: adopt.timeout,
    }
}

/// Looks until nothing new is learned.
pub async fn look(global: &Global, adopt: &Adopt) -> Result<Seen> {
    let color = colored(global, is_progress_terminal());
    let mut given = given::first(adopt)?;
    let nothing = Report::default().inventory;
    let seed = propose(&given, &nothing, &Catalog::default());
    let session = open(adopt, spec_file::of_text(&seed.text, &adopt.out, color)?)?;
    let agent = start(adopt, &session).await?;
    let packages = packages::pin(
        &session.store,
        given.packages.as_deref(),
        &session.loaded.dir,
        given.version,
    )?;
    session.close().await;
    given::take(&mut given, adopt, &agent)?;
    let bar = Bar::new("looking at");
    let mut report = Report::default();
    let mut looked: BTreeMap<NodeName, AbsPath> = BTreeMap::new();
    let mut last = None;
    for pass in 0..PASSES {
        let proposal = propose(&given, &report.inventory, &packages.catalog());
        if last.as_ref() == Some(&proposal.text) {
            break;
        }
        let loaded = spec_file::of_text(&proposal.text, &adopt.out, color)?;
        last = Some(proposal.text);
        let session = open(adopt, loaded)?;
        if pass == 0 {
            session.ready().await?;
        }
        let nodes = session.nodes();
        let path_of = |node: &NodeName| session.desired().install_path_on(node);
        let todo: Vec<NodeName> = nodes
            .iter()
            .filter(|n| looked.get(*n) != Some(&path_of(n)))
            .cloned()
            .collect();
        let part = session.look_again(&todo, &bar).await;
        preflight::check_look(&part)?;
        for node in &todo {
            looked.insert(node.clone(), path_of(node));
        }
        let silent: BTreeSet<&NodeName> = part.faults.iter().map(|(n, _)| n).collect();
        let lost: Vec<NodeName> = todo
            .iter()
            .filter(|n| !silent.contains(n) && !has_own(&part, n))
            .cloned()
            .collect();
        report.faults.retain(|(node, _)| !todo.contains(node));
        report.faults.extend(part.faults);
        report.inventory.resources.extend(part.inventory.resources);
        report.inventory.framework = part.inventory.framework;
        report.inventory.observed_at = part.inventory.observed_at;
        for (node, path) in find(adopt, &session, &lost).await {
            if path == path_of(&node) {
                continue;
            }
            // What was seen below another path says nothing of this node.
            let resources = &mut report.inventory.resources;
            resources.retain(|id, _| id.node() != Some(&node));
            given.install_paths.insert(node, path);
        }
        session.close().await;
    }
    report.faults.sort_by(|a, b| a.0.cmp(&b.0));
    Seen::new(given, report, packages, &adopt.out, color)
}

/// A session of a spec that is not written yet.
fn open(adopt: &Adopt, loaded: Loaded) -> Result<Session> {
    let store = Store::open(&adopt.out, &loaded)?;
    Session::with(loaded, store, &options(adopt))
}

/// The tarsnode of the host at which the adoption begins.
async fn start(adopt: &Adopt, session: &Session) -> Result<FoundAgent> {
    let node = session.desired().master.clone();
    let timeout = Duration::from_secs(adopt.timeout);
    let found = async {
        let remote = session.connector.connect(&node).await?;
        find_agents(&*remote, &node, timeout).await
    };
    let found = match found.await {
        Ok(found) => found,
        Err(fault) => return Err(unreached(adopt, session, &node, &fault).await),
    };
    let is_meant = |a: &&FoundAgent| {
        let ip = a.localip.map(|ip| ip.to_string());
        a.nodeid.as_ref().map(NodeName::as_str) == Some(&*adopt.from)
            || ip.as_deref() == Some(&*adopt.from)
    };
    let own: Vec<&FoundAgent> = found.iter().filter(|a| !a.is_inside).collect();
    let all = if own.is_empty() {
        found.iter().collect()
    } else {
        own
    };
    let paths: BTreeSet<_> = all.iter().map(|a| (&a.install_path, &a.nodeid)).collect();
    let only = all.first().filter(|_| paths.len() == 1);
    match (all.iter().find(|a| is_meant(a)), only) {
        (Some(agent), _) | (None, Some(agent)) => Ok((*agent).clone()),
        (None, None) if all.is_empty() => Err(Failure::new(format!(
            "no tarsnode was seen on {}",
            adopt.from
        ))
        .hint("name a host of the framework with --from; if one runs there, its user or root must look (--ssh-user, --ssh-become)")
        .code(exit::INCOMPLETE)),
        (None, None) => Err(Failure::new(format!(
            "{} tarsnodes run on {from}, and none of them is the node {from}",
            paths.len(),
            from = adopt.from
        ))
        .about(all.iter().map(|a| a.install_path.to_string()))
        .hint("give --from as the name of the node that is meant")
        .code(exit::INCOMPLETE)),
    }
}

/// Why the first host could not be asked.
async fn unreached(adopt: &Adopt, session: &Session, node: &NodeName, fault: &Fault) -> Failure {
    let faults = vec![(node.clone(), fault.clone())];
    let keys = keys::candidates(adopt, session.desired(), &faults).await;
    let failure = Failure::new(format!("could not ask {}; nothing was written", adopt.from))
        .because(fault)
        .code(exit::INCOMPLETE);
    match keys {
        Ok(Some(keys)) => failure.about(keys.lines()).hint(keys.hint()),
        _ => failure.hint(fault.kind.hint()),
    }
}

/// Whether a look has found a tarsnode of the node itself, and not none or that of another node.
fn has_own(report: &Report, node: &NodeName) -> bool {
    let Observed::Present(agent) = report.inventory.agent(node) else {
        return false;
    };
    let mut processes = agent.processes.present().into_iter().flatten();
    processes.any(|p| p.nodeid.as_deref() == Some(node.as_str()))
}

/// Where tarsnode lies on hosts that have none at the path of the others.
async fn find(adopt: &Adopt, session: &Session, nodes: &[NodeName]) -> Vec<(NodeName, AbsPath)> {
    use futures::StreamExt as _;
    let timeout = Duration::from_secs(adopt.timeout);
    let asked = nodes.iter().map(|node| async move {
        let remote = session.connector.connect(node).await.ok()?;
        let found = find_agents(&*remote, node, timeout).await.ok()?;
        let own: Vec<&FoundAgent> = found.iter().filter(|a| !a.is_inside).collect();
        let named = own.iter().find(|a| a.nodeid.as_ref() == Some(node));
        let only = own.first().filter(|_| own.len() == 1);
        let path = named.or(only)?.install_path.clone();
        Some((node.clone(), path))
    });
    let parallel = (session.desired().parallel as usize).max(1);
    let all: Vec<Option<_>> = futures::stream::iter(asked)
        .buffer_unordered(parallel)
        .collect()
        .await;
    all.into_iter().flatten().collect()
}
