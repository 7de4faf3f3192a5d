//! Basic services: the framework publishes the program, and the host is looked at.
//!
//! What a task says is not what happened (`docs/publishing.md`): success is that the host runs the
//! announced bytes, and failure that it does not, whatever anybody answered. The program that was
//! there is copied aside first, since tarsnode keeps none of a server that has its own `exe_path`;
//! with it the host goes back by its own script, as any component does.
//!
//! Packages of one server never go at once: tarspatch lays each at the same place.

mod cause;

pub use cause::{Ended, Evidence, cause, is_damaged};

use std::time::Duration;

pub use tarsops_framework::{Fault, Package, Publish, Standing};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Content, FileChange, HostChange, Operation, Renamed, Via};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::plan::Step;
use tarsops_plan::restore::{CrontabLeft, Intent};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::backoff::Pause;
use crate::execute::{Progress, Run};
use crate::port::{Ask, Request};
use crate::records::{self, Unmark};
use crate::step::{StepEnd, Verdict, holds, intent_of, kept, look_at_one, reach};
use crate::waiting::Waiting;
use crate::words::ChangeWord;

/// Between two questions about a task.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at the host while its task runs: each is a login.
const LOOK: Duration = Duration::from_secs(3);
/// How long the host may take to show what a task has done.
const GRACE: Duration = Duration::from_secs(15);
/// How long what a task calls failed may take to come true all the same: a node that was busy for
/// over 5 s was seen to change its files 12 s later.
const LATE: Duration = Duration::from_secs(20);
/// How long writing down may take on a host.
const NOTE: Duration = Duration::from_secs(60);

