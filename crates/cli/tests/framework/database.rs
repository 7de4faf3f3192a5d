//! The framework's database in an upgrade: backed up, then its templates merged, column by column and
//! key by key; what people changed stays, and the run can be rolled back.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tarsops_standin::database::Rights;

use crate::support::{until_asked, wait_until};
use crate::world::{NEW, OLD, PASSWORD, PATIENCE, World};

const REGISTRY: &str = "tars.tarsregistry";
const LOG: &str = "tars.tarslog";
const DB: &str = "tars.framework-db";

/// Templates as a release ships them, with the placeholders of the real ones.
fn shipped(version: &str) -> [(&'static str, String); 3] {
    let new = version == NEW;
    let timeout = if new { 300 } else { 250 };
    let more = if new {
        "        fresh = 5\n"
    } else {
        "        gone = 1\n"
    };
    let section = if new {
        "    <container>\n        socket = /var/run/docker.sock\n    </container>\n"
    } else {
        ""
    };
    let level = if new { "ERROR" } else { "DEBUG" };
    [
        (
            REGISTRY,
            format!(
                "<tars>\n    # when a node is dead\n    <reap>\n        nodeTimeout = {timeout}\n        same = 1\n{more}    </reap>\n{section}</tars>\n"
            ),
        ),
        (
            LOG,
            format!(
                "<tars>\n    <log>\n        logpath=TARS_PATH/remote_app_log\n        level={level}\n    </log>\n</tars>\n"
            ),
        ),
        (
            DB,
            format!(
                "<tars>\n    <db>\n        dbhost=db.tars.com\n        dbuser=tars\n        dbpass=tars2015\n        dbport=3306\n        charset={level}\n    </db>\n</tars>\n"
            ),
        ),
    ]
}

/// The text that an installer writes: the meaning alone, without comments and in its own order, with
/// the cluster's own values.
fn installed(world: &World, name: &str) -> String {
    let all = shipped(OLD);
    let text = &all.iter().find(|t| t.0 == name).unwrap().1;
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    let text: String = lines
        .map(|l| format!("{}\n", l.replace(" = ", "=")))
        .collect();
    text.replace("TARS_PATH", &world.tars(1).display().to_string())
        .replace("db.tars.com", "127.0.0.1")
        .replace("dbuser=tars", "dbuser=framework")
        .replace("tars2015", "framework-pass")
}

fn write(world: &World, name: &str, text: &str) {
    let text = text.replace('\\', "\\\\").replace('\'', "''");
    world.sql(&format!(
        "UPDATE db_tars.t_profile_template SET profile = '{text}' WHERE template_name = '{name}'"
    ));
}

fn digest(world: &World, name: &str) -> String {
    world.sql(&format!(
        "SELECT SHA2(profile, 256) FROM db_tars.t_profile_template WHERE template_name = '{name}'"
    ))
}

fn has(world: &World, name: &str, line: &str) -> bool {
    let found = world.sql(&format!(
        "SELECT profile LIKE '%{line}%' FROM db_tars.t_profile_template WHERE template_name = '{name}'"
    ));
    found == "1\n"
}

fn below_tarsops(world: &World, path: &str) -> PathBuf {
    world.tars(1).parent().unwrap().join(".tarsops").join(path)
}

fn names(folder: &PathBuf) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}

fn dumps(world: &World) -> Vec<String> {
    let all = names(&below_tarsops(world, "backups"));
    all.into_iter().filter(|n| n.ends_with(".gz")).collect()
}

