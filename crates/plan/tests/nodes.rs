//! What the planner sees on a node and what it does about it, one difference at a time.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::*;
use tarsops_model::agent::Monitor;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Content, Folder, Owner};
use tarsops_plan::condition::Truth;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::plan::{ChangeKind, Plan, Step};
use tarsops_plan::report::Line;
use tarsops_plan::{checker, effect};

/// The fields that differ, as `field: old → new`.
fn fields(plan: &Plan) -> Vec<String> {
    plan.drift
        .iter()
        .flat_map(|d| match &d.kind {
            DriftKind::Changed { fields } => fields.clone(),
            _ => vec![],
        })
        .map(|f| format!("{}: {} → {}", f.field, f.old, f.new))
        .collect()
}

/// The only step of the plan, which must be sound: checked, not done already, and enough.
fn only(world: &World) -> Step {
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1, "{plan:#?}");
    checker::check(&plan, &world.input()).unwrap();
    let step = plan.steps[0].clone();
    let node = step.resource.node().unwrap();
    let holds = |w: &World| {
        let truth = |c: &tarsops_plan::condition::Condition| c.eval(node, &w.inventory);
        step.post.iter().all(|c| truth(c) == Truth::Holds)
    };
    assert!(!holds(world), "the step would count as done already");
    let mut after = world.clone();
    effect::apply(&mut after.inventory, &step.action);
    assert!(holds(&after), "{:#?}", step.post);
    let second = after.plan();
    assert!(second.is_empty() && !second.has_drift(), "{second:#?}");
    step
}

/// The reasons why nodes are unknown.
fn unknown(plan: &Plan) -> String {
    let whys = plan.drift.iter().filter_map(|d| match &d.kind {
        DriftKind::Unknown { why } => Some(why.join("; ")),
        _ => None,
    });
    whys.collect::<Vec<_>>().join("\n")
}

