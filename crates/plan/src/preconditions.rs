//! What must hold before a change of a host.

use tarsops_model::agent::ProcessFact;
use tarsops_model::names::UserName;
use tarsops_model::observed::Observed;

use crate::actions::{Folder, HostChange};
use crate::condition::Condition;
use crate::places::{BINARY, CONF, SCRIPTS, binary_path};

/// Every fact that a change rests upon.
#[must_use]
pub(crate) fn preconditions(change: &HostChange) -> Vec<Condition> {
    let mut out = vec![
        Condition::Machine {
            id: change.machine_id.clone(),
        },
        Condition::Unfinished { run: None },
    ];
    let folder = change.folder();
    let files = change.files();
    if !change.is_scripted() && folder == Folder::Keep {
        // What was published once has a program and no scripts: its tarsnode starts it.
    } else if !change.is_agent() {
        out.push(Condition::Installed {
            component: change.component,
            there: folder != Folder::Create,
        });
    } else if folder != Folder::Keep || !files.is_empty() {
        out.push(Condition::Folder {
            exists: folder != Folder::Create && !files.is_empty() || folder == Folder::Remove,
        });
    }
    for file in files {
        let path = file.path.as_str();
        let server = !change.is_agent() && path == binary_path(change.component);
        if folder == Folder::Keep && (path == CONF || path == BINARY || is_script(path) || server) {
            out.push(Condition::File {
                path: file.path.clone(),
                digest: file.before,
            });
        }
    }
    if let Some(crontab) = change.crontab() {
        out.push(Condition::Crontab {
            digest: crontab.before,
        });
    }
    out
}

/// The user other than `run_user` that all of these processes run as.
pub(crate) fn other_user(
    processes: &Observed<Vec<ProcessFact>>,
    run_user: &UserName,
) -> Option<UserName> {
    let all = processes.present()?;
    let user = &all.first()?.user;
    let alone = user != run_user.as_str() && all.iter().all(|p| p.user == *user);
    alone.then(|| UserName::new(user.as_str()).ok()).flatten()
}

/// Whether the path is one of the scripts that a probe reports.
pub(crate) fn is_script(path: &str) -> bool {
    let name = path.strip_prefix("tarsnode/util/");
    name.is_some_and(|n| SCRIPTS.contains(&n))
}
