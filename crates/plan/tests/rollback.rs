//! A rollback plan restores what one run has kept, where the spec has it, and nothing else: the checker
//! takes nobody's word for it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::json::{hostile, paths};
use support::*;
use tarsops_model::digest::Digest;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Action, Content, Folder, Owner, Recover};
use tarsops_plan::checker::{self, Violation};
use tarsops_plan::claims::is_own_file;
use tarsops_plan::condition::Condition;
use tarsops_plan::crontab::CrontabEdit;
use tarsops_plan::effect;
use tarsops_plan::intent::{CrontabLeft, Intent};
use tarsops_plan::plan::Plan;
use tarsops_plan::record::{Ended, Runs};
use tarsops_plan::restore::Known;
use tarsops_plan::rollback;
use tarsops_plan::saved::SavedPlan;

/// Four hosts of which a run has just brought two to the spec: program, script and crontab.
fn brought() -> (World, Vec<Intent>) {
    let mut world = World::new(4);
    world.desired.policy.max_parallel = tarsops_model::desired::Count::Number(1);
    for i in [2, 3] {
        world.file(i).digest = binary("3.0.16");
        world.process(i).exe = Observed::Present(binary("3.0.16"));
        world.script(i, "start.sh").mode = 0o600;
        world.host(i).crontab = Observed::Present("0 4 * * * /opt/backup\n".to_owned());
    }
    let plan = world.plan();
    let mut intents = Vec::new();
    for step in &plan.steps {
        let change = change(step);
        let edit = &change.crontab().as_ref().unwrap().edit;
        let node = step.resource.node().unwrap().clone();
        let before = match world.inventory.host(&node) {
            Observed::Present(host) => host.crontab.present().cloned(),
            _ => None,
        };
        let after = tarsops_plan::crontab::apply(before.as_deref(), edit);
        let left = CrontabLeft::after(after.map(|t| Digest::of(t.as_bytes())));
        intents.push(intent_left(&world, step, change, left));
        effect::apply(&mut world.inventory, &step.action);
    }
    assert_eq!(intents.len(), 2);
    (world, intents)
}

/// The rollback of that run.
fn rollback(world: &World, intents: &[Intent]) -> Plan {
    let run = &intents[0].run;
    let planned = rollback::plan(&world.input(), run, &recorded(intents));
    planned.unwrap().plan
}

fn check(plan: &Plan, world: &World) -> Result<(), Vec<Violation>> {
    checker::check(plan, &world.input())
}

#[test]
fn a_rollback_that_is_altered_anywhere_puts_back_what_the_run_kept_or_is_refused() {
    let (world, intents) = brought();
    let honest = rollback(&world, &intents);
    assert_eq!(check(&honest, &world), Ok(()));
    let document = serde_json::to_value(&honest).unwrap();
    let other = world.node(1).to_string();
    let (mut read, mut passed) = (0, 0);
    for path in paths(&document) {
        for value in hostile(&other) {
            let mut changed = document.clone();
            *changed.pointer_mut(&path).unwrap() = value.clone();
            let Ok(forged) = serde_json::from_value::<Plan>(changed) else {
                continue;
            };
            // Without that it is a plan of another kind, which puts nothing back.
            let Some(run) = forged.rolls_back.clone() else {
                assert!(check(&forged, &world).is_err(), "{path}");
                continue;
            };
            read += 1;
            if check(&forged, &world).is_err() {
                continue;
            }
            passed += 1;
            let at = format!("{path} {value}");
            assert!(forged.steps.len() <= honest.steps.len(), "{at}");
            for step in &forged.steps {
                let Action::ChangeHost(change) = &step.action else {
                    panic!("{at}");
                };
                let node = &change.node;
                let mut all = honest.steps.iter().map(support::change);
                let mine = all
                    .find(|c| c.node == *node)
                    .unwrap_or_else(|| panic!("{at}"));
                assert_eq!(step.resource, mine.resource(), "{at}");
                assert_eq!(change.undoes(), Some(&run), "{at}");
                assert_eq!(
                    (&change.tars_path, &change.run_user, &change.node, change.ip),
                    (&mine.tars_path, &mine.run_user, &mine.node, mine.ip),
                    "{at}"
                );
                assert_eq!(change.owner(), Owner::Unchanged, "{at}");
                assert!(!change.stops_servers(), "{at}");
                for file in change.files() {
                    assert!(is_own_file(change.component, &file.path), "{at}");
                    assert_eq!(file.mode & !0o777, 0, "{at}");
                    let kept = match &file.content {
                        Content::Before { run: from, .. } => *from == run,
                        other => *other == Content::None,
                    };
                    assert!(kept, "{at}");
                }
                if let Some(crontab) = &change.crontab() {
                    assert_eq!(crontab.edit, CrontabEdit::default(), "{at}");
                    assert_eq!(crontab.back.as_ref().unwrap().run, run, "{at}");
                }
                let machine = Condition::Machine {
                    id: mine.machine_id.clone(),
                };
                assert!(step.pre.contains(&machine), "{at}");
                assert!(
                    step.pre.contains(&Condition::Unfinished { run: None }),
                    "{at}"
                );
            }
        }
    }
    assert!(read > 400 && passed > 50, "{read} {passed}");
}

