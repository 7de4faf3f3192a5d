//! Ways to log in to the database, and servers that are set up in other ways than the installer's.

use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema};

use crate::world::{PASSWORD, World};

/// One cluster for all: making one is what takes the time.
#[test]
fn databases_as_people_have_them() {
    let world = &mut World::new(2);
    an_account_of_mariadb(world);
    modes_and_settings(world);
    secrets_that_cannot_be_read(world);
    tls_that_is_too_old(world);
}

fn an_account_of_mariadb(world: &mut World) {
    let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
    world.sql(&format!(
        "INSTALL SONAME 'auth_ed25519'; \
         CREATE USER edu@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{quoted}'); \
         GRANT ALL ON *.* TO edu@'%'"
    ));
    world.respec(|s| s.user = "edu");
    world.is_well();
    world.tarsops(["drift"]).exits(0);
    world.tarsops(["status"]).exits(0);
    // Its password is another one.
    world.sql("ALTER USER edu@'%' IDENTIFIED VIA ed25519 USING PASSWORD('another')");
    world
        .check("not-registered", "unknown", 4)
        .says("does not let edu in")
        .hides("panicked");
    world.respec(|s| s.user = "ops");
    world.is_well();
}

fn modes_and_settings(world: &mut World) {
    for setting in [
        "sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "sql_mode = 'ORACLE'",
        "init_connect = 'SET autocommit = 0, time_zone = ''+08:00'', sql_select_limit = 1'",
    ] {
        let name = setting.split(' ').next().unwrap();
        let before = world.sql(&format!("SELECT @@GLOBAL.{name}"));
        world.sql(&format!("SET GLOBAL {setting}"));
        world.is_well();
        world.tarsops(["drift"]).exits(0);
        let before = before.trim();
        world.sql(&format!("SET GLOBAL {name} = '{before}'"));
    }
}

fn secrets_that_cannot_be_read(world: &mut World) {
    let file = world.dir().join("password");
    let usual = std::fs::read(&file).unwrap();
    for (content, why) in [
        (&b"hunter\0two"[..], "gives a zero byte"),
        (b"hunter\xfftwo", "gives no UTF-8"),
    ] {
        std::fs::write(&file, content).unwrap();
        let ran = world.tarsops(["plan"]);
        let whole = format!("{}{}", ran.out, ran.err);
        assert!(whole.contains(why) && whole.contains("password"), "{whole}");
        assert!(!whole.contains("hunter"), "{whole}");
    }
    std::fs::write(&file, [usual, b"\r\n".to_vec()].concat()).unwrap();
    world.is_well();
}

fn tls_that_is_too_old(world: &mut World) {
    let old = MariaDb::start(
        world.dir(),
        &MariaDbOptions {
            tls: true,
            more: &["--tls-version=TLSv1.1"],
            ..MariaDbOptions::default()
        },
    )
    .unwrap();
    old.load(Schema::AfterConsole).unwrap();
    old.account("ops", PASSWORD, Rights::All).unwrap();
    world.respec(|s| s.address = Some(old.address()));
    world
        .check("no-database", "unknown", 4)
        .says("no TLS can be agreed on")
        .says("`database.tls: none`")
        .hides("cannot be reached");
    world.respec(|s| s.address = None);
    world.is_well();
}
