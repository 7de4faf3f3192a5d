//! Hosts in memory: their files, processes and records, and the changes that they carry out by
//! themselves once they were told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use futures::future::BoxFuture;
use tarsops_model::agent::{AgentFacts, FileFact, OwnerFact, ProcessFact, TextFact};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::NodeLabels;
use tarsops_model::host::{HostFacts, LeaseFacts, Unfinished};
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;
use tarsops_probe::{Options, Seen};
use tarsops_transport::{Bounds, Fault, FaultKind, Output};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::change::{OnFailure, Place, Work};
use super::faults::Reply;
use super::state::{Shared, State};
use super::{TARS, USER, change};
use crate::port::{Ask, Host, Hosts, Request, Upload};
use crate::scripts::{Launch, LeaseMode, Mode};

/// How long a tarsnode takes to register once it runs.
pub(super) const REGISTERS: Duration = Duration::from_millis(1500);
/// How long cron takes at most to end a change that was cut off.
const GUARD: Duration = Duration::from_secs(60);
/// How long a component that is told to end takes.
const STOPS: Duration = Duration::from_millis(400);

/// A file of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) digest: Digest,
    pub(super) mode: u32,
}

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) exe: Digest,
    /// When it listens.
    pub(super) up: Instant,
}

/// One component of the framework on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// By path below the framework's folder.
    pub(super) files: BTreeMap<String, File>,
    pub(super) process: Option<Process>,
}

impl Part {
    pub(super) fn binary(&self, component: Component) -> Option<Digest> {
        let path = format!("{component}/bin/{component}");
        self.files.get(&path).map(|f| f.digest)
    }
}

/// What a change saved before its first act.
#[derive(Debug, Clone)]
pub(super) struct Before {
    pub(super) part: Option<Part>,
    pub(super) crontab: Option<String>,
}

/// A change that a host was told of.
#[derive(Debug)]
pub(super) struct Change {
    /// For people: nobody in the world reads it.
    #[allow(dead_code, reason = "shown by `Debug` when a world breaks a law")]
    pub(super) intent: String,
    pub(super) work: Option<Work>,
    /// There from the first act on.
    pub(super) before: Option<Before>,
    /// Whether somebody on the host works on it.
    pub(super) alive: bool,
    pub(super) verdict: Option<(String, String)>,
    pub(super) gate: Option<String>,
    pub(super) ended: Arc<Notify>,
}

/// The lease as it is on the master.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) run: RunId,
    pub(super) holder: String,
    pub(super) beat: Instant,
    pub(super) ttl: Duration,
}

impl Held {
    pub(super) fn is_held(&self) -> bool {
        self.beat.elapsed() <= self.ttl
    }
}

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) ip: IpAddr,
    pub(super) machine_id: String,
    pub(super) boot_id: String,
    pub(super) crontab: Option<String>,
    pub(super) parts: BTreeMap<Component, Part>,
    /// Folders that changes moved aside.
    pub(super) away: BTreeMap<(RunId, String), Part>,
    pub(super) staged: BTreeSet<Digest>,
    pub(super) fence: Option<RunId>,
    pub(super) changes: BTreeMap<(RunId, String), Change>,
    /// The change that has begun and not ended.
    pub(super) current: Option<(RunId, String)>,
    pub(super) lease: Option<Held>,
    pub(super) labels: Option<String>,
    pub(super) marks: BTreeMap<Component, Vec<String>>,
    /// Rows of the database that lie here, by name.
    pub(super) rows: BTreeMap<String, String>,
    /// When tarsnode registered, or will have; none while none runs.
    pub(super) registered: Option<Instant>,
    /// When tarsnode stopped.
    pub(super) left: Option<Instant>,
    /// Servers that counted as active when tarsnode stopped.
    pub(super) frozen: BTreeSet<String>,
    /// When the registry beat last before it stopped.
    pub(super) beat: Option<Instant>,
    /// How slow tarsnode is to tell of its servers.
    pub(super) lag: u8,
    pub(super) next_pid: u32,
}

