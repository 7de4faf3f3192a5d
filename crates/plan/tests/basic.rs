//! The basic services: published by the way that the spec leaves, never where somebody has stopped
//! them, never made anew where they are elsewhere.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use support::core::{ask_for, facts, publishing, world};
use support::framework::{framework, list, rows};
use support::{World, damage};
use tarsops_model::component::Component;
use tarsops_model::desired::{Count, Resource, Rpc, SecretRef, Web};
use tarsops_model::framework::{Answer, ServerRow};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, AgentChange, Folder, NewServers, Table, Via};
use tarsops_plan::back::batches;
use tarsops_plan::condition::Truth;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::effect;
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::servers::BASIC;
use tarsops_plan::{checker, restore};

const MASTER: &str = "10.0.0.1";
const SLAVE: &str = "10.0.0.2";

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn cluster() -> World {
    publishing(world(4))
}

/// The spec names a management platform, which answers.
fn with_console(mut w: World) -> World {
    let web = Web {
        url: "http://10.0.0.1:3000".to_owned(),
        ticket: SecretRef::Env("TICKET".to_owned()),
    };
    w.desired
        .resources
        .insert(ResourceId::Web, Resource::Web(web));
    framework(&mut w).console = Observed::Present("it answers".to_owned());
    w
}

#[track_caller]
fn checked(w: &World) -> Plan {
    let plan = w.plan();
    assert_eq!(checker::check(&plan, &w.input()), Ok(()), "{plan:#?}");
    plan
}

/// Applies the plan; every step then holds, and the next plan is empty.
#[track_caller]
fn applied(w: &World) -> World {
    let plan = checked(w);
    let mut after = w.clone();
    for step in &plan.steps {
        effect::apply(&mut after.inventory, &step.action);
        let node = step.resource.node().unwrap_or(&w.desired.master);
        for condition in &step.post {
            assert_eq!(
                condition.eval(node, &after.inventory),
                Truth::Holds,
                "{}: {condition}",
                step.id
            );
        }
    }
    let second = checked(&after);
    assert!(second.is_empty() && second.drift.is_empty(), "{second:#?}");
    after
}

fn published(plan: &Plan) -> Vec<(&Step, &AgentChange)> {
    plan.steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::ChangeAgent(c) if c.publish.is_some() => Some((s, &**c)),
            _ => None,
        })
        .collect()
}

fn deployed(plan: &Plan) -> Vec<&NewServers> {
    plan.steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::AddServers(new) => Some(new),
            _ => None,
        })
        .collect()
}

fn blocked(plan: &Plan) -> Vec<(String, &Blocked)> {
    let line = |l: &'_ Line| -> bool { matches!(l, Line::Blocked { .. }) };
    plan.report
        .iter()
        .filter(|l| line(l))
        .filter_map(|l| match l {
            Line::Blocked { resource, why } => Some((resource.to_string(), why)),
            _ => None,
        })
        .collect()
}

fn waiting(plan: &Plan) -> Vec<String> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Waiting { resource, .. } => Some(resource.to_string()),
            _ => None,
        })
        .collect()
}

fn row<'a>(w: &'a mut World, component: Component, at: &str) -> &'a mut ServerRow {
    let all = list(&mut rows(w).servers);
    all.iter_mut()
        .find(|r| r.server == component.name() && r.node == at)
        .unwrap()
}

/// What a host has written down of a step.
fn intent_of(w: &World, step: &Step, change: AgentChange) -> restore::Intent {
    restore::Intent {
        format: restore::FORMAT.to_owned(),
        cluster: w.desired.cluster.clone(),
        run: tarsops_model::names::RunId::from_parts(1, 1),
        step: "x".to_owned(),
        holder: "me".to_owned(),
        spec_digest: w.desired.spec_digest,
        started_at: 0,
        sign: step.sign,
        change,
        crontab_after: None,
    }
}

/// Nothing of the service is left: neither files nor rows nor an answer.
fn take_away(w: &mut World, component: Component, at: &str) {
    let gone = node(at);
    w.inventory
        .insert_server(component, &gone, Observed::Absent);
    list(&mut rows(w).servers).retain(|r| r.server != component.name() || r.node != at);
    list(&mut rows(w).adapters).retain(|r| r.server != component.name() || r.node != at);
    if let Some(host) = damage::host_of(w, &gone) {
        for seen in [&mut host.components, &mut host.installed] {
            if let Observed::Present(all) = seen {
                all.remove(component.name());
            }
        }
        if let Observed::Present(ports) = &mut host.ports {
            for (_, port) in component.servants() {
                ports.remove(port);
            }
        }
    }
}

