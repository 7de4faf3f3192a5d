//! The management platform: compared, found wrong, and never started where it would lose columns.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use support::World;
use support::core::world;
use support::framework::framework;

use tarsops_model::console::{
    Console, ConsoleFacts, ConsolePin, ConsoleProcess, Models, StartedBy, Supervisor, dropped,
};
use tarsops_model::desired::{Resource, SecretRef, Web};
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::console_obstacle::ConsoleObstacle;
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::rules::check::{Outcome, checks};

const FOLDER: &str = "/usr/local/app/web";
/// The columns of a table that a console of 2.4.22 does not know, with others.
const LIVE: [&str; 4] = ["node_name", "run_type", "base_image_id", "source"];
const RULES: [&str; 8] = [
    "console-down",
    "console-retired-runs",
    "console-supervisor",
    "console-after-reboot",
    "console-versions",
    "console-registries",
    "console-drops-columns",
    "console-patch-time",
];

fn models(columns: &[&str]) -> Models {
    let columns = columns.iter().map(|c| (*c).to_owned()).collect();
    let table = BTreeMap::from([("t_server_conf".to_owned(), columns)]);
    BTreeMap::from([("db_tars".to_owned(), table)])
}

fn pin(version: &str, columns: &[&str]) -> ConsolePin {
    ConsolePin {
        version: version.parse().unwrap(),
        source: "web.tgz".to_owned(),
        archive: Digest::of(version.as_bytes()),
        archive_size: 1,
        unpacked_size: 1,
        contents: Digest::of(b"contents"),
        machines: Some(BTreeSet::from(["x86_64".to_owned()])),
        config: BTreeMap::new(),
        models: models(columns),
    }
}

/// A cluster whose platform is 3.0.15, healthy, and what the spec wants.
fn cluster() -> World {
    let mut w = world(4);
    let node = w.desired.master.clone();
    let console = Console {
        version: Some("3.0.15".parse().unwrap()),
        package: None,
        node,
        install_path: FOLDER.parse().unwrap(),
        supervisor: Supervisor::Pm2,
        retired: 1,
    };
    let web = Web {
        url: "http://10.0.0.1:3000".to_owned(),
        ticket: SecretRef::Env("TICKET".to_owned()),
        console: Some(console),
    };
    let resources = &mut w.desired.resources;
    resources.insert(ResourceId::Web, Resource::Web(web));
    let endpoints: Vec<String> = w
        .desired
        .registries
        .iter()
        .map(|at| format!("tcp -h {} -p {}", at.host, at.port))
        .collect();
    let locator = format!("tars.tarsregistry.QueryObj@{}", endpoints.join(":"));
    w.inventory.insert_console(Observed::Present(ConsoleFacts {
        version: Observed::Present("3.0.15".parse().unwrap()),
        alters: Observed::Present(true),
        locator: Observed::Present(locator),
        config: BTreeMap::new(),
        machine: Observed::Present("x86_64".to_owned()),
        processes: Observed::Present(vec![ConsoleProcess {
            pid: 7,
            user: "root".to_owned(),
            exe: "/root/.nvm/versions/node/v16.13.0/bin/node".to_owned(),
            folder: FOLDER.to_owned(),
            by: StartedBy::Pm2 {
                home: "/root/.pm2".to_owned(),
            },
        }]),
        saved: Observed::Present(true),
        units: BTreeSet::from(["pm2-root.service".to_owned()]),
        retired: BTreeSet::from(["web.old-1".to_owned()]),
    }));
    let consoles = &mut w.catalog.consoles;
    for pin in [pin("3.0.15", &LIVE), pin("2.4.22", &["node_name"])] {
        consoles.insert(pin.version, pin);
    }
    tables(&mut w, &LIVE, 0);
    w
}

fn tables(w: &mut World, columns: &[&str], without_patch_time: u64) {
    let Observed::Present(database) = &mut framework(w).database else {
        panic!("no database")
    };
    let Observed::Present(rows) = &mut database.rows else {
        panic!("no rows")
    };
    rows.console.columns = Observed::Present(models(columns));
    rows.console.without_patch_time = Observed::Present(without_patch_time);
}

fn seen(w: &mut World) -> ConsoleFacts {
    w.inventory.console().present().copied().unwrap().clone()
}

fn alter(w: &mut World, change: impl FnOnce(&mut ConsoleFacts)) {
    let mut facts = seen(w);
    change(&mut facts);
    w.inventory.insert_console(Observed::Present(facts));
}

fn wants(w: &mut World, version: &str) {
    let Some(Resource::Web(web)) = w.desired.resources.get_mut(&ResourceId::Web) else {
        panic!("no web")
    };
    web.console.as_mut().unwrap().version = Some(version.parse().unwrap());
}

/// How a line of `check` came out.
fn outcome(w: &World, name: &str) -> Option<Outcome> {
    let all = checks(&w.input());
    all.iter().find(|c| c.check == name).map(|c| c.result)
}

fn obstacles(w: &World) -> Option<Vec<ConsoleObstacle>> {
    let plan = w.plan();
    assert!(
        plan.steps
            .iter()
            .all(|step| step.resource != ResourceId::Web)
    );
    plan.report.into_iter().find_map(|line| match line {
        Line::Blocked {
            why: Blocked::NoConsoleWork { obstacles, .. },
            ..
        } => Some(obstacles),
        _ => None,
    })
}

