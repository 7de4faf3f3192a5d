//! The framework as containers: what is compared, what is found, and what no plan may do.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use support::World;
use support::docker::{
    IMAGE, alter, arm, change, container, digest, docker_world, engine, pin, program, put, runs,
    seen, wanted,
};
use support::framework::world;
use tarsops_model::component::Component;
use tarsops_model::container::{
    ContainerFacts, DockerFacts, Engine, Mount, RebuildText, RestartPolicy,
};
use tarsops_model::desired::Resource;
use tarsops_model::framework::Answer;
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{ContainerCreation, NewContainer, ReplaceContainer, ReplacedContainer};
use tarsops_plan::checker;
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::drift::DriftKind;
use tarsops_plan::effect;
use tarsops_plan::finding::Severity;
use tarsops_plan::report::{Blocked, ContainerWork, Line};
use tarsops_plan::rules::check::{Outcome, checks};
use tarsops_plan::rules::findings;

/// How the container of the `i`th node differs, and why it is not changed.
fn drift(w: &World, i: usize) -> (Option<DriftKind>, Vec<Blocked>) {
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let id = container(w, i);
    let own = plan
        .drift
        .iter()
        .find(|d| d.resource == id && !matches!(d.kind, DriftKind::Disagreeing { .. }));
    let why = plan.report.iter().filter_map(|line| match line {
        Line::Blocked { resource, why } if *resource == id => Some(why.clone()),
        _ => None,
    });
    (own.map(|d| d.kind.clone()), why.collect())
}

fn fields(w: &World, i: usize) -> Vec<String> {
    match drift(w, i).0 {
        Some(DriftKind::Changed { fields }) => fields.into_iter().map(|f| f.field).collect(),
        None => vec![],
        other => panic!("{other:?}"),
    }
}

fn names(w: &World) -> Vec<String> {
    let all = findings(&w.input());
    all.iter().map(|f| f.name.to_string()).collect()
}

#[test]
fn containers_as_the_spec_says_have_an_empty_plan() {
    let w = docker_world();
    let plan = w.plan();
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    assert!(plan.drift.is_empty(), "{:#?}", plan.drift);
    assert!(plan.report.is_empty(), "{:#?}", plan.report);
    assert_eq!(names(&w), [] as [&str; 0]);
    for check in checks(&w.input()) {
        let skipped = check.check == "unknown-build";
        let fine = check.result == Outcome::Ok || skipped;
        assert!(fine, "{}: {}", check.check, check.text);
    }
    // A spec without containers has no line about them.
    let names = |w: &World| -> BTreeSet<String> {
        let lines = checks(&w.input()).into_iter();
        lines.map(|c| c.check).collect()
    };
    let (with, without) = (names(&w), names(&world(3)));
    assert_eq!(with.difference(&without).count(), 9);
}

#[test]
fn values_that_mean_the_same_are_no_drift() {
    let mut w = docker_world();
    alter(&mut w, 0, |c| {
        for name in ["SLAVE", "REBUILD", "MYSQL_PORT", "MYSQL_USER", "DOMAIN"] {
            c.environment.remove(name);
        }
        c.environment
            .insert("INET".to_owned(), Some("eth0".to_owned()));
    });
    assert_eq!(fields(&w, 0), [] as [&str; 0]);
    // By another id, as an engine has it that stores images as containerd does.
    change(&mut w, 0, |d| d.images[0].id = digest("manifest"));
    alter(&mut w, 0, |c| c.image = Some(digest("manifest")));
    assert_eq!(fields(&w, 0), [] as [&str; 0]);
}

/// Which nodes wait for a version of another component, for which one, and where that is known which it has.
fn apart(w: &World) -> Vec<(String, Component, Option<String>)> {
    let report = w.plan().report;
    let all = report.into_iter().filter_map(|line| match line {
        Line::Blocked {
            resource,
            why: Blocked::VersionsApart { other, its, .. },
        } => Some((resource.to_string(), other, its.map(|v| v.to_string()))),
        _ => None,
    });
    all.collect()
}

