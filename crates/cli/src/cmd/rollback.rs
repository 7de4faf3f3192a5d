//! `rollback`: every host that a run changed goes to where it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::path::Path;

use tarsops_apply::history::{Memory, Remembered, ask};
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{NodeName, RunId, UserName};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, Folder, Undo};
use tarsops_plan::condition::digest_at;
use tarsops_plan::database::backup;
use tarsops_plan::input::PlanInput;
use tarsops_plan::memory::{self, Deed};
use tarsops_plan::plan::{FORMAT, Gate, Plan, Sign, Stage, Step, Summary};
use tarsops_plan::planner::stranger;
use tarsops_plan::render;
use tarsops_plan::restore::{self, CrontabLeft, Intent, Known, way_back};
use tarsops_plan::servers::binary_path;
use tarsops_plan::{back, checker};
use tarsops_probe::Report;

use super::plan::Saving;
use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{print, publish, publish_outcome, say};
use crate::privacy::Stops;
use crate::progress::Bar;
use crate::runs::now;
use crate::saved::Saved;
use crate::session::Session as Context;
use crate::silence;
use crate::style::style;

/// The newest run, but for ways back that did not come about: what they were to take back is meant.
/// Runs from the future, by a clock that says `now` in seconds since 1970, are not meant either: any
/// host can make one up.
fn newest(memory: &Memory, now: i64) -> Option<(&RunId, &Vec<Remembered>)> {
    let failed_back = |c: &Remembered| {
        let back = c
            .intent
            .as_ref()
            .is_some_and(|i| i.change.takes_back.is_some());
        back && c.verdict != "ok"
    };
    let mut all = memory.runs.iter().rev().filter(|(run, _)| run.is_by(now));
    all.find(|(_, changes)| !changes.iter().all(failed_back))
}

/// Says which hosts remember runs from the future, of which none is meant by a bare `rollback`.
fn tell_ahead(memory: &Memory, now: i64) {
    for (run, changes) in memory.runs.iter().filter(|(run, _)| !run.is_by(now)) {
        let nodes: BTreeSet<&str> = changes.iter().map(|c| c.node.as_str()).collect();
        let nodes: Vec<&str> = nodes.into_iter().collect();
        say(format!(
            "{}: remembers run {run}, which is from the future; it is not meant unless it is named",
            nodes.join(", ")
        ));
    }
}

/// Whether what lies on the host may be half a program that a publication has left: nobody knows it,
/// and no later run has been at that server.
fn may_be_torn(
    memory: &Memory,
    catalog: &Catalog,
    inventory: &Inventory,
    change: &Remembered,
    intent: &Intent,
) -> bool {
    let done = &intent.change;
    let later = memory.runs.range((Excluded(&change.run), Unbounded));
    let same = |c: &Remembered| {
        let other = c.intent.as_ref().map(|i| &i.change);
        // Its own way back may have failed for want of room.
        other.is_some_and(|other| {
            other.component == done.component
                && other.node == done.node
                && !(other.takes_back.as_ref() == Some(&change.run) && c.verdict != "ok")
        })
    };
    let path = binary_path(done.component);
    let known = match digest_at(inventory, &done.node, &path) {
        Observed::Present(digest) => !catalog.versions_of(done.component, &digest).is_empty(),
        _ => true,
    };
    change.verdict != "ok" && !known && !later.flat_map(|(_, all)| all).any(same)
}

/// A rollback that is ready to be carried out.
struct Prepared {
    /// The run that it rolls back.
    run: RunId,
    /// Its steps.
    plan: Plan,
    /// What was seen.
    report: Report,
    /// How many hosts did not say what they remember.
    silent: usize,
}

/// Takes a run back, or saves the plan that does.
pub async fn run(
    global: &Global,
    look: &Look,
    run: Option<&str>,
    out: Option<&Path>,
    yes: bool,
    stops: &Stops,
) -> Result {
    let out = out.map(Saving::open).transpose()?;
    let context = Context::open(global, look)?;
    context.ready().await?;
    let prepared = prepare(&context, run).await?;
    let Some(out) = out else {
        return carry_out(global, &context, &prepared, yes, stops).await;
    };
    let json = super::plan::document(&prepared.plan)?;
    out.save(&json)?;
    publish(global, &json, render::text(&prepared.plan, style(global)))?;
    context.close().await;
    Ok(exit::of_plan(&prepared.plan))
}

