//! The probe script with its variables.

use std::fmt::Write as _;

use tarsops_model::component::Component;
use tarsops_model::names::{AbsPath, ClusterName, RunId, UserName};
use tarsops_transport::{PRELUDE, quote};

/// What the probe script is told.
#[derive(Debug, Clone)]
pub struct Look {
    /// Comes back in the first line of the answer, so that no banner is taken for it.
    pub nonce: String,
    /// Folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The cluster, whose own folder on the host is looked at.
    pub cluster: ClusterName,
    /// Seconds that the part of the look may take which runs with another user's rights.
    pub seconds: u64,
    /// User that the framework runs as.
    pub run_user: UserName,
    /// Whether digests are read anew.
    pub rehash: bool,
    /// The run that means to change the host, if one does: older ones do not begin there any more.
    pub fence: Option<RunId>,
    /// Components other than `tarsnode` to look at.
    pub servers: Vec<Component>,
}

/// The whole text that goes to `sh -s`.
#[must_use]
pub fn probe_script(look: &Look) -> String {
    let mut out = String::with_capacity(64 << 10);
    out.push_str(PRELUDE);
    // Twice: for us, and for the part that runs with another user's rights.
    let _ = writeln!(out, "P_PRELUDE={}", quote(PRELUDE));
    let _ = writeln!(out, "P_TREE={}", quote(include_str!("tree.sh")));
    let _ = writeln!(out, "P_CLUSTER={}", quote(look.cluster.as_str()));
    let _ = writeln!(out, "P_SECONDS={}", look.seconds);
    let _ = writeln!(out, "P_NONCE={}", quote(&look.nonce));
    let _ = writeln!(out, "P_INSTALL={}", quote(look.install_path.as_str()));
    let _ = writeln!(out, "P_RUN_USER={}", quote(look.run_user.as_str()));
    let _ = writeln!(out, "P_REHASH={}", u8::from(look.rehash));
    let fence = look.fence.as_ref().map_or("", RunId::as_str);
    let _ = writeln!(out, "P_FENCE={}", quote(fence));
    let servers: Vec<&str> = look.servers.iter().map(|c| c.name()).collect();
    let _ = writeln!(out, "P_SERVERS={}", quote(&servers.join(" ")));
    out.push_str(include_str!("probe.sh"));
    out
}
