//! What must be true of every plan over containers, and of the orders in which they are replaced.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use proptest::prelude::*;
use support::World;
use support::docker::{alter, arm, change, container, digest, fleet, pin, runs};
use support::framework::{admin, database, framework, rows};
use support::{VERSION, binary, package, version};
use tarsops_model::component::{Component, Role};
use tarsops_model::container::{Engine, RestartPolicy};
use tarsops_model::desired::Resource;
use tarsops_model::framework::Answer;
use tarsops_model::host::NodeState;
use tarsops_model::names::Endpoint;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::Action;
use tarsops_plan::checker::{self, asks_for_rebuild};
use tarsops_plan::condition::Condition;
use tarsops_plan::effect;
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::report::{Blocked, Line};

/// A release before tarsnode takes commands over its own connection.
const BEFORE: &str = "3.0.6";

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.id.as_str()).collect()
}

/// The whole cluster is of a version, and the spec wants the usual one.
fn all_run(count: usize, text: &str) -> World {
    let mut w = fleet(count);
    w.catalog.insert(package(text));
    let pin = pin(text);
    w.catalog.images.insert(pin.name.clone(), pin);
    for i in 0..count.min(2) {
        runs(&mut w, i, text);
    }
    for i in 2..count {
        w.file(i).digest = binary(text);
        w.process(i).exe = Observed::Present(binary(text));
    }
    admin(&mut w).version = Observed::Present(text.to_owned());
    w
}

#[test]
fn slaves_come_before_the_master_and_nodes_follow() {
    let w = all_run(4, "3.0.16");
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(
        ids(&plan),
        [
            "database.backup",
            "container.replace@10.0.0.2",
            "container.replace@10.0.0.1",
            "tarsnode.change@10.0.0.3",
            "tarsnode.change@10.0.0.4",
        ]
    );
    let batches: Vec<u32> = plan.steps.iter().map(|s| s.batch).collect();
    assert!(batches[1] < batches[2] && batches[2] < batches[3]);
    let summary = &plan.steps[1].summary;
    assert_eq!(
        summary,
        "replace the container, framework 3.0.16 to 3.0.17 (image)"
    );
}

#[test]
fn the_next_container_waits_until_registries_have_read_the_row() {
    let mut w = all_run(3, "3.0.16");
    w.desired.policy.settle = 0;
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let gate = |plan: &Plan, id: &str| {
        let needs = |g: &&tarsops_plan::plan::Gate| g.needs == [id.to_owned()];
        plan.gates.iter().position(|g| needs(&g)).unwrap()
    };
    let at = gate(&plan, "container.replace@10.0.0.2");
    assert_eq!(plan.gates[at].settle, 13);
    let mut hasty = plan;
    hasty.gates[at].settle = 12;
    assert!(checker::check(&hasty, &w.input()).is_err());
}

#[test]
fn where_only_the_master_brings_what_a_slave_needs_it_comes_first() {
    let w = all_run(3, BEFORE);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(
        ids(&plan)[1..],
        [
            "container.replace@10.0.0.1",
            "container.replace@10.0.0.2",
            "tarsnode.change@10.0.0.3",
        ]
    );
    let id = container(&w, 0);
    let said = plan.report.iter().any(
        |l| matches!(l, Line::Note { resource, text } if *resource == id && text.contains("before the slaves")),
    );
    assert!(said, "{:#?}", plan.report);
    // The master of the new release alone lets the slave follow, and then comes no more.
    let mut half = w.clone();
    runs(&mut half, 0, VERSION);
    assert_eq!(ids(&half.plan())[1], "container.replace@10.0.0.2");
    // While the master stays, neither the slave nor the node comes.
    let mut held = w;
    change(&mut held, 0, |d| {
        d.images.retain(|i| i.id != pin(VERSION).id)
    });
    let plan = held.plan();
    checker::check(&plan, &held.input()).unwrap();
    assert!(plan.steps.is_empty(), "{:#?}", ids(&plan));
    let apart = |l: &&Line| {
        matches!(
            l,
            Line::Blocked {
                why: Blocked::VersionsApart { .. },
                ..
            }
        )
    };
    assert_eq!(plan.report.iter().filter(apart).count(), 2);
}

