//! The changes that a host in memory carries out by itself, whether or not anybody waits for them.

use std::time::Duration;

use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tokio::time::{Instant, sleep};

use super::machine::Key;
use super::part::Part;
use super::state::{Shared, State};
use super::work::{OnFailure, Place, Work};

/// How long cron takes at most to end a change that was cut off.
const GUARD: Duration = Duration::from_secs(60);
/// How long a component that is told to end takes.
const STOPS: Duration = Duration::from_millis(400);

/// Ends a change with a verdict.
fn finish(state: &mut State, node: &NodeName, key: &Key, word: &str, text: &str) {
    let machine = state.machine(node);
    if word != "stuck" && machine.current.as_ref() == Some(key) {
        machine.current = None;
    }
    let Some(change) = machine.changes.get_mut(key) else {
        return;
    };
    change.verdict = Some((word.to_owned(), text.to_owned()));
    change.alive = false;
    if word != "stuck"
        && let Some(work) = &change.work
    {
        for (_, _, _, after) in &work.files {
            if let Some(after) = after {
                machine.staged.remove(after);
            }
        }
    }
    change.ended.notify_waiters();
}

/// The host carries a change out, whether or not anybody still listens.
pub(super) async fn act(shared: Shared, node: NodeName, key: Key, expires: Option<u64>) {
    let pause = shared.lock().delay(40, 200);
    sleep(pause).await;
    let work = {
        let mut state = shared.lock();
        let uptime = state.uptime();
        let machine = state.machine(&node);
        let Some(work) = machine.changes.get(&key).and_then(|c| c.work.clone()) else {
            return;
        };
        let refusal = if machine.fence.as_ref().is_some_and(|fence| *fence > key.0) {
            Some(("fenced", "a newer run has been on this host".to_owned()))
        } else if machine.current.is_some() {
            Some((
                "refused",
                "another change on this host has not ended".to_owned(),
            ))
        } else if expires.is_some_and(|at| uptime > at) {
            Some(("late", "it began after its time".to_owned()))
        } else {
            machine.fence = Some(key.0.clone());
            machine.refusal(&work)
        };
        if let Some((word, why)) = refusal {
            finish(&mut state, &node, &key, word, &why);
            return;
        }
        let before = machine.before(&work);
        machine.current = Some(key.clone());
        if let Some(change) = machine.changes.get_mut(&key) {
            change.before = Some(before);
        }
        state.acts(&key.0, &node);
        work
    };
    match forward(&shared, &node, &key, &work).await {
        Ok(()) => finish(&mut shared.lock(), &node, &key, "ok", "done"),
        // It died; cron ends it.
        Err(None) => {
            {
                let mut state = shared.lock();
                if let Some(change) = state.machine(&node).changes.get_mut(&key) {
                    change.alive = false;
                }
            }
            sleep(GUARD).await;
            let idle = {
                let mut state = shared.lock();
                let change = state.machine(&node).changes.get_mut(&key);
                change.is_some_and(|c| {
                    let idle = !c.alive && c.verdict.is_none();
                    c.alive |= idle;
                    idle
                })
            };
            if idle {
                recover(shared, node, key, false).await;
            }
        }
        Err(Some(why)) if work.on_failure == OnFailure::Stop => {
            finish(&mut shared.lock(), &node, &key, "failed", &why);
        }
        Err(Some(why)) => undo(&shared, &node, &key, &work, &why).await,
    }
}

/// Ends a change that was cut off.
pub(super) async fn recover(shared: Shared, node: NodeName, key: Key, accept: bool) {
    let pause = shared.lock().delay(100, 400);
    sleep(pause).await;
    let work = {
        let mut state = shared.lock();
        let machine = state.machine(&node);
        let Some(change) = machine.changes.get_mut(&key) else {
            return;
        };
        change.alive = true;
        match (&change.before, accept) {
            (None, _) => {
                finish(
                    &mut state,
                    &node,
                    &key,
                    "refused",
                    "it had not begun when it ended",
                );
                return;
            }
            (_, true) => {
                finish(&mut state, &node, &key, "failed", "left as it was found");
                return;
            }
            _ => change.work.clone(),
        }
    };
    if let Some(work) = work {
        undo(&shared, &node, &key, &work, "the change was cut off").await;
    }
}

