//! The rollback of a host's change, from what the host remembers of it.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::host::HostFacts;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_model::observed::Observed;

use crate::actions::{
    Content, CrontabBefore, CrontabChange, FileChange, Folder, HostChange, Operation, Owner, Port,
    Process, Renamed, Restart, Restore, RowEdit,
};
use crate::assess::Prepared;
use crate::condition::{Condition, digest_at, file_digest};
use crate::crontab;
use crate::effect;
use crate::intent::{CrontabLeft, HostChanged, Intent};
use crate::places::{BINARY, binary_path};
use crate::preconditions::preconditions;
use tarsops_model::inventory::Inventory;

/// Why there is no rollback; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRollBack {
    /// The host could not be seen.
    #[error("the host's facts could not be collected: {0}")]
    Unseen(String),
    /// Something has changed since.
    #[error("{0} has changed since that run")]
    Moved(String),
    /// A change has not ended there.
    #[error("a change of run {0} has not ended there; apply ends it")]
    Unfinished(RunId),
    /// The crontab that would be put back has other lines than this tool's.
    #[error("the crontab that the run found there does not follow from the one that is there now")]
    ForeignCrontab,
    /// A fact is unknown.
    #[error("{0}")]
    Unknown(String),
}

/// What is known of the change that is rolled back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether registries can be asked: one that is restored must then answer before the step is
    /// done, as the next one may be the other of two.
    pub asks: bool,
    /// Whether the crontab that was seen is not of the user whose crontab it wrote, which stays then.
    pub other_crontab: bool,
    /// Whether it failed, or its end is not known: then some files may be as they were before. And a
    /// publication may have left half a program: its node writes into the file itself.
    pub failed: bool,
}

