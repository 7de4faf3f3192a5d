//! Each contradiction that has a name: found when it is there, and only then; and the rows that
//! nobody stands behind.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use support::World;
use tarsops_model::component::Component;
use tarsops_model::desired::{Database, Resource, SecretRef, Tls};
use tarsops_model::framework::{
    AdminFacts, Answer, Asked, DatabaseFacts, FrameworkFacts, NodeRow, RegistryRow, Rows, ServerRow,
};
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::Action;
use tarsops_plan::condition::Condition;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::findings::check::{Result as Outcome, checks};
use tarsops_plan::findings::{Grade, Name, findings};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::{checker, effect};

const QUERY: &str = "tars.tarsregistry.QueryObj";

/// A cluster in which every source says the same.
fn world(count: usize) -> World {
    let mut w = World::new(count);
    let database = Database {
        address: "10.0.0.9:3306".parse().unwrap(),
        user: "tarsAdmin".to_owned(),
        password: SecretRef::File(PathBuf::from("password")),
        via: None,
        tls: Tls::Prefer,
    };
    w.desired
        .resources
        .insert(ResourceId::Schema, Resource::Schema(database));
    let nodes: Vec<_> = w.desired.hosts().map(|(n, h)| (n.clone(), h.ip)).collect();
    let servants = nodes
        .iter()
        .map(|(node, ip)| {
            let servant = "tars.tarsnode.ServerObj";
            let asked = Asked {
                component: Component::Tarsnode,
                node: node.clone(),
                servant: servant.to_owned(),
                at: tarsops_model::names::Endpoint::at(*ip, 19386),
                answer: Answer::Answers,
            };
            (format!("{servant}@{node}"), asked)
        })
        .collect();
    let present = |text: &str| Observed::Present(text.to_owned());
    let rows = Rows {
        nodes: Observed::Present(
            nodes
                .iter()
                .map(|(node, _)| NodeRow {
                    name: node.to_string(),
                    present: Some("active".to_owned()),
                    heartbeat_age: Some(3),
                    ..NodeRow::default()
                })
                .collect(),
        ),
        servers: Observed::Present(vec![]),
        adapters: Observed::Present(vec![]),
        registries: Observed::Present(
            w.desired
                .registries
                .iter()
                .map(|at| registry(&at.to_string(), "active", 5))
                .collect(),
        ),
        templates: Observed::Present(vec![]),
    };
    w.inventory.framework = Some(Box::new(FrameworkFacts {
        servants,
        registries: w
            .desired
            .registries
            .iter()
            .map(|at| (at.clone(), Answer::Answers))
            .collect(),
        admin: Observed::Present(AdminFacts {
            version: present("3.0.17"),
            nodes: Observed::Present(nodes.iter().map(|(n, _)| n.to_string()).collect()),
            connections: nodes
                .iter()
                .map(|(n, _)| (n.clone(), present("now")))
                .collect(),
            pings: nodes
                .iter()
                .map(|(n, _)| (n.clone(), Observed::Present(true)))
                .collect(),
            servers: BTreeMap::new(),
        }),
        database: Observed::Present(DatabaseFacts {
            server: "11.4".to_owned(),
            tls: true,
            clock_skew: 0,
            databases: BTreeMap::new(),
            rows: Observed::Present(rows),
            default_login: Observed::Present(false),
        }),
    }));
    w
}

fn registry(at: &str, present: &str, age: i64) -> RegistryRow {
    RegistryRow {
        locator: at.to_owned(),
        servant: QUERY.to_owned(),
        present: Some(present.to_owned()),
        heartbeat_age: Some(age),
        ..RegistryRow::default()
    }
}

fn framework(w: &mut World) -> &mut FrameworkFacts {
    w.inventory.framework.as_mut().unwrap()
}

fn database(w: &mut World) -> &mut DatabaseFacts {
    match &mut framework(w).database {
        Observed::Present(facts) => facts,
        _ => panic!("it has no database"),
    }
}

fn rows(w: &mut World) -> &mut Rows {
    match &mut database(w).rows {
        Observed::Present(rows) => rows,
        _ => panic!("it has no rows"),
    }
}

fn list<T>(seen: &mut Observed<Vec<T>>) -> &mut Vec<T> {
    match seen {
        Observed::Present(all) => all,
        _ => panic!("the table was not read"),
    }
}

fn admin(w: &mut World) -> &mut AdminFacts {
    match &mut framework(w).admin {
        Observed::Present(admin) => admin,
        _ => panic!("it has no AdminRegistry"),
    }
}

fn names(w: &World) -> Vec<Name> {
    findings(&w.input()).into_iter().map(|f| f.name).collect()
}

