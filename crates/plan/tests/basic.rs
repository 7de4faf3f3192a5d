//! The basic services: published by the way that the spec leaves, never where somebody has stopped
//! them, never made again where they are elsewhere.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use support::core::{ask_for, facts, publishing, world};
use support::framework::{framework, list, rows};
use support::{World, damage, edits_of, host_in, host_of, modify, restoring};
use tarsops_model::component::Component;
use tarsops_model::desired::{Count, Resource, RowSettings, Rpc, SecretRef, SettingValue, Web};
use tarsops_model::framework::{AdapterRow, Answer, ServerRow, TemplateRow};
use tarsops_model::names::{NodeName, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::tables::SETTINGS;
use tarsops_plan::action::{
    Action, AddServerRows, Cell, Folder, HostChange, NewServers, Operation, Publish, Remove,
    StartServer, Table, Via,
};
use tarsops_plan::batch::of_rollback;
use tarsops_plan::claims::{Field, Place, fits};
use tarsops_plan::components::BASIC;
use tarsops_plan::condition::Truth;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::effect;
use tarsops_plan::intent::{Intent, without_content};
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::{checker, render, restore};

/// Registries can be asked, and what is rolled back went well.
const KNOWN: restore::Known = restore::Known {
    asks: true,
    failed: false,
    other_crontab: false,
};
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
        console: None,
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

fn publication(change: &mut HostChange) -> &mut Publish {
    match &mut change.operation {
        Operation::Publish(publish) => publish,
        other => panic!("{other:?}"),
    }
}

fn published(plan: &Plan) -> Vec<(&Step, &HostChange)> {
    plan.steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::ChangeHost(c) if c.publish().is_some() => Some((s, &**c)),
            _ => None,
        })
        .collect()
}

fn deployed(plan: &Plan) -> Vec<&NewServers> {
    plan.steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::AddServerRows(AddServerRows(new)) => Some(new),
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
    let all = held(plan).into_iter();
    all.map(|(resource, _)| resource).collect()
}

