//! Looks at hosts, and conditions that are compared with what was seen.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_plan::condition::{Condition, Truth};
use tokio::time::Instant;

use crate::backoff::Pause;
use crate::port::Host;
use crate::run::Run;
use crate::verdict::Verdict;
use crate::waiting::Waiting;

/// How long the facts may take to follow a good verdict.
pub(crate) const GRACE: Duration = Duration::from_secs(15);

/// Looks at a node and at no server of it.
pub(crate) async fn look_at(run: &Run<'_>, node: &NodeName) -> Result<Inventory, Verdict> {
    look_at_one(run, node, None).await
}

/// Looks at a node and at one of its components.
pub(crate) async fn look_at_one(
    run: &Run<'_>,
    node: &NodeName,
    component: Option<Component>,
) -> Result<Inventory, Verdict> {
    let remote = run.reach(node).await?;
    observe(run, &*remote, node, component).await
}

/// Looks at a node over a connection that stands. One that fails is not used again.
pub(crate) async fn observe(
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

/// What the framework says, and nobody else.
pub(crate) fn of_framework(framework: Option<Box<FrameworkFacts>>) -> Inventory {
    Inventory {
        framework,
        ..Inventory::default()
    }
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

/// Looks from here at what the host has reported of its own end, until it is so.
pub(crate) async fn confirm(
    run: &Run<'_>,
    node: &NodeName,
    component: Option<Component>,
    wanted: &[Condition],
) -> Result<(), Verdict> {
    let until = Instant::now() + GRACE;
    let waiting = Waiting::until(until, "the host is being checked after its change");
    loop {
        let (why, seen) = match run.connect.connect(node).await {
            Err(fault) => (fault.text, false),
            Ok(remote) => match observe(run, &*remote, node, component).await {
                Err(verdict) => {
                    run.connect.forget(node).await;
                    (verdict.into_why(), false)
                }
                Ok(seen) => match holds(wanted, node, &seen) {
                    Ok(()) => return Ok(()),
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

/// Waits until AdminRegistry reaches the node: a tarsnode that has just started connects within
/// seconds, and orders to one that has not are never answered.
pub(crate) async fn connected(run: &Run<'_>, node: &NodeName) -> Result<(), Verdict> {
    let said = until_framework_says(run, node, &Condition::Connected).await;
    said.map_err(Verdict::NotStarted)
}

/// Waits until the framework says so of the node; why it does not when the deadline is over.
pub(crate) async fn until_framework_says(
    run: &Run<'_>,
    node: &NodeName,
    condition: &Condition,
) -> Result<(), String> {
    let until = Instant::now() + run.deadline();
    let waiting = Waiting::until(until, "the framework was not asked about the node yet");
    let mut pause = Pause::default();
    loop {
        let seen = of_framework(run.watch.node(node).await);
        let why = match condition.eval(node, &seen) {
            Truth::Holds => return Ok(()),
            Truth::Fails(why) | Truth::Unknown(why) => why,
        };
        if Instant::now() > until {
            return Err(why);
        }
        waiting.say(why);
        pause.wait().await;
    }
}
