//! All that carrying out a plan needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tarsops_framework::{Publish, Read, Write};
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::plan::Step;
use tokio::sync::Mutex;

use crate::journal::Journal;
use crate::lease::Lease;
use crate::place::Place;
use crate::port::{Account, Database, Host, Hosts, Payloads};
use crate::progress::{Interrupt, Observer, Progress};
use crate::verdict::Verdict;

/// All that carrying out a plan needs.
pub struct Run<'a> {
    /// The run's id.
    pub id: RunId,
    /// `user@host pid N`.
    pub holder: String,
    /// The desired state that the plan was made for.
    pub desired: &'a Desired,
    /// Reaches hosts.
    pub connect: Arc<dyn Hosts>,
    /// Hands out packages.
    pub payloads: &'a dyn Payloads,
    /// The right to act.
    pub lease: &'a Lease,
    /// Receives what happens.
    pub progress: &'a dyn Observer,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// Seconds since 1970.
    pub clock: &'a (dyn Fn() -> i64 + Sync),
    /// How long one look may take.
    pub look_deadline: Duration,
    /// Whether a failed host is left as it is.
    pub stop_on_failure: bool,
    /// This machine's memory of the run.
    pub journal: Mutex<Journal>,
    /// Asks the framework, for health gates, and changes it.
    pub watch: &'a dyn Watch,
    /// The framework's database, where the spec names one that can be used.
    pub database: Option<Arc<dyn Database>>,
    /// The account of installations in containers; none where the plan makes no container.
    pub installer: Option<Arc<dyn Account>>,
    /// Those who publish basic services; none where nobody can.
    pub publish: Option<&'a dyn Publish>,
    /// A private folder on this machine, for a dump on its way to the master.
    pub spool: PathBuf,
}

/// The framework as an apply needs it: read for health gates, and changed by steps.
pub trait Watch: Read + Write {}

impl<T: Read + Write> Watch for T {}

impl Run<'_> {
    /// Where tarsops works on a node.
    pub(crate) fn place(&self, node: &NodeName) -> Place {
        place(self.desired, node)
    }

    /// How long the spec lets a change take.
    pub(crate) const fn deadline(&self) -> Duration {
        Duration::from_secs(self.desired.policy.deadline)
    }

    pub(crate) fn look_options(
        &self,
        node: &NodeName,
        component: Option<Component>,
    ) -> tarsops_probe::Options {
        tarsops_probe::Options {
            install_path: self.desired.install_path_on(node),
            cluster: self.desired.cluster.clone(),
            run_user: self.desired.run_user.clone(),
            rehash: true,
            fence: Some(self.id.clone()),
            parallel: 1,
            deadline: self.look_deadline,
            servers: component
                .into_iter()
                .filter(|c| *c != Component::Tarsnode)
                .collect(),
            // Only steps on a container ask the engine.
            docker: self
                .desired
                .container(node)
                .and_then(|_| tarsops_probe::DockerLook::of(self.desired)),
            console: None,
        }
    }

    /// Whether the run may still act.
    ///
    /// # Errors
    /// [`Verdict::NoLease`] if the lease is lost or could not be renewed in time.
    pub(crate) fn check_lease(&self) -> Result<(), Verdict> {
        self.lease
            .check()
            .map_err(|e| Verdict::NoLease(e.to_string()))
    }

    /// Announces that a step begins to change something on `node`.
    pub(crate) fn acting(&self, step: &Step, node: &NodeName) {
        self.progress.event(&Progress::Acting {
            step: &step.id,
            node,
            what: &step.summary,
        });
    }

    /// A connection to a node.
    ///
    /// # Errors
    /// [`Verdict::Silent`].
    pub(crate) async fn reach(&self, node: &NodeName) -> Result<Arc<dyn Host>, Verdict> {
        let remote = self.connect.connect(node).await;
        remote.map_err(|e| Verdict::Silent(e.text))
    }

    /// A connection to the master.
    ///
    /// # Errors
    /// One lowercase clause that names the master.
    pub(crate) async fn master(&self) -> Result<Arc<dyn Host>, String> {
        let master = &self.desired.master;
        let remote = self.connect.connect(master).await;
        remote.map_err(|e| format!("the master {master}: {e}"))
    }
}

/// Where tarsops works on a node.
#[must_use]
pub fn place(desired: &Desired, node: &NodeName) -> Place {
    Place {
        install_path: desired.install_path_on(node),
        cluster: desired.cluster.clone(),
    }
}
