//! Each contradiction that has a name: found when it is there, and only then; and the rows that
//! nobody stands behind.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::framework::*;
use support::{World, rule};
use tarsops_model::component::Component;
use tarsops_model::desired::Resource;
use tarsops_model::framework::{Answer, NodeLabels, NodeRow, ServerRow};
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, DeleteNodeRows, DeleteRegistryRows, RestoreLabels};
use tarsops_plan::condition::Condition;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::finding::{RuleName, Severity};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::rules::check::{Outcome, checks};
use tarsops_plan::rules::findings;
use tarsops_plan::{checker, effect};

fn names(w: &World) -> Vec<RuleName> {
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
    let cases: [(RuleName, Severity, Damage); 21] = [
        (rule("foreign-database"), Severity::Blocked, |w| {
            *list(&mut rows(w).registries) = vec![registry("10.9.9.9:17890", "active", 1)];
        }),
        (rule("no-database"), Severity::Drift, |w| {
            database(w).rows = Observed::Absent;
        }),
        (rule("database-read-only"), Severity::Blocked, |w| {
            database(w).read_only = Observed::Present(true);
        }),
        (rule("default-password"), Severity::Warning, |w| {
            database(w).default_login = Observed::Present(true);
        }),
        (rule("registry-silent"), Severity::Drift, |w| {
            *framework(w).registries.values_mut().next().unwrap() = Answer::Refused;
        }),
        (rule("registry-unlisted"), Severity::Drift, |w| {
            list(&mut rows(w).registries)[0].heartbeat_age = Some(500);
        }),
        (rule("registry-gone"), Severity::Drift, |w| {
            list(&mut rows(w).registries).push(registry("10.9.9.9:17890", "active", 500));
        }),
        (rule("registry-not-in-spec"), Severity::Drift, |w| {
            list(&mut rows(w).registries).push(registry("10.9.9.9:17890", "active", 5));
        }),
        (rule("not-registered"), Severity::Drift, |w| {
            let gone = w.node(2).to_string();
            node_rows(w).remove(&gone);
        }),
        (rule("node-inactive"), Severity::Drift, |w| {
            node_row(w, 2).present = Some("inactive".to_owned());
        }),
        (rule("connection-lost"), Severity::Drift, |w| {
            let node = w.node(2);
            admin(w).pings.insert(node, Observed::Present(false));
        }),
        (rule("servant-silent"), Severity::Drift, |w| {
            let all = &mut framework(w).servants;
            all.values_mut().next().unwrap().answer = Answer::Mute("it hangs".to_owned());
        }),
        (rule("active-not-running"), Severity::Drift, |w| {
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
        (rule("runs-inactive"), Severity::Drift, |w| {
            let node = w.node(0).to_string();
            list(&mut rows(w).servers).push(ServerRow {
                application: "tars".to_owned(),
                server: "tarsregistry".to_owned(),
                node,
                present: Some("inactive".to_owned()),
                kind: Some("tars_cpp".to_owned()),
                ..ServerRow::default()
            });
        }),
        (rule("nodeid-twice"), Severity::Drift, |w| {
            w.process(2).nodeid = Some(w.node(0).to_string());
        }),
        (rule("registered-elsewhere"), Severity::Drift, |w| {
            node_row(w, 2).endpoint_ip = Some("10.9.9.9".to_owned());
        }),
        (rule("port-taken"), Severity::Drift, |w| {
            // tarsnode is not there, and somebody listens on its port.
            let node = w.node(3);
            let id = ResourceId::Agent(node.clone());
            w.inventory.resources.insert(id, Observed::Absent);
            let host = support::damage::host_of(w, &node).unwrap();
            host.ports = Observed::Present([19386].into());
        }),
        (rule("impostor"), Severity::Warning, |w| {
            w.host(1).impostors.insert(77, "uid 65534".to_owned());
        }),
        (rule("dead-locator"), Severity::Drift, |w| {
            let text = &mut support::damage::agent_of(w, &"10.0.0.3".parse().unwrap())
                .unwrap()
                .conf;
            if let Observed::Present(text) = text {
                text.text = text
                    .text
                    .replace("10.0.0.1", "10.9.9.1")
                    .replace("10.0.0.2", "10.9.9.2");
            }
        }),
        (rule("locator-behind"), Severity::Drift, |w| {
            let text = &mut support::damage::agent_of(w, &"10.0.0.3".parse().unwrap())
                .unwrap()
                .conf;
            if let Observed::Present(text) = text {
                text.text = text.text.replace("10.0.0.2", "10.9.9.2");
            }
        }),
        (rule("clock-skew"), Severity::Drift, |w| {
            database(w).clock_skew = -7;
            for i in 1..4 {
                w.host(i).clock_skew = -7;
            }
            let node = w.node(0);
            let server = server_on(w, &node);
            w.desired.resources.insert(
                ResourceId::Server(Component::Tarsregistry, node),
                Resource::Server(server),
            );
        }),
    ];
    for (name, severity, damage) in cases {
        let mut w = world(4);
        damage(&mut w);
        let found = findings(&w.input());
        assert_eq!(names(&w), [name], "{found:#?}");
        assert_eq!(found[0].severity, severity, "{name}");
        assert!(!found[0].text.is_empty() && !found[0].fix.is_empty());
        let table = checks(&w.input());
        let line = table.iter().find(|c| c.check == name.text()).unwrap();
        let wanted = match severity {
            Severity::Blocked => Outcome::Blocked,
            Severity::Drift => Outcome::Drift,
            Severity::Warning => Outcome::Warning,
        };
        assert_eq!(line.result, wanted, "{name}");
        let plan = w.plan();
        // Whoever holds the port keeps the agent from being installed, and no database is made.
        let alone = [rule("port-taken"), rule("no-database")].contains(&name);
        let blocks = severity == Severity::Blocked || alone;
        assert_eq!(plan.is_blocked(), blocks, "{name}");
        let told = plan
            .drift
            .iter()
            .any(|d| matches!(&d.kind, DriftKind::Disagreeing { finding, .. } if *finding == name));
        assert_eq!(told, severity == Severity::Drift, "{name}");
    }
}

#[test]
fn clocks_that_say_any_number_are_compared() {
    for (host, other) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MIN, 0)] {
        let mut w = speaking(World::new(4));
        database(&mut w).clock_skew = other;
        w.host(2).clock_skew = host;
        assert!(names(&w).contains(&rule("clock-skew")));
        assert!(!w.plan().report.is_empty());
    }
}