#[test]
fn where_all_agree_nothing_is_found() {
    let w = world(4);
    assert_eq!(names(&w), []);
    let plan = w.plan();
    assert!(plan.is_empty() && plan.drift.is_empty(), "{:?}", plan.drift);
    for check in checks(&w.input()) {
        assert_eq!(check.result, Outcome::Ok, "{}: {}", check.check, check.text);
    }
}

#[test]
fn each_contradiction_has_its_name() {
    type Damage = fn(&mut World);
    let cases: [(Name, Grade, Damage); 13] = [
        (Name::ForeignDatabase, Grade::Blocked, |w| {
            *list(&mut rows(w).registries) = vec![registry("10.9.9.9:17890", "active", 1)];
        }),
        (Name::NoDatabase, Grade::Drift, |w| {
            database(w).rows = Observed::Absent;
        }),
        (Name::DefaultPassword, Grade::Warning, |w| {
            database(w).default_login = Observed::Present(true);
        }),
        (Name::RegistrySilent, Grade::Drift, |w| {
            *framework(w).registries.values_mut().next().unwrap() = Answer::Refused;
        }),
        (Name::RegistryUnlisted, Grade::Drift, |w| {
            list(&mut rows(w).registries)[0].heartbeat_age = Some(500);
        }),
        (Name::RegistryGone, Grade::Drift, |w| {
            list(&mut rows(w).registries).push(registry("10.9.9.9:17890", "active", 500));
        }),
        (Name::RegistryNotInSpec, Grade::Drift, |w| {
            list(&mut rows(w).registries).push(registry("10.9.9.9:17890", "active", 5));
        }),
        (Name::NotRegistered, Grade::Drift, |w| {
            list(&mut rows(w).nodes).remove(2);
        }),
        (Name::NodeInactive, Grade::Drift, |w| {
            list(&mut rows(w).nodes)[2].present = Some("inactive".to_owned());
        }),
        (Name::ConnectionLost, Grade::Drift, |w| {
            let node = w.node(2);
            admin(w).pings.insert(node, Observed::Present(false));
        }),
        (Name::ServantSilent, Grade::Drift, |w| {
            let all = &mut framework(w).servants;
            all.values_mut().next().unwrap().answer = Answer::Mute("it hangs".to_owned());
        }),
        (Name::ActiveNotRunning, Grade::Drift, |w| {
            let node = w.node(2).to_string();
            list(&mut rows(w).servers).push(ServerRow {
                application: "Shop".to_owned(),
                server: "Cart".to_owned(),
                node,
                present: Some("active".to_owned()),
                kind: Some("tars_cpp".to_owned()),
                ..ServerRow::default()
            });
        }),
        (Name::ClockSkew, Grade::Drift, |w| {
            database(w).clock_skew = -7;
            for i in 1..4 {
                w.host(i).clock_skew = -7;
            }
            let node = w.node(0);
            let server = tarsops_model::desired::Server {
                version: support::version(support::VERSION),
            };
            w.desired.resources.insert(
                ResourceId::Server(Component::Tarsregistry, node),
                Resource::Server(server),
            );
        }),
    ];
    for (name, grade, damage) in cases {
        let mut w = world(4);
        damage(&mut w);
        let found = findings(&w.input());
        assert_eq!(names(&w), [name], "{found:#?}");
        assert_eq!(found[0].grade, grade, "{name}");
        assert!(!found[0].text.is_empty() && !found[0].cure.is_empty());
        let table = checks(&w.input());
        let line = table.iter().find(|c| c.check == name.text()).unwrap();
        let wanted = match grade {
            Grade::Blocked => Outcome::Blocked,
            Grade::Drift => Outcome::Drift,
            Grade::Warning => Outcome::Warning,
        };
        assert_eq!(line.result, wanted, "{name}");
        let plan = w.plan();
        assert_eq!(plan.is_blocked(), grade == Grade::Blocked, "{name}");
        let told = plan
            .drift
            .iter()
            .any(|d| matches!(&d.kind, DriftKind::Disagreeing { finding, .. } if *finding == name));
        assert_eq!(told, grade == Grade::Drift, "{name}");
    }
}

#[test]
fn nothing_is_concluded_from_silence() {
    let mut w = world(4);
    for row in list(&mut rows(&mut w).nodes) {
        row.present = Some("inactive".to_owned());
    }
    database(&mut w).rows = Observed::Unknown("the connection was lost".to_owned());
    for answer in framework(&mut w).registries.values_mut() {
        *answer = Answer::Silent("no answer".to_owned());
    }
    framework(&mut w).admin = Observed::Unknown("no answer".to_owned());
    assert_eq!(names(&w), []);
    let plan = w.plan();
    assert!(plan.is_empty() && plan.is_incomplete());
    let unknown = |c: &&tarsops_plan::findings::check::Check| c.result == Outcome::Unknown;
    assert!(checks(&w.input()).iter().filter(unknown).count() >= 10);
}

