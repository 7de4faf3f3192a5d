//! The scripts that are sent to hosts, with their variables, and their answers.

mod console;
mod container;
mod files;
mod history;
mod launch;
mod lease;
mod text;

#[cfg(test)]
pub(crate) use console::console_files;
pub use console::{
    BadConsole, Configuration, ConsoleChange, FileText, NewConsole, Reboot, Supervisor,
};
pub(crate) use console::{ConsoleLaunch, replace_console};
#[cfg(test)]
pub(crate) use container::container_files;
pub use container::{
    BadContainer, ContainerChange, Creation, Mount, Network, NewContainer, OldContainer, Sound,
};
pub(crate) use container::{ContainerLaunch, prune_containers, read_pruned, replace_container};
pub use files::send_binary;
pub(crate) use files::{read_upload, save_labels, save_rows, saved_rows, upload};
pub(crate) use history::{ChangeRecord, history, read_history};
pub use launch::Expiry;
pub(crate) use launch::{ChangeReport, CrontabAfter, Launch, Mode, launch, read_report, wait};
pub(crate) use lease::{LeaseMode, lease, read_lease};

#[cfg(test)]
use crate::place::Place;
#[cfg(test)]
use launch::{change, env, files, guard, tree};

/// They look into what is private here, and are many.
#[cfg(test)]
#[path = "../tests/host/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod host;

#[cfg(test)]
mod tests {
    use super::files::{BINARY, UPLOAD};
    use super::history::HISTORY;
    use super::launch::{CHANGE, GUARD, LAUNCH, TREE};
    use super::lease::LEASE;
    use crate::place::RECORDS;

    #[test]
    fn no_script_asks_for_a_rebuild() {
        // It passes on the verdict of a container that was not touched.
        let history = HISTORY.replace(" | rebuild | ", " | ");
        let scripts = [
            tarsops_transport::script::prelude(),
            &CHANGE.concat(),
            TREE,
            GUARD,
            LAUNCH,
            LEASE,
            &history,
            UPLOAD,
            BINARY,
            RECORDS,
        ];
        for script in scripts {
            assert!(!script.to_lowercase().contains("rebuild"));
        }
    }
}
