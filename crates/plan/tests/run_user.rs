//! As whom the framework runs, and as whom it should.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::World;
use support::core::{ask_for, world};
use tarsops_model::component::Component;
use tarsops_model::inventory::Facts;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::plan::Plan;
use tarsops_plan::render;
use tarsops_plan::report::{Blocked, Line};

/// Has every process of the framework run as `user`.
fn run_as(w: &mut World, user: &str) {
    for seen in w.inventory.resources.values_mut() {
        let processes = match seen {
            Observed::Present(Facts::Agent(agent)) => &mut agent.processes,
            Observed::Present(Facts::Server(server)) => &mut server.processes,
            _ => continue,
        };
        if let Observed::Present(all) = processes {
            for one in all {
                user.clone_into(&mut one.user);
            }
        }
    }
}

fn blocked(plan: &Plan) -> Vec<(&ResourceId, &Blocked)> {
    let mut out = Vec::new();
    for line in &plan.report {
        if let Line::Blocked { resource, why } = line {
            out.push((resource, why));
        }
    }
    out
}

fn text(plan: &Plan) -> String {
    render::text(plan, render::Style::default()).to_string()
}

#[test]
fn a_cluster_of_another_user_is_told_once_and_left_alone() {
    for asked in ["3.0.17", "3.0.18"] {
        for there in [true, false] {
            let mut w = world(4);
            ask_for(&mut w, asked);
            run_as(&mut w, "root");
            for i in 0..4 {
                if !there {
                    w.host(i).run_user = Observed::Absent;
                }
            }
            let plan = w.plan();
            assert!(plan.steps.is_empty(), "{:#?}", plan.steps);
            let runs_as =
                |why: &Blocked| matches!(why, Blocked::RunsAs { runs_as, .. } if runs_as == "root");
            assert!(plan.is_blocked() && blocked(&plan).iter().all(|(_, why)| runs_as(why)));
            let shown = text(&plan);
            assert_eq!(shown.matches("every process").count(), 1, "{shown}");
            assert!(shown.contains("run_user: root"), "{shown}");
            assert!(shown.contains("change_run_user: true"), "{shown}");
        }
    }
}

#[test]
fn a_change_of_user_that_is_asked_for_is_planned() {
    let mut w = world(4);
    run_as(&mut w, "root");
    w.desired.change_run_user = true;
    let plan = w.plan();
    assert!(!plan.is_blocked() && plan.steps.len() > 4, "{plan:#?}");
    let before = plan.steps.iter().filter_map(|s| match &s.action {
        tarsops_plan::action::Action::ChangeHost(c) => c.ran_as.as_ref(),
        _ => None,
    });
    assert!(before.map(ToString::to_string).all(|user| user == "root"));
}

/// One process of the spec's user is enough: somebody has begun to change it.
#[test]
fn a_mixed_cluster_is_changed() {
    let mut w = world(4);
    run_as(&mut w, "root");
    w.process(3).user = support::USER.to_owned();
    let plan = w.plan();
    assert!(!plan.is_blocked() && !plan.steps.is_empty(), "{plan:#?}");
    let mut w = world(4);
    run_as(&mut w, "root");
    w.process(3).user = "ops".to_owned();
    assert!(!w.plan().steps.is_empty());
}

/// What blocks tarsnode for want of a user blocks the servers beside it.
#[test]
fn a_missing_user_blocks_all_of_a_host() {
    for made in [false, true] {
        let mut w = world(4);
        ask_for(&mut w, "3.0.18");
        run_as(&mut w, "root");
        w.process(3).user = support::USER.to_owned();
        w.host(0).run_user = Observed::Absent;
        for agent in w.agents() {
            agent.create_run_user = made;
        }
        let plan = w.plan();
        let node = w.node(0);
        let of_servers = |s: &&tarsops_plan::plan::Step| matches!(&s.resource, ResourceId::Server(_, n) if *n == node);
        assert_eq!(plan.steps.iter().filter(of_servers).count(), 0, "{plan:#?}");
        let registry = ResourceId::Server(Component::Tarsregistry, node.clone());
        let why: Vec<&Blocked> = blocked(&plan)
            .into_iter()
            .filter(|(r, _)| **r == registry)
            .map(|(_, why)| why)
            .collect();
        assert!(
            why.iter()
                .any(|b| matches!(b, Blocked::NoRunUser { comes, .. } if *comes == made)),
            "{why:?}"
        );
        let hint = why.iter().map(|b| b.hint()).collect::<String>();
        assert_eq!(hint.contains("apply again"), made, "{hint}");
    }
}

#[test]
fn an_ssh_user_without_any_right_is_told_once() {
    let mut w = world(4);
    ask_for(&mut w, "3.0.18");
    for i in 0..4 {
        w.host(i).is_root = false;
        w.host(i).user = "ops".to_owned();
    }
    let plan = w.plan();
    assert!(plan.steps.iter().all(|s| s.resource.node().is_none()));
    let shown = text(&plan);
    assert_eq!(shown.matches("neither root nor").count(), 1, "{shown}");
    assert!(!shown.contains("needs root"), "{shown}");
    // One host on which it may do everything: the others are told one by one.
    w.host(2).is_root = true;
    assert!(!text(&w.plan()).contains("neither root nor"));
}

#[test]
fn a_tarsnode_that_runs_from_another_path_is_told_once() {
    let mut w = world(4);
    for i in 1..4 {
        w.uninstall(i);
        w.host(i).runs_from = Some("/data/app".to_owned());
        w.host(i).ports = Observed::Present([19386].into());
    }
    let plan = w.plan();
    let shown = text(&plan);
    assert!(plan.is_blocked());
    assert_eq!(
        shown.matches("install_path: /data/app").count(),
        1,
        "{shown}"
    );
    assert!(!shown.contains("listens"), "{shown}");
}
