//! What commands that look at hosts share: the spec, the lock file, the way to the hosts, one look at
//! all of them.

mod held_lease;
mod look;
pub mod preflight;
mod secrets;
mod sources;
mod ssh_files;

pub use held_lease::lease_in;

use std::sync::Arc;
use std::time::Duration;

use tarsops_model::desired::Desired;
use tarsops_model::display::Text;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_plan::{Checked, Plan, PlanInput, Scope, make_plan};
use tarsops_probe::Report;
use tarsops_transport::mysql::Secret;
use tarsops_transport::ssh::{NewHostKeys, SshConnector};

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{self, say};
use crate::spec_file::{self, Loaded};
use crate::store::Store;
use crate::style::colored;

/// Reads the spec of the command line.
pub fn load(global: &Global) -> Result<Loaded> {
    let color = colored(global, output::is_progress_terminal());
    spec_file::read(&global.file, color)
}

/// What a command that looks at hosts works with.
pub struct Session {
    /// The spec.
    pub loaded: Loaded,
    /// Packages and the lock file.
    pub store: Store,
    /// The way to the hosts.
    pub connector: Arc<SshConnector>,
    /// What of the cluster is meant.
    pub scope: Scope,
    /// Whether digests are read again.
    pub rehash: bool,
    /// How long one host may take.
    pub timeout: Duration,
    /// Whether programs that hand out secrets may run.
    pub allow_commands: bool,
    /// Whether the installer's default login is tried at the database.
    pub try_default_login: bool,
    /// Whether running servers are asked for their library's version.
    pub ask_libraries: bool,
    /// Secrets of the spec, each read once.
    password: Secrecy,
    ticket: Secrecy,
    installer: Secrecy,
}

/// A secret that is read when it is first needed; one clause where it cannot be read.
type Secrecy = tokio::sync::OnceCell<std::result::Result<Secret, String>>;

impl Session {
    /// Reads spec and lock file, and prepares the way to the hosts.
    pub fn open(global: &Global, look: &Look) -> Result<Self> {
        Self::opened(global, load(global)?, look)
    }

    /// As [`Session::open`], with a spec that was read already.
    pub fn opened(global: &Global, loaded: Loaded, look: &Look) -> Result<Self> {
        if !loaded.warnings.is_empty() && global.verbose > 0 {
            let color = colored(global, output::is_progress_terminal());
            say(Text::with_colours(&loaded.warnings.render(color)).trim_end());
        }
        let store = Store::open(&global.file, &loaded)?;
        Self::with(loaded, store, look)
    }

    /// As [`Session::open`], with a spec and packages that were read already.
    pub fn with(loaded: Loaded, store: Store, look: &Look) -> Result<Self> {
        let mut scope = Scope::parse(&look.on, &loaded.desired).map_err(|e| {
            Failure::new("could not understand --on")
                .because(&e)
                .code(exit::USAGE)
        })?;
        scope.without_console = look.without_console;
        let new_keys = if look.accept_new_host_keys {
            NewHostKeys::Accept
        } else {
            NewHostKeys::Refuse
        };
        ssh_files::are_there(&loaded, new_keys)?;
        preflight::harmless_ssh_config(&loaded.desired, look.allow_commands)?;
        let connector = SshConnector::new(loaded.desired.access.clone(), new_keys)
            .and_then(|ssh| ssh.keeping(loaded.desired.keep.map(Duration::from_secs)))
            .map_err(|e| Failure::new("could not prepare SSH").because(&e))?
            .hiding(secrets::variables(&loaded.desired));
        Ok(Self {
            loaded,
            store,
            connector: Arc::new(connector),
            scope,
            rehash: look.rehash,
            timeout: Duration::from_secs(look.timeout),
            allow_commands: look.allow_commands,
            try_default_login: false,
            ask_libraries: false,
            password: Secrecy::new(),
            ticket: Secrecy::new(),
            installer: Secrecy::new(),
        })
    }

    /// The desired state.
    pub const fn desired(&self) -> &Desired {
        &self.loaded.desired
    }

    /// Nodes that a look visits: those in scope that exist, and all others, where the identity of
    /// a machine or the lease is asked for.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.desired()
            .hosts()
            .filter(|(n, h)| h.state != NodeState::Gone && self.scope.has_node(n))
            .map(|(n, _)| n.clone())
            .collect()
    }

    /// All that may be known where something is planned, after a look.
    pub fn input<'a>(&'a self, report: &'a Report) -> PlanInput<'a> {
        PlanInput {
            desired: self.desired(),
            inventory: &report.inventory,
            catalog: self.store.catalog(),
            scope: &self.scope,
            now: report.inventory.observed_at,
        }
    }

    /// Makes the plan for what was seen and has it checked.
    pub fn plan(&self, report: &Report) -> Result<Checked<Plan>> {
        let input = self.input(report);
        Checked::new(make_plan(&input), &input).map_err(|found| {
            Failure::new("the plan does not pass its own check; nothing was changed")
                .hint("this is a fault in tarsops: please report it with the output of `tarsops plan --json`")
                .about(found)
        })
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.connector.close().await;
    }
}