#[test]
fn a_plain_node_waits_for_what_runs_in_the_containers() {
    let old = "3.0.6";
    let mut w = docker_world();
    w.catalog.insert(support::package(old));
    let pin = pin(old);
    w.catalog.images.insert(pin.name.clone(), pin);
    w.file(2).digest = support::binary(old);
    w.process(2).exe = Observed::Present(support::binary(old));
    let plan = w.plan();
    let steps: Vec<String> = plan.steps.iter().map(|s| s.id.clone()).collect();
    assert_eq!(steps, ["tarsnode.change@10.0.0.3"]);
    assert_eq!(apart(&w), []);

    // It is not replaced, as the wanted image is not there.
    runs(&mut w, 0, old);
    change(&mut w, 0, |docker| docker.images.truncate(0));
    let node = "agent/10.0.0.3".to_owned();
    let admin = Component::TarsAdminRegistry;
    assert_eq!(apart(&w), [(node.clone(), admin, Some(old.to_owned()))]);
    // Published over the image of the container.
    change(&mut w, 0, |docker| {
        for process in &mut docker.processes {
            process.exe = Observed::Present(program(process.component, support::VERSION));
        }
    });
    assert_eq!(apart(&w), []);
    // Without processes, what a start would install counts.
    change(&mut w, 0, |docker| docker.processes.clear());
    assert_eq!(apart(&w).len(), 1);
    // AdminRegistry's own word helps for an image that nobody pinned; nothing says what the registry is.
    alter(&mut w, 0, |c| c.image = Some(digest("built here")));
    let registry = Component::Tarsregistry;
    assert_eq!(apart(&w), [(node.clone(), registry, None)]);
    // A container that nobody could see does not count as new enough.
    let mut w = docker_world();
    w.catalog.insert(support::package(old));
    w.file(2).digest = support::binary(old);
    w.process(2).exe = Observed::Present(support::binary(old));
    change(&mut w, 1, |d| {
        d.containers = Observed::Unknown("no list".to_owned());
    });
    assert_eq!(apart(&w), [(node, registry, None)]);
}

#[test]
fn each_value_that_differs_is_named_and_replaced() {
    type Change = fn(&mut ContainerFacts);
    let cases: [(&str, Change); 13] = [
        ("image", |c| c.image = Some(digest("other"))),
        ("network", |c| c.network = "tars".to_owned()),
        ("logs", |c| c.log.1.clear()),
        ("logs", |c| c.log.0 = "journald".to_owned()),
        ("mount /data/tars", |c| c.mounts.clear()),
        ("mount /x", |c| {
            let source = "/y".to_owned();
            c.mounts.insert(
                "/x".to_owned(),
                Mount {
                    source,
                    writable: false,
                },
            );
        }),
        ("environment SLAVE", |c| {
            c.environment
                .insert("SLAVE".to_owned(), Some("true".to_owned()));
        }),
        ("environment MYSQL_HOST", |c| {
            c.environment
                .insert("MYSQL_HOST".to_owned(), Some("10.9.9.9".to_owned()));
        }),
        ("environment DOMAIN", |c| {
            c.environment
                .insert("DOMAIN".to_owned(), Some("10.9.9.9".to_owned()));
        }),
        ("environment NODE_ENV", |c| {
            c.environment
                .insert("NODE_ENV".to_owned(), Some("dev".to_owned()));
        }),
        ("environment TOKEN", |c| {
            c.environment.insert("TOKEN".to_owned(), None);
        }),
        ("environment MYSQL_ROOT_PASSWORD", |c| {
            c.environment.remove("MYSQL_ROOT_PASSWORD");
        }),
        ("state", |c| c.state = "exited".to_owned()),
    ];
    for (field, change) in cases {
        let mut w = docker_world();
        alter(&mut w, 0, change);
        if field == "image" {
            // Of another image nobody knows which variables are its own.
            alter(&mut w, 0, |c| {
                c.image_name = "tarscloud/framework:v3.0.19".to_owned()
            });
        }
        assert_eq!(fields(&w, 0), [field]);
        assert_eq!(drift(&w, 0).1, []);
        let plan = w.plan();
        let steps: Vec<&str> = plan.steps.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(steps, ["database.backup", "container.replace@10.0.0.1"]);
        let summary = &plan.steps[1].summary;
        let why = if field == "state" {
            "it does not run"
        } else {
            field
        };
        assert!(summary.ends_with(&format!("({why})")), "{summary}");
        assert_eq!(fields(&w, 1), [] as [&str; 0], "{field}");
    }
}