#[test]
fn a_cluster_in_sync_has_nothing_to_do() {
    for w in [cluster(), with_console(cluster())] {
        let plan = checked(&w);
        assert!(plan.is_empty() && plan.drift.is_empty(), "{plan:#?}");
        let other = |l: &&Line| !matches!(l, Line::NotYet { topic, .. } if topic == "database");
        assert!(!plan.report.iter().any(|l| other(&l)), "{:#?}", plan.report);
    }
}

#[test]
fn a_new_version_ends_with_the_basic_services_by_either_way() {
    for (mut w, via) in [
        (cluster(), Via::Tars),
        (with_console(cluster()), Via::Console),
    ] {
        ask_for(&mut w, "3.0.18");
        let plan = checked(&w);
        let all = published(&plan);
        assert_eq!(all.len(), 9, "{plan:#?}");
        assert!(all.iter().all(|(s, c)| s.stage == Stage::BasicServices
            && c.publish == Some(via)
            && s.summary.contains(via.words())));
        // They are the last stage, one host first.
        let first = plan
            .steps
            .iter()
            .position(|s| s.stage == Stage::BasicServices);
        assert_eq!(first, Some(plan.steps.len() - 9));
        let batch = all[0].0.batch;
        assert_eq!(all.iter().filter(|(s, _)| s.batch == batch).count(), 1);
        applied(&w);
    }
}

#[test]
fn of_two_endpoints_one_is_published_at_a_time() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    for component in [
        Component::Tarsnotify,
        Component::Tarsquerystat,
        Component::Tarsqueryproperty,
    ] {
        let own: Vec<u32> = published(&plan)
            .into_iter()
            .filter(|(_, c)| c.component == component)
            .map(|(s, _)| s.batch)
            .collect();
        assert!(own.len() == 2 && own[0] != own[1], "{component}: {own:?}");
    }
}

#[test]
fn what_somebody_has_stopped_waits() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let own = row(&mut w, Component::Tarsstat, MASTER);
    own.setting = Some("inactive".to_owned());
    own.present = Some("inactive".to_owned());
    own.library = Some("3.0.20".to_owned());
    facts(&mut w, Component::Tarsstat, &node(MASTER)).processes = Observed::Present(vec![]);
    let plan = checked(&w);
    assert_eq!(waiting(&plan), ["server/tarsstat@10.0.0.1"]);
    assert_eq!(published(&plan).len(), 8);
    assert!(
        !plan
            .drift
            .iter()
            .any(|d| d.resource.to_string() == "server/tarsstat@10.0.0.1"
                && !matches!(d.kind, DriftKind::Disagreeing { .. }))
    );
}

#[test]
fn what_the_rows_cannot_say_is_not_published() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    rows(&mut w).servers = Observed::Unknown("no privilege".to_owned());
    let plan = checked(&w);
    assert!(published(&plan).is_empty(), "{plan:#?}");
    let unknown = plan
        .drift
        .iter()
        .filter(|d| matches!(d.kind, DriftKind::Unknown { .. }))
        .filter(|d| {
            BASIC
                .iter()
                .any(|c| d.resource.to_string().contains(c.name()))
        })
        .count();
    assert_eq!(unknown, 9);
}

#[test]
fn a_silent_platform_holds_everything_up_unless_it_may_wait() {
    let mut w = with_console(cluster());
    ask_for(&mut w, "3.0.18");
    framework(&mut w).console = Observed::Unknown("refuses the connection".to_owned());
    let plan = checked(&w);
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    let why = blocked(&plan);
    assert_eq!(why.len(), 1, "{why:?}");
    assert!(why[0].0 == "web" && matches!(why[0].1, Blocked::ConsoleSilent { .. }));
    assert!(why[0].1.hint().contains("--without-console"));
    // Its own words may let the rest go on.
    w.scope.without_console = true;
    let plan = checked(&w);
    assert!(blocked(&plan).is_empty(), "{:?}", plan.report);
    assert_eq!(waiting(&plan).len(), 9);
    assert!(published(&plan).is_empty() && !plan.is_empty());
    assert!(plan.has_drift());
    // Where nothing needs it, nobody misses it.
    let mut quiet = with_console(cluster());
    framework(&mut quiet).console = Observed::Unknown("refuses the connection".to_owned());
    let plan = checked(&quiet);
    assert!(plan.is_empty() && plan.drift.is_empty() && blocked(&plan).is_empty());
}

