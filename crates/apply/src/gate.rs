//! The health gate after a host's change: the framework is asked over and over until it has been healthy
//! for the settle time, or the deadline passes.
//!
//! It decides nothing beyond that: what is wanted is in the plan, and whether a host is rolled back is
//! decided by the executor.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::HostChange;
use tarsops_plan::condition::{Condition, Truth};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::{LONGEST, Pause};
use crate::look::of_framework;
use crate::run::Run;
use crate::verdict::{Failed, Verdict};
use crate::waiting::Waiting;

/// What whoever asks and whoever waits exchange.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    held: Mutex<Held>,
    /// The host is healthy: whoever waits wants an answer now.
    entered: Notify,
    /// A question has been answered.
    answered: Notify,
}

/// For how long the framework has been healthy, as to one node.
#[derive(Debug, Default)]
struct Held {
    since: Option<Instant>,
    /// When the last question was asked that it answered so: time in which nobody answers is none
    /// in which it was healthy.
    last_good: Option<Instant>,
    /// Why it was not healthy, when it last was not.
    last: Option<String>,
    /// Why it is not now, and whether that is a no or only not known.
    why: Option<Truth>,
}

impl Held {
    fn take(&mut self, truth: Truth, asked: Instant) {
        match truth {
            Truth::Holds => {
                self.since.get_or_insert_with(Instant::now);
                self.last_good = Some(asked);
                self.why = None;
            }
            other => {
                self.since = None;
                self.last_good = None;
                if let Truth::Fails(why) | Truth::Unknown(why) = &other {
                    self.last = Some(why.clone());
                }
                self.why = Some(other);
            }
        }
    }
}

/// The least between two questions to the framework.
const LEAST: Duration = Duration::from_millis(50);

/// Asks the framework over and over, until it is dropped.
pub(crate) async fn follow(
    run: &Run<'_>,
    node: &NodeName,
    change: &HostChange,
    wanted: &[Condition],
    settle: Duration,
    watched: &Watched,
) -> std::convert::Infallible {
    ask(settle, watched, async || {
        let facts = match (&change.registry(), change.component) {
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
        };
        first_that_fails(wanted, node, facts)
    })
    .await
}

/// As [`follow`], of everything that the framework says.
pub(crate) async fn follow_all(
    run: &Run<'_>,
    node: &NodeName,
    wanted: &[Condition],
    settle: Duration,
    watched: &Watched,
) -> std::convert::Infallible {
    ask(settle, watched, async || {
        first_that_fails(wanted, node, run.watch.all().await)
    })
    .await
}

/// What does not hold of what is wanted, if the framework says this.
fn first_that_fails(
    wanted: &[Condition],
    node: &NodeName,
    framework: Option<Box<FrameworkFacts>>,
) -> Truth {
    let inventory = of_framework(framework);
    wanted
        .iter()
        .map(|c| c.eval(node, &inventory))
        .find(|t| *t != Truth::Holds)
        .unwrap_or(Truth::Holds)
}

/// Asks `question` over and over. A question is a few calls over connections that stand, so it is asked
/// again soon where an answer may be about to come: after the last one was another than before, and
/// once the host is healthy. Else ever less often, up to once a second.
async fn ask(
    settle: Duration,
    watched: &Watched,
    question: impl AsyncFn() -> Truth,
) -> std::convert::Infallible {
    let mut pause = Pause::default();
    let mut was = None;
    loop {
        let asked = Instant::now();
        let truth = question().await;
        let healthy = truth == Truth::Holds;
        if was.replace(healthy) != Some(healthy) {
            pause = Pause::default();
        }
        let due = {
            let mut held = watched.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.take(truth, asked);
            held.since.map(|s| s + settle).filter(|due| asked < *due)
        };
        watched.answered.notify_one();
        let nap = due.map_or_else(
            || pause.next(),
            |due| {
                let left = due.saturating_duration_since(Instant::now());
                left.clamp(LEAST, LONGEST)
            },
        );
        tokio::select! {
            biased;
            () = tokio::time::sleep(nap) => {}
            () = watched.entered.notified() => pause = Pause::default(),
        }
    }
}

/// The facts of a registry, and of it as a server, as one.
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

