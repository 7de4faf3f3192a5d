//! Basic services, published and rolled back; and the ways in which that fails.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use tarsops_standin::console::{Console, Options};
use tarsops_standin::standin::lies::{self, Lie};
use tarsops_standin::standin::{Behaviour, Identity};
use tarsops_standin::store::Database;

use crate::support::Ran;
use crate::support::failures::failure;
use crate::support::{stand_in, wait_until};
use crate::world::{BASIC, NEW, NEWER, OLD, PATIENCE, World};

/// Where each of them is.
const PLACES: [(usize, &str); 9] = [
    (1, "tarsstat"),
    (1, "tarsproperty"),
    (1, "tarsnotify"),
    (1, "tarslog"),
    (1, "tarsquerystat"),
    (1, "tarsqueryproperty"),
    (2, "tarsnotify"),
    (2, "tarsquerystat"),
    (2, "tarsqueryproperty"),
];

fn digests(world: &World) -> Vec<String> {
    PLACES
        .iter()
        .map(|(n, component)| world.installed(*n, component))
        .collect()
}

/// Every one runs, once.
#[track_caller]
fn all_run(world: &World) {
    for (n, component) in PLACES {
        wait_until(component, PATIENCE, || world.pids(n, component).len() == 1);
    }
}

/// The run that an apply has made.
#[track_caller]
fn run_of(applied: &Ran) -> String {
    let line = applied.err.lines().find_map(|l| l.strip_prefix("run "));
    line.unwrap().to_owned()
}

/// The digest of the program that a process of the component on host `n` runs.
#[track_caller]
fn running(world: &World, n: usize, component: &str) -> String {
    let pids = world.pids(n, component);
    assert_eq!(pids.len(), 1, "{component} on {n}");
    let bytes = std::fs::read(format!("/proc/{}/exe", pids[0])).unwrap();
    tarsops_model::digest::Digest::of(&bytes).to_string()
}

fn row_names(world: &World, component: &str) -> String {
    let node = world.node(1);
    let said = world.sql(&format!(
        "SELECT patch_version FROM db_tars.t_server_conf WHERE server_name = '{component}' AND node_name = '{node}'"
    ));
    said.trim().to_owned()
}

/// What the failure of that name says of a run.
#[track_caller]
fn as_reported(ran: &Ran, name: &str) {
    let f = failure(name);
    ran.exits(f.code.unwrap());
    if !f.told.is_empty() {
        let all = format!("{}{}", ran.out, ran.err);
        assert!(all.contains(f.told), "{name}: {all}");
    }
}

fn tell(world: &World, n: usize, component: &str, all: &[Lie]) {
    lies::tell(&world.tars(n).join(component), all).unwrap();
}

/// tarslog is published while somebody lies, once up and once down.
#[track_caller]
fn published(world: &mut World, name: &str, version: &'static str) {
    let before = running(world, 1, "tarslog");
    let named = row_names(world, "tarslog");
    world.respec(|s| s.version = version);
    let ran = world.tarsops(["apply", "-y", "--on", "tarslog"]);
    as_reported(&ran, name);
    let f = failure(name);
    let now = running(world, 1, "tarslog");
    if f.code == Some(0) {
        assert_ne!(now, before, "{name}");
        assert_eq!(now, world.installed(1, "tarslog"), "{name}");
    } else {
        assert_eq!(now, before, "{name}");
        assert_eq!(world.installed(1, "tarslog"), before, "{name}");
        assert_eq!(row_names(world, "tarslog"), named, "{name}");
    }
}

#[test]
fn straight_through_tars() {
    let world = &mut World::with_basic(2, &BASIC, &[OLD, NEW]);
    an_upgrade_is_published_and_rolled_back(world, "straight through Tars");
    what_is_missing_is_deployed(world);
    a_program_killed_in_the_middle_is_no_harm(world);
}