fn prepared() -> World {
    let mut world = World::new(3);
    for version in [OLD, NEW] {
        let tree = world.cluster.facts().packages.join(version).join("deploy");
        let folder = tree.join("framework/sql/template");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(tree.join("FRAMEWORK_VERSION.txt"), version).unwrap();
        for (name, text) in shipped(version) {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    for name in [REGISTRY, LOG, DB] {
        write(&world, name, &installed(&world, name));
    }
    // The release that runs is pinned first; its package may be gone later.
    world.respec(|_| {});
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
    world.tarsops(["package", "ls"]).says("templates");
    world
}

/// One cluster for all: making one is what takes the time.
#[test]
fn templates_follow_the_release_and_people_keep_what_is_theirs() {
    let world = &mut prepared();
    a_conflict_holds_up_its_template_alone(world);
    a_run_is_rolled_back_with_its_templates(world);
    what_somebody_changed_since_is_left(world);
    a_backup_that_fails_stops_everything(world);
    without_the_right_nothing_is_written(world);
    a_database_that_is_lost_in_the_middle_leaves_a_whole_row(world);
    a_run_that_fails_later_takes_its_templates_back(world);
    a_column_is_added_and_stays(world);
    without_a_database_nothing_is_made(world);
}

fn a_conflict_holds_up_its_template_alone(world: &mut World) {
    let edited = installed(world, REGISTRY).replace("same=1", "# ours\nsame=2\nmine=7");
    write(world, REGISTRY, &edited);
    let log = installed(world, LOG).replace("level=DEBUG", "level=INFO");
    write(world, LOG, &log);
    world.respec(|s| s.version = NEW);
    let folder = world.cluster.facts().packages.join(OLD).join("deploy");
    std::fs::remove_dir_all(folder).unwrap();
    let plan = world.tarsops(["plan", "-o", "saved.plan"]);
    plan.exits(6)
        .says("backup of the database")
        .says("back up db_tars to the master")
        .says("~ template/tars.tarsregistry")
        .says("/tars/reap<nodeTimeout>: 250 → 300")
        .says("/tars/container<socket>: no such key → /var/run/docker.sock")
        .says("/tars/log<level> (was shipped as DEBUG, 3.0.18 has ERROR, here INFO)");
    let saved = world.dir().join("saved.plan");
    let mode = std::fs::metadata(&saved).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&saved).unwrap();
    assert!(text.contains("nodeTimeout") && !text.contains("framework-pass"));
    a_lock_file_brings_no_template_of_its_own(world);
    let before = digest(world, LOG);
    let applied = world.tarsops(["apply", "saved.plan", "-y", "--allow-blocked"]);
    applied.exits(6).tells("the dump is on");
    assert_eq!(digest(world, LOG), before);
    for line in [
        "nodeTimeout=300",
        "# ours",
        "same=2",
        "mine=7",
        "fresh=5",
        "socket=/var/run/docker.sock",
    ] {
        assert!(has(world, REGISTRY, line), "{line}");
    }
    assert!(!has(world, REGISTRY, "gone"));
    assert!(has(world, DB, "dbpass=framework-pass") && has(world, DB, "charset=ERROR"));
    the_dump_is_complete_and_reported(world);
    // People settle it in their own way.
    write(world, LOG, &log.replace("level=INFO", "level=ERROR"));
    world.tarsops(["apply", "-y"]).exits(0).says("no changes");
    world.is_well();
}

/// A text that somebody wrote into the lock file, with its digest, is planned, and not written: the
/// package does not ship it.
fn a_lock_file_brings_no_template_of_its_own(world: &World) {
    let path = world.dir().join("cluster.yaml.lock");
    let honest = std::fs::read_to_string(&path).unwrap();
    let text = &shipped(NEW)[0].1;
    let sum = |text: &str| tarsops_model::digest::Digest::of(text.as_bytes()).to_string();
    let other = text.replace("nodeTimeout = 300", "nodeTimeout = 301");
    let forged = honest
        .replace("nodeTimeout = 300", "nodeTimeout = 301")
        .replace(&sum(text), &sum(&other));
    assert_ne!(forged, honest);
    std::fs::write(&path, forged).unwrap();
    let before = digest(world, REGISTRY);
    world.tarsops(["plan"]).exits(6).says("250 → 301");
    world
        .tarsops(["apply", "-y", "--allow-blocked"])
        .exits(1)
        .tells("templates of 3.0.18 in the lock file are not those of its package; nothing was changed")
        .tells(REGISTRY);
    // A plan that was saved with the honest one is stale, and names what differs.
    world
        .tarsops(["apply", "saved.plan", "-y"])
        .exits(5)
        .tells(&format!("step template.merge@{REGISTRY}"));
    assert_eq!(digest(world, REGISTRY), before);
    std::fs::write(&path, honest).unwrap();
}

fn the_dump_is_complete_and_reported(world: &World) {
    assert_eq!(dumps(world), ["0001.sql.gz"]);
    let path = below_tarsops(world, "backups/0001.sql.gz");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(&path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("nodeTimeout=250") && text.contains("-- Dump completed"));
    let history = world
        .tarsops(["history", "--json"])
        .json("tarsops.history/1");
    let changes = history["runs"][0]["changes"].as_array().unwrap();
    let kept = changes
        .iter()
        .find(|c| c["database"]["does"] == "backup")
        .unwrap_or_else(|| panic!("{history:#}"));
    assert_eq!(kept["verdict"], "ok");
    assert_eq!(kept["database"]["file"], path.display().to_string());
    let sum = std::fs::read_to_string(below_tarsops(world, "backups/0001.sql.gz.sha256")).unwrap();
    assert!(sum.starts_with(kept["database"]["digest"].as_str().unwrap()));
    assert!(changes.iter().any(|c| c["database"]["name"] == REGISTRY));
    let run = history["runs"][0]["run"].as_str().unwrap();
    world
        .tarsops(["history", run])
        .exits(0)
        .says("back up db_tars to the master")
        .says("0001.sql.gz")
        .says("of the release 3.0.18");
    let journal = world.dir().join(format!("state/tarsops/test/{run}.jsonl"));
    let journal = std::fs::read_to_string(journal).unwrap();
    assert!(journal.contains("0001.sql.gz") && !journal.contains("framework-pass"));
    // Nothing is left on its way.
    assert!(
        names(&below_tarsops(world, "stage"))
            .iter()
            .all(|n| !n.contains("part"))
    );
}

fn a_run_is_rolled_back_with_its_templates(world: &mut World) {
    write(world, LOG, &installed(world, LOG));
    let rolled = world.tarsops(["rollback", "-y"]);
    rolled
        .exits(0)
        .says("2 of 2 templates are restored to their state");
    assert!(has(world, REGISTRY, "nodeTimeout=250") && has(world, REGISTRY, "mine=7"));
    assert!(has(world, DB, "charset=DEBUG") && has(world, DB, "dbpass=framework-pass"));
    // The database as the run left it is kept as well.
    assert_eq!(dumps(world), ["0001.sql.gz", "0002.sql.gz"]);
    world.respec(|s| s.version = OLD);
    world.is_well();
}

fn what_somebody_changed_since_is_left(world: &mut World) {
    world.respec(|s| s.version = NEW);
    world.tarsops(["apply", "-y"]).exits(0);
    write(world, DB, "<tars>\n</tars>\n");
    let before = digest(world, REGISTRY);
    world
        .tarsops(["rollback", "-y"])
        .exits(6)
        .tells("the template tars.framework-db has changed since that run");
    assert_eq!(digest(world, REGISTRY), before);
    // A plan that was saved before somebody wrote a template is stale, and one that was made before
    // stops at it.
    for name in [REGISTRY, LOG, DB] {
        write(world, name, &installed(world, name));
    }
    world.tarsops(["plan", "-o", "saved.plan"]).exits(2);
    let asked = until_asked(&world.command(&["apply", "saved.plan"]));
    write(
        world,
        DB,
        &installed(world, DB).replace("</db>", "x=1\n</db>"),
    );
    asked.types("yes\n").exits(5).tells("has another text");
    world
        .tarsops(["apply", "saved.plan", "-y"])
        .exits(5)
        .tells("action.before");
    assert!(has(world, DB, "charset=DEBUG"));
    for name in [REGISTRY, LOG, DB] {
        write(world, name, &installed(world, name));
    }
}

fn a_backup_that_fails_stops_everything(world: &mut World) {
    let before = [REGISTRY, LOG, DB].map(|n| digest(world, n));
    let folder = below_tarsops(world, "backups");
    let aside = below_tarsops(world, "backups.aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let runs = names(&below_tarsops(world, "runs"));
    let stage = names(&below_tarsops(world, "stage"));
    let failed = world.tarsops(["apply", "-y"]);
    failed
        .exits(8)
        .tells("there is no backup, so nothing was changed");
    assert_eq!(names(&below_tarsops(world, "stage")), stage);
    assert_eq!(names(&below_tarsops(world, "runs")), runs);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert_eq!([REGISTRY, LOG, DB].map(|n| digest(world, n)), before);
}

fn without_the_right_nothing_is_written(world: &mut World) {
    world
        .database
        .account("reader", PASSWORD, Rights::Read)
        .unwrap();
    world.respec(|s| s.user = "reader");
    let before = [REGISTRY, LOG, DB].map(|n| digest(world, n));
    let (runs, rows) = (
        names(&below_tarsops(world, "runs")).len(),
        names(&below_tarsops(world, "rows")),
    );
    let failed = world.tarsops(["apply", "-y"]);
    failed.exits(8).tells("nothing was changed").tells("denied");
    assert_eq!([REGISTRY, LOG, DB].map(|n| digest(world, n)), before);
    // The dump of that run stays, and is told of; nothing else of it does.
    assert!(names(&below_tarsops(world, "runs")).len() <= runs + 1);
    assert_eq!(names(&below_tarsops(world, "rows")), rows);
    world.respec(|s| s.user = "ops");
}

fn a_database_that_is_lost_in_the_middle_leaves_a_whole_row(world: &mut World) {
    let before = [REGISTRY, LOG, DB].map(|n| digest(world, n));
    world.sql("CREATE TRIGGER db_tars.slow BEFORE UPDATE ON db_tars.t_profile_template FOR EACH ROW SET @x = SLEEP(15)");
    let world_ = &*world;
    let failed = std::thread::scope(|scope| {
        let apply = scope.spawn(|| world_.tarsops(["apply", "-y"]));
        wait_until("the template to be written", PATIENCE, || {
            let busy =
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
            world_.database.root_sql(busy).unwrap_or_default() == "1\n"
        });
        let pid = rustix::process::Pid::from_raw(world_.database.pid().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        apply.join().unwrap()
    });
    failed.exits(8).tells("nothing was changed");
    assert!(failed.took < Duration::from_secs(60), "{:?}", failed.took);
    world.database.start_again().unwrap();
    assert_eq!([REGISTRY, LOG, DB].map(|n| digest(world, n)), before);
    world.sql("DROP TRIGGER db_tars.slow");
    world.tarsops(["apply", "-y"]).exits(0);
    assert!(has(world, REGISTRY, "nodeTimeout=300"));
    world.is_well();
}

/// `on_failure: rollback-all`: a host that fails after the templates takes them back as well.
fn a_run_that_fails_later_takes_its_templates_back(world: &mut World) {
    world.tarsops(["rollback", "-y"]).exits(0);
    world.respec(|s| {
        s.version = NEW;
        s.deadline = "5s";
    });
    let before = [REGISTRY, LOG, DB].map(|n| digest(world, n));
    let spec = world.dir().join("cluster.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    let all = text.replace("settle: 1s", "settle: 1s, on_failure: rollback-all");
    std::fs::write(&spec, all).unwrap();
    // A node cannot register any more, so its change goes back.
    let node = world.node(3);
    world.sql(&format!(
        "DELETE FROM db_tars.t_node_info WHERE node_name = '{node}'; \
         ALTER TABLE db_tars.t_node_info ADD CONSTRAINT refused CHECK (node_name <> '{node}')"
    ));
    let failed = world.tarsops(["apply", "-y"]);
    failed.exits(8).tells("of this run (on_failure)");
    assert_eq!([REGISTRY, LOG, DB].map(|n| digest(world, n)), before);
    world.sql("ALTER TABLE db_tars.t_node_info DROP CONSTRAINT refused");
    world.respec(|s| s.deadline = "45s");
    world.tarsops(["apply", "-y"]).exits(0);
    world.is_well();
}

fn a_column_is_added_and_stays(world: &mut World) {
    let count = "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'db_tars' AND TABLE_NAME = 't_base_image' AND COLUMN_NAME = 'result'";
    world.sql("ALTER TABLE db_tars.t_base_image DROP COLUMN result");
    world
        .tarsops(["plan"])
        .exits(2)
        .says("+ schema  add the column result to t_base_image");
    world.tarsops(["apply", "-y"]).exits(0);
    assert_eq!(world.sql(count), "1\n");
    let rolled = world.tarsops(["rollback", "-y"]);
    rolled
        .exits(0)
        .tells("the column result of t_base_image stays");
    assert_eq!(world.sql(count), "1\n");
    world.is_well();
}

fn without_a_database_nothing_is_made(world: &mut World) {
    let other = tarsops_standin::database::MariaDb::start(
        world.dir(),
        &tarsops_standin::database::MariaDbOptions::default(),
    )
    .unwrap();
    other.account("ops", PASSWORD, Rights::All).unwrap();
    world.respec(|s| s.address = Some(other.address()));
    world
        .tarsops(["apply", "-y"])
        .exits(6)
        .says("there is no db_tars, and the spec says `rebuild: never`");
    let spec = world.dir().join("cluster.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, text.replace("rebuild: never", "rebuild: bootstrap")).unwrap();
    world
        .tarsops(["apply", "-y"])
        .exits(6)
        .says("this version of tarsops does not do that yet");
    assert_eq!(other.root_sql("SHOW DATABASES LIKE 'db_tars'").unwrap(), "");
    world.respec(|s| s.address = None);
}
