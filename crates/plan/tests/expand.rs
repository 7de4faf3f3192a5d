//! Components that come to a framework host, and what stands in their way.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use proptest::prelude::*;
use support::damage::agent_of;
use support::expansion::{
    COMPONENTS, fresh_slave, installed, lack, lacking, package_of, without_rows,
};
use support::framework::{framework, list, rows};
use support::*;
use tarsops_model::component::{Component, Role};
use tarsops_model::framework::Answer;
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{
    Action, AddServerRows, Content, Folder, NewRow, NewServers, RemoveServerRows, StartServer,
    StopServer, Table, Undo,
};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::drift::DriftKind;
use tarsops_plan::effect::{self, Images};
use tarsops_plan::intent::CrontabLeft;
use tarsops_plan::plan::{Plan, Stage};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::restore::Known;
use tarsops_plan::{checker, crontab};

/// Registries can be asked, and what is rolled back went well.
const KNOWN: Known = Known {
    asks: true,
    failed: false,
    other_crontab: false,
};

/// The steps but the backup that comes before rows are written.
fn ids(plan: &Plan) -> Vec<&str> {
    let all = plan.steps.iter().map(|s| s.id.as_str());
    all.filter(|id| *id != "database.backup").collect()
}

fn blocked(plan: &Plan) -> Vec<&Blocked> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Blocked { why, .. } => Some(why),
            _ => None,
        })
        .collect()
}

fn new_rows(plan: &Plan) -> &NewServers {
    plan.steps
        .iter()
        .find_map(|s| match &s.action {
            Action::AddServerRows(AddServerRows(new)) => Some(new),
            _ => None,
        })
        .unwrap()
}

/// Applies the plan; the next one is empty.
#[track_caller]
fn applied(w: &World) -> World {
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let mut after = w.clone();
    for step in &plan.steps {
        effect::apply(&mut after.inventory, &step.action);
        let node = step.resource.node().unwrap_or(&w.desired.master);
        for condition in &step.post {
            assert_eq!(condition.eval(node, &after.inventory), Truth::Holds);
        }
    }
    let second = after.plan();
    assert!(second.is_empty(), "{:#?}", second.steps);
    after
}

#[test]
fn a_whole_cluster_has_nothing_to_do() {
    let w = expansion::world(4);
    let plan = w.plan();
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    assert!(!plan.is_blocked() && !plan.has_drift(), "{:#?}", plan);
}

#[test]
fn a_new_slave_gets_its_files_then_its_rows_then_is_started_registry_first() {
    let mut w = fresh_slave(4);
    w.uninstall(1);
    let node = w.node(1);
    let plan = w.plan();
    let mut wanted = vec![format!("tarsnode.install@{node}")];
    let each = |word: &str| -> Vec<String> {
        COMPONENTS
            .iter()
            .map(|c| format!("{c}.{word}@{node}"))
            .collect()
    };
    wanted.extend(each("place"));
    wanted.push(format!("rows.add@{node}"));
    wanted.extend(each("start"));
    wanted.push(format!("tarsregistry.watch@{node}"));
    assert_eq!(ids(&plan), wanted);
    let stages: Vec<Stage> = plan.steps.iter().map(|s| s.stage).collect();
    assert_eq!(stages[..2], [Stage::Backup, Stage::Agents]);
    assert!(stages[2..].iter().all(|s| *s == Stage::Expansion));
    assert!(!plan.is_blocked(), "{:#?}", plan.report);
    // What is silent because it is not there yet is no contradiction.
    assert!(
        plan.drift
            .iter()
            .all(|d| !matches!(d.kind, DriftKind::Disagreeing { .. })),
        "{:#?}",
        plan.drift
    );
    let after = applied(&w);
    let Observed::Present(crontab) = &after.inventory.host(&node).present().unwrap().crontab else {
        panic!("it has no crontab");
    };
    assert_eq!(
        *crontab,
        format!(
            "{}* * * * * {TARS}/tarsregistry/util/monitor.sh >/dev/null 2>&1\n",
            monitor_line()
        )
    );
}

