//! Steps that AdminRegistry carries out: a server of the framework is started or stopped.
//!
//! What AdminRegistry answers is not what happened (a start that it gave up on may still succeed), so
//! host and framework are looked at until they are healthy. A start that does not succeed is undone, as
//! the policy says.

use std::time::Duration;

use tarsops_framework::Order;
use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_plan::action::Undo;
use tarsops_plan::condition::Condition;
use tokio::time::Instant;

use crate::job::{Execution, Job, Precheck};
use crate::locators;
use crate::look::{GRACE, connected, holds, look_at, look_at_one, ready};
use crate::run::Run;
use crate::verdict::{Failed, StepEnd, Verdict};
use crate::waiting::Waiting;

/// Between two looks at the host.
const PAUSE: Duration = Duration::from_secs(1);

/// Has AdminRegistry start a server, which sets it active.
pub(crate) struct StartServer(pub(crate) Component);

impl Execution for StartServer {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        let found = precheck(job, self.0).await?;
        if let Precheck::Ready(()) = found {
            connected(job.run, job.node).await?;
        }
        Ok(found)
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        let component = self.0;
        let settle = job.settle();
        let answer = order(job, component, Order::Start, end).await?;
        let Err(why) = wait(job, component, settle, answer.err()).await else {
            return Ok(());
        };
        // One that is set active should run: a stop would set it inactive.
        let is_stopped_again = matches!(job.step.undo, Undo::Inverse { .. });
        if !is_stopped_again || job.run.stop_on_failure {
            return Err(Verdict::LeftFailed(format!(
                "{why}; see its log in app_log/tars/{component} there, and if the last publication does not start, roll that run back (`tarsops history`, `tarsops rollback`)"
            ))
            .into());
        }
        let verdict = match stop_again(job.run, job.node, component).await {
            Ok(()) => Verdict::RolledBack(why),
            Err(cause) => {
                Verdict::Stuck(format!("{why}; and it could not be stopped again: {cause}"))
            }
        };
        Err(verdict.into())
    }

    async fn settle(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        let registry = job.step.post.iter().find_map(|c| match c {
            Condition::RegistryAnswers { registry } => Some(registry),
            _ => None,
        });
        if let Some(registry) = registry {
            locators::follow(job.run, registry, true, end).await?;
        }
        Ok(())
    }
}

/// Has AdminRegistry stop a server, which sets it inactive.
pub(crate) struct StopServer(pub(crate) Component);

impl Execution for StopServer {
    type Seen = ();
    type Acted = ();

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        precheck(job, self.0).await
    }

    async fn act(&self, job: &Job<'_>, (): (), end: &mut StepEnd) -> Result<(), Failed> {
        let answer = order(job, self.0, Order::Stop, end).await?;
        let waited = wait(job, self.0, 0, answer.err()).await;
        Ok(waited.map_err(Verdict::LeftFailed)?)
    }

    fn undone(&self) -> Vec<Condition> {
        vec![stopped(self.0)]
    }
}

fn stopped(component: Component) -> Condition {
    Condition::Component {
        component,
        runs: false,
    }
}

async fn precheck(job: &Job<'_>, component: Component) -> Result<Precheck<()>, Verdict> {
    let seen = look(job.run, job.node, component).await?;
    if holds(&job.step.post, job.node, &seen).is_ok() {
        return Ok(Precheck::Done);
    }
    ready(&job.step.pre, job.node, &seen)?;
    Ok(Precheck::Ready(()))
}

/// Gives AdminRegistry the order; what it answers.
async fn order(
    job: &Job<'_>,
    component: Component,
    order: Order,
    end: &mut StepEnd,
) -> Result<Result<(), String>, Verdict> {
    job.run.check_lease()?;
    job.acting();
    let answer = job.run.watch.order(job.node, component, order).await;
    if let Err(why) = &answer {
        end.log.push(format!("AdminRegistry: {why}"));
    }
    Ok(answer)
}

/// What host and framework report of the server now.
async fn look(run: &Run<'_>, node: &NodeName, component: Component) -> Result<Inventory, Verdict> {
    let mut seen = look_at_one(run, node, Some(component)).await?;
    seen.framework = match component {
        // What is asked of a registry is in several tables.
        Component::Tarsregistry => run.watch.all().await,
        other => run.watch.server(node, other).await,
    };
    Ok(seen)
}

/// Waits until host and framework have been healthy for `settle` seconds; why they are not otherwise.
/// `refused` is what AdminRegistry answered where it did not take the order.
pub(crate) async fn wait(
    job: &Job<'_>,
    component: Component,
    settle: u64,
    refused: Option<String>,
) -> Result<(), String> {
    let policy = &job.run.desired.policy;
    let patience = match &refused {
        Some(_) => GRACE,
        None => job.run.deadline(),
    };
    let settle = Duration::from_secs(settle);
    let until = Instant::now() + patience + settle;
    let mut since: Option<Instant> = None;
    let waiting = Waiting::until(until, format!("{component} was not checked yet"));
    loop {
        let why = match look(job.run, job.node, component).await {
            Err(verdict) => Err(verdict.into_why()),
            Ok(seen) => holds(&job.step.post, job.node, &seen),
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
                Some(answer) => format!("{answer}; and {why}"),
                None => format!("after {} s {why}", policy.deadline),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Stops a server whose start did not succeed.
async fn stop_again(run: &Run<'_>, node: &NodeName, component: Component) -> Result<(), String> {
    let answer = run.watch.order(node, component, Order::Stop).await;
    let until = Instant::now() + GRACE;
    let gone = [stopped(component)];
    loop {
        let why = match look_at(run, node).await {
            Err(verdict) => verdict.into_why(),
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
