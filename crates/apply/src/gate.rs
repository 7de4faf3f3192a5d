//! The gate after a node's step: the framework is asked over and over until it has been content for
//! the settle time, or the deadline passes.
//!
//! It takes no decision beyond that: what is wanted stands in the plan, and whether a host goes back
//! is the step's affair.

use std::time::{Duration, Instant};

use tarsops_model::component::Component;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::AgentChange;
use tarsops_plan::condition::{Condition, Truth};

use crate::execute::Run;
use crate::step::Verdict;

/// What the framework said of a step after its host was content.
#[derive(Debug, Default)]
pub(crate) enum Gate {
    /// Nothing against it.
    #[default]
    Open,
    /// No, and which source said so.
    Refused(String),
}

impl Gate {
    /// A publication that has failed on its host is taken back as what the framework refuses is: no
    /// script of ours is there to do so by itself. Nor can the host put rows back.
    pub(crate) fn take(&mut self, change: &AgentChange, verdict: &Verdict) {
        let edits = change.reread && !change.lenient;
        if let (true, Verdict::LeftFailed(why)) = (change.publish.is_some() || edits, verdict) {
            *self = Self::Refused(why.clone());
        }
    }
}

/// For how long the framework has been content with a node.
#[derive(Default)]
pub(crate) struct Held {
    since: Option<Instant>,
    /// When the last question was asked to which it said so: time in which nobody answers is none
    /// in which it was content.
    heard: Option<Instant>,
    /// What it said when it was last not content.
    last: Option<String>,
    /// Why it is not now, and whether that is a no or only not known.
    why: Option<Truth>,
}

impl Held {
    fn take(&mut self, truth: Truth, asked: Instant) {
        match truth {
            Truth::Holds => {
                self.since.get_or_insert_with(Instant::now);
                self.heard = Some(asked);
                self.why = None;
            }
            other => {
                self.since = None;
                self.heard = None;
                if let Truth::Fails(why) | Truth::Unknown(why) = &other {
                    self.last = Some(why.clone());
                }
                self.why = Some(other);
            }
        }
    }
}

/// The most between two questions to the framework, and the least.
const QUESTION: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_millis(50);

/// Asks the framework over and over, until it is dropped.
pub(crate) async fn follow(
    run: &Run<'_>,
    node: &NodeName,
    change: &AgentChange,
    wanted: &[Condition],
    settle: Duration,
    held: &std::sync::Mutex<Held>,
) -> std::convert::Infallible {
    loop {
        let asked = Instant::now();
        let inventory = Inventory {
            framework: match (&change.registry, change.component) {
                (_, Component::Tarsnode) => run.watch.node(node).await,
                // What is asked of a registry beyond its own rows is asked of every server.
                (Some(registry), _) if !wanted.iter().any(Condition::is_of_server) => {
                    run.watch.registry(node, registry).await
                }
                (Some(registry), component) => {
                    let (own, server) = tokio::join!(
                        run.watch.registry(node, registry),
                        run.watch.server(node, component)
                    );
                    together(own, server)
                }
                (None, component) => run.watch.server(node, component).await,
            },
            ..Inventory::default()
        };
        let truth = wanted
            .iter()
            .map(|c| c.eval(node, &inventory))
            .find(|t| *t != Truth::Holds)
            .unwrap_or(Truth::Holds);
        let due = {
            let mut held = held
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            held.take(truth, asked);
            held.since.map(|s| s + settle).filter(|due| asked < *due)
        };
        let nap = due.map_or(QUESTION, |due| {
            let left = due.saturating_duration_since(Instant::now());
            left.clamp(LEAST, QUESTION)
        });
        tokio::time::sleep(nap).await;
    }
}

/// What was heard of a registry and of it as a server, as one.
fn together(
    registry: Option<Box<FrameworkFacts>>,
    server: Option<Box<FrameworkFacts>>,
) -> Option<Box<FrameworkFacts>> {
    let (mut own, server) = (registry?, server?);
    if let (Observed::Present(into), Observed::Present(from)) = (&mut own.database, server.database)
        && let (Observed::Present(into), Observed::Present(from)) = (&mut into.rows, from.rows)
    {
        into.servers = from.servers;
    }
    own.servants = server.servants;
    own.admin = server.admin;
    Some(own)
}

/// Waits until the framework has been content for the settle time. What it cannot say leaves the
/// host as it is: a database that is down is no reason to stop a tarsnode that works.
pub(crate) async fn pass_gate(
    run: &Run<'_>,
    until: Instant,
    settle: Duration,
    held: &std::sync::Mutex<Held>,
    gate: &mut Gate,
) -> Result<(), Verdict> {
    // What was asked before the host was content may have been answered of what ran before.
    let entered = Instant::now();
    loop {
        let (passed, why, last) = {
            let now = held
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let passed = now.since.zip(now.heard);
            let passed =
                passed.is_some_and(|(since, heard)| heard >= since + settle && heard >= entered);
            (passed, now.why.clone(), now.last.clone())
        };
        if passed {
            return Ok(());
        }
        if Instant::now() > until {
            let limit = run.desired.policy.deadline;
            return Err(match why {
                Some(Truth::Fails(why)) => {
                    let why = format!("the host is content, and after {limit} s {why}");
                    *gate = Gate::Refused(why.clone());
                    Verdict::LeftFailed(why)
                }
                Some(Truth::Unknown(why)) => Verdict::LeftFailed(format!(
                    "the host is content; whether the framework is could not be seen within {limit} s: {why}"
                )),
                _ => Verdict::LeftFailed(format!(
                    "the framework was not content for {} s on end within {limit} s; before, {}",
                    settle.as_secs(),
                    last.as_deref().unwrap_or("it was not asked in time")
                )),
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
