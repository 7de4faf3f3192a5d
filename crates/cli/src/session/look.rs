//! Looking at hosts and asking the framework.

use std::collections::BTreeMap;
use std::time::Instant;

use tarsops_model::host::KeyExchange;
use tarsops_model::names::NodeName;
use tarsops_probe::{ConsoleLook, DockerLook, Options, Report};

use super::Session;
use crate::progress::Bar;
use crate::runs::now;

/// From how many hosts on it is worth a word what their connections cost.
const MANY: usize = 20;

impl Session {
    /// Looks at all nodes in scope.
    pub async fn look(&self, bar: &Bar) -> Report {
        self.look_again(&self.nodes(), bar).await
    }

    /// Looks at `nodes`, and asks the framework of all that are in scope.
    pub async fn look_again(&self, nodes: &[NodeName], bar: &Bar) -> Report {
        let all = self.nodes();
        let (mut report, framework, console) = tokio::join!(
            self.look_at(nodes, bar),
            self.ask(&all),
            self.console_state()
        );
        report.inventory.framework = framework.map(|mut facts| {
            facts.console = console;
            facts
        });
        report
    }

    /// Looks at `nodes`. Nodes are grouped by install path, as that goes into the script.
    pub async fn look_at(&self, nodes: &[NodeName], bar: &Bar) -> Report {
        let mut groups: BTreeMap<String, Vec<NodeName>> = BTreeMap::new();
        for node in nodes {
            groups
                .entry(self.desired().install_path_on(node).to_string())
                .or_default()
                .push(node.clone());
        }
        bar.start(nodes.len());
        let began = Instant::now();
        let at = now();
        let parallel = (self.desired().parallel as usize).max(1);
        // The groups share the bound: each gets its part, and at least one.
        let share = (parallel / groups.len().max(1)).max(1);
        let mut report = Report::default();
        let mut groups: Vec<(String, Vec<NodeName>)> = groups.into_iter().collect();
        while !groups.is_empty() {
            let wave: Vec<_> = groups.drain(..groups.len().min(parallel)).collect();
            let looks = wave.iter().map(|(_, nodes)| {
                let options = Options {
                    install_path: self.desired().install_path_on(&nodes[0]),
                    cluster: self.desired().cluster.clone(),
                    run_user: self.desired().run_user.clone(),
                    rehash: self.rehash,
                    fence: None,
                    parallel: share,
                    deadline: self.timeout,
                    servers: tarsops_plan::components::LOOKED_AT.to_vec(),
                    docker: DockerLook::of(self.desired()),
                    console: ConsoleLook::of(self.desired()),
                };
                async move {
                    tarsops_probe::look_at_all(&*self.connector, nodes, &options, at, &|s| {
                        bar.seen(s)
                    })
                    .await
                }
            });
            for part in futures::future::join_all(looks).await {
                report.inventory.resources.extend(part.inventory.resources);
                report.faults.extend(part.faults);
            }
        }
        report.inventory.observed_at = at;
        report.faults.sort_by(|a, b| a.0.cmp(&b.0));
        bar.finish();
        let access = nodes
            .iter()
            .filter_map(|node| self.desired().access.get(node));
        let dear = access.filter(|a| a.key_exchange == KeyExchange::Configured);
        let dear = dear.count();
        if dear >= MANY {
            tracing::warn!(
                hosts = dear,
                seconds = began.elapsed().as_secs_f32(),
                "`ssh.key_exchange: curve25519` in the spec makes connections cheaper, and gives up the protection against quantum computers"
            );
        }
        report
    }
}
