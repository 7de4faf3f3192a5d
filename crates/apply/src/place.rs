//! Where tarsops works on a host.

use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, ClusterName};
use tarsops_transport::Script;

pub(crate) const RECORDS: &str = include_str!("host/records.sh");

/// Runs whose records a host retains, for `history` and `rollback`.
pub(crate) const RUNS_TO_RETAIN: u32 = 10;

/// Where tarsops works on a host: its scripts find their own folder there by these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The cluster: what is saved on a host belongs to one.
    pub cluster: ClusterName,
}

impl Place {
    /// The lines that stand before a payload that is sent.
    pub(crate) fn upload_head(&self, digest: &Digest, size: u64) -> String {
        format!(
            "{}\n{}\n{digest}\n{size}\n",
            self.install_path, self.cluster
        )
    }

    /// A script that works on our own records, up to its own part.
    pub(crate) fn records(&self) -> Script {
        let mut script = Script::new();
        script
            .set("R_INSTALL", self.install_path.as_str())
            .set("R_CLUSTER", self.cluster.as_str())
            .part(RECORDS);
        script
    }
}
