//! Contradictions that heal by themselves: each says so where those who heal it are seen at work, and
//! only there; equal ones are one line.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::expansion::{COMPONENTS, installed, row, world};
use support::framework::{list, rows};
use support::*;
use tarsops_model::component::Component;
use tarsops_model::framework::Answer;
use tarsops_model::observed::Observed;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::finding::RuleName;
use tarsops_plan::render;

/// What the plan says of one finding: within how many seconds it heals.
fn heals(w: &World, name: RuleName) -> Vec<Option<u64>> {
    let plan = w.plan();
    let all = plan.drift.iter().filter_map(|d| match &d.kind {
        DriftKind::Disagreeing {
            finding,
            heals_within,
            ..
        } if *finding == name => Some(*heals_within),
        _ => None,
    });
    all.collect()
}

/// The slave's services run, and the registry calls them inactive, as after an impostor has left.
fn inactive(setting: &str) -> World {
    let mut w = world(3);
    let node = w.node(1);
    for component in COMPONENTS {
        let row = row(&mut w, component, &node);
        row.present = Some("inactive".to_owned());
        row.setting = Some(setting.to_owned());
    }
    w
}

fn without_tarsnode(w: &mut World, i: usize) {
    w.facts(i).processes = Observed::Present(vec![]);
    w.facts(i).listening = Observed::Present(false);
}

#[test]
fn services_that_their_tarsnode_reports_heal() {
    let mut w = inactive("active");
    assert_eq!(heals(&w, rule("runs-inactive")), [Some(65); 5]);
    assert_eq!(w.plan().heals_within(), Some(65));
    // They are one line.
    let text = render::text(&w.plan(), render::Style::default());
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| l.contains("runs-inactive"))
        .collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("heals by itself within 65 s"), "{text}");
    for component in COMPONENTS {
        assert!(lines[0].contains(component.name()), "{text}");
    }
    // Nobody reports them.
    without_tarsnode(&mut w, 1);
    assert_eq!(heals(&w, rule("runs-inactive")), [None; 5]);
    // Somebody has stopped them.
    let w = inactive("inactive");
    assert!(heals(&w, rule("runs-inactive")).iter().all(Option::is_none));
    assert_eq!(w.plan().heals_within(), None);
}

#[test]
fn a_locator_that_is_behind_heals() {
    let mut w = world(3);
    let conf = w.conf(2);
    let second = address(1);
    conf.text = conf.text.replace(&format!(":tcp -h {second} -p 17890"), "");
    assert_eq!(heals(&w, rule("locator-behind")), [Some(120)]);
}

#[test]
fn what_a_tarsnode_starts_again_heals() {
    let mut w = world(3);
    let node = w.node(1);
    installed(&mut w, Component::Tarsconfig, &node, false);
    assert_eq!(heals(&w, rule("active-not-running")), [Some(15)]);
    without_tarsnode(&mut w, 1);
    assert_eq!(heals(&w, rule("active-not-running")), [None]);
}

#[test]
fn a_node_heals_by_its_heartbeat_and_its_connection() {
    let mut w = world(3);
    let node = w.node(2);
    if let Observed::Present(nodes) = &mut rows(&mut w).nodes {
        nodes.get_mut(node.as_str()).unwrap().present = Some("inactive".to_owned());
    }
    assert_eq!(heals(&w, rule("node-inactive")), [Some(15)]);
    let mut w = world(3);
    let framework = w.inventory.framework.as_mut().unwrap();
    if let Observed::Present(admin) = &mut framework.admin {
        admin.pings.insert(node, Observed::Present(false));
    }
    assert_eq!(heals(&w, rule("connection-lost")), [Some(65)]);
    without_tarsnode(&mut w, 2);
    assert_eq!(heals(&w, rule("connection-lost")), [None]);
}

#[test]
fn a_registry_that_answers_writes_its_rows() {
    let mut w = world(3);
    let at = format!("{}:17890", address(1));
    list(&mut rows(&mut w).registries).retain(|r| r.locator != at);
    assert_eq!(heals(&w, rule("registry-unlisted")), [Some(15)]);
    // One that does not answer heals by nothing.
    let mut w = world(3);
    for answer in w
        .inventory
        .framework
        .as_mut()
        .unwrap()
        .registries
        .values_mut()
    {
        *answer = Answer::Refused;
    }
    assert!(
        heals(&w, rule("registry-silent"))
            .iter()
            .all(Option::is_none)
    );
}
