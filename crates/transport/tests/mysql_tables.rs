//! Dumps of whole databases, templates and columns, against a real MariaDB: all of it, or nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::database::{PASSWORD, WAIT, access, at, clock, filled, start_with};
use support::server::in_time;
use support::{forward, through};
use tarsops_model::desired::Tls;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{ADDITIONS, Addition, Confidential, Rows};
use tarsops_model::observed::Observed;
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema};
use tarsops_transport::mysql::{
    Access, BackupError, DatabaseError, Dump, KnownServers, NewText, TemplateText, Tool, WriteError,
};

/// With an account that may do everything, and rows that are hard to write down.
fn prepared() -> (tempfile::TempDir, MariaDb, Access) {
    let (dir, database) = filled(Schema::Installed);
    database.account("admin", PASSWORD, Rights::All).unwrap();
    database
        .root_sql(
            r#"SET NAMES utf8mb4;
            CREATE DATABASE db_tars_web;
            CREATE TABLE db_tars_web.odd (id INT PRIMARY KEY, `a``b` VARCHAR(40), raw BLOB, bits BIT(5), at TIMESTAMP NULL)
              DEFAULT CHARSET utf8mb4;
            INSERT INTO db_tars_web.odd VALUES
              (0, 'it''s \\ "q" \n 日本 -- Dump completed', x'00ff80deadbeef', b'10101', '2026-03-29 02:30:00'),
              (2, NULL, '', NULL, NULL);
            CREATE VIEW db_tars_web.seen AS SELECT id FROM db_tars_web.odd;
            CREATE DATABASE tars_stat; CREATE TABLE tars_stat.big (x INT);
            INSERT INTO db_tars.t_server_conf (application, server_name, node_name, profile, source) VALUES
              ('tars', 'tarslog', 'gw-1', REPEAT('<tars>\n', 5000), CONCAT('x', CHAR(7), 'y'));
            DELETE FROM db_tars.t_profile_template;"#,
        )
        .unwrap();
    let access = Access {
        user: "admin".to_owned(),
        ..access(&database)
    };
    (dir, database, access)
}

fn kept() -> Vec<String> {
    ["db_tars", "db_tars_web"].map(str::to_owned).into()
}

fn plain(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap();
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut text)
        .unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Everything that the dumped databases hold.
fn sums(database: &MariaDb) -> String {
    let tables = database
        .root_sql(
            "SELECT CONCAT('CHECKSUM TABLE ', GROUP_CONCAT(TABLE_SCHEMA, '.', TABLE_NAME ORDER BY TABLE_SCHEMA, TABLE_NAME), ' EXTENDED') \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ('db_tars', 'db_tars_web') AND TABLE_TYPE = 'BASE TABLE'",
        )
        .unwrap();
    let rows = "SELECT HEX(raw), HEX(`a``b`), HEX(bits), UNIX_TIMESTAMP(at) FROM db_tars_web.odd ORDER BY id; \
                SELECT COUNT(*) FROM db_tars_web.seen; SHOW CREATE TABLE db_tars.t_server_conf; SHOW CREATE DATABASE db_tars";
    database.root_sql(&format!("{tables}; {rows}")).unwrap()
}

fn restore(database: &MariaDb, text: &str) {
    let mut client = Command::new("mariadb")
        .args([
            "--no-defaults",
            "--sandbox",
            "--user=root",
            "--default-character-set=latin1",
        ])
        .arg(format!("--socket={}", database.socket().display()))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    client
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert!(client.wait().unwrap().success());
}

async fn dump(access: &Access, to: &Path, tool: Option<&Tool>) -> Result<Dump, BackupError> {
    access.backup(&kept(), to, tool, WAIT).await
}

