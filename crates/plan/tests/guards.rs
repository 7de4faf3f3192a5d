//! When the planner does nothing, and why it says so; and the order of what it does.

mod support;

use support::*;
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::Count;
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Action, Folder, Owner, Undo};
use tarsops_plan::checker;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::plan::{ChangeKind, Plan, Stage};
use tarsops_plan::report::{Blocked, Line};

fn blocked(plan: &Plan) -> Vec<&Blocked> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Blocked { why, .. } => Some(why),
            _ => None,
        })
        .collect()
}

/// The only reason, on a plan that does nothing.
fn why(w: &World) -> Blocked {
    let plan = w.plan();
    assert!(plan.is_empty(), "{plan:#?}");
    assert!(plan.is_blocked());
    let all = blocked(&plan);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(!all[0].to_string().is_empty() && !all[0].hint().is_empty());
    all[0].clone()
}

fn ignored(plan: &Plan) -> Vec<&str> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Ignored { why, .. } => Some(why.as_str()),
            _ => None,
        })
        .collect()
}

/// A node that runs 3.0.16.
fn outdated(w: &mut World, i: usize) {
    w.file(i).digest = binary("3.0.16");
    w.process(i).exe = Observed::Present(binary("3.0.16"));
}

fn absent(w: &mut World, i: usize, stop_servers: bool) {
    w.spec(i).state = NodeState::Absent { stop_servers };
}

#[test]
fn a_downgrade_is_refused() {
    let mut w = World::new(3);
    w.file(2).digest = binary("3.0.18");
    w.process(2).exe = Observed::Present(binary("3.0.18"));
    let from = version("3.0.18");
    let to = version("3.0.17");
    assert_eq!(why(&w), Blocked::Downgrade { from, to });
    w.agent(2).allow_downgrade = true;
    assert_eq!(w.plan().steps.len(), 1);

    // The file is already the older one, and a restart would run it.
    let mut w = World::new(3);
    w.process(2).exe = Observed::Present(binary("3.0.18"));
    assert_eq!(why(&w), Blocked::Downgrade { from, to });
}

#[test]
fn the_run_user_is_made_only_if_the_spec_says_so() {
    let mut w = World::new(3);
    w.host(2).run_user = Observed::Absent;
    assert!(matches!(why(&w), Blocked::NoRunUser { .. }));
    w.agent(2).create_run_user = true;
    let plan = w.plan();
    assert_eq!(change(&plan.steps[0]).owner(), Owner::NewRunUser);

    w.host(2).is_root = false;
    w.host(2).user = "ops".to_owned();
    let plan = w.plan();
    assert!(plan.is_empty());
    assert!(
        blocked(&plan)
            .iter()
            .all(|b| matches!(b, Blocked::NeedsRoot { .. }))
    );
}

#[test]
fn without_root_only_the_run_user_itself_can_work() {
    let mut w = World::new(3);
    outdated(&mut w, 2);
    w.host(2).is_root = false;
    w.host(2).user = USER.to_owned();
    assert_eq!(w.plan().steps.len(), 1);
    w.process(2).user = "root".to_owned();
    assert!(matches!(why(&w), Blocked::NeedsRoot { .. }));
    w.process(2).user = USER.to_owned();
    w.owner(2).strangers = vec!["tarsnode/bin".to_owned()];
    assert!(matches!(why(&w), Blocked::NeedsRoot { .. }));
    w.owner(2).strangers.clear();
    w.host(2).user = "ops".to_owned();
    assert!(!w.plan().is_blocked() || w.plan().is_empty());
    assert!(w.plan().is_blocked());
}