#[test]
fn files_are_filled_in_and_credentials_stay_as_shipped() {
    let w = fresh_slave(3);
    let plan = w.plan();
    let step = plan
        .steps
        .iter()
        .find(|s| s.id.starts_with("tarsconfig.place"))
        .unwrap();
    let change = change(step);
    assert_eq!(change.folder(), Folder::Create);
    assert!(!change.restarts() && !change.ends_healthy());
    assert_eq!(
        change.files().last().unwrap().path,
        "tarsconfig/bin/tarsconfig"
    );
    let text = |path: &str| match &change
        .files()
        .iter()
        .find(|f| f.path == path)
        .unwrap()
        .content
    {
        Content::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let ip = address(1);
    assert_eq!(
        text("tarsconfig/conf/tars.tarsconfig.config.conf"),
        format!(
            "<tars>\nlocalip={ip}\nbasepath={TARS}/tarsconfig/bin\n\
             locator=tars.tarsregistry.QueryObj@tcp -h {ip} -p 17890\n\
             dbhost=10.0.0.9\ndbpass=tars2015\n</tars>\n"
        )
    );
    assert!(
        text("tarsconfig/util/start.sh").contains(&format!("sh {TARS}/tarsconfig/util/execute.sh"))
    );
    let scripts = change.files().iter().filter(|f| f.path.contains("/util/"));
    assert!(scripts.clone().count() == 3 && scripts.clone().all(|f| f.mode & 0o111 == 0o111));
}

#[test]
fn the_rows_are_those_of_the_installer_and_inactive() {
    let w = fresh_slave(3);
    let plan = w.plan();
    let new = new_rows(&plan);
    // Five servers; six adapters, as the registry has two.
    let of = |table: Table| new.rows.iter().filter(move |r| r.table == table);
    assert_eq!(
        (
            of(Table::TServerConf).count(),
            of(Table::TAdapterConf).count()
        ),
        (5, 6)
    );
    let get = |row: &NewRow, column: &str| row.text(column).unwrap_or("(none)").to_owned();
    for row in of(Table::TServerConf) {
        let name = get(row, "server_name");
        assert_eq!(get(row, "application"), "tars");
        assert_eq!(get(row, "node_name"), address(1));
        assert_eq!(get(row, "exe_path"), format!("{TARS}/{name}/bin/{name}"));
        assert_eq!(get(row, "template_name"), format!("tars.{name}"));
        assert_eq!(get(row, "setting_state"), "inactive");
        assert_eq!(get(row, "present_state"), "inactive");
        assert_eq!(get(row, "patch_version"), VERSION);
        assert_eq!(get(row, "lastuser"), "admin");
        assert_eq!(get(row, "server_type"), "tars_cpp");
    }
    let adapters: Vec<(String, i64, i64, i64, i64)> = of(Table::TAdapterConf)
        .map(|row| {
            let number = |column| row.number(column).unwrap();
            (
                get(row, "endpoint"),
                number("thread_num"),
                number("max_connections"),
                number("queuecap"),
                number("queuetimeout"),
            )
        })
        .collect();
    let at = |port: u16| format!("tcp -h {} -t 60000 -p {port}", address(1));
    assert_eq!(
        adapters,
        [
            (at(17890), 5, 100_000, 100_000, 10_000),
            (at(17891), 5, 100_000, 100_000, 10_000),
            (at(18193), 10, 200_000, 100_000, 60_000),
            (at(18593), 5, 200_000, 100_000, 60_000),
            (at(18393), 5, 200_000, 100_000, 60_000),
            (at(18693), 5, 200_000, 100_000, 60_000),
        ]
    );
}

#[test]
fn each_part_is_planned_only_where_it_is_missing() {
    let component = Component::Tarsconfig;
    let cases: [(u8, &[&str]); 8] = [
        (0, &[]),
        (1, &["tarsconfig.place", "rows.add", "tarsconfig.start"]),
        // The row says that it should run: it is only placed, and seen to start.
        (2, &["tarsconfig.place", "tarsconfig.start"]),
        (3, &["rows.add", "tarsconfig.start"]),
        (4, &["tarsconfig.start"]),
        (5, &[]),
        (6, &["tarsconfig.place"]),
        (8, &["rows.add"]),
    ];
    for (kind, wanted) in cases {
        let mut w = expansion::world(3);
        let node = w.node(1);
        lack(&mut w, component, &node, kind);
        let plan = w.plan();
        let found: Vec<&str> = ids(&plan)
            .into_iter()
            .map(|id| id.split('@').next().unwrap())
            .collect();
        assert_eq!(found, wanted, "kind {kind}: {:#?}", plan.report);
        applied(&w);
    }
}

#[test]
fn the_master_is_repaired_in_the_same_way() {
    let mut w = expansion::world(3);
    let node = w.node(0);
    lack(&mut w, Component::Tarsquerystat, &node, 1);
    assert_eq!(ids(&w.plan()).len(), 3);
    applied(&w);
}

#[test]
fn what_stands_in_the_way_is_told_and_nothing_is_done() {
    type Wrong = fn(&mut World);
    let cases: [(&str, Wrong); 9] = [
        ("no pinned package has", |w| {
            w.catalog.available.remove(&Component::Tarsnotify);
        }),
        ("has no configuration or scripts", |w| {
            let mut package = package_of(Component::Tarsnotify);
            package.files.truncate(1);
            w.catalog.insert(package);
        }),
        ("the spec names no database", |w| {
            w.desired.resources.remove(&ResourceId::Schema);
        }),
        ("does not run", |w| {
            w.spec(1).state = NodeState::Present;
            w.facts(1).processes = Observed::Present(vec![]);
            w.scope.components = COMPONENTS.into();
        }),
        ("no AdminRegistry", |w| {
            framework(w).admin = Observed::Absent;
        }),
        ("listens on port 18193", |w| {
            if let Observed::Present(ports) = &mut w.host(1).ports {
                ports.insert(18193);
            }
        }),
        ("MiB are free", |w| {
            w.host(1).disk_free = Observed::Present(1 << 20)
        }),
        ("needs root rights", |w| {
            w.host(1).is_root = false;
            w.host(1).user = "ops".to_owned();
        }),
        ("does not name its registry", |w| {
            let at: Endpoint = format!("{}:17890", address(1)).parse().unwrap();
            w.desired.registries.remove(&at);
        }),
    ];
    for (wanted, wrong) in cases {
        let mut w = fresh_slave(3);
        wrong(&mut w);
        let plan = w.plan();
        let expansion: Vec<&str> = plan
            .steps
            .iter()
            .filter(|s| s.stage == Stage::Expansion)
            .map(|s| s.id.as_str())
            .collect();
        assert!(expansion.is_empty(), "{wanted}: {expansion:?}");
        let told: Vec<String> = blocked(&plan).iter().map(ToString::to_string).collect();
        assert!(
            told.iter().any(|t| t.contains(wanted)),
            "{wanted}: {told:?}"
        );
        assert!(blocked(&plan).iter().all(|b| !b.hint().is_empty()));
    }
}

#[test]
fn what_cannot_be_seen_is_unknown_and_leads_to_nothing() {
    type Hidden = fn(&mut World);
    let cases: [Hidden; 5] = [
        |w| rows(w).servers = Observed::Unknown("no privilege".to_owned()),
        |w| rows(w).adapters = Observed::Unknown("no privilege".to_owned()),
        |w| framework::database(w).rows = Observed::Unknown("no way".to_owned()),
        |w| framework(w).admin = Observed::Unknown("no answer".to_owned()),
        |w| {
            let node = w.node(1);
            let why = "no access".to_owned();
            w.inventory
                .insert_server(Component::Tarsnotify, &node, Observed::Unknown(why));
        },
    ];
    for hide in cases {
        let mut w = fresh_slave(3);
        hide(&mut w);
        let plan = w.plan();
        assert!(plan.is_empty(), "{:#?}", plan.steps);
        assert!(plan.is_incomplete(), "{:#?}", plan.drift);
    }
}

#[test]
fn a_component_that_runs_unknown_to_the_framework_is_told() {
    let mut w = expansion::world(3);
    let node = w.node(1);
    without_rows(&mut w, Component::Tarsconfig, &node);
    let plan = w.plan();
    assert!(plan.is_empty());
    assert!(matches!(
        blocked(&plan).as_slice(),
        [Blocked::RunsUnknown {
            component: Component::Tarsconfig
        }]
    ));
}

#[test]
fn a_row_under_another_port_is_left_and_told() {
    let mut w = expansion::world(3);
    let node = w.node(1);
    for row in list(&mut rows(&mut w).adapters) {
        if row.server == "tarsconfig" && row.node == node.as_str() {
            row.endpoint = Some(format!("tcp -h {} -t 60000 -p 28193", address(1)));
        }
    }
    let plan = w.plan();
    assert!(plan.is_empty());
    let told = |l: &Line| matches!(l, Line::Note { text, .. } if text.contains("28193"));
    assert!(plan.report.iter().any(told), "{:#?}", plan.report);
}

#[test]
fn a_framework_host_that_moved_is_refused() {
    // Under another name.
    let mut w = fresh_slave(3);
    let row = expansion::row_of(Component::Tarsconfig, &name("10.0.0.77"));
    list(&mut rows(&mut w).servers).push(row);
    let plan = w.plan();
    assert!(plan.is_empty());
    let all = blocked(&plan);
    assert!(!all.is_empty());
    for why in all {
        assert!(
            matches!(why, Blocked::FrameworkMoved { from, .. } if from == "10.0.0.77"),
            "{why:?}"
        );
        assert!(why.hint().contains("Moving a framework host"));
    }
    // At another address.
    let mut w = expansion::world(3);
    let node = w.node(1);
    for row in list(&mut rows(&mut w).adapters) {
        if row.node == node.as_str() {
            let old = row.endpoint.take().unwrap();
            row.endpoint = Some(old.replace(&address(1), "10.0.0.88"));
        }
    }
    lack(&mut w, Component::Tarsnotify, &node, 2);
    let plan = w.plan();
    let moved =
        |why: &&Blocked| matches!(why, Blocked::FrameworkMoved { from, .. } if from == "10.0.0.88");
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    assert!(blocked(&plan).iter().any(moved));
}

#[test]
fn a_node_under_maintenance_is_told_and_left() {
    let mut w = fresh_slave(3);
    w.spec(1).state = NodeState::Maintenance {
        reason: None,
        until: None,
    };
    let plan = w.plan();
    assert!(plan.is_empty());
    assert!(
        plan.report
            .iter()
            .any(|l| matches!(l, Line::Ignored { .. }))
    );
}

#[test]
fn one_that_somebody_stopped_is_not_started() {
    let mut w = expansion::world(3);
    let node = w.node(1);
    lack(&mut w, Component::Tarsnotify, &node, 6);
    let plan = w.plan();
    assert_eq!(ids(&plan), [format!("tarsnotify.place@{node}")]);
    let told = |l: &Line| matches!(l, Line::Note { text, .. } if text.contains("not started"));
    assert!(plan.report.iter().any(told));
}

#[test]
fn a_check_script_in_the_crontab_is_watch_enough() {
    let mut w = fresh_slave(3);
    w.host(1).crontab = Observed::Present(format!("* * * * * {TARS}/check.sh\n"));
    let plan = w.plan();
    assert!(ids(&plan).iter().all(|id| !id.contains(".watch")));
}

#[test]
fn a_registry_that_was_never_started_is_started_by_its_node_only() {
    let mut w = fresh_slave(3);
    let node = w.node(1);
    for component in COMPONENTS {
        installed(&mut w, component, &node, false);
    }
    let plan = w.plan();
    let starts: Vec<&str> = ids(&plan)
        .into_iter()
        .filter(|id| id.starts_with("tarsregistry"))
        .collect();
    assert_eq!(
        starts,
        [
            format!("tarsregistry.start@{node}"),
            format!("tarsregistry.watch@{node}")
        ]
    );
    let stages = plan.steps.iter().map(|s| s.stage);
    assert!(stages.skip(1).all(|s| s == Stage::Expansion));
    applied(&w);
}

/// What a tarsnode starts runs as the user that it runs as itself.
#[test]
fn nothing_is_started_through_a_tarsnode_that_runs_as_a_stranger_and_stays() {
    let mut w = expansion::world(3);
    let (master, slave) = (w.node(0), w.node(1));
    lack(&mut w, Component::Tarsquerystat, &slave, 1);
    let agent = agent_of(&mut w, &slave).unwrap();
    let Observed::Present(processes) = &mut agent.processes else {
        panic!("no processes");
    };
    processes[0].user = "root".to_owned();
    // Its own step comes first and makes it so.
    let plan = w.plan();
    assert!(ids(&plan).contains(&format!("tarsnode.change@{slave}").as_str()));
    assert!(ids(&plan).contains(&format!("tarsquerystat.start@{slave}").as_str()));
    applied(&w);
    // Where it may not be restarted, nothing is started through it, and that is told.
    let key = format!("tars.tarsconfig.ConfigObj@{master}");
    let asked = framework(&mut w).servants.get_mut(&key).unwrap();
    asked.answer = Answer::Mute("it hangs".to_owned());
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let of_slave = ids(&plan)
        .iter()
        .filter(|id| id.ends_with(slave.as_str()))
        .count();
    assert_eq!(of_slave, 0, "{:?}", ids(&plan));
    let stranger = |b: &&Blocked| matches!(b, Blocked::StartedAs { user } if user == "root");
    assert!(blocked(&plan).iter().any(stranger));
}

/// The checker says no to a plan that somebody has changed.
#[test]
fn a_plan_that_was_tampered_with_is_refused() {
    type Tamper = fn(&mut Plan);
    fn each_row(plan: &mut Plan, change: impl Fn(&mut NewRow)) {
        for step in &mut plan.steps {
            let mut both = false;
            if let Action::AddServerRows(AddServerRows(new)) = &mut step.action {
                new.rows.iter_mut().for_each(&change);
                both = true;
            }
            if let (true, Undo::Inverse { action }) = (both, &mut step.undo)
                && let Action::RemoveServerRows(RemoveServerRows(new)) = &mut **action
            {
                new.rows.iter_mut().for_each(&change);
            }
        }
    }
    fn put(row: &mut NewRow, column: &str, text: &str) {
        for (name, cell) in &mut row.columns {
            if name == column {
                *cell = tarsops_plan::action::Cell::Text(text.to_owned());
            }
        }
    }
    let cases: [(&str, Tamper); 12] = [
        ("another node", |p| {
            each_row(p, |r| put(r, "node_name", "10.0.0.1"))
        }),
        ("another application", |p| {
            each_row(p, |r| put(r, "application", "App"))
        }),
        ("another server", |p| {
            each_row(p, |r| put(r, "server_name", "tarslog"))
        }),
        ("another address", |p| {
            each_row(p, |r| {
                put(r, "endpoint", "tcp -h 10.0.0.1 -t 60000 -p 18193")
            });
        }),
        ("active", |p| {
            each_row(p, |r| put(r, "setting_state", "active"))
        }),
        ("another program", |p| {
            each_row(p, |r| put(r, "exe_path", "/bin/sh"))
        }),
        ("a profile", |p| {
            each_row(p, |r| put(r, "profile", "<tars>"))
        }),
        ("rows that go", |p| {
            for step in &mut p.steps {
                if let Action::AddServerRows(AddServerRows(new)) = step.action.clone() {
                    step.action = RemoveServerRows(new).into();
                }
            }
        }),
        ("a stop", |p| {
            for step in &mut p.steps {
                if let Action::StartServer(StartServer { component, node }) = step.action.clone() {
                    step.action = Action::StopServer(StopServer { component, node });
                }
            }
        }),
        ("another component", |p| {
            for step in &mut p.steps {
                if let Action::StartServer(StartServer { component, .. }) = &mut step.action {
                    *component = Component::TarsAdminRegistry;
                }
            }
        }),
        ("a start before its files", |p| p.steps[1..].rotate_left(6)),
        ("a restart", |p| {
            for step in &mut p.steps {
                if let Action::ChangeHost(change) = &mut step.action {
                    change.operation = modify(change.files().to_vec(), true);
                }
            }
        }),
    ];
    let w = fresh_slave(3);
    checker::check(&w.plan(), &w.input()).unwrap();
    for (what, tamper) in cases {
        let mut plan = w.plan();
        tamper(&mut plan);
        assert!(checker::check(&plan, &w.input()).is_err(), "{what}");
    }
    // What the spec does not place there any more.
    let plan = w.plan();
    let mut less = w.clone();
    less.spec(1).role = Role::Node;
    for component in COMPONENTS {
        let id = ResourceId::Server(component, w.node(1));
        less.desired.resources.remove(&id);
    }
    assert!(checker::check(&plan, &less.input()).is_err());
}

/// What is there, runs and stands in the rows of one node's components.
fn state(w: &World, node: &str) -> Vec<String> {
    let mut out = Vec::new();
    for component in COMPONENTS {
        let seen = w.inventory.server(component, &name(node));
        let runs = seen.present().is_some_and(|s| s.runs());
        out.push(format!("{component} {} {runs}", seen.is_absent()));
    }
    let Some(framework) = &w.inventory.framework else {
        return out;
    };
    let Observed::Present(all) = framework.rows() else {
        return out;
    };
    if let (Some(servers), Some(adapters)) = (all.servers.present(), all.adapters.present()) {
        out.extend(servers.iter().map(|r| format!("{} {}", r.node, r.server)));
        out.extend(adapters.iter().map(|r| format!("{} {}", r.node, r.adapter)));
    }
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Law 5: every prefix of an expansion can be rolled back.
    #[test]
    fn every_prefix_of_an_expansion_can_be_taken_back(
        world in lacking(),
        cut in any::<prop::sample::Index>(),
    ) {
        let plan = world.plan();
        let steps: Vec<_> = plan.steps.iter().filter(|s| s.stage == Stage::Expansion).collect();
        prop_assume!(!steps.is_empty());
        // What comes before is not what is rolled back here.
        let mut base = world.clone();
        for step in plan.steps.iter().filter(|s| s.stage < Stage::Expansion) {
            effect::apply(&mut base.inventory, &step.action);
        }
        // One that ran before it had rows is stopped with the rows that it got.
        let by_hand = |s: &&&tarsops_plan::plan::Step| match &s.action {
            Action::StartServer(StartServer { component, node }) => {
                let seen = base.inventory.server(*component, node);
                seen.present().is_some_and(|s| s.runs())
            }
            _ => false,
        };
        prop_assume!(steps.iter().find(by_hand).is_none());
        let length = cut.index(steps.len()) + 1;
        let mut now = base.clone();
        let mut images = Images::default();
        let mut done = Vec::new();
        for step in &steps[..length] {
            let mut intent = None;
            if let Action::ChangeHost(change) = &step.action {
                images.keep(&now.inventory, &run_id(9), &StepName::of(&step.id), change);
                let host = now.inventory.host(&change.node).present().copied().unwrap().clone();
                let after = change.crontab().as_ref().map_or(CrontabLeft::Unchanged, |c| {
                    let text = host.crontab.present().map(|t| crontab::without_guard(t));
                    CrontabLeft::after(
                        crontab::apply(text.as_deref(), &c.edit)
                            .map(|t| tarsops_model::digest::Digest::of(t.as_bytes())),
                    )
                });
                intent = Some(intent_left(&world, step, change, after));
            }
            effect::apply(&mut now.inventory, &step.action);
            done.push((step, intent));
        }
        for (step, intent) in done.iter().rev() {
            let action = match (&step.undo, intent) {
                (Undo::Inverse { action }, _) => (**action).clone(),
                (Undo::Restore, Some(intent)) => {
                    let back = match restoring(intent, &now.inventory, KNOWN) {
                        Ok(back) => back,
                        Err(why) => return Err(TestCaseError::fail(format!("{why}: {intent:#?}"))),
                    };
                    // Whether another registry lives is not this law's affair.
                    let other = |c: &&Condition| !matches!(c, Condition::AnotherRegistry { .. });
                    for condition in back.pre.iter().filter(other) {
                        prop_assert_eq!(
                            condition.eval(&back.change.node, &now.inventory),
                            Truth::Holds,
                            "{}",
                            condition
                        );
                    }
                    Action::ChangeHost(Box::new(back.change))
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            effect::apply_with(&mut now.inventory, &action, &images);
        }
        let node = address(1);
        let told: Vec<&str> = done.iter().map(|(s, _)| s.summary.as_str()).collect();
        prop_assert_eq!(state(&now, &node), state(&base, &node), "{:?}", told);
    }
}