#[test]
fn a_program_that_is_not_the_images_is_named() {
    let mut w = docker_world();
    change(&mut w, 1, |d| {
        d.processes[0].exe = Observed::Present(digest("published"));
    });
    assert_eq!(fields(&w, 1), ["running tarsconfig"]);
    // Of another container on the same host it is not.
    change(&mut w, 1, |d| d.processes[0].namespace = Some(1));
    assert_eq!(fields(&w, 1), [] as [&str; 0]);
}

#[test]
fn absent_foreign_and_unseen_containers_are_told_apart() {
    let mut w = docker_world();
    change(&mut w, 0, |d| d.containers = Observed::Present(vec![]));
    let (kind, why) = drift(&w, 0);
    assert_eq!(kind, Some(DriftKind::Missing));
    let work = ContainerWork::Create;
    assert_eq!(why, [Blocked::NoContainerWork { work }]);

    let mut w = docker_world();
    alter(&mut w, 0, |c| c.is_framework = false);
    let (_, why) = drift(&w, 0);
    assert!(matches!(why.as_slice(), [Blocked::ForeignContainer { .. }]));

    for engine in [
        Engine::NoProgram,
        Engine::NoSocket,
        Engine::NotAllowed,
        Engine::Silent {
            why: "it hangs".to_owned(),
        },
    ] {
        let mut w = docker_world();
        change(&mut w, 0, |d| {
            d.engine = engine;
            d.containers = Observed::Unknown("no list".to_owned());
        });
        let (kind, why) = drift(&w, 0);
        assert!(matches!(kind, Some(DriftKind::Unknown { .. })), "{kind:?}");
        assert_eq!(why, []);
        assert_eq!(names(&w), ["engine-silent"]);
    }
}

#[test]
fn an_image_that_nobody_pinned_or_of_another_version_is_said() {
    let mut w = docker_world();
    let pin = w.catalog.images.get_mut(&IMAGE.parse().unwrap()).unwrap();
    pin.framework = support::version("3.0.16");
    let (_, why) = drift(&w, 0);
    assert!(
        matches!(why.as_slice(), [Blocked::OtherImage { .. }]),
        "{why:?}"
    );
    w.catalog.images.clear();
    let (kind, why) = drift(&w, 0);
    assert!(matches!(kind, Some(DriftKind::Unknown { .. })));
    assert!(matches!(why.as_slice(), [Blocked::NoImage { .. }]));
}

#[test]
fn nodes_in_maintenance_or_to_be_removed_have_their_lines() {
    let mut w = docker_world();
    alter(&mut w, 1, |c| c.image = Some(digest("other")));
    w.spec(1).state = NodeState::Maintenance {
        reason: None,
        until: None,
    };
    let plan = w.plan();
    let id = container(&w, 1);
    let ignored = plan
        .report
        .iter()
        .any(|line| matches!(line, Line::Ignored { resource, .. } if *resource == id));
    assert!(ignored, "{:#?}", plan.report);
    assert!(plan.drift.is_empty(), "{:#?}", plan.drift);
}

