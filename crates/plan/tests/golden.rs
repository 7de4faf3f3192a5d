//! The plan as people read it, against texts that were read and found right. To see a change of
//! words, run with `INSTA_UPDATE=always` and read the difference.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;
use tarsops_model::component::Role;
use tarsops_model::desired::Count;
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_plan::render::{self, Style};

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

/// `execute.sh` as it lies on the master.
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