/// Takes a run back by those steps that a saved plan has. They are planned again from what the hosts
/// remember.
pub async fn run_saved(
    global: &Global,
    context: &Context,
    run: &RunId,
    saved: &Saved,
    yes: bool,
    stops: &Stops,
) -> Result {
    say(format!("the saved plan is a rollback of run {run}"));
    let mut prepared = prepare(context, Some(run.as_str())).await?;
    let silent = super::apply::silent_hosts(context, &prepared.report);
    let input = context.input(&prepared.report);
    prepared.plan = saved.narrow(&prepared.plan, &input, &silent)?;
    count_nodes(&mut prepared.plan);
    carry_out(global, context, &prepared, yes, stops).await
}

/// Plans the rollback of a run, or of the newest one, from what the hosts remember.
async fn prepare(context: &Context, run: Option<&str>) -> Result<Prepared> {
    let memory = ask(&*context.connector, context.desired(), &context.nodes(), 20).await;
    if !memory.faults.is_empty() {
        say(silence::causes(&memory.faults).trim_end());
    }
    for node in &memory.strange {
        say(format!("{node}: {}", super::history::STRANGE));
    }
    if run.is_none() {
        tell_ahead(&memory, now());
    }
    let (id, changes) = match run {
        Some(name) => super::history::find(&memory, name)?,
        None => newest(&memory, now()).ok_or_else(|| {
            if memory.runs.keys().any(|run| !run.is_by(now())) {
                Failure::new("the hosts remember only runs from the future")
                    .hint("compare the clock of this machine, or give the id of the run, as `tarsops history` shows it")
            } else if memory.faults.is_empty() {
                Failure::new("the hosts remember no run").hint("there is nothing to take back")
            } else {
                Failure::new("no host that answered remembers a run")
                    .code(exit::INCOMPLETE)
                    .hint("bring the silent hosts back, and try again")
            }
        })?,
    };
    let id = id.clone();
    let report = context.look(&Bar::new("looking at")).await;
    crate::session::preflight::check_look(&report)?;
    super::plan::explain_silence(&report);
    let catalog = context.store.catalog();
    let mut steps: Vec<Step> = Vec::new();
    let mut tables: Vec<Step> = Vec::new();
    let mut refused: Vec<String> = Vec::new();
    // Whether a damaged record is of a change that was made is not known: it counts.
    let counts = |word: &str| word == "ok" || word == "damaged";
    // A step on the database that was cut off has changed a row whole or not at all: it is asked.
    let cut = |c: &Remembered| c.database.is_some() && c.verdict == "unfinished";
    let mut inventory = report.inventory.clone();
    // A publication goes on by itself when the run ends, and no script on the host takes it back.
    let published = |c: &Remembered| {
        let publishes = |i: &Intent| i.change.publish.is_some() || i.change.reread;
        c.intent.as_ref().is_some_and(publishes)
            && matches!(c.verdict.as_str(), "unfinished" | "failed" | "stuck")
    };
    let meant = changes
        .iter()
        .filter(|c| counts(&c.verdict) || cut(c) || published(c) || c.misfit.is_some());
    let mut newest_first: Vec<_> = meant.collect();
    newest_first.sort_by_key(|c| std::cmp::Reverse(rank(c.intent.as_ref())));
    for change in newest_first {
        // Nothing is planned from a record that says more than its own host can know.
        if let Some(why) = &change.misfit {
            refused.push(format!("{}: its record does not fit: {why}", change.node));
            continue;
        }
        if let (Some(intent), true) = (&change.database, change.verdict != "damaged") {
            if let Deed::Column { table, column } = &intent.deed {
                say(format!(
                    "{}: the column {column} of {table} stays; nothing reads it before the new version",
                    change.node
                ));
            }
            match memory::way_back(intent, &report.inventory) {
                Ok(step) => tables.extend(step),
                Err(why) => refused.push(format!("{}: {why}", intent.resource)),
            }
            continue;
        }
        if change.verdict == "damaged" {
            refused.push(format!(
                "{}: what it wrote down of the run is damaged",
                change.node
            ));
            continue;
        }
        let Some(intent) = &change.intent else {
            refused.push(format!(
                "{}: this tarsops cannot read what the run meant to do",
                change.node
            ));
            continue;
        };
        if intent.stays() {
            say(format!(
                "{}: {} was started by that run, and is left running",
                change.node, intent.change.component
            ));
            continue;
        }
        if let Some(why) = stranger(&context.input(&report), &change.node) {
            refused.push(format!("{}: {why}", change.node));
            continue;
        }
        let known = Known {
            asks: context.desired().rpc != Rpc::Off,
            failed: may_be_torn(&memory, catalog, &inventory, change, intent),
            other_crontab: intent.change.run_user != *user_of(context.desired(), &change.node),
        };
        match way_back(intent, &inventory, known) {
            Err(why) => refused.push(format!("{}: {why}", change.node)),
            // What a host remembers never decides as whom its programs run.
            Ok(prepared)
                if prepared.change.run_user != *user_of(context.desired(), &change.node) =>
            {
                refused.push(format!(
                    "{}: before that run {} ran as {}; say so in the spec first (`run_user` under `framework`)",
                    change.node, intent.change.component, prepared.change.run_user
                ));
            }
            Ok(prepared) => {
                if intent.crontab_after != CrontabLeft::Unchanged
                    && prepared.change.crontab.is_none()
                {
                    say(format!(
                        "{}: that run put a monitor into the crontab of {user}, which stays: take it out there with `crontab -u {user} -e`",
                        change.node,
                        user = intent.change.run_user
                    ));
                }
                if !known.other_crontab {
                    crontab_is_back(&mut inventory, intent);
                }
                steps.push(Step {
                    id: match intent.change.component {
                        _ if rank(Some(intent)) == WATCH => {
                            format!("rollback.cron@{}", change.node)
                        }
                        Component::Tarsnode => format!("rollback@{}", change.node),
                        other => format!("rollback.{other}@{}", change.node),
                    },
                    stage: match intent.change.component {
                        Component::Tarsnode => Stage::Agents,
                        Component::Tarsregistry => Stage::Registries,
                        Component::TarsAdminRegistry => Stage::AdminRegistry,
                        Component::Tarsconfig | Component::Tarspatch => Stage::CoreServices,
                        basic if basic.is_basic() && intent.change.folder == Folder::Keep => {
                            Stage::BasicServices
                        }
                        _ if intent.change.publish.is_some() => Stage::BasicServices,
                        _ => Stage::Expansion,
                    },
                    batch: 1,
                    needs: vec![],
                    resource: intent.change.resource(),
                    sign: match intent.sign {
                        Sign::Add => Sign::Remove,
                        Sign::Change => Sign::Change,
                        Sign::Remove => Sign::Add,
                    },
                    summary: prepared.change.summary.clone(),
                    action: Action::ChangeAgent(Box::new(prepared.change)),
                    pre: prepared.pre,
                    post: prepared.post,
                    undo: Undo::Restore,
                });
            }
        }
    }
    let mut plan = as_plan(&context.input(&report), steps);
    with_tables(&report, &mut plan, tables);
    if !refused.is_empty() {
        return Err(Failure::new(format!(
            "run {id} cannot be taken back whole; nothing was changed"
        ))
        .code(exit::BLOCKED)
        .hint("put those hosts right, or narrow with --on")
        .about(refused));
    }
    plan.rolls_back = Some(id.clone());
    if let Err(found) = checker::check(&plan, &context.input(&report)) {
        return Err(Failure::new(format!(
            "the rollback of run {id} does not pass the check; nothing was changed"
        ))
        .code(exit::BLOCKED)
        .hint("see `tarsops history`: what a host remembers may not be what was done there")
        .about(found));
    }
    count_nodes(&mut plan);
    let silent = memory.faults.len();
    Ok(Prepared {
        run: id,
        plan,
        report,
        silent,
    })
}

