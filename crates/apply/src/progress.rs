//! What an observer learns while a plan is carried out, and how it is interrupted.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tarsops_model::names::NodeName;
use tarsops_plan::plan::{Stage, Step};
use tokio::sync::Notify;

use crate::verdict::StepEnd;

/// What happens while a plan is carried out.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A batch begins.
    Batch {
        /// Its stage.
        stage: Stage,
        /// Its number.
        number: u32,
        /// How many steps it has.
        steps: usize,
    },
    /// A step begins.
    Step {
        /// Which.
        step: &'a Step,
    },
    /// A payload goes to a host.
    Uploading {
        /// Where.
        node: &'a NodeName,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A host begins to change.
    Acting {
        /// Which step.
        step: &'a str,
        /// Where.
        node: &'a NodeName,
        /// What it does.
        what: &'a str,
    },
    /// The connection to a host broke; the host continues by itself.
    Reconnecting {
        /// Which.
        node: &'a NodeName,
        /// Why.
        why: &'a str,
    },
    /// A step has ended.
    Ended {
        /// How.
        end: &'a StepEnd,
    },
    /// A step waits for nodes that follow by themselves.
    Waiting {
        /// Which step.
        step: &'a str,
        /// How many nodes.
        nodes: usize,
        /// What they should do.
        what: &'a str,
    },
    /// A step has waited for ten seconds more.
    StillWaiting {
        /// Where.
        node: &'a NodeName,
        /// What it waits for, as a clause.
        why: &'a str,
        /// How long it still waits at most, where that is known.
        left: Option<Duration>,
    },
    /// Steps that succeeded are rolled back.
    RollingBack {
        /// How many.
        steps: usize,
    },
}

/// Receives everything that happens; it must not block.
pub trait Observer: Send + Sync {
    /// Receives one event.
    fn event(&self, progress: &Progress<'_>);
}

/// Ctrl-C, counted: once means no new steps, twice means at once.
#[derive(Default)]
pub struct Interrupt {
    count: AtomicU8,
    second: Notify,
}

impl Interrupt {
    /// Counts one.
    pub fn press(&self) {
        if self.count.fetch_add(1, Ordering::SeqCst) >= 1 {
            self.second.notify_waiters();
            self.second.notify_one();
        }
    }

    /// Whether no new steps should begin.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Resolves when everything should stop at once.
    pub async fn twice(&self) {
        while self.count.load(Ordering::SeqCst) < 2 {
            self.second.notified().await;
        }
    }
}