/// From the old state to the new one. Fails with a reason, or without one where the host's own process
/// died.
async fn forward(
    shared: &Shared,
    node: &NodeName,
    key: &Key,
    work: &Work,
) -> Result<(), Option<String>> {
    let (cut, pause) = {
        let mut state = shared.lock();
        (state.cut(node), state.delay(50, 300))
    };
    sleep(pause).await;
    if cut == Some(0) {
        return Err(None);
    }
    {
        let mut state = shared.lock();
        match &work.place {
            Place::Away => {
                state.stop(node, work.component);
                let machine = state.machine(node);
                if let Some(part) = machine.parts.remove(&work.component) {
                    machine.away.insert(key.clone(), part);
                }
                if let Some((_, after)) = &work.crontab {
                    machine.crontab.clone_from(after);
                }
                return Ok(());
            }
            Place::Make => {
                let parts = &mut state.machine(node).parts;
                parts.insert(work.component, Part::default());
            }
            Place::Back(run, step) => {
                let machine = state.machine(node);
                if let Some(part) = machine.away.remove(&(run.clone(), step.clone())) {
                    machine.parts.insert(work.component, part);
                }
            }
            Place::Stay => {}
        }
        if let Some(part) = state.machine(node).parts.get_mut(&work.component) {
            work.replace(part, false);
        }
    }
    if cut == Some(1) {
        return Err(None);
    }
    if work.restart {
        shared.lock().stop(node, work.component);
        sleep(STOPS).await;
        if cut == Some(2) {
            return Err(None);
        }
        let mut state = shared.lock();
        if let Some(part) = state.machine(node).parts.get_mut(&work.component) {
            work.replace(part, true);
        }
        if work.health {
            state.start(shared, node, work.component);
        }
    }
    if cut == Some(3) {
        return Err(None);
    }
    if work.health {
        healthy(shared, node, work, work.settle, work.deadline)
            .await
            .map_err(Some)?;
    }
    if let Some((before, after)) = &work.crontab {
        let mut state = shared.lock();
        let machine = state.machine(node);
        let now = machine.crontab.as_ref().map(|t| Digest::of(t.as_bytes()));
        if now != *before {
            return Err(Some("the crontab changed meanwhile".to_owned()));
        }
        machine.crontab.clone_from(after);
    }
    Ok(())
}

/// Waits until the component runs its installed file and has for `settle` seconds.
async fn healthy(
    shared: &Shared,
    node: &NodeName,
    work: &Work,
    settle: u64,
    deadline: u64,
) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(deadline);
    let settle = Duration::from_secs(settle);
    let mut since: Option<(Instant, u32)> = None;
    loop {
        let pid = {
            let mut state = shared.lock();
            let part = state.machine(node).parts.get(&work.component);
            part.and_then(|part| {
                let process = part.process.as_ref()?;
                let own = Some(process.exe) == part.binary(work.component);
                (own && process.up <= Instant::now()).then_some(process.pid)
            })
        };
        let nap = match (pid, since) {
            (None, _) => {
                since = None;
                Duration::from_millis(500)
            }
            (Some(pid), Some((at, of))) if of == pid => {
                let left = settle.saturating_sub(at.elapsed());
                if left.is_zero() {
                    return Ok(());
                }
                left.min(Duration::from_secs(2))
            }
            (Some(pid), _) => {
                since = Some((Instant::now(), pid));
                if settle.is_zero() {
                    return Ok(());
                }
                Duration::from_millis(100)
            }
        };
        if Instant::now() > until {
            return Err(format!("{} is not healthy", work.component));
        }
        sleep(nap).await;
    }
}

/// Puts the old state back.
async fn undo(shared: &Shared, node: &NodeName, key: &Key, work: &Work, why: &str) {
    let (ran, same) = {
        let mut state = shared.lock();
        let machine = state.machine(node);
        let change = machine.changes.get(key);
        let Some(before) = change.and_then(|c| c.before.clone()) else {
            return;
        };
        if let Some((of, after)) = &work.crontab {
            let now = machine.crontab.as_ref().map(|t| Digest::of(t.as_bytes()));
            if now != *of && machine.crontab == *after {
                machine.crontab.clone_from(&before.crontab);
            }
        }
        let process = machine
            .parts
            .get(&work.component)
            .and_then(|p| p.process.clone());
        let ran = before.part.as_ref().is_some_and(|p| p.process.is_some());
        let same = before.part.as_ref().and_then(|p| p.process.as_ref()) == process.as_ref();
        if !same {
            state.stop(node, work.component);
        }
        let machine = state.machine(node);
        match (&work.place, before.part) {
            (Place::Back(run, step), _) => {
                if let Some(part) = machine.parts.remove(&work.component) {
                    machine.away.insert((run.clone(), step.clone()), part);
                }
            }
            (_, None) => {
                machine.parts.remove(&work.component);
            }
            (_, Some(part)) => {
                machine.away.remove(key);
                let files = part.files;
                let now = machine.parts.entry(work.component).or_default();
                now.files = files;
            }
        }
        (ran, same)
    };
    let mut outcome = Ok(());
    if ran && !same {
        sleep(STOPS).await;
        shared.lock().start(shared, node, work.component);
        outcome = healthy(shared, node, work, 2, 60).await;
    }
    let mut state = shared.lock();
    match outcome {
        Ok(()) => finish(&mut state, node, key, "rolled-back", why),
        Err(cause) => {
            let text = format!("{why}; and the old state could not be put back whole: {cause}");
            finish(&mut state, node, key, "stuck", &text);
        }
    }
}
