//! The database of the stand-ins is a real one, listens where it should, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};

fn lives(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_server_comes_up_with_both_schemas_and_leaves_nothing() {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let database = MariaDb::start(dir.path(), &MariaDbOptions::default()).unwrap();
    println!("a server after {} ms", began.elapsed().as_millis());
    let began = Instant::now();
    database.load(Schema::Installed).unwrap();
    database.fill().unwrap();
    println!("schema and rows after {} ms", began.elapsed().as_millis());
    let columns =
        "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_NAME = 't_server_conf'";
    assert_eq!(database.root_sql(columns).unwrap(), "38\n");
    database.root_sql("DROP DATABASE db_tars").unwrap();
    database.load(Schema::AfterConsole).unwrap();
    database.fill().unwrap();
    assert_eq!(database.root_sql(columns).unwrap(), "37\n");
    let said = database
        .root_sql("SELECT * FROM nowhere.nothing")
        .unwrap_err();
    assert!(said.to_string().contains("nothing"), "{said}");

    let (pid, address) = (database.pid().unwrap(), database.address());
    assert!(lives(pid));
    TcpStream::connect(address).unwrap();
    drop(database);
    assert!(!lives(pid));
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn accounts_with_their_passwords_come_in_and_root_does_not() {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let mut database = MariaDb::start(dir.path(), &MariaDbOptions::default()).unwrap();
    database.load(Schema::Installed).unwrap();
    database
        .account("o'ps", r"it's \ secret", Rights::Read)
        .unwrap();
    let login = |database: &MariaDb, user: &str, password: &str| {
        Command::new("mariadb")
            .args([
                "--no-defaults",
                "--protocol=tcp",
                "-e",
                "SELECT COUNT(*) FROM db_tars.t_task",
            ])
            .arg(format!("--host={}", database.address().ip()))
            .arg(format!("--port={}", database.address().port()))
            .arg(format!("--user={user}"))
            .env("MYSQL_PWD", password)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(login(&database, "o'ps", r"it's \ secret"));
    assert!(!login(&database, "o'ps", "another"));
    assert!(!login(&database, "root", ""));
    // A crash keeps the data.
    database.kill();
    assert!(!login(&database, "o'ps", r"it's \ secret"));
    database.start_again().unwrap();
    assert!(login(&database, "o'ps", r"it's \ secret"));
}

/// Not a test of its own: the process that is killed by the next one.
#[test]
fn held_by_a_process_that_is_killed() {
    let Ok(dir) = std::env::var("HELD_DATABASE_IN") else {
        return;
    };
    let database = MariaDb::start(Path::new(&dir), &MariaDbOptions::default()).unwrap();
    std::fs::write(
        Path::new(&dir).join("pid"),
        database.pid().unwrap().to_string(),
    )
    .unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_server_does_not_outlive_a_process_that_was_killed() {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "held_by_a_process_that_is_killed"])
        .env("HELD_DATABASE_IN", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let pid: i32 = loop {
        if let Some(pid) = std::fs::read_to_string(dir.path().join("pid"))
            .ok()
            .and_then(|text| text.parse().ok())
        {
            break pid;
        }
        assert!(Instant::now() < until, "no server came up");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(lives(pid));
    child.kill().unwrap();
    child.wait().unwrap();
    // The folder goes last.
    while lives(pid) || std::fs::read_dir(dir.path()).unwrap().count() > 1 {
        assert!(Instant::now() < until, "the server or its folder stayed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_cannot_start_says_why() {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = MariaDbOptions {
        port: taken.local_addr().unwrap().port(),
        ..MariaDbOptions::default()
    };
    let said = MariaDb::start(dir.path(), &options)
        .unwrap_err()
        .to_string();
    assert!(said.contains("Address already in use"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