#[test]
fn nothing_is_concluded_from_silence() {
    let mut w = world(4);
    for row in node_rows(&mut w).values_mut() {
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
    let unknown = |c: &&tarsops_plan::rules::check::Check| c.result == Outcome::Unknown;
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
fn an_admin_registry_of_another_database_blocks_every_step() {
    let mut w = world(4);
    admin(&mut w).nodes = Observed::Present(["10.9.9.9".to_owned()].into());
    w.process(2).nodeid = Some("10.0.0.1".to_owned());
    let plan = w.plan();
    assert!(plan.is_empty() && plan.is_blocked());
    assert!(names(&w).contains(&rule("foreign-database")));
    // One node in common, and it is only a registration on its way.
    admin(&mut w).nodes = Observed::Present(["10.9.9.9".to_owned(), "10.0.0.1".to_owned()].into());
    assert!(!names(&w).contains(&rule("foreign-database")));
}

#[test]
fn a_node_without_a_row_is_restarted_and_watched() {
    let mut w = world(4);
    let gone = w.node(2).to_string();
    node_rows(&mut w).remove(&gone);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(plan.steps.len(), 1);
    let step = &plan.steps[0];
    assert!(support::change(step).restarts() && support::change(step).files().is_empty());
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
    framework(&mut w).servants.get_mut(&key).unwrap().answer = Answer::Nobody("nobody".to_owned());
    still(&w, "connection");
    admin(&mut w)
        .pings
        .insert(node.clone(), Observed::Present(false));
    still(&w, "heartbeat");
    node_row(&mut w, 3).heartbeat_age = Some(900);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(plan.summary.remove, 1);
    let Action::DeleteNodeRows(DeleteNodeRows {
        node: forgotten, ..
    }) = &plan.steps[1].action
    else {
        panic!("{:?}", plan.steps[1].action);
    };
    assert_eq!(*forgotten, node);
    effect::apply(&mut w.inventory, &plan.steps[1].action);
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
    assert_eq!(plan.steps.len(), 2);
    let mut after = world(4);
    after.inventory = effect::after(&w.inventory, &plan.steps[1].action);
    assert!(after.plan().is_empty() && after.plan().drift.is_empty());
    // The checker does not take the planner's word.
    let mut forged = plan.clone();
    let named = w.desired.registries.iter().next().unwrap().clone();
    forged.steps[1].resource = ResourceId::RegistryEndpoint(named.clone());
    forged.steps[1].action = Action::DeleteRegistryRows(DeleteRegistryRows {
        registry: named,
        node: "10.0.0.1".to_owned(),
    });
    assert!(checker::check_document(&forged, &w.desired).is_err());
    let mut forged = plan;
    forged.steps[1].pre.clear();
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
    let row = NodeRow {
        name: "10.7.7.7".to_owned(),
        present: Some("inactive".to_owned()),
        ..NodeRow::default()
    };
    node_rows(&mut w).insert(row.name.clone(), row);
    let plan = w.plan();
    assert!(plan.is_empty() && plan.drift.is_empty());
    assert_eq!(plan.extra, [ResourceId::Agent("10.7.7.7".parse().unwrap())]);
}

/// The host number `i`, counted from 0.
fn host(w: &mut World, i: usize) -> &mut tarsops_model::host::HostFacts {
    let node = w.node(i);
    support::damage::host_of(w, &node).unwrap()
}

fn take_down(w: &mut World, i: usize, answer: Answer) {
    let at = format!("{}:17890", w.node(i)).parse().unwrap();
    *framework(w).registries.get_mut(&at).unwrap() = answer;
    let host = host(w, i);
    host.components = Observed::Present([].into());
    host.ports = Observed::Present([].into());
}

#[test]
fn a_registry_that_is_down_is_started_and_watched() {
    let mut w = world(4);
    take_down(&mut w, 1, Answer::Refused);
    list(&mut rows(&mut w).registries)[1].heartbeat_age = Some(500);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let [step] = plan.steps.as_slice() else {
        panic!("{:?}", plan.steps);
    };
    let change = support::change(step);
    assert_eq!(change.component, Component::Tarsregistry);
    assert!(change.restarts() && change.ends_healthy() && change.files().is_empty());
    let registry = change.registry().clone().unwrap();
    for wanted in [
        Condition::RegistryAnswers {
            registry: registry.clone(),
        },
        Condition::RegistryListed { registry },
    ] {
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
fn a_registry_is_only_started_where_nothing_of_it_runs() {
    // It hangs, or nobody knows, or a process is there, or it is not installed, or its port is
    // taken: each alone is no reason to start one.
    type Damage = fn(&mut World);
    let cases: [Damage; 6] = [
        |w| take_down(w, 1, Answer::Mute("it hangs".to_owned())),
        |w| take_down(w, 1, Answer::Silent("no answer".to_owned())),
        |w| {
            take_down(w, 1, Answer::Refused);
            host(w, 1).components = Observed::Present(["tarsregistry".to_owned()].into());
        },
        |w| {
            take_down(w, 1, Answer::Refused);
            host(w, 1).components = Observed::Unknown("not root".to_owned());
        },
        |w| {
            take_down(w, 1, Answer::Refused);
            host(w, 1).installed = Observed::Present([].into());
        },
        |w| {
            take_down(w, 1, Answer::Refused);
            host(w, 1).ports = Observed::Present([17891].into());
        },
    ];
    for (number, damage) in cases.iter().enumerate() {
        let mut w = world(4);
        damage(&mut w);
        let plan = w.plan();
        assert!(plan.is_empty(), "{number}: {:?}", plan.steps);
    }
}

#[test]
fn a_registry_beyond_the_spec_is_removed_while_another_one_lives() {
    let mut w = world(4);
    brought_up(host(&mut w, 2));
    let at = format!("{}:17890", w.node(2));
    list(&mut rows(&mut w).registries).push(registry(&at, "active", 3));
    host(&mut w, 2).crontab = Observed::Present(format!(
        "MAILTO=root\n{}\n* * * * * /usr/local/app/tars/tarsregistry/util/monitor.sh\n",
        tarsops_plan::crontab::monitor_line(support::TARS)
    ));
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let [_, step] = plan.steps.as_slice() else {
        panic!("{:?}", plan.steps);
    };
    let change = support::change(step);
    assert_eq!(change.folder(), tarsops_plan::action::Folder::Remove);
    let edit = &change.crontab().as_ref().unwrap().edit;
    assert_eq!((edit.remove.len(), edit.remove[0].0), (1, 2), "{edit:?}");
    assert!(step.pre.contains(&Condition::RegistryLeft));
    // The checker does not take the planner's word.
    let mut forged = plan.clone();
    forged.steps[1]
        .pre
        .retain(|c| *c != Condition::RegistryLeft);
    assert!(checker::check_document(&forged, &w.desired).is_err());
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    let next = after.plan();
    assert!(next.is_empty() && next.drift.is_empty(), "{:?}", next.drift);
    // With no registry of the spec alive it stays, and the plan says why.
    for answer in framework(&mut w).registries.values_mut() {
        *answer = Answer::Mute("it hangs".to_owned());
    }
    let plan = w.plan();
    assert!(plan.is_empty() && plan.is_blocked(), "{:?}", plan.steps);
}

#[test]
fn a_check_script_would_bring_a_removed_registry_back() {
    let mut w = world(4);
    brought_up(host(&mut w, 2));
    host(&mut w, 2).crontab =
        Observed::Present("* * * * * /usr/local/app/tars/check.sh\n".to_owned());
    let plan = w.plan();
    assert!(plan.is_empty(), "{:?}", plan.steps);
    assert!(plan.report.iter().any(|l| matches!(
        l,
        Line::Blocked {
            why: Blocked::Watched,
            ..
        }
    )));
}

#[test]
fn a_restart_keeps_what_a_registration_loses() {
    let mut w = world(4);
    node_row(&mut w, 2).label = Some("{\"idc\":\"sz\"}".to_owned());
    node_row(&mut w, 2).group_id = Some(7);
    w.agents()
        .for_each(|a| a.version = support::version("3.0.18"));
    let plan = w.plan();
    let kept: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|s| {
            Some((
                s.resource.node()?.clone(),
                support::change(s).labels().cloned()?,
            ))
        })
        .collect();
    let labels = NodeLabels {
        label: Some("{\"idc\":\"sz\"}".to_owned()),
        group_id: Some(7),
        row: None,
    };
    assert_eq!(kept, [(w.node(2), labels.clone())]);
    // A run that was cut off has left them on the host.
    let mut w = world(4);
    host(&mut w, 2).labels = Some(labels.clone());
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(plan.steps.len(), 2);
    assert!(
        matches!(&plan.steps[1].action, Action::RestoreLabels(RestoreLabels { labels: l, .. }) if *l == labels)
    );
    effect::apply(&mut w.inventory, &plan.steps[1].action);
    assert!(w.plan().is_empty());
    assert_eq!(NodeLabels::of(node_row(&mut w, 2)), Some(labels));
}

#[test]
fn saved_labels_wait_for_the_row_of_a_new_registration() {
    let mut w = world(4);
    let labels = NodeLabels {
        label: Some("rack 7".to_owned()),
        group_id: None,
        row: Some(15),
    };
    host(&mut w, 2).labels = Some(labels.clone());
    // Restarted and not registered: its old row is still active, and says what was saved from it.
    node_row(&mut w, 2).id = Some(15);
    node_row(&mut w, 2).label.clone_from(&labels.label);
    assert!(w.plan().is_empty());
    // Somebody emptied it meanwhile: what is written there would be lost all the same.
    node_row(&mut w, 2).label = None;
    assert!(w.plan().is_empty());
    // It has registered; a row without an id may be any.
    for id in [Some(16), None] {
        node_row(&mut w, 2).id = id;
        let plan = w.plan();
        checker::check(&plan, &w.input()).unwrap();
        let last = plan.steps.last().map(|s| &s.action);
        assert!(matches!(last, Some(Action::RestoreLabels(l)) if l.labels == labels));
    }
}

#[test]
fn a_running_node_takes_a_new_registry_over_by_itself() {
    // The database lists both; the node's locator has one of them.
    let mut w = world(4);
    let node = w.node(2);
    let conf = &mut support::damage::agent_of(&mut w, &node).unwrap().conf;
    if let Observed::Present(text) = conf {
        text.text = text.text.replace("10.0.0.2", "10.9.9.2");
    }
    let plan = w.plan();
    assert!(plan.is_empty(), "{:?}", plan.steps);
    assert_eq!(names(&w), [rule("locator-behind")]);
    // Down, it is told before it is started.
    w.process(2);
    support::damage::agent_of(&mut w, &node).unwrap().processes = Observed::Present(vec![]);
    let plan = w.plan();
    let change = support::change(&plan.steps[0]);
    assert!(
        change.restarts() && !change.files().is_empty(),
        "{change:?}"
    );
}

#[test]
fn the_guard_over_the_database_holds_whatever_a_command_is_narrowed_to() {
    let mut w = world(4);
    w.process(2).nodeid = Some("10.0.0.1".to_owned());
    w.spec(3).state = NodeState::Gone;
    *list(&mut rows(&mut w).registries) = vec![registry("10.9.9.9:17890", "active", 1)];
    for on in ["10.0.0.3", "10.0.0.4", "tarsnode", "tarsregistry"] {
        w.scope = tarsops_plan::Scope::parse(&[on.to_owned()], &w.desired).unwrap();
        let plan = w.plan();
        assert!(
            plan.is_empty() && plan.is_blocked(),
            "{on}: {:?}",
            plan.steps
        );
    }
}

#[test]
fn nothing_that_works_is_restarted_while_nobody_could_tell_whether_it_comes_back() {
    let restart = |w: &mut World| {
        w.agents()
            .for_each(|a| a.version = support::version("3.0.18"));
        w.plan()
    };
    let mut w = world(4);
    assert_eq!(restart(&mut w).steps.len(), 4);
    // The database of the spec could not be read, as a whole or the table of nodes alone.
    let mut w = world(4);
    framework(&mut w).database = Observed::Unknown("no way".to_owned());
    let plan = restart(&mut w);
    assert!(plan.is_empty() && plan.is_incomplete(), "{:?}", plan.steps);
    let mut w = world(4);
    rows(&mut w).nodes = Observed::Unknown("no privilege".to_owned());
    let plan = restart(&mut w);
    assert!(plan.is_empty() && plan.is_incomplete(), "{:?}", plan.steps);
    // No registry answers: proven, and not only unseen.
    let mut w = world(4);
    for answer in framework(&mut w).registries.values_mut() {
        *answer = Answer::Mute("it hangs".to_owned());
    }
    let plan = restart(&mut w);
    assert!(plan.is_empty() && plan.is_blocked(), "{:?}", plan.steps);
    // One that is about to be started is as good.
    take_down(&mut w, 0, Answer::Refused);
    assert_eq!(restart(&mut w).steps.len(), 5);
    // The tarsnode of a framework host starts the registry itself.
    let mut w = world(4);
    for answer in framework(&mut w).registries.values_mut() {
        *answer = Answer::Mute("it hangs".to_owned());
    }
    for i in [0, 3] {
        let node = w.node(i);
        let agent = support::damage::agent_of(&mut w, &node).unwrap();
        agent.processes = Observed::Present(vec![]);
        host(&mut w, i).ports = Observed::Present([].into());
    }
    let started: Vec<_> = w.plan().steps.iter().map(|s| s.id.clone()).collect();
    assert_eq!(started, ["tarsnode.change@10.0.0.1"]);
}

#[test]
fn what_a_table_that_was_not_read_would_tell_is_unknown() {
    let result = |w: &World, name: RuleName| {
        let all = checks(&w.input());
        let line = all.into_iter().find(|c| c.check == name.text());
        line.unwrap().result
    };
    let mut w = world(4);
    rows(&mut w).registries = Observed::Unknown("no privilege".to_owned());
    rows(&mut w).servers = Observed::Unknown("no privilege".to_owned());
    for name in [
        rule("foreign-database"),
        rule("registry-gone"),
        rule("registry-unlisted"),
        rule("runs-inactive"),
        rule("active-not-running"),
    ] {
        assert_eq!(result(&w, name), Outcome::Unknown, "{name}");
    }
    assert_eq!(result(&w, rule("not-registered")), Outcome::Ok);
    // What a narrowed command does not look at is not well.
    let mut w = world(4);
    w.scope = tarsops_plan::Scope::parse(&["10.0.0.3".to_owned()], &w.desired).unwrap();
    assert_eq!(result(&w, rule("default-password")), Outcome::Skipped);
    assert_eq!(result(&w, rule("foreign-database")), Outcome::Ok);
    let mut w = world(4);
    w.silence(3);
    assert_eq!(result(&w, rule("nodeid-twice")), Outcome::Unknown);
}

fn result(w: &World, check: &str) -> Outcome {
    let all = checks(&w.input());
    all.into_iter().find(|c| c.check == check).unwrap().result
}

#[test]
fn nothing_that_hosts_show_is_ok_while_they_are_silent() {
    let mut w = world(4);
    for i in 0..4 {
        w.silence(i);
    }
    let well: Vec<String> = checks(&w.input())
        .into_iter()
        .filter(|c| c.result == Outcome::Ok)
        .map(|c| c.check)
        .collect();
    // What the database and the framework's own answers prove without any host.
    assert_eq!(
        well,
        [
            "foreign-database",
            "no-database",
            "database-read-only",
            "default-password",
            "registry-silent",
            "registry-unlisted",
            "registry-gone",
            "registry-not-in-spec",
            "registered-elsewhere",
            "connection-lost",
            "adapters-differ",
            "adapters-extra",
            "extra-nodes",
            "database-connection",
        ]
    );
}

/// A host that answers may still not show all of itself.
#[test]
fn what_a_host_could_not_show_is_not_ok() {
    type Damage = fn(&mut World);
    let cases: [(&str, Damage, &[RuleName]); 5] = [
        (
            "ports",
            |w| w.host(2).ports = Observed::Unknown("ss does not work".to_owned()),
            &[rule("port-taken")],
        ),
        (
            "components",
            |w| w.host(2).components = Observed::Unknown("ps does not work".to_owned()),
            &[
                rule("runs-inactive"),
                rule("active-not-running"),
                rule("impostor"),
            ],
        ),
        (
            "processes",
            |w| {
                let node = w.node(2);
                let agent = support::damage::agent_of(w, &node).unwrap();
                agent.processes = Observed::Unknown("ps does not work".to_owned());
            },
            &[
                rule("nodeid-twice"),
                rule("not-registered"),
                rule("node-inactive"),
                rule("locator-behind"),
                rule("servant-silent"),
                rule("port-taken"),
            ],
        ),
        (
            "configuration",
            |w| {
                let node = w.node(2);
                let agent = support::damage::agent_of(w, &node).unwrap();
                agent.conf = Observed::Unknown("it cannot be read".to_owned());
            },
            &[rule("dead-locator"), rule("locator-behind")],
        ),
        (
            "a registry that no host of the spec has",
            |w| {
                let at: tarsops_model::names::Endpoint = "10.8.8.8:17890".parse().unwrap();
                let silent = Answer::Silent("it was not asked".to_owned());
                framework(w).registries.insert(at, silent);
            },
            &[rule("registry-silent"), rule("dead-locator")],
        ),
    ];
    for (what, damage, expected) in cases {
        let mut w = world(4);
        damage(&mut w);
        for name in expected {
            assert_eq!(
                result(&w, name.text()),
                Outcome::Unknown,
                "{what} unknown: {name}"
            );
        }
        assert_eq!(result(&w, "unsafe-folder"), Outcome::Ok, "{what}");
    }
}

/// A host that is to be removed still runs under a name and with a clock.
#[test]
fn a_silent_host_that_is_to_be_absent_counts_for_names_and_clocks() {
    let mut w = world(4);
    w.spec(3).state = NodeState::Absent {
        stop_servers: false,
    };
    assert_eq!(result(&w, "nodeid-twice"), Outcome::Ok);
    w.silence(3);
    for check in ["hosts", "nodeid-twice", "clock-skew"] {
        assert_eq!(result(&w, check), Outcome::Unknown, "{check}");
    }
    assert_eq!(result(&w, "unsafe-folder"), Outcome::Ok);
}

#[test]
fn what_a_command_does_not_look_at_is_skipped() {
    let mut w = world(4);
    w.scope = tarsops_plan::Scope::parse(&["10.0.0.3".to_owned()], &w.desired).unwrap();
    assert_eq!(result(&w, "extra-nodes"), Outcome::Skipped);
    let mut w = world(4);
    w.scope = tarsops_plan::Scope::parse(&["tarslog".to_owned()], &w.desired).unwrap();
    node_rows(&mut w).values_mut().next().unwrap().present = Some("inactive".to_owned());
    for check in ["node-inactive", "registry-silent"] {
        assert_eq!(result(&w, check), Outcome::Skipped, "{check}");
    }
    let mut w = world(1);
    w.spec(0).state = NodeState::Gone;
    assert_eq!(result(&w, "hosts"), Outcome::Skipped);
}
