//! Databases as people have them: other kinds of login, other modes of the server, TLS that cannot be
//! agreed on, and answers that no server should give.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::Duration;

use support::database::{PASSWORD, WAIT, access, at, clock, filled, start_with};
use support::hostile::{END, Hostile, OK, SSL};
use support::web::certified_as;
use tarsops_model::desired::Tls;
use tarsops_model::framework::{Confidential, DatabaseFacts, Protection, Rows};
use tarsops_model::names::Endpoint;
use tarsops_model::observed::Observed;
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema};
use tarsops_transport::mysql::{
    Access, DatabaseError, KnownServers, NewText, Owner, Secret, TemplateText, Tool, Which,
};
use tarsops_transport::rpc::Route;
use tokio_rustls::TlsAcceptor;

async fn read(access: &Access) -> Result<DatabaseFacts, DatabaseError> {
    access.read(&clock, false, WAIT).await
}

/// What was read, without what grows with time.
async fn rows(access: &Access) -> Rows {
    let facts = read(access).await.unwrap();
    assert_eq!(facts.clock_skew, 0);
    let Observed::Present(mut rows) = facts.rows else {
        panic!("{:?}", facts.rows)
    };
    let (Observed::Present(nodes), Observed::Present(registries)) =
        (&mut rows.nodes, &mut rows.registries)
    else {
        panic!("{rows:?}")
    };
    let ages = nodes.values_mut().map(|n| &mut n.heartbeat_age);
    for age in ages.chain(registries.iter_mut().map(|r| &mut r.heartbeat_age)) {
        let seen = age.take().unwrap();
        assert!((0..600).contains(&seen), "{seen}");
    }
    rows
}

/// Heartbeats of now.
fn beat(database: &MariaDb) {
    for table in ["t_node_info", "t_registry_info"] {
        database
            .root_sql(&format!(
                "UPDATE db_tars.{table} SET last_heartbeat = NOW()"
            ))
            .unwrap();
    }
}