/// Waits until the framework has been healthy for the settle time. What it cannot say leaves the host as
/// it is: a database that is down is no reason to stop a tarsnode that works. `limit` is the deadline in
/// seconds, for texts.
pub(crate) async fn pass_gate(
    limit: u64,
    until: Instant,
    settle: Duration,
    watched: &Watched,
) -> Result<(), Failed> {
    // What was asked before the host was healthy may have been answered of what ran before.
    let entered = Instant::now();
    watched.entered.notify_one();
    let waiting = Waiting::until(until, "the framework was not asked yet");
    loop {
        let (passed, why, last) = {
            let now = watched.held.lock().unwrap_or_else(PoisonError::into_inner);
            let passed = now.since.zip(now.last_good);
            let passed =
                passed.is_some_and(|(since, last)| last >= since + settle && last >= entered);
            (passed, now.why.clone(), now.last.clone())
        };
        if passed {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(not_passed(limit, settle, why, last.as_deref()));
        }
        waiting.say(match why {
            Some(Truth::Fails(why)) => format!("the host is healthy, and {why}"),
            Some(Truth::Unknown(why)) => {
                format!("the host is healthy; whether the framework is could not be seen: {why}")
            }
            _ => format!(
                "all must be healthy for {} s without a break",
                settle.as_secs()
            ),
        });
        // Late or not at all: what counts then is that the time is over.
        let _ = tokio::time::timeout_at(until, watched.answered.notified()).await;
    }
}

/// Why the gate was not passed in time: what the framework says now, and why it was not healthy before.
fn not_passed(limit: u64, settle: Duration, why: Option<Truth>, last: Option<&str>) -> Failed {
    let left = match why {
        Some(Truth::Fails(why)) => {
            return Failed::Undo(format!("the host is healthy, and after {limit} s {why}"));
        }
        Some(Truth::Unknown(why)) => format!(
            "the host is healthy; whether the framework is could not be seen within {limit} s: {why}"
        ),
        _ => format!(
            "the framework was not healthy for {} s without a break within {limit} s; before, {}",
            settle.as_secs(),
            last.unwrap_or("it was not asked in time")
        ),
    };
    Failed::Ends(Verdict::LeftFailed(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// What the framework says that many milliseconds after the beginning.
    fn says(healthy: bool) -> Truth {
        if healthy {
            Truth::Holds
        } else {
            Truth::Fails("it is inactive".to_owned())
        }
    }

    /// Milliseconds until the gate is passed by a host that is healthy after `host` of them, the
    /// framework answering `healthy`, and how many questions that took; `None` where it is not.
    async fn passed(
        host: u64,
        settle: Duration,
        healthy: impl Fn(u64) -> bool,
    ) -> (Option<u64>, usize) {
        let began = Instant::now();
        let since = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (watched, asked) = (Watched::default(), std::cell::Cell::new(0));
        let question = async || {
            asked.set(asked.get() + 1);
            let answer = says(healthy(since()));
            // A call takes its time.
            tokio::time::sleep(Duration::from_millis(5)).await;
            answer
        };
        let wait = async {
            tokio::time::sleep(Duration::from_millis(host)).await;
            let until = Instant::now() + SECOND * 20;
            pass_gate(20, until, settle, &watched).await
        };
        let passed = tokio::select! {
            passed = wait => passed,
            never = ask(settle, &watched, question) => match never {},
        };
        (passed.is_ok().then(since), asked.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_is_passed_soon_after_everybody_is_healthy() {
        // It ran before, is down from 300 to 900, and the host is healthy at 1000.
        let restarted = |at| !(300..900).contains(&at);
        let (took, questions) = passed(1000, Duration::ZERO, restarted).await;
        assert!(took.is_some_and(|t| t <= 1100), "{took:?}");
        assert!(questions <= 12, "{questions}");
        // The framework follows after the host.
        let (took, _) = passed(1000, Duration::ZERO, |at| at >= 1250).await;
        assert!(took.is_some_and(|t| t <= 1500), "{took:?}");
        // Long after the beginning it is still asked at once, and not once a second.
        let (took, questions) = passed(30_400, Duration::ZERO, |at| at > 30_450).await;
        assert!(took.is_some_and(|t| t <= 30_700), "{took:?}");
        assert!(questions <= 40, "{questions}");
    }

    #[tokio::test(start_paused = true)]
    async fn settling_restarts_when_it_is_interrupted() {
        let (took, _) = passed(1000, 3 * SECOND, |at| at >= 500).await;
        assert!(took.is_some_and(|t| (3500..3800).contains(&t)), "{took:?}");
        let (took, _) = passed(1000, 3 * SECOND, |at| !(2100..3300).contains(&at)).await;
        assert!(took.is_some_and(|t| (6300..7500).contains(&t)), "{took:?}");
        // What was answered while the host was at work is of what ran before.
        let (took, _) = passed(1000, Duration::ZERO, |at| at < 990).await;
        assert_eq!(took, None);
    }
}