/// Counts the nodes that the steps of a rollback work on.
fn count_nodes(plan: &mut Plan) {
    let of_node = plan.steps.iter().filter(|s| s.resource.node().is_some());
    plan.nodes = of_node.count();
}

/// Shows the plan, asks, and carries it out.
async fn carry_out(
    global: &Global,
    context: &Context,
    prepared: &Prepared,
    yes: bool,
    stops: &Stops,
) -> Result {
    let Prepared {
        run: id,
        plan,
        report,
        silent,
    } = prepared;
    let text = render::text(plan, style(global));
    if global.json {
        say(text.trim_end())
    } else {
        print(&text)
    }
    if plan.is_empty() {
        say(format!("run {id} changed nothing that could be taken back"));
        return Ok(exit::OK);
    }
    if !yes {
        super::apply::ask(plan).await?;
    }
    let outcome = super::apply::carry_out(global, context, plan, report, *silent, stops).await?;
    let code = exit::of_run(&outcome, None);
    let document = serde_json::json!({
        "format": "tarsops.rollback/1", "run": id, "exit_code": code,
        "steps": outcome.ends.iter().map(|e| serde_json::json!({
            "node": e.node, "verdict": e.verdict.word(), "why": e.verdict.why(),
        })).collect::<Vec<_>>(),
    });
    let of = |tables: bool| {
        let mine: Vec<&Step> = plan
            .steps
            .iter()
            .filter(|s| s.action.is_of_tables() == tables)
            .filter(|s| !matches!(s.action, Action::Backup { .. }))
            .collect();
        let good = |s: &Step| {
            let mut ends = outcome.ends.iter();
            ends.any(|e| e.verdict.is_good() && e.step == s.id)
        };
        // A host is where it was when all of it is; each template counts for itself.
        let mut whole: BTreeMap<String, bool> = BTreeMap::new();
        for step in mine {
            let name = match step.resource.node() {
                Some(node) if !tables => node.to_string(),
                _ => step.id.clone(),
            };
            *whole.entry(name).or_insert(true) &= good(step);
        }
        (whole.values().filter(|good| **good).count(), whole.len())
    };
    let mut back = Vec::new();
    for (counted, what) in [(of(false), "hosts"), (of(true), "templates")] {
        if counted.1 > 0 {
            back.push(format!("{} of {} {what}", counted.0, counted.1));
        }
    }
    let text = format!(
        "Rollback: {} are where they were before run {id}.\n\
         The spec still asks for what that run did: revert the commit as well.\n",
        back.join(" and ")
    );
    let code = publish_outcome(global, &format!("{document:#}\n"), &text, code);
    context.close().await;
    Ok(code)
}