#[test]
fn what_the_host_lacks_is_named() {
    let mut w = World::new(3);
    outdated(&mut w, 2);
    w.host(2).tools.insert("flock".to_owned(), false);
    assert!(matches!(why(&w), Blocked::NoProgram { program, .. } if program == "flock"));
    w.host(2).tools.insert("flock".to_owned(), true);

    w.host(2).disk_free = Observed::Present(50 << 20);
    assert!(matches!(why(&w), Blocked::NoSpace { .. }));
    w.host(2).disk_free = Observed::Unknown("df reported nothing".to_owned());
    assert!(w.plan().is_empty() && w.plan().is_incomplete());
    w.host(2).disk_free = Observed::Present(1 << 40);

    w.host(2).writable = Observed::Present(false);
    assert!(matches!(why(&w), Blocked::NotWritable { path } if path == INSTALL));
    w.host(2).writable = Observed::Present(true);

    let host = w.host(2);
    host.tools.insert("crontab".to_owned(), false);
    host.crontab = Observed::Unknown("the host has no crontab program".to_owned());
    assert!(matches!(why(&w), Blocked::NoProgram { program, .. } if program == "crontab"));
}

#[test]
fn a_host_in_sync_may_lack_what_only_a_change_needs() {
    let mut w = World::new(3);
    w.host(2).disk_free = Observed::Present(0);
    w.host(2).writable = Observed::Present(false);
    w.host(2).tools.insert("flock".to_owned(), false);
    assert!(w.plan().is_empty() && !w.plan().is_blocked());
}

#[test]
fn a_host_that_is_another_machine_is_never_changed() {
    let mut w = World::new(3);
    outdated(&mut w, 2);
    w.host(2).interfaces = Observed::Present(["10.9.9.9".parse().unwrap()].into());
    assert!(matches!(why(&w), Blocked::WrongAddress { .. }));
    w.host(2).interfaces = Observed::Unknown("no program there reports".to_owned());
    assert!(w.plan().is_empty() && w.plan().is_incomplete());
}

#[test]
fn one_machine_under_two_names_blocks_both() {
    let mut w = World::new(4);
    outdated(&mut w, 2);
    outdated(&mut w, 3);
    w.host(3).machine_id = w.host(2).machine_id.clone();
    let plan = w.plan();
    assert!(plan.is_empty());
    assert_eq!(plan.summary.blocked, 2);
    // A node outside the scope counts as well.
    w.scope.nodes.insert(w.node(2));
    assert!(matches!(why(&w), Blocked::SameMachine { .. }));
}

#[test]
fn maintenance_is_looked_at_and_never_changed() {
    let mut w = World::new(3);
    outdated(&mut w, 2);
    let until = |w: &mut World, date: Option<&str>| {
        w.spec(2).state = NodeState::Maintenance {
            reason: Some("disk swap".to_owned()),
            until: date.map(|d| d.parse().unwrap()),
        };
    };
    // NOW is 2026-11-20.
    for date in [None, Some("2026-12-01"), Some("2026-11-21")] {
        until(&mut w, date);
        let plan = w.plan();
        assert!(
            plan.is_empty() && !plan.has_drift() && !plan.is_blocked(),
            "{date:?}"
        );
        assert!(
            ignored(&plan)[0].contains("3.0.16 to 3.0.17"),
            "{:?}",
            ignored(&plan)
        );
    }
    for date in ["2026-11-20", "2026-11-19"] {
        until(&mut w, Some(date));
        assert_eq!(
            why(&w),
            Blocked::MaintenanceOver {
                until: date.to_owned()
            }
        );
        assert!(w.plan().has_drift());
    }
    until(&mut w, Some("2026-11-19"));
    let mut mended = w.clone();
    mended.file(2).digest = binary(VERSION);
    mended.process(2).exe = Observed::Present(binary(VERSION));
    assert!(!mended.plan().is_blocked(), "over, and in sync");

    // Whatever happens to a machine under maintenance is no alarm.
    until(&mut w, None);
    let mut other = w.clone();
    other.host(2).interfaces = Observed::Present(["10.9.9.9".parse().unwrap()].into());
    let mut silent = w.clone();
    silent.silence(2);
    let mut cut = w.clone();
    cut.leave_unfinished(2, false);
    for w in [other, silent, cut] {
        let plan = w.plan();
        assert!(
            plan.is_empty() && !plan.is_blocked() && !plan.is_incomplete(),
            "{plan:#?}"
        );
        assert_eq!(ignored(&plan).len(), 1);
    }
}