#[test]
fn without_a_way_nothing_is_published() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    w.desired.rpc = Rpc::Off;
    let plan = checked(&w);
    assert!(published(&plan).is_empty());
    assert!(
        blocked(&plan)
            .iter()
            .any(|(_, why)| matches!(why, Blocked::NoWayToPublish { .. }))
    );
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    framework(&mut w).admin = Observed::Unknown("no answer".to_owned());
    let plan = checked(&w);
    assert!(published(&plan).is_empty(), "{:#?}", plan.steps);
}

#[test]
fn a_missing_one_is_deployed_and_published() {
    for component in [
        Component::Tarsstat,
        Component::Tarsproperty,
        Component::Tarslog,
    ] {
        for (mut w, via) in [
            (cluster(), Via::Tars),
            (with_console(cluster()), Via::Console),
        ] {
            take_away(&mut w, component, MASTER);
            let plan = checked(&w);
            let new = deployed(&plan);
            assert_eq!(new.len(), 1, "{plan:#?}");
            assert_eq!(new[0].via, via);
            let servers = new[0].rows.iter().filter(|r| r.table == Table::TServerConf);
            assert_eq!(servers.count(), 1);
            assert_eq!(new[0].rows.len(), 1 + component.servants().len());
            for row in &new[0].rows {
                if row.table == Table::TServerConf {
                    assert_eq!(row.text("setting_state"), Some("inactive"));
                    assert_eq!(
                        row.text("template_name"),
                        Some(format!("tars.{component}").as_str())
                    );
                } else {
                    assert_eq!(row.text("protocol"), Some("tars"));
                    assert_eq!(row.number("thread_num"), Some(5));
                    assert_eq!(row.number("max_connections"), Some(200_000));
                    assert_eq!(row.number("queuecap"), Some(100_000));
                    assert_eq!(row.number("queuetimeout"), Some(60_000));
                }
            }
            let all = published(&plan);
            assert_eq!(all.len(), 1);
            assert_eq!(
                (all[0].1.folder, all[0].1.publish),
                (Folder::Create, Some(via))
            );
            // Rows before the package; the database is dumped before both.
            assert_eq!(plan.steps[0].stage, Stage::Backup);
            applied(&w);
        }
    }
}

#[test]
fn the_only_tarslog_is_not_made_anew_where_it_was_moved_away() {
    let mut w = cluster();
    take_away(&mut w, Component::Tarslog, MASTER);
    list(&mut rows(&mut w).servers).push(ServerRow {
        application: "tars".to_owned(),
        server: "tarslog".to_owned(),
        node: SLAVE.to_owned(),
        setting: Some("active".to_owned()),
        present: Some("active".to_owned()),
        ..ServerRow::default()
    });
    let plan = checked(&w);
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    assert!(plan.report.iter().any(|l| matches!(
        l,
        Line::Note { text, .. } if text.contains("10.0.0.2") && text.contains("components")
    )));
}

#[test]
fn a_port_that_another_process_holds_blocks_a_deployment() {
    let mut w = cluster();
    take_away(&mut w, Component::Tarslog, MASTER);
    if let Some(host) = damage::host_of(&mut w, &node(MASTER))
        && let Observed::Present(ports) = &mut host.ports
    {
        ports.insert(18913);
    }
    let plan = checked(&w);
    assert!(plan.is_empty());
    assert!(
        blocked(&plan)
            .iter()
            .any(|(at, why)| at == "server/tarslog@10.0.0.1"
                && matches!(why, Blocked::PortTakenOf { port: 18913, .. }))
    );
}

#[test]
fn old_releases_have_other_servants() {
    let at = |text: &str| text.parse().unwrap();
    assert_eq!(
        Component::Tarsquerystat.servants_in(at("2.0.9")),
        [("tars.tarsquerystat.NoTarsObj", 18393)]
    );
    assert_eq!(
        Component::Tarsquerystat.protocol_in(at("2.0.9")),
        "not_tars"
    );
    assert_eq!(
        Component::Tarsqueryproperty.servants_in(at("2.1.0")),
        [("tars.tarsqueryproperty.QueryObj", 18693)]
    );
    assert_eq!(
        Component::Tarsqueryproperty.protocol_in(at("2.1.0")),
        "tars"
    );
    assert_eq!(Component::Tarslog.servants_in(at("3.0.0")).len(), 1);
    assert_eq!(Component::Tarslog.servants_in(at("3.0.1")).len(), 2);
}