#[test]
fn each_contradiction_about_containers_has_its_name() {
    fn other(d: &mut DockerFacts, change: impl FnOnce(&mut ContainerFacts)) {
        let Observed::Present(all) = &mut d.containers else {
            panic!("no list");
        };
        let mut other = all[0].clone();
        other.name = "other".to_owned();
        other.state = "exited".to_owned();
        other.restart = RestartPolicy::No;
        change(&mut other);
        all.push(other);
    }
    type Damage = fn(&mut DockerFacts);
    let cases: [(&str, Severity, Damage); 9] = [
        ("retired-may-start", Severity::Drift, |d| {
            other(d, |c| c.restart = RestartPolicy::Always);
        }),
        ("retired-may-start", Severity::Drift, |d| {
            other(d, |c| c.restart = RestartPolicy::UnlessStopped);
        }),
        ("container-restarted", Severity::Warning, |d| {
            let Observed::Present(all) = &mut d.containers else {
                return;
            };
            all[0].restarts = 3;
        }),
        ("watchtower", Severity::Warning, |d| {
            other(d, |c| {
                c.is_framework = false;
                c.image_name = "containrrr/watchtower:latest".to_owned();
                c.state = "running".to_owned();
            });
        }),
        ("container-owned", Severity::Warning, |d| {
            let Observed::Present(all) = &mut d.containers else {
                return;
            };
            all[0].labels.insert(
                "com.docker.compose.project.config_files".to_owned(),
                "/srv/compose.yml".to_owned(),
            );
        }),
        ("container-owned", Severity::Warning, |d| {
            d.units
                .insert("/etc/systemd/system/tars.service".to_owned());
        }),
        ("kubernetes", Severity::Blocked, |d| {
            other(d, |c| {
                c.labels
                    .insert("io.kubernetes.pod.name".to_owned(), "x".to_owned());
            });
        }),
        ("container-rebuilds", Severity::Drift, |d| {
            d.rebuild.insert(RebuildText {
                file: "/srv/.env".to_owned(),
                value: Some("true".to_owned()),
            });
        }),
        ("container-rebuilds", Severity::Drift, |d| {
            other(d, |c| {
                c.environment
                    .insert("REBUILD".to_owned(), Some("yes".to_owned()));
            });
        }),
    ];
    for (name, severity, damage) in cases {
        let mut w = docker_world();
        change(&mut w, 1, damage);
        let found = findings(&w.input());
        let all: Vec<_> = found.iter().map(|f| (f.name.text(), f.severity)).collect();
        assert_eq!(all, [(name, severity)]);
        assert_eq!(found[0].resource, container(&w, 1));
        let plan = w.plan();
        assert!(plan.steps.is_empty());
        assert!(!plan.drift.is_empty() || !plan.report.is_empty(), "{name}");
    }
}

#[test]
fn a_framework_twice_on_one_host_is_found_in_both_ways() {
    let mut w = docker_world();
    w.host(0).components = Observed::Present([String::from("tarsregistry")].into());
    assert_eq!(names(&w), ["framework-twice"]);
    // A cluster by script with a container that somebody has started beside it.
    let mut w = world(3);
    let mut docker = engine(seen(&wanted(&w.node(0), false)), false);
    docker.wanted = None;
    w.host(0).docker = Some(Box::new(docker));
    assert!(names(&w).contains(&"framework-twice".to_owned()));
}