#[tokio::test]
async fn a_dump_brings_everything_back_whoever_wrote_it() {
    let (dir, database, access) = prepared();
    let tool = Tool::find().expect("mariadb-dump comes with the server");
    let broken = Tool::at("/bin/false");
    let before = sums(&database);
    let folder = dir.path().join("dumps");
    std::fs::create_dir(&folder).unwrap();
    for (number, tool, by) in [
        (1, Some(&tool), "mariadb-dump"),
        (2, None, "tarsops"),
        (
            3,
            Some(&broken),
            "tarsops, as false failed: it printed nothing",
        ),
    ] {
        let file = folder.join(format!("{number}.gz"));
        let made = dump(&access, &file, tool).await.unwrap();
        assert_eq!(made.by, by);
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(
            (made.size, made.digest),
            (bytes.len() as u64, Digest::of(&bytes))
        );
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = plain(&file);
        let first = text.lines().next();
        assert_eq!(
            first,
            Some(r"/*M!999999\- enable the sandbox mode */ "),
            "{by}"
        );
        assert!(!text.contains("hunter2") && !text.contains("tars_stat.big"));
        database
            .root_sql("DROP DATABASE db_tars_web; DROP TABLE db_tars.t_node_info; DELETE FROM db_tars.t_server_conf")
            .unwrap();
        restore(&database, &text);
        assert_eq!(sums(&database), before, "{by}");
    }
    // Nothing is beside them, least of all the password.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
}

/// Through a node's SSH, and over TLS where the server offers it: the program reaches what we reach.
#[tokio::test]
async fn the_program_takes_the_same_way() {
    let options = MariaDbOptions {
        tls: true,
        ..MariaDbOptions::default()
    };
    let (dir, database) = start_with(options);
    database.load(Schema::Installed).unwrap();
    database.account("ops", PASSWORD, Rights::Read).unwrap();
    database.root_sql("ALTER USER ops@'%' REQUIRE SSL").unwrap();
    let socket = dir.path().join("tunnel");
    let tunnel = forward(&socket, at(&database));
    let tool = Tool::find();
    let names = ["db_tars".to_owned()];
    let prefer = Access {
        known: Some(KnownServers::at(dir.path().join("known"))),
        ..access(&database)
    };
    let by_ssh = Access {
        way: through(socket),
        ..prefer.clone()
    };
    let verify = Access {
        tls: Tls::Verify {
            ca: database.ca().unwrap(),
        },
        ..prefer.clone()
    };
    for access in [&prefer, &by_ssh, &verify] {
        let file = dir.path().join("dump.gz");
        let made = access.backup(&names, &file, tool.as_ref(), WAIT).await;
        assert_eq!(made.unwrap().by, "mariadb-dump");
        assert!(plain(&file).contains("t_server_conf"));
    }
    tunnel.abort();
}

#[tokio::test]
async fn names_that_a_client_could_take_for_commands_are_not_dumped() {
    let (dir, database, access) = prepared();
    let file = dir.path().join("dump.gz");
    for (make, remove) in [
        (
            r"CREATE TABLE db_tars_web.`a\` (id int)",
            r"DROP TABLE db_tars_web.`a\`",
        ),
        (
            r"CREATE VIEW db_tars_web.plain AS SELECT 1 AS `a\`",
            "DROP VIEW db_tars_web.plain",
        ),
    ] {
        database.root_sql(make).unwrap();
        let error = dump(&access, &file, None).await.unwrap_err();
        assert!(matches!(error, BackupError::Unsafe(_)), "{error}");
        assert!(!file.exists());
        database.root_sql(remove).unwrap();
    }
    dump(&access, &file, None).await.unwrap();
}

