//! A saved plan narrows what is planned now, whatever stands in the file.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::damage::worlds;
use support::expansion::lacking;
use support::framework::{babel, speaking};
use support::json::{hostile, paths};
use support::*;
use tarsops_model::component::Role;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_plan::checker;
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::saved::{Narrowed, ReadError, Reason, Refusal, SavedPlan};

/// Four hosts of which two have an older program, a script that cannot be run and no monitor in cron;
/// they are changed one after the other.
fn outdated() -> World {
    let mut world = World::new(4);
    world.desired.policy.canary = 1;
    world.desired.policy.max_parallel = tarsops_model::desired::Count::Number(1);
    for i in [2, 3] {
        world.file(i).digest = binary("3.0.16");
        world.process(i).exe = Observed::Present(binary("3.0.16"));
        world.script(i, "start.sh").mode = 0o600;
        world.host(i).crontab = Observed::Present("0 4 * * * /opt/backup\n".to_owned());
    }
    world
}

fn document(plan: &Plan) -> Value {
    serde_json::to_value(plan).unwrap()
}

fn read(document: &Value) -> Result<SavedPlan, ReadError> {
    SavedPlan::from_json(document.to_string())
}

fn narrow(document: &Value, now: &Plan) -> Result<Narrowed, Vec<Refusal>> {
    read(document).unwrap().narrow(now, &BTreeSet::new())
}

/// Whether nothing is done that would not be done without the file.
fn is_part(narrowed: &Narrowed, now: &Plan) -> bool {
    let mut rest = now.steps.iter();
    narrowed
        .plan
        .steps
        .iter()
        .all(|step| rest.any(|planned| planned == step))
}

fn refusal(document: &Value, now: &Plan) -> Refusal {
    let mut refused = narrow(document, now).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
    refused.remove(0)
}

#[test]
fn a_file_that_is_altered_anywhere_does_no_more_than_a_fresh_plan() {
    let mut silenced = outdated();
    let mut upgraded = speaking(World::new(3));
    upgraded
        .agents()
        .for_each(|a| a.version = version("3.0.18"));
    let silent: BTreeSet<NodeName> = [silenced.node(3)].into();
    silenced.silence(3);
    for (world, now) in [
        (outdated(), outdated().plan()),
        (outdated(), silenced.plan()),
        (upgraded.clone(), upgraded.plan()),
    ] {
        let whole = now == world.plan();
        let silent = if whole {
            BTreeSet::new()
        } else {
            silent.clone()
        };
        let document = document(&world.plan());
        let (mut readable, mut accepted) = (0, 0);
        for path in paths(&document) {
            for value in hostile(world.node(2).as_str()) {
                let mut changed = document.clone();
                let place = changed.pointer_mut(&path).unwrap();
                let same = *place == value;
                *place = value.clone();
                let Ok(saved) = read(&changed) else { continue };
                readable += 1;
                let Ok(narrowed) = saved.narrow(&now, &silent) else {
                    continue;
                };
                accepted += 1;
                assert!(is_part(&narrowed, &now), "{path} {value}");
                assert_eq!(checker::check(&narrowed.plan, &world.input()), Ok(()));
                if whole && path.starts_with("/steps/") {
                    assert!(same, "{path} {value} is let through");
                }
                if !path.starts_with("/steps") {
                    assert_eq!(narrowed.plan.steps, now.steps, "{path}");
                    assert!(!whole || narrowed.plan == now, "{path} {value}");
                }
            }
        }
        assert!(readable > 1000 && accepted > 20, "{readable} {accepted}");
    }
}

