//! The planner's laws (docs/design.md), on clusters with anything wrong that we could think of.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests, one of which measures time"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use support::damage::{self, SIGHTS, blind, worlds};
use support::expansion::lacking;
use support::framework::{PASSWORD, WORDS, babel, hush, speaking};
use support::*;
use tarsops_model::agent::TextFact;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, Folder, Owner, Undo};
use tarsops_plan::condition::Truth;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::effect::{self, Images};
use tarsops_plan::intent::{CrontabLeft, Intent};
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::rollback::{self, Refusal};
use tarsops_plan::{checker, crontab, render};

fn nodes(world: &World) -> Vec<NodeName> {
    world.desired.hosts().map(|(n, _)| n.clone()).collect()
}

/// Where a step's conditions are looked at.
fn place<'a>(step: &'a Step, world: &'a World) -> &'a NodeName {
    step.resource.node().unwrap_or(&world.desired.master)
}

/// What a step may do that must never come of not seeing: a stop, a removal, a creation.
fn grave(plan: &Plan, world: &World) -> BTreeSet<(NodeName, &'static str)> {
    let mut out = BTreeSet::new();
    for step in &plan.steps {
        let node = place(step, world).clone();
        if let Action::ChangeHost(change) = &step.action {
            let all = [
                (change.restarts(), "restart"),
                (change.stops_servers(), "stop servers"),
                (change.folder() == Folder::Create, "creation"),
                (change.folder() == Folder::Remove, "removal"),
                (change.owner() == Owner::NewRunUser, "user"),
            ];
            out.extend(all.iter().filter(|a| a.0).map(|a| (node.clone(), a.1)));
        } else {
            let what = match &step.action {
                Action::Recover(_) => "recovery",
                Action::RestoreLabels(_) => "labels",
                Action::AddServerRows(_) => "new rows",
                Action::StartServer(_) => "start",
                Action::StopServer(_) => "stop",
                Action::Backup(_) => "backup",
                Action::AddColumn(_) => "column",
                Action::MergeTemplate(_) | Action::AddTemplate(_) => "template",
                _ => "rows",
            };
            out.insert((node, what));
        }
    }
    out
}

/// What a change leaves on its host, as the applier writes it.
fn intent(world: &World, step: &Step) -> Option<Intent> {
    let Action::ChangeHost(change) = &step.action else {
        return None;
    };
    let Observed::Present(host) = world.inventory.host(&change.node) else {
        return None;
    };
    let after = change
        .crontab()
        .as_ref()
        .map_or(CrontabLeft::Unchanged, |c| {
            let text = host.crontab.present().map(|t| crontab::without_guard(t));
            let text = text.filter(|t| !t.is_empty());
            let left = crontab::apply(text.as_deref(), &c.edit);
            CrontabLeft::after(left.map(|t| Digest::of(t.as_bytes())))
        });
    Some(intent_left(world, step, change, after))
}

/// What a rollback owes: files, modes, folder, crontab, and that it runs if it ran.
#[derive(Debug, PartialEq, Eq)]
struct PendingRestart {
    crontab: Option<String>,
    folder: Option<String>,
    binary: Option<(Digest, u32)>,
    texts: BTreeMap<String, Option<(String, u32)>>,
    runs: bool,
}

fn owed(world: &World, node: &NodeName) -> PendingRestart {
    let host = world.inventory.host(node).present().copied().unwrap();
    let crontab = host.crontab.present().map(|t| crontab::without_guard(t));
    let agent = world.inventory.agent(node);
    let facts = agent.present();
    let text = |fact: &Observed<TextFact>| fact.present().map(|t| (t.text.clone(), t.mode));
    let mut texts: BTreeMap<String, Option<(String, u32)>> = BTreeMap::new();
    if let Some(facts) = facts {
        texts = facts
            .util
            .iter()
            .map(|(n, t)| (n.clone(), text(t)))
            .collect();
        texts.insert("conf".to_owned(), text(&facts.conf));
    }
    PendingRestart {
        crontab: crontab.filter(|t| !t.is_empty()),
        folder: facts
            .and_then(|f| f.folder.present())
            .map(|f| f.owner.clone()),
        binary: facts
            .and_then(|f| f.binary.present())
            .map(|f| (f.digest, f.mode)),
        texts,
        runs: facts.is_some_and(|f| f.processes.present().is_some_and(|p| !p.is_empty())),
    }
}