#[test]
fn the_way_back_of_a_publication_is_the_hosts_own_and_names_the_old_package() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let (step, change) = published(&plan)[0];
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    let mut done = restore::without_content(change);
    done.names = Some(tarsops_plan::action::Renamed {
        from: "3.0.17".to_owned(),
        to: "12".to_owned(),
    });
    let intent = intent_of(&w, step, done);
    let back = restore::way_back(&intent, &after.inventory, true)
        .unwrap()
        .change;
    assert_eq!(back.publish, None);
    assert!(back.restart && back.health && back.lenient);
    assert_eq!(back.files[0].after, change.files[0].before);
    let names = back.names.unwrap();
    assert_eq!((names.from.as_str(), names.to.as_str()), ("12", "3.0.17"));
    // Where the file was never changed only the process is put right.
    let back = restore::way_back(&intent, &w.inventory, true)
        .unwrap()
        .change;
    assert_eq!(back.files[0].before, back.files[0].after);
    assert!(back.restart);
    // And what somebody else has put there since is left alone.
    if let Observed::Present(file) = &mut facts(&mut after, change.component, &change.node).binary {
        file.digest = tarsops_model::digest::Digest::of(b"another");
    }
    assert!(restore::way_back(&intent, &after.inventory, true).is_err());
}

#[test]
fn the_checker_refuses_other_ways_to_bring_a_program() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let at = plan
        .steps
        .iter()
        .position(|s| s.stage == Stage::BasicServices)
        .unwrap();
    let with = |change: &dyn Fn(&mut AgentChange)| {
        let mut other = plan.clone();
        if let Action::ChangeAgent(c) = &mut other.steps[at].action {
            change(c);
        }
        checker::check(&other, &w.input()).is_err()
    };
    assert!(with(&|c| c.publish = None));
    assert!(with(&|c| c.publish = Some(Via::Console)));
    assert!(with(&|c| c.restart = false));
    assert!(with(&|c| c.folder = Folder::Remove));
    assert!(with(&|c| c.component = Component::Tarsconfig));
    // A core service is never published: the registry's own package would end the task that does it.
    let core = plan
        .steps
        .iter()
        .position(|s| s.stage == Stage::CoreServices)
        .unwrap();
    let mut other = plan.clone();
    if let Action::ChangeAgent(c) = &mut other.steps[core].action {
        c.publish = Some(Via::Tars);
    }
    assert!(checker::check(&other, &w.input()).is_err());
}

#[test]
fn adapters_that_differ_are_drift_and_left_as_they_are() {
    let clean = checked(&cluster());
    assert!(clean.drift.is_empty());
    let mut w = cluster();
    let all = list(&mut rows(&mut w).adapters);
    let mut own = all
        .iter_mut()
        .filter(|r| r.server == "tarsstat" && r.node == MASTER);
    let stat = own.next().unwrap();
    stat.endpoint = Some("tcp -h 10.0.0.1 -t 60000 -p 28293".to_owned());
    stat.protocol = Some("not_tars".to_owned());
    let mut extra = stat.clone();
    extra.adapter = "tars.tarsstat.OldObjAdapter".to_owned();
    extra.servant = Some("tars.tarsstat.OldObj".to_owned());
    all.push(extra);
    all.retain(|r| r.servant.as_deref() != Some("tars.tarslog.TopologyObj"));
    let plan = checked(&w);
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    let told: Vec<(String, String)> = plan
        .drift
        .iter()
        .filter_map(|d| match &d.kind {
            DriftKind::Disagreeing {
                finding,
                explanation,
                ..
            } => {
                assert_eq!(finding.text(), "adapters-differ");
                Some((d.resource.to_string(), explanation.clone()))
            }
            _ => None,
        })
        .collect();
    let of = |name: &str| {
        told.iter()
            .find(|(at, _)| at.contains(name))
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(of("tarslog"), "tars.tarslog.TopologyObj has no adapter");
    let stat = of("tarsstat");
    for words in [
        "not at port 18293",
        "speaks `not_tars`",
        "OldObj, which tarsstat",
    ] {
        assert!(stat.contains(words), "{stat}");
    }
    // A release before 3.0.1 has no TopologyObj.
    ask_for(&mut w, "3.0.17");
    for resource in w.desired.resources.values_mut() {
        if let Resource::Server(server) = resource {
            server.version = "3.0.0".parse().unwrap();
        }
    }
    let plan = w.plan();
    let told = plan.drift.iter().filter(|d| {
        d.resource.to_string().contains("tarslog")
            && matches!(d.kind, DriftKind::Disagreeing { .. })
    });
    assert_eq!(told.count(), 0);
}

#[test]
fn a_program_that_its_row_has_elsewhere_is_not_published() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    row(&mut w, Component::Tarsstat, MASTER).exe_path =
        Some("/usr/local/app/tars/tarsstat/bin/tarsstat".to_owned());
    row(&mut w, Component::Tarslog, MASTER).exe_path = Some("/data/tarslog".to_owned());
    let plan = checked(&w);
    let all: Vec<Component> = published(&plan).iter().map(|(_, c)| c.component).collect();
    assert!(all.contains(&Component::Tarsstat) && !all.contains(&Component::Tarslog));
    assert!(
        blocked(&plan)
            .iter()
            .any(|(at, why)| at == "server/tarslog@10.0.0.1"
                && matches!(why, Blocked::OtherPath { path } if path == "/data/tarslog"))
    );
}