/// The change that takes the host back to where it was before `intent`, which changed `changed` there.
///
/// # Errors
/// [`CannotRollBack`] if somebody has changed the host since, or if it cannot be told.
pub fn rollback_step(
    intent: &Intent,
    changed: &HostChanged,
    inventory: &Inventory,
    known: Known,
) -> Result<Prepared, CannotRollBack> {
    let asks = known.asks;
    let done = &changed.change;
    let node: &NodeName = &done.node;
    let host: &HostFacts = match inventory.host(node) {
        Observed::Present(h) => h,
        Observed::Absent => return Err(CannotRollBack::Unseen("it is not there".to_owned())),
        Observed::Unknown(why) => return Err(CannotRollBack::Unseen(why)),
    };
    if let Some(left) = &host.unfinished {
        return Err(CannotRollBack::Unfinished(left.run.clone()));
    }
    let machine_id = match &host.machine_id {
        Observed::Present(id) if *id == done.machine_id => id.clone(),
        Observed::Present(_) => return Err(CannotRollBack::Moved("the machine itself".to_owned())),
        other => {
            return Err(CannotRollBack::Unknown(
                other.unknown().unwrap_or("no machine-id").to_owned(),
            ));
        }
    };
    let read = inventory.framework.as_ref().map(|f| f.rows());
    let rows: Vec<RowEdit> = done.rows().iter().map(RowEdit::back).collect();
    if let (Some(Observed::Present(seen)), false) = (read, rows.is_empty())
        && !effect::are_made(seen, done.rows())
        && !effect::are_made(seen, &rows)
    {
        return Err(CannotRollBack::Moved(format!(
            "a row of {}",
            done.component
        )));
    }
    let published = done.publish().is_some();
    let kept = (intent.run.clone(), intent.step.clone());
    let mut files = Vec::new();
    if done.folder() == Folder::Keep {
        for (index, file) in done.files().iter().enumerate() {
            let mut back = restored_file(file, index + 1, &kept, node, inventory);
            // A change that failed may have left the file alone and the component down.
            let untouched = (published || known.failed)
                && digest_at(inventory, node, &file.path) == Observed::from(file.before);
            let torn = match (published && known.failed, &back) {
                (true, Err(CannotRollBack::Moved(_))) => digest_at(inventory, node, &file.path),
                _ => Observed::Absent,
            };
            if untouched && back.is_err() {
                back = Ok(FileChange {
                    before: file.before,
                    after: file.before,
                    content: Content::None,
                    mode: file.before_mode.unwrap_or(file.mode),
                    ..file.clone()
                });
            } else if let Observed::Present(torn) = torn {
                let mut now = file.clone();
                now.after = Some(torn);
                back = restored_file(&now, index + 1, &kept, node, inventory);
            }
            files.push(back?);
        }
    } else if done.folder() == Folder::Create {
        expect_binary(done, node, inventory)?;
    }
    let binary = binary_path(done.component);
    files.sort_by_key(|f| f.path == binary);
    let crontab = match changed.crontab_after {
        CrontabLeft::Unchanged => None,
        _ if known.other_crontab => None,
        CrontabLeft::Removed => Some(restored_crontab(done, None, &kept, host)?),
        CrontabLeft::Written(digest) => Some(restored_crontab(done, Some(digest), &kept, host)?),
    };
    let folder = match done.folder() {
        Folder::Keep => Folder::Keep,
        Folder::Create => Folder::Remove,
        Folder::Remove => Folder::Create,
    };
    // What was left of a removed tarsnode and was stopped cannot be started again.
    let leftover = matches!(done.operation, Operation::RemoveRest(_));
    let runs_after = folder != Folder::Remove && done.ran && !leftover;
    // AdminRegistry starts it, once its rows are back as well.
    let started_by_framework = folder == Folder::Create
        && !matches!(
            done.component,
            Component::Tarsnode | Component::Tarsregistry
        );
    // What a publication has started over a server that did not run is stopped again.
    let halts = published && !done.ran && folder == Folder::Keep;
    let starts = runs_after && !started_by_framework;
    let process = if halts {
        Process::Stop
    } else if starts && (done.restarts() || folder == Folder::Create) {
        Process::Restart
    } else if starts {
        Process::Check
    } else {
        Process::Leave
    };
    let undoes = intent.run.clone();
    let operation = if done.rereads() {
        Operation::Restart(Restart {
            rows,
            undoes: Some(undoes),
        })
    } else {
        Operation::Restore(Box::new(Restore {
            undoes,
            step: intent.step.clone(),
            folder,
            files,
            owners: done.owner() != Owner::Unchanged && folder == Folder::Keep,
            process,
            crontab,
            rows,
            patch_version: done.patch_version().map(Renamed::inverse),
        }))
    };
    let change = HostChange {
        component: done.component,
        node: node.clone(),
        summary: format!("roll back run {}: {}", intent.run, done.summary),
        operation,
        tars_path: done.tars_path.clone(),
        // As whoever it ran as before, which the spec may no longer say.
        run_user: done.ran_as.as_ref().unwrap_or(&done.run_user).clone(),
        ran_as: done.ran_as.is_some().then(|| done.run_user.clone()),
        ip: done.ip,
        port: Port {
            before: done.port.after,
            after: done.port.before,
        },
        ran: true,
        machine_id,
        settle: done.settle,
    };
    let mut pre = preconditions(&change);
    if published {
        // A program alone, without scripts, does not count as installed.
        pre.retain(|c| !matches!(c, Condition::Installed { .. }));
    }
    if let (Folder::Remove, Some(registry), true) = (folder, done.registry(), asks) {
        // Whoever came to resolve names by it must find another one.
        pre.push(Condition::AnotherRegistry { but: registry });
    }
    let mut post: Vec<Condition> = Vec::new();
    for file in change.files() {
        if file.path == binary {
            post.push(Condition::File {
                path: file.path.clone(),
                digest: file.after,
            });
        }
    }
    if done.component != Component::Tarsnode {
        if asks && runs_after && folder == Folder::Keep {
            post.extend(
                done.registry()
                    .map(|registry| Condition::RegistryAnswers { registry }),
            );
        }
        // One of which only the crontab changed runs or not as before.
        // And one that is set active is started again by its node, whatever its program is.
        // One that was down may be down again with the rows that it had.
        let may_fail = done.rereads() && !done.ran;
        if !halts
            && !may_fail
            && (folder != Folder::Keep || !done.files().is_empty() || done.restarts())
        {
            post.push(Condition::Component {
                component: done.component,
                runs: runs_after,
            });
        }
        if folder == Folder::Remove {
            post.push(Condition::Installed {
                component: done.component,
                there: false,
            });
        }
    } else if folder == Folder::Remove {
        post.push(Condition::Folder { exists: false });
        post.push(Condition::Stopped);
    } else {
        if !leftover {
            post.push(Condition::Folder { exists: true });
        }
        if runs_after {
            post.push(Condition::Listens);
        }
    }
    if let Some(CrontabChange {
        back: Some(back), ..
    }) = change.crontab()
    {
        post.push(Condition::Crontab {
            digest: back.digest,
        });
    }
    Ok(Prepared { change, pre, post })
}

/// The crontab that a rollback of `done` leaves, given the one that is there; none where that is not
/// known, or where the rollback leaves it alone.
#[must_use]
pub fn crontab_before(done: &HostChange, now: &Observed<String>) -> Option<Observed<String>> {
    let change = done.crontab()?;
    let text = match now {
        Observed::Present(text) => Some(crontab::without_guard(text)),
        Observed::Absent => None,
        Observed::Unknown(_) => return None,
    };
    let text = text.filter(|t| !t.is_empty());
    let known = crontab::before_edit(text.as_deref(), &change.edit);
    let found = known
        .into_iter()
        .find(|before| before.as_ref().map(|t| Digest::of(t.as_bytes())) == change.before);
    found.map(Observed::from)
}