#[tokio::test]
async fn accounts_of_mariadb_log_in_by_ed25519() {
    for tls in [false, true] {
        let (dir, database) = start_with(MariaDbOptions {
            tls,
            ..MariaDbOptions::default()
        });
        database.load(Schema::Installed).unwrap();
        database.fill().unwrap();
        database.root_sql("INSTALL SONAME 'auth_ed25519'").unwrap();
        let quoted = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
        database
            .root_sql(&format!(
                "CREATE USER edu@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{quoted}'); \
                 GRANT SELECT, SHOW VIEW, TRIGGER, LOCK TABLES, EVENT ON db_tars.* TO edu@'%'"
            ))
            .unwrap();
        let edu = Access {
            user: "edu".to_owned(),
            known: Some(KnownServers::at(dir.path().join("known"))),
            ..access(&database)
        };
        let facts = read(&edu).await.unwrap();
        let by = if tls {
            Protection::FirstUse
        } else {
            Protection::None
        };
        assert_eq!(facts.protection, Observed::Present(by));
        assert!(matches!(facts.rows, Observed::Present(_)));
        let wrong = Access {
            password: Secret::new("another"),
            ..edu.clone()
        };
        let error = read(&wrong).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Denied { .. }), "{error:?}");
        let tool = Tool::find();
        assert!(tool.is_some(), "mariadb-dump comes with the server");
        for tool in [None, tool.as_ref()] {
            let file = dir.path().join("dump.gz");
            let names = ["db_tars".to_owned()];
            edu.backup(&names, &file, tool, WAIT).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_kind_of_login_that_we_lack_is_named_and_no_panic() {
    let (_, tls) = certified_as("IP:127.0.0.1", 2);
    for plugin in [
        "parsec",
        "sha256_password",
        "auth_gssapi_client",
        "unheard_of",
    ] {
        for (encrypted, greets) in [(false, false), (false, true), (true, false), (true, true)] {
            let tls = tls.clone();
            let server = Hostile::start(move |_, mut talk| {
                let tls = tls.clone();
                let first = if greets {
                    plugin
                } else {
                    "mysql_native_password"
                };
                async move {
                    if encrypted {
                        let Some((inner, _)) = talk.begin_tls(first, &tls).await else {
                            return;
                        };
                        talk = inner;
                    } else {
                        talk.begin(first).await;
                    }
                    let switch = format!("\u{fe}{plugin}\0abcdefghijklmnopqrstuvwxyz012345");
                    let switch: Vec<u8> = switch.chars().map(|c| c as u8).collect();
                    talk.say(&switch).await;
                    talk.hear_all().await;
                }
            })
            .await;
            let access = to(&server.at, if encrypted { Tls::Require } else { Tls::Off });
            let error = read(&access).await.unwrap_err();
            let said = error.to_string();
            assert!(
                matches!(error, DatabaseError::NoPlugin { .. }),
                "{greets}: {error:?}"
            );
            assert!(said.contains("ops of the database"), "{said}");
            assert!(said.contains(&format!("logs in by {plugin}")), "{said}");
            assert!(!server.has_heard(PASSWORD.as_bytes()));
        }
    }
}

/// A server of the framework whose row holds what modes read in different ways.
fn with_a_server(database: &MariaDb) {
    database
        .root_sql(
            "SET sql_mode = ''; INSERT INTO db_tars.t_server_conf (application, server_name, \
             node_name, setting_state, present_state, template_name, profile, server_type, \
             posttime) VALUES ('tars', 'tarsregistry', '10.77.0.2', 'active', 'active', \
             'tars.tarsregistry', 'a\\\\b''c\"d||e\\n', 'tars_cpp', '2026-01-02 03:04:05') \
             ON DUPLICATE KEY UPDATE profile = VALUES(profile), posttime = VALUES(posttime)",
        )
        .unwrap();
}

/// Writes and reads in every way that tarsops has, and leaves everything as it was.
async fn write_and_read(database: &MariaDb, access: &Access, what: &str) {
    let text = "a \\ back'slash \"quoted\" || ü\n\\n";
    let name = "tars.mode";
    let insert = |_: Option<&TemplateText>| {
        Ok(NewText::Insert(TemplateText {
            text: Confidential::new(text),
            parent: "tars.default".to_owned(),
        }))
    };
    access.change_template(name, &insert, WAIT).await.unwrap();
    let found = access.template(name, WAIT).await.unwrap().unwrap();
    assert_eq!(found.text, Confidential::new(text), "{what}");
    let remove = |_: Option<&TemplateText>| Ok(NewText::Delete);
    access.change_template(name, &remove, WAIT).await.unwrap();

    let look = "SELECT HEX(profile), posttime FROM db_tars.t_server_conf \
                WHERE node_name = '10.77.0.2' AND server_name = 'tarsregistry'";
    let before = database.root_sql(look).unwrap();
    assert!(before.starts_with("615C62276322647C7C650A\t"), "{before}");
    let which = [Which {
        table: "t_server_conf",
        column: "node_name",
        value: "10.77.0.2".to_owned(),
        prefix: false,
        also: vec![
            ("application", "tars".to_owned()),
            ("server_name", "tarsregistry".to_owned()),
        ],
    }];
    let dump = access.dump(&which, WAIT).await.unwrap();
    assert_eq!(access.delete(&which, WAIT).await.unwrap(), 1, "{what}");
    assert_eq!(database.root_sql(look).unwrap(), "", "{what}");
    let owner = Owner {
        server: "tarsregistry",
        node: "10.77.0.2",
        ip: [10, 77, 0, 2].into(),
        is_endpoint: |text, ip| text.contains(&format!("-h {ip} ")),
    };
    assert_eq!(
        access.put_back(&dump, &owner, WAIT).await.unwrap(),
        1,
        "{what}"
    );
    assert_eq!(database.root_sql(look).unwrap(), before, "{what}");
}

#[tokio::test]
async fn no_mode_of_the_server_changes_what_is_read_or_written() {
    let (_dir, database) = filled(Schema::AfterConsole);
    database.account("all", PASSWORD, Rights::All).unwrap();
    with_a_server(&database);
    let reader = access(&database);
    let all = Access {
        user: "all".to_owned(),
        ..reader.clone()
    };
    beat(&database);
    let usual = rows(&reader).await;
    let modes = [
        "",
        "NO_BACKSLASH_ESCAPES",
        "ANSI",
        "ANSI,NO_BACKSLASH_ESCAPES",
        "ORACLE",
        "MSSQL",
        "PIPES_AS_CONCAT",
        "IGNORE_SPACE,HIGH_NOT_PRECEDENCE",
        "PAD_CHAR_TO_FULL_LENGTH",
        "TRADITIONAL",
        "EMPTY_STRING_IS_NULL",
    ];
    for mode in modes {
        database
            .root_sql(&format!("SET GLOBAL sql_mode = '{mode}'"))
            .unwrap();
        assert_eq!(rows(&reader).await, usual, "{mode}");
        write_and_read(&database, &all, mode).await;
        assert_eq!(rows(&reader).await, usual, "{mode}");
    }
}

#[tokio::test]
async fn no_init_connect_changes_what_is_read_or_written() {
    let (dir, database) = filled(Schema::AfterConsole);
    database
        .root_sql("GRANT INSERT, UPDATE, DELETE, CREATE, ALTER ON db_tars.* TO ops@'%'")
        .unwrap();
    with_a_server(&database);
    let access = access(&database);
    beat(&database);
    let usual = rows(&access).await;
    for statement in [
        "SET NAMES latin1",
        "SET sql_mode = ''ORACLE,NO_BACKSLASH_ESCAPES''",
        "SET time_zone = ''+08:00''",
        "SET autocommit = 0",
        "SET sql_select_limit = 1",
        "SET sql_safe_updates = 1",
        "SET completion_type = ''CHAIN''",
        "SET foreign_key_checks = 0, unique_checks = 0",
        "SET character_set_results = NULL",
        "BEGIN",
        "SELECT 1",
    ] {
        database
            .root_sql(&format!("SET GLOBAL init_connect = '{statement}'"))
            .unwrap();
        beat(&database);
        assert_eq!(rows(&access).await, usual, "{statement}");
        write_and_read(&database, &access, statement).await;
        let names = ["db_tars".to_owned()];
        let file = dir.path().join("dump.gz");
        access.backup(&names, &file, None, WAIT).await.unwrap();
    }
    // One that fails is a failure of that server, with its words.
    database
        .root_sql("SET GLOBAL init_connect = 'SELECT nonsense'")
        .unwrap();
    let error = read(&access).await.unwrap_err();
    assert!(error.to_string().contains("init_connect"), "{error}");
}

#[tokio::test]
async fn heartbeats_are_compared_in_the_zone_of_the_server() {
    let (_dir, database) = filled(Schema::Installed);
    for zone in ["+08:00", "-11:30", "SYSTEM"] {
        database
            .root_sql(&format!("SET GLOBAL time_zone = '{zone}'"))
            .unwrap();
        beat(&database);
        // The ages are looked at there.
        rows(&access(&database)).await;
        let (row, _) = access(&database)
            .node_rows(&"10.77.0.1".parse().unwrap(), WAIT)
            .await
            .unwrap();
        let age = row.unwrap().heartbeat_age.unwrap();
        assert!((0..600).contains(&age), "{zone}: {age}");
    }
}

/// A server with this certificate, which lets everybody in.
async fn behind_tls(tls: TlsAcceptor) -> Hostile {
    Hostile::start(move |_, talk| {
        let tls = tls.clone();
        async move {
            if let Some((mut talk, _)) = talk.begin_tls("mysql_native_password", &tls).await {
                talk.let_in().await;
                talk.hear_all().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (stranger, _) = certified_as("IP:127.0.0.1", 2);
    for (names, days, own, part) in [
        ("IP:127.0.0.1", 2, true, None),
        ("IP:127.0.0.1", -1, true, Some("is not valid now: ")),
        (
            "IP:127.0.0.1",
            2,
            false,
            Some("is not from the authority in `database.ca`"),
        ),
        ("DNS:db.example", 2, true, Some("is for another name: ")),
        ("IP:10.0.0.1", 2, true, Some("is for another name: ")),
    ] {
        let (authority, tls) = certified_as(names, days);
        let server = behind_tls(tls).await;
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, if own { &authority } else { &stranger }).unwrap();
        let verified = to(&server.at, Tls::Verify { ca });
        let found = verified.connect(WAIT).await;
        let Some(part) = part else {
            found.unwrap();
            continue;
        };
        let error = found.map(drop).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("no way"), "{said}");
        // What it says to do works.
        let (_, after) = said.split_once("database.fingerprint: sha256:").unwrap();
        let pinned = Access {
            fingerprint: Some(after[..64].parse().unwrap()),
            tls: Tls::Require,
            ..verified
        };
        pinned.connect(WAIT).await.unwrap();
    }
}

#[tokio::test]
async fn tls_that_cannot_be_agreed_on_is_no_network_failure() {
    let (_dir, old) = start_with(MariaDbOptions {
        tls: true,
        more: &["--tls-version=TLSv1.1"],
        ..MariaDbOptions::default()
    });
    old.account("ops", PASSWORD, Rights::Read).unwrap();
    let (_dir, odd) = start_with(MariaDbOptions {
        tls: true,
        more: &["--tls-version=TLSv1.2", "--ssl-cipher=AES256-SHA"],
        ..MariaDbOptions::default()
    });
    odd.account("ops", PASSWORD, Rights::Read).unwrap();
    // Offers TLS, and leaves when it is asked for.
    let leaves = Hostile::start(|_, mut talk| async move {
        talk.greet(SSL, "mysql_native_password").await;
        talk.hear().await;
    })
    .await;
    // Answers in plain text.
    let plain = Hostile::start(|_, mut talk| async move {
        talk.greet(SSL, "mysql_native_password").await;
        talk.hear().await;
        talk.say(OK).await;
        talk.hear_all().await;
    })
    .await;
    for (server, at) in [
        ("old", at(&old)),
        ("odd", at(&odd)),
        ("leaves", leaves.at.clone()),
        ("plain", plain.at.clone()),
    ] {
        for tls in [Tls::Prefer, Tls::Require] {
            let error = read(&to(&at, tls)).await.unwrap_err();
            assert!(
                matches!(error, DatabaseError::NoCommonTls { .. }),
                "{server}: {error:?}"
            );
            assert!(
                error.to_string().contains("`database.tls: none`"),
                "{error}"
            );
        }
    }
    // What it says to do works.
    read(&to(&at(&old), Tls::Off)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_from_here_says_so() {
    let (_dir, database) = start_with(MariaDbOptions::default());
    let error = read(&access(&database)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Denied { .. }), "{error:?}");
    assert!(
        error.to_string().contains("not allowed to connect"),
        "{error}"
    );
    database.account("ops", PASSWORD, Rights::Read).unwrap();
    let expired = "ALTER USER ops@'%' PASSWORD EXPIRE";
    database.root_sql(expired).unwrap();
    let error = read(&access(&database)).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("SET PASSWORD"), "{error}");
}

/// As `ops`, with a memory that goes at once.
fn to(at: &Endpoint, tls: Tls) -> Access {
    let memory = tempfile::tempdir().unwrap();
    Access {
        address: at.clone(),
        tls,
        fingerprint: None,
        known: Some(KnownServers::at(memory.path().join("state/known"))),
        way: Route::Direct,
        user: "ops".to_owned(),
        password: Secret::new(PASSWORD),
    }
}

/// Numbers that look random and are always the same.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    }
}

/// A packet of a usual conversation, with a few bytes changed, cut or doubled.
fn damaged(packet: &[u8], next: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let mut out = packet.to_vec();
    for _ in 0..=next(3) {
        match next(4) {
            0 if !out.is_empty() => {
                let at = next(out.len());
                out[at] = u8::try_from(next(256)).unwrap();
            }
            1 => out.truncate(next(out.len() + 1)),
            2 => {
                let at = next(out.len() + 1);
                let new = [0, 1, 0xfb, 0xfc, 0xfd, 0xfe, 0xff][next(7)];
                out.insert(at, new);
            }
            _ => out.extend_from_slice(&packet[..next(packet.len() + 1)]),
        }
    }
    out
}

#[tokio::test]
async fn no_answer_of_a_server_ends_the_program() {
    const COLUMN: &[u8] = b"\x03def\0\0\0\x01x\x01x\x0c\x2d\0\xff\xff\xff\0\xfd\0\0\0\0\0";
    let mut greeting = b"\x0a8.4.0\0\x01\0\0\0abcdefgh\0".to_vec();
    greeting.extend_from_slice(&[0, 0xa2, 45, 2, 0, 8, 0, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    greeting.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
    let mut next = numbers();
    let mut kinds = std::collections::BTreeSet::new();
    for round in 0..400 {
        let plain: [&[u8]; 4] = [
            &greeting,
            b"\xfeclient_ed25519\0abcdefghijklmnopqrstuvwxyz012345",
            b"\xfemysql_native_password\0abcdefghijklmnopqrst\0",
            b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0",
        ];
        // Where the damage begins.
        let place = round % 4;
        let first = if place == 0 {
            damaged(plain[0], &mut next)
        } else {
            greeting.clone()
        };
        let switch = plain[1 + next(3)];
        let switch = if place == 1 {
            damaged(switch, &mut next)
        } else {
            switch.to_vec()
        };
        let answers: Vec<Vec<u8>> = (0..40)
            .map(|_| {
                let usual: &[u8] = [&b"\x01"[..], COLUMN, END, b"\x01x", OK][next(5)];
                if next(3) == 0 {
                    damaged(usual, &mut next)
                } else {
                    usual.to_vec()
                }
            })
            .collect();
        let pins = place == 2;
        let server = Hostile::start(move |_, mut talk| {
            let (first, switch, answers) = (first.clone(), switch.clone(), answers.clone());
            async move {
                talk.say(&first).await;
                if talk.hear_any().await.is_none() {
                    return;
                }
                if place != 3 {
                    talk.say(&switch).await;
                    if talk.hear_any().await.is_none() {
                        return;
                    }
                }
                talk.say(OK).await;
                if pins && talk.hear_any().await.is_some() {
                    talk.say(OK).await;
                }
                for part in answers.chunks(6) {
                    if talk.hear_any().await.is_none() {
                        return;
                    }
                    for packet in part {
                        talk.say(packet).await;
                    }
                }
            }
        })
        .await;
        let access = to(&server.at, Tls::Off);
        let error = access
            .read(&clock, false, Duration::from_secs(2))
            .await
            .unwrap_err();
        assert!(!server.has_heard(PASSWORD.as_bytes()), "{round}");
        let kind = format!("{error:?}");
        kinds.insert(kind.split([' ', '(']).next().unwrap().to_owned());
    }
    // It was not always refused at the same place.
    assert!(kinds.len() >= 4, "{kinds:?}");
}
