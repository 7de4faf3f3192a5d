//! Giving the rows of a node back what the start of its framework container took.
//!
//! What the rows said is written down on the master, and labels on the node's host, before the container
//! is stopped: a run that dies in between loses nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use tarsops_framework::{Order, Unedited};
use tarsops_model::component::Component;
use tarsops_model::framework::{FrameworkFacts, NodeLabels};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::condition::Condition;
use tarsops_plan::reset_rows::{BeforeStart, FORMAT, PutBack, put_back};
use tokio::time::Instant;

use crate::actions::rows::saved;
use crate::labels;
use crate::look::{holds, of_framework};
use crate::port::Host;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;

/// How the note of the rows begins; they follow as JSON.
const NOTE: &str = "-- tarsops-rows-before-start/1 ";
/// How often rows are read again that changed while they were written.
const TRIES: usize = 5;
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How long AdminRegistry may take until it carries an order out.
const ORDER: Duration = Duration::from_secs(60);
/// An order that led to nothing is given again after this time: tarsnode starts a server by itself within 3 s.
const BETWEEN_ORDERS: Duration = Duration::from_secs(12);

/// What a start of the container of a node will reset.
#[derive(Debug)]
pub(crate) struct Taken {
    before: BeforeStart,
    pub(crate) labels: Option<NodeLabels>,
}

/// Reads what a start will reset, and writes it down. It is read right before the stop: what was seen when
/// the plan was made may have changed.
pub(crate) async fn take(
    run: &Run<'_>,
    node: &NodeName,
    step: &str,
    remote: &dyn Host,
    seen: &Inventory,
    end: &mut StepEnd,
) -> Result<Taken, Verdict> {
    let rows = run.watch.own_rows(node).await.map_err(|why| {
        Verdict::NotStarted(format!(
            "the rows of its servers, which a start resets, could not be read: {why}"
        ))
    })?;
    let before = BeforeStart::new(node.as_str(), rows);
    let text = serde_json::to_string(&before)
        .map_err(|e| Verdict::NotStarted(format!("the rows cannot be written down: {e}")))?;
    let name = saved::file_of(&run.id, step);
    saved::save(run, &name, &format!("{NOTE}{text}\n"), end).await?;
    let labels = labels::of_row(run, node, None, seen).await;
    if let Some(labels) = &labels {
        labels::save(remote, &run.place(node), labels)
            .await
            .map_err(Verdict::NotStarted)?;
    }
    end.labels.clone_from(&labels);
    Ok(Taken { before, labels })
}

/// What a run has written down before it stopped the container of `node`; none where it wrote nothing.
pub(crate) async fn taken(
    run: &Run<'_>,
    node: &NodeName,
    of: &RunId,
    step: &str,
    labels: Option<NodeLabels>,
) -> Result<Option<Taken>, String> {
    let master = run.master().await?;
    let text = saved::read(run, &*master, saved::file_of(of, step)).await?;
    let text = String::from_utf8_lossy(&text);
    let Some(note) = text.lines().find_map(|line| line.strip_prefix(NOTE)) else {
        return Ok(None);
    };
    let before: BeforeStart = serde_json::from_str(note).map_err(|e| e.to_string())?;
    // The note is a claim: it speaks for its own node.
    let is_own = before.format == FORMAT && before.node == node.as_str();
    Ok(is_own.then_some(Taken { before, labels }))
}

/// Puts back what the start took: rows, stopped servers, the node's label and group. Doing it again is
/// harmless.
pub(crate) async fn give_back(
    run: &Run<'_>,
    node: &NodeName,
    taken: &Taken,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let done = write(run, node, &taken.before, end).await?;
    for row in &done.left {
        end.log.push(format!("{} is left: {}", row.row, row.why));
    }
    for row in &done.made {
        end.log.push(format!(
            "the start has made {row}, which was not on this node before: it is left"
        ));
    }
    for lost in &done.overwritten {
        end.log.push(format!(
            "{} runs the image's program: publish version {} again if it is still wanted",
            lost.component, lost.version
        ));
    }
    // What fails for one server is no reason to leave the others as they are.
    let mut failed = None;
    for component in &done.stop {
        match order(run, node, *component, Order::Stop).await {
            Ok(()) => end
                .log
                .push(format!("{component} is stopped again, as it was before")),
            Err(why) => {
                failed.get_or_insert(why);
            }
        }
    }
    // A core component reads its settings when its container starts the next time.
    for component in done.restart.iter().filter(|c| c.is_basic()) {
        match restart(run, node, *component).await {
            Ok(()) => end
                .log
                .push(format!("{component} has started with its own settings")),
            Err(why) => {
                failed.get_or_insert(why);
            }
        }
    }
    if let Some(labels) = &taken.labels {
        labels::restore_after(run, node, labels, end).await?;
    }
    failed.map_or(Ok(()), |why| Err(not_back(why)))
}

