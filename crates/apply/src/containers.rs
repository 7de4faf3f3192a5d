//! The replacement of the framework's container on its host: the new one beside the old one, and back
//! where it is not healthy.
//!
//! The host makes it by itself (`host/container/*.sh`); this side starts it and reads its verdict.
//! Every start of a framework container is an installation, which resets the rows of its host. What that
//! takes is not put back here.

use std::sync::Arc;
use std::time::Duration;

use tarsops_model::names::{AbsPath, ContainerName};

use crate::host_session::Conversation;
use crate::place::Place;
use crate::port::{Ask, Host, Request};
use crate::scripts::{self, ChangeReport, ContainerLaunch, Mode};
use crate::verdict::Verdict;

pub use crate::scripts::{
    BadContainer, ContainerChange, Creation, Expiry, Mount, Network, NewContainer, OldContainer,
    Sound,
};

/// How long the removal of retired containers may take.
const PRUNING: Duration = Duration::from_secs(600);

/// A replacement that is talked about.
pub(crate) struct Replacement<'a> {
    /// With its host. Its patience is that of the change.
    pub(crate) conversation: Conversation<'a>,
    /// What is done.
    pub(crate) change: Sound<'a>,
    /// Who holds the lease, for the host's log.
    pub(crate) holder: &'a str,
    /// What the host remembers of it.
    pub(crate) intent: &'a str,
    /// After which moment it does not begin; none where the host has no such clock.
    pub(crate) expires: Option<&'a Expiry>,
}

impl Replacement<'_> {
    /// Has the host do it, and waits for the verdict. Asking again is harmless: what has begun goes on,
    /// and what has a verdict keeps it.
    ///
    /// # Errors
    /// The verdict of a step whose host was not heard to the end, or was not asked.
    pub(crate) async fn carry_out(&self, host: Arc<dyn Host>) -> Result<ChangeReport, Verdict> {
        let first = || {
            Request(Ask::ReplaceContainer(ContainerLaunch {
                place: self.conversation.place,
                run: self.conversation.id,
                step: self.conversation.name,
                change: self.change,
                holder: self.holder,
                intent: self.intent,
                expires: self.expires,
            }))
        };
        self.conversation.hold(host, &first, Mode::Start).await
    }
}

/// Removes containers of this cluster that a container called `name` has replaced, all but the newest
/// `keep`, without force and without their volumes. Returns the names of what was removed.
///
/// # Errors
/// One lowercase clause, also where the host refuses.
pub(crate) async fn prune(
    host: &dyn Host,
    place: &Place,
    socket: &AbsPath,
    name: &ContainerName,
    keep: u32,
) -> Result<Vec<String>, String> {
    let request = Request(Ask::PruneContainers {
        place,
        socket,
        name,
        keep,
    });
    let output = host.tell(&request, PRUNING).await.map_err(|e| e.text)?;
    scripts::read_pruned(&output.stdout)
}

/// They look into what is private here, and are many.
#[cfg(test)]
#[path = "../tests/container/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod container;