#[test]
fn after_maintenance_a_foreign_nodeid_is_an_alarm_again() {
    let mut w = World::new(3);
    w.process(2).nodeid = Some(address(0));
    w.spec(2).state = NodeState::Maintenance {
        reason: None,
        until: Some("2026-11-01".parse().unwrap()),
    };
    let alarm = |l: &Line| matches!(l, Line::Alarm { .. });
    assert!(w.plan().report.iter().any(alarm));
}

#[test]
fn an_absent_node_is_stopped_and_removed() {
    let mut w = World::new(3);
    absent(&mut w, 2, false);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let step = &plan.steps[0];
    assert_eq!(
        (step.sign, step.stage),
        (ChangeKind::Remove, Stage::AgentRemoval)
    );
    assert_eq!(change(step).folder(), Folder::Remove);
    let edit = &change(step).crontab().as_ref().unwrap().edit;
    assert_eq!(
        edit.remove.len(),
        1,
        "its monitor goes, or cron brings it back"
    );

    w.facts(2).servers = vec!["Demo.Hello".to_owned()];
    let servers = vec!["Demo.Hello".to_owned()];
    assert_eq!(why(&w), Blocked::ServersRunning { servers });
    absent(&mut w, 2, true);
    assert!(change(&w.plan().steps[0]).stops_servers());

    w.uninstall(2);
    assert!(w.plan().is_empty() && w.plan().drift.is_empty());
}

#[test]
fn nothing_unknown_is_removed() {
    let mut w = World::new(3);
    absent(&mut w, 2, true);
    w.facts(2).folder = Observed::Unknown("it was not told".to_owned());
    assert!(w.plan().is_empty() && w.plan().is_incomplete());

    // Without its folder, a process that cannot be ruled out is no proof of absence.
    w.facts(2).folder = Observed::Absent;
    w.facts(2).processes = Observed::Unknown("no /proc".to_owned());
    w.host(2).crontab = Observed::Absent;
    assert!(w.plan().is_empty() && w.plan().is_incomplete());
}

#[test]
fn what_is_left_of_a_removed_tarsnode_goes_too() {
    let mut w = World::new(3);
    absent(&mut w, 2, false);
    w.facts(2).folder = Observed::Absent;
    let plan = w.plan();
    let step = &plan.steps[0];
    assert_eq!(change(step).folder(), Folder::Keep);
    assert!(change(step).restarts() && !change(step).ends_healthy());
    assert!(matches!(step.undo, Undo::Irreversible { .. }));
    checker::check(&plan, &w.input()).unwrap();
}

#[test]
fn a_node_that_is_gone_is_left_to_the_rows() {
    let mut w = World::new(3);
    w.silence(2);
    w.spec(2).state = NodeState::Gone;
    let plan = w.plan();
    assert!(plan.is_empty() && plan.drift.is_empty());
    let line = |l: &Line| matches!(l, Line::Ignored { why, .. } if why.contains("no database"));
    assert!(plan.report.iter().any(line));
}

#[test]
fn a_silent_host_is_unknown_and_the_rest_goes_on() {
    let mut w = World::new(4);
    w.silence(2);
    outdated(&mut w, 3);
    let plan = w.plan();
    assert_eq!((plan.steps.len(), plan.summary.unknown), (1, 1));
    let unknown =
        |k: &DriftKind| matches!(k, DriftKind::Unknown { why } if why == &["connection timed out"]);
    assert!(plan.drift.iter().any(|d| unknown(&d.kind)));
}

