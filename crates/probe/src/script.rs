//! The probe script with its variables.

use tarsops_model::component::Component;
use tarsops_model::names::{AbsPath, ClusterName, RunId, UserName};
use tarsops_transport::script::{Script, prelude};

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
    /// Whether digests are read again.
    pub rehash: bool,
    /// The run that means to change the host, if one does: older ones do not begin there any more.
    pub fence: Option<RunId>,
    /// Components other than `tarsnode` to look at.
    pub servers: Vec<Component>,
}

/// The whole text that goes to `sh -s`.
#[must_use]
pub fn probe_script(look: &Look) -> String {
    let mut tree = Script::bare();
    tree.part(include_str!("tree.sh"));
    let servers: Vec<&str> = look.servers.iter().map(|c| c.name()).collect();
    let mut script = Script::new();
    script
        // Twice: for us, and for the part that runs with another user's rights.
        .set("P_PRELUDE", prelude())
        .set("P_TREE", &tree)
        .set("P_CLUSTER", look.cluster.as_str())
        .set("P_SECONDS", &look.seconds.to_string())
        .set("P_NONCE", &look.nonce)
        .set("P_INSTALL", look.install_path.as_str())
        .set("P_RUN_USER", look.run_user.as_str())
        .set("P_REHASH", if look.rehash { "1" } else { "0" })
        .set("P_FENCE", look.fence.as_ref().map_or("", RunId::as_str))
        .set("P_SERVERS", &servers.join(" "))
        .part(include_str!("probe.sh"));
    script.into_text()
}
