//! Whether a change of a host is made already, beyond what its conditions say.

use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::HostChange;
use tarsops_plan::condition::digest_at;
use tarsops_plan::effect;

use crate::job::Job;

/// Whether the rows that a change edits say already what they should, and no restart is pending for them.
pub(crate) async fn has_rows(job: &Job<'_>, change: &HostChange, seen: &Inventory) -> bool {
    let host = seen.host(job.node);
    let host = host.present();
    if host.is_some_and(|host| host.restarts.contains(&change.component)) {
        return false;
    }
    if change.rows().is_empty() {
        return !change.rereads();
    }
    let framework = job.run.watch.all().await;
    framework.is_some_and(|f| {
        let rows = f.rows();
        rows.present()
            .is_some_and(|rows| effect::are_made(rows, change.rows()))
    })
}

/// Whether a rollback has nothing left to restore: a configuration that still is the new one is healthy
/// by every other condition.
pub(crate) fn is_restored(change: &HostChange, node: &NodeName, seen: &Inventory) -> bool {
    change.undoes().is_none()
        || has_owners(change, node, seen)
            && (change.ran_as.is_none() || runs_as(change, node, seen))
            && change
                .files()
                .iter()
                .all(|file| match digest_at(seen, node, &file.path) {
                    Observed::Present(digest) => Some(digest) == file.after,
                    Observed::Absent => file.after.is_none(),
                    // Not looked at: the host itself compares.
                    Observed::Unknown(_) => true,
                })
}

/// Whether the owners that a rollback restores are restored. While everything belongs to the run user,
/// nothing was given back to anybody else.
fn has_owners(change: &HostChange, node: &NodeName, seen: &Inventory) -> bool {
    change.restore().is_none_or(|restore| !restore.owners)
        || seen
            .agent(node)
            .present()
            .and_then(|agent| agent.folder.present())
            .is_some_and(|f| !f.strangers.is_empty() || f.owner != change.run_user.as_str())
        || change.ran_as.is_some()
}

/// Whether all that runs of a component runs as the user of the change.
fn runs_as(change: &HostChange, node: &NodeName, seen: &Inventory) -> bool {
    let agent = seen.agent(node);
    let server = seen.server(change.component, node);
    let processes = match change.component {
        Component::Tarsnode => agent.present().map(|a| &a.processes),
        _ => server.present().map(|s| &s.processes),
    };
    let all = processes.and_then(Observed::present);
    all.is_some_and(|all| all.iter().all(|p| p.user == change.run_user.as_str()))
}