/// What waits, and for what.
fn held(plan: &Plan) -> Vec<(String, String)> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Waiting { resource, why } => Some((resource.to_string(), why.clone())),
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
fn intent_of(w: &World, step: &Step, change: HostChange) -> Intent {
    Intent {
        run: tarsops_model::names::RunId::from_parts(1, 1),
        step: StepName::of("x"),
        ..support::intent_of(w, step, &change)
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
            && c.publish().map(|p| p.via) == Some(via)
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
    // What is held up is shown: what the platform would publish, and what would go with it.
    let held_up = held(&plan);
    let shown = "3.0.18 is published once the management platform can be used";
    let services = held_up.iter().filter(|(_, why)| why == shown).count();
    assert_eq!(services, 9, "{held_up:?}");
    w.scope.without_console = true;
    for step in checked(&w)
        .steps
        .iter()
        .filter(|s| !matches!(s.action, Action::Backup(_)))
    {
        let told = format!("{}: once the management platform can be used", step.summary);
        let own = (step.resource.to_string(), told);
        assert!(held_up.contains(&own), "{own:?} {held_up:?}");
    }
    let text = render::text(&plan, render::Style::default());
    assert!(text.contains(shown), "{text}");
    // One that is missing is shown as well.
    let mut missing = with_console(cluster());
    take_away(&mut missing, Component::Tarsstat, MASTER);
    framework(&mut missing).console = Observed::Unknown("refuses the connection".to_owned());
    let held_up = held(&checked(&missing));
    assert_eq!(held_up.len(), 1, "{held_up:?}");
    assert!(held_up[0].0.contains("tarsstat") && held_up[0].1.starts_with("3.0.17 is published"));
    // Its own words may let the rest continue.
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
            .any(|(_, why)| matches!(why, Blocked::NoPublishPath { .. }))
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
                (all[0].1.folder(), all[0].1.publish().map(|p| p.via)),
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
    let mut done = without_content(change);
    publication(&mut done).patch_version = Some(tarsops_plan::action::Renamed {
        from: "3.0.17".to_owned(),
        to: "12".to_owned(),
    });
    let intent = intent_of(&w, step, done);
    let back = restoring(&intent, &after.inventory, KNOWN).unwrap().change;
    assert_eq!(back.publish(), None);
    assert!(back.restarts() && back.ends_healthy() && back.undoes().is_some());
    assert_eq!(back.files()[0].after, change.files()[0].before);
    let names = back.patch_version().unwrap();
    assert_eq!((names.from.as_str(), names.to.as_str()), ("12", "3.0.17"));
    // Where the file was never changed only the process is put right.
    let back = restoring(&intent, &w.inventory, KNOWN).unwrap().change;
    assert_eq!(back.files()[0].before, back.files()[0].after);
    assert!(back.restarts());
    // And what somebody else has put there since is left alone.
    if let Observed::Present(file) = &mut facts(&mut after, change.component, &change.node).binary {
        file.digest = tarsops_model::digest::Digest::of(b"another");
    }
    assert!(restoring(&intent, &after.inventory, KNOWN).is_err());
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
    let with = |change: &dyn Fn(&mut HostChange)| {
        let mut other = plan.clone();
        if let Action::ChangeHost(c) = &mut other.steps[at].action {
            change(c);
        }
        checker::check(&other, &w.input()).is_err()
    };
    assert!(with(&|c| c.operation = modify(c.files().to_vec(), true)));
    assert!(with(&|c| publication(c).via = Via::Console));
    assert!(with(&|c| c.operation = modify(vec![], false)));
    assert!(with(&|c| c.operation = Operation::Remove(Remove {
        crontab: None,
        stop_servers: false,
    })));
    assert!(with(&|c| c.component = Component::Tarsconfig));
    // A core service is never published: the registry's own package would end the task that does it.
    let core = plan
        .steps
        .iter()
        .position(|s| s.stage == Stage::CoreServices)
        .unwrap();
    let mut other = plan.clone();
    if let Action::ChangeHost(c) = &mut other.steps[core].action {
        c.operation = Operation::Publish(Publish {
            via: Via::Tars,
            program: c.files()[0].clone(),
            first: false,
            rows: vec![],
            patch_version: None,
        });
    }
    assert!(checker::check(&other, &w.input()).is_err());
}

fn adapter<'a>(w: &'a mut World, servant: &str, at: &str) -> &'a mut AdapterRow {
    let all = list(&mut rows(w).adapters);
    all.iter_mut()
        .find(|r| r.servant.as_deref() == Some(servant) && r.node == at)
        .unwrap()
}

fn settings<'a>(w: &'a mut World, component: Component, at: &str) -> &'a mut RowSettings {
    let id = ResourceId::Server(component, node(at));
    match w.desired.resources.get_mut(&id) {
        Some(Resource::Server(server)) => &mut server.rows,
        _ => panic!("{component} is not on {at}"),
    }
}

/// The changes that have rows in them.
fn edited(plan: &Plan) -> Vec<&HostChange> {
    let changes = plan.steps.iter().filter_map(|s| match &s.action {
        Action::ChangeHost(c) => Some(&**c),
        _ => None,
    });
    changes.filter(|c| !c.rows().is_empty()).collect()
}

fn fields(plan: &Plan, component: Component) -> Vec<String> {
    let mut out = Vec::new();
    for d in &plan.drift {
        if let (ResourceId::Server(c, _), DriftKind::Changed { fields }) = (&d.resource, &d.kind)
            && *c == component
        {
            out.extend(
                fields
                    .iter()
                    .map(|f| format!("{}: {} → {}", f.field, f.old, f.new)),
            );
        }
    }
    out
}