fn alarms(plan: &Plan) -> Vec<&str> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Alarm { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn notes(plan: &Plan) -> Vec<&str> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Note { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_cluster_in_sync_needs_nothing() {
    let plan = World::new(4).plan();
    assert!(plan.is_empty() && plan.drift.is_empty(), "{plan:#?}");
    assert!(!plan.is_blocked() && !plan.is_incomplete());
}

#[test]
fn a_missing_tarsnode_is_installed_whole() {
    let mut w = World::new(3);
    w.uninstall(2);
    w.host(2).crontab = Observed::Present("MAILTO=ops".to_owned());
    let step = only(&w);
    let change = change(&step);
    assert_eq!(
        (step.sign, change.folder()),
        (ChangeKind::Add, Folder::Create)
    );
    assert!(
        change.restarts()
            && change.ends_healthy()
            && change.owner() == Owner::RunUser
            && !change.ran
    );
    assert_eq!(change.port.after, Some(19386));
    let paths: Vec<&str> = change.files().iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths.last(), Some(&"tarsnode/bin/tarsnode"));
    assert!(!paths.iter().any(|p| p.contains("/data/")), "{paths:?}");
    for file in change.files() {
        if let Content::Text(text) = &file.content {
            for left in ["localip.tars.com", "registryAddress", "TARS_PATH"] {
                assert!(!text.contains(left), "{} has {left}", file.path);
            }
        }
        if file.path.ends_with("monitor.sh") {
            assert_eq!(file.mode & 0o111, 0o111);
        }
        if file.path.ends_with("execute.sh") {
            let Content::Text(text) = &file.content else {
                panic!()
            };
            assert_eq!(text.matches(&format!("--nodeid={}", w.node(2))).count(), 1);
            assert_eq!(
                text.matches(&format!("--nodeid=\"{}\"", w.node(2))).count(),
                1
            );
        }
    }
    let edit = &change.crontab().as_ref().unwrap().edit;
    assert_eq!(edit.add.as_deref(), Some(monitor_line().trim_end()));
}

#[test]
fn an_older_binary_is_upgraded_with_a_restart() {
    let mut w = World::new(3);
    w.file(2).digest = binary("3.0.16");
    w.process(2).exe = Observed::Present(binary("3.0.16"));
    let step = only(&w);
    let change = change(&step);
    assert!(change.restarts() && change.ran);
    assert_eq!(step.summary, "change version 3.0.16 to 3.0.17 (restart)");
    assert_eq!(change.files().len(), 1);
    assert_eq!(change.files()[0].before, Some(binary("3.0.16")));
    assert_eq!(change.files()[0].after, Some(binary("3.0.17")));
}

#[test]
fn localip_and_endpoint_are_written_with_a_restart() {
    let mut w = World::new(3);
    let ip = address(2);
    let conf = w.conf(2);
    conf.text = conf
        .text
        .replace(&format!("localip={ip}"), "localip=127.0.0.1");
    let step = only(&w);
    assert_eq!(fields(&w.plan()), [format!("localip: 127.0.0.1 → {ip}")]);
    assert!(change(&step).restarts());

    let mut w = World::new(3);
    let conf = w.conf(2);
    conf.text = conf
        .text
        .replace(&format!("-h {ip} -p 19386"), "-h 10.9.9.9 -p 19386");
    let step = only(&w);
    assert_eq!(fields(&w.plan()), [format!("endpoint: 10.9.9.9 → {ip}")]);
    assert!(change(&step).restarts());
    let Content::Text(text) = &change(&step).files()[0].content else {
        panic!()
    };
    assert!(text.contains("# where names are resolved"), "comments stay");
}

#[test]
fn a_missing_registry_needs_a_restart_only_if_none_is_known() {
    let (one, two) = (address(0), address(1));
    let locator = |w: &mut World, new: &str| {
        let old = format!("tcp -h {one} -p 17890:tcp -h {two} -p 17890");
        let conf = w.conf(2);
        assert!(conf.text.contains(&old));
        conf.text = conf.text.replace(&old, new);
    };
    let mut w = World::new(3);
    locator(&mut w, &format!("tcp -h {one} -p 17890"));
    let step = only(&w);
    assert!(!change(&step).restarts());
    assert_eq!(
        fields(&w.plan()),
        [format!("locator: {one}:17890 → {one}:17890, {two}:17890")]
    );

    let mut w = World::new(3);
    locator(&mut w, "tcp -h 10.9.9.9 -p 17890");
    assert!(change(&only(&w)).restarts());
}

#[test]
fn what_a_running_tarsnode_writes_itself_is_no_drift() {
    let mut w = World::new(2);
    w.add("gw-1", "10.2.0.1", tarsops_model::component::Role::Node);
    let (one, two) = (
        format!("{}:17890", address(0)),
        format!("{}:17890", address(1)),
    );
    let node = name("gw-1");
    let mut facts = w.inventory.agent(&node).present().copied().unwrap().clone();
    facts.conf = Observed::Present(tarsops_model::agent::TextFact {
        text: rewritten("gw-1", &[&one, &two, "10.9.9.9:17890"]),
        mode: 0o666,
        owner: USER.to_owned(),
    });
    let host = w.inventory.host(&node).present().copied().unwrap().clone();
    w.inventory
        .insert(&node, Observed::Present(host), Observed::Present(facts));
    let plan = w.plan();
    assert!(plan.is_empty() && plan.drift.is_empty(), "{plan:#?}");
    assert_eq!(notes(&plan), ["its locator also names 10.9.9.9:17890"]);
}

#[test]
fn the_nodeid_of_another_node_in_the_script_is_an_alarm() {
    let mut w = World::new(3);
    let (own, master) = (address(2), address(0));
    let script = w.script(2, "execute.sh");
    script.text = script.text.replace(&own, &master);
    let plan = w.plan();
    assert_eq!(fields(&plan), [format!("nodeid: {master} → {own}")]);
    let alarms = alarms(&plan);
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(alarms[0].contains(&format!("which is node {master}")));
    // The process still runs as itself, so only the script is mended.
    assert!(!change(&only(&w)).restarts());

    let script = w.script(2, "execute.sh");
    script.text = script.text.replace(&master, "172.16.0.1");
    assert!(support_alarms(&w).is_empty(), "nobody's nodeid is no alarm");
}

fn support_alarms(w: &World) -> Vec<String> {
    alarms(&w.plan()).into_iter().map(str::to_owned).collect()
}

#[test]
fn the_nodeid_of_the_running_process_counts() {
    let mut w = World::new(3);
    let master = address(0);
    w.process(2).nodeid = Some(master.clone());
    assert!(change(&only(&w)).restarts());
    assert_eq!(support_alarms(&w).len(), 1);
    assert_eq!(
        fields(&w.plan()),
        [format!("running nodeid: {master} → {}", address(2))]
    );

    w.process(2).nodeid = None;
    assert!(change(&only(&w)).restarts());
}

#[test]
fn a_foreign_address_as_nodeid_names_its_node() {
    let mut w = World::new(2);
    w.add("gw-1", "10.2.0.1", tarsops_model::component::Role::Node);
    w.process(1).nodeid = Some("10.2.0.1".to_owned());
    assert!(support_alarms(&w)[0].contains("which is node gw-1"));
}

#[test]
fn a_replaced_file_is_a_restart() {
    let mut w = World::new(3);
    let process = w.process(2);
    process.exe = Observed::Present(binary("3.0.16"));
    process.exe_deleted = true;
    let step = only(&w);
    assert!(change(&step).restarts() && change(&step).files().is_empty());
    assert!(fields(&w.plan())[0].starts_with("running version: 3.0.16 ("));
}

#[test]
fn a_deleted_executable_with_the_same_content_is_no_drift() {
    let mut w = World::new(3);
    w.process(2).exe_deleted = true;
    assert!(w.plan().is_empty() && w.plan().drift.is_empty());
    // Any change of the node starts it again: the host asks for the very file that is there.
    w.script(2, "monitor.sh").mode = 0o644;
    assert!(change(&only(&w)).restarts());
}

#[test]
fn an_unseen_executable_is_unknown_even_if_it_was_deleted() {
    let mut w = World::new(3);
    w.process(2).exe_deleted = true;
    w.process(2).exe = Observed::Unknown("not readable".to_owned());
    let plan = w.plan();
    assert!(plan.is_empty());
    assert_eq!(unknown(&plan), "the running binary: not readable");
}

#[test]
fn none_or_two_processes_are_a_restart() {
    let mut w = World::new(3);
    let one = w.process(2).clone();
    let mut two = one.clone();
    two.pid = 4712;
    two.nodeid = Some(address(0));
    w.facts(2).processes = Observed::Present(vec![one, two]);
    assert!(change(&only(&w)).restarts());
    assert_eq!(
        fields(&w.plan()),
        ["process: 2 processes (4711, 4712) → running once"]
    );
    assert_eq!(
        support_alarms(&w).len(),
        1,
        "the second one runs as the master"
    );

    w.facts(2).processes = Observed::Present(vec![]);
    let step = only(&w);
    assert!(change(&step).restarts() && !change(&step).ran);
    assert_eq!(step.summary, "change process (restart)");
}

#[test]
fn a_silent_port_is_a_restart() {
    let mut w = World::new(3);
    w.facts(2).listening = Observed::Present(false);
    assert!(change(&only(&w)).restarts());
    w.facts(2).listening = Observed::Unknown("no /proc/net".to_owned());
    assert_eq!(unknown(&w.plan()), "its port: no /proc/net");
    assert!(w.plan().is_empty());
}

#[test]
fn the_user_of_the_process_counts() {
    let mut w = World::new(3);
    w.process(2).user = "root".to_owned();
    assert!(change(&only(&w)).restarts());
    assert_eq!(fields(&w.plan()), ["running as: root → tars"]);
}

#[test]
fn owner_and_strangers_are_given_back_without_a_restart() {
    let mut w = World::new(3);
    w.owner(2).owner = "root".to_owned();
    let step = only(&w);
    assert!(change(&step).owner() == Owner::RunUser && !change(&step).restarts());
    w.owner(2).owner = USER.to_owned();
    w.owner(2).strangers = vec!["tarsnode/conf".to_owned()];
    assert_eq!(change(&only(&w)).owner(), Owner::RunUser);
    assert_eq!(
        fields(&w.plan()),
        ["owner: others own tarsnode/conf → tars"]
    );
}

#[test]
fn modes_of_what_is_executed_count() {
    let mut w = World::new(3);
    w.file(2).mode = 0o644;
    w.script(2, "monitor.sh").mode = 0o600;
    // The others are run through a shell.
    w.script(2, "start.sh").mode = 0o600;
    let step = only(&w);
    assert!(!change(&step).restarts());
    assert_eq!(
        fields(&w.plan()),
        [
            "mode of util/monitor.sh: 600 → 755",
            "mode of bin/tarsnode: 644 → 755"
        ]
    );
}

#[test]
fn exactly_one_line_of_the_crontab_watches_it() {
    let line = monitor_line();
    let crontab = |text: &str| {
        let mut w = World::new(3);
        w.host(2).crontab = if text.is_empty() {
            Observed::Absent
        } else {
            Observed::Present(text.to_owned())
        };
        let step = only(&w);
        let mut after = w.clone();
        effect::apply(&mut after.inventory, &step.action);
        assert!(!change(&step).restarts());
        after.host(2).crontab.present().cloned().unwrap_or_default()
    };
    assert_eq!(crontab(""), line);
    assert_eq!(crontab("A=1"), format!("A=1\n{line}"));
    assert_eq!(
        crontab(&format!("{line}0 1 * * * x\n{line}")),
        format!("{line}0 1 * * * x\n")
    );
    let check = format!("* * * * * {TARS}/check.sh\n");
    assert_eq!(crontab(&format!("{line}{check}")), check);

    let mut w = World::new(3);
    w.host(2).crontab = Observed::Present(check);
    assert!(w.plan().is_empty(), "a check.sh watches it already");
    w.host(2).crontab = Observed::Absent;
    w.agent(2).monitor = Monitor::None;
    assert!(w.plan().is_empty(), "nobody asked for a monitor");
}

#[test]
fn an_emptied_configuration_is_made_from_the_package() {
    for text in ["", "\n \n", "# nothing\n"] {
        let mut w = World::new(3);
        w.conf(2).text = text.to_owned();
        let step = only(&w);
        assert!(change(&step).restarts());
        assert_eq!(
            fields(&w.plan()),
            ["configuration: empty → made from the package"]
        );
        assert_eq!(change(&step).port.after, Some(19386));
    }
    let mut w = World::new(3);
    w.facts(2).conf = Observed::Absent;
    assert!(change(&only(&w)).restarts());
}

#[test]
fn a_missing_script_comes_from_the_package() {
    for script in SCRIPTS {
        let mut w = World::new(3);
        w.facts(2).util.insert(script.to_owned(), Observed::Absent);
        let step = only(&w);
        assert!(!change(&step).restarts(), "{script}");
        assert_eq!(
            fields(&w.plan()),
            [format!("util/{script}: missing → from the package")]
        );
        w.facts(2)
            .util
            .insert(script.to_owned(), Observed::Unknown("not readable".into()));
        assert!(w.plan().is_empty());
        assert_eq!(unknown(&w.plan()), format!("util/{script}: not readable"));
    }
}

#[test]
fn placeholders_are_filled() {
    let mut w = World::new(3);
    let script = w.script(2, "start.sh");
    script.text = script.text.replace(TARS, "TARS_PATH");
    assert!(!change(&only(&w)).restarts());
    assert_eq!(fields(&w.plan()), ["util/start.sh: has TARS_PATH → filled"]);

    let mut w = World::new(3);
    let conf = w.conf(2);
    conf.text = conf.text.replace(TARS, "TARS_PATH");
    assert!(change(&only(&w)).restarts());
    assert_eq!(fields(&w.plan()), ["placeholders: TARS_PATH → filled"]);
}

#[test]
fn a_binary_that_no_lock_file_knows_is_left_alone() {
    let mut w = World::new(3);
    w.file(2).digest = binary("mine");
    w.process(2).exe = Observed::Present(binary("mine"));
    let plan = w.plan();
    assert!(plan.is_empty() && plan.is_incomplete());
    assert!(
        unknown(&plan).contains("is in no lock file"),
        "{}",
        unknown(&plan)
    );
    w.agent(2).replace_unknown = true;
    assert!(change(&only(&w)).restarts());

    let mut w = World::new(3);
    w.process(2).exe = Observed::Present(binary("mine"));
    assert!(w.plan().is_empty());
    assert!(unknown(&w.plan()).starts_with("it runs a binary"));
    w.agent(2).replace_unknown = true;
    assert!(change(&only(&w)).restarts());
}

#[test]
fn a_configuration_with_a_single_adapter_renamed_is_read() {
    let mut w = World::new(3);
    let conf = w.conf(2);
    conf.text = conf.text.replace("ServerAdapter", "MyAdapter");
    assert!(w.plan().is_empty(), "operators rename adapters");
}

#[test]
fn an_orphan_is_stopped_by_an_install() {
    let mut w = World::new(3);
    w.facts(2).folder = Observed::Absent;
    w.facts(2).binary = Observed::Absent;
    w.facts(2).conf = Observed::Absent;
    w.facts(2).util.clear();
    let step = only(&w);
    assert_eq!(change(&step).folder(), Folder::Create);
    assert!(change(&step).ran);
    assert_eq!(
        notes(&w.plan()),
        ["a tarsnode runs there without its folder; it is stopped"]
    );
}

#[test]
fn a_script_of_an_installation_elsewhere_is_fitted() {
    let mut w = World::new(3);
    let script = w.script(2, "start.sh");
    script.text = script.text.replace(TARS, "/data/tars");
    assert_eq!(
        fields(&w.plan()),
        [format!("util/start.sh: works in /data/tars → {TARS}")]
    );
    let step = only(&w);
    let change = change(&step);
    assert!(!change.restarts());
    let [file] = change.files() else {
        panic!("{:#?}", change.files())
    };
    assert!(matches!(&file.content, Content::Text(t) if t.contains(TARS) && !t.contains("/data/")));
}