async fn restart(run: &Run<'_>, node: &NodeName, component: Component) -> Result<(), String> {
    run.check_lease().map_err(Verdict::into_why)?;
    run.watch.load(node, component).await?;
    order(run, node, component, Order::Restart).await
}

/// Writes the rows; what is left to do.
async fn write(
    run: &Run<'_>,
    node: &NodeName,
    before: &BeforeStart,
    end: &mut StepEnd,
) -> Result<PutBack, Verdict> {
    let mut why = String::new();
    let mut restart = BTreeSet::new();
    for _ in 0..TRIES {
        run.check_lease()?;
        let now = run.watch.own_rows(node).await.map_err(not_back)?;
        let mut done = put_back(before, &now);
        // A try that is in doubt may have written rows that the next one finds as they should be.
        restart.append(&mut done.restart);
        done.restart = &restart - &done.stop;
        if done.edits.is_empty() {
            return Ok(done);
        }
        match run.watch.edit(&done.edits).await {
            Ok(_) => {
                end.log.push(format!(
                    "{} rows have their settings back",
                    done.edits.len()
                ));
                return Ok(done);
            }
            // Somebody, or the start itself, was faster: what is there now is compared again.
            Err(Unedited::Moved(moved) | Unedited::InDoubt(moved)) => why = moved,
            Err(Unedited::Failed(failed)) => return Err(not_back(failed)),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(not_back(why))
}

/// Gives AdminRegistry an order until it is carried out. What it answers is not always what happens: right
/// after a start its registry may not know the server yet, and tarsnode starts one by itself.
async fn order(
    run: &Run<'_>,
    node: &NodeName,
    component: Component,
    what: Order,
) -> Result<(), String> {
    let until = Instant::now() + ORDER;
    let waiting = Waiting::until(
        until,
        format!("AdminRegistry was not asked about {component}"),
    );
    loop {
        run.check_lease().map_err(Verdict::into_why)?;
        let answer = run.watch.order(node, component, what).await;
        let why = match answer {
            Ok(()) if what == Order::Stop => return Ok(()),
            Ok(()) => "it took the order, and the server does not answer".to_owned(),
            Err(why) => why,
        };
        let asked = Instant::now();
        while asked.elapsed() < BETWEEN_ORDERS {
            // The row of one that is just stopped may still call it active.
            tokio::time::sleep(PAUSE).await;
            let facts = run.watch.server(node, component).await;
            if facts.is_some_and(|facts| is_carried_out(facts, node, component, what)) {
                return Ok(());
            }
        }
        let why = format!("AdminRegistry about {component}: {why}");
        waiting.say(&*why);
        if Instant::now() > until {
            return Err(why);
        }
    }
}

/// Whether the framework says of a server what an order should lead to.
fn is_carried_out(
    facts: Box<FrameworkFacts>,
    node: &NodeName,
    component: Component,
    what: Order,
) -> bool {
    let rows = facts.rows();
    let servers = rows.present().and_then(|rows| rows.servers.present());
    let mut servers = servers.into_iter().flatten();
    let Some(row) = servers.find(|row| {
        row.application == "tars" && row.server == component.name() && row.node == node.as_str()
    }) else {
        return false;
    };
    let all =
        |state| row.setting.as_deref() == Some(state) && row.present.as_deref() == Some(state);
    if what == Order::Stop {
        return all("inactive");
    }
    let answers = Condition::ServantsAnswer { component };
    all("active") && holds(&[answers], node, &of_framework(Some(facts))).is_ok()
}

fn not_back(why: String) -> Verdict {
    Verdict::LeftFailed(format!(
        "the container is healthy, and not everything is back that its start has reset ({why}); what the rows said is saved on the master"
    ))
}