#[tokio::test]
async fn a_dump_that_fails_leaves_nothing() {
    let (dir, mut database, access) = prepared();
    let tool = Tool::find();
    let file = dir.path().join("dump.gz");
    // Who may read nothing of a database has it left out, and told.
    database
        .root_sql("GRANT SELECT ON db_tars.* TO ops@'%'")
        .unwrap();
    let reader = support::database::access(&database);
    let made = dump(&reader, &file, tool.as_ref()).await.unwrap();
    assert_eq!(made.left_out, ["db_tars_web"]);
    std::fs::remove_file(&file).unwrap();
    // Some of a table may not be read: no dump, by nobody.
    database
        .root_sql("CREATE USER half@'%' IDENTIFIED BY 'hunter2'; GRANT SELECT ON db_tars.t_node_info TO half@'%'; GRANT SELECT (id) ON db_tars.t_server_conf TO half@'%'")
        .unwrap();
    let half = Access {
        user: "half".to_owned(),
        password: tarsops_transport::mysql::Secret::new("hunter2"),
        ..access.clone()
    };
    for tool in [tool.as_ref(), None] {
        let error = dump(&half, &file, tool).await.unwrap_err();
        assert!(
            matches!(error, BackupError::Database(DatabaseError::NoRight { .. })),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(!file.exists());
    }
    database
        .root_sql("CREATE USER blind@'%' IDENTIFIED BY 'x'")
        .unwrap();
    let blind = Access {
        user: "blind".to_owned(),
        password: tarsops_transport::mysql::Secret::new("x"),
        ..access.clone()
    };
    let error = dump(&blind, &file, None).await.unwrap_err();
    assert!(
        error.to_string().contains("may read nothing in db_tars"),
        "{error}"
    );
    // Nowhere to write.
    let nowhere = dir.path().join("missing/dump.gz");
    for tool in [tool.as_ref(), None] {
        let error = dump(&access, &nowhere, tool).await.unwrap_err();
        assert!(matches!(error, BackupError::Local(_)), "{error:?}");
    }
    // It falls silent, or goes, in the middle.
    database.freeze();
    let wanted = kept();
    let backup = access.backup(&wanted, &file, tool.as_ref(), Duration::from_millis(500));
    let error = in_time(Duration::from_secs(5), backup).await.unwrap_err();
    assert!(
        matches!(error, BackupError::Database(DatabaseError::TimedOut(_))),
        "{error:?}"
    );
    database.thaw();
    database.kill();
    let error = dump(&access, &file, tool.as_ref()).await.unwrap_err();
    assert!(
        matches!(
            error,
            BackupError::Database(DatabaseError::Unreachable { .. })
        ),
        "{error:?}"
    );
    assert!(!file.exists());
}

async fn rows(access: &Access) -> Rows {
    let facts = access.read(&clock, false, WAIT).await.unwrap();
    match facts.rows {
        Observed::Present(rows) => rows,
        other => panic!("{other:?}"),
    }
}

const NAME: &str = "tars.framework-db";
const TEXT: &str = "<tars>\n<db>\ndbpass=geheim ünï'\\\\\n</db>\n</tars>\n";

fn insert(parent: &str, text: &str) -> NewText {
    NewText::Insert(TemplateText {
        parent: parent.to_owned(),
        text: Confidential::new(text),
    })
}

async fn change(access: &Access, name: &str, new: NewText) -> Result<(), WriteError> {
    access
        .change_template(name, &move |_| Ok(new.clone()), WAIT)
        .await
}

fn is(database: &MariaDb, name: &str) -> String {
    database
        .root_sql(&format!(
            "SELECT SHA2(profile, 256) FROM db_tars.t_profile_template WHERE template_name = '{name}'"
        ))
        .unwrap()
        .trim()
        .to_owned()
}

fn sum(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

#[tokio::test]
async fn a_template_is_written_whole_or_not_at_all() {
    let (_dir, database, access) = prepared();
    assert!(rows(&access).await.template(NAME).is_absent());
    change(&access, NAME, insert("tars.default", TEXT))
        .await
        .unwrap();
    let seen = rows(&access).await;
    let row = seen.template(NAME).present().copied().cloned().unwrap();
    assert_eq!(row.parent.as_deref(), Some("tars.default"));
    assert_eq!(row.text.as_ref().unwrap().expose(), TEXT);
    assert_eq!(row.digest.as_deref(), Some(sum(TEXT).as_str()));
    assert_eq!(is(&database, NAME), sum(TEXT));
    let read = access.template(NAME, WAIT).await.unwrap().unwrap();
    assert_eq!(read.text.expose(), TEXT);
    assert!(!format!("{read:?} {row:?}").contains("geheim"));
    // It is there already, or not as it was thought to be.
    let twice = change(&access, NAME, insert("tars.default", "x")).await;
    assert!(matches!(twice, Err(WriteError::Refused(_))), "{twice:?}");
    let moved = access
        .change_template(NAME, &|_| Err("it has another text".to_owned()), WAIT)
        .await;
    assert_eq!(moved.unwrap_err().to_string(), "it has another text");
    // The table's type holds 64 KiB: what is longer is refused, not cut.
    let long = "x".repeat(70_000);
    let cut = change(&access, NAME, NewText::Write(Confidential::new(long))).await;
    assert!(matches!(cut, Err(WriteError::Database(_))), "{cut:?}");
    assert_eq!(is(&database, NAME), sum(TEXT));
    // A character that the table's encoding does not have.
    let odd = change(&access, NAME, NewText::Write(Confidential::new("k=🦀"))).await;
    assert!(
        matches!(odd, Err(WriteError::Database(_) | WriteError::Refused(_))),
        "{odd:?}"
    );
    assert_eq!(is(&database, NAME), sum(TEXT));
    // Names are Tars' own, whatever the table's collation calls equal.
    assert_eq!(
        access.template("TARS.framework-db", WAIT).await.unwrap(),
        None
    );
    let new = "<tars>\n</tars>\n";
    change(&access, NAME, NewText::Write(Confidential::new(new)))
        .await
        .unwrap();
    assert_eq!(is(&database, NAME), sum(new));
    assert_eq!(
        database.root_sql("SELECT COUNT(*), MAX(lastuser), MAX(posttime) IS NOT NULL FROM db_tars.t_profile_template").unwrap(),
        "1\ttarsops\t1\n"
    );
    change(&access, NAME, NewText::Delete).await.unwrap();
    assert_eq!(is(&database, NAME), "");
    let gone = change(&access, NAME, NewText::Delete).await;
    assert!(matches!(gone, Err(WriteError::Refused(_))));
}

#[tokio::test]
async fn whoever_edits_at_the_same_time_loses_nothing() {
    let (_dir, database, access) = prepared();
    change(&access, NAME, insert("tars.default", TEXT))
        .await
        .unwrap();
    // While we decide, somebody else wants to write: it waits for us, and we see what was.
    let socket = database.socket();
    let decide = move |before: Option<&TemplateText>| {
        assert_eq!(before.unwrap().text.expose(), TEXT);
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--user=root"])
            .arg(format!("--socket={}", socket.display()))
            .args(["-e", "SET innodb_lock_wait_timeout=1; UPDATE db_tars.t_profile_template SET profile='theirs'"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!client.wait().unwrap().success());
        Ok(NewText::Write(Confidential::new("ours")))
    };
    access.change_template(NAME, &decide, WAIT).await.unwrap();
    assert_eq!(is(&database, NAME), sum("ours"));
    // Somebody holds the row: we give up, in time.
    let mut holder = Command::new("mariadb")
        .args(["--no-defaults", "--user=root", "--unbuffered"])
        .arg(format!("--socket={}", database.socket().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    stdin
        .write_all(b"BEGIN; SELECT template_name FROM db_tars.t_profile_template FOR UPDATE;\n")
        .unwrap();
    stdin.flush().unwrap();
    let mut first = [0; 1];
    holder
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let delete = |_: Option<&TemplateText>| Ok(NewText::Delete);
    let change = access.change_template(NAME, &delete, Duration::from_secs(4));
    let held = in_time(Duration::from_secs(6), change).await;
    assert!(matches!(held, Err(WriteError::Database(_))), "{held:?}");
    drop(stdin);
    holder.wait().unwrap();
    assert_eq!(is(&database, NAME), sum("ours"));
}

#[tokio::test]
async fn without_the_right_and_without_the_server_nothing_is_written() {
    let (_dir, mut database, access) = prepared();
    change(&access, NAME, insert("tars.default", TEXT))
        .await
        .unwrap();
    let reader = support::database::access(&database);
    let denied = change(&reader, NAME, NewText::Delete).await;
    assert!(matches!(denied, Err(WriteError::Database(_))), "{denied:?}");
    let denied = reader.add_column(&ADDITIONS[0], WAIT).await;
    assert!(matches!(denied, Err(WriteError::Database(_))), "{denied:?}");
    database
        .root_sql("GRANT UPDATE, ALTER ON db_tars.* TO ops@'%'; SET GLOBAL read_only = 1")
        .unwrap();
    let read_only = change(&reader, NAME, NewText::Delete).await.unwrap_err();
    assert!(
        read_only.to_string().contains("read-only") || read_only.to_string().contains("denied"),
        "{read_only}"
    );
    let read_only = reader.add_column(&ADDITIONS[0], WAIT).await.unwrap_err();
    assert!(read_only.to_string().contains("read-only"), "{read_only}");
    assert_eq!(is(&database, NAME), sum(TEXT));
    database.freeze();
    let late = access
        .change_template(NAME, &|_| Ok(NewText::Delete), Duration::from_millis(300))
        .await;
    assert!(
        matches!(late, Err(WriteError::Database(DatabaseError::TimedOut(_)))),
        "{late:?}"
    );
    database.thaw();
    database.kill();
    let gone = change(&access, NAME, NewText::Delete).await;
    assert!(
        matches!(
            gone,
            Err(WriteError::Database(DatabaseError::Unreachable { .. }))
        ),
        "{gone:?}"
    );
}

#[tokio::test]
async fn columns_are_seen_proven_missing_and_added_once() {
    let (_dir, database, access) = prepared();
    let seen = rows(&access).await;
    for addition in ADDITIONS {
        assert_eq!(
            seen.column(addition.table, addition.column),
            Observed::Present(true)
        );
    }
    database
        .root_sql("ALTER TABLE db_tars.t_server_conf DROP COLUMN run_type; DROP TABLE db_tars.t_base_image")
        .unwrap();
    let seen = rows(&access).await;
    assert_eq!(
        seen.column("t_server_conf", "run_type"),
        Observed::Present(false)
    );
    assert_eq!(
        seen.column("t_server_conf", "base_image_id"),
        Observed::Present(true)
    );
    assert_eq!(seen.column("t_base_image", "result"), Observed::Absent);
    // Who may read some columns only proves nothing of the others.
    database
        .root_sql("REVOKE SELECT ON db_tars.* FROM ops@'%'; GRANT SELECT (id, application, server_name, node_name) ON db_tars.t_server_conf TO ops@'%'")
        .unwrap();
    let part = rows(&support::database::access(&database)).await;
    assert!(part.column("t_server_conf", "run_type").unknown().is_some());
    assert!(part.column("t_base_image", "result").unknown().is_some());
    access.add_column(&ADDITIONS[0], WAIT).await.unwrap();
    access.add_column(&ADDITIONS[0], WAIT).await.unwrap();
    assert_eq!(
        rows(&access).await.column("t_server_conf", "run_type"),
        Observed::Present(true)
    );
    let odd = Addition {
        column: "mine",
        ..ADDITIONS[0]
    };
    assert!(matches!(
        access.add_column(&odd, WAIT).await,
        Err(WriteError::Refused(_))
    ));
    let missing = access.add_column(&ADDITIONS[2], WAIT).await;
    assert!(
        matches!(missing, Err(WriteError::Database(_))),
        "{missing:?}"
    );
    // The framework's own statement for the same column adds nothing more.
    let count = "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'db_tars' AND TABLE_NAME = 't_server_conf' AND COLUMN_NAME IN ('run_type', 'mine')";
    assert_eq!(database.root_sql(count).unwrap(), "1\n");
}