/// Publishes the program of `change`. `Ok` if the host shows it; [`Verdict::LeftFailed`] if the host
/// changed and does not show it, so that it should go back; [`Verdict::NotStarted`] if nothing changed.
pub(crate) async fn act(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    (change, publish): (&HostChange, &tarsops_plan::action::Publish),
    local: &[Condition],
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let not_started = |why: String| Verdict::NotStarted(why);
    let publisher = run
        .publish
        .ok_or_else(|| not_started("nothing is available to publish it".to_owned()))?;
    let via = publish.via;
    let component = change.component;
    let file @ FileChange {
        content: Content::Package { version, path, .. },
        after: Some(digest),
        ..
    } = &publish.program
    else {
        return Err(not_started(
            "the plan does not say which program is published".to_owned(),
        ));
    };
    let (version, digest) = (*version, *digest);
    ready(run, node, component).await.map_err(not_started)?;
    let binary = run
        .payloads
        .file(component, version, path, &digest)
        .map_err(not_started)?;
    // From here on no other package of this server is laid ready, by us.
    let _turn = publisher.turn(component.name()).await;
    let package = publisher
        .package(via, component, version, &binary, &digest)
        .await
        .map_err(|fault| not_started(not_taken(via, component, node, fault)))?;
    end.log
        .push(format!("package {} ({})", package.id, package.tgz));
    if let Err(why) = publisher.prepare(component, &package).await {
        let told = cause(&Evidence {
            via,
            ended: &Ended::NotFound(why),
            ..Evidence::of(component, node)
        });
        return Err(not_started(told));
    }
    let row = publisher.row(node, component).await;
    let stopped = |row: &ServerRow| row.setting.as_deref() == Some("inactive");
    if change.ran && row.as_ref().is_some_and(stopped) {
        return Err(Verdict::Moved(format!(
            "somebody has set {component} inactive, and publishing would start it"
        )));
    }
    let before = row.and_then(|row| row.patch_version);
    if before.is_none() {
        end.log
            .push("which package its row names could not be read".to_owned());
    }
    let names = before.map(|from| Renamed {
        from,
        to: package.id.to_string(),
    });
    keep(run, step, node, (change, publish), names.clone(), end).await?;
    crate::row_edits::make(run, change, end).await?;
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    run.progress.event(&Progress::Acting {
        step: &step.id,
        node,
        what: &step.summary,
    });
    let began = Instant::now();
    let ended = carry_out(run, publisher, node, (component, via), &package, local, end).await?;
    let patience = match &ended {
        Ended::Seen => return Ok(()),
        Ended::Success { .. } => GRACE,
        Ended::Failed { .. } | Ended::Refused(_) => {
            LATE.min(Duration::from_secs(run.desired.policy.deadline))
        }
        Ended::Stuck { .. } | Ended::NotFound(_) | Ended::NotTaken(_) => Duration::ZERO,
    };
    let until = Instant::now() + patience;
    let waiting = Waiting::until(until, format!("{component} is being checked on its host"));
    let (why, seen) = loop {
        let (why, seen) = match look_at_one(run, node, Some(component)).await {
            Err(verdict) => (verdict.why().unwrap_or_default().to_owned(), None),
            Ok(seen) => match holds(local, node, &seen) {
                Ok(()) => {
                    if let Ended::Failed { words } | Ended::Refused(words) = &ended {
                        end.log.push(format!(
                            "the task says that it failed ({words}), and the host runs the new program"
                        ));
                    }
                    return Ok(());
                }
                Err(why) => (why, Some(seen)),
            },
        };
        if Instant::now() > until {
            break (why, seen);
        }
        waiting.say(&*why);
        tokio::time::sleep(PAUSE).await;
    };
    let notices = publisher
        .notices(via, node, component, began.elapsed())
        .await;
    let evidence = Evidence {
        component,
        node,
        via,
        ended: &ended,
        host: &why,
        notices: &notices,
        file_is_new: seen
            .as_ref()
            .map(|seen| digest_of(seen, component, node) == Some(digest)),
        torn: seen.as_ref().is_some_and(|seen| {
            let now = digest_of(seen, component, node);
            now.is_some() && now != Some(digest) && now != file.before
        }),
    };
    let told = cause(&evidence);
    if is_damaged(&evidence) {
        // It would be known again by its MD5, and fail again.
        match publisher.discard(via, component, version, &package).await {
            Ok(()) => end.log.push(format!("package {} is not used again", package.id)),
            Err(why) => end.log.push(format!(
                "package {} may be damaged, and the next run may take it again: {why}; delete it in the management platform",
                package.id
            )),
        }
    }
    match seen {
        // It runs what it ran, so nothing has to go back.
        Some(seen) if is_untouched(change, file, node, &seen) => {
            // The node may have told of the package before it failed.
            if let Some(names) = names {
                name_again(run, node, component, &names.inverse(), end).await;
            }
            Err(not_started(told))
        }
        Some(_) => Err(Verdict::LeftFailed(told)),
        None => Err(Verdict::Silent(told)),
    }
}

/// Why the package, or the task, was not taken.
fn not_taken(via: Via, component: Component, node: &NodeName, fault: Fault) -> String {
    cause(&Evidence {
        via,
        ended: &Ended::NotTaken(fault.text),
        ..Evidence::of(component, node)
    })
}

fn digest_of(seen: &Inventory, component: Component, node: &NodeName) -> Option<Digest> {
    let facts = seen.server(component, node);
    Some(facts.present()?.binary.present()?.digest)
}

/// Whether the host still has the program that it had, and runs it if it did.
fn is_untouched(change: &HostChange, file: &FileChange, node: &NodeName, seen: &Inventory) -> bool {
    let facts = seen.server(change.component, node);
    let facts = match &facts {
        Observed::Present(facts) => facts,
        Observed::Absent => return file.before.is_none() && !change.ran,
        Observed::Unknown(_) => return false,
    };
    let same = match &facts.binary {
        Observed::Present(now) => Some(now.digest) == file.before,
        Observed::Absent => file.before.is_none(),
        Observed::Unknown(_) => false,
    };
    let runs = match facts.processes.present().map(Vec::as_slice) {
        Some([]) => !change.ran,
        Some([one]) => change.ran && one.exe.present().copied() == file.before,
        _ => false,
    };
    same && runs
}

