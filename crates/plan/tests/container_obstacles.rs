//! Why a container is not replaced, one reason for each fact.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::World;
use support::docker::{alter, arm, change, container, digest, fleet, pin, processes, runs};
use support::framework::{database, framework, rows};
use support::{VERSION, version};
use tarsops_model::component::Component;
use tarsops_model::container::{Engine, RestartPolicy};
use tarsops_model::desired::Resource;
use tarsops_model::framework::Answer;
use tarsops_model::names::Endpoint;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::checker;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::report::{Blocked, Line};

const OLD: &str = "3.0.16";

/// A cluster whose slave, the second node, is of an older image.
fn world() -> World {
    let mut w = fleet(3);
    runs(&mut w, 1, OLD);
    w
}

/// The reasons of the container of the `i`th node, of which the plan has no step.
fn reasons(w: &World, i: usize) -> Vec<Blocked> {
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let id = container(w, i);
    assert!(plan.steps.iter().all(|s| s.resource != id));
    let lines = plan.report.into_iter().filter_map(|line| match line {
        Line::Blocked { resource, why } if resource == id => Some(why),
        _ => None,
    });
    lines.collect()
}

/// The only reason of the second node's container, after `damage`.
fn reason(damage: impl FnOnce(&mut World)) -> Blocked {
    let mut w = world();
    damage(&mut w);
    let mut all = reasons(&w, 1);
    assert_eq!(all.len(), 1, "{all:#?}");
    let why = all.remove(0);
    for text in [why.to_string(), why.hint()] {
        assert!(text.len() > 10 && !text.ends_with('.'), "{text}");
    }
    why
}

fn is_unknown(w: &World, i: usize) -> bool {
    let plan = w.plan();
    assert!(plan.steps.is_empty(), "{:#?}", plan.steps);
    let id = container(w, i);
    let mut own = plan.drift.iter().filter(|d| d.resource == id);
    own.any(|d| matches!(d.kind, DriftKind::Unknown { .. }))
}

#[test]
fn a_policy_is_changed_without_a_start() {
    let mut w = fleet(3);
    alter(&mut w, 1, |c| c.restart = RestartPolicy::UnlessStopped);
    let all = reasons(&w, 1);
    let [why @ Blocked::RestartPolicy { policy, .. }] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(policy, "unless-stopped");
    assert!(
        why.hint()
            .contains("docker update --restart=always tars-framework")
    );
}

#[test]
fn what_was_published_over_the_image_is_no_reason_to_install_everything() {
    let mut w = fleet(3);
    change(&mut w, 1, |d| {
        d.processes[0].exe = Observed::Present(digest("published"));
    });
    let components = vec![Component::Tarsconfig];
    assert_eq!(reasons(&w, 1), [Blocked::PublishedOver { components }]);
}

#[test]
fn nothing_starts_a_container_that_would_drop_the_databases() {
    for place in 0..5 {
        let why = reason(|w| arm(w, 1, place, "true"));
        assert!(matches!(why, Blocked::ContainerRebuilds { .. }), "{why:?}");
    }
    let why = reason(|w| {
        change(w, 1, |d| {
            d.unread.insert("/srv/compose.yml".to_owned());
        })
    });
    assert!(matches!(why, Blocked::Unseen { .. }), "{why:?}");
}

#[test]
fn what_stands_against_it_on_its_host_has_its_reason() {
    let why = reason(|w| alter(w, 1, |c| c.state = "paused".to_owned()));
    assert!(matches!(why, Blocked::ContainerPaused { .. }));
    let why = reason(|w| change(w, 1, |d| d.images.retain(|i| i.id != pin(VERSION).id)));
    assert!(matches!(why, Blocked::ImageNotThere { .. }));
    let why = reason(|w| {
        w.host(1).is_root = false;
        w.host(1).user = "tars".to_owned();
    });
    assert!(matches!(why, Blocked::NeedsRoot { .. }));
    let why = reason(|w| {
        w.host(1).tools.insert("flock".to_owned(), false);
    });
    assert!(matches!(why, Blocked::NoProgram { .. }));
    let why = reason(|w| {
        w.host(1).components = Observed::Present(["tarsregistry".to_owned()].into());
    });
    assert!(matches!(why, Blocked::RunsBeside { .. }));
    let why = reason(|w| {
        change(w, 1, |d| {
            let Observed::Present(all) = &mut d.containers else {
                panic!("no list");
            };
            let mut other = all[0].clone();
            other.name = "other".to_owned();
            other.restart = RestartPolicy::No;
            all.push(other);
        });
    });
    assert_eq!(
        why,
        Blocked::RunsBeside {
            what: vec!["container other".to_owned()]
        }
    );
}