fn expect_binary(
    done: &HostChange,
    node: &NodeName,
    inventory: &Inventory,
) -> Result<(), CannotRollBack> {
    let binary = binary_path(done.component);
    let wanted = done
        .files()
        .iter()
        .find(|f| f.path == binary)
        .and_then(|f| f.after);
    if done.component != Component::Tarsnode {
        return match digest_at(inventory, node, &binary) {
            Observed::Present(now) if Some(now) == wanted => Ok(()),
            Observed::Unknown(why) => Err(CannotRollBack::Unknown(why)),
            _ => Err(CannotRollBack::Moved("the binary".to_owned())),
        };
    }
    match inventory.agent(node) {
        Observed::Present(a)
            if wanted.is_none() || file_digest(a, BINARY) == Observed::from(wanted) =>
        {
            Ok(())
        }
        Observed::Unknown(why) => Err(CannotRollBack::Unknown(why)),
        _ => Err(CannotRollBack::Moved("the binary".to_owned())),
    }
}

fn restored_file(
    file: &FileChange,
    index: usize,
    kept: &(RunId, StepName),
    node: &NodeName,
    inventory: &Inventory,
) -> Result<FileChange, CannotRollBack> {
    if let (Component::Tarsnode, Observed::Unknown(why)) =
        (component_of(&file.path), inventory.agent(node))
    {
        return Err(CannotRollBack::Unknown(why));
    }
    let now = match digest_at(inventory, node, &file.path) {
        Observed::Present(d) => Some(d),
        Observed::Absent => None,
        // Files that a probe does not report must be as that run left them; the host checks.
        Observed::Unknown(_) => file.after,
    };
    // tarsnode writes its own configuration; the binary and the scripts are nobody else's.
    if now != file.after && !file.path.contains("/conf/") {
        return Err(CannotRollBack::Moved(file.path.clone()));
    }
    Ok(FileChange {
        path: file.path.clone(),
        mode: file.before_mode.unwrap_or(file.mode),
        before: now,
        before_mode: Some(file.mode),
        after: file.before,
        content: match file.before {
            Some(before) if Some(before) != now => Content::Before {
                run: kept.0.clone(),
                step: kept.1.clone(),
                index,
            },
            _ => Content::None,
        },
    })
}

/// The component whose folder a path is in; tarsnode where it is in none.
fn component_of(path: &str) -> Component {
    let name = path.split('/').next().unwrap_or_default();
    name.parse().unwrap_or(Component::Tarsnode)
}

fn restored_crontab(
    done: &HostChange,
    after: Option<Digest>,
    kept: &(RunId, StepName),
    host: &HostFacts,
) -> Result<CrontabChange, CannotRollBack> {
    let now = match &host.crontab {
        Observed::Present(text) => Some(crontab::without_guard(text)).filter(|t| !t.is_empty()),
        Observed::Absent => None,
        Observed::Unknown(why) => {
            return Err(CannotRollBack::Unknown(format!("the crontab: {why}")));
        }
    };
    let now = now.map(|t| Digest::of(t.as_bytes()));
    let before = done.crontab().and_then(|c| c.before);
    // A rollback that was cut off may have put it back already.
    if now != after && now != before {
        return Err(CannotRollBack::Moved("the crontab".to_owned()));
    }
    // The host keeps the text, and could keep any: what comes must follow from what is there now.
    let text = match &host.crontab {
        Observed::Present(text) => Some(crontab::without_guard(text)).filter(|t| !t.is_empty()),
        _ => None,
    };
    let known = match done.crontab() {
        Some(change) if change.back.is_none() => {
            crontab::before_edit(text.as_deref(), &change.edit)
        }
        Some(_) => crontab::near(
            text.as_deref(),
            done.tars_path.as_str(),
            done.component.name(),
        ),
        None => vec![],
    };
    let known = known
        .iter()
        .map(|t| t.as_ref().map(|t| Digest::of(t.as_bytes())));
    if !known.chain([now]).any(|digest| digest == before) {
        return Err(CannotRollBack::ForeignCrontab);
    }
    Ok(CrontabChange {
        before: now,
        edit: crontab::CrontabEdit::default(),
        back: Some(CrontabBefore {
            run: kept.0.clone(),
            step: kept.1.clone(),
            digest: before,
        }),
    })
}