#[test]
fn an_unfinished_change_comes_first() {
    let mut w = World::new(4);
    outdated(&mut w, 2);
    outdated(&mut w, 3);
    w.leave_unfinished(3, false);
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert!(matches!(plan.steps[0].action, Action::Recover(_)));
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[0].stage, Stage::Recover);

    let mut w = World::new(3);
    outdated(&mut w, 2);
    w.leave_unfinished(2, true);
    assert_eq!(why(&w), Blocked::ChangeInProgress { run: run_id(5) });
}

#[test]
fn a_package_must_be_there_and_whole() {
    let mut w = World::new(3);
    let contents = w.catalog.available.get_mut(&Component::Tarsnode).unwrap();
    let mut package = contents.remove(&version(VERSION)).unwrap();
    assert!(
        w.plan().is_empty() && !w.plan().is_blocked(),
        "nothing is needed of it"
    );
    outdated(&mut w, 2);
    assert!(matches!(why(&w), Blocked::NoPackage { .. }));

    package.files.retain(|f| !f.path.starts_with("util/"));
    w.catalog.insert(package.clone());
    assert_eq!(w.plan().steps.len(), 1, "an upgrade needs the binary only");
    w.uninstall(2);
    assert!(matches!(why(&w), Blocked::IncompletePackage { .. }));

    // Without a monitor.sh, cron would run nothing.
    let mut whole = support::package(VERSION);
    whole.files.retain(|f| f.path != "util/monitor.sh");
    w.catalog.insert(whole);
    assert!(matches!(why(&w), Blocked::IncompletePackage { .. }));
}

#[test]
fn the_batches_of_a_ramp_grow_and_the_checker_counts_them() {
    let mut w = World::new(40);
    for i in 0..40 {
        outdated(&mut w, i);
    }
    let sizes = |w: &World| {
        let plan = w.plan();
        checker::check(&plan, &w.input()).unwrap();
        let batches = plan.steps.chunk_by(|a, b| a.batch == b.batch);
        batches.map(<[_]>::len).collect::<Vec<_>>()
    };
    w.desired.policy.ramp = vec![Count::Number(1), Count::Number(5)];
    w.desired.policy.max_parallel = Count::Percent(40);
    assert_eq!(sizes(&w), [1, 5, 16, 16, 2]);
    // The canary is the first batch, and only makes it smaller.
    w.desired.policy.canary = 2;
    assert_eq!(sizes(&w), [1, 5, 16, 16, 2]);
    w.desired.policy.ramp[0] = Count::Number(3);
    assert_eq!(sizes(&w), [2, 5, 16, 16, 1]);
    // One step more in the second batch is one too many, for all that later ones are larger.
    let mut plan = w.plan();
    plan.steps[7].batch = 2;
    let found = checker::check(&plan, &w.input()).unwrap_err();
    assert!(found.iter().any(|v| v.step == "batch 2"), "{found:?}");
    w.desired.policy.ramp[1] = Count::Number(6);
    assert_eq!(sizes(&w), [2, 6, 16, 16]);
}

#[test]
fn plain_nodes_come_before_slaves_and_the_master() {
    let mut w = World::new(14);
    w.desired.policy.max_parallel = Count::Number(5);
    for i in 0..14 {
        outdated(&mut w, i);
    }
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let roles: Vec<Role> = plan
        .steps
        .iter()
        .map(|s| w.desired.host(s.resource.node().unwrap()).unwrap().role)
        .collect();
    assert_eq!(roles[12..], [Role::Slave, Role::Master]);
    let nodes: Vec<&str> = plan.steps[..12]
        .iter()
        .map(|s| s.resource.node().unwrap().as_str())
        .collect();
    assert_eq!(
        (nodes[0], nodes[11]),
        ("10.0.0.3", "10.0.0.14"),
        "by number"
    );
    let batches: Vec<u32> = plan.steps.iter().map(|s| s.batch).collect();
    assert_eq!(batches, [1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4]);
    assert_eq!(plan.steps[1].needs, ["gate/1"]);
}