/// The same whoever publishes.
fn an_upgrade_is_published_and_rolled_back(world: &mut World, way: &str) {
    let old = digests(world);
    world.respec(|s| s.version = NEW);
    let planned = world.tarsops(["plan"]);
    planned
        .exits(2)
        .says("publish tarslog")
        .says("basic services")
        .says(way);
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0).says("Apply: converged");
    let new = digests(world);
    assert!(old.iter().zip(&new).all(|(old, new)| old != new));
    all_run(world);
    world.tarsops(["drift"]).exits(0);
    // One archive of each, however many nodes it went to.
    let count = world.sql("SELECT COUNT(*), COUNT(DISTINCT server) FROM db_tars.t_server_patchs");
    assert_eq!(count.trim(), "6\t6");
    let named = row_names(world, "tarslog");
    // Back, and forth again: what was uploaded once is known.
    let run = run_of(&applied);
    world.tarsops(["rollback", &run, "-y"]).exits(0);
    assert_eq!(digests(world), old);
    all_run(world);
    assert_eq!(row_names(world, "tarslog"), OLD);
    let again = world.tarsops(["apply", "-y"]);
    again.exits(0);
    assert_eq!(digests(world), new);
    assert_eq!(row_names(world, "tarslog"), named);
    let count = world.sql("SELECT COUNT(*) FROM db_tars.t_server_patchs");
    assert_eq!(count.trim(), "6");
}

