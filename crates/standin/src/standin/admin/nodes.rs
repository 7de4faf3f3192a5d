//! The nodes that are connected, and commands to them.
//!
//! A command is pushed on the node's own connection with a number; the node reports on it with a
//! one-way call, and only then is whoever asked answered. What becomes of a command to a node that is
//! not connected (TarsFramework `AdminRegistryServer/NodeManager.cpp`, `requestNode`):
//!
//! * no row of it is active: refused at once
//! * a row is active, and the caller says `TARS_WEB_FORWARD`: 1012 at once, with the caller's context
//! * a row is active otherwise: the call is passed on to every AdminRegistry, each answers 1012 with
//!   that context, and answers with that context are dropped: *nobody ever answers*

use std::collections::HashMap;
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tarsops_wire::Writer;
use tarsops_wire::interface::{FORWARD, admin_code};
use tarsops_wire::packet::{Request, code};

use super::super::net::{Caller, Reply, body};
use super::super::shapes::{ReportNode, Reported};
use super::Admin;
use crate::clock::local_time;

/// How long a node may take to report (`NodeManager.h`, `_timeout`).
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a command.
pub(super) enum Outcome {
    /// The node reported.
    Reported { ret: i32, result: Vec<u8> },
    /// It did not.
    TimedOut,
    /// It is not connected.
    NoConnection,
    /// No row of it is active; the words of that.
    NotRegistered(String),
}

impl Outcome {
    /// The number and the words of most calls' answers.
    pub(super) fn plain(self) -> (i32, Vec<u8>) {
        match self {
            Self::Reported { ret, result } => (ret, result),
            Self::TimedOut => (admin_code::NODE_TIMEOUT, Vec::new()),
            Self::NoConnection => (admin_code::NODE_NO_CONNECTION, Vec::new()),
            Self::NotRegistered(_) => (admin_code::NODE_NOT_REGISTERED, Vec::new()),
        }
    }
}

type Done = Box<dyn FnOnce(Outcome) + Send>;

struct Pending {
    since: Instant,
    done: Done,
}

#[derive(Default)]
struct Linked {
    seen: String,
    /// The newest connection last: commands go there.
    callers: Vec<Caller>,
}

/// The nodes that are connected.
#[derive(Default)]
pub(super) struct Nodes {
    linked: Mutex<HashMap<String, Linked>>,
    pending: Mutex<(i32, HashMap<i32, Pending>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nodes {
    /// A node is alive on this connection.
    pub(super) fn seen(&self, node: ReportNode, caller: &Caller) {
        let mut linked = lock(&self.linked);
        let node = linked.entry(node.name).or_default();
        node.seen = local_time();
        node.callers.retain(|old| old.number() != caller.number());
        node.callers.push(caller.clone());
    }

    /// A node takes its leave.
    pub(super) fn left(&self, node: &ReportNode) {
        lock(&self.linked).remove(&node.name);
    }

    /// A connection is gone, and with its last one a node.
    pub(super) fn closed(&self, caller: &Caller) {
        lock(&self.linked).retain(|_, node| {
            node.callers.retain(|old| old.number() != caller.number());
            !node.callers.is_empty()
        });
    }

    /// When the node was last heard of; empty where it is not connected.
    pub(super) fn last_seen(&self, node: &str) -> String {
        let linked = lock(&self.linked);
        linked.get(node).map(|l| l.seen.clone()).unwrap_or_default()
    }

    /// A node reports on a command.
    pub(super) fn reported(&self, report: Reported) {
        let pending = lock(&self.pending).1.remove(&report.id);
        if let Some(pending) = pending {
            (pending.done)(Outcome::Reported {
                ret: report.ret,
                result: report.result.0,
            });
        }
    }

    /// Answers, for ever, for nodes that do not report in time.
    pub(super) fn forget_the_silent(&self) {
        loop {
            thread::sleep(Duration::from_millis(100));
            let mut late = Vec::new();
            let mut pending = lock(&self.pending);
            let ids: Vec<i32> = pending.1.keys().copied().collect();
            for id in ids {
                if pending.1[&id].since.elapsed() > PATIENCE {
                    late.extend(pending.1.remove(&id));
                }
            }
            drop(pending);
            for pending in late {
                (pending.done)(Outcome::TimedOut);
            }
        }
    }

    /// Pushes a command; `done` comes back uncalled where the node is not connected.
    fn push(
        &self,
        node: &str,
        function: &str,
        from: &str,
        fill: &dyn Fn(&mut Writer),
        done: Done,
    ) -> Result<(), Done> {
        let link = lock(&self.linked)
            .get(node)
            .and_then(|linked| linked.callers.last().cloned());
        let Some(link) = link else {
            return Err(done);
        };
        let id = {
            let mut pending = lock(&self.pending);
            pending.0 = pending.0.checked_add(1).unwrap_or(1);
            let id = pending.0;
            let since = Instant::now();
            pending.1.insert(id, Pending { since, done });
            id
        };
        link.push(
            function,
            body(|w| {
                w.put(1, &id);
                w.put(2, from);
                fill(w);
            }),
        );
        Ok(())
    }
}

/// A command to a node: the function of `NodePush.tars`, and its words after the first two.
pub(super) struct Command<'a> {
    pub(super) node: &'a str,
    pub(super) function: &'a str,
    pub(super) words: &'a [&'a str],
}

