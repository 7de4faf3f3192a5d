//! What the control machine itself must have before anything is looked at: secrets, key files,
//! programs. What is missing here is an error of this machine (exit code 1) and is never reported as
//! a silent host or database.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use tarsops_model::desired::{Desired, SecretRef, Tls};
use tarsops_probe::Report;
use tarsops_transport::FaultKind;
use tarsops_transport::ssh::{self, ConfigRefusal};

use crate::failure::{Failure, Result};

/// Checks that the certificate that the spec names is there. What `ssh` needs is checked before, by
/// [`super::ssh_files`] and the connector.
///
/// # Errors
/// The first thing that is missing.
pub fn check_machine(desired: &Desired) -> Result<()> {
    if let Some(Tls::Verify { ca }) = desired.database().map(|d| &d.tls) {
        std::fs::File::open(ca).map_err(|e| {
            Failure::new(format!(
                "the certificate file {} of `database.ca` cannot be read; no host was contacted",
                ca.display()
            ))
            .because(&e)
            .hint("name the certificate of the server's authority, or leave the key out")
        })?;
    }
    Ok(())
}

/// Refuses a look that this machine itself has spoiled: no host is called silent for that.
///
/// # Errors
/// What this machine could not do.
pub fn check_look(report: &Report) -> Result<()> {
    let mut own = report
        .faults
        .iter()
        .filter(|(_, fault)| fault.kind == FaultKind::Local);
    let Some((node, fault)) = own.next() else {
        return Ok(());
    };
    let hosts = match own.count() {
        0 => node.to_string(),
        more => format!("{node} and {more} more"),
    };
    Err(Failure::new(format!(
        "this machine could not connect to {hosts}; nothing was changed"
    ))
    .because(fault)
    .hint("fix this machine and run the same command again; nothing is known about the hosts"))
}

/// The failure of a command whose spec names a secret that this machine cannot give. `so` says what that
/// command did before.
#[must_use]
pub fn without_secret(what: &str, from: &SecretRef, why: String, so: &str) -> Failure {
    Failure::new(format!("{what} cannot be read; {so}"))
        .because(&io::Error::other(why))
        .hint(match from {
            SecretRef::Env(name) => {
                format!("set {name}, or name another source of the secret in the spec")
            }
            SecretRef::File(path) => format!(
                "write the secret to {}, readable for you alone, or name another source in the spec",
                path.display()
            ),
            SecretRef::Command(_) => {
                "run it with --allow-commands if you trust the spec, and check that the program works"
                    .to_owned()
            }
        })
}

/// Refuses an `ssh.config` of the spec that does more than choose how hosts are reached, unless
/// programs that the spec names may run.
pub fn harmless_ssh_config(desired: &Desired, allow_commands: bool) -> Result<()> {
    let files: BTreeSet<&PathBuf> = desired
        .access
        .values()
        .filter_map(|a| a.config.as_ref())
        .collect();
    for file in files {
        if allow_commands {
            continue;
        }
        ssh::scan(file, std::env::home_dir().as_deref()).map_err(|e| {
            Failure::new("the configuration in `ssh.config` cannot be used")
                .because(&e)
                .hint(match e {
                    ConfigRefusal::Unreadable { .. } => {
                        "name files that you may read, or leave the key out"
                    }
                    ConfigRefusal::Line { .. } => {
                        "remove the line; if you trust all of that file, run with --allow-commands; your own ~/.ssh/config may say anything"
                    }
                })
        })?;
    }
    Ok(())
}
