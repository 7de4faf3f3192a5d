//! `package`: pin, show, register and remove release packages.

mod add;
mod lock;
mod ls;
mod pins;
mod rm;
mod web;

use crate::args::{Global, PackageCommand};
use crate::failure::Result;

/// Does it.
pub async fn run(global: &Global, command: PackageCommand) -> Result {
    match command {
        PackageCommand::Lock { look } => lock::run(global, &look).await,
        PackageCommand::Web {
            folder,
            output,
            machine,
        } => web::run(global, &folder, &output, machine.as_deref()),
        PackageCommand::Ls => ls::run(global),
        PackageCommand::Add {
            component,
            version,
            what,
            note,
        } => add::run(global, &component, &version, &what, note),
        PackageCommand::Rm {
            component,
            version,
            sha256,
        } => rm::run(global, &component, &version, sha256.as_deref()),
    }
}