#[test]
fn nothing_counts_on_a_container_that_stays_for_the_sake_of_an_endpoint() {
    let mut w = all_run(3, BEFORE);
    let servant = format!("tars.tarsquerystat.QueryObj@{}", w.node(0));
    let asked = framework(&mut w).servants.get_mut(&servant).unwrap();
    asked.answer = Answer::Refused;
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let slave = container(&w, 1);
    let stays = plan.report.iter().any(|l| {
        let last = |why: &Blocked| matches!(why, Blocked::LastEndpoint { .. });
        matches!(l, Line::Blocked { resource, why } if *resource == slave && last(why))
    });
    assert!(stays, "{:#?}", plan.report);
    assert!(plan.steps.is_empty(), "{:?}", ids(&plan));
}

#[test]
fn columns_come_before_containers_and_a_backup_before_all() {
    let mut w = all_run(3, "3.0.16");
    let columns = &mut rows(&mut w).columns;
    if let Some(Observed::Present(all)) = columns.get_mut("t_server_conf") {
        all.remove("run_type");
    }
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(
        ids(&plan)[..3],
        [
            "database.backup",
            "schema.add@t_server_conf.run_type",
            "container.replace@10.0.0.2",
        ]
    );
}

#[test]
fn a_single_host_is_replaced_only_where_an_interruption_is_accepted() {
    let mut w = all_run(1, "3.0.16");
    let plan = w.plan();
    assert!(plan.steps.is_empty());
    let only = Line::Blocked {
        resource: container(&w, 0),
        why: Blocked::OnlyRegistry,
    };
    assert!(plan.report.contains(&only), "{:#?}", plan.report);
    w.desired.policy.registry_gap = true;
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(
        ids(&plan),
        ["database.backup", "container.replace@10.0.0.1"]
    );
}

#[test]
fn a_stopped_slave_comes_before_the_master_is_touched() {
    let mut w = all_run(3, "3.0.16");
    alter(&mut w, 1, |c| c.state = "exited".to_owned());
    change(&mut w, 1, |d| d.processes.clear());
    let at = Endpoint::at(w.desired.host(&w.node(1)).unwrap().ip, 17890);
    framework(&mut w).registries.insert(at, Answer::Refused);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(
        ids(&plan)[..2],
        ["database.backup", "container.replace@10.0.0.2"]
    );
    let only = Line::Blocked {
        resource: container(&w, 0),
        why: Blocked::OnlyRegistry,
    };
    assert!(plan.report.contains(&only), "{:#?}", plan.report);
}

#[test]
fn a_container_that_was_published_over_is_told_and_replaced() {
    let mut w = all_run(3, "3.0.16");
    change(&mut w, 1, |d| {
        d.processes[0].exe = Observed::Present(digest("published"));
    });
    let plan = w.plan();
    assert!(ids(&plan).contains(&"container.replace@10.0.0.2"));
    let id = container(&w, 1);
    let said = plan
        .report
        .iter()
        .any(|l| matches!(l, Line::Note { resource, text } if *resource == id && text.starts_with("tarsconfig does not")));
    assert!(said, "{:#?}", plan.report);
}

/// The plan of an upgrade after somebody has changed it: what the checker finds.
fn found(damage: impl FnOnce(&mut Plan)) -> Vec<String> {
    let w = all_run(3, "3.0.16");
    let mut plan = w.plan();
    damage(&mut plan);
    let found = checker::check(&plan, &w.input()).err().unwrap_or_default();
    found.iter().map(ToString::to_string).collect()
}

fn says(found: &[String], what: &str) -> bool {
    found.iter().any(|f| f.contains(what))
}