#[test]
fn a_node_without_a_container_needs_no_engine() {
    let mut w = docker_world();
    let outcome = |w: &World| {
        let mut all = checks(&w.input()).into_iter();
        all.find(|c| c.check == "container-rebuilds")
            .unwrap()
            .result
    };
    let mut docker = engine(seen(&wanted(&w.node(2), true)), true);
    docker.containers = Observed::Unknown("no engine".to_owned());
    docker.images.clear();
    let process = std::mem::take(&mut docker.processes);
    for none in [Engine::NoProgram, Engine::NoSocket] {
        docker.engine = none;
        let mut host = w.host(2).clone();
        host.docker = Some(Box::new(docker.clone()));
        let (node, agent) = (w.node(2), w.inventory.agent(&w.node(2)).map(Clone::clone));
        w.inventory.insert(&node, Observed::Present(host), agent);
        assert_eq!(outcome(&w), Outcome::Ok);
    }
    // Something runs in a container there, so that an engine is somewhere.
    docker.processes = process;
    put(&mut w, 2, docker);
    assert_eq!(outcome(&w), Outcome::Unknown);
}

#[test]
fn nobody_is_sent_to_a_start_script_inside_of_a_container() {
    let mut w = docker_world();
    let node = w.node(0);
    let servants = &mut support::framework::framework(&mut w).servants;
    let mut asked = servants.values().next().unwrap().clone();
    asked.node = node;
    asked.component = Component::Tarsconfig;
    asked.answer = Answer::Refused;
    let key = servants.keys().next().unwrap().clone();
    servants.insert(key, asked);
    let all = findings(&w.input());
    let silent: Vec<_> = all
        .iter()
        .filter(|f| f.name.to_string() == "servant-silent")
        .collect();
    assert!(!silent.is_empty());
    for finding in silent {
        assert!(!finding.fix.contains("start.sh"), "{}", finding.fix);
    }
}

#[test]
fn a_tag_that_moves_is_a_warning() {
    for (image, moves) in [
        ("tarscloud/framework", true),
        ("tarscloud/framework:latest", true),
        ("registry:5000/tars/framework:stable", true),
        ("tarscloud/framework:v3.0.20", false),
        (
            "tarscloud/framework:latest@sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbd62a11ef721d1542d8d",
            false,
        ),
    ] {
        let mut w = docker_world();
        for i in 0..2 {
            let id = container(&w, i);
            if let Some(Resource::Container(c)) = w.desired.resources.get_mut(&id) {
                c.image = image.parse().unwrap();
            }
        }
        assert_eq!(
            names(&w).contains(&"image-tag-moves".to_owned()),
            moves,
            "{image}"
        );
    }
}

/// A plan with a step on the container of the `i`th node, whatever its action is.
fn with_step(w: &World, i: usize) -> tarsops_plan::Plan {
    let mut other = w.clone();
    let plan = {
        other.file(2).digest = support::binary("3.0.16");
        other.plan()
    };
    let mut plan = plan;
    let step = plan.steps.first_mut().expect("a step to alter");
    step.resource = container(w, i);
    plan
}

fn law(w: &World, i: usize) -> bool {
    let found = checker::check(&with_step(w, i), &w.input()).unwrap_err();
    found.iter().any(|v| {
        let text = v.to_string();
        text.contains("would drop the databases")
            || text.contains("were not seen")
            || text.contains("could not be read")
    })
}

/// The replacement of the container of the `i`th node by one of the wanted image.
fn replacement(w: &World, i: usize) -> ReplaceContainer {
    let node = w.node(i);
    let wanted = w.desired.container(&node).unwrap();
    let pin = &w.catalog.images[&wanted.image];
    let seen = w.inventory.container(&node);
    let seen = seen.present().unwrap();
    ReplaceContainer {
        machine_id: w
            .inventory
            .host(&node)
            .present()
            .unwrap()
            .machine_id
            .present()
            .unwrap()
            .clone(),
        socket: wanted.socket.clone(),
        name: wanted.name.clone(),
        old: ReplacedContainer {
            id: seen.id.clone(),
            image: seen.image.unwrap(),
            ran: seen.runs(),
            programs: pin.binaries.clone(),
            console: None,
        },
        new: NewContainer::Create(ContainerCreation::of(wanted, pin.id)),
        programs: pin.binaries.clone(),
        ports: BTreeSet::new(),
        stop_timeout: wanted.stop_timeout,
        console: pin.console,
        node,
    }
}