#[test]
fn a_newer_image_is_not_replaced_by_an_older_one_unless_the_spec_says_so() {
    let newer = "3.0.18";
    let mut w = fleet(3);
    runs(&mut w, 1, newer);
    let (from, to) = (version(newer), version(VERSION));
    assert_eq!(reasons(&w, 1), [Blocked::Downgrade { from, to }]);
    let node = w.node(1);
    for (id, resource) in &mut w.desired.resources {
        if let (ResourceId::Server(_, at), Resource::Server(server)) = (id, resource)
            && *at == node
        {
            server.allow_downgrade = true;
        }
    }
    let is_it = |why: &Blocked| matches!(why, Blocked::Downgrade { .. });
    let lines = w.plan().report.into_iter();
    let mut lines = lines.filter(|l| matches!(l, Line::Blocked { why, .. } if is_it(why)));
    assert_eq!(lines.next(), None);
}

#[test]
fn the_last_registry_stays() {
    let dead = |w: &mut World| {
        let at = Endpoint::at(w.desired.host(&w.node(0)).unwrap().ip, 17890);
        framework(w).registries.insert(at, Answer::Refused);
    };
    assert_eq!(reason(dead), Blocked::OnlyRegistry);
    let mut w = world();
    dead(&mut w);
    w.desired.policy.registry_gap = true;
    let report = w.plan().report;
    let is_it = |l: &Line| {
        matches!(
            l,
            Line::Blocked {
                why: Blocked::OnlyRegistry,
                ..
            }
        )
    };
    assert!(!report.iter().any(is_it));
}

#[test]
fn without_its_database_no_container_is_started() {
    let damages: [fn(&mut World); 4] = [
        |w| framework(w).database = Observed::Unknown("no way".to_owned()),
        |w| database(w).rows = Observed::Unknown("no privilege".to_owned()),
        |w| rows(w).templates = Observed::Unknown("no privilege".to_owned()),
        |w| rows(w).columns.clear(),
    ];
    for damage in damages {
        let why = reason(damage);
        assert!(matches!(why, Blocked::DatabaseUnread { .. }), "{why:?}");
    }
}

#[test]
fn columns_that_a_release_needs_come_before_its_containers() {
    let lacks = |w: &mut World| {
        let columns = &mut rows(w).columns;
        let Some(Observed::Present(all)) = columns.get_mut("t_server_conf") else {
            panic!("no columns");
        };
        all.remove("run_type");
    };
    let columns = vec!["t_server_conf.run_type".to_owned()];
    let why = reason(|w| {
        lacks(w);
        w.scope.nodes.insert(w.node(1));
    });
    assert_eq!(why, Blocked::LacksColumns { columns });
    // A table that is not there is made by no step.
    let why = reason(|w| {
        let columns = &mut rows(w).columns;
        columns.insert("t_base_image".to_owned(), Observed::Absent);
    });
    let columns = vec!["t_base_image.result".to_owned()];
    assert_eq!(why, Blocked::LacksColumns { columns });
}

#[test]
fn a_console_that_would_drop_columns_is_not_started() {
    let dropped = |console: &str, i: usize| {
        let mut w = fleet(3);
        runs(&mut w, i, OLD);
        let name = pin(VERSION).name;
        w.catalog.images.get_mut(&name).unwrap().console = Some(version(console));
        let all = w.plan().report.into_iter().find_map(|line| match line {
            Line::Blocked {
                why: Blocked::ConsoleDrops { columns, .. },
                ..
            } => Some(columns.len()),
            _ => None,
        });
        all.unwrap_or(0)
    };
    assert_eq!(dropped("2.4.24", 0), 3);
    assert_eq!(dropped("2.4.27", 0), 1);
    assert_eq!(dropped("3.0.0", 0), 0);
    // It does not alter tables yet.
    assert_eq!(dropped("2.4.7", 0), 0);
    // A slave has no console.
    assert_eq!(dropped("2.4.24", 1), 0);
}

#[test]
fn what_is_not_known_stands_against_it() {
    let damages: [fn(&mut World); 4] = [
        |w| alter(w, 1, |c| c.image = None),
        |w| w.host(1).machine_id = Observed::Unknown("no right".to_owned()),
        |w| w.host(1).components = Observed::Unknown("no right".to_owned()),
        |w| {
            change(w, 1, |d| {
                d.engine = Engine::NoSocket;
                d.containers = Observed::Unknown("no list".to_owned());
            });
        },
    ];
    for damage in damages {
        let mut w = world();
        damage(&mut w);
        assert!(is_unknown(&w, 1));
    }
}

#[test]
fn programs_of_the_old_image_are_no_drift_of_their_own() {
    let w = world();
    assert_eq!(processes(OLD, true).len(), 6);
    let plan = w.plan();
    let id = container(&w, 1);
    let own = plan.drift.iter().find(|d| d.resource == id).unwrap();
    let DriftKind::Changed { fields } = &own.kind else {
        panic!("{own:?}");
    };
    let names: Vec<&str> = fields.iter().map(|f| f.field.as_str()).collect();
    assert_eq!(names, ["image"]);
}
