//! The probe script with its variables.

use std::fmt::Write as _;

use tarsops_model::component::Component;
use tarsops_model::names::{AbsPath, UserName};
use tarsops_transport::quote;

/// What the probe script is told.
#[derive(Debug, Clone)]
pub struct Look {
    /// Comes back in the first line of the answer, so that no banner is taken for it.
    pub nonce: String,
    /// Folder that holds `tars/` and `.tarsops/`.
    pub install_path: AbsPath,
    /// User that the framework runs as.
    pub run_user: UserName,
    /// Whether digests are read anew.
    pub rehash: bool,
    /// Components other than `tarsnode` to look at.
    pub servers: Vec<Component>,
}

/// The whole text that goes to `sh -s`.
#[must_use]
pub fn probe_script(look: &Look) -> String {
    let mut out = String::with_capacity(12 << 10);
    let _ = writeln!(out, "P_NONCE={}", quote(&look.nonce));
    let _ = writeln!(out, "P_INSTALL={}", quote(look.install_path.as_str()));
    let _ = writeln!(out, "P_RUN_USER={}", quote(look.run_user.as_str()));
    let _ = writeln!(out, "P_REHASH={}", u8::from(look.rehash));
    let servers: Vec<&str> = look.servers.iter().map(|c| c.name()).collect();
    let _ = writeln!(out, "P_SERVERS={}", quote(&servers.join(" ")));
    out.push_str(include_str!("probe.sh"));
    out
}