impl Command<'_> {
    fn fill(&self, w: &mut Writer) {
        for (tag, word) in (3u8..).zip(self.words) {
            w.put(tag, *word);
        }
    }
}

impl Admin {
    /// Why a node that is not connected gets no command: the words, or none where its row is active.
    fn not_registered(&self, node: &str) -> Option<String> {
        match self.store.nodes() {
            Err(error) => Some(format!("get node record from db error:{error}")),
            Ok(rows) => {
                let active = |row: &crate::store::NodeRow| {
                    row.node_name == node && row.present_state == "active"
                };
                (!rows.iter().any(active)).then(|| {
                    format!(
                        "node '{node}' not registered  or heartbeart timeout,please check for it"
                    )
                })
            }
        }
    }

    /// Passes a command on and answers `request` with what `answer` makes of its outcome.
    pub(super) fn forward(
        &self,
        caller: &Caller,
        request: &Request,
        command: &Command<'_>,
        answer: impl FnOnce(Outcome, &mut Writer) + Send + 'static,
    ) -> Reply {
        let to = (command.node, command.function);
        self.forward_with(caller, request, to, &|w| command.fill(w), answer)
    }

    /// The same for a command that has more than words.
    pub(super) fn forward_with(
        &self,
        caller: &Caller,
        request: &Request,
        (node, function): (&str, &str),
        fill: &dyn Fn(&mut Writer),
        answer: impl FnOnce(Outcome, &mut Writer) + Send + 'static,
    ) -> Reply {
        let finish = move |outcome| body(|w| answer(outcome, w));
        if lock(&self.nodes.linked).contains_key(node) {
            let (caller, request) = (caller.clone(), request.clone());
            let done = Box::new(move |outcome| {
                caller.answer(&request, code::SUCCESS, finish(outcome));
            });
            // It may have gone this instant: then nobody answers, as with the framework.
            let _ = self.nodes.push(node, function, &self.own.ip, fill, done);
            return Reply::Later;
        }
        if let Some(words) = self.not_registered(node) {
            return Reply::Body(finish(Outcome::NotRegistered(words)));
        }
        if request.context.get(FORWARD).is_some() {
            return Reply::WithContext(finish(Outcome::NoConnection));
        }
        Reply::Later
    }

    /// Passes a command on and waits for what comes of it.
    pub(super) fn ask(&self, command: &Command<'_>) -> Outcome {
        self.ask_with(command.node, command.function, &|w| command.fill(w))
    }

    /// The same for a command that has more than words.
    pub(super) fn ask_with(
        &self,
        node: &str,
        function: &str,
        fill: &dyn Fn(&mut Writer),
    ) -> Outcome {
        let (sender, receiver): (Sender<Outcome>, _) = mpsc::channel();
        let done = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        match self.nodes.push(node, function, &self.own.ip, fill, done) {
            Ok(()) => receiver.recv().unwrap_or(Outcome::TimedOut),
            Err(_) => match self.not_registered(node) {
                Some(words) => Outcome::NotRegistered(words),
                None => Outcome::NoConnection,
            },
        }
    }
}
