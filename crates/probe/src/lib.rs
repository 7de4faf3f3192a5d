//! Looking at hosts: one connection, one script, one framed answer, an inventory.
//!
//! This crate only reads. It knows no plan and takes no decision: what could not be seen becomes
//! [`Observed::Unknown`](tarsops_model::observed::Observed) with the reason, and a host that does
//! not answer is an entry like any other.

mod answer;
mod find;
mod limits;
mod network;
mod script;

use answer::Answer;
pub use answer::AnswerError;
pub use find::{FoundAgent, find_agents};
pub use script::{ConsoleLook, DockerLook, Look, probe_script};

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::console::ConsoleFacts;
use tarsops_model::host::HostFacts;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{AbsPath, ClusterName, NodeName, RunId, UserName};
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;
use tarsops_transport::{Bounds, Connect, Fault, FaultKind, Remote};

/// How to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The cluster, whose own folder on a host is looked at.
    pub cluster: ClusterName,
    /// User that the framework runs as.
    pub run_user: UserName,
    /// Whether digests are read again rather than remembered.
    pub rehash: bool,
    /// Hosts that are looked at at once.
    pub parallel: usize,
    /// How long one host may take to answer.
    pub deadline: Duration,
    /// The run that means to change the hosts, if one does: older ones do not begin there any more.
    pub fence: Option<RunId>,
    /// Components other than `tarsnode` to look at.
    pub servers: Vec<Component>,
    /// The framework's container, where the spec has containers.
    pub docker: Option<DockerLook>,
    /// The management platform, where the spec names one that is no part of a container. Only a look at
    /// its node looks at it.
    pub console: Option<ConsoleLook>,
}

impl Options {
    /// The folder of the framework.
    fn tars(&self) -> String {
        format!("{}/tars", self.install_path)
    }

    /// The management platform, if it is on `node`.
    fn console_on(&self, node: &NodeName) -> Option<&ConsoleLook> {
        self.console.as_ref().filter(|look| look.node == *node)
    }
}

/// What one look at one host gave.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The node.
    pub node: NodeName,
    /// Its machine.
    pub host: Observed<HostFacts>,
    /// Its tarsnode.
    pub agent: Observed<AgentFacts>,
    /// Its other components, as far as they were asked for.
    pub servers: BTreeMap<Component, Observed<ServerFacts>>,
    /// The management platform, where it was asked for.
    pub console: Option<Observed<ConsoleFacts>>,
    /// Why the host could not be looked at, if it could not.
    pub fault: Option<Fault>,
    /// How long it took, connecting included.
    pub took: Duration,
}

impl Seen {
    fn failed(node: &NodeName, options: &Options, fault: Fault, took: Duration) -> Self {
        let why = fault.text.clone();
        let console = options.console_on(node);
        Self {
            node: node.clone(),
            host: Observed::Unknown(why.clone()),
            agent: Observed::Unknown(why),
            servers: BTreeMap::new(),
            console: console.map(|_| Observed::Unknown(fault.text.clone())),
            fault: Some(fault),
            took,
        }
    }
}

impl Seen {
    /// Records it.
    pub fn into(self, inventory: &mut Inventory) {
        inventory.insert(&self.node, self.host, self.agent);
        for (component, facts) in self.servers {
            inventory.insert_server(component, &self.node, facts);
        }
        if let Some(console) = self.console {
            inventory.insert_console(console);
        }
    }
}

/// What a look at many hosts gave.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The facts.
    pub inventory: Inventory,
    /// Hosts that could not be looked at, in the order of their names.
    pub faults: Vec<(NodeName, Fault)>,
}

/// What nobody on a host can guess: there it ends what programs print.
fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// Looks at one connected host.
pub async fn look(
    node: &NodeName,
    remote: &dyn Remote,
    options: &Options,
    now: i64,
) -> Result<Seen, Fault> {
    let began = Instant::now();
    let nonce = nonce();
    let script = probe_script(&Look {
        nonce: nonce.clone(),
        install_path: options.install_path.clone(),
        cluster: options.cluster.clone(),
        seconds: options.deadline.as_secs().max(1),
        run_user: options.run_user.clone(),
        rehash: options.rehash,
        fence: options.fence.clone(),
        servers: options.servers.clone(),
        docker: options.docker.clone(),
        console: options.console_on(node).map(|look| look.folder.clone()),
    });
    let output = remote
        .ask(&script, Bounds::new(Bounds::LOOK, options.deadline))
        .await?;
    let answer = answer::read(&output.stdout, &nonce, options, now).map_err(|e| {
        tracing::debug!(node = %node, stderr = %output.stderr, status = ?output.status, "no probe answer");
        let said = output.stderr.lines().last().unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        Fault::new(e.kind(), format!("its answer cannot be read: {e}{said}"))
    })?;
    let Answer {
        mut host,
        agent,
        servers,
        console,
    } = answer;
    host.clock_skew = skew_within(host.clock_skew, began.elapsed());
    Ok(Seen {
        node: node.clone(),
        host: Observed::Present(host),
        agent,
        servers,
        console: options.console_on(node).map(|_| {
            console.map_or_else(
                || Observed::Unknown("the host did not report it".to_owned()),
                Observed::Present,
            )
        }),
        fault: None,
        took: began.elapsed(),
    })
}

/// The skew that is proven: the host read its clock at some moment while we waited, and `apparent`
/// compares that with the moment of asking. A slow login is no wrong clock.
fn skew_within(apparent: i64, waited: Duration) -> i64 {
    let waited = i64::try_from(waited.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    if apparent <= 0 {
        return apparent;
    }
    apparent.saturating_sub(waited).max(0)
}

/// Looks at all `nodes`, a bounded number at once. `progress` is told of each host as it is done.
pub async fn look_at_all(
    connect: &dyn Connect,
    nodes: &[NodeName],
    options: &Options,
    now: i64,
    progress: &(dyn Fn(&Seen) + Sync),
) -> Report {
    let mut report = Report {
        inventory: Inventory {
            observed_at: now,
            ..Inventory::default()
        },
        faults: vec![],
    };
    let began = Instant::now();
    let mut stream = futures::stream::iter(nodes.iter().map(|node| async move {
        let start = Instant::now();
        let deadline = options.deadline + Duration::from_secs(5);
        let seen = tokio::time::timeout(deadline * 2, async {
            let remote = connect.connect(node).await?;
            // The clock is compared with the moment of asking, not with the start of the run.
            let at = now + i64::try_from(began.elapsed().as_secs()).unwrap_or(0);
            look(node, &*remote, options, at).await
        })
        .await
        .unwrap_or_else(|_| Err(Fault::new(FaultKind::TimedOut, "no answer in time")));
        match seen {
            Ok(seen) => Seen {
                took: start.elapsed(),
                ..seen
            },
            Err(fault) => {
                connect.forget(node).await;
                Seen::failed(node, options, fault, start.elapsed())
            }
        }
    }))
    .buffer_unordered(options.parallel.max(1));
    while let Some(seen) = stream.next().await {
        progress(&seen);
        if let Some(fault) = seen.fault.clone() {
            report.faults.push((seen.node.clone(), fault));
        }
        seen.into(&mut report.inventory);
    }
    report.faults.sort_by(|a, b| a.0.cmp(&b.0));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let seconds = Duration::from_millis;
        assert_eq!(skew_within(4, seconds(3600)), 0);
        assert_eq!(skew_within(0, seconds(10)), 0);
        assert_eq!(skew_within(9, seconds(3600)), 5);
        assert_eq!(skew_within(-7, seconds(3600)), -7);
    }
}
