//! The port of hosts in memory.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId};
use tarsops_probe::{Options, Seen};
use tarsops_transport::{Bounds, Fault, FaultKind, Output};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::acting::{act, recover};
use super::faults::Reply;
use super::machine::{Before, Change, Held, Key, Machine};
use super::state::Shared;
use super::work::work;
use crate::port::{Ask, Host, Hosts, Request, Upload};
use crate::scripts::{Launch, LeaseMode, Mode};

fn enc(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn says(text: String) -> Output {
    Output {
        stdout: text.into_bytes(),
        stderr: String::new(),
        status: Some(0),
    }
}

fn verdict(word: &str, text: &str) -> Output {
    says(format!("tarsops-change/2\nverdict {word} {text}\nend\n"))
}

/// Connections to hosts in memory.
pub(super) struct SimHosts(pub(super) Shared);

impl Hosts for SimHosts {
    fn connect<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Host>, Fault>> {
        Box::pin(async move {
            let (delay, up) = {
                let mut state = self.0.lock();
                (state.delay(2, 30), !state.faults.is_silent(node))
            };
            if !up {
                sleep(Duration::from_secs(10)).await;
                return Err(Fault::new(FaultKind::TimedOut, "no answer within 10 s"));
            }
            sleep(delay).await;
            Ok(Arc::new(SimHost {
                shared: self.0.clone(),
                node: node.clone(),
            }) as Arc<dyn Host>)
        })
    }

    fn forget<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

/// A connection to a host in memory.
pub(super) struct SimHost {
    shared: Shared,
    node: NodeName,
}

impl SimHost {
    /// The way there. What is lost before it arrives has no effect.
    async fn there(&self) -> Result<Reply, Fault> {
        let (delay, silent, reply) = {
            let mut state = self.shared.lock();
            let silent = state.faults.is_silent(&self.node);
            (state.delay(1, 40), silent, state.reply(&self.node))
        };
        if silent {
            sleep(Duration::from_secs(10)).await;
            return Err(Fault::new(FaultKind::TimedOut, "no answer within 10 s"));
        }
        sleep(delay).await;
        match reply {
            Reply::LostBefore => Err(lost()),
            reply => Ok(reply),
        }
    }

    /// The rollback.
    fn back(&self, reply: Reply, output: Output) -> Result<Output, Fault> {
        let silent = self.shared.lock().faults.is_silent(&self.node);
        if reply == Reply::LostAfter || silent {
            return Err(lost());
        }
        Ok(output)
    }

    async fn wait(&self, key: &Key, mode: Mode) -> Output {
        let mut idle = 0;
        loop {
            let ended = {
                let mut state = self.shared.lock();
                let machine = state.machine(&self.node);
                let Some(change) = machine.changes.get_mut(key) else {
                    return verdict("unknown", "the host knows no such change");
                };
                match &change.verdict {
                    Some((word, _))
                        if word == "stuck"
                            && matches!(mode, Mode::Recover | Mode::Accept)
                            && idle == 0 => {}
                    Some((word, text)) => return verdict(word, text),
                    None if change.alive => {}
                    None => idle += 1,
                }
                if idle > 1 {
                    return says("tarsops-change/2\nlost\nend\n".to_owned());
                }
                if !change.alive && matches!(mode, Mode::Recover | Mode::Accept) {
                    change.verdict = None;
                    change.alive = true;
                    let ended = Arc::clone(&change.ended);
                    drop(state);
                    tokio::spawn(recover(
                        self.shared.clone(),
                        self.node.clone(),
                        key.clone(),
                        mode == Mode::Accept,
                    ));
                    ended
                } else {
                    Arc::clone(&change.ended)
                }
            };
            let noticed = ended.notified();
            tokio::select! {
                biased;
                () = noticed => {}
                () = sleep(Duration::from_secs(4)) => {}
            }
        }
    }

    async fn launch(&self, launch: &Launch<'_>) -> Output {
        let key: Key = (launch.run.clone(), launch.step.to_owned());
        {
            let mut state = self.shared.lock();
            let uptime = state.uptime();
            let machine = state.machine(&self.node);
            if !machine.changes.contains_key(&key) {
                if let Some(expires) = &launch.expires
                    && (expires.boot_id != machine.boot_id || uptime > expires.uptime)
                {
                    return verdict("late", "it arrived after its time");
                }
                let work = work(launch, |run, step| {
                    let change = machine.changes.get(&(run, step.to_owned()))?;
                    change.before.as_ref()?.crontab.clone()
                });
                for text in &work.texts {
                    machine.staged.insert(Digest::of(text.as_bytes()));
                }
                let lacks = work
                    .images
                    .iter()
                    .any(|key| !machine.changes.contains_key(key));
                if lacks {
                    return verdict("refused", "the before-image is not there any more");
                }
                for (_, _, _, after) in &work.files {
                    if let (Some(after), false) = (after, work.images.is_empty()) {
                        machine.staged.insert(*after);
                    }
                }
                if let Some((_, Some(text))) = &work.crontab {
                    machine.staged.insert(Digest::of(text.as_bytes()));
                }
                machine.changes.insert(
                    key.clone(),
                    Change {
                        intent: launch.intent.to_owned(),
                        work: Some(work.clone()),
                        before: None,
                        alive: true,
                        verdict: None,
                        gate: None,
                        ended: Arc::new(Notify::new()),
                    },
                );
                for text in work.texts {
                    state.learn(text);
                }
                tokio::spawn(act(
                    self.shared.clone(),
                    self.node.clone(),
                    key.clone(),
                    launch.expires.as_ref().map(|e| e.uptime),
                ));
            }
        }
        self.wait(&key, Mode::Start).await
    }

    fn lease(&self, run: &RunId, holder: &str, ttl: u64, mode: LeaseMode) -> Output {
        let mut state = self.shared.lock();
        let machine = state.machine(&self.node);
        let ours = Held {
            run: run.clone(),
            holder: holder.to_owned(),
            beat: Instant::now(),
            ttl: Duration::from_secs(ttl),
        };
        match (mode, &machine.lease) {
            (LeaseMode::Acquire, Some(held)) if held.run != *run && held.is_held() => {
                return says(format!(
                    "tarsops-lease/1 held {} {} {} {}\n",
                    enc(&held.holder),
                    enc(held.run.as_str()),
                    enc(&held.beat.elapsed().as_secs().to_string()),
                    enc(&held.ttl.as_secs().to_string())
                ));
            }
            (LeaseMode::Renew, held) if held.as_ref().is_none_or(|h| h.run != *run) => {
                let (holder, run) = held
                    .as_ref()
                    .map_or(("", ""), |h| (h.holder.as_str(), h.run.as_str()));
                return says(format!(
                    "tarsops-lease/1 lost {} {}\n",
                    enc(holder),
                    enc(run)
                ));
            }
            (LeaseMode::Release, held) => {
                if held.as_ref().is_some_and(|h| h.run == *run) {
                    machine.lease = None;
                }
            }
            _ => machine.lease = Some(ours),
        }
        says("tarsops-lease/1 ok\n".to_owned())
    }

    /// What refuses a run where a newer one has been.
    fn fenced(machine: &Machine, run: &RunId) -> Option<Output> {
        let newer = machine.fence.as_ref().filter(|fence| *fence > run)?;
        Some(says(format!(
            "fenced a newer run, {newer}, has been on this host\n"
        )))
    }

    fn carry_out(&self, ask: &Ask<'_>) -> Output {
        let mut state = self.shared.lock();
        let machine = state.machine(&self.node);
        let kept = || says("kept\n".to_owned());
        let record = |intent: &str| Change {
            intent: intent.to_owned(),
            work: None,
            before: None,
            alive: false,
            verdict: None,
            gate: None,
            ended: Arc::new(Notify::new()),
        };
        match ask {
            Ask::NoteGate {
                run, step, words, ..
            } => {
                let key = ((*run).clone(), (*step).to_owned());
                match machine.changes.get_mut(&key) {
                    Some(change) => change.gate = Some(words.clone()),
                    None => return Output::default(),
                }
                kept()
            }
            Ask::Labels { text, .. } => {
                machine.labels.clone_from(text);
                kept()
            }
            Ask::WriteIntent {
                run,
                step,
                intent,
                verdict,
                ..
            } => {
                let key = ((*run).clone(), (*step).to_owned());
                let change = machine.changes.entry(key).or_insert_with(|| record(intent));
                change.verdict = verdict.as_ref().map(|text| ("ok".to_owned(), text.clone()));
                kept()
            }
            Ask::RemoveIntent { run, step, .. } => {
                machine
                    .changes
                    .remove(&((*run).clone(), (*step).to_owned()));
                says("gone\n".to_owned())
            }
            Ask::SaveRows { name, rows, .. } => {
                machine.rows.insert(name.clone(), (*rows).to_owned());
                says(format!("kept rows/{name}\n"))
            }
            Ask::SavedRows { name, .. } => {
                says(machine.rows.get(name).cloned().unwrap_or_default())
            }
            Ask::KeepDump { digest, .. } => {
                machine.staged.remove(digest);
                says(format!("kept backups/{digest}\n"))
            }
            Ask::DropDump { digest, .. } => {
                machine.staged.remove(digest);
                says("gone\n".to_owned())
            }
            Ask::SaveProgram {
                run,
                step,
                intent,
                program,
                ..
            } => {
                if let Some(fenced) = Self::fenced(machine, run) {
                    return fenced;
                }
                let part = machine.parts.get(&program.component).cloned();
                let now = part.as_ref().and_then(|p| p.binary(program.component));
                if now != program.before {
                    return says(format!(
                        "moved {} has changed since it was read\n",
                        program.path
                    ));
                }
                machine.fence = Some((*run).clone());
                let crontab = machine.crontab.clone();
                let change = Change {
                    before: Some(Before { part, crontab }),
                    ..record(intent)
                };
                let key = ((*run).clone(), (*step).to_owned());
                machine.changes.insert(key, change);
                if program.marked {
                    let marks = machine.marks.entry(program.component).or_default();
                    marks.push(run.to_string());
                }
                let (run, node) = ((*run).clone(), self.node.clone());
                state.acts(&run, &node);
                kept()
            }
            Ask::PendRestart {
                run,
                step,
                intent,
                component,
                ..
            } => {
                if let Some(fenced) = Self::fenced(machine, run) {
                    return fenced;
                }
                machine.fence = Some((*run).clone());
                let key = ((*run).clone(), (*step).to_owned());
                machine.changes.insert(key, record(intent));
                machine
                    .marks
                    .entry(*component)
                    .or_default()
                    .push(run.to_string());
                kept()
            }
            Ask::Mark { component, key, .. } => {
                machine
                    .marks
                    .entry(*component)
                    .or_default()
                    .push(key.clone());
                kept()
            }
            Ask::Unmark {
                component, which, ..
            } => {
                unmark(machine, *component, *which);
                kept()
            }
            Ask::Conclude {
                run,
                step,
                verdict,
                text,
                unmark: which,
                ..
            } => {
                let key = ((*run).clone(), (*step).to_owned());
                match machine.changes.get_mut(&key) {
                    Some(change) => {
                        change.verdict = Some((verdict.as_str().to_owned(), text.clone()))
                    }
                    None => return Output::default(),
                }
                if let Some((component, which)) = which {
                    unmark(machine, *component, *which);
                }
                kept()
            }
            Ask::Launch(_)
            | Ask::ReplaceContainer(_)
            | Ask::PruneContainers { .. }
            | Ask::Wait { .. }
            | Ask::Lease { .. } => Output::default(),
        }
    }
}

fn unmark(machine: &mut Machine, component: Component, which: crate::records::Unmark<'_>) {
    use crate::records::Unmark;
    let Some(marks) = machine.marks.get_mut(&component) else {
        return;
    };
    marks.retain(|mark| match which {
        Unmark::Own(key) => mark != key,
        Unmark::Until(run) => mark.split('.').next().unwrap_or_default() > run.as_str(),
    });
    if marks.is_empty() {
        machine.marks.remove(&component);
    }
}

fn lost() -> Fault {
    Fault::new(FaultKind::Disconnected, "the connection broke")
}

impl Host for SimHost {
    fn look<'a>(
        &'a self,
        node: &'a NodeName,
        options: &'a Options,
        _: i64,
    ) -> BoxFuture<'a, Result<Seen, Fault>> {
        Box::pin(async move {
            let reply = self.there().await?;
            let seen = self.shared.lock().look(node, options);
            self.back(reply, Output::default())?;
            Ok(seen)
        })
    }

    fn ask<'a>(
        &'a self,
        request: &'a Request<'a>,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move {
            let reply = self.there().await?;
            if let Ask::Lease {
                mode: LeaseMode::Renew,
                ..
            } = &request.0
                && self.shared.lock().faults.renewals_are_lost()
            {
                return Err(lost());
            }
            let work = async {
                match &request.0 {
                    Ask::Launch(launch) => self.launch(launch).await,
                    // No host here has an engine.
                    Ask::ReplaceContainer(_) => verdict("refused", "there is no engine"),
                    Ask::Wait {
                        run, step, mode, ..
                    } => {
                        let key = ((*run).clone(), (*step).to_owned());
                        self.wait(&key, *mode).await
                    }
                    Ask::Lease {
                        run,
                        holder,
                        ttl,
                        mode,
                        ..
                    } => self.lease(run, holder, *ttl, *mode),
                    other => self.carry_out(other),
                }
            };
            match tokio::time::timeout(bounds.time, work).await {
                Ok(output) => self.back(reply, output),
                Err(_) => Err(Fault::new(FaultKind::TimedOut, "no answer in time")),
            }
        })
    }

    fn upload<'a>(
        &'a self,
        upload: &'a Upload<'a>,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move {
            let reply = self.there().await?;
            let delay = {
                let mut state = self.shared.lock();
                state.machine(&self.node).staged.insert(upload.digest);
                state.delay(50, 900)
            };
            sleep(delay).await;
            self.back(reply, says("tarsops-upload/1 ok\n".to_owned()))
        })
    }
}
