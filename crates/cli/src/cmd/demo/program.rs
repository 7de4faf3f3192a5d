//! This program, run by the demonstration.

use super::stop::Stop;
use crate::failure::{Failure, Result};
use std::path::Path;
use std::process::Command;
use tarsops_standin::cluster::Cluster;

/// This program, on this spec.
pub fn tarsops(spec: &Path) -> Result<Command> {
    let exe = std::env::current_exe()
        .map_err(|e| Failure::new("could not find this program").because(&e))?;
    let mut command = Command::new(exe);
    if let Some(dir) = spec.parent() {
        command
            .current_dir(dir)
            .env("XDG_STATE_HOME", dir.join("state"));
    }
    command.env("TARSOPS_SPEC", spec);
    Ok(command)
}

pub fn down(dir: &Path) -> Result<()> {
    Cluster::down(dir).map_err(|e| {
        Failure::new(format!(
            "could not remove the embedded cluster in {}",
            dir.display()
        ))
        .because(&e)
    })
}

pub fn lock(spec: &Path, stop: &Stop) -> Result<()> {
    let mut command = tarsops(spec)?;
    command
        .args(["package", "lock"])
        .stdout(std::process::Stdio::null());
    let status = stop
        .run(&mut command, |mut child| child.wait())
        .map_err(|e| Failure::new("could not pin the packages").because(&e))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new("could not pin the packages"))
    }
}