fn disagreeing(plan: &Plan) -> Vec<(String, &'static str, String)> {
    plan.drift
        .iter()
        .filter_map(|d| match &d.kind {
            DriftKind::Disagreeing {
                finding,
                explanation,
                ..
            } => Some((d.resource.to_string(), finding.text(), explanation.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn adapters_that_differ_are_put_right_and_their_server_is_started_anew() {
    let clean = checked(&cluster());
    assert!(clean.drift.is_empty());
    let mut w = cluster();
    let stat = adapter(&mut w, "tars.tarsstat.StatObj", MASTER);
    stat.endpoint = Some("tcp -h 10.0.0.9 -t 3000 -p 28293 -e 0".to_owned());
    stat.protocol = Some("not_tars".to_owned());
    list(&mut rows(&mut w).adapters)
        .retain(|r| r.servant.as_deref() != Some("tars.tarslog.TopologyObj"));
    let plan = checked(&w);
    assert_eq!(disagreeing(&plan), vec![]);
    assert_eq!(
        fields(&plan, Component::Tarsstat),
        [
            "StatObj protocol: not_tars → tars",
            "StatObj port: 28293 → 18293",
            "StatObj address: 10.0.0.9 → 10.0.0.1"
        ]
    );
    assert_eq!(
        fields(&plan, Component::Tarslog),
        ["TopologyObj adapter: none → port 18913"]
    );
    // Rows change only with a dump before them.
    assert!(matches!(plan.steps[0].action, Action::Backup(_)));
    let all = edited(&plan);
    assert_eq!(all.len(), 2, "{all:#?}");
    for change in &all {
        assert!(change.restarts() && change.publish().is_none() && change.files().is_empty());
        assert_eq!(change.settle, Some(w.desired.policy.registry_settle));
    }
    let stat = all.iter().find(|c| c.component == Component::Tarsstat);
    let after = stat.unwrap().rows()[0].after.clone().unwrap();
    let endpoint = Cell::Text("tcp -h 10.0.0.1 -t 3000 -p 18293 -e 0".to_owned());
    assert!(
        after.contains(&("endpoint".to_owned(), endpoint)),
        "{after:?}"
    );
    applied(&w);
}

#[test]
fn a_publication_takes_the_rows_along_and_back() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).endpoint =
        Some("tcp -h 10.0.0.1 -t 60000 -p 28293".to_owned());
    let plan = checked(&w);
    let (step, change) = published(&plan)
        .into_iter()
        .find(|(_, c)| c.component == Component::Tarsstat)
        .unwrap();
    assert_eq!(change.rows().len(), 1);
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    let intent = intent_of(&w, step, without_content(change));
    let back = restoring(&intent, &after.inventory, KNOWN).unwrap();
    assert_eq!(back.change.rows()[0].after, change.rows()[0].before);
    effect::apply(
        &mut after.inventory,
        &Action::ChangeHost(Box::new(back.change)),
    );
    let found = adapter(&mut after, "tars.tarsstat.StatObj", MASTER);
    assert_eq!(
        found.endpoint.as_deref(),
        Some("tcp -h 10.0.0.1 -t 60000 -p 28293")
    );
    applied(&w);
}

#[test]
fn a_row_that_a_run_has_written_goes_again_on_the_way_back() {
    let mut w = cluster();
    list(&mut rows(&mut w).adapters)
        .retain(|r| r.servant.as_deref() != Some("tars.tarslog.TopologyObj"));
    let plan = checked(&w);
    let step = plan
        .steps
        .iter()
        .find(|s| matches!(&s.action, Action::ChangeHost(c) if !c.rows().is_empty()));
    let step = step.unwrap();
    let Action::ChangeHost(change) = &step.action else {
        unreachable!()
    };
    let intent = intent_of(&w, step, without_content(change));
    assert!(!intent.stays());
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    let back = restoring(&intent, &after.inventory, KNOWN).unwrap();
    assert!(back.change.restarts() && back.change.ends_healthy());
    effect::apply(
        &mut after.inventory,
        &Action::ChangeHost(Box::new(back.change)),
    );
    let left = list(&mut rows(&mut after).adapters).iter();
    assert_eq!(
        left.filter(|r| r.servant.as_deref() == Some("tars.tarslog.TopologyObj"))
            .count(),
        0
    );
}

#[test]
fn what_the_spec_says_of_rows_is_kept_so_and_all_else_is_left() {
    let mut w = cluster();
    let stat = adapter(&mut w, "tars.tarsstat.StatObj", MASTER);
    (stat.threads, stat.connections) = (Some(32), Some(1000));
    (stat.queue, stat.queue_timeout) = (Some(1), Some(1));
    row(&mut w, Component::Tarsstat, MASTER).template = Some("tars.default".to_owned());
    assert!(checked(&w).drift.is_empty());
    list(&mut rows(&mut w).templates).push(TemplateRow::with_text(
        "tars.mine",
        "tars.mine",
        "<a>\n</a>\n",
    ));
    *settings(&mut w, Component::Tarsstat, MASTER) = [
        ("template_name", SettingValue::Text("tars.mine".to_owned())),
        ("thread_num", SettingValue::Number(8)),
        ("max_connections", SettingValue::Number(1000)),
        ("queuetimeout", SettingValue::Number(30_000)),
    ]
    .into_iter()
    .collect();
    let plan = checked(&w);
    assert_eq!(
        fields(&plan, Component::Tarsstat),
        [
            "template: tars.default → tars.mine",
            "StatObj threads: 32 → 8",
            "StatObj queue timeout: 1 → 30000"
        ]
    );
    applied(&w);
    let nosuch = SettingValue::Text("tars.nosuch".to_owned());
    settings(&mut w, Component::Tarsstat, MASTER).set("template_name", nosuch);
    let plan = checked(&w);
    assert!(edited(&plan).is_empty());
    assert!(
        blocked(&plan)
            .iter()
            .any(|(_, why)| matches!(why, Blocked::NoTemplate { name } if name == "tars.nosuch"))
    );
}

/// A setting is its column in the struct of its table and its line in the list: planner, checker, effect,
/// records and the rows of a new service have it from there.
#[test]
fn every_setting_of_the_list_is_planned_checked_and_undone() {
    for setting in SETTINGS {
        let value = match setting.column {
            "template_name" => SettingValue::Text("tars.mine".to_owned()),
            _ => SettingValue::Number(7),
        };
        let mut w = cluster();
        for name in ["tars.tarsstat", "tars.mine"] {
            let template = TemplateRow::with_text(name, name, "<a>\n</a>\n");
            list(&mut rows(&mut w).templates).push(template);
        }
        settings(&mut w, Component::Tarsstat, MASTER).set(setting.column, value.clone());
        let plan = checked(&w);
        let step = plan
            .steps
            .iter()
            .find(|s| !s.action.kind().writes().rows.is_empty());
        let step = step.unwrap_or_else(|| panic!("{setting:?}: {plan:#?}"));
        let told = &fields(&plan, Component::Tarsstat)[0];
        assert!(told.contains(setting.label), "{told}");
        assert!(told.ends_with(&format!("→ {value}")), "{told}");
        let change = step.action.get::<HostChange>().unwrap();
        let intent = record_with_rows(&w);
        assert_eq!(mismatch(&intent, &w), None, "{setting:?}");
        let mut after = w.clone();
        effect::apply(&mut after.inventory, &step.action);
        let back = restoring(&intent, &after.inventory, KNOWN).unwrap();
        assert_eq!(back.change.rows()[0].after, change.rows()[0].before);
        applied(&w);
        take_away(&mut w, Component::Tarsstat, MASTER);
        let new = checked(&w);
        let mut columns = deployed(&new)[0].rows.iter().flat_map(|r| &r.columns);
        assert!(columns.any(|(name, cell)| name == setting.column && *cell == Cell::from(&value)));
    }
}

#[test]
fn a_service_that_comes_has_what_the_spec_says_of_its_rows() {
    let mut w = cluster();
    take_away(&mut w, Component::Tarsstat, MASTER);
    let own = settings(&mut w, Component::Tarsstat, MASTER);
    own.set("thread_num", SettingValue::Number(9));
    own.set("template_name", SettingValue::Text("tars.mine".to_owned()));
    let plan = checked(&w);
    let rows = &deployed(&plan)[0].rows;
    assert_eq!(rows[0].text("template_name"), Some("tars.mine"));
    assert_eq!(rows[1].number("thread_num"), Some(9));
    applied(&w);
}

#[test]
fn the_query_services_of_before_2_1_0_get_their_new_servant_in_the_same_row() {
    let mut w = cluster();
    for at in [MASTER, SLAVE] {
        let own = adapter(&mut w, "tars.tarsquerystat.QueryObj", at);
        own.servant = Some("tars.tarsquerystat.NoTarsObj".to_owned());
        own.adapter = "tars.tarsquerystat.NoTarsObjAdapter".to_owned();
        own.protocol = Some("not_tars".to_owned());
    }
    let before = list(&mut rows(&mut w).adapters).len();
    let plan = checked(&w);
    assert_eq!(edited(&plan).len(), 2);
    assert_eq!(
        fields(&plan, Component::Tarsquerystat)[..2],
        [
            "QueryObj servant: NoTarsObj → QueryObj",
            "QueryObj protocol: not_tars → tars"
        ]
    );
    let mut after = applied(&w);
    assert_eq!(list(&mut rows(&mut after).adapters).len(), before);
}

#[test]
fn an_extra_adapter_is_reported_and_left() {
    let mut w = cluster();
    let mut extra = adapter(&mut w, "tars.tarsstat.StatObj", MASTER).clone();
    extra.adapter = "tars.tarsstat.OldObjAdapter".to_owned();
    extra.servant = Some("tars.tarsstat.OldObj".to_owned());
    list(&mut rows(&mut w).adapters).push(extra);
    let plan = checked(&w);
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    let told = disagreeing(&plan);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].1, "adapters-extra");
    assert!(told[0].2.contains("OldObj, which tarsstat"), "{told:?}");
    // A release before 3.0.1 has no TopologyObj.
    let mut w = cluster();
    ask_for(&mut w, "3.0.17");
    for resource in w.desired.resources.values_mut() {
        if let Resource::Server(server) = resource {
            server.version = "3.0.0".parse().unwrap();
        }
    }
    let told = disagreeing(&w.plan());
    assert!(
        told.iter()
            .any(|(at, name, _)| at.contains("tarslog") && *name == "adapters-extra"),
        "{told:#?}"
    );
}

#[test]
fn rows_of_a_server_that_somebody_has_stopped_wait() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).protocol = Some("not_tars".to_owned());
    row(&mut w, Component::Tarsstat, MASTER).setting = Some("inactive".to_owned());
    row(&mut w, Component::Tarsstat, MASTER).library = Some("3.0.20".to_owned());
    let plan = checked(&w);
    assert!(edited(&plan).is_empty());
    assert_eq!(waiting(&plan), ["server/tarsstat@10.0.0.1"]);
    let differs = |(_, name, _): &(String, &str, String)| *name == "adapters-differ";
    assert!(!disagreeing(&plan).iter().any(differs));
}