/// Alters a rollback.
type Forge<'a> = &'a dyn Fn(&mut Plan, &World);

/// The change of its first step.
fn first(plan: &mut Plan) -> &mut tarsops_plan::action::HostChange {
    match &mut plan.steps[0].action {
        Action::ChangeHost(change) => change,
        other => panic!("{other:?}"),
    }
}

/// The restore that its first step is.
fn restore(plan: &mut Plan) -> &mut tarsops_plan::action::Restore {
    match &mut first(plan).operation {
        tarsops_plan::action::Operation::Restore(restore) => restore,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_with_a_rollback_is_named() {
    let (world, intents) = brought();
    let honest = rollback(&world, &intents);
    let cases: [(&str, Forge<'_>); 15] = [
        ("the plan has it twice", &|p, _| {
            let again = p.steps[0].clone();
            p.steps.push(again);
        }),
        ("it comes after a later batch", &|p, _| p.steps.reverse()),
        ("it rolls another run back, or none", &|p, _| {
            restore(p).undoes = run_id(8);
        }),
        ("it writes a file that is not its component's", &|p, _| {
            first(p).files_mut()[0].path = "tarsnode/util/change.sh".to_owned();
        }),
        ("or that the run did not save", &|p, _| {
            first(p).files_mut()[0].content = Content::Text("#!/bin/sh\n".to_owned());
        }),
        ("its mode of a file is `4755 of", &|p, _| {
            first(p).files_mut()[0].mode = 0o4755;
        }),
        ("it writes a crontab that the run did not save", &|p, _| {
            let crontab = first(p).crontab_mut().unwrap();
            crontab.back.as_mut().unwrap().run = run_id(8);
        }),
        ("it writes a crontab that the run did not save", &|p, _| {
            first(p).crontab_mut().unwrap().edit.add = Some("* * * * * id".to_owned());
        }),
        ("its run user is `root`, and it must be `tars`", &|p, _| {
            first(p).run_user = "root".parse().unwrap();
        }),
        ("its action is on another node or component", &|p, w| {
            first(p).node = w.node(1);
        }),
        ("it does more than restore the old state", &|p, _| {
            first(p).operation = modify(first(p).files().to_vec(), true);
        }),
        ("its sign is not that of its action", &|p, _| {
            restore(p).folder = Folder::Remove;
        }),
        ("it does not check the machine", &|p, _| {
            p.steps[0].pre.clear();
        }),
        ("less than the spec says", &|p, w| {
            p.gates[0].settle = w.desired.policy.settle - 1;
        }),
        ("it does not roll anything back", &|p, _| {
            p.steps[0].action = Action::Recover(Recover {
                node: p.steps[1].resource.node().unwrap().clone(),
                run: run_id(9),
                step: StepName::of("x"),
                accept: false,
            });
        }),
    ];
    for (wanted, forge) in cases {
        let mut forged = honest.clone();
        forge(&mut forged, &world);
        let found = check(&forged, &world).expect_err(wanted);
        assert!(
            found.iter().any(|v| v.what.contains(wanted)),
            "{wanted}: {found:?}"
        );
    }
    // What the spec does not let be changed, and what is another machine now.
    let mut other = world.clone();
    other.spec(2).state = tarsops_model::host::NodeState::Gone;
    assert!(
        check(&honest, &other).unwrap_err()[0]
            .what
            .contains("must not be changed")
    );
    let mut other = world.clone();
    other.host(2).machine_id = Observed::Present("another".to_owned());
    let found = check(&honest, &other).unwrap_err();
    assert!(
        found
            .iter()
            .any(|v| v.what.contains("its precondition does not hold")),
        "{found:?}"
    );
    // More hosts at once than the spec allows.
    let mut wide = world.clone();
    wide.desired.policy.max_parallel = tarsops_model::desired::Count::Number(2);
    let mut both = honest.clone();
    both.steps[1].batch = 1;
    assert_eq!(check(&both, &wide), Ok(()));
    assert!(
        check(&both, &world).unwrap_err()[0]
            .what
            .contains("hosts at once")
    );
}

#[test]
fn a_saved_rollback_narrows_the_one_that_is_planned_now() {
    let (world, intents) = brought();
    let now = rollback(&world, &intents);
    let none = BTreeSet::<NodeName>::new();
    let narrow = |document: &Value| {
        let saved = SavedPlan::from_json(document.to_string()).unwrap();
        assert_eq!(saved.rolls_back, Some(run_id(9)));
        saved.narrow(&now, &none)
    };
    let document = serde_json::to_value(&now).unwrap();
    assert_eq!(narrow(&document).unwrap().plan, now);
    let mut first = document.clone();
    first["steps"].as_array_mut().unwrap().pop();
    let narrowed = narrow(&first).unwrap().plan;
    assert_eq!(narrowed.steps, now.steps[..1]);
    assert_eq!(check(&narrowed, &world), Ok(()));
    let mut last = document.clone();
    last["steps"].as_array_mut().unwrap().remove(0);
    assert!(narrow(&last).is_err());
    for path in paths(&document) {
        if !path.starts_with("/steps/") {
            continue;
        }
        for value in [
            json!(null),
            json!("x"),
            json!(RunId::from_parts(7, 7).to_string()),
        ] {
            let mut changed = document.clone();
            *changed.pointer_mut(&path).unwrap() = value.clone();
            let same = changed == document;
            assert_eq!(narrow(&changed).is_ok(), same, "{path} {value}");
        }
    }
}

/// A rollback that was cut off is planned again from where it stopped.
#[test]
fn what_was_put_back_already_is_no_change_by_others() {
    let (mut world, intents) = brought();
    let known = Known {
        asks: true,
        failed: false,
        other_crontab: false,
    };
    world.host(2).crontab = Observed::Present("0 4 * * * /opt/backup\n".to_owned());
    let back = restoring(&intents[0], &world.inventory, known).unwrap();
    let crontab = back.change.crontab().unwrap();
    assert_eq!(crontab.before, crontab.back.as_ref().unwrap().digest);
    // What somebody else wrote is another thing.
    world.host(2).crontab = Observed::Present("0 5 * * * /opt/other\n".to_owned());
    assert!(restoring(&intents[0], &world.inventory, known).is_err());
}

/// The nodes that a plan of changes of tarsnode is about.
fn nodes(plan: &Plan) -> Vec<NodeName> {
    let nodes = plan.steps.iter().filter_map(|s| s.resource.node());
    nodes.cloned().collect()
}

#[test]
fn a_rollback_that_was_cut_off_goes_on_with_what_is_left() {
    let (mut world, intents) = brought();
    let run = intents[0].run.clone();
    let whole = rollback(&world, &intents);
    let undo = |i: usize, by: u64, ended: Ended| {
        let step = &whole.steps[i];
        let intent = Intent {
            run: if by == 9 { run.clone() } else { run_id(by) },
            ..intent_of(&world, step, change(step))
        };
        let id = intent.run.clone();
        let mut runs = recorded(&[intent]);
        runs.get_mut(&id).unwrap()[0].ended = ended;
        runs
    };
    let of_first = |by, ended| undo(0, by, ended);
    let (cut, failed) = (of_first(10, Ended::Ok), of_first(10, Ended::RolledBack));
    let (own, own_second) = (of_first(9, Ended::Ok), undo(1, 9, Ended::Ok));
    let second = undo(1, 10, Ended::Ok);
    let left = |world: &World, more: &[&Runs]| {
        let mut runs = recorded(&intents);
        for (id, records) in more.iter().flat_map(|more| more.iter()) {
            runs.entry(id.clone()).or_default().extend(records.clone());
        }
        let planned = rollback::plan(&world.input(), &run, &runs);
        planned.ok().map(|planned| nodes(&planned.plan))
    };
    let both = Some(vec![world.node(2), world.node(3)]);
    assert_eq!(left(&world, &[]), both);
    // The first host is as it was. Its step does what the controller had still to do there.
    world.file(2).digest = binary("3.0.16");
    world.host(2).crontab = Observed::Present("0 4 * * * /opt/backup\n".to_owned());
    for undone in [&cut, &own] {
        assert_eq!(left(&world, &[undone]), both);
    }
    // Without such a record somebody else was there.
    assert_eq!(left(&world, &[]), None);
    assert_eq!(left(&world, &[&failed]), None);
    // So it is where another run has been there since.
    let again = recorded(&[Intent {
        run: run_id(11),
        ..intents[0].clone()
    }]);
    assert_eq!(left(&world, &[&cut, &again]), None);
    // One that was carried out whole is planned against what is there now, and a run that has undone
    // itself has left nothing.
    assert_eq!(left(&world, &[&cut, &second]), None);
    assert_eq!(left(&world, &[&own, &own_second]), Some(vec![]));
}

#[test]
fn a_host_that_was_left_failed_is_restored_with_the_rest() {
    let (mut world, intents) = brought();
    let run = &intents[0].run;
    let mut runs = recorded(&intents);
    runs.get_mut(run).unwrap()[0].ended = Ended::Failed;
    let plan = |world: &World| nodes(&rollback::plan(&world.input(), run, &runs).unwrap().plan);
    assert_eq!(plan(&world), [world.node(2), world.node(3)]);
    // A part of it may not have been reached.
    world.file(2).digest = binary("3.0.16");
    assert_eq!(plan(&world), [world.node(2), world.node(3)]);
    // A program of nobody is another thing.
    world.file(2).digest = binary("9.9.9");
    assert!(rollback::plan(&world.input(), run, &runs).is_err());
    // A host that has not ended its change has no state to go back from.
    world.file(2).digest = binary("3.0.18");
    world.leave_unfinished(2, false);
    runs.get_mut(run).unwrap()[0].ended = Ended::Stuck;
    assert!(rollback::plan(&world.input(), run, &runs).is_err());
}

/// Nobody knows then which nodes hold the endpoints of one servant.
#[test]
fn without_a_database_what_may_serve_is_restored_one_by_one_after_what_is_down() {
    let (mut world, intents) = brought();
    world.desired.policy.max_parallel = tarsops_model::desired::Count::Number(2);
    world.inventory.framework = framework::world(4).inventory.framework;
    let batches = |plan: &Plan| -> Vec<(NodeName, u32)> {
        let of = |step: &tarsops_plan::plan::Step| step.resource.node().unwrap().clone();
        plan.steps.iter().map(|s| (of(s), s.batch)).collect()
    };
    let waits = |plan: &Plan, i: usize| {
        let post = &plan.steps[i].post;
        let all = |c: &Condition| matches!(c, Condition::AllServersActive { .. });
        (post.contains(&Condition::Registered), post.iter().any(all))
    };
    let (second, third) = (world.node(2), world.node(3));
    let seen = rollback(&world, &intents);
    assert_eq!(
        batches(&seen),
        [(second.clone(), 1), (third.clone(), 1)],
        "the rows were read"
    );
    assert_eq!(waits(&seen, 0), (true, false));

    framework::framework(&mut world).database = Observed::Unknown("no way".to_owned());
    let blind = rollback(&world, &intents);
    assert_eq!(check(&blind, &world), Ok(()));
    assert_eq!(batches(&blind), [(second.clone(), 1), (third.clone(), 2)]);
    assert_eq!([waits(&blind, 0), waits(&blind, 1)], [(true, true); 2]);
    // That its record says that it failed is no evidence that nothing is served there.
    let mut runs = recorded(&intents);
    runs.get_mut(&intents[0].run).unwrap()[0].ended = Ended::Failed;
    let failed = rollback::plan(&world.input(), &intents[0].run, &runs);
    assert_eq!(waits(&failed.unwrap().plan, 0), (true, true));

    world.facts(3).processes = Observed::Present(vec![]);
    let down = rollback(&world, &intents);
    assert_eq!(check(&down, &world), Ok(()));
    assert_eq!(batches(&down), [(third, 1), (second, 2)]);
    assert_eq!(
        [waits(&down, 0), waits(&down, 1)],
        [(false, false), (true, true)]
    );
}