#[test]
fn the_form_is_left_alone_where_adapters_are_there_already() {
    let mut w = with_console(cluster());
    take_away(&mut w, Component::Tarsstat, MASTER);
    let all = list(&mut rows(&mut w).adapters);
    all.push(tarsops_model::framework::AdapterRow {
        application: "tars".to_owned(),
        server: "tarsstat".to_owned(),
        node: MASTER.to_owned(),
        adapter: "tars.tarsstat.StatObjAdapter".to_owned(),
        servant: Some("tars.tarsstat.StatObj".to_owned()),
        endpoint: Some("tcp -h 10.0.0.1 -t 60000 -p 18293".to_owned()),
        protocol: Some("tars".to_owned()),
    });
    let plan = checked(&w);
    let new = deployed(&plan);
    assert_eq!((new[0].via, new[0].rows.len()), (Via::Tars, 1));
    assert_eq!(published(&plan)[0].1.publish, Some(Via::Console));
    applied(&w);
}

#[test]
fn what_did_not_run_is_stopped_again_on_the_way_back() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    facts(&mut w, Component::Tarsstat, &node(MASTER)).processes = Observed::Present(vec![]);
    let plan = checked(&w);
    let (step, change) = published(&plan)
        .into_iter()
        .find(|(_, c)| c.component == Component::Tarsstat)
        .unwrap();
    assert!(!change.ran);
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    let intent = intent_of(&w, step, restore::without_content(change));
    let back = restore::way_back(&intent, &after.inventory, true).unwrap();
    assert!(back.change.restart && !back.change.health);
    assert!(
        !back
            .post
            .iter()
            .any(|c| matches!(c, tarsops_plan::condition::Condition::Component { .. }))
    );
}

#[test]
fn a_saved_plan_says_what_a_publication_must_end_in() {
    use tarsops_plan::condition::Condition;
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let at = plan
        .steps
        .iter()
        .position(|s| s.stage == Stage::BasicServices)
        .unwrap();
    let without = |taken: &dyn Fn(&Condition) -> bool| {
        let mut other = plan.clone();
        other.steps[at].post.retain(|c| !taken(c));
        other.steps[at].pre.retain(|c| !taken(c));
        checker::check_document(&other, &w.desired).is_err()
    };
    assert!(without(&|c| matches!(c, Condition::File { .. })));
    assert!(without(&|c| matches!(c, Condition::ServerRuns { .. })));
    assert!(without(&|c| matches!(c, Condition::ServerListens { .. })));
    assert!(!without(&|_| false));
}