/// Puts templates back one by one after the hosts, as they came before them; and a dump of the
/// database before all of it.
/// As whom the spec has the programs of a node run.
fn user_of<'a>(desired: &'a Desired, node: &NodeName) -> &'a UserName {
    desired
        .agent(node)
        .map_or(&desired.run_user, |a| &a.run_user)
}

fn with_tables(report: &Report, plan: &mut Plan, mut tables: Vec<Step>) {
    // A registry that was removed comes back with its rows.
    let rows = plan.steps.iter().any(|s| {
        matches!(&s.action, Action::ChangeAgent(c)
            if c.registry.is_some() && c.folder_from.is_some() || !c.rows.is_empty())
    });
    if tables.is_empty() && !rows {
        return;
    }
    let mut batch = plan.steps.iter().map(|s| s.batch).max().unwrap_or(0);
    // Newest first.
    tables.reverse();
    for mut step in tables {
        batch += 1;
        step.batch = batch;
        plan.steps.push(step);
    }
    plan.summary = Summary::of(&plan.steps);
    if let Some((step, _)) = backup(&report.inventory) {
        plan.steps.insert(0, step);
    }
}

/// The rank of a change of the crontab alone, which an expansion makes last.
const WATCH: u8 = 2;

/// Where a change stands among those of its run on one host: a component comes after its tarsnode,
/// and what cron watches after that.
fn rank(intent: Option<&Intent>) -> u8 {
    let Some(change) = intent.map(|i| &i.change) else {
        return 0;
    };
    match (change.component, change.folder) {
        // It is removed last.
        (Component::Tarsnode, Folder::Remove) => 1,
        (Component::Tarsnode, _) => 0,
        (_, Folder::Keep) if change.files.is_empty() && !change.restart => WATCH,
        (_, Folder::Create) => 1,
        _ => 0,
    }
}

/// Several steps of a run may have edited the crontab of one host: each is rolled back from the crontab
/// that the rollback of those after it leaves.
fn crontab_is_back(inventory: &mut Inventory, intent: &Intent) {
    let id = ResourceId::Host(intent.change.node.clone());
    if let Some(Observed::Present(Facts::Host(host))) = inventory.resources.get_mut(&id)
        && let Some(text) = restore::crontab_before(intent, &host.crontab)
    {
        host.crontab = text;
    }
}

/// Where the way back of a basic service stands, see [`turn`].
const BASIC: u8 = 2;
/// Where tarsnode's way back stands, see [`turn`].
const AGENTS: u8 = 3;

