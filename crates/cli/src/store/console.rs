//! The release archive of the management platform: read from this machine.

use std::fs::File;
use std::path::Path;

use tarsops_model::console::{Console, ConsolePin};
use tarsops_package::{LockFile, WebError, read_web, web_limits};

use crate::failure::{Failure, Result};

/// What the lock file says of the platform that a spec wants: from its archive, or what is pinned where the
/// spec names none. None where the spec wants no version.
pub fn identify_console(console: &Console, lock: Option<&LockFile>) -> Result<Option<ConsolePin>> {
    let Some(version) = console.version else {
        return Ok(None);
    };
    let Some(path) = &console.package else {
        let pinned = lock.and_then(|lock| lock.consoles().get(&version));
        return pinned.cloned().map(Some).ok_or_else(|| {
            Failure::new(format!("the platform {version} is not pinned"))
                .hint("make its archive with `tarsops package web`, and name it as `web.package`")
        });
    };
    let source = path.file_name().map(|name| name.to_string_lossy());
    let source = source.unwrap_or_default();
    let file = File::open(path).map_err(|e| {
        Failure::new(format!("could not read {}", path.display()))
            .because(&e)
            .hint("make it with `tarsops package web`, or correct `web.package`")
    })?;
    let pin = read_web(file, &source, &web_limits()).map_err(|e| console_refused(path, &e))?;
    if pin.version == version {
        return Ok(Some(pin));
    }
    Err(Failure::new(format!(
        "{} holds the platform {}, and the spec wants {version}",
        path.display(),
        pin.version
    ))
    .hint("correct `web.version` or `web.package`"))
}

/// That an archive or a checkout cannot be used.
pub fn console_refused(path: &Path, e: &WebError) -> Failure {
    let hint = match e {
        WebError::Dependencies { .. } => {
            "run `npm install --omit=dev` in the checkout, on a machine like the host, and pack it again"
        }
        WebError::Machines { .. } | WebError::OtherMachine { .. } | WebError::NotLinux { .. } => {
            "run `npm install --omit=dev` in a fresh checkout on a Linux machine of the host's kind"
        }
        WebError::Configured => "pack a fresh checkout: an update keeps the host's configuration",
        WebError::Model { .. } | WebError::NoModels => {
            "without them nobody can tell which columns of the database it would drop"
        }
        _ => "make it with `tarsops package web` of a checkout of TarsWeb with its dependencies",
    };
    Failure::new(format!("the platform in {} cannot be used", path.display()))
        .because(e)
        .hint(hint)
}