#[test]
fn a_template_that_is_missing_is_told_before() {
    use tarsops_model::framework::TemplateRow;
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let all = list(&mut rows(&mut w).templates);
    all.push(TemplateRow::with_text(
        "tars.default",
        "tars.default",
        "<tars>\n</tars>\n",
    ));
    for component in BASIC.into_iter().filter(|c| *c != Component::Tarslog) {
        let name = format!("tars.{component}");
        all.push(TemplateRow::with_text(
            &name,
            "tars.default",
            "<tars>\n</tars>\n",
        ));
    }
    let plan = checked(&w);
    assert!(
        blocked(&plan)
            .iter()
            .any(|(at, why)| at == "server/tarslog@10.0.0.1"
                && matches!(why, Blocked::NoTemplate { name } if name == "tars.tarslog"))
    );
    assert!(
        published(&plan)
            .iter()
            .all(|(_, c)| c.component != Component::Tarslog)
    );
    assert_eq!(published(&plan).len(), 8);
}

/// The way back of everything that was published, slave first, in the batches in which it is made.
fn back(w: &World, after: &World) -> Vec<Vec<(Component, String)>> {
    let plan = checked(w);
    let mut all = published(&plan);
    all.sort_by_key(|(_, c)| c.node.as_str() == MASTER);
    let steps: Vec<Step> = all
        .into_iter()
        .map(|(step, change)| {
            let mut seen = after.clone();
            effect::apply(&mut seen.inventory, &step.action);
            let intent = intent_of(w, step, restore::without_content(change));
            let back = restore::way_back(&intent, &seen.inventory, true).unwrap();
            Step {
                action: Action::ChangeAgent(Box::new(back.change)),
                ..step.clone()
            }
        })
        .collect();
    let count = steps.len();
    let batches: Vec<Vec<(Component, String)>> = batches(&after.input(), steps)
        .into_iter()
        .map(|batch| batch.iter().map(place).collect())
        .collect();
    assert_eq!(batches.iter().flatten().count(), count);
    for batch in &batches {
        let hosts: BTreeSet<&String> = batch.iter().map(|(_, at)| at).collect();
        assert_eq!(hosts.len(), batch.len(), "a host twice: {batch:?}");
    }
    batches
}

fn place(step: &Step) -> (Component, String) {
    match &step.action {
        Action::ChangeAgent(c) => (c.component, c.node.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Whether some batch has more than one node of the service.
fn together(batches: &[Vec<(Component, String)>], component: Component) -> bool {
    let own = |batch: &Vec<_>| batch.iter().filter(|(c, _)| *c == component).count();
    batches.iter().any(|batch| own(batch) > 1)
}

#[test]
fn services_of_different_hosts_go_back_together_and_never_all_of_one() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    // Six on the master and three on the slave: no host waits for the other one.
    let all = back(&w, &w);
    let sizes: Vec<usize> = all.iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 2, 2, 1, 1, 1], "{all:?}");
    assert!(BASIC.iter().all(|c| !together(&all, *c)), "{all:?}");

    // As the spec places them, where the rows cannot be read.
    let mut blind = w.clone();
    rows(&mut blind).servers = Observed::Unknown("no privilege".to_owned());
    let all = back(&w, &blind);
    assert!(BASIC.iter().all(|c| !together(&all, *c)), "{all:?}");

    // One at a time where the spec says so.
    w.desired.policy.max_parallel = Count::Number(1);
    assert_eq!(back(&w, &w).len(), 9);
}

#[test]
fn what_lives_of_a_service_waits_for_what_is_down() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let mut after = w.clone();
    let service = Component::Tarsnotify;
    let key = format!("{}@{SLAVE}", service.servants()[0].0);
    let asked = framework(&mut after).servants.get_mut(&key).unwrap();
    asked.answer = Answer::Refused;
    let all = back(&w, &after);
    assert!(!together(&all, service), "{all:?}");
    let at = |node: &str| {
        let own = (service, node.to_owned());
        all.iter().position(|batch| batch.contains(&own)).unwrap()
    };
    assert!(at(SLAVE) < at(MASTER), "{all:?}");
}

#[test]
fn of_three_endpoints_two_go_back_together() {
    let mut w = cluster();
    let (service, third) = (Component::Tarsnotify, "10.0.0.3");
    support::core::place(&mut w, service, &node(third), third.parse().unwrap());
    ask_for(&mut w, "3.0.18");
    let all = back(&w, &w);
    let own: Vec<usize> = all
        .iter()
        .map(|batch| batch.iter().filter(|(c, _)| *c == service).count())
        .filter(|count| *count > 0)
        .collect();
    assert_eq!(own.iter().sum::<usize>(), 3);
    assert_eq!(own.iter().max(), Some(&2), "{all:?}");
}