/// Where a component's way back stands: the other way round than it was changed, so that a tarsnode
/// never meets an AdminRegistry older than it needs, and what came to a host last goes first. What left
/// with its host is started by its tarsnode, and comes after it and its registry.
fn turn(step: &Step) -> u8 {
    let Action::ChangeAgent(change) = &step.action else {
        return AGENTS;
    };
    match (change.component, change.folder) {
        (Component::Tarsnode, _) => AGENTS,
        (_, Folder::Keep) if change.files.is_empty() && !change.restart => 0,
        (_, Folder::Remove) => 1,
        (component, folder) if component.is_basic() && folder != Folder::Create => BASIC,
        (Component::TarsAdminRegistry, _) => 5,
        (Component::Tarsregistry, _) => 6,
        (_, Folder::Create) => 7,
        _ => 4,
    }
}

/// Orders the steps: what came to framework hosts first, one at a time; what was published, on several
/// hosts together; tarsnode on plain nodes, in batches; then framework hosts and the core services, one
/// at a time.
fn as_plan(input: &PlanInput<'_>, mut steps: Vec<Step>) -> Plan {
    let desired = input.desired;
    let role = |s: &Step| {
        s.resource
            .node()
            .and_then(|n| desired.host(n))
            .map_or(2, |h| match h.role {
                Role::Node => 0,
                Role::Slave => 1,
                Role::Master => 2,
            })
    };
    // A registry goes last of what came to its host: the others resolve names through it.
    let registry = |s: &Step| matches!(s.resource, ResourceId::Server(Component::Tarsregistry, _));
    steps.sort_by_key(|s| (turn(s), role(s), registry(s)));
    let parallel = desired.policy.max_parallel.of(steps.len()).max(1);
    let (mut came, mut basic, mut plain, mut alone) = (vec![], vec![], vec![], vec![]);
    for step in steps {
        let kind = match turn(&step) {
            BASIC => &mut basic,
            AGENTS if role(&step) == 0 => &mut plain,
            early if early < AGENTS => &mut came,
            _ => &mut alone,
        };
        kind.push(step);
    }
    let one = |step: &Step| vec![step.clone()];
    let mut batches: Vec<Vec<Step>> = came.iter().map(one).collect();
    batches.extend(back::batches(input, basic));
    batches.extend(plain.chunks(parallel).map(<[Step]>::to_vec));
    batches.extend(alone.iter().map(one));
    let mut steps: Vec<Step> = Vec::new();
    let mut gates: Vec<Gate> = Vec::new();
    for (index, mut chunk) in batches.into_iter().enumerate() {
        let batch = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let needs: Vec<String> = gates.last().map(|g| g.id.clone()).into_iter().collect();
        for step in &mut chunk {
            step.batch = batch;
            step.needs.clone_from(&needs);
        }
        gates.push(Gate {
            id: format!("gate/{batch}"),
            needs: chunk.iter().map(|s| s.id.clone()).collect(),
            settle: desired.policy.settle,
        });
        steps.append(&mut chunk);
    }
    Plan {
        endpoints: vec![],
        format: FORMAT.to_owned(),
        cluster: desired.cluster.clone(),
        spec_digest: desired.spec_digest,
        observed_at: now(),
        nodes: steps.len(),
        on: input.scope.words(),
        without_console: input.scope.without_console,
        rolls_back: None,
        summary: Summary::of(&steps),
        drift: vec![],
        extra: vec![],
        steps,
        gates,
        report: vec![],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tarsops_model::names::{NodeName, StepName};

    #[test]
    fn a_run_from_the_future_is_not_the_newest() {
        let now = 1_795_176_000;
        let at = |seconds: u64, chance| RunId::from_parts((1_795_176_000 + seconds) * 1000, chance);
        let mut memory = Memory::default();
        let mut remember = |run: &RunId| {
            let change = Remembered {
                node: NodeName::new("10.0.0.1").unwrap(),
                run: run.clone(),
                step: StepName::of("change@10.0.0.1"),
                intent: None,
                database: None,
                misfit: None,
                verdict: "ok".to_owned(),
                text: String::new(),
                gate: String::new(),
            };
            memory.runs.insert(run.clone(), vec![change]);
            newest(&memory, now).map(|(run, _)| run.clone())
        };
        for ahead in [at(601, 1), RunId::from_parts(9_999_999_999_999, 1)] {
            assert_eq!(remember(&ahead), None);
        }
        // Clocks of control machines differ by so much.
        let honest = at(600, 0);
        assert_eq!(remember(&honest), Some(honest));
    }
}