#[test]
fn a_port_that_somebody_else_holds_is_not_moved_to() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).endpoint =
        Some("tcp -h 10.0.0.1 -t 60000 -p 28293".to_owned());
    let key = format!("tars.tarsstat.StatObj@{MASTER}");
    framework(&mut w).servants.get_mut(&key).unwrap().answer = Answer::NoServant;
    let plan = checked(&w);
    assert!(edited(&plan).is_empty());
    assert!(blocked(&plan).iter().any(|(_, why)| matches!(
        why,
        Blocked::PortTakenOf {
            component: Component::Tarsstat,
            port: 18293
        }
    )));
}

#[test]
fn rows_wait_for_whoever_has_the_node_read_them() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).protocol = Some("not_tars".to_owned());
    let mut silent = w.clone();
    framework(&mut silent).admin = Observed::Unknown("it does not answer".to_owned());
    assert!(edited(&checked(&silent)).is_empty());
    w.desired.rpc = Rpc::Off;
    let plan = w.plan();
    assert!(edited(&plan).is_empty());
    assert!(
        blocked(&plan)
            .iter()
            .any(|(_, why)| matches!(why, Blocked::NoStartPath { .. }))
    );
}

#[test]
fn a_restart_that_a_run_has_left_out_is_made_up_for() {
    let mut w = cluster();
    damage::host_of(&mut w, &node(MASTER))
        .unwrap()
        .restarts
        .insert(Component::Tarsstat);
    let plan = checked(&w);
    assert_eq!(
        fields(&plan, Component::Tarsstat),
        ["process: restart pending, its rows were changed → restarted"]
    );
    applied(&w);
}