#[test]
fn a_field_that_tarsops_does_not_know_is_no_part_of_a_step() {
    let now = outdated().plan();
    let document = document(&now);
    let objects = paths(&document).into_iter().filter(|path| {
        path.starts_with("/steps/") && document.pointer(path).is_some_and(Value::is_object)
    });
    let mut tried = 0;
    for path in objects {
        let mut changed = document.clone();
        changed.pointer_mut(&path).unwrap()["more"] = json!(1);
        let refused = refusal(&changed, &now);
        let text = refused.to_string();
        assert!(
            text.contains("more: saved 1, now nothing"),
            "{path}: {text}"
        );
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn what_differs_is_named() {
    let now = outdated().plan();
    let [first, second] = now.steps.as_slice() else {
        panic!("{:?}", now.steps);
    };
    let document = document(&now);
    let other = binary("3.0.18").to_string();
    let edited = |path: &str, value: Value| {
        let mut changed = document.clone();
        *changed.pointer_mut(path).unwrap() = value;
        refusal(&changed, &now)
    };
    let refused = edited(
        "/steps/0/action/operation/modify/files/0/after",
        json!(other),
    );
    let Reason::Differs { fields, more: 0 } = &refused.why else {
        panic!("{refused:?}");
    };
    assert_eq!(refused.step, first.id);
    assert_eq!(fields[0].field, "action.operation.modify.files[0].after");
    assert_eq!(fields[0].saved, Some(format!("\"{other}\"")));
    let text = refused.to_string();
    let start = format!(
        "step {}: it is not the step that is planned now: ",
        first.id
    );
    assert!(text.starts_with(&start), "{text}");

    // Another file and another line of the crontab.
    let mut changed = document.clone();
    let files = changed
        .pointer_mut("/steps/1/action/operation/modify/files")
        .unwrap();
    files.as_array_mut().unwrap().push(json!({"path": "x"}));
    let add = "/steps/1/action/operation/modify/crontab/edit/add";
    *changed.pointer_mut(add).unwrap() = json!("* * * * * id");
    let refused = refusal(&changed, &now);
    assert_eq!(refused.step, second.id);
    let text = refused.to_string();
    assert!(
        text.contains("crontab.edit.add: saved \"* * * * * id\""),
        "{text}"
    );
    assert!(
        text.contains("saved {\"path\":\"x\"}, now nothing"),
        "{text}"
    );

    // Nothing but the order.
    let text = edited("/steps/1/batch", json!(1)).to_string();
    assert!(text.ends_with(": batch: saved 1, now 2"), "{text}");
    assert!(matches!(
        edited("/steps/1/id", json!("tarsnode.change@10.9.9.9")).why,
        Reason::Missing { .. }
    ));
    assert_eq!(edited("/steps/1", json!("x")).why, Reason::Unnamed);
    assert_eq!(
        edited("/steps/1", document["steps"][0].clone()).why,
        Reason::Twice
    );
    for reason in [Reason::Unnamed, Reason::Twice] {
        assert!(!reason.is_stale());
    }
}

#[test]
fn a_step_whose_prerequisite_is_not_in_the_file_is_refused() {
    let now = outdated().plan();
    let mut first = document(&now);
    first["steps"].as_array_mut().unwrap().pop();
    let narrowed = narrow(&first, &now).unwrap();
    assert_eq!(narrowed.plan.steps, now.steps[..1]);
    assert_eq!(narrowed.left_out, [now.steps[1].id.clone()]);
    assert_eq!(narrowed.plan.summary.change, 1);
    let mut last = document(&now);
    last["steps"].as_array_mut().unwrap().remove(0);
    let refused = refusal(&last, &now);
    assert_eq!(refused.step, now.steps[1].id);
    let step = now.steps[0].id.clone();
    assert_eq!(refused.why, Reason::Prerequisite { step });
}

#[test]
fn a_step_that_is_done_or_blocked_now_is_refused_with_the_reason() {
    let saved = document(&outdated().plan());
    let mut world = outdated();
    world.file(2).digest = binary(VERSION);
    let text = narrow(&saved, &world.plan()).unwrap_err()[0].to_string();
    assert!(text.contains("files[0]"), "{text}");
    let text = narrow(&saved, &World::new(4).plan()).unwrap_err()[0].to_string();
    assert!(
        text.ends_with("it is not planned now: nothing that can be seen differs there"),
        "{text}"
    );
    world.file(2).digest = tarsops_model::digest::Digest::of(b"a hot fix");
    let text = narrow(&saved, &world.plan()).unwrap_err()[0].to_string();
    assert!(text.contains("it is not planned now: "), "{text}");
    assert!(text.contains("lock file"), "{text}");
}

#[test]
fn steps_on_hosts_that_do_not_answer_are_left_out() {
    let saved = read(&document(&outdated().plan())).unwrap();
    let mut world = outdated();
    world.silence(2);
    let now = world.plan();
    let silent: BTreeSet<NodeName> = [world.node(2)].into();
    let narrowed = saved.narrow(&now, &silent).unwrap();
    assert_eq!(narrowed.silent.len(), 1);
    // The next one is the canary now, and that is what the plan says.
    assert_eq!(narrowed.plan, now);
    assert_eq!(now.steps[0].batch, 1);
    // Of a host that the spec does not let be silent nothing is left out.
    assert!(saved.narrow(&now, &BTreeSet::new()).is_err());
}

#[test]
fn no_plan_and_another_format_are_told_apart() {
    let mut other = document(&outdated().plan());
    other["format"] = json!("tarsops.plan/2");
    assert!(matches!(read(&other), Err(ReadError::Format(f)) if f == "tarsops.plan/2"));
    for text in ["", "{}", "[]", "{\"format\":\"tarsops.plan/3\"}"] {
        assert!(matches!(
            SavedPlan::from_json(text),
            Err(ReadError::NoPlan(_))
        ));
    }
}

/// What a step shares stands in the document once, whatever the node is called.
#[test]
fn what_steps_share_is_written_once_and_read_as_it_was() {
    let mut world = World::new(3);
    for i in 1..40 {
        world.add(&format!("gw-{i}"), &format!("10.0.9.{i}"), Role::Node);
    }
    // A text with a mark of its own is not shared.
    let mut package = package(VERSION);
    for file in &mut package.files {
        if file.path == "util/stop.sh" {
            file.text = file
                .text
                .take()
                .map(|text| format!("{text}echo {{node}} {{ip}}\n"));
        }
    }
    world.catalog.insert(package);
    let nodes: Vec<NodeName> = world.desired.hosts().map(|(n, _)| n.clone()).collect();
    for node in &nodes {
        damage::damage(&mut world, node, 14);
    }
    let now = world.plan();
    assert_eq!(now.steps.len(), 42);
    let text = now.to_json().unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let plain = serde_json::to_value(&now).unwrap();
    for (key, value) in plain.as_object().unwrap() {
        assert!(key == "steps" || document[key] == *value, "{key}");
    }
    assert!(
        document["shared"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    assert!(text.len() * 2 < plain.to_string().len(), "{}", text.len());
    assert_eq!(text.matches("echo {node} {ip}").count(), 42);
    let narrowed = narrow(&document, &now).unwrap();
    assert_eq!(narrowed.plan, now);
}

/// A file may refer to whatever it likes: what is compared is what its words come to.
#[test]
fn a_reference_that_is_forged_is_a_difference_and_harms_nothing() {
    let mut world = World::new(6);
    world.agents().for_each(|a| a.version = version("3.0.18"));
    let now = world.plan();
    let document: Value = serde_json::from_str(&now.to_json().unwrap()).unwrap();
    assert!(narrow(&document, &now).is_ok());
    let mut changed = 0;
    for path in paths(&document) {
        let inside = path.starts_with("/shared") || path.starts_with("/steps");
        for value in [
            json!({"shared": 0}),
            json!({"shared": 9999}),
            json!("{node}"),
        ] {
            let mut forged = document.clone();
            let place = forged.pointer_mut(&path).unwrap();
            if !inside || *place == value {
                continue;
            }
            *place = value;
            if let Ok(saved) = read(&forged)
                && let Ok(narrowed) = saved.narrow(&now, &BTreeSet::new())
            {
                assert!(is_part(&narrowed, &now), "{path}");
            } else {
                changed += 1;
            }
        }
    }
    assert!(changed > 100, "{changed}");
}

/// A file with some of the steps of a plan.
fn some(plan: &Plan, mask: u64) -> Value {
    let mut part = plan.clone();
    let mut number = 0;
    part.steps.retain(|_| {
        number += 1;
        mask >> (number % 64) & 1 == 1
    });
    document(&part)
}

/// That the whole file is the whole plan, a part of it a part that is a plan, and time alone changes
/// nothing of what a step does.
fn narrows(world: &World, mask: u64) -> Result<(), TestCaseError> {
    let now = world.plan();
    let whole = narrow(&document(&now), &now).unwrap();
    prop_assert_eq!(&whole.plan, &now);
    prop_assert!(whole.left_out.is_empty() && whole.silent.is_empty());
    // The document is the same plan, with what steps share written once.
    let written = SavedPlan::from_json(now.to_json().unwrap()).unwrap();
    prop_assert_eq!(&written.narrow(&now, &BTreeSet::new()).unwrap(), &whole);
    if let Ok(narrowed) = narrow(&some(&now, mask), &now) {
        prop_assert!(is_part(&narrowed, &now));
        let left_out = now.steps.len() - narrowed.plan.steps.len();
        prop_assert_eq!(left_out, narrowed.left_out.len());
        let batch = |s: &&Step| s.stage != Stage::Recover;
        let last = narrowed
            .plan
            .steps
            .iter()
            .filter(batch)
            .map(|s| s.batch)
            .max();
        for step in now.steps.iter().filter(batch) {
            let there = narrowed.plan.steps.contains(step);
            prop_assert!(
                there || last.is_none_or(|last| step.batch >= last),
                "{}",
                step.id
            );
        }
    }
    let mut later = world.clone();
    later.now += 20;
    later.inventory.observed_at += 20;
    prop_assert_eq!(later.plan().steps, now.steps);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_part_of_a_plan_is_a_plan(world in worlds(), speaking in babel(), new in lacking(), mask in any::<u64>()) {
        for world in [world, speaking, new] {
            narrows(&world, mask)?;
        }
    }

    #[test]
    fn a_plan_for_other_facts_does_no_more_than_a_fresh_one(before in worlds(), now in worlds()) {
        let now = now.plan();
        if let Ok(narrowed) = narrow(&document(&before.plan()), &now) {
            prop_assert!(is_part(&narrowed, &now));
        }
    }
}