/// Waits until those who carry a task out answer: AdminRegistry reaches the node, and tarspatch is up.
async fn ready(run: &Run<'_>, node: &NodeName, component: Component) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(run.desired.policy.deadline);
    let patch = run.desired.patch();
    let mut pause = Pause::default();
    loop {
        let seen = Inventory {
            framework: run.watch.node(node).await,
            ..Inventory::default()
        };
        let mut why = match Condition::Connected.eval(node, &seen) {
            Truth::Holds => None,
            Truth::Fails(why) | Truth::Unknown(why) => Some(format!(
                "AdminRegistry does not reach the node, where tarsnode would fetch {component}: {why}"
            )),
        };
        if let (None, Some((at, _))) = (&why, &patch) {
            let seen = Inventory {
                framework: run.watch.server(at, Component::Tarspatch).await,
                ..Inventory::default()
            };
            let answers = Condition::ServantsAnswer {
                component: Component::Tarspatch,
            };
            if let Truth::Fails(said) | Truth::Unknown(said) = answers.eval(at, &seen) {
                why = Some(format!(
                    "tarspatch on {at}, which hands packages out, does not answer: {said}"
                ));
            }
        }
        let Some(why) = why else { return Ok(()) };
        if Instant::now() > until {
            return Err(why);
        }
        pause.wait().await;
    }
}

/// Keeps the program that is there, with the intent, where the host's own changes keep theirs.
async fn keep(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    (change, publish): (&HostChange, &tarsops_plan::action::Publish),
    patch_version: Option<Renamed>,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let place = &run.place(node);
    let file = &publish.program;
    let recorded = HostChange {
        operation: Operation::Publish(tarsops_plan::action::Publish {
            patch_version,
            ..publish.clone()
        }),
        ..change.clone()
    };
    let intent = intent_of(run, step, &recorded, CrontabLeft::Unchanged);
    let text = serde_json::to_string(&intent)
        .map_err(|e| Verdict::NotStarted(format!("the intent cannot be written down: {e}")))?;
    let program = records::Program {
        component: change.component,
        path: &file.path,
        before: file.before,
        run_user: &change.run_user,
        marked: !publish.rows.is_empty(),
    };
    let request = Request(Ask::SaveProgram {
        place,
        run: &run.id,
        step: &intent.step,
        intent: &text,
        program,
    });
    let remote = reach(run, node).await?;
    let output = remote
        .tell(&request, NOTE)
        .await
        .map_err(|e| {
            Verdict::NotStarted(format!(
                "the old program could not be saved, so nothing was published: {}; check that {node} can be reached, and apply again",
                e.text
            ))
        })?;
    kept(&output, |why| {
        Verdict::NotStarted(format!("the program could not be saved: {why}"))
    })?;
    end.intent = Some(intent);
    Ok(())
}