fn replacement(step: &mut Step) -> &mut tarsops_plan::action::ReplaceContainer {
    match &mut step.action {
        Action::ReplaceContainer(action) => action,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_checker_takes_no_other_order_and_no_other_container() {
    assert_eq!(found(|_| {}), [] as [&str; 0]);
    let swapped = found(|plan| {
        plan.steps.swap(1, 2);
        let (first, second) = (plan.steps[1].batch, plan.steps[2].batch);
        plan.steps[1].batch = second;
        plan.steps[2].batch = first;
    });
    assert!(
        says(&swapped, "before the container of a slave"),
        "{swapped:#?}"
    );
    let together = found(|plan| plan.steps[2].batch = plan.steps[1].batch);
    assert!(
        says(&together, "changes together with a container"),
        "{together:#?}"
    );
    assert!(says(&together, "no registry alive"), "{together:#?}");
    let unguarded = found(|plan| {
        let guard = |c: &Condition| matches!(c, Condition::AnotherRegistry { .. });
        plan.steps[1].pre.retain(|c| !guard(c));
    });
    assert!(says(&unguarded, "another one lives"), "{unguarded:#?}");
    let unsaved = found(|plan| drop(plan.steps.remove(0)));
    assert!(says(&unsaved, "without a backup"), "{unsaved:#?}");
    let unseen = found(|plan| replacement(&mut plan.steps[1]).programs.clear());
    assert!(says(&unseen, "what has to run"), "{unseen:#?}");
    let foreign = found(|plan| {
        let programs = &mut replacement(&mut plan.steps[1]).programs;
        programs.insert(Component::Tarsconfig, digest("foreign"));
    });
    assert!(says(&foreign, "its image does not have"), "{foreign:#?}");
    let renamed = found(|plan| {
        replacement(&mut plan.steps[1]).name = "other".parse().unwrap();
    });
    assert!(
        says(&renamed, "another container than the spec's"),
        "{renamed:#?}"
    );
}

/// What may be wrong with a container, its host or its database. The first three are no obstacle.
const HARMS: u8 = 17;

fn harm(w: &mut World, i: usize, kind: u8) {
    match kind {
        0 => alter(w, i, |c| {
            drop(c.environment.insert("TOKEN".to_owned(), None))
        }),
        1 => alter(w, i, |c| c.log.1.clear()),
        2 => alter(w, i, |c| c.state = "exited".to_owned()),
        3 => alter(w, i, |c| c.restart = RestartPolicy::UnlessStopped),
        4 => change(w, i, |d| {
            for process in d.processes.iter_mut().take(1) {
                process.exe = Observed::Present(digest("published"));
            }
        }),
        5..=9 => arm(w, i, usize::from(kind - 5), "true"),
        10 => change(w, i, |d| {
            d.unread.insert("/srv/compose.yml".to_owned());
        }),
        11 => change(w, i, |d| {
            d.engine = Engine::Silent {
                why: "it hangs".to_owned(),
            };
            d.containers = Observed::Unknown("no list".to_owned());
        }),
        12 => change(w, i, |d| {
            d.images.retain(|image| image.id != pin(VERSION).id)
        }),
        13 => w.host(i).machine_id = Observed::Unknown("no right".to_owned()),
        14 => {
            let at = Endpoint::at(w.desired.host(&w.node(i)).unwrap().ip, 17890);
            framework(w).registries.insert(at, Answer::Refused);
        }
        15 => database(w).rows = Observed::Unknown("no privilege".to_owned()),
        _ => {
            w.spec(i).state = NodeState::Maintenance {
                reason: None,
                until: None,
            }
        }
    }
}

/// Whether a harm forbids every step on the container of its host.
const fn forbids(kind: u8) -> bool {
    matches!(kind, 5..=13 | 15 | 16)
}

/// Which versions a container or a node may run; the first is what the spec wants.
const RUN: [&str; 4] = [VERSION, "3.0.16", BEFORE, "3.0.18"];

type Harms = Vec<(usize, u8)>;

fn fleets() -> impl Strategy<Value = (World, Harms)> {
    let run = || prop::sample::select(RUN.to_vec());
    let harms = prop::collection::vec((0..2usize, 0..HARMS), 0..3);
    (
        1..5usize,
        run(),
        run(),
        run(),
        harms,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(count, master, slave, nodes, harms, gap, downgrades)| {
            let mut w = fleet(count);
            for text in RUN {
                w.catalog.insert(package(text));
                let pin = pin(text);
                w.catalog.images.insert(pin.name.clone(), pin);
            }
            w.desired.policy.registry_gap = gap;
            runs(&mut w, 0, master);
            admin(&mut w).version = Observed::Present(master.to_owned());
            if count > 1 {
                runs(&mut w, 1, slave);
            }
            for i in 2..count {
                w.file(i).digest = binary(nodes);
                w.process(i).exe = Observed::Present(binary(nodes));
            }
            for resource in w.desired.resources.values_mut() {
                if let Resource::Server(server) = resource {
                    server.allow_downgrade = downgrades;
                }
            }
            let mut harms: Harms = harms;
            harms.retain(|(i, _)| *i < count);
            // Each replaces what was seen of the host, so that what no longer can be seen comes last.
            harms.sort_by_key(|(_, kind)| (*kind == 11, *kind == 16, *kind));
            harms.dedup_by_key(|(i, kind)| (*i, *kind));
            for (i, kind) in &harms {
                if !matches!(w.inventory.container(&w.node(*i)), Observed::Unknown(_)) || *kind > 12
                {
                    harm(&mut w, *i, *kind);
                }
            }
            (w, harms)
        })
}

fn containers(plan: &Plan) -> Vec<&Step> {
    let all = plan.steps.iter();
    all.filter(|s| s.stage == Stage::Containers).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing is done to a container that would drop the databases, that nobody could see, or of which a
    /// fact is missing.
    #[test]
    fn what_is_forbidden_or_not_known_has_no_step((w, harms) in fleets()) {
        let plan = w.plan();
        if let Err(found) = checker::check(&plan, &w.input()) {
            prop_assert!(false, "{found:#?}");
        }
        let unread = harms.iter().any(|(_, kind)| *kind == 15);
        for step in containers(&plan) {
            prop_assert!(!unread);
            for (i, kind) in &harms {
                prop_assert!(!forbids(*kind) || step.resource != container(&w, *i), "{kind}");
            }
        }
        prop_assert!(!asks_for_rebuild(&serde_json::to_string(&plan).unwrap()));
    }

    /// Containers change one at a time, each while another registry answers, a slave before the master
    /// unless only the master brings what its tarsnode needs, and nodes after both.
    #[test]
    fn containers_have_their_order((w, _) in fleets()) {
        let plan = w.plan();
        let steps = containers(&plan);
        let alive = |i: usize| {
            let at = w.desired.host(&w.node(i)).map(|h| Endpoint::at(h.ip, 17890));
            let answers = w.inventory.framework.as_ref().unwrap();
            at.and_then(|at| answers.registries.get(&at)).is_some_and(Answer::is_alive)
        };
        let mut dead = (0..2).filter(|i| !alive(*i)).collect::<Vec<_>>();
        for step in &steps {
            let beside = plan.steps.iter().filter(|s| s.batch == step.batch).count();
            prop_assert_eq!(beside, 1);
            let own = usize::from(step.resource == container(&w, 1));
            let seen = w.inventory.container(&w.node(own));
            let ran = seen.present().is_some_and(|c| c.runs());
            let other = !dead.contains(&(1 - own));
            prop_assert!(!ran || other || w.desired.policy.registry_gap, "{:?}", ids(&plan));
            dead.retain(|i| *i != own);
        }
        let roles: Vec<Role> = steps
            .iter()
            .filter_map(|s| Some(w.desired.host(s.resource.node()?)?.role))
            .collect();
        if roles == [Role::Master, Role::Slave] {
            let word = w.inventory.framework.as_ref().unwrap().admin.present().unwrap();
            prop_assert_eq!(word.version.present().map(String::as_str), Some(BEFORE));
        }
        if let Some(last) = steps.last() {
            let nodes = plan.steps.iter().filter(|s| s.stage == Stage::Agents);
            for node in nodes {
                prop_assert!(node.batch > last.batch);
            }
            let stages: Vec<Stage> = plan.steps.iter().map(|s| s.stage).collect();
            prop_assert!(stages.contains(&Stage::Backup) && stages.is_sorted());
        }
    }

    /// Once its steps are done, there is nothing left to do, but for what had to wait for them.
    #[test]
    fn what_is_done_stays_done((w, _) in fleets()) {
        let mut w = w;
        let mut rounds = 0;
        loop {
            let plan = w.plan();
            if plan.steps.is_empty() {
                break;
            }
            for step in &plan.steps {
                effect::apply(&mut w.inventory, &step.action);
                for condition in &step.post {
                    let node = step.resource.node().unwrap_or(&w.desired.master);
                    let truth = condition.eval(node, &w.inventory);
                    prop_assert_eq!(truth, tarsops_plan::condition::Truth::Holds, "{}", &step.id);
                }
            }
            let done: Vec<ResourceId> = containers(&plan).iter().map(|s| s.resource.clone()).collect();
            let again = w.plan();
            for step in containers(&again) {
                prop_assert!(!done.contains(&step.resource), "{}", &step.id);
            }
            rounds += 1;
            prop_assert!(rounds < 4, "{:?}", ids(&again));
        }
    }
}

#[test]
fn the_random_fleets_have_steps_of_every_kind() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut counts = [0usize; 4];
    for _ in 0..200 {
        let (w, _) = fleets().new_tree(&mut runner).unwrap().current();
        let plan = w.plan();
        let steps = containers(&plan);
        counts[steps.len()] += 1;
        counts[3] += usize::from(steps.len() == 2 && steps[0].resource == container(&w, 0));
    }
    // None, one, two, and the master first.
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(version(BEFORE) < version(VERSION));
}
