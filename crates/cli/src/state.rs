//! Where this machine keeps what it remembers of a cluster.

use std::path::PathBuf;

use tarsops_model::desired::Desired;
use tarsops_transport::mysql::KnownServers;

/// Where this machine keeps its journals.
pub fn state_folder(desired: &Desired) -> PathBuf {
    let base = own_state().unwrap_or_else(std::env::temp_dir);
    base.join("tarsops").join(desired.cluster.as_str())
}

/// Where this user keeps the keys of the cluster's database servers. None without a home: a folder that
/// everybody can write to is no place for what we trust.
pub fn known_databases(desired: &Desired) -> Option<KnownServers> {
    let folder = own_state()?.join("tarsops").join(desired.cluster.as_str());
    Some(KnownServers::at(folder.join("known_databases")))
}

/// Our user's folder for state, if there is one.
fn own_state() -> Option<PathBuf> {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::home_dir().map(|h| h.join(".local/state")))
}