type Key = (RunId, String);

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
    says(format!(
        "tarsops-change/1\nverdict {word} {}\nlog -\nend\n",
        enc(text)
    ))
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
                    return says("tarsops-change/1\nlost\nlog -\nend\n".to_owned());
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
                let work = change::work(launch, machine);
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
            Ask::Launch(_) | Ask::Wait { .. } | Ask::Lease { .. } => Output::default(),
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
async fn act(shared: Shared, node: NodeName, key: Key, expires: Option<u64>) {
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
            work.refusal(machine)
        };
        if let Some((word, why)) = refusal {
            finish(&mut state, &node, &key, word, &why);
            return;
        }
        let before = work.before(machine);
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
async fn recover(shared: Shared, node: NodeName, key: Key, accept: bool) {
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

impl State {
    /// What a look at a host shows.
    pub(super) fn look(&mut self, node: &NodeName, options: &Options) -> Seen {
        let uptime = self.uptime();
        let machine = self.machine(node);
        if let Some(run) = &options.fence
            && machine.fence.as_ref().is_none_or(|fence| fence < run)
        {
            machine.fence = Some(run.clone());
        }
        let machine = &self.machines[node];
        let now = Instant::now();
        let runs = |part: &Part| part.process.is_some();
        let listens = |part: &Part| part.process.as_ref().is_some_and(|p| p.up <= now);
        let name = |(component, _): (&Component, &Part)| component.name().to_owned();
        let host = HostFacts {
            machine_id: Observed::Present(machine.machine_id.clone()),
            boot_id: Observed::Present(machine.boot_id.clone()),
            runs_from: None,
            uptime: Some(uptime),
            hostname: format!("h-{node}"),
            interfaces: Observed::Present([IpAddr::V4(Ipv4Addr::LOCALHOST), machine.ip].into()),
            clock_skew: 0,
            user: "root".to_owned(),
            is_root: true,
            run_user: Observed::Present(()),
            disk_free: Observed::Present(50 << 30),
            writable: Observed::Present(true),
            tools: ["crontab", "flock", "setsid", "openssl", "stat", "find"]
                .map(|tool| (tool.to_owned(), true))
                .into(),
            crontab: machine.crontab.clone().into(),
            other_crontabs: BTreeMap::new(),
            fence: machine.fence.clone(),
            unfinished: machine.current.as_ref().map(|(run, step)| Unfinished {
                run: run.clone(),
                step: StepName::of(step),
                alive: machine
                    .changes
                    .get(&(run.clone(), step.clone()))
                    .is_some_and(|c| c.alive),
            }),
            lease: machine.lease.as_ref().map(|held| LeaseFacts {
                holder: held.holder.clone(),
                run: held.run.clone(),
                age: held.beat.elapsed().as_secs(),
                ttl: held.ttl.as_secs(),
            }),
            staged: machine.staged.clone(),
            components: Observed::Present(
                machine
                    .parts
                    .iter()
                    .filter(|(_, p)| runs(p))
                    .map(name)
                    .collect(),
            ),
            installed: Observed::Present(machine.parts.iter().map(name).collect()),
            ports: Observed::Present(
                machine
                    .parts
                    .iter()
                    .filter(|(_, p)| listens(p))
                    .flat_map(|(component, _)| component.servants().iter().map(|(_, port)| *port))
                    .collect(),
            ),
            labels: machine.labels.as_deref().and_then(NodeLabels::from_text),
            restarts: machine.marks.keys().copied().collect(),
            unsafe_state: None,
            impostors: BTreeMap::new(),
            digests_remembered: false,
        };
        let agent = match machine.parts.get(&Component::Tarsnode) {
            None => Observed::Absent,
            Some(part) => Observed::Present(self.agent(node, part)),
        };
        let servers = options
            .servers
            .iter()
            .map(|component| {
                let facts = match machine.parts.get(component) {
                    None => Observed::Absent,
                    Some(part) => Observed::Present(ServerFacts {
                        binary: binary(part, *component),
                        processes: processes(part, *component, None),
                    }),
                };
                (*component, facts)
            })
            .collect();
        Seen {
            node: node.clone(),
            host: Observed::Present(host),
            agent,
            servers,
            fault: None,
            took: Duration::from_millis(20),
        }
    }

    fn agent(&self, node: &NodeName, part: &Part) -> AgentFacts {
        let text = |path: &str| match part.files.get(path) {
            None => Observed::Absent,
            Some(file) => match self.texts.get(&file.digest) {
                None => Observed::Unknown("it is no text".to_owned()),
                Some(text) => Observed::Present(TextFact {
                    text: text.clone(),
                    mode: file.mode,
                    owner: USER.to_owned(),
                }),
            },
        };
        let listens = part
            .process
            .as_ref()
            .is_some_and(|p| p.up <= Instant::now());
        AgentFacts {
            folder: Observed::Present(OwnerFact {
                owner: USER.to_owned(),
                mode: 0o755,
                strangers: vec![],
            }),
            binary: binary(part, Component::Tarsnode),
            conf: text("tarsnode/conf/tars.tarsnode.config.conf"),
            util: part
                .files
                .keys()
                .filter_map(|path| path.strip_prefix("tarsnode/util/"))
                .map(|name| (name.to_owned(), text(&format!("tarsnode/util/{name}"))))
                .collect(),
            generated_conf: false,
            processes: processes(part, Component::Tarsnode, Some(node)),
            listening: Observed::Present(listens),
            servers: self.applications_on(node),
        }
    }
}

fn binary(part: &Part, component: Component) -> Observed<FileFact> {
    let path = format!("{component}/bin/{component}");
    Observed::from(part.files.get(&path).map(|file| FileFact {
        digest: file.digest,
        size: 20 << 20,
        mode: file.mode,
        owner: USER.to_owned(),
    }))
}

fn processes(
    part: &Part,
    component: Component,
    nodeid: Option<&NodeName>,
) -> Observed<Vec<ProcessFact>> {
    let all = part.process.iter().map(|process| ProcessFact {
        pid: process.pid,
        exe: Observed::Present(process.exe),
        exe_deleted: part.binary(component) != Some(process.exe),
        user: USER.to_owned(),
        nodeid: nodeid.map(ToString::to_string),
        config: nodeid.map(|_| format!("{TARS}/tarsnode/conf/tars.tarsnode.config.conf")),
    });
    Observed::Present(all.collect())
}
