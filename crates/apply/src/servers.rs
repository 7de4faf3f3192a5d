//! Steps that AdminRegistry carries out: a server of the framework is started or stopped.
//!
//! What AdminRegistry answers is not what happened (a start that it gave up on may still come true),
//! so host and framework are looked at until they are healthy. A start that does not come true is
//! rolled back, as the policy says.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Action, Undo};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::plan::Step;
use tokio::time::Instant;

use crate::backoff::Pause;
use crate::execute::{Order, Progress, Run};
use crate::step::{StepEnd, Verdict, holds, ready, settling};
use crate::waiting::Waiting;

/// Between two looks at the host.
const PAUSE: Duration = Duration::from_secs(1);
/// How long what AdminRegistry refused may take to come true all the same.
const GRACE: Duration = Duration::from_secs(15);

/// Starts or stops a server.
pub(crate) async fn run(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    component: Component,
    end: &mut StepEnd,
) -> Result<Verdict, Verdict> {
    let start = matches!(step.action, Action::StartServer(_));
    let order = if start { Order::Start } else { Order::Stop };
    // One that is set active should run: a stop would set it inactive.
    let is_stopped_again = matches!(step.undo, Undo::Inverse { .. });
    let seen = look(run, node, component).await?;
    if holds(&step.post, node, &seen).is_ok() {
        return Ok(Verdict::AlreadyDone);
    }
    ready(&step.pre, node, &seen)?;
    if start {
        connected(run, node).await?;
    }
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    run.progress.event(&Progress::Acting {
        step: &step.id,
        node,
        what: &step.summary,
    });
    let answer = run.watch.order(node, component, order).await;
    if let Err(why) = &answer {
        end.log.push(format!("AdminRegistry: {why}"));
    }
    match content(run, step, node, component, answer.err()).await {
        Ok(()) => {}
        Err(why) if start && is_stopped_again && !run.stop_on_failure => {
            return Err(match take_back(run, node, component).await {
                Ok(()) => Verdict::RolledBack(why),
                Err(cause) => {
                    Verdict::Stuck(format!("{why}; and it could not be stopped again: {cause}"))
                }
            });
        }
        Err(why) if start => {
            return Err(Verdict::LeftFailed(format!(
                "{why}; see its log in app_log/tars/{component} there, and if the last publication does not start, roll that run back (`tarsops history`, `tarsops rollback`)"
            )));
        }
        Err(why) => return Err(Verdict::LeftFailed(why)),
    }
    let registry = step.post.iter().find_map(|c| match c {
        Condition::RegistryAnswers { registry } => Some(registry),
        _ => None,
    });
    if let Some(registry) = registry {
        crate::locators::follow(run, registry, true, end).await?;
    }
    Ok(Verdict::Done)
}

/// What host and framework say of the server now.
async fn look(run: &Run<'_>, node: &NodeName, component: Component) -> Result<Inventory, Verdict> {
    let mut seen = crate::step::look_at_one(run, node, Some(component)).await?;
    seen.framework = match component {
        // What is asked of a registry stands in several tables.
        Component::Tarsregistry => run.watch.all().await,
        other => run.watch.server(node, other).await,
    };
    Ok(seen)
}

/// Waits until AdminRegistry reaches the node: a tarsnode that has just started connects within
/// seconds, and orders to one that has not are never answered.
pub(crate) async fn connected(run: &Run<'_>, node: &NodeName) -> Result<(), Verdict> {
    let until = Instant::now() + Duration::from_secs(run.desired.policy.deadline);
    let mut pause = Pause::default();
    loop {
        let seen = Inventory {
            framework: run.watch.node(node).await,
            ..Inventory::default()
        };
        let why = match Condition::Connected.eval(node, &seen) {
            Truth::Holds => return Ok(()),
            Truth::Fails(why) | Truth::Unknown(why) => why,
        };
        if Instant::now() > until {
            return Err(Verdict::NotStarted(why));
        }
        pause.wait().await;
    }
}