#[test]
fn a_foreign_database_blocks_every_step() {
    let mut w = world(4);
    w.process(2).nodeid = Some("10.0.0.1".to_owned());
    assert!(!w.plan().is_empty());
    *list(&mut rows(&mut w).registries) = vec![registry("10.9.9.9:17890", "active", 1)];
    let plan = w.plan();
    assert!(plan.is_empty() && plan.is_blocked());
}

#[test]
fn a_node_without_a_row_is_restarted_and_watched() {
    let mut w = world(4);
    list(&mut rows(&mut w).nodes).remove(2);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(plan.steps.len(), 1);
    let step = &plan.steps[0];
    assert!(support::change(step).restart && support::change(step).files.is_empty());
    for wanted in [Condition::Registered, Condition::Connected] {
        assert!(step.post.contains(&wanted), "{:?}", step.post);
    }
    effect::apply(&mut w.inventory, &step.action);
    let after = w.plan();
    assert!(
        after.is_empty() && after.drift.is_empty(),
        "{:?}",
        after.drift
    );
}

#[test]
fn rows_of_a_node_that_is_gone_are_deleted_when_nobody_answers() {
    let mut w = world(4);
    w.silence(3);
    w.spec(3).state = NodeState::Gone;
    let node = w.node(3);
    let key = format!("tars.tarsnode.ServerObj@{node}");
    // It still has a fresh heartbeat, a connection and an answer: each alone keeps its rows.
    let still = |w: &World, word: &str| {
        let plan = w.plan();
        assert!(plan.is_empty(), "{word}");
        let told = plan.report.iter().any(|l| {
            matches!(l, Line::Blocked { why: Blocked::StillAnswers { why }, .. } if why.contains(word))
        });
        assert!(told, "{word}: {:?}", plan.report);
    };
    still(&w, "answers at its address");
    framework(&mut w).servants.get_mut(&key).unwrap().answer = Answer::Silent("nobody".to_owned());
    still(&w, "connection");
    admin(&mut w)
        .pings
        .insert(node.clone(), Observed::Present(false));
    still(&w, "heartbeat");
    list(&mut rows(&mut w).nodes)[3].heartbeat_age = Some(900);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(plan.summary.remove, 1);
    let Action::ForgetNode {
        node: forgotten, ..
    } = &plan.steps[0].action
    else {
        panic!("{:?}", plan.steps[0].action);
    };
    assert_eq!(*forgotten, node);
    effect::apply(&mut w.inventory, &plan.steps[0].action);
    let after = w.plan();
    assert!(
        after.is_empty() && after.drift.is_empty(),
        "{:?}",
        after.drift
    );
}

#[test]
fn rows_of_a_dead_registry_go_and_the_last_living_one_stays() {
    let mut w = world(4);
    list(&mut rows(&mut w).registries).push(registry("10.9.9.9:17890", "active", 500));
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(plan.steps.len(), 1);
    let mut after = world(4);
    after.inventory = effect::after(&w.inventory, &plan.steps[0].action);
    assert!(after.plan().is_empty() && after.plan().drift.is_empty());
    // The checker does not take the planner's word.
    let mut forged = plan.clone();
    let named = w.desired.registries.iter().next().unwrap().clone();
    forged.steps[0].resource = ResourceId::RegistryEndpoint(named.clone());
    forged.steps[0].action = Action::ForgetRegistry { registry: named };
    assert!(checker::check_document(&forged, &w.desired).is_err());
    let mut forged = plan;
    forged.steps[0].pre.clear();
    assert!(checker::check_document(&forged, &w.desired).is_err());
    // With no registry of the spec alive, nobody is forgotten.
    for answer in framework(&mut w).registries.values_mut() {
        *answer = Answer::Refused;
    }
    let plan = w.plan();
    assert!(plan.is_empty());
    assert!(plan.report.iter().any(|l| matches!(
        l,
        Line::Blocked {
            why: Blocked::LastRegistry { .. },
            ..
        }
    )));
}

#[test]
fn nodes_beyond_the_spec_are_told_and_left_alone() {
    let mut w = world(4);
    list(&mut rows(&mut w).nodes).push(NodeRow {
        name: "10.7.7.7".to_owned(),
        present: Some("inactive".to_owned()),
        ..NodeRow::default()
    });
    let plan = w.plan();
    assert!(plan.is_empty() && plan.drift.is_empty());
    assert_eq!(plan.extra, [ResourceId::Agent("10.7.7.7".parse().unwrap())]);
}