#[test]
fn a_platform_as_the_spec_wants_it_is_all_well() {
    let w = cluster();
    for rule in RULES {
        assert_eq!(outcome(&w, rule), Some(Outcome::Ok), "{rule}");
    }
    assert_eq!(obstacles(&w), None);
    let drift = w.plan().drift;
    assert!(drift.iter().all(|d| d.resource != ResourceId::Web));
    // Where nobody has one, nobody hears of it.
    let mut w = cluster();
    w.desired.resources.remove(&ResourceId::Web);
    assert!(RULES.iter().all(|rule| outcome(&w, rule).is_none()));
}

#[test]
fn each_thing_that_is_wrong_is_found() {
    let found = |rule: &str, change: &dyn Fn(&mut ConsoleFacts)| {
        let mut w = cluster();
        alter(&mut w, change);
        for other in RULES {
            let result = outcome(&w, other).unwrap();
            assert_eq!(
                result == Outcome::Ok,
                other != rule,
                "{rule}: {other} {result:?}"
            );
        }
    };
    let process = |facts: &mut ConsoleFacts, change: &dyn Fn(&mut ConsoleProcess)| {
        let Observed::Present(all) = &mut facts.processes else {
            panic!("no process")
        };
        all.iter_mut().for_each(change);
    };
    found("console-down", &|f| f.processes = Observed::Absent);
    found("console-retired-runs", &|f| {
        process(f, &|p| p.folder = "/usr/local/app/web.old-1".to_owned());
    });
    found("console-supervisor", &|f| {
        process(f, &|p| p.by = StartedBy::Tarsnode)
    });
    found("console-after-reboot", &|f| {
        f.saved = Observed::Present(false)
    });
    found("console-after-reboot", &|f| f.units.clear());
    found("console-registries", &|f| {
        let one = "tars.tarsregistry.QueryObj@tcp -h 10.9.9.9 -p 17890".to_owned();
        f.locator = Observed::Present(one);
    });
    let mut w = cluster();
    tables(&mut w, &LIVE, 3);
    assert_eq!(outcome(&w, "console-patch-time"), Some(Outcome::Warning));
    let mut w = cluster();
    let further = ["node_name", "run_type", "base_image_id", "source", "newer"];
    tables(&mut w, &further, 0);
    assert_eq!(outcome(&w, "console-drops-columns"), Some(Outcome::Warning));
    alter(&mut w, |f| f.alters = Observed::Present(false));
    assert_eq!(outcome(&w, "console-drops-columns"), Some(Outcome::Ok));
}

#[test]
fn what_is_not_known_is_no_proof() {
    let mut w = cluster();
    let why = || Observed::Unknown("it is silent".to_owned());
    w.inventory.insert_console(why());
    let down = outcome(&w, "console-down");
    assert_eq!(down, Some(Outcome::Unknown));
    assert_eq!(obstacles(&w), None, "nothing is said of what nobody saw");
    let drift = w.plan().drift;
    assert!(drift.iter().any(|d| d.resource == ResourceId::Web));
    // The installed release is not pinned: its models are not known.
    let mut w = cluster();
    w.catalog.consoles.clear();
    assert_eq!(outcome(&w, "console-drops-columns"), Some(Outcome::Unknown));
}

#[test]
fn another_version_is_blocked_with_all_that_hinders_it() {
    let mut w = cluster();
    wants(&mut w, "3.0.14");
    assert_eq!(obstacles(&w), Some(vec![ConsoleObstacle::NotPinned]));
    let same = pin("3.0.14", &LIVE);
    w.catalog.consoles.insert(same.version, same);
    assert_eq!(obstacles(&w), Some(vec![]));
    alter(&mut w, |f| {
        f.machine = Observed::Present("aarch64".to_owned())
    });
    let machine = "aarch64".to_owned();
    assert_eq!(
        obstacles(&w),
        Some(vec![ConsoleObstacle::OtherMachine { machine }])
    );

    let mut w = cluster();
    wants(&mut w, "2.4.22");
    let lost = ["run_type", "base_image_id", "source"];
    let columns = lost.map(|c| format!("db_tars.t_server_conf.{c}")).into();
    let drops = ConsoleObstacle::Drops { columns };
    assert!(obstacles(&w).unwrap().contains(&drops));
    alter(&mut w, |f| f.alters = Observed::Present(false));
    assert!(!obstacles(&w).unwrap().contains(&drops));
    // A release before that switch does not know it.
    let old = pin("2.4.16", &["node_name"]);
    w.catalog.consoles.insert(old.version, old);
    wants(&mut w, "2.4.16");
    assert!(obstacles(&w).unwrap().contains(&drops));
}

fn sets() -> impl Strategy<Value = Models> {
    let columns = proptest::collection::btree_set("[a-e]", 0..5);
    let tables = proptest::collection::btree_map("t_[a-c]", columns, 0..3);
    proptest::collection::btree_map("db_[ab]", tables, 0..3)
}

proptest! {
    /// What is dropped is exactly what the database has, of tables that the models have, beyond them. So
    /// a release is let in only if a database keeps all its columns.
    #[test]
    fn a_start_drops_what_its_models_lack(models in sets(), live in sets()) {
        let lost = dropped(&models, &live);
        let mut after = live.clone();
        for (database, tables) in &models {
            for (table, columns) in tables {
                // `sync({alter: true})` as the console does it.
                if let Some(has) = after.get_mut(database).and_then(|all| all.get_mut(table)) {
                    has.retain(|column| columns.contains(column));
                }
            }
        }
        let count = |all: &Models| all.values().flat_map(BTreeMap::values).map(BTreeSet::len).sum::<usize>();
        prop_assert_eq!(lost.len(), count(&live) - count(&after));
        prop_assert_eq!(lost.is_empty(), after == live);
        prop_assert!(dropped(&models, &models).is_empty());
    }
}