#[test]
fn a_replacement_rests_on_what_its_host_has_and_ends_in_what_the_spec_wants() {
    let mut w = docker_world();
    alter(&mut w, 0, |c| {
        c.environment
            .insert("MYSQL_HOST".to_owned(), Some("10.9.9.9".to_owned()));
    });
    let step = replacement(&w, 0);
    let node = w.node(0);
    let fails = |w: &World, all: Vec<Condition>| -> Vec<String> {
        let all = all.into_iter();
        all.filter(|c| c.eval(&node, &w.inventory) != Truth::Holds)
            .map(|c| c.to_string())
            .collect()
    };
    assert_eq!(fails(&w, step.preconditions()), [] as [&str; 0]);
    // The image is the wanted one already, and yet the container is not.
    assert_eq!(fails(&w, step.postconditions()).len(), 1);

    let mut other = w.clone();
    alter(&mut other, 0, |c| c.id = "decaf".to_owned());
    assert_eq!(
        fails(&other, step.preconditions()),
        ["the container is the same"]
    );
    let mut other = w.clone();
    change(&mut other, 0, |d| d.images.clear());
    assert_eq!(fails(&other, step.preconditions()).len(), 1);
    for place in 0..5 {
        let mut other = w.clone();
        arm(&mut other, 0, place, "yes");
        let lacks = fails(&other, step.preconditions());
        assert_eq!(
            lacks,
            ["no start of the container would drop the databases"]
        );
    }
    let mut unread = w.clone();
    change(&mut unread, 0, |d| d.engine = Engine::NoSocket);
    assert!(fails(&unread, step.preconditions()).len() >= 2);

    effect::apply(&mut w.inventory, &step.clone().into());
    assert_eq!(fails(&w, step.postconditions()), [] as [&str; 0]);
    assert_eq!(fields(&w, 0), [] as [&str; 0]);
}

#[test]
fn no_step_works_on_a_container_that_nobody_could_see() {
    let w = docker_world();
    assert!(!law(&w, 0));
    let mut unread = w.clone();
    change(&mut unread, 0, |d| {
        d.unread.insert("/srv/compose.yml".to_owned());
    });
    assert!(law(&unread, 0));
    let mut unseen = w;
    change(&mut unseen, 0, |d| {
        d.containers = Observed::Unknown("no list".to_owned());
    });
    assert!(law(&unseen, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Wherever the word is, and however it is written: it is found, and the checker takes no step on
    /// that container, of whatever action.
    #[test]
    fn nothing_is_planned_for_a_container_that_would_drop_databases(
        place in 0..5usize,
        i in 0..2usize,
        value in prop_oneof![
            Just("true"), Just("TRUE"), Just("True"), Just("yes"), Just("1"), Just("on"), Just("${X}"),
            Just("no"), Just("0"),
        ],
    ) {
        let mut w = docker_world();
        arm(&mut w, i, place, value);
        let found = findings(&w.input());
        let it = found.iter().find(|f| f.name.text() == "container-rebuilds");
        prop_assert!(it.is_some_and(|f| f.resource == container(&w, i)));
        let plan = w.plan();
        prop_assert!(plan.steps.is_empty());
        prop_assert!(!plan.drift.is_empty());
        let document = serde_json::to_string(&plan).unwrap();
        prop_assert!(!checker::asks_for_rebuild(&document), "{document}");
        prop_assert!(law(&w, i));
    }

    #[test]
    fn false_is_none(
        place in 0..5usize,
        value in prop_oneof![Just("false"), Just("False"), Just("FALSE")],
    ) {
        let mut w = docker_world();
        arm(&mut w, 0, place, value);
        prop_assert!(!names(&w).contains(&"container-rebuilds".to_owned()));
        prop_assert!(!law(&w, 0));
    }
}