/// Waits until everybody has been content for the settle time; why they are not otherwise.
async fn content(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    component: Component,
    refused: Option<String>,
) -> Result<(), String> {
    let policy = &run.desired.policy;
    let settle = settling(policy, &step.action);
    let patience = match &refused {
        Some(_) => GRACE,
        None => Duration::from_secs(policy.deadline),
    };
    let settle = Duration::from_secs(settle);
    let until = Instant::now() + patience + settle;
    let mut since: Option<Instant> = None;
    let waiting = Waiting::until(until, format!("{component} was not checked yet"));
    loop {
        let why = match look(run, node, component).await {
            Err(verdict) => Err(verdict.why().unwrap_or_default().to_owned()),
            Ok(seen) => holds(&step.post, node, &seen),
        };
        let why = match why {
            Ok(()) => {
                let since = *since.get_or_insert_with(Instant::now);
                if since.elapsed() >= settle {
                    return Ok(());
                }
                "it was not healthy for long enough".to_owned()
            }
            Err(why) => {
                since = None;
                why
            }
        };
        waiting.say(&*why);
        if Instant::now() > until {
            return Err(match refused {
                Some(said) => format!("{said}; and {why}"),
                None => format!("after {} s {why}", policy.deadline),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Stops a server whose start did not come true.
async fn take_back(run: &Run<'_>, node: &NodeName, component: Component) -> Result<(), String> {
    let answer = run.watch.order(node, component, Order::Stop).await;
    let until = Instant::now() + GRACE;
    let gone = [Condition::Component {
        component,
        runs: false,
    }];
    loop {
        let why = match crate::step::look_at(run, node).await {
            Err(verdict) => verdict.why().unwrap_or_default().to_owned(),
            Ok(seen) => match holds(&gone, node, &seen) {
                Ok(()) => return answer,
                Err(why) => why,
            },
        };
        if Instant::now() > until {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Has AdminRegistry start a server whose folder and rows are back, if it ran before.
pub(crate) async fn restore_server(
    run: &Run<'_>,
    step: &Step,
    node: &NodeName,
    component: Component,
    end: &mut StepEnd,
) -> Result<Verdict, Verdict> {
    let runs = Condition::Component {
        component,
        runs: true,
    };
    let failed = |why: String| {
        Verdict::LeftFailed(format!(
            "{component} and its rows are back, and it does not run: {why}; start it through the platform"
        ))
    };
    let mut refused = None;
    if step.post.contains(&runs) {
        connected(run, node)
            .await
            .map_err(|verdict| failed(verdict.why().unwrap_or_default().to_owned()))?;
        let answer = run.watch.order(node, component, Order::Start).await;
        if let Err(why) = &answer {
            end.log.push(format!("AdminRegistry: {why}"));
        }
        refused = answer.err();
    }
    content(run, step, node, component, refused)
        .await
        .map_err(failed)?;
    Ok(Verdict::Done)
}

/// Has AdminRegistry stop a server whose files are about to go, so that its node does not start it
/// again; what it says is told, and no reason to keep the files.
pub(crate) async fn deactivate(
    run: &Run<'_>,
    node: &NodeName,
    component: Component,
    end: &mut StepEnd,
) {
    let Some(framework) = run.watch.server(node, component).await else {
        return;
    };
    let active = framework.rows().present().is_some_and(|rows| {
        let Observed::Present(all) = &rows.servers else {
            return false;
        };
        all.iter().any(|row| {
            row.server == component.name()
                && row.node == node.as_str()
                && row.setting.as_deref() == Some("active")
        })
    });
    if !active {
        return;
    }
    match run.watch.order(node, component, Order::Stop).await {
        Ok(()) => end
            .log
            .push(format!("AdminRegistry has stopped {component}")),
        Err(why) => end
            .log
            .push(format!("AdminRegistry does not stop {component}: {why}")),
    }
}