/// Begins the task and waits for its end, or for what the host shows.
async fn carry_out(
    run: &Run<'_>,
    publisher: &dyn Publish,
    node: &NodeName,
    (component, via): (Component, Via),
    package: &Package,
    local: &[Condition],
    end: &mut StepEnd,
) -> Result<Ended, Verdict> {
    // Cut off from here on, it may come true.
    end.begun = true;
    let task = match publisher.begin(via, node, component, package).await {
        Ok(task) => task,
        Err(fault) if fault.nothing_happened => {
            end.begun = false;
            let told = not_taken(via, component, node, fault);
            return Err(Verdict::NotStarted(told));
        }
        // It may be carried out all the same, under a number that nobody tells.
        Err(fault) => return Ok(Ended::Refused(fault.text)),
    };
    let began = Instant::now();
    let ended = follow_task(run, publisher, node, (component, via), &task, local).await;
    end.log.push(format!(
        "task {task} took {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(ended)
}

/// Waits for the end of a task, or for what the host shows.
async fn follow_task(
    run: &Run<'_>,
    publisher: &dyn Publish,
    node: &NodeName,
    (component, via): (Component, Via),
    task: &str,
    local: &[Condition],
) -> Ended {
    let until = Instant::now() + Duration::from_secs(run.desired.policy.deadline);
    let mut looked = Instant::now();
    let waiting = Waiting::until(until, format!("the publication of {component} was ordered"));
    loop {
        let last = match publisher.standing(via, task).await {
            Ok(Standing::Final {
                success: true,
                words,
            }) => return Ended::Success { words },
            Ok(Standing::Final { words, .. }) => return Ended::Failed { words },
            Ok(Standing::Waiting) => "it waits for its turn".to_owned(),
            Ok(Standing::Running) => "it runs".to_owned(),
            Err(why) => why,
        };
        if looked.elapsed() >= LOOK {
            let seen = look_at_one(run, node, Some(component)).await;
            if seen.is_ok_and(|seen| holds(local, node, &seen).is_ok()) {
                return Ended::Seen;
            }
            looked = Instant::now();
        }
        waiting.say(format!("the publication of {component}: {last}"));
        if Instant::now() > until {
            return Ended::Stuck {
                last,
                after: run.desired.policy.deadline,
            };
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Has the server's row name the package again that runs there again.
pub(crate) async fn name_again(
    run: &Run<'_>,
    node: &NodeName,
    component: Component,
    names: &Renamed,
    end: &mut StepEnd,
) {
    let Some(publisher) = run.publish else { return };
    let Renamed { from, to } = names;
    let named = publisher.name_again(node, component, from, to).await;
    match named {
        Ok(true) => end.log.push(format!("its row names package {to} again")),
        Ok(false) => {}
        Err(why) => end.log.push(format!(
            "its row may name package {from}, though {to} runs again: {why}"
        )),
    }
}

/// Waits until no other publication goes back on the host of this one: a host changes one thing at a
/// time, and would refuse.
pub(crate) async fn turn_back(run: &Run<'_>, end: &StepEnd) -> Option<OwnedMutexGuard<()>> {
    let published = end.intent.as_ref()?.change.publish().is_some();
    let publisher = run.publish.filter(|_| published)?;
    Some(publisher.turn(&format!("host {}", end.node)).await)
}

/// Writes down how a publication or a restart by AdminRegistry ended, where the host's own changes leave their verdicts.
pub(crate) async fn conclude(run: &Run<'_>, step: &Step, end: &mut StepEnd) {
    let by_framework = |i: &&Intent| !i.change.is_scripted();
    let Some(intent) = end.intent.as_ref().filter(by_framework) else {
        return;
    };
    let (word, text) = match &end.verdict {
        Verdict::Done | Verdict::AlreadyDone => (ChangeWord::Ok, "done".to_owned()),
        Verdict::RolledBack(why) => (ChangeWord::RolledBack, why.clone()),
        // A task that was begun may still come true.
        Verdict::NotStarted(why) if end.begun => (ChangeWord::Failed, why.clone()),
        Verdict::Moved(why) | Verdict::Refused(why) | Verdict::NoLease(why) if !end.begun => {
            (ChangeWord::Refused, why.clone())
        }
        Verdict::NotStarted(why) => (ChangeWord::Refused, why.clone()),
        Verdict::Stuck(why) => (ChangeWord::Stuck, why.clone()),
        other => (
            ChangeWord::Failed,
            other.why().unwrap_or_default().to_owned(),
        ),
    };
    let unmark = match &end.verdict {
        Verdict::Done | Verdict::AlreadyDone => Some(Unmark::Until(&run.id)),
        // It has read its rows, and is not well all the same.
        Verdict::LeftFailed(_) | Verdict::Silent(_) if end.restarted => {
            Some(Unmark::Until(&run.id))
        }
        // Rows that stay changed are not read until it is started again.
        _ if word == ChangeWord::Refused && end.edited.is_empty() => {
            Some(Unmark::Own(run.id.as_str()))
        }
        _ => None,
    };
    let request = Request(Ask::Conclude {
        place: &run.place(&end.node),
        run: &run.id,
        step: &intent.step,
        verdict: word,
        text: text.replace('\n', " "),
        holder: &run.holder,
        unmark: unmark.map(|which| (intent.change.component, which)),
        summary: &step.summary,
    });
    if let Err(why) = crate::row_edits::tell(run, &end.node, &request).await {
        end.log.push(format!(
            "how it ended could not be written down on the host: {why}"
        ));
    }
}