/// A publication continues without the program that began it; the next apply finds it done, or does it.
fn a_program_killed_in_the_middle_is_no_harm(world: &mut World) {
    world.respec(|s| s.framework = "  allow_downgrade: true\n");
    let lease = world.tars(1).parent().unwrap().join(".tarsops/lease");
    for (delay, version) in [(0, OLD), (200, NEW), (500, OLD), (1600, NEW)] {
        world.respec(|s| s.version = version);
        let mut command = world.command(&["apply", "-y", "--on", "tarslog"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let acts = lines.any(|l| l.unwrap().contains("publish tarslog"));
        assert!(acts, "nothing is published");
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        // How a dead holder's lease runs out is another test; here it would only take time.
        let _ = std::fs::remove_file(&lease);
        // The task is asked for its end after half a second: by then none is over.
        if delay == 500 {
            // The node continues by itself; what it did is known, and can be rolled back.
            std::thread::sleep(Duration::from_secs(3));
            let told = world.tarsops(["history", "--json"]);
            let told = told.json("tarsops.history/1");
            assert_eq!(
                told["runs"][0]["changes"][0]["verdict"], "unfinished",
                "{told:#}"
            );
            let run = told["runs"][0]["run"].as_str().unwrap().to_owned();
            let before = running(world, 1, "tarslog");
            world.tarsops(["rollback", &run, "-y"]).exits(0);
            assert_ne!(running(world, 1, "tarslog"), before);
        }
        // Nothing is to be done, and it is not said to be well, while it has only just been started.
        wait_until("apply to converge", PATIENCE, || {
            let applied = world.tarsops(["apply", "-y", "--on", "tarslog"]);
            assert!([0, 2, 4].contains(&applied.code), "{}", applied.err);
            applied.code == 0
        });
        assert_eq!(running(world, 1, "tarslog"), world.installed(1, "tarslog"));
        world.tarsops(["drift", "--on", "tarslog"]).exits(0);
    }
}

/// A measurement, not a test: one service on ten nodes, straight through Tars.
#[test]
#[ignore = "a measurement of a minute: run it by name, with --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "a measurement")]
fn ten_nodes() {
    let world = &mut World::with_basic(10, &["tarsnotify"], &[NEW]);
    // What is placed needs a whole package.
    let whole = Identity::new(OLD, Behaviour::Healthy);
    let cluster = &world.cluster;
    cluster.add_slave_packages(&stand_in(), &whole).unwrap();
    let nodes: Vec<String> = (1..=10).map(|n| format!("\"{}\"", world.node(n))).collect();
    world.respec(|s| s.components = format!("  tarsnotify: {{nodes: [{}]}}\n", nodes.join(", ")));
    world.tarsops(["apply", "-y"]).exits(0);
    world.respec(|s| s.version = NEW);
    let applied = world.tarsops(["apply", "-y", "--on", "tarsnotify", "--json"]);
    applied.exits(0);
    let document = applied.json("tarsops.apply/1");
    let steps = document["steps"].as_array().unwrap();
    let tasks: f64 = steps
        .iter()
        .flat_map(|s| s["log"].as_array().unwrap())
        .filter_map(|l| l.as_str()?.split_once(" took ")?.1.strip_suffix(" s"))
        .map(|seconds| seconds.parse::<f64>().unwrap())
        .sum();
    let stage = &document["stages"][0];
    println!(
        "{} publications; the stage took {} s, of which {tasks:.1} s are the tasks' own and {} s settling; apply {:.1} s",
        steps.len(),
        stage["seconds"],
        stage["settled"],
        applied.took.as_secs_f64()
    );
    let count = world.sql("SELECT COUNT(*) FROM db_tars.t_server_patchs");
    assert_eq!(count.trim(), "1");
}

/// Neither rows nor files nor a process are left of it.
fn take_away(world: &World, n: usize, component: &str) {
    let node = world.node(n);
    for table in ["t_server_conf", "t_adapter_conf"] {
        world.sql(&format!(
            "DELETE FROM db_tars.{table} WHERE server_name = '{component}' AND node_name = '{node}'"
        ));
    }
    // Its tarsnode starts what is active until it has read the rows again.
    wait_until("it to stay away", PATIENCE, || {
        for pid in world.pids(n, component) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(1500));
        world.pids(n, component).is_empty()
    });
    std::fs::remove_dir_all(world.tars(n).join(component)).unwrap();
}

fn what_is_missing_is_deployed(world: &mut World) {
    for component in ["tarslog", "tarsstat"] {
        take_away(world, 1, component);
        let planned = world.tarsops(["plan"]);
        planned
            .exits(2)
            .says(&format!("rows of {component}"))
            .says(&format!("publish {component} {NEW}"));
        let applied = world.tarsops(["apply", "-y"]);
        applied.exits(0).says("Apply: converged");
        assert_eq!(running(world, 1, component), world.installed(1, component));
        world.tarsops(["drift"]).exits(0);
        let run = run_of(&applied);
        if component == "tarsstat" {
            // And away again, rows included.
            world.tarsops(["rollback", &run, "-y"]).exits(0);
            assert!(world.pids(1, component).is_empty());
            assert_eq!(row_names(world, component), "");
        }
    }
    world.tarsops(["apply", "-y"]).exits(0);
    world.tarsops(["drift"]).exits(0);
}

#[test]
fn ways_to_fail_straight_through_tars() {
    let world = &mut World::with_basic(2, &["tarslog"], &[OLD, NEW, NEWER]);
    world.respec(|s| s.deadline = "6s");
    let admin = "tarsAdminRegistry";
    for (name, at, lie, version) in [
        // A node that has fetched an archive once takes it from where it lies.
        ("garbled", "tarspatch", Lie::Garbled, NEW),
        ("task-refused", admin, Lie::TaskRefused, NEW),
        ("task-unanswered", admin, Lie::TaskUnanswered, NEWER),
        ("task-stuck", admin, Lie::TaskStuck, NEW),
        ("task-swallowed", admin, Lie::TaskNeverBegun, NEWER),
        (
            "node-busy",
            "tarsnode",
            Lie::Busy(Duration::from_secs(6)),
            NEWER,
        ),
        ("start-fails", "tarsnode", Lie::StartFails, NEWER),
    ] {
        world.respec(|s| s.framework = "  allow_downgrade: true\n");
        tell(world, 1, at, &[lie]);
        published(world, name, version);
        tell(world, 1, at, &[]);
    }
    for (name, behaviour, version) in [
        ("crashes", Behaviour::CrashAtStart, "3.0.20"),
        ("never-listens", Behaviour::NeverListens, "3.0.21"),
    ] {
        world.pack(&["tarsnode"], version, Behaviour::Healthy);
        world.pack(&["tarslog"], version, behaviour);
        published(world, name, version);
    }
    who_is_silent(world);
    what_is_not_begun(world);
    // And when all is well again, so is the next run.
    world.respec(|s| s.version = NEW);
    world.tarsops(["apply", "-y"]).exits(0);
    world.tarsops(["drift"]).exits(0);
    all_run(world);
}

fn who_is_silent(world: &mut World) {
    for (name, component) in [
        ("tarspatch-down", "tarspatch"),
        ("node-down", "tarsnode"),
        ("admin-down", "tarsAdminRegistry"),
    ] {
        world.freeze(1, component);
        published(world, name, NEWER);
        world.thaw(1, component);
    }
}

fn what_is_not_begun(world: &mut World) {
    let before = running(world, 1, "tarslog");
    let log = "SET setting_state = 'inactive' WHERE server_name = 'tarslog'";
    let row = format!("UPDATE db_tars.t_server_conf {log}");
    world.sql(&row);
    as_reported(
        &world.tarsops(["apply", "-y", "--on", "tarslog"]),
        "stopped",
    );
    world.sql(&row.replace("'inactive'", "'active'"));
    assert_eq!(world.installed(1, "tarslog"), before);

    let template = "UPDATE db_tars.t_profile_template SET profile = ";
    let of = "WHERE template_name = 'tars.tarslog'";
    let kept = world.sql(&format!(
        "SELECT HEX(profile) FROM db_tars.t_profile_template {of}"
    ));
    world.sql(&format!("{template}'<tars>\\n<reap>\\n</tars>\\n' {of}"));
    as_reported(
        &world.tarsops(["apply", "-y", "--on", "tarslog"]),
        "template-unreadable",
    );
    world.sql(&format!("{template}UNHEX('{}') {of}", kept.trim()));

    let spec = std::fs::read_to_string(world.dir().join("cluster.yaml")).unwrap();
    let other = spec.replace(
        "nodes:\n",
        "components:\n  tarslog: {version: 3.0.16}\nnodes:\n",
    );
    std::fs::write(world.dir().join("cluster.yaml"), other).unwrap();
    let ran = world.tarsops(["apply", "-y", "--on", "tarslog"]);
    as_reported(&ran, "no-package");
    std::fs::write(world.dir().join("cluster.yaml"), spec).unwrap();
    assert_eq!(running(world, 1, "tarslog"), before);
}

/// What a full disk leaves of a program; and a failed run once others have been there.
fn half_a_program_is_rolled_back(world: &mut World) {
    world.respec(|s| {
        s.version = NEW;
        s.deadline = "6s";
        s.rollout = ", on_failure: stop";
    });
    let old = world.installed(1, "tarslog");
    tell(world, 1, "tarsnode", &[Lie::StartFails]);
    let failed = world.tarsops(["apply", "-y", "--on", "tarslog"]);
    failed.exits(8);
    tell(world, 1, "tarsnode", &[]);
    let program = world.tars(1).join("tarslog/bin/tarslog");
    std::fs::write(&program, "half").unwrap();
    let run = run_of(&failed);
    world.tarsops(["rollback", "-y"]).exits(0);
    assert_eq!(world.installed(1, "tarslog"), old);
    assert_eq!(running(world, 1, "tarslog"), old);
    // Later, it is nobody's any more.
    world.respec(|s| {
        s.version = NEWER;
        s.rollout = "";
    });
    world.tarsops(["apply", "-y", "--on", "tarslog"]).exits(0);
    let new = world.installed(1, "tarslog");
    assert_ne!(new, old);
    world.tarsops(["rollback", &run, "-y"]).exits(6);
    assert_eq!(world.installed(1, "tarslog"), new);
}

/// Somebody has ended it for good, as its tarsnode sees it: it is started.
fn what_is_down_is_started(world: &mut World) {
    tell(world, 1, "tarsnode", &[Lie::StartFails]);
    world.kill(1, "tarslog");
    std::thread::sleep(Duration::from_secs(2));
    if world.pids(1, "tarslog").is_empty() {
        let planned = world.tarsops(["plan", "--on", "tarslog"]);
        planned.exits(2).says("start tarslog through AdminRegistry");
        let failed = world.tarsops(["apply", "-y", "--on", "tarslog"]);
        failed.exits(8).tells("tarsops rollback");
    }
    tell(world, 1, "tarsnode", &[]);
    // Its tarsnode may be about to start it as well.
    wait_until("tarslog to be well", PATIENCE, || {
        world.tarsops(["apply", "-y", "--on", "tarslog"]).code == 0
    });
    assert_eq!(world.pids(1, "tarslog").len(), 1);
}

#[test]
fn a_port_that_is_taken() {
    let world = &mut World::with_basic(2, &["tarslog"], &[OLD, NEW, NEWER]);
    half_a_program_is_rolled_back(world);
    what_is_down_is_started(world);
    take_away(world, 1, "tarslog");
    let ip = world.cluster.facts().hosts[0].ip;
    let held = std::net::TcpListener::bind((ip, 18913)).unwrap();
    let ran = world.tarsops(["apply", "-y"]);
    as_reported(&ran, "port-taken");
    drop(held);
    world.tarsops(["apply", "-y"]).exits(0);
}

/// The management platform beside the cluster, which its spec names from then on.
fn platform(world: &mut World, shared: bool) -> Console {
    let tables = Database::MariaDb {
        address: world.database.address(),
        user: "framework".to_owned(),
        password: "framework-pass".to_owned(),
        name: "db_tars".to_owned(),
    };
    let ip = world.cluster.facts().hosts[0].ip;
    let install = world.cluster.facts().hosts[0].install_path.clone();
    let folder = world.dir().join("platform");
    std::fs::create_dir_all(&folder).unwrap();
    let uploads = if shared {
        install.join("patchs/tars.upload")
    } else {
        folder.join("elsewhere")
    };
    let options = Options::new(tables, (ip, 12000).into(), &uploads, &folder);
    let console = Console::start(options).unwrap();
    std::fs::write(world.dir().join("ticket"), console.ticket()).unwrap();
    let url = console.url().to_owned();
    world.respec(|s| s.web = Some(url));
    console
}

#[test]
fn through_the_platform() {
    let world = &mut World::with_basic(2, &BASIC, &[OLD, NEW]);
    let console = platform(world, true);
    an_upgrade_is_published_and_rolled_back(world, "through the management platform");
    // The same rows as straight through Tars, but for what the platform's form adds.
    take_away(world, 1, "tarslog");
    let planned = world.tarsops(["plan"]);
    planned.exits(2).says("by the platform's form");
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0);
    assert_eq!(running(world, 1, "tarslog"), world.installed(1, "tarslog"));
    world.tarsops(["drift"]).exits(0);
    let rows = world.sql(
        "SELECT servant, thread_num, max_connections, queuecap, queuetimeout, protocol \
         FROM db_tars.t_adapter_conf WHERE server_name = 'tarslog' ORDER BY servant",
    );
    assert_eq!(
        rows.trim(),
        "tars.tarslog.LogObj\t5\t200000\t100000\t60000\ttars\n\
         tars.tarslog.TopologyObj\t5\t200000\t100000\t60000\ttars"
    );
    // And back, rows included.
    let run = run_of(&applied);
    world.tarsops(["rollback", &run, "-y"]).exits(0);
    assert_eq!(row_names(world, "tarslog"), "");
    drop(console);
    // With nobody to fill in a form nothing else is done either, unless that may be.
    let silent = world.tarsops(["apply", "-y"]);
    as_reported(&silent, "console-down");
    let rest = world.tarsops(["plan", "--without-console"]);
    rest.exits(2)
        .says("is published once the management platform can be used");
}

#[test]
fn ways_to_fail_through_the_platform() {
    let world = &mut World::with_basic(2, &["tarslog"], &[OLD, NEW, NEWER]);
    world.respec(|s| {
        s.deadline = "6s";
        s.framework = "  allow_downgrade: true\n";
    });
    let console = platform(world, false);
    published(world, "folder-not-shared", NEW);
    drop(console);
    let console = platform(world, true);
    let folder = world.dir().join("platform");
    lies::tell(&folder, &[Lie::AddTaskFails]).unwrap();
    published(world, "console-refuses", NEW);
    lies::tell(&folder, &[]).unwrap();
    std::fs::write(world.dir().join("ticket"), "revoked").unwrap();
    published(world, "ticket-revoked", NEWER);
    std::fs::write(world.dir().join("ticket"), console.ticket()).unwrap();
    world.tarsops(["apply", "-y"]).exits(0);
    world.tarsops(["drift"]).exits(0);
}
