//! The plan as people read it, against texts that were read and found right. To see a change of
//! words, run with `INSTA_UPDATE=always` and read the difference.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::Count;
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_plan::render::{self, Style};

/// What a drift that counts everything beyond the spec prints.
fn strict(world: &World) -> String {
    render::strict_text(&world.plan(), Style::default()).to_string()
}

fn text(world: &World, verbose: bool) -> String {
    let style = Style {
        verbose,
        color: false,
    };
    render::text(&world.plan(), style).to_string()
}

/// One of everything that a small cluster may show.
fn small() -> World {
    let mut w = World::new(3);
    w.add("gw-3", "10.0.0.9", Role::Node);
    w.agents().for_each(|a| a.version = version("3.0.18"));
    w.uninstall(2);
    // The folder was copied from the master and never told its own name.
    let copied = filled_execute(&w);
    let facts = w.facts_of("gw-3");
    let Some(Observed::Present(script)) = facts.util.get_mut("execute.sh") else {
        panic!("no execute.sh")
    };
    script.text = copied;
    w
}

/// `execute.sh` as it is on the master.
fn filled_execute(w: &World) -> String {
    let mut w = w.clone();
    w.script(0, "execute.sh").text.clone()
}

#[test]
fn three_nodes_and_a_copied_one() {
    insta::assert_snapshot!(text(&small(), false));
}

#[test]
fn three_nodes_unfolded() {
    insta::assert_snapshot!(text(&small(), true));
}

#[test]
fn nothing_to_do() {
    insta::assert_snapshot!(text(&World::new(3), false));
}

/// Three hundred nodes in various states must still fit on a screen.
fn large() -> World {
    let mut w = World::new(300);
    w.agents().for_each(|a| a.version = version("3.0.18"));
    w.desired.policy.max_parallel = Count::Number(20);
    for i in 40..60 {
        w.uninstall(i);
    }
    for i in [71, 72, 73, 90] {
        w.silence(i);
    }
    for i in 100..104 {
        w.host(i).disk_free = Observed::Present(1 << 20);
    }
    w.leave_unfinished(120, false);
    w.leave_unfinished(121, true);
    w.spec(130).state = NodeState::Absent {
        stop_servers: false,
    };
    w.spec(131).state = NodeState::Maintenance {
        reason: Some("disk swap".to_owned()),
        until: None,
    };
    w.host(140).clock_skew = 9;
    w
}

#[test]
fn three_hundred_nodes() {
    let told = text(&large(), false);
    assert!(told.lines().count() <= 45, "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn three_hundred_nodes_unfolded_name_every_node() {
    let world = large();
    let told = text(&world, true);
    for step in &world.plan().steps {
        let node = step.resource.node().unwrap();
        let whole = |line: &str| {
            line.split(|c: char| c.is_whitespace() || c == '/')
                .any(|word| word == node.as_str())
        };
        assert!(told.lines().any(whole), "{node} is not named");
    }
}

#[test]
fn hand_made_drift() {
    let mut w = World::new(6);
    let foreign = w.node(0).to_string();
    w.process(3).nodeid = Some(foreign);
    w.conf(4).text = w
        .conf(4)
        .text
        .replace("10.0.0.1 -p 17890", "10.9.9.9 -p 17890");
    w.host(5).crontab = Observed::Present("0 4 * * * /opt/backup\n".to_owned());
    w.owner(2).strangers = vec!["conf".to_owned()];
    insta::assert_snapshot!(text(&w, true));
}

/// Three framework hosts and a plain node, at a new version: equal changes are one line, whatever the
/// component.
#[test]
fn services_alike_are_one_line() {
    let mut w = core::world(4);
    core::ask_for(&mut w, "3.0.18");
    let told = text(&w, false);
    let node = w.node(0);
    core::harm(&mut w, Component::Tarsconfig, &node, 6);
    insta::assert_snapshot!(told);
    insta::assert_snapshot!(text(&w, false));
}

/// Servants that nobody can call for a moment: in red, with a sign, and in the last line.
#[test]
fn servants_without_endpoints() {
    let mut w = core::world(1);
    core::ask_for(&mut w, "3.0.18");
    w.desired.policy.registry_gap = true;
    let plan = w.plan();
    let told = text(&w, false);
    let gone = plan.endpoints.iter().filter(|low| low.least == 0).count();
    assert!(gone > 1, "{:?}", plan.endpoints);
    let last = told.lines().last().unwrap();
    assert!(
        last.ends_with(&format!(
            " {gone} servants will be unavailable for a moment."
        )),
        "{last}"
    );
    let style = Style {
        color: true,
        ..Style::default()
    };
    let coloured = render::text(&plan, style).to_string();
    assert!(
        coloured.contains("\x1b[31m  ! endpoints: 0 of 1 left of "),
        "{coloured}"
    );
    // One that keeps an endpoint is neither.
    let mut w = core::world(3);
    core::ask_for(&mut w, "3.0.18");
    let told = text(&w, false);
    let kept: Vec<&str> = told.lines().filter(|l| l.contains("endpoints: ")).collect();
    let lost = kept
        .iter()
        .filter(|l| l.contains("endpoints: 0 of"))
        .count();
    let signed = kept.iter().filter(|l| l.starts_with("  ! ")).count();
    assert_eq!(lost, signed, "{told}");
    assert!(kept.len() > lost, "{told}");
}

/// Whoever counts what is beyond the spec is not told that there is nothing to do.
#[test]
fn what_is_beyond_the_spec_is_shown_as_drift_where_it_counts() {
    let mut w = framework::world(3);
    let row = framework::node_row(&mut w, 0).clone();
    framework::node_rows(&mut w).insert("10.9.9.9".to_owned(), row);
    assert!(!w.plan().extra.is_empty(), "{:?}", w.plan().drift);
    let usual = text(&w, false);
    assert!(
        usual.contains("Nothing to do") && usual.contains("    extra: "),
        "{usual}"
    );
    let told = strict(&w);
    assert!(!told.contains("Nothing to do"), "{told}");
    assert!(told.contains("  ~ extra: "), "{told}");
    assert!(told.ends_with(" 1 not in the spec.\n"), "{told}");
    // Without anything beyond both say the same.
    let w = framework::world(3);
    assert_eq!(strict(&w), text(&w, false));
    assert!(strict(&w).contains("Nothing to do"));
}