/// How many plans may follow one in which something waited.
const ROUNDS: usize = 3;

/// A plan's steps and what it does not do, in a few words.
fn short(plan: &Plan) -> String {
    let steps: Vec<&str> = plan.steps.iter().map(|s| s.id.as_str()).collect();
    let lines: Vec<String> = plan
        .report
        .iter()
        .filter_map(|l| match l {
            Line::Blocked { resource, why } => Some(format!("{resource}: {why}")),
            _ => None,
        })
        .collect();
    format!("{}; not: {}", steps.join(", "), lines.join(" | "))
}

fn converges(world: &World) -> Result<(), TestCaseError> {
    let plan = world.plan();
    prop_assert_eq!(plan.to_json().unwrap(), world.plan().to_json().unwrap());
    let read = serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap();
    prop_assert_eq!(&read, &plan);
    prop_assert!(!checker::asks_for_rebuild(&plan.to_json().unwrap()));
    let told = format!(
        "{}{}",
        plan.to_json().unwrap(),
        render::text(
            &plan,
            render::Style {
                verbose: true,
                color: false
            }
        )
    );
    prop_assert!(!told.contains(PASSWORD));
    if let Err(found) = checker::check(&plan, &world.input()) {
        prop_assert!(false, "{found:?}");
    }
    let mut after = world.clone();
    for step in &plan.steps {
        let node = place(step, world);
        // Law 10: what a step rests on holds at its turn.
        for condition in &step.pre {
            let truth = condition.eval(node, &after.inventory);
            prop_assert_eq!(truth, Truth::Holds, "before {}: {}", &step.id, condition);
        }
        effect::apply(&mut after.inventory, &step.action);
        for condition in &step.post {
            let truth = condition.eval(node, &after.inventory);
            prop_assert_eq!(truth, Truth::Holds, "{}: {}", &step.id, condition);
        }
    }
    // What an earlier run left is ended first; what that leads to is for the next look.
    let recovered: BTreeSet<&NodeName> = plan
        .steps
        .iter()
        .filter(|s| matches!(s.action, Action::Recover(_)))
        .filter_map(|s| s.resource.node())
        .collect();
    // What waited for another step of this plan, and says so, may follow in the next one.
    let mut waited: BTreeSet<&ResourceId> = plan
        .report
        .iter()
        .filter_map(|l| match l {
                Line::Blocked {
                    resource,
                    why:
                        Blocked::LastRegistry { .. }
                        | Blocked::OnlyRegistry
                        | Blocked::LastEndpoint { .. }
                        // The user is created with tarsnode, after these stages.
                        | Blocked::NoRunUser { comes: true, .. },
                } => Some(resource),
                _ => None,
            })
        .collect();
    // What AdminRegistry starts with its rows gets its new program afterwards.
    waited.extend(
        plan.steps
            .iter()
            .filter(|s| matches!(s.action, Action::StartServer(_)))
            .map(|s| &s.resource),
    );
    // A step over rows mends no host.
    let touched: BTreeSet<&ResourceId> = plan
        .steps
        .iter()
        .filter(|s| s.stage != Stage::Rows)
        .map(|s| &s.resource)
        // A registry may be started although its version is not changed, for a reason.
        .filter(|r| {
            !plan
                .report
                .iter()
                .any(|l| matches!(l, Line::Blocked { resource, .. } if resource == *r))
        })
        .collect();
    let second = after.plan();
    for step in &second.steps {
        let node = place(step, world);
        prop_assert!(
            // A backup is made for what comes after it.
            recovered.contains(node)
                || waited.contains(&step.resource)
                || step.stage == Stage::Backup,
            "{:#?}",
            step
        );
    }
    for drift in &second.drift {
        // What only a person can put right is told again.
        let Some(node) = drift.resource.node() else {
            continue;
        };
        if matches!(
            drift.kind,
            DriftKind::Disagreeing { .. } | DriftKind::Unknown { .. }
        ) && world.inventory.framework.is_some()
        {
            continue;
        }
        // A component that something keeps from its host is told again, whatever its tarsnode got.
        let kept = second.report.iter().any(|l| match l {
            Line::Blocked { resource, .. } => {
                resource.node() == Some(node) && !matches!(resource, ResourceId::Agent(_))
            }
            _ => false,
        });
        let unseen = second.drift.iter().any(|d| {
            d.resource.node() == Some(node) && matches!(d.kind, DriftKind::Unknown { .. })
        });
        if matches!(drift.resource, ResourceId::Server(..)) && (kept || unseen) {
            continue;
        }
        prop_assert!(
            !touched.contains(&drift.resource) || recovered.contains(node),
            "{drift:?}"
        );
    }
    // What waited for something is done once that is there, which may be what waited itself: each
    // plan does something that the one before did not, and that comes to an end.
    if !recovered.is_empty() || !waited.is_empty() {
        let mut last = second;
        let mut told = vec![short(&plan), short(&last)];
        for _ in 0..ROUNDS {
            for step in &last.steps {
                effect::apply(&mut after.inventory, &step.action);
            }
            last = after.plan();
            told.push(short(&last));
            if last.is_empty() {
                return Ok(());
            }
        }
        prop_assert!(false, "{}", told.join("\nthen "));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Laws 1, 2, 3 and 7: what a plan does is enough, at once, every time, and sound.
    #[test]
    fn a_plan_converges_and_the_next_is_empty(world in worlds()) {
        converges(&world)?;
    }

    /// The same where the framework reports.
    #[test]
    fn a_plan_converges_where_sources_contradict_each_other(world in babel()) {
        converges(&world)?;
    }

    /// The same where framework hosts lack components.
    #[test]
    fn a_plan_converges_where_hosts_lack_components(world in lacking()) {
        converges(&world)?;
    }

    /// Law 4 where framework hosts lack components.
    #[test]
    fn not_seeing_never_places_a_component(
        world in lacking(),
        at in any::<prop::sample::Index>(),
        word in 0..WORDS,
        sight in 0..SIGHTS,
    ) {
        let nodes = nodes(&world);
        let mut world = world;
        for other in &nodes {
            if let Some(host) = damage::host_of(&mut world, other) {
                host.machine_id = Observed::Present(format!("machine of {other}"));
            }
        }
        let before = grave(&world.plan(), &world);
        let mut quiet = world.clone();
        hush(&mut quiet, at.get(&nodes), word);
        let mut unseen = world.clone();
        let hidden = blind(&mut unseen, at.get(&nodes), sight);
        for less in [Some(&quiet), hidden.then_some(&unseen)].into_iter().flatten() {
            let after = grave(&less.plan(), less);
            // Labels are no stop, no removal and no creation, nor is the backup before them: what a
            // restart would have kept by the way is restored by itself where it is not made.
            let added: Vec<_> = after.difference(&before).filter(|a| !["labels", "backup"].contains(&a.1)).collect();
            let told = |w: &World| {
                let plan = w.plan();
                let ids: Vec<String> = plan.steps.iter().map(|s| s.id.clone()).collect();
                format!("{ids:?}\n{:#?}\n{:#?}", plan.report, plan.drift)
            };
            prop_assert!(added.is_empty(), "{added:?}, where before was\n{}\nand then\n{}", told(&world), told(less));
        }
    }

    /// Law 4 for the framework: a source that falls silent never leads to a stop, a removal or a
    /// creation.
    #[test]
    fn a_silent_source_never_adds_anything_grave(
        world in babel(),
        at in any::<prop::sample::Index>(),
        sight in 0..WORDS,
    ) {
        let nodes = nodes(&world);
        let before = grave(&world.plan(), &world);
        let mut less = world.clone();
        hush(&mut less, at.get(&nodes), sight);
        let after = grave(&less.plan(), &less);
        let added: Vec<_> = after.difference(&before).collect();
        prop_assert!(added.is_empty(), "{added:?}, where before was\n{:#?}\nand then\n{:#?}", world.plan().report, less.plan().report);
    }

    /// Law 4: what cannot be seen any more never leads to a stop, a removal or a creation.
    #[test]
    fn not_seeing_never_adds_anything_grave(
        world in worlds(),
        at in any::<prop::sample::Index>(),
        sight in 0..SIGHTS,
    ) {
        let nodes = nodes(&world);
        let node = at.get(&nodes);
        let mut world = world;
        // Two nodes with one machine-id block each other: without sight of the one, the other is
        // still the machine that carries its address.
        for other in &nodes {
            if let Some(host) = damage::host_of(&mut world, other) {
                host.machine_id = Observed::Present(format!("machine of {other}"));
            }
        }
        let before = grave(&world.plan(), &world);
        let mut less = world.clone();
        if blind(&mut less, node, sight) {
            let plan = less.plan();
            let after = grave(&plan, &less);
            let added: Vec<_> = after.difference(&before).collect();
            prop_assert!(added.is_empty(), "{:?}", added);
        }
    }

    /// Law 5: every prefix of a plan can be rolled back, but for steps that say that they cannot.
    #[test]
    fn every_prefix_can_be_rolled_back(world in worlds(), cut in any::<prop::sample::Index>()) {
        let plan = world.plan();
        prop_assume!(!plan.steps.is_empty());
        let length = cut.index(plan.steps.len()) + 1;
        let mut now = world.clone();
        let mut images = Images::default();
        let mut done = Vec::new();
        for step in &plan.steps[..length] {
            if let (Some(intent), Action::ChangeHost(change)) = (intent(&now, step), &step.action) {
                let run: RunId = intent.run.clone();
                images.keep(&now.inventory, &run, &intent.step, change);
                if step.undo == Undo::Restore {
                    done.push(intent);
                }
            }
            effect::apply(&mut now.inventory, &step.action);
        }
        let Some(run) = done.first().map(|intent| intent.run.clone()) else {
            return Ok(());
        };
        let runs = recorded(&done);
        let planned = rollback::plan(&now.input(), &run, &runs);
        let back = match planned {
            Ok(rollback) => rollback.plan,
            // Whoever ran it before is nothing that a host's record decides.
            Err(refused) if refused.iter().all(|r| matches!(r, Refusal::OtherUser { .. })) => {
                prop_assert!(done.iter().any(|intent| host_of(intent).change.ran_as.is_some()));
                return Ok(());
            }
            Err(refused) => return Err(TestCaseError::fail(format!("{refused:?}: {done:#?}"))),
        };
        // The checker looks at it as at any other plan.
        if let Err(found) = checker::check(&back, &now.input()) {
            return Err(TestCaseError::fail(format!("{found:?}: {back:#?}")));
        }
        prop_assert_eq!(rollback::plan(&now.input(), &run, &runs).unwrap().plan, back.clone());
        for step in &back.steps {
            let Some(node) = step.resource.node() else { continue };
            for condition in &step.pre {
                prop_assert_eq!(condition.eval(node, &now.inventory), Truth::Holds, "{}", condition);
            }
            effect::apply_with(&mut now.inventory, &step.action, &images);
            for condition in &step.post {
                prop_assert_eq!(condition.eval(node, &now.inventory), Truth::Holds, "{}", condition);
            }
        }
        for intent in &done {
            let node = &host_of(intent).change.node;
            let (old, new) = (owed(&world, node), owed(&now, node));
            // What did not run and was started is not stopped again.
            let same = PendingRestart { runs: new.runs || old.runs, ..old };
            prop_assert_eq!(new, same);
        }
    }
}

/// How long this thread has had a processor: what work costs, however busy the machine is.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Four times the nodes may cost no more than about four times as much; a quadratic planner costs
/// sixteen times. The best of several runs counts, as other tests run beside.
#[test]
fn the_cost_grows_with_the_nodes_and_not_with_their_square() {
    let cost = |count: usize, speaks: bool| {
        let mut world = World::new(count);
        if speaks {
            world = speaking(world);
        }
        world.agents().for_each(|a| a.version = version("3.0.18"));
        world.desired.policy.max_parallel = tarsops_model::desired::Count::Percent(50);
        let once = || {
            let before = on_cpu();
            let plan = world.plan();
            assert_eq!(plan.steps.len(), count);
            checker::check(&plan, &world.input()).unwrap();
            let text = render::text(&plan, render::Style::default());
            assert!(text.lines().count() < 20, "{text}");
            on_cpu() - before
        };
        (0..4).map(|_| once()).min().unwrap_or(Duration::MAX)
    };
    for speaks in [false, true] {
        let (small, large) = (cost(500, speaks), cost(2_000, speaks));
        assert!(
            large < small * 9,
            "500 nodes cost {small:?}, 2,000 nodes {large:?} (the framework speaks: {speaks})"
        );
    }
}
