//! Version gates in the live cluster: what is held back, until when, and what is not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::framework::{admin, server_on, speaking};
use support::*;
use tarsops_model::agent::FileFact;
use tarsops_model::component::Component;
use tarsops_model::desired::Resource;
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;
use tarsops_plan::action::{Action, Content};
use tarsops_plan::gates::postpone;
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::report::{Blocked, Line};

const OLD: &str = "3.0.6";

/// A cluster of three in which AdminRegistry runs on the first node and says it is `version`.
fn cluster(version: &str) -> World {
    let mut w = World::new(3);
    for version in [OLD, "3.0.7"] {
        w.catalog.insert(package(version));
    }
    let mut w = speaking(w);
    // What registries run is another matter than these tests'.
    w.desired
        .resources
        .retain(|id, _| !matches!(id, ResourceId::Server(Component::Tarsregistry, _)));
    place(&mut w, Component::TarsAdminRegistry, 0);
    admin(&mut w).version = Observed::Present(version.to_owned());
    w
}

fn place(w: &mut World, component: Component, i: usize) {
    let node = w.node(i);
    let server = server_on(w, &node);
    w.desired.resources.insert(
        ResourceId::Server(component, node),
        Resource::Server(server),
    );
}

fn runs(w: &mut World, i: usize, version: &str) {
    w.file(i).digest = binary(version);
    w.process(i).exe = Observed::Present(binary(version));
}

fn held(plan: &Plan) -> Vec<(&ResourceId, &Blocked)> {
    let lines = plan.report.iter();
    lines
        .filter_map(|l| match l {
            Line::Blocked { resource, why } => Some((resource, why)),
            _ => None,
        })
        .collect()
}

fn changed(plan: &Plan) -> Vec<String> {
    let mut out: Vec<String> = plan.steps.iter().map(|s| s.resource.to_string()).collect();
    out.sort();
    out
}

#[test]
fn a_node_waits_for_an_admin_registry_that_is_known_to_be_older() {
    let mut w = cluster(OLD);
    runs(&mut w, 2, OLD);
    let plan = w.plan();
    assert!(plan.is_empty() && plan.is_blocked());
    assert_eq!(plan.summary.blocked, 1);
    let all = held(&plan);
    let Blocked::VersionsApart {
        other,
        its,
        rule,
        since,
        ..
    } = all[0].1
    else {
        panic!("{all:?}");
    };
    assert_eq!(
        (*other, rule.as_str()),
        (Component::TarsAdminRegistry, "node-connection")
    );
    assert_eq!(*its, Some(version(OLD)));
    assert_eq!(*since, version("3.0.7"));
    assert!(
        all[0]
            .1
            .to_string()
            .contains("calls its NodeObj, which is gone")
    );
    assert!(all[0].1.hint().contains("to 3.0.7 or later first"));
    // It still differs from the spec.
    assert_eq!(plan.drift.len(), 1);

    admin(&mut w).version = Observed::Present("3.0.7".to_owned());
    assert_eq!(changed(&w.plan()), ["agent/10.0.0.3"]);
}

#[test]
fn a_first_installation_waits_too() {
    let mut w = cluster(OLD);
    w.uninstall(2);
    assert!(w.plan().is_empty() && w.plan().is_blocked());
    // What is not known is no reason here: nobody knows that anything is crossed.
    admin(&mut w).version = Observed::Unknown("it did not answer".to_owned());
    assert_eq!(changed(&w.plan()), ["agent/10.0.0.3"]);
}

