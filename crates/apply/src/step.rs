//! One step on one host: look again, act, look until it holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::desired::Policy;
use tarsops_model::digest::Digest;
use tarsops_model::host::HostFacts;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::version::Version;
use tarsops_plan::action::{
    Action, CrontabChange, Folder, HostChange, Recover, StartServer, StopServer,
};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::crontab;
use tarsops_plan::effect;
use tarsops_plan::plan::Step;
use tarsops_plan::restore::{CrontabLeft, FORMAT, Intent, without_content};
use tarsops_transport::Output;
use tokio::time::Instant;

use crate::execute::{Progress, Run, roll_back_one};
use crate::gate::{Gate, Watched, follow, pass_gate};
use crate::host_session::{conclude, converse, upload};
use crate::labels;
use crate::port::{Ask, Host, Request};
use crate::scripts::{CrontabAfter, Expiry, Launch, Mode, Place};
pub use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;
use crate::words::SaveWord;

/// How long the facts may take to follow a good verdict.
const GRACE: Duration = Duration::from_secs(15);
/// How long a host may take to write a note down.
const NOTE: Duration = Duration::from_secs(10);

/// Hands out the files of pinned packages.
pub trait Payloads: Send + Sync {
    /// The file on this machine that holds `path` of the package, and has `digest`.
    ///
    /// # Errors
    /// One lowercase clause.
    fn file(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> Result<PathBuf, String>;
}

/// A name for a folder on the host.
#[must_use]
pub fn folder_name(step: &str) -> StepName {
    StepName::of(step)
}

pub(crate) async fn run(run: &Run<'_>, step: &Step) -> StepEnd {
    let began = Instant::now();
    let node = step
        .resource
        .node()
        .cloned()
        .unwrap_or_else(|| run.desired.master.clone());
    let mut end = StepEnd::new(step.id.clone(), node.clone(), Verdict::Done);
    let mut gate = Gate::default();
    end.verdict = match walk(run, step, &node, &mut end, &mut gate).await {
        Ok(verdict) | Err(verdict) => verdict,
    };
    // A program that was restored and does not start is named by its row all the same.
    let lies_there = match (&step.action, &end.verdict) {
        (Action::ChangeHost(change), Verdict::LeftFailed(_))
            if change.patch_version().is_some() =>
        {
            let seen = look_at_one(run, &node, Some(change.component)).await;
            let files = change
                .files()
                .iter()
                .filter_map(|f| f.after.map(|d| (f, d)));
            seen.is_ok_and(|seen| {
                let mut files = files;
                files.all(|(file, digest)| {
                    tarsops_plan::condition::digest_at(&seen, &node, &file.path)
                        == Observed::Present(digest)
                })
            })
        }
        _ => end.verdict.is_good(),
    };
    if let (Action::ChangeHost(change), true) = (&step.action, lies_there)
        && let (None, Some(names)) = (change.publish(), change.patch_version())
    {
        crate::publish::name_again(run, &node, change.component, names, &mut end).await;
    }
    crate::row_edits::settle_undo(run, &node, &mut end).await;
    let stays = end.intent.as_ref().is_some_and(Intent::stays);
    let refused = matches!(gate, Gate::Refused(_));
    if let (Gate::Refused(why), false) = (gate, run.stop_on_failure || stays) {
        // The host is healthy and the framework is not: the host is told to go back.
        let turn = crate::publish::turn_back(run, &end).await;
        let back = Box::pin(roll_back_one(run, &end, None)).await;
        drop(turn);
        end.verdict = if back.verdict.is_good() {
            Verdict::RolledBack(why)
        } else {
            let cause = back.verdict.why().unwrap_or_default();
            Verdict::Stuck(format!(
                "{why}; and the old state could not be restored: {cause}; `tarsops rollback {}` tries it again",
                run.id
            ))
        };
        end.log.extend(back.log);
    }
    if !refused {
        crate::row_edits::settle(run, step, &mut end).await;
    }
    crate::publish::conclude(run, step, &mut end).await;
    note_gate(run, &end).await;
    if let Some(labels) = end.labels.take() {
        labels::settle(run, &node, &labels, &mut end).await;
    }
    end.took = began.elapsed();
    end
}

/// What the run made of a change goes beside the host's own verdict, which would otherwise be all
/// that another machine reads. A host that cannot take the note keeps its verdict: the journal has
/// the whole of it.
async fn note_gate(run: &Run<'_>, end: &StepEnd) {
    let (Some(intent), Verdict::LeftFailed(why) | Verdict::RolledBack(why) | Verdict::Stuck(why)) =
        (&end.intent, &end.verdict)
    else {
        return;
    };
    let words = format!("{}: {why}", end.verdict.word());
    let place = run.place(&end.node);
    let note = Request(Ask::NoteGate {
        place: &place,
        run: &run.id,
        step: &intent.step,
        words,
    });
    if let Ok(remote) = run.connect.connect(&end.node).await {
        let _ = remote.tell(&note, NOTE).await;
    }
}

async fn walk(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    end: &mut StepEnd,
    gate: &mut Gate,
) -> Result<Verdict, Verdict> {
    if step.action.is_of_tables() {
        return crate::database::run(run, step, end).await;
    }
    if step.action.is_of_rows() {
        return crate::rows::run(run, step, node, end).await;
    }
    if let Action::StartServer(StartServer { component, .. })
    | Action::StopServer(StopServer { component, .. }) = &step.action
    {
        return crate::servers::run(run, step, node, *component, end).await;
    }
    let remote = reach(run, node).await?;
    let component = match &step.action {
        Action::ChangeHost(change) => Some(change.component),
        _ => None,
    };
    let mut seen = observe(run, &*remote, node, component).await?;
    let looked = Instant::now();
    let (wanted, local): (Vec<Condition>, Vec<Condition>) = step
        .post
        .iter()
        .cloned()
        .partition(Condition::is_of_framework);
    let registry = match &step.action {
        Action::ChangeHost(change) => change.registry(),
        _ => None,
    };
    // Only if the host is healthy is it worth asking the framework, too; what is done to a registry
    // rests upon all of them.
    if registry.is_some() {
        seen.framework = run.watch.all().await;
    } else if !wanted.is_empty() && holds(&local, node, &seen).is_ok() {
        seen.framework = match component {
            Some(server) if server != Component::Tarsnode => run.watch.server(node, server).await,
            _ => run.watch.node(node).await,
        };
    }
    if holds(&step.post, node, &seen).is_ok()
        && is_back(&step.action, node, &seen)
        && has_rows(run, step, node, &seen).await
    {
        return Ok(Verdict::AlreadyDone);
    }
    let (asked, own): (Vec<Condition>, Vec<Condition>) = step
        .pre
        .iter()
        .cloned()
        .partition(Condition::is_of_framework);
    holds(&own, node, &seen).map_err(Verdict::Moved)?;
    ready(&asked, node, &seen)?;
    // What the row says now is what the registration will lose, not what it said when the plan was
    // made.
    let labels = match &step.action {
        Action::ChangeHost(change) => labels::to_keep(run, change, node, &seen).await,
        _ => None,
    };
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    let place = run.place(node);
    match &step.action {
        Action::Recover(Recover {
            run: left,
            step: name,
            accept,
            ..
        }) => {
            run.progress.event(&Progress::Acting {
                step: &step.id,
                node,
                what: &step.summary,
            });
            let mode = if *accept { Mode::Accept } else { Mode::Recover };
            let request = || {
                Request(Ask::Wait {
                    place: &place,
                    run: left,
                    step: name,
                    mode,
                })
            };
            let said = converse(run, remote, node, &request, &place, left, name, mode).await?;
            conclude(said, end)?;
        }
        // Dealt with above.
        Action::DeleteNodeRows(_)
        | Action::DeleteRegistryRows(_)
        | Action::DeleteServerRows(_)
        | Action::RestoreLabels(_)
        | Action::AddServerRows(_)
        | Action::RemoveServerRows(_)
        | Action::StartServer(_)
        | Action::StopServer(_)
        | Action::Backup(_)
        | Action::AddColumn(_)
        | Action::MergeTemplate(_)
        | Action::AddTemplate(_)
        | Action::RestoreTemplate(_) => {}
        Action::ChangeHost(change) => {
            let began = Instant::now();
            let watched = Watched::default();
            if let Some(labels) = &labels {
                labels::keep(&*remote, &place, labels)
                    .await
                    .map_err(Verdict::NotStarted)?;
            }
            end.labels.clone_from(&labels);
            if change.is_scripted() {
                crate::row_edits::undo_edits(run, node, change, end).await;
            }
            if is_reloaded(change) {
                // What it starts with is what templates and rows say now. Where nobody can be asked
                // it starts with what it had, as it does whenever its host restarts.
                if let Err(why) = run.watch.load(node, change.component).await {
                    end.pending_restart = None;
                    tracing::debug!(%node, component = %change.component, why, "not reloaded");
                    end.log.push(format!(
                        "its configuration was not generated again before the restart: {why}"
                    ));
                }
            }
            // A component that this tool brought: AdminRegistry stops it, and its rows go last.
            let retreats = change.folder() == Folder::Remove
                && change.undoes().is_some()
                && change.component != Component::Tarsnode;
            // One that leaves with its host has its rows deleted by a step of its own, later.
            let leaves = change.folder() == Folder::Remove
                && change.undoes().is_none()
                && change.registry().is_none()
                && change.component != Component::Tarsnode;
            // A row that was there before the run stays as somebody has set it.
            let is_own = change.patch_version().is_none() || crate::rows::wrote(run, change).await;
            if leaves || retreats && is_own {
                crate::servers::deactivate(run, node, change.component, end).await;
            }
            let acting = async {
                if let Some(publish) = change.publish() {
                    crate::publish::act(run, step, node, (change, publish), &local, end).await?;
                    end.restarted = true;
                    Ok(())
                } else if change.rereads() {
                    crate::row_edits::restart(run, step, node, change, (&local, &seen), end)
                        .await?;
                    end.restarted = true;
                    Ok(())
                } else {
                    act(
                        run,
                        step,
                        node,
                        change,
                        remote,
                        (&seen, looked),
                        &place,
                        end,
                    )
                    .await
                }
            };
            // A removed component whose folder is moved back.
            let brought = change.restore().filter(|r| r.folder == Folder::Create);
            if let (Some(restore), None) = (brought, &registry)
                && !change.is_agent()
            {
                acting.await?;
                crate::rows::put_back(run, change, restore, end).await?;
                return crate::servers::restore_server(run, step, node, change.component, end)
                    .await;
            }
            if change.folder() == Folder::Remove && registry.is_some() {
                acting.await?;
                see(run, node, component, &local).await?;
                if !wanted.is_empty() {
                    crate::rows::forget(run, step, end).await?;
                }
                if retreats {
                    crate::rows::delete_own_rows(run, change, end).await?;
                }
                return Ok(Verdict::Done);
            }
            if wanted.is_empty() {
                acting
                    .await
                    .inspect_err(|verdict| gate.take(change, verdict))?;
                let verdict = see(run, node, component, &local).await?;
                if let Some(labels) = &labels {
                    labels::restore_when_registered(run, node, labels, end).await;
                }
                if retreats {
                    crate::rows::delete_own_rows(run, change, end).await?;
                }
                if let (Some(_), Some(restore)) = (&registry, brought) {
                    crate::rows::put_back(run, change, restore, end).await?;
                }
                return Ok(verdict);
            }
            let settle = Duration::from_secs(settle_of(&run.desired.policy, change));
            // The framework is watched while the host settles, so that settling is waited for once.
            let rest = async {
                acting
                    .await
                    .inspect_err(|verdict| gate.take(change, verdict))?;
                if let Err(verdict) = see(run, node, component, &local).await {
                    // The host is healthy and wrong: it is told to go back, too.
                    if let Verdict::LeftFailed(why) = &verdict {
                        *gate = Gate::Refused(why.clone());
                    }
                    return Err(verdict);
                }
                let policy = &run.desired.policy;
                let patience = Duration::from_secs(policy.deadline) + settle;
                let until = (began + patience).max(Instant::now() + settle + GRACE);
                pass_gate(policy.deadline, until, settle, &watched, gate).await?;
                if !change.is_scripted() {
                    // No script of ours has watched the process: another publication may have come.
                    see(run, node, component, &local).await.map_err(|verdict| {
                        let why = verdict.why().unwrap_or_default();
                        Verdict::LeftFailed(format!(
                            "it was healthy for long enough, and now {why}: somebody else has changed it; plan again (`tarsops plan`)"
                        ))
                    })?;
                }
                Ok(())
            };
            let passed: Result<(), Verdict> = tokio::select! {
                biased;
                passed = rest => passed,
                never = follow(run, node, change, &wanted, settle, &watched) => match never {},
            };
            passed?;
            if let Some(labels) = &labels {
                labels::put_back_after(run, node, labels, end).await?;
            }
            // One that ran before stands in every locator already.
            if let (Some(registry), false) = (&registry, change.ran) {
                crate::locators::follow(run, registry, true, end).await?;
            }
            return Ok(Verdict::Done);
        }
    }
    see(run, node, component, &local).await
}

/// Seconds for which what an action changes must have been well before the step has succeeded; 0 for
/// an action after which nothing is watched.
pub(crate) fn settling(policy: &Policy, action: &Action) -> u64 {
    action.settle(policy)
}

/// Seconds for which a changed component must have been well.
fn settle_of(policy: &Policy, change: &HostChange) -> u64 {
    change.settle.unwrap_or(0).max(policy.settle)
}

/// Whether a change restarts a server that tarsnode holds the configuration of.
fn is_reloaded(change: &HostChange) -> bool {
    change.component != Component::Tarsnode
        && change.restarts()
        && (change.ends_healthy() && change.ran || !change.rows().is_empty())
        && change.is_scripted()
}

/// Whether the rows that a step changes say already what they should, and no restart is pending for them.
async fn has_rows(run: &Run<'_>, step: &Step, node: &NodeName, seen: &Inventory) -> bool {
    let Action::ChangeHost(change) = &step.action else {
        return true;
    };
    let pending_restart = |host: &HostFacts| host.restarts.contains(&change.component);
    if seen
        .host(node)
        .present()
        .is_some_and(|host| pending_restart(host))
    {
        return false;
    }
    if change.rows().is_empty() {
        return !change.rereads();
    }
    let framework = run.watch.all().await;
    framework.is_some_and(|f| {
        let rows = f.rows();
        rows.present()
            .is_some_and(|rows| effect::are_made(rows, change.rows()))
    })
}

/// Whether a rollback has nothing left to restore: a configuration that still is the new one means
/// well by every other condition.
fn is_back(action: &Action, node: &NodeName, seen: &Inventory) -> bool {
    let Action::ChangeHost(change) = action else {
        return true;
    };
    // While everything belongs to the run user, nothing was given back to anybody else.
    let given_back = change.restore().is_none_or(|restore| !restore.owners)
        || seen
            .agent(node)
            .present()
            .and_then(|agent| agent.folder.present())
            .is_some_and(|f| !f.strangers.is_empty() || f.owner != change.run_user.as_str())
        || change.ran_as.is_some();
    let old_user = change.ran_as.is_none() || runs_as(change, node, seen);
    change.undoes().is_none()
        || given_back
            && old_user
            && change.files().iter().all(|file| {
                match tarsops_plan::condition::digest_at(seen, node, &file.path) {
                    Observed::Present(digest) => Some(digest) == file.after,
                    Observed::Absent => file.after.is_none(),
                    // Not looked at: the host itself compares.
                    Observed::Unknown(_) => true,
                }
            })
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

/// Sees from here what the host has seen of its own end.
async fn see(
    run: &Run<'_>,
    node: &NodeName,
    component: Option<Component>,
    wanted: &[Condition],
) -> Result<Verdict, Verdict> {
    let until = Instant::now() + GRACE;
    let waiting = Waiting::until(until, "the host is being checked after its change");
    loop {
        let (why, seen) = match run.connect.connect(node).await {
            Err(fault) => (fault.text, false),
            Ok(remote) => match observe(run, &*remote, node, component).await {
                Err(verdict) => {
                    run.connect.forget(node).await;
                    (verdict.why().unwrap_or_default().to_owned(), false)
                }
                Ok(seen) => match holds(wanted, node, &seen) {
                    Ok(()) => return Ok(Verdict::Done),
                    Err(why) => (why, true),
                },
            },
        };
        if Instant::now() > until {
            let why = format!("the host says that it is done, and yet {why}");
            return Err(if seen {
                Verdict::LeftFailed(why)
            } else {
                Verdict::Silent(why)
            });
        }
        waiting.say(why);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What is seen of a node now.
pub(crate) async fn look_at(run: &Run<'_>, node: &NodeName) -> Result<Inventory, Verdict> {
    look_at_one(run, node, None).await
}

/// What is seen of a node now, one of its components among it.
pub(crate) async fn look_at_one(
    run: &Run<'_>,
    node: &NodeName,
    component: Option<Component>,
) -> Result<Inventory, Verdict> {
    let remote = reach(run, node).await?;
    observe(run, &*remote, node, component).await
}

async fn observe(
    run: &Run<'_>,
    remote: &dyn Host,
    node: &NodeName,
    component: Option<Component>,
) -> Result<Inventory, Verdict> {
    let options = run.look_options(node, component);
    let now = (run.clock)();
    let seen = match remote.look(node, &options, now).await {
        Ok(seen) => seen,
        Err(fault) => {
            run.connect.forget(node).await;
            return Err(Verdict::Silent(fault.text));
        }
    };
    let mut inventory = Inventory {
        observed_at: now,
        ..Inventory::default()
    };
    seen.into(&mut inventory);
    Ok(inventory)
}

/// Whether all conditions hold; the first that does not, in words.
pub(crate) fn holds(
    conditions: &[Condition],
    node: &NodeName,
    seen: &Inventory,
) -> Result<(), String> {
    for condition in conditions {
        match condition.eval(node, seen) {
            Truth::Holds => {}
            Truth::Fails(why) | Truth::Unknown(why) => return Err(why),
        }
    }
    Ok(())
}

/// Whether a step may begin: what is otherwise than when the plan was made has moved, and what cannot
/// be seen has not.
pub(crate) fn ready(
    conditions: &[Condition],
    node: &NodeName,
    seen: &Inventory,
) -> Result<(), Verdict> {
    for condition in conditions {
        match condition.eval(node, seen) {
            Truth::Holds => {}
            Truth::Fails(why) => return Err(Verdict::Moved(why)),
            Truth::Unknown(why) => return Err(Verdict::NotStarted(why)),
        }
    }
    Ok(())
}

#[allow(
    clippy::too_many_arguments,
    reason = "one call site; each is another thing"
)]
async fn act(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    change: &HostChange,
    remote: Arc<dyn Host>,
    (seen, looked): (&Inventory, Instant),
    place: &Place,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let Observed::Present(host) = seen.host(node) else {
        return Err(Verdict::Silent("it was not seen".to_owned()));
    };
    let crontab = crontab_after(change, host);
    let crontab_after = match &crontab {
        CrontabAfter::Keep => CrontabLeft::Unchanged,
        CrontabAfter::None => CrontabLeft::Removed,
        CrontabAfter::Text(text) => CrontabLeft::Written(Digest::of(text.as_bytes())),
        CrontabAfter::Back(digest, _) => CrontabLeft::Written(*digest),
    };
    let intent = intent_of(run, step, change, crontab_after);
    let name = intent.step.clone();
    let intent_text = serde_json::to_string(&intent)
        .map_err(|e| Verdict::NotStarted(format!("the intent cannot be written down: {e}")))?;
    upload(run, node, change, host, &*remote, place).await?;
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    run.progress.event(&Progress::Acting {
        step: &step.id,
        node,
        what: &step.summary,
    });
    let launch = |expires: Option<Expiry>| {
        Request(Ask::Launch(Launch {
            place,
            run: &run.id,
            step: &name,
            change,
            holder: &run.holder,
            intent: &intent_text,
            crontab: &crontab,
            settle: settle_of(&run.desired.policy, change),
            deadline: run.desired.policy.deadline,
            stop_on_failure: run.stop_on_failure,
            expires,
        }))
    };
    let request = || launch(expiry(host, looked, run.lease.until()));
    end.intent = Some(intent);
    let said = converse(
        run,
        remote,
        node,
        &request,
        place,
        &run.id,
        &name,
        Mode::Start,
    )
    .await?;
    conclude(said, end)
}

/// The moment `until` in the time of a host that was looked at before `looked`. Its clock was read some
/// time before that, so the moment is never later than it says.
fn expiry(host: &HostFacts, looked: Instant, until: Instant) -> Option<Expiry> {
    let left = until.saturating_duration_since(looked).as_millis() / 10;
    Some(Expiry {
        boot_id: host.boot_id.present()?.clone(),
        uptime: host.uptime?.checked_add(u64::try_from(left).ok()?)?,
    })
}

/// What is written down on a host before `change` is made there.
pub(crate) fn intent_of(
    run: &Run<'_>,
    step: &Step,
    change: &HostChange,
    crontab_after: CrontabLeft,
) -> Intent {
    Intent {
        format: FORMAT.to_owned(),
        cluster: run.desired.cluster.clone(),
        run: run.id.clone(),
        step: folder_name(&step.id),
        holder: run.holder.clone(),
        spec_digest: run.desired.spec_digest,
        started_at: (run.clock)(),
        sign: step.sign,
        change: without_content(change),
        crontab_after,
    }
}

/// Whether a script that keeps something on a host has said that it did; why not otherwise, where it
/// said nothing of its own by `failed`.
pub(crate) fn kept(output: &Output, failed: impl FnOnce(String) -> Verdict) -> Result<(), Verdict> {
    let said = String::from_utf8_lossy(&output.stdout);
    let (word, why) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
    match word.parse() {
        Ok(SaveWord::Kept) => Ok(()),
        Ok(SaveWord::Moved) => Err(Verdict::Moved(why.to_owned())),
        Ok(SaveWord::Fenced) => Err(Verdict::NoLease(why.to_owned())),
        Ok(SaveWord::Refused) => Err(Verdict::Refused(why.to_owned())),
        Err(_) => {
            let why = output.stderr.lines().last().unwrap_or("it printed nothing");
            Err(failed(why.to_owned()))
        }
    }
}

/// A connection to a node.
pub(crate) async fn reach(run: &Run<'_>, node: &NodeName) -> Result<Arc<dyn Host>, Verdict> {
    run.connect
        .connect(node)
        .await
        .map_err(|e| Verdict::Silent(e.text))
}

fn crontab_after(change: &HostChange, host: &HostFacts) -> CrontabAfter {
    let Some(CrontabChange { edit, back, .. }) = &change.crontab() else {
        return CrontabAfter::Keep;
    };
    if let Some(back) = back {
        return back.digest.map_or(CrontabAfter::None, |digest| {
            CrontabAfter::Back(digest, format!("{}/{}/before/crontab", back.run, back.step))
        });
    }
    // The precondition has made sure that this is the crontab that the edit was made for.
    let text = host
        .crontab
        .present()
        .map(|t| crontab::without_guard(t))
        .filter(|t| !t.is_empty());
    crontab::apply(text.as_deref(), edit).map_or(CrontabAfter::None, CrontabAfter::Text)
}
