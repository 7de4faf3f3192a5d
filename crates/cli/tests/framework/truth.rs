//! What the sources say, side by side; and that nothing is concluded from silence.

use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema};

use crate::world::{NEW, OLD, PASSWORD, World};

/// One cluster for all: making one is what takes the time.
#[test]
fn nothing_is_concluded_from_silence() {
    let world = &mut World::new(3);
    a_database_that_is_silent_proves_nothing(world);
    a_user_who_may_see_little_proves_little(world);
    a_database_with_another_key_than_before_proves_nothing(world);
    an_admin_registry_that_is_silent_proves_nothing(world);
}

#[test]
fn where_all_agree_every_source_has_its_word() {
    let world = World::bare(4);
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0).says("4 done");
    // The gates have asked: everybody is registered and connected.
    let rows = world.sql("SELECT COUNT(*) FROM db_tars.t_node_info WHERE present_state = 'active'");
    assert_eq!(rows, "4\n");
    let checked = world.tarsops(["check"]);
    checked
        .exits(0)
        .says("database-connection   warning   not encrypted")
        .says(" 0 drift, 0 blocked, 1 warning, 0 unknown, 5 skipped.");
    world.tarsops(["drift"]).exits(0).is_quiet();
    let status = world.tarsops(["status", "-v"]);
    status.exits(0);
    let line = status
        .out
        .lines()
        .find(|l| l.starts_with(&format!("agent/{} ", world.node(4))))
        .unwrap();
    for word in [
        "spec: runs",
        "host: pid ",
        "rpc: ServerObj answers",
        "AdminRegistry: ping succ",
        "database: active, heartbeat ",
    ] {
        assert!(line.contains(word), "want `{word}`: {line}");
    }
    for word in [
        "server/tarsregistry@",
        "AdminRegistry: Active (pid ",
        "TarsCpp 3.0.20",
        "registry/",
    ] {
        status.says(word);
    }
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
}

fn a_database_that_is_silent_proves_nothing(world: &mut World) {
    world.database.freeze();
    let frozen = world.tarsops(["plan"]);
    frozen
        .exits(4)
        .says("gave no answer in time")
        .says("0 to add, 0 to change, 0 to remove");
    world.database.thaw();
    world.database.kill();
    world.check("no-database", "unknown", 4);
    let plan = world.tarsops(["plan"]);
    plan.exits(4).says("0 to add, 0 to change, 0 to remove");
    world.tarsops(["drift"]).exits(4);
    world.tarsops(["status"]).exits(4).tells("not seen: ");
    // Nobody could say whether a node comes back, nor what its registration loses.
    world.respec(|s| s.version = NEW);
    let before = world.pids(3, "tarsnode");
    let waits = world.tarsops(["apply", "-y"]);
    waits
        .exits(4)
        .says("its registration, on which a restart rests");
    assert_eq!(world.pids(3, "tarsnode"), before);
    world.respec(|s| s.version = OLD);
    world.database.start_again().unwrap();
    world.is_well();
}

fn a_database_with_another_key_than_before_proves_nothing(world: &mut World) {
    const CHECK: &str = "database-connection";
    let options = MariaDbOptions {
        tls: true,
        ..MariaDbOptions::default()
    };
    let other = MariaDb::start(world.dir(), &options).unwrap();
    other.load(Schema::AfterConsole).unwrap();
    other.fill().unwrap();
    other.account("ops", PASSWORD, Rights::All).unwrap();
    world.respec(|s| s.address = Some(other.address()));
    let first = world.check(CHECK, "warning", 6);
    first.says("pinned from this use on");
    let later = world.check(CHECK, "ok", 6);
    later.says("is pinned and did not change");
    let folder = world.dir().join("state/tarsops");
    let cluster = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let file = cluster.path().join("known_databases");
    let known = std::fs::read_to_string(&file).unwrap();
    let (head, _) = known.rsplit_once(':').unwrap();
    std::fs::write(&file, format!("{head}:{}\n", "0".repeat(64))).unwrap();
    let changed = world.check(CHECK, "unknown", 4);
    changed.says("has another key than before").says("line 3");
    let plan = world.tarsops(["plan"]);
    plan.exits(4).says("0 to add, 0 to change, 0 to remove");
    world.respec(|s| s.address = None);
    world.is_well();
}

fn a_user_who_may_see_little_proves_little(world: &mut World) {
    world
        .database
        .account("nobody", PASSWORD, Rights::Nothing)
        .unwrap();
    world.respec(|s| s.user = "nobody");
    let blind = world.check("no-database", "unknown", 4);
    blind.says("SHOW DATABASES");
    world
        .tarsops(["plan"])
        .exits(4)
        .says("0 to add, 0 to change, 0 to remove");
    world.respec(|s| s.user = "stranger");
    world
        .check("not-registered", "unknown", 4)
        .says("does not let stranger in");
    // Who may see all databases, and sees none, has proof.
    world
        .database
        .account("seer", PASSWORD, Rights::ShowDatabases)
        .unwrap();
    world.sql("RENAME TABLE db_tars.t_node_info TO mysql.t_node_info_away");
    world.respec(|s| s.user = "ops");
    let lacks = world.tarsops(["plan"]);
    lacks.exits(4).says("0 to add, 0 to change, 0 to remove");
    world.sql("RENAME TABLE mysql.t_node_info_away TO db_tars.t_node_info");
    world.is_well();
}

fn an_admin_registry_that_is_silent_proves_nothing(world: &mut World) {
    world.freeze(1, "tarsAdminRegistry");
    let plan = world.tarsops(["plan"]);
    plan.exits(2).says("0 to add, 0 to change, 0 to remove");
    world.check("connection-lost", "unknown", 2);
    world.thaw(1, "tarsAdminRegistry");
    world.is_well();
}

#[test]
fn without_a_database_and_without_rpc_it_says_what_it_did_not_ask() {
    let mut world = World::bare(3);
    world.respec(|s| s.database = false);
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("not checked by gates: registration (the spec names no database)");
    world.respec(|s| s.rpc = "none");
    let plan = world.tarsops(["plan"]);
    plan.exits(2)
        .says("not checked by gates: AdminRegistry's ping (the spec says `rpc: none`)");
    world.tarsops(["apply", "-y"]).exits(0);
    world.check("servant-silent", "skipped", 0);
}