#[test]
fn where_a_step_crosses_the_rule_what_is_not_known_does_not_count_as_new_enough() {
    let mut w = cluster(OLD);
    runs(&mut w, 2, OLD);
    let said = |w: &mut World, says: Observed<String>| {
        admin(w).version = says;
        let plan = w.plan();
        assert!(plan.is_empty(), "{plan:#?}");
        held(&plan)[0].1.clone()
    };
    let unknown = said(&mut w, Observed::Unknown("it did not answer".to_owned()));
    assert!(
        matches!(&unknown, Blocked::VersionsApart { its: None, why, .. } if why.ends_with("it did not answer"))
    );
    assert!(unknown.to_string().contains("it did not answer"));
    let odd = said(&mut w, Observed::Present("main".to_owned()));
    assert!(odd.to_string().contains("AdminRegistry says `main`"));

    // Between new versions nothing is crossed.
    runs(&mut w, 2, "3.0.7");
    assert_eq!(changed(&w.plan()), ["agent/10.0.0.3"]);
    // Whatever runs now: a new one beside an old AdminRegistry is not made.
    admin(&mut w).version = Observed::Present(OLD.to_owned());
    assert!(w.plan().is_empty() && w.plan().is_blocked());
}

#[test]
fn a_binary_that_nobody_knows_crosses_nothing_that_is_known() {
    let mut w = cluster(OLD);
    runs(&mut w, 2, "9.9.9");
    w.agent(2).replace_unknown = true;
    admin(&mut w).version = Observed::Unknown("it did not answer".to_owned());
    assert_eq!(changed(&w.plan()), ["agent/10.0.0.3"]);
    admin(&mut w).version = Observed::Present(OLD.to_owned());
    assert!(w.plan().is_empty() && w.plan().is_blocked());
}

#[test]
fn what_brings_no_version_is_not_held_back() {
    let mut w = cluster(OLD);
    // It is down, and is started as it is.
    w.facts(2).processes = Observed::Present(vec![]);
    w.facts(2).listening = Observed::Present(false);
    assert_eq!(changed(&w.plan()), ["agent/10.0.0.3"]);
    // The file is new already, and a restart would run it.
    let mut w = cluster(OLD);
    w.process(2).exe = Observed::Present(binary(OLD));
    assert!(w.plan().is_empty() && w.plan().is_blocked());
}

#[test]
fn a_node_that_leaves_holds_nothing_back() {
    let mut w = cluster("3.0.17");
    runs(&mut w, 2, OLD);
    place(&mut w, Component::Tarsregistry, 1);
    assert!(matches!(
        held(&w.plan())[0].1,
        Blocked::VersionsApart {
            other: Component::Tarsregistry,
            its: None,
            ..
        }
    ));
    w.spec(1).state = NodeState::Absent {
        stop_servers: false,
    };
    assert!(changed(&w.plan()).contains(&"agent/10.0.0.3".to_owned()));
}

/// The binary of a component but tarsnode at a version, which a lock file knows.
fn known(w: &mut World, component: Component, version: &str) -> Digest {
    let digest = Digest::of(format!("{component} {version}").as_bytes());
    let as_version = (component, support::version(version));
    w.catalog
        .known
        .entry(digest)
        .or_default()
        .insert(as_version);
    digest
}

/// What is there and what runs of a component but tarsnode.
fn core(w: &mut World, component: Component, i: usize, file: &str, process: Option<&str>) {
    place(w, component, i);
    let file = known(w, component, file);
    let exe = process.map(|version| known(w, component, version));
    let node = w.node(i);
    let mut like = w.process(i).clone();
    let processes = exe.map(|exe| {
        like.exe = Observed::Present(exe);
        like
    });
    let binary = FileFact {
        digest: file,
        ..w.file(i).clone()
    };
    let facts = ServerFacts {
        binary: Observed::Present(binary),
        processes: Observed::Present(processes.into_iter().collect()),
    };
    w.inventory
        .insert_server(component, &node, Observed::Present(facts));
}

