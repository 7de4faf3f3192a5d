//! Waiting until the nodes have rewritten their locators after a registry was added or removed.
//!
//! A running tarsnode looks at the database's template and rows each minute and writes its
//! configuration again (`NodeServer/NodeServer.cpp`, onUpdateConfig). Nothing is edited here.

use std::time::Duration;

use tarsops_conf::{Document, tarsnode};
use tarsops_model::agent::AgentFacts;
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tokio::time::Instant;

use crate::look::look_at;
use crate::progress::Progress;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;

/// A tarsnode looks each minute, and a registry reads changed rows every 13 s.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at the nodes that have not followed yet.
const PAUSE: Duration = Duration::from_secs(10);

/// Waits until every node that runs names the registry, or does not any more.
pub(crate) async fn follow(
    run: &Run<'_>,
    registry: &Endpoint,
    named: bool,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let began = Instant::now();
    let mut waiting: Vec<NodeName> = run
        .desired
        .hosts()
        .filter(|(_, host)| host.state == NodeState::Present)
        .map(|(node, _)| node.clone())
        .collect();
    let mut silent = Vec::new();
    let mut reported = 0;
    let at_most = Waiting::until(began + PATIENCE, "checking the locators");
    loop {
        let (still, unseen) = look(run, &waiting, registry, named).await;
        silent.extend(unseen);
        waiting = still;
        if waiting.is_empty() {
            break;
        }
        let word = if named { "name" } else { "no longer name" };
        at_most.say(match (waiting.len(), named) {
            (1, true) => format!("1 node does not name {registry} yet"),
            (n, true) => format!("{n} nodes do not name {registry} yet"),
            (1, false) => format!("1 node still names {registry}"),
            (n, false) => format!("{n} nodes still name {registry}"),
        });
        if reported != waiting.len() {
            reported = waiting.len();
            run.progress.event(&Progress::Waiting {
                step: &end.step,
                nodes: reported,
                what: word,
            });
        }
        if began.elapsed() > PATIENCE {
            let names: Vec<&str> = waiting.iter().map(NodeName::as_str).collect();
            return Err(Verdict::LeftFailed(format!(
                "the rows are right, and after {} s the locators of {} do not {word} {registry}",
                PATIENCE.as_secs(),
                names.join(", ")
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(NodeName::as_str).collect();
        end.log.push(format!(
            "whether the locators of {} have followed could not be seen",
            names.join(", ")
        ));
    }
    Ok(())
}

/// The nodes that have not followed, and those that could not be seen.
async fn look(
    run: &Run<'_>,
    nodes: &[NodeName],
    registry: &Endpoint,
    named: bool,
) -> (Vec<NodeName>, Vec<NodeName>) {
    use futures::StreamExt as _;
    let mut looks = futures::stream::iter(nodes.iter().map(|node| async move {
        let seen = look_at(run, node).await.ok();
        let follows = seen.map(|seen| match seen.agent(node) {
            Observed::Present(agent) => has_followed(agent, registry, named),
            // Nothing of it runs that could follow.
            Observed::Absent => true,
            Observed::Unknown(_) => false,
        });
        (node.clone(), follows)
    }))
    .buffered((run.desired.parallel as usize).max(1));
    let (mut waiting, mut silent) = (Vec::new(), Vec::new());
    while let Some((node, follows)) = looks.next().await {
        match follows {
            Some(true) => {}
            Some(false) => waiting.push(node),
            None => silent.push(node),
        }
    }
    (waiting, silent)
}

fn has_followed(agent: &AgentFacts, registry: &Endpoint, named: bool) -> bool {
    let runs = agent.processes.present().is_some_and(|p| !p.is_empty());
    let Some(conf) = agent.conf.present() else {
        return !runs;
    };
    let names = Document::parse(&conf.text).is_ok_and(|document| {
        let locator = tarsnode::read(&document).locator;
        locator.contains(&(registry.host.to_string(), registry.port))
    });
    // What does not run follows when it starts.
    !runs || names == named
}
