//! The rollback of a container's replacement: what goes back, in which order, and what never does.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use support::docker::{NAME, alter, arm, change, fleet, image, pin, runs};
use support::json::{hostile, paths};
use support::*;
use tarsops_model::container::{ContainerFacts, Engine};
use tarsops_model::framework::Answer;
use tarsops_model::host::{NodeState, Unfinished};
use tarsops_model::names::{Endpoint, NodeName, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;
use tarsops_plan::action::{
    Action, ContainerCreation, NewContainer, ReplaceContainer, ReplacedContainer, Undo,
};
use tarsops_plan::claims::{Field, Place, fits};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::container_record::CannotGoBack;
use tarsops_plan::intent::{Changed, Intent};
use tarsops_plan::plan::{ChangeKind, Plan, Stage, Step};
use tarsops_plan::record::{Ended, Runs};
use tarsops_plan::rollback::{self, Refusal};
use tarsops_plan::saved::SavedPlan;
use tarsops_plan::{checker, effect};

const OLD: &str = "3.0.16";

fn console(text: &str) -> Option<Version> {
    Some(text.parse().unwrap())
}

/// The replacement of the container of the `i`th node, which runs [`OLD`], by one of the wanted image.
fn replacement(w: &World, i: usize) -> ReplaceContainer {
    let node = w.node(i);
    let wanted = w.desired.container(&node).unwrap();
    let host = w.inventory.host(&node);
    let host = host.present().unwrap();
    let seen = w.inventory.container(&node);
    let seen = seen.present().unwrap();
    let (old, new) = (pin(OLD), pin(VERSION));
    ReplaceContainer {
        machine_id: host.machine_id.present().unwrap().clone(),
        socket: wanted.socket.clone(),
        name: wanted.name.clone(),
        old: ReplacedContainer {
            id: seen.id.clone(),
            image: seen.image.unwrap(),
            ran: seen.runs(),
            programs: old.binaries,
            console: console("3.0.9"),
        },
        new: NewContainer::Create(ContainerCreation::of(wanted, new.id)),
        programs: new.binaries,
        ports: [17890].into(),
        stop_timeout: wanted.stop_timeout,
        console: console("3.0.15"),
        node,
    }
}

fn step(change: ReplaceContainer) -> Step {
    Step {
        id: format!("container.replace@{}", change.node),
        stage: Stage::Containers,
        batch: 1,
        needs: vec![],
        resource: ResourceId::Container(change.node.clone()),
        sign: ChangeKind::Change,
        summary: "replace the container".to_owned(),
        pre: change.preconditions(),
        post: change.postconditions(),
        action: change.into(),
        undo: Undo::Restore,
    }
}

/// Two framework hosts of which a run has replaced the containers: before, afterwards, and its records.
fn replaced() -> (World, World, Vec<Intent>) {
    let mut before = fleet(4);
    for i in 0..2 {
        runs(&mut before, i, OLD);
        alter(&mut before, i, |c| c.id = format!("older{i}"));
    }
    let mut after = before.clone();
    let mut intents = Vec::new();
    for i in [1, 0] {
        let change = replacement(&before, i);
        let step = step(change.clone());
        intents.push(recorded_as(
            &before,
            &step,
            Changed::Container(Box::new(change)),
        ));
        effect::apply(&mut after.inventory, &step.action);
    }
    (before, after, intents)
}

fn planned(w: &World, runs: &Runs) -> Result<Plan, Vec<Refusal>> {
    rollback::plan(&w.input(), &run_id(9), runs).map(|rollback| rollback.plan)
}

/// The nodes whose containers a plan replaces, in its order, with the batch of each.
fn containers(plan: &Plan) -> Vec<(NodeName, u32)> {
    let all = plan
        .steps
        .iter()
        .filter(|s| s.stage == Stage::Containers)
        .map(|s| (s.resource.node().unwrap().clone(), s.batch));
    all.collect()
}

fn replaces(step: &Step) -> &ReplaceContainer {
    match &step.action {
        Action::ReplaceContainer(change) => change,
        other => panic!("{other:?}"),
    }
}

/// The container that a node has under its name: its id, and whether it runs.
fn there(w: &World, i: usize) -> (String, bool) {
    let seen = w.inventory.container(&w.node(i));
    let seen = seen.present().unwrap();
    (seen.id.clone(), seen.runs())
}

#[test]
fn the_replaced_containers_go_back_one_by_one_the_slave_first() {
    let (before, mut w, intents) = replaced();
    let plan = planned(&w, &recorded(&intents)).unwrap();
    checker::check(&plan, &w.input()).unwrap();
    let order = containers(&plan);
    let [(first, one), (second, two)] = order.as_slice() else {
        panic!("{plan:#?}")
    };
    assert_eq!((first, second), (&w.node(1), &w.node(0)));
    assert!(one < two);
    // Its start writes rows.
    assert_eq!(plan.steps[0].stage, Stage::Backup);
    for step in plan.steps.iter().filter(|s| s.stage == Stage::Containers) {
        let change = replaces(step);
        assert_eq!(change.undoes(), Some(&run_id(9)));
        assert_eq!(change.programs, pin(OLD).binaries);
        for condition in &step.pre {
            let truth = condition.eval(&change.node, &w.inventory);
            assert_eq!(truth, Truth::Holds, "{}: {condition}", step.id);
        }
        let but = Endpoint::at(w.desired.host(&change.node).unwrap().ip, 17890);
        assert!(
            step.pre
                .contains(&Condition::AnotherRegistry { but: but.clone() })
        );
        assert!(
            step.post
                .contains(&Condition::RegistryAnswers { registry: but })
        );
        effect::apply(&mut w.inventory, &step.action);
        for condition in &step.post {
            let truth = condition.eval(&change.node, &w.inventory);
            assert_eq!(truth, Truth::Holds, "{}: {condition}", step.id);
        }
    }
    for i in 0..2 {
        assert_eq!(there(&w, i), (format!("older{i}"), true));
        assert_eq!(
            w.inventory.container(&w.node(i)).present().unwrap().image,
            before
                .inventory
                .container(&w.node(i))
                .present()
                .unwrap()
                .image
        );
    }
    // What is back is not brought back again.
    assert_eq!(planned(&w, &recorded(&intents)).unwrap().steps, []);
    // A saved plan says the same.
    let text = serde_json::to_string(&plan).unwrap();
    let saved = SavedPlan::from_json(text).unwrap();
    let narrowed = saved.narrow(&plan, &BTreeSet::new()).unwrap();
    assert_eq!(narrowed.plan.steps, plan.steps);
}

#[test]
fn a_rollback_that_was_cut_off_goes_on_with_the_other_host_and_is_rolled_back_itself() {
    let (_, mut w, intents) = replaced();
    let plan = planned(&w, &recorded(&intents)).unwrap();
    let first = plan
        .steps
        .iter()
        .find(|s| s.stage == Stage::Containers)
        .unwrap();
    effect::apply(&mut w.inventory, &first.action);
    let change = Changed::Container(Box::new(replaces(first).clone()));
    let undone = Intent {
        run: run_id(10),
        ..recorded_as(&w, first, change)
    };
    let mut runs = recorded(&intents);
    runs.extend(recorded(std::slice::from_ref(&undone)));
    let left = planned(&w, &runs).unwrap();
    assert_eq!(containers(&left).len(), 1);
    assert_eq!(containers(&left)[0].0, w.node(0));
    // The run that went back can be rolled back, too: to the newer container.
    let again = rollback::plan(&w.input(), &run_id(10), &recorded(&[undone])).unwrap();
    checker::check(&again.plan, &w.input()).unwrap();
    let step = again
        .plan
        .steps
        .iter()
        .find(|s| s.stage == Stage::Containers);
    effect::apply(&mut w.inventory, &step.unwrap().action);
    assert_eq!(there(&w, 1), ("replaced older1".to_owned(), true));
}

/// What is refused of the master's container; nothing else is.
fn refusal(w: &World, intents: &[Intent]) -> CannotGoBack {
    let refused = planned(w, &recorded(intents)).unwrap_err();
    let [Refusal::Container { node, why }] = refused.as_slice() else {
        panic!("{refused:?}")
    };
    assert_eq!(*node, w.node(0));
    why.clone()
}

#[test]
fn what_is_not_proven_to_be_safe_is_refused_with_its_reason() {
    type Change = fn(&mut World);
    let cases: [(CannotGoBack, Change); 8] = [
        (CannotGoBack::Gone, |w| retain(w, |c| c.name == NAME)),
        (CannotGoBack::NoContainer(NAME.to_owned()), |w| {
            retain(w, |c| c.name != NAME)
        }),
        (CannotGoBack::Runs(format!("{NAME}.old-older0")), |w| {
            retired(w, |c| c.state = "running".to_owned())
        }),
        (
            CannotGoBack::Rebuild {
                place: format!("environment of {NAME}.old-older0"),
            },
            |w| {
                retired(w, |c| {
                    c.environment
                        .insert("REBUILD".to_owned(), Some("true".to_owned()));
                });
            },
        ),
        (CannotGoBack::Replaced(NAME.to_owned()), |w| {
            current(w, |c| c.image = Some(image(OLD).id))
        }),
        (CannotGoBack::OtherMachine, |w| {
            w.host(0).machine_id = Observed::Present("f".repeat(32));
        }),
        (CannotGoBack::Unread("/srv/compose.yml".to_owned()), |w| {
            change(w, 0, |d| {
                d.unread.insert("/srv/compose.yml".to_owned());
            });
        }),
        (CannotGoBack::Unfinished(run_id(8)), |w| {
            w.host(0).unfinished = Some(Unfinished {
                run: run_id(8),
                step: StepName::of("s"),
                alive: false,
            });
        }),
    ];
    for (why, change) in cases {
        let (_, mut w, intents) = replaced();
        change(&mut w);
        assert_eq!(refusal(&w, &intents), why);
    }
    // Silence is no evidence of anything.
    for unseen in [Engine::NoSocket, Engine::NotAllowed, Engine::NoProgram] {
        let (_, mut w, intents) = replaced();
        change(&mut w, 0, |d| {
            d.engine = unseen;
            d.containers = Observed::Unknown("it was not asked".to_owned());
        });
        assert!(matches!(refusal(&w, &intents), CannotGoBack::Unknown(_)));
    }
    let (_, mut w, intents) = replaced();
    let node = w.node(0);
    w.desired.resources.remove(&ResourceId::Container(node));
    assert_eq!(refusal(&w, &intents), CannotGoBack::NotDesired);
}

/// Keeps some of the containers of the first node.
fn retain(w: &mut World, keeps: fn(&ContainerFacts) -> bool) {
    change(w, 0, |d| {
        if let Observed::Present(all) = &mut d.containers {
            all.retain(keeps);
        }
    });
}

fn each(w: &mut World, is_current: bool, alter: fn(&mut ContainerFacts)) {
    change(w, 0, |d| {
        if let Observed::Present(all) = &mut d.containers {
            let own = all.iter_mut().filter(|c| (c.name == NAME) == is_current);
            own.for_each(alter);
        }
    });
}

fn current(w: &mut World, alter: fn(&mut ContainerFacts)) {
    each(w, true, alter);
}

fn retired(w: &mut World, alter: fn(&mut ContainerFacts)) {
    each(w, false, alter);
}

#[test]
fn wherever_a_start_may_drop_the_databases_nothing_goes_back() {
    for place in 0..5 {
        let (_, mut w, intents) = replaced();
        arm(&mut w, 0, place, "yes");
        assert!(
            matches!(refusal(&w, &intents), CannotGoBack::Rebuild { .. }),
            "{place}"
        );
    }
}

#[test]
fn an_older_console_that_may_drop_columns_does_not_go_back() {
    let of = |old: Option<Version>, new: Option<Version>, i: usize| {
        let (_, w, mut intents) = replaced();
        for intent in &mut intents {
            let Changed::Container(change) = &mut intent.changed else {
                panic!("{intent:?}")
            };
            if change.node == w.node(i) {
                (change.old.console, change.console) = (old, new);
            }
        }
        planned(&w, &recorded(&intents)).err()
    };
    let safe = [
        ("3.0.3", "3.0.15"),
        ("3.0.15", "3.0.15"),
        ("3.0.20", "3.0.4"),
        ("2.4.16", "2.4.16"),
    ];
    for (old, new) in safe {
        assert_eq!(of(console(old), console(new), 0), None, "{old} {new}");
    }
    let unsafe_ones = [
        (console("3.0.2"), console("3.0.15")),
        (console("2.4.22"), console("3.0.15")),
        (console("3.0.15"), console("3.0.16")),
        (None, console("3.0.15")),
        (console("3.0.9"), None),
    ];
    for (old, new) in unsafe_ones {
        let refused = of(old, new, 0).unwrap();
        let [Refusal::Container { why, .. }] = refused.as_slice() else {
            panic!("{refused:?}")
        };
        assert_eq!(*why, CannotGoBack::Columns { old, new });
        // A slave has no console.
        assert_eq!(of(old, new, 1), None);
    }
}

#[test]
fn what_does_not_answer_is_brought_back_before_what_does() {
    let (_, mut w, intents) = replaced();
    let ip = w.desired.host(&w.node(0)).unwrap().ip;
    let at = Endpoint::at(ip, 17890);
    let framework = w.inventory.framework.as_mut().unwrap();
    framework.registries.insert(at, Answer::Refused);
    let mut runs = recorded(&intents);
    for record in runs.get_mut(&run_id(9)).unwrap() {
        if record.node == w.node(0) {
            record.ended = Ended::Failed;
        }
    }
    let plan = planned(&w, &runs).unwrap();
    checker::check(&plan, &w.input()).unwrap();
    let order = containers(&plan);
    assert_eq!(order[0].0, w.node(0));
    // Nothing is taken away by it, so that it waits for no other registry.
    let [dead, alive] = [&order[0].0, &order[1].0].map(|node| {
        let own = plan
            .steps
            .iter()
            .find(|s| s.resource == ResourceId::Container(node.clone()));
        let guard = |c: &Condition| matches!(c, Condition::AnotherRegistry { .. });
        own.unwrap().pre.iter().any(guard)
    });
    assert_eq!((dead, alive), (false, true));
}

#[test]
fn a_record_of_a_container_says_nothing_of_another_one() {
    let (_, w, intents) = replaced();
    let honest = &intents[0];
    let field = |intent: &Intent| {
        let place = Place {
            node: honest.resource.node().unwrap(),
            run: &honest.run,
            step: &honest.step,
        };
        fits(intent, place, &w.desired).err().map(|e| e.field)
    };
    assert_eq!(field(honest), None);
    type Forge = fn(&mut ReplaceContainer);
    let cases: [(Field, Forge); 6] = [
        (Field::Node, |c| c.node = "10.0.0.3".parse().unwrap()),
        (Field::Container, |c| c.name = "mysql".parse().unwrap()),
        (Field::Container, |c| c.old.id = "x; reboot".to_owned()),
        (Field::Container, |c| {
            c.new = NewContainer::Back {
                id: "$(id)".to_owned(),
                image: image(OLD).id,
                undoes: run_id(8),
            };
        }),
        (Field::Socket, |c| c.socket = "/tmp/x".parse().unwrap()),
        (Field::Settle, |c| c.stop_timeout = 4000),
    ];
    for (wanted, forge) in cases {
        let mut forged = honest.clone();
        let Changed::Container(change) = &mut forged.changed else {
            panic!("{forged:?}")
        };
        forge(change);
        assert_eq!(field(&forged), Some(wanted));
    }
    type Head = fn(&mut Intent);
    let heads: [(Field, Head); 3] = [
        (Field::ChangeKind, |i| i.sign = ChangeKind::Add),
        (Field::Resource, |i| i.resource = ResourceId::Web),
        (Field::Cluster, |i| i.cluster = "other".parse().unwrap()),
    ];
    for (wanted, forge) in heads {
        let mut forged = honest.clone();
        forge(&mut forged);
        assert_eq!(field(&forged), Some(wanted));
    }
    // The names of steps that replace a container, and no others.
    let named = |id: &str| {
        let place = Place {
            node: honest.resource.node().unwrap(),
            run: &honest.run,
            step: &StepName::of(id),
        };
        let intent = Intent {
            step: StepName::of(id),
            ..honest.clone()
        };
        fits(&intent, place, &w.desired).is_ok()
    };
    let node = w.node(1);
    for id in ["container.replace", "rollback.container"] {
        assert!(named(&format!("{id}@{node}")) && named(&format!("{id}@{node}.back")));
    }
    assert!(!named(&format!("container.replace@{}", w.node(0))) && !named("template.merge@x"));
}

#[test]
fn a_record_of_a_container_that_is_altered_anywhere_goes_back_to_none_that_was_not_replaced() {
    let (_, w, intents) = replaced();
    let honest = &intents[0];
    let node = honest.resource.node().unwrap();
    let document = serde_json::to_value(honest).unwrap();
    let (mut read, mut planned_from) = (0, 0);
    for path in paths(&document) {
        for value in hostile("10.0.0.1") {
            let mut changed = document.clone();
            *changed.pointer_mut(&path).unwrap() = value;
            let Ok(forged) = serde_json::from_value::<Intent>(changed) else {
                continue;
            };
            read += 1;
            let place = Place {
                node,
                run: &honest.run,
                step: &honest.step,
            };
            if fits(&forged, place, &w.desired).is_err() {
                continue;
            }
            let Ok(plan) = planned(&w, &recorded(std::slice::from_ref(&forged))) else {
                continue;
            };
            checker::check(&plan, &w.input()).unwrap();
            for step in plan.steps.iter().filter(|s| s.stage == Stage::Containers) {
                planned_from += 1;
                let change = replaces(step);
                assert_eq!((&change.node, change.name.as_str()), (node, NAME), "{path}");
                let NewContainer::Back { id, .. } = &change.new else {
                    panic!("{change:?}")
                };
                assert_eq!(
                    (id.as_str(), change.old.id.as_str()),
                    ("older1", "replaced older1")
                );
            }
        }
    }
    assert!(read > 100 && planned_from > 20, "{read} {planned_from}");
}

#[test]
fn a_rollback_of_a_container_that_is_altered_is_refused() {
    let (_, w, intents) = replaced();
    let honest = planned(&w, &recorded(&intents)).unwrap();
    let forged = |alter: &dyn Fn(&mut Step)| {
        let mut plan = honest.clone();
        let step = plan
            .steps
            .iter_mut()
            .find(|s| s.stage == Stage::Containers)
            .unwrap();
        alter(step);
        checker::check(&plan, &w.input()).is_err()
    };
    let change = |alter: fn(&mut ReplaceContainer)| {
        forged(&|step| {
            let mut change = replaces(step).clone();
            alter(&mut change);
            step.action = change.into();
        })
    };
    assert!(change(|c| c.name = "mysql".parse().unwrap()));
    assert!(change(|c| c.socket = "/tmp/x".parse().unwrap()));
    assert!(change(|c| c.machine_id = "other".to_owned()));
    assert!(change(|c| c.node = "10.0.0.3".parse().unwrap()));
    assert!(change(|c| {
        let NewContainer::Back { undoes, .. } = &mut c.new else {
            panic!("{c:?}")
        };
        *undoes = run_id(8);
    }));
    assert!(change(|c| {
        let NewContainer::Back { id, .. } = &mut c.new else {
            panic!("{c:?}")
        };
        "stranger".clone_into(id);
    }));
    let count = honest
        .steps
        .iter()
        .find(|s| s.stage == Stage::Containers)
        .unwrap()
        .pre
        .len();
    let needed = (0..count).filter(|&i| forged(&|step| drop(step.pre.remove(i))));
    // All but the one of the other registry, which is the order's affair.
    assert_eq!(needed.count(), count - 1);
    let maintained = {
        let mut w = w.clone();
        w.spec(1).state = NodeState::Maintenance {
            reason: None,
            until: None,
        };
        checker::check(&honest, &w.input()).is_err()
    };
    assert!(maintained);
}

#[test]
fn what_was_not_changed_or_cannot_be_read_is_not_guessed() {
    let (_, w, intents) = replaced();
    let ended = |ended: Ended| {
        let mut runs = recorded(&intents);
        for record in runs.get_mut(&run_id(9)).unwrap() {
            record.ended = ended.clone();
        }
        planned(&w, &runs).map(|plan| containers(&plan).len())
    };
    for unchanged in [Ended::RolledBack, Ended::Refused] {
        assert_eq!(ended(unchanged).unwrap(), 0);
    }
    for changed in [Ended::Failed, Ended::Stuck, Ended::Unfinished] {
        assert_eq!(ended(changed).unwrap(), 2);
    }
    assert!(matches!(
        ended(Ended::Damaged).unwrap_err().as_slice(),
        [Refusal::Damaged { .. }, Refusal::Damaged { .. }]
    ));
}