#[test]
fn of_two_adapters_the_right_one_stays_and_the_other_is_told() {
    let mut w = cluster();
    let right = adapter(&mut w, "tars.tarsquerystat.QueryObj", MASTER).clone();
    let old = AdapterRow {
        adapter: "tars.tarsquerystat.NoTarsObjAdapter".to_owned(),
        servant: Some("tars.tarsquerystat.NoTarsObj".to_owned()),
        protocol: Some("not_tars".to_owned()),
        ..right.clone()
    };
    let second = AdapterRow {
        adapter: "tars.tarsquerystat.SecondAdapter".to_owned(),
        endpoint: Some("tcp -h 10.0.0.1 -t 60000 -p 5".to_owned()),
        ..right
    };
    // Whichever the database lists first.
    list(&mut rows(&mut w).adapters).splice(0..0, [old, second]);
    let plan = checked(&w);
    assert!(plan.is_empty(), "{:#?}", plan.steps);
    let told = disagreeing(&plan);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].2.contains("NoTarsObj, which") && told[0].2.contains("a second one for"),
        "{told:?}"
    );
}

#[test]
fn an_adapter_that_bears_the_name_of_another_servant_is_its() {
    let mut w = cluster();
    let stat = adapter(&mut w, "tars.tarsstat.StatObj", MASTER);
    stat.servant = Some("tars.tarsstat.Other".to_owned());
    stat.endpoint = Some("ssl -h 10.0.0.1 -t 60000 -p 5".to_owned());
    let plan = checked(&w);
    let after = edited(&plan)[0].rows()[0].after.clone().unwrap();
    let endpoint = Cell::Text("ssl -h 10.0.0.1 -t 60000 -p 18293".to_owned());
    assert!(after.contains(&("endpoint".to_owned(), endpoint)));
    applied(&w);
}

