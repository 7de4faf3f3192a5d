//! What is seen of a host before a step on it.

use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_plan::condition::Condition;
use tokio::time::Instant;

use crate::job::Job;
use crate::look::{holds, observe, ready};
use crate::port::Host;
use crate::verdict::Verdict;

/// What is seen of a host before a step on it.
pub(crate) struct Sight {
    pub(crate) seen: Inventory,
    /// When the host had been looked at.
    pub(crate) looked: Instant,
    /// What must hold after the step, by the framework.
    pub(crate) wanted: Vec<Condition>,
    /// What must hold after the step, by its host.
    pub(crate) local: Vec<Condition>,
}

impl Sight {
    /// Looks at the host, and asks the framework where its answer counts.
    pub(crate) async fn of(
        job: &Job<'_>,
        remote: &dyn Host,
        component: Option<Component>,
        is_registry: bool,
    ) -> Result<Self, Verdict> {
        let (run, node) = (job.run, job.node);
        let mut seen = observe(run, remote, node, component).await?;
        let looked = Instant::now();
        let post = job.step.post.iter().cloned();
        let (wanted, local): (Vec<Condition>, Vec<Condition>) =
            post.partition(Condition::is_of_framework);
        // Only if the host is healthy is it worth asking the framework, too; what is done to a registry
        // rests upon all of them.
        if is_registry {
            seen.framework = run.watch.all().await;
        } else if !wanted.is_empty() && holds(&local, node, &seen).is_ok() {
            seen.framework = match component {
                Some(server) if server != Component::Tarsnode => {
                    run.watch.server(node, server).await
                }
                _ => run.watch.node(node).await,
            };
        }
        Ok(Self {
            seen,
            looked,
            wanted,
            local,
        })
    }

    /// Whether everything holds that must hold after the step.
    pub(crate) fn is_reached(&self, job: &Job<'_>) -> bool {
        holds(&job.step.post, job.node, &self.seen).is_ok()
    }

    /// Whether the step may begin.
    pub(crate) fn ready(&self, job: &Job<'_>) -> Result<(), Verdict> {
        let pre = job.step.pre.iter().cloned();
        let (asked, own): (Vec<Condition>, Vec<Condition>) =
            pre.partition(Condition::is_of_framework);
        holds(&own, job.node, &self.seen).map_err(Verdict::Moved)?;
        ready(&asked, job.node, &self.seen)
    }
}