#[test]
fn core_services_are_known_by_what_runs() {
    let mut w = cluster("3.0.17");
    runs(&mut w, 2, OLD);
    let agents = || {
        let mut agents = vec![w.plan().steps[0].clone()];
        assert_eq!(postpone(&w.input(), &mut agents), []);
        agents
    };
    let agents = agents();
    let held_with = |w: &World| {
        let mut agents = agents.clone();
        let lines = postpone(&w.input(), &mut agents);
        assert_eq!(agents.is_empty(), !lines.is_empty());
        lines.into_iter().next()
    };
    let registry = Component::Tarsregistry;
    core(&mut w, registry, 1, "3.0.17", Some(OLD));
    let Some(Line::Blocked { why, .. }) = held_with(&w) else {
        panic!("it is not held");
    };
    assert!(
        why.to_string().contains("tarsregistry 3.0.6 on 10.0.0.2"),
        "{why}"
    );
    // The new file is the one that runs, or would be started.
    core(&mut w, registry, 1, "3.0.17", Some("3.0.17"));
    assert_eq!(held_with(&w), None);
    core(&mut w, registry, 1, "3.0.17", None);
    assert_eq!(held_with(&w), None);

    // The process counts more than AdminRegistry's word, and its word more than nothing.
    let admin_registry = Component::TarsAdminRegistry;
    core(&mut w, admin_registry, 0, "3.0.17", Some(OLD));
    assert!(held_with(&w).is_some());
    core(&mut w, admin_registry, 0, "3.0.17", Some("3.0.17"));
    w.catalog
        .known
        .retain(|_, all| all.iter().all(|(c, _)| *c != admin_registry));
    assert_eq!(held_with(&w), None);
    admin(&mut w).version = Observed::Present(OLD.to_owned());
    assert!(held_with(&w).is_some());
    // Proven not to be there, it holds nothing back.
    let node = w.node(0);
    w.inventory
        .insert_server(admin_registry, &node, Observed::Absent);
    assert_eq!(held_with(&w), None);
}

/// The step that brings `component` on a node to a version.
fn upgrade(like: &Step, component: Component, node: &NodeName, to: &str) -> Step {
    let mut step = like.clone();
    let Action::ChangeHost(change) = &mut step.action else {
        panic!("{} changes nothing", step.id);
    };
    change.component = component;
    change.node = node.clone();
    step.resource = change.resource();
    step.stage = match component {
        Component::Tarsnode => Stage::Agents,
        Component::TarsAdminRegistry => Stage::AdminRegistry,
        _ => Stage::CoreServices,
    };
    let file = change.files_mut().last_mut().unwrap();
    file.path = format!("{component}/bin/{component}");
    file.content = Content::Package {
        component,
        version: version(to),
        path: format!("bin/{component}"),
        size: 1,
    };
    step
}

#[test]
fn what_the_plan_brings_up_before_counts_as_done() {
    let mut w = cluster("3.0.7");
    for i in 1..3 {
        runs(&mut w, i, OLD);
    }
    let plan = w.plan();
    let steps = || plan.steps.clone();
    assert_eq!(steps().len(), 2);
    admin(&mut w).version = Observed::Present(OLD.to_owned());
    let mut agents = steps();
    let lines = postpone(&w.input(), &mut agents);
    assert!(agents.is_empty() && lines.len() == 2);

    let first = &plan.steps[0];
    let up = upgrade(first, Component::TarsAdminRegistry, &w.node(0), "3.0.17");
    let mut all = [vec![up.clone()], steps()].concat();
    assert_eq!(postpone(&w.input(), &mut all), []);
    assert_eq!(all.len(), 3);

    // Of two, one stays behind.
    place(&mut w, Component::TarsAdminRegistry, 1);
    let lines = postpone(&w.input(), &mut all);
    assert_eq!(all, [up], "{lines:?}");
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn on_the_way_down_the_nodes_go_first() {
    let mut w = cluster("3.0.17");
    runs(&mut w, 2, OLD);
    let like = w.plan().steps[0].clone();
    runs(&mut w, 2, "3.0.17");
    let down = upgrade(&like, Component::TarsAdminRegistry, &w.node(0), OLD);
    let mut before = vec![down.clone()];
    let lines = postpone(&w.input(), &mut before);
    assert!(before.is_empty());
    let Line::Blocked { why, .. } = &lines[0] else {
        panic!("{lines:?}");
    };
    assert!(why.hint().contains("below 3.0.7 first"), "{}", why.hint());

    for i in 0..3 {
        runs(&mut w, i, OLD);
    }
    let mut before = vec![down];
    let lines = postpone(&w.input(), &mut before);
    assert_eq!((before.len(), lines), (1, vec![]));
}