#[test]
fn a_running_service_on_a_further_host_gets_its_adapter_with_a_restart() {
    let mut w = cluster();
    list(&mut rows(&mut w).adapters).retain(|r| r.server != "tarsnotify" || r.node != SLAVE);
    let plan = checked(&w);
    let all = edited(&plan);
    assert_eq!((all.len(), all[0].component), (1, Component::Tarsnotify));
    assert!(all[0].rereads() && deployed(&plan).is_empty());
    applied(&w);
}

#[test]
fn what_is_set_active_and_does_not_run_is_started() {
    let mut w = cluster();
    facts(&mut w, Component::Tarsstat, &node(MASTER)).processes = Observed::Present(vec![]);
    if let Some(host) = damage::host_of(&mut w, &node(MASTER))
        && let Observed::Present(ports) = &mut host.ports
    {
        ports.remove(&18293);
    }
    let plan = checked(&w);
    assert_eq!(
        fields(&plan, Component::Tarsstat),
        ["process: not running → running"]
    );
    assert!(matches!(
        plan.steps[0].action,
        Action::StartServer(StartServer {
            component: Component::Tarsstat,
            ..
        })
    ));
    applied(&w);
    // Whoever stopped it knows why.
    let mut stopped = w.clone();
    row(&mut stopped, Component::Tarsstat, MASTER).setting = Some("inactive".to_owned());
    assert!(checked(&stopped).is_empty());
    // What cannot be seen is not down.
    let mut unseen = w.clone();
    facts(&mut unseen, Component::Tarsstat, &node(MASTER)).processes =
        Observed::Unknown("no root".to_owned());
    assert!(unseen.plan().is_empty());
    // And nothing is started onto a port that somebody holds.
    if let Some(host) = damage::host_of(&mut w, &node(MASTER))
        && let Observed::Present(ports) = &mut host.ports
    {
        ports.insert(18293);
    }
    let plan = checked(&w);
    assert!(plan.is_empty());
    assert!(matches!(blocked(&plan)[0].1, Blocked::PortTakenOf { .. }));
}

#[test]
fn half_a_program_goes_back_where_the_publication_failed() {
    let mut w = cluster();
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let (step, change) = published(&plan)
        .into_iter()
        .find(|(_, c)| c.component == Component::Tarsstat)
        .unwrap();
    let intent = intent_of(&w, step, without_content(change));
    let mut torn = w.clone();
    let half = tarsops_model::digest::Digest::of(b"half");
    let own = facts(&mut torn, Component::Tarsstat, &node(MASTER));
    if let Observed::Present(file) = &mut own.binary {
        file.digest = half;
    }
    own.processes = Observed::Present(vec![]);
    assert!(restoring(&intent, &torn.inventory, KNOWN).is_err());
    let failed = restore::Known {
        failed: true,
        ..KNOWN
    };
    let back = restoring(&intent, &torn.inventory, failed).unwrap();
    let file = &back.change.files()[0];
    assert_eq!(
        (file.before, file.after),
        (Some(half), change.files()[0].before)
    );
    assert!(back.change.restarts() && back.change.ends_healthy());
}

#[test]
fn rows_that_somebody_has_changed_since_are_not_taken_back() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).protocol = Some("not_tars".to_owned());
    let plan = checked(&w);
    let step = plan
        .steps
        .iter()
        .find(|s| matches!(&s.action, Action::ChangeHost(c) if !c.rows().is_empty()));
    let step = step.unwrap();
    let Action::ChangeHost(change) = &step.action else {
        unreachable!()
    };
    let intent = intent_of(&w, step, without_content(change));
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    assert!(restoring(&intent, &after.inventory, KNOWN).is_ok());
    adapter(&mut after, "tars.tarsstat.StatObj", MASTER).protocol = Some("http".to_owned());
    assert!(matches!(
        restoring(&intent, &after.inventory, KNOWN),
        Err(restore::CannotRollBack::Moved(_))
    ));
}

#[test]
fn an_edit_of_other_rows_is_no_plan() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).protocol = Some("not_tars".to_owned());
    let plan = checked(&w);
    let at = plan
        .steps
        .iter()
        .position(|s| matches!(&s.action, Action::ChangeHost(c) if !c.rows().is_empty()));
    let at = at.unwrap();
    type Spoil = Box<dyn Fn(&mut HostChange)>;
    let mut worse: Vec<Spoil> = vec![
        Box::new(|c| edits_of(c)[0].key[1].1 = "tarslog".to_owned()),
        Box::new(|c| edits_of(c)[0].key[2].1 = SLAVE.to_owned()),
        Box::new(|c| {
            edits_of(c)[0].key.pop();
        }),
        Box::new(|c| edits_of(c)[0].after = None),
        Box::new(|c| edits_of(c)[0].after = edits_of(c)[0].before.clone()),
        Box::new(|c| c.operation = modify(vec![], false)),
    ];
    for (column, value) in [
        ("protocol", "not_tars"),
        ("servant", "tars.tarslog.LogObj"),
        ("endpoint", "tcp -h 10.0.0.1 -t 60000 -p 1"),
        ("endpoint", "tcp -h 10.0.0.7 -t 60000 -p 18293"),
        ("node_name", "10.0.0.1"),
    ] {
        worse.push(Box::new(move |c| {
            edits_of(c)[0].after = Some(vec![(column.to_owned(), Cell::Text(value.to_owned()))]);
        }));
    }
    for (number, spoil) in worse.iter().enumerate() {
        let mut other = plan.clone();
        if let Action::ChangeHost(c) = &mut other.steps[at].action {
            spoil(c);
        }
        assert!(checker::check(&other, &w.input()).is_err(), "{number}");
    }
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
    all.push(AdapterRow {
        application: "tars".to_owned(),
        server: "tarsstat".to_owned(),
        node: MASTER.to_owned(),
        adapter: "tars.tarsstat.StatObjAdapter".to_owned(),
        servant: Some("tars.tarsstat.StatObj".to_owned()),
        endpoint: Some("tcp -h 10.0.0.1 -t 60000 -p 18293".to_owned()),
        protocol: Some("tars".to_owned()),
        ..AdapterRow::default()
    });
    let plan = checked(&w);
    let new = deployed(&plan);
    assert_eq!((new[0].via, new[0].rows.len()), (Via::Tars, 1));
    let via = published(&plan)[0].1.publish().map(|p| p.via);
    assert_eq!(via, Some(Via::Console));
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
    let intent = intent_of(&w, step, without_content(change));
    let back = restoring(&intent, &after.inventory, KNOWN).unwrap();
    assert!(back.change.restarts() && !back.change.ends_healthy());
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

/// The rollback of everything that was published, slave first, in the batches in which it is made.
fn back(w: &World, after: &World) -> Vec<Vec<(Component, String)>> {
    let plan = checked(w);
    let mut all = published(&plan);
    all.sort_by_key(|(_, c)| c.node.as_str() == MASTER);
    let steps: Vec<Step> = all
        .into_iter()
        .map(|(step, change)| {
            let mut seen = after.clone();
            effect::apply(&mut seen.inventory, &step.action);
            let intent = intent_of(w, step, without_content(change));
            let back = restoring(&intent, &seen.inventory, KNOWN).unwrap();
            Step {
                action: Action::ChangeHost(Box::new(back.change)),
                ..step.clone()
            }
        })
        .collect();
    let count = steps.len();
    let batches: Vec<Vec<(Component, String)>> = of_rollback(&after.input(), steps)
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
        Action::ChangeHost(c) => (c.component, c.node.to_string()),
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

/// What a host has written down of a step with rows, as it is there.
fn record_with_rows(w: &World) -> Intent {
    let plan = checked(w);
    let all = plan.steps.iter().find_map(|step| match &step.action {
        Action::ChangeHost(c) if !c.rows().is_empty() => Some((step, c)),
        _ => None,
    });
    let (step, change) = all.unwrap();
    Intent {
        step: StepName::of(&step.id),
        ..intent_of(w, step, without_content(change))
    }
}

fn mismatch(record: &Intent, w: &World) -> Option<Field> {
    let place = Place {
        node: &host_of(record).change.node,
        run: &record.run,
        step: &record.step,
    };
    let mismatch = fits(record, place, &w.desired).err();
    mismatch.map(|mismatch| mismatch.field)
}

#[test]
fn a_record_brings_rows_of_its_own_services_servants_only() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).endpoint =
        Some("tcp -h 10.0.0.1 -t 60000 -p 28293".to_owned());
    let honest = record_with_rows(&w);
    assert_eq!(mismatch(&honest, &w), None);
    for servant in ["tars.tarsAdminRegistry.AdminRegObj", "Shop.Cart.Obj", ""] {
        let mut forged = honest.clone();
        let row = edits_of(&mut host_in(&mut forged).change)[0]
            .before
            .as_mut()
            .unwrap();
        row.push(("servant".to_owned(), Cell::Text(servant.to_owned())));
        assert_eq!(mismatch(&forged, &w), Some(Field::Row), "{servant}");
        let last = edits_of(&mut host_in(&mut forged).change)[0]
            .before
            .as_mut()
            .unwrap()
            .last_mut();
        last.unwrap().1 = Cell::Text("tars.tarsstat.StatObj".to_owned());
        assert_eq!(mismatch(&forged, &w), None);
    }
    // A row of a core component, with its own servant.
    let mut core = honest.clone();
    let change = &mut host_in(&mut core).change;
    change.component = Component::Tarsconfig;
    edits_of(change)[0].key[1].1 = Component::Tarsconfig.name().to_owned();
    assert_eq!(mismatch(&core, &w), Some(Field::Row));
    // A service that the spec does not have there, or of a database that it does not have.
    let change = &host_of(&honest).change;
    let server = ResourceId::Server(change.component, change.node.clone());
    for gone in [server, ResourceId::Schema] {
        let mut less = w.clone();
        assert!(less.desired.resources.remove(&gone).is_some());
        assert_eq!(mismatch(&honest, &less), Some(Field::Row), "{gone}");
    }
}

#[test]
fn a_service_under_its_old_servant_has_a_record_that_fits() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsquerystat.QueryObj", MASTER).servant =
        Some("tars.tarsquerystat.NoTarsObj".to_owned());
    assert_eq!(mismatch(&record_with_rows(&w), &w), None);
}

#[test]
fn a_rollback_shows_what_it_makes_of_rows() {
    let mut w = cluster();
    adapter(&mut w, "tars.tarsstat.StatObj", MASTER).endpoint =
        Some("tcp -h 10.0.0.1 -t 60000 -p 28293".to_owned());
    let mut plan = checked(&w);
    let record = record_with_rows(&w);
    let step = plan
        .steps
        .iter_mut()
        .find(|s| StepName::of(&s.id) == record.step);
    let step = step.unwrap();
    let mut after = w.clone();
    effect::apply(&mut after.inventory, &step.action);
    let back = restoring(&record, &after.inventory, KNOWN).unwrap();
    step.action = Action::ChangeHost(Box::new(back.change));
    plan.drift.clear();
    plan.rolls_back = Some(record.run.clone());
    let text = render::text(&plan, render::Style::default()).to_string();
    let line = "tars.tarsstat.StatObjAdapter endpoint: tcp -h 10.0.0.1 -t 60000 -p 18293 → \
                tcp -h 10.0.0.1 -t 60000 -p 28293";
    assert!(text.contains(line), "{text}");
}
