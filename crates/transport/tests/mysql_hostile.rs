//! The database's client before servers that are not the operator's: none of them gets the password, a
//! file or this machine's memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use support::database::{PASSWORD, WAIT, access, at, filled, start_with};
use support::hostile::{END, Hostile, OK, SSL, sometimes};
use support::server::in_time;
use support::web::certified;
use tarsops_model::desired::Tls;
use tarsops_model::digest::Digest;
use tarsops_model::framework::Protection;
use tarsops_model::names::Endpoint;
use tarsops_standin::database::{MariaDbOptions, Rights, Schema};
use tarsops_transport::mysql::{Access, BackupError, DatabaseError, KnownServers, Secret, Tool};
use tarsops_transport::rpc::Route;

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";
const SHORT: Duration = Duration::from_millis(500);

fn to(at: &Endpoint, tls: Tls, memory: Option<&Path>) -> Access {
    Access {
        address: at.clone(),
        tls,
        fingerprint: None,
        known: memory.map(|dir| KnownServers::at(dir.join("state/known"))),
        way: Route::Direct,
        user: "ops".to_owned(),
        password: Secret::new(PASSWORD),
    }
}

async fn protection(access: &Access) -> Result<Protection, DatabaseError> {
    access.connect(WAIT).await.map(|(_, by)| by)
}

#[track_caller]
fn never_heard_the_password(server: &Hostile) {
    assert!(!server.has_heard(PASSWORD.as_bytes()));
    // It did hear a client.
    assert!(server.has_heard(b"ops\0"));
}

#[tokio::test]
async fn without_tls_the_password_is_not_given_in_any_form_that_can_be_read() {
    for (switch, says) in [
        // A stranger's RSA key would come next.
        (&b"\x01\x04"[..], "the full form of caching_sha2_password"),
        (b"\x01-----BEGIN PUBLIC KEY-----", "by a key of its own"),
        (b"\xfemysql_clear_password\0", "by mysql_clear_password"),
        (b"\xfedialog\0\x04Password: ", "by dialog"),
        (
            b"\xfemysql_old_password\0abcdefgh\0",
            "by mysql_old_password",
        ),
        (b"\xfe", "by mysql_old_password"),
    ] {
        let server = Hostile::start(move |_, mut talk| async move {
            talk.begin(CACHING).await;
            talk.say(switch).await;
            talk.hear_all().await;
        })
        .await;
        for tls in [Tls::Off, Tls::Prefer] {
            let before = server.heard().len();
            let error = protection(&to(&server.at, tls, None)).await.unwrap_err();
            assert!(matches!(error, DatabaseError::Exposed { .. }), "{error:?}");
            let said = error.to_string();
            assert!(said.contains(says) && said.contains("set up TLS"), "{said}");
            assert!(!said.contains(PASSWORD));
            // Nothing but the first answer, a proof over the challenge.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let heard = &server.heard()[before..];
            assert_eq!(usize::from(heard[0]) + 4, heard.len());
        }
        never_heard_the_password(&server);
    }
}

#[tokio::test]
async fn a_question_is_one_statement() {
    let (_dir, database) = filled(Schema::Installed);
    let (mut conn, _) = access(&database).connect(WAIT).await.unwrap();
    conn.query_drop("SELECT 1").await.unwrap();
    let error = conn.query_drop("SELECT 1; SELECT 2").await.unwrap_err();
    assert!(error.to_string().contains("syntax"), "{error}");
}

#[tokio::test]
async fn nothing_follows_an_error_in_a_login() {
    let (dir, database) = filled(Schema::Installed);
    let tool = Tool::find().expect("mariadb-dump comes with the server");
    let file = dir.path().join("dump.gz");
    for error in [
        // A report of progress, which the program that dumps passes over.
        &b"\xff\xff\xff\x01\x01\x01\x01\0\0\x02hi"[..],
        b"\xff\x15\x04#28000Access denied",
    ] {
        let server = Hostile::start(move |_, mut talk| async move {
            talk.begin(NATIVE).await;
            talk.say(error).await;
            talk.say(b"\xfemysql_clear_password\0").await;
            if talk.hear().await.is_some() {
                talk.say(OK).await;
            }
            talk.hear_all().await;
        })
        .await;
        let refused = protection(&to(&server.at, Tls::Off, None))
            .await
            .unwrap_err();
        let is_progress = error.starts_with(b"\xff\xff\xff");
        assert_eq!(
            matches!(refused, DatabaseError::Protocol { .. }),
            is_progress,
            "{refused:?}"
        );
        // The first connection is ours, the second the program's.
        let way = sometimes(at(&database), server.at.clone(), &[1]).await;
        let access = Access {
            address: way,
            ..access(&database)
        };
        let made = access
            .backup(&["db_tars".to_owned()], &file, Some(&tool), WAIT)
            .await;
        assert_eq!(made.is_err(), is_progress, "{made:?}");
        never_heard_the_password(&server);
    }
}

#[tokio::test]
async fn proofs_over_a_challenge_are_given_without_tls() {
    let server = Hostile::start(|number, mut talk| async move {
        talk.begin(CACHING).await;
        if number == 0 {
            talk.say(b"\x01\x03").await;
        } else {
            talk.say(b"\xfemysql_native_password\0abcdefghijklmnopqrst\0")
                .await;
            assert_eq!(talk.hear().await.unwrap().len(), 20);
        }
        talk.let_in().await;
        talk.hear_all().await;
    })
    .await;
    for _ in 0..2 {
        let by = protection(&to(&server.at, Tls::Off, None)).await.unwrap();
        assert_eq!(by, Protection::None);
    }
    never_heard_the_password(&server);
}

#[tokio::test]
async fn over_tls_a_server_that_is_known_may_ask_for_the_password_but_not_by_any_plugin() {
    let (_, tls) = certified();
    let server = Hostile::start(move |number, talk| {
        let tls = tls.clone();
        async move {
            let Some((mut talk, _)) = talk.begin_tls(CACHING, &tls).await else {
                return;
            };
            if number == 0 {
                talk.say(b"\x01\x04").await;
                let password = talk.hear().await.unwrap();
                assert_eq!(password, [PASSWORD.as_bytes(), b"\0"].concat());
                talk.let_in().await;
            } else {
                talk.say(b"\xfemysql_clear_password\0").await;
            }
            talk.hear_all().await;
        }
    })
    .await;
    let memory = tempfile::tempdir().unwrap();
    let access = to(&server.at, Tls::Require, Some(memory.path()));
    assert_eq!(protection(&access).await.unwrap(), Protection::FirstUse);
    let error = protection(&access).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Exposed { .. }), "{error:?}");
}

#[tokio::test]
async fn over_tls_the_greeting_does_not_choose_the_password_in_plain_text() {
    let (dir, database) = filled(Schema::Installed);
    let tool = Tool::find().expect("mariadb-dump comes with the server");
    let file = dir.path().join("dump.gz");
    let (_, tls) = certified();
    let server = Hostile::start(move |_, talk| {
        let tls = tls.clone();
        async move {
            if let Some((mut talk, _)) = talk.begin_tls("mysql_clear_password", &tls).await {
                talk.say(OK).await;
                talk.hear_all().await;
            }
        }
    })
    .await;
    // The first connection is ours, the second the program's.
    let way = sometimes(at(&database), server.at.clone(), &[1]).await;
    let memory = tempfile::tempdir().unwrap();
    let access = Access {
        address: way,
        known: Some(KnownServers::at(memory.path().join("known"))),
        ..access(&database)
    };
    let error = access
        .backup(&["db_tars".to_owned()], &file, Some(&tool), WAIT)
        .await
        .unwrap_err();
    assert!(!server.has_heard(PASSWORD.as_bytes()));
    assert!(
        matches!(error, BackupError::Database(DatabaseError::Exposed { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_key_that_changed_is_refused_before_the_login_is_sent() {
    let (_, first) = certified();
    let (_, second) = certified();
    let server = Hostile::start(move |number, talk| {
        let tls = if number == 0 {
            first.clone()
        } else {
            second.clone()
        };
        async move {
            if let Some((mut talk, _)) = talk.begin_tls(NATIVE, &tls).await {
                talk.let_in().await;
                talk.hear_all().await;
            }
        }
    })
    .await;
    let memory = tempfile::tempdir().unwrap();
    let file = memory.path().join("state/known");
    for tls in [Tls::Prefer, Tls::Prefer, Tls::Require] {
        let access = to(&server.at, tls, Some(memory.path()));
        if !file.exists() {
            assert_eq!(protection(&access).await.unwrap(), Protection::FirstUse);
            assert!(server.has_heard(b"ops\0"));
            continue;
        }
        let before = server.heard().len();
        let known = std::fs::read_to_string(&file).unwrap();
        let error = protection(&access).await.unwrap_err();
        let DatabaseError::KeyChanged { change, .. } = &error else {
            panic!("{error:?}")
        };
        let (old, offered, line) = (&change.known, &change.offered, change.line);
        let said = error.to_string();
        for part in [
            format!("shows sha256:{offered}"),
            format!("has sha256:{old}"),
            format!("{} line {line}", file.display()),
        ] {
            assert!(said.contains(&part), "{said}");
        }
        assert!(
            known
                .lines()
                .nth(line - 1)
                .unwrap()
                .ends_with(&old.to_string())
        );
        assert_ne!(old, offered);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), known);
        // The request for TLS, and not even the user's name.
        let heard = &server.heard()[before..];
        assert!(!heard.windows(3).any(|w| w == b"ops"), "{heard:?}");
    }
    never_heard_the_password(&server);
}

#[tokio::test]
async fn a_server_that_had_tls_is_not_used_without() {
    let (_, tls) = certified();
    let server = Hostile::start(move |number, mut talk| {
        let tls = tls.clone();
        async move {
            if number > 0 {
                talk.greet(0, NATIVE).await;
                talk.hear_all().await;
            } else if let Some((mut talk, _)) = talk.begin_tls(NATIVE, &tls).await {
                talk.let_in().await;
                talk.hear_all().await;
            }
        }
    })
    .await;
    let memory = tempfile::tempdir().unwrap();
    let prefer = to(&server.at, Tls::Prefer, Some(memory.path()));
    assert_eq!(protection(&prefer).await.unwrap(), Protection::FirstUse);
    let before = server.heard().len();
    let error = protection(&prefer).await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::Downgraded { line: 3, .. }),
        "{error:?}"
    );
    let file = memory.path().join("state/known");
    assert!(
        error
            .to_string()
            .contains(&format!("{} line 3", file.display()))
    );
    let require = to(&server.at, Tls::Require, Some(memory.path()));
    let error = protection(&require).await.unwrap_err();
    assert!(matches!(error, DatabaseError::NoTls(_)), "{error:?}");
    let with_key = Access {
        fingerprint: Some(Digest::of(b"")),
        ..to(&server.at, Tls::Prefer, None)
    };
    let error = protection(&with_key).await.unwrap_err();
    assert!(matches!(error, DatabaseError::NoTls(_)), "{error:?}");
    assert_eq!(server.heard().len(), before);
}

#[tokio::test]
async fn a_server_that_the_spec_vouched_for_is_known_without_it_too() {
    let options = MariaDbOptions {
        tls: true,
        ..MariaDbOptions::default()
    };
    let (_dir, database) = start_with(options);
    database.account("ops", PASSWORD, Rights::Read).unwrap();
    let server = Hostile::start(|_, mut talk| async move {
        talk.greet(0, NATIVE).await;
        talk.hear_all().await;
    })
    .await;
    let verify = Tls::Verify {
        ca: database.ca().unwrap(),
    };
    let bare = to(&at(&database), Tls::Prefer, None);
    let error = protection(&bare).await.unwrap_err();
    let DatabaseError::NoMemory { offered, .. } = error else {
        panic!("{error:?}")
    };
    for (tls, fingerprint, by) in [
        (verify, None, Protection::Authority),
        (Tls::Prefer, Some(offered), Protection::Fingerprint),
    ] {
        let memory = tempfile::tempdir().unwrap();
        let file = memory.path().join("state/known");
        let way = sometimes(at(&database), server.at.clone(), &[3]).await;
        // A key that it had before is another one.
        std::fs::create_dir(memory.path().join("state")).unwrap();
        let before = format!("{way} - sha256:{}\n", Digest::of(b"another"));
        std::fs::write(&file, before).unwrap();
        let prefer = to(&way, Tls::Prefer, Some(memory.path()));
        let error = protection(&prefer).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::KeyChanged { .. }),
            "{error:?}"
        );
        let vouched = Access {
            fingerprint,
            ..to(&way, tls, Some(memory.path()))
        };
        assert_eq!(protection(&vouched).await.unwrap(), by);
        let known = std::fs::read_to_string(&file).unwrap();
        assert_eq!(known, format!("{way} - sha256:{offered}\n"));
        assert_eq!(protection(&prefer).await.unwrap(), Protection::Known);
        let error = protection(&prefer).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::Downgraded { line: 1, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_key_of_the_spec_is_the_only_one_that_is_taken() {
    let (_, tls) = certified();
    let server = Hostile::start(move |_, talk| {
        let tls = tls.clone();
        async move {
            if let Some((mut talk, _)) = talk.begin_tls(NATIVE, &tls).await {
                talk.let_in().await;
                talk.hear_all().await;
            }
        }
    })
    .await;
    // Nothing can be remembered: the error says what to write into the spec.
    let bare = to(&server.at, Tls::Prefer, None);
    let error = protection(&bare).await.unwrap_err();
    let DatabaseError::NoMemory { offered, .. } = error else {
        panic!("{error:?}")
    };
    assert!(!server.has_heard(b"ops"));
    let wrong = Access {
        fingerprint: Some(Digest::of(b"another")),
        ..bare.clone()
    };
    let error = protection(&wrong).await.unwrap_err();
    assert!(matches!(error, DatabaseError::WrongKey { .. }), "{error:?}");
    assert!(
        error.to_string().contains(&format!("sha256:{offered}")),
        "{error}"
    );
    assert!(!server.has_heard(b"ops"));
    let right = Access {
        fingerprint: Some(offered),
        ..bare
    };
    assert_eq!(protection(&right).await.unwrap(), Protection::Fingerprint);
}

#[tokio::test]
async fn an_authority_and_a_key_of_the_spec_must_both_be_right() {
    let options = MariaDbOptions {
        tls: true,
        ..MariaDbOptions::default()
    };
    let (dir, database) = start_with(options);
    database.account("ops", PASSWORD, Rights::Read).unwrap();
    let verify = Tls::Verify {
        ca: database.ca().unwrap(),
    };
    let mut access = to(&at(&database), verify, None);
    access.fingerprint = Some(Digest::of(b"another"));
    let error = protection(&access).await.unwrap_err();
    let DatabaseError::WrongKey { offered, .. } = error else {
        panic!("{error:?}")
    };
    // What openssl makes of the server's certificate.
    let certificate = std::fs::read_dir(dir.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let script = format!(
        "openssl x509 -in {}/cert.pem -noout -pubkey | openssl pkey -pubin -outform der | sha256sum",
        certificate.path().display()
    );
    let made = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    assert_eq!(made.split(' ').next().unwrap(), offered.to_string());
    access.fingerprint = Some(offered);
    assert_eq!(protection(&access).await.unwrap(), Protection::Authority);
}

#[tokio::test]
async fn a_server_that_wants_no_connection_has_its_words_reported() {
    let server = Hostile::start(|_, mut talk| async move {
        talk.say(b"\xff\x10\x04Too many connections").await;
        talk.hear_all().await;
    })
    .await;
    let error = protection(&to(&server.at, Tls::Require, None))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("Too many connections"),
        "{error}"
    );
    assert!(server.heard().is_empty());
}

#[tokio::test]
async fn a_file_of_keys_that_cannot_be_relied_on_is_named() {
    let (_, tls) = certified();
    let server = Hostile::start(move |_, talk| {
        let tls = tls.clone();
        async move {
            talk.begin_tls(NATIVE, &tls).await;
        }
    })
    .await;
    let memory = tempfile::tempdir().unwrap();
    let access = to(&server.at, Tls::Prefer, Some(memory.path()));
    std::fs::create_dir(memory.path().join("state")).unwrap();
    let file = memory.path().join("state/known");
    std::fs::write(&file, "no key\n").unwrap();
    let error = protection(&access).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Known(_)), "{error:?}");
    let says = format!("{} line 1 is damaged", file.display());
    assert!(error.to_string().contains(&says), "{error}");
    // A key that cannot be written down is not taken, either.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(file.with_extension("lock")).unwrap();
    let error = protection(&access).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Known(_)), "{error:?}");
    assert!(!server.has_heard(b"ops"));
}

/// A server that lets everybody in and answers the first question with `answer`, again and again.
async fn answering(answer: Vec<u8>, head: Option<u8>, times: usize) -> Hostile {
    let answer = Arc::new(answer);
    Hostile::start(move |_, mut talk| {
        let answer = Arc::clone(&answer);
        async move {
            talk.begin(NATIVE).await;
            talk.let_in().await;
            if talk.hear().await.is_none() {
                return;
            }
            if let Some(columns) = head {
                talk.head(columns).await;
            }
            for _ in 0..times {
                if !talk.raw(&answer).await {
                    return;
                }
            }
            talk.hear_all().await;
        }
    })
    .await
}

async fn registries(server: &Hostile) -> DatabaseError {
    let access = to(&server.at, Tls::Off, None);
    let rows = access.registry_rows(Duration::from_secs(120));
    in_time(Duration::from_secs(100), rows).await.unwrap_err()
}

#[tokio::test]
async fn no_server_gets_a_file() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "content of a file").unwrap();
    let mut packet = vec![0xfb];
    packet.extend_from_slice(secret.path().to_string_lossy().as_bytes());
    let mut bytes = vec![u8::try_from(packet.len()).unwrap(), 0, 0, 1];
    bytes.extend_from_slice(&packet);
    let server = answering(bytes, None, 1).await;
    let error = registries(&server).await;
    assert!(
        error
            .to_string()
            .contains("asks for a file of this machine"),
        "{error}"
    );
    assert!(!server.has_heard(b"content of a file"));
}

#[tokio::test]
async fn rows_without_end_are_not_kept() {
    // Rows of 1 MiB in four columns.
    let mut row = vec![1, b'a', 1, b'b', 0xfd, 0, 0, 16];
    row.resize(row.len() + (16 << 16), b'x');
    row.push(0xfb);
    let length = u32::try_from(row.len()).unwrap().to_le_bytes();
    let mut bytes = Vec::new();
    for number in 0..=255_u8 {
        bytes.extend_from_slice(&[length[0], length[1], length[2], number.wrapping_add(7)]);
        bytes.extend_from_slice(&row);
    }
    let server = answering(bytes, Some(4), usize::MAX).await;
    let error = registries(&server).await;
    let DatabaseError::TooMuch { about, limit, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((about.as_str(), limit.as_str()), ("registries", "256 MiB"));
}

#[tokio::test]
async fn too_many_rows_are_not_kept() {
    let mut bytes = Vec::new();
    for number in 0..=255_u8 {
        bytes.extend_from_slice(&[
            6,
            0,
            0,
            number.wrapping_add(7),
            1,
            b'a',
            1,
            b'b',
            0xfb,
            0xfb,
        ]);
    }
    let server = answering(bytes, Some(4), usize::MAX).await;
    let error = registries(&server).await;
    let DatabaseError::TooMuch { about, limit, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (about.as_str(), limit.as_str()),
        ("registries", "1000000 rows")
    );
}

#[tokio::test]
async fn a_giant_packet_is_refused_by_its_head() {
    let mut parts = Vec::new();
    for number in 7..12 {
        parts.extend_from_slice(&[0xff, 0xff, 0xff, number]);
        parts.resize(parts.len() + 0xff_ffff, b'x');
    }
    let server = answering(parts, Some(4), 1).await;
    let error = registries(&server).await;
    assert!(error.to_string().contains("at most 64 MiB"), "{error}");
}

#[tokio::test]
async fn columns_without_end_are_refused_before_there_is_room_for_them() {
    for packet in [
        &[4, 0, 0, 1, 0xfd, 0xff, 0xff, 0xff][..],
        &[9, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0],
    ] {
        let server = answering(packet.to_vec(), None, 1).await;
        let error = registries(&server).await;
        assert!(error.to_string().contains("too many columns"), "{error}");
    }
}

#[tokio::test]
async fn columns_without_end_are_refused_behind_the_end_of_an_answer_too() {
    let mut many = vec![9, 0, 0, 1, 0xfe];
    many.extend_from_slice(&(1_u64 << 62).to_le_bytes());
    let many = Arc::new(many);
    let server = Hostile::start(move |_, mut talk| {
        let many = Arc::clone(&many);
        async move {
            talk.begin(NATIVE).await;
            talk.let_in().await;
            // A statement is prepared first. Behind its one parameter stands what running it will give.
            if talk.hear().await.is_some() {
                talk.say(&[0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]).await;
                talk.column().await;
                talk.say(END).await;
                talk.raw(&many).await;
            }
            talk.hear_all().await;
        }
    })
    .await;
    let access = to(&server.at, Tls::Off, None);
    let work =
        tokio::spawn(async move { access.node_rows(&"10.0.0.1".parse().unwrap(), WAIT).await });
    let error = work.await.expect("no panic").unwrap_err();
    // The connection may be cut before the client asks on.
    assert!(
        matches!(error, DatabaseError::Unreachable { .. })
            || error.to_string().contains("too many columns"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_login_has_a_limit_in_size_and_time() {
    // A greeting without an end, and one that is none.
    for (bytes, says) in [
        (&[0xff, 0xff, 0xff, 0][..], "a packet of 16777215 bytes"),
        (b"\x10\0\0\0SSH-2.0-OpenSSH_9", "is no database"),
        (&[1, 0, 0, 0, 10], "is no database"),
    ] {
        let server = Hostile::start(move |_, mut talk| async move {
            talk.raw(bytes).await;
            talk.hear_all().await;
        })
        .await;
        let error = protection(&to(&server.at, Tls::Prefer, None))
            .await
            .unwrap_err();
        assert!(matches!(error, DatabaseError::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // A login that never ends.
    let server = Hostile::start(|_, mut talk| async move {
        talk.begin(CACHING).await;
        while talk.raw(&[2, 0, 0, 2, 1, 3]).await {}
    })
    .await;
    let error = protection(&to(&server.at, Tls::Off, None))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("does not come to an end"),
        "{error}"
    );
    // Silence at each stage, and a byte now and then.
    for stage in 0..4 {
        let server = Hostile::start(move |_, mut talk| async move {
            match stage {
                0 => {}
                1 => {
                    talk.greet(0, NATIVE).await;
                }
                // A request for TLS that nobody answers.
                2 => {
                    talk.greet(SSL, NATIVE).await;
                }
                _ => {
                    for byte in b"\x40\0\0\0\x0a".iter().cycle() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        if !talk.raw(&[*byte]).await {
                            return;
                        }
                        if *byte == 0x0a {
                            break;
                        }
                    }
                    while talk.raw(b"x").await {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
            talk.hear_all().await;
        })
        .await;
        let access = to(&server.at, Tls::Prefer, None);
        let error = in_time(8 * SHORT, access.connect(SHORT)).await;
        let error = error.err().unwrap();
        assert!(
            matches!(
                error,
                DatabaseError::TimedOut(_) | DatabaseError::NoMemory { .. }
            ),
            "{stage}: {error:?}"
        );
    }
}

#[tokio::test]
async fn the_program_that_dumps_gives_nothing_away_either() {
    let (dir, database) = filled(Schema::Installed);
    let tool = Tool::find().expect("mariadb-dump comes with the server");
    let file = dir.path().join("dump.gz");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "content of a file").unwrap();
    let path = secret.to_string_lossy().into_owned();
    for (switch, refused) in [
        (&b"\xfemysql_clear_password\0"[..], true),
        (b"\xfedialog\0\x04Password: ", true),
        (b"\x01\x04", true),
        // Lets it in, and asks for a file.
        (OK, false),
    ] {
        let path = path.clone();
        let server = Hostile::start(move |_, mut talk| {
            let path = path.clone();
            async move {
                talk.begin(NATIVE).await;
                talk.say(switch).await;
                while talk.hear().await.is_some() {
                    talk.say(&[b"\xfb", path.as_bytes()].concat()).await;
                }
            }
        })
        .await;
        // The first connection is ours, the second the program's.
        let way = sometimes(at(&database), server.at.clone(), &[1]).await;
        let access = Access {
            address: way,
            ..access(&database)
        };
        let made = access
            .backup(&["db_tars".to_owned()], &file, Some(&tool), WAIT)
            .await;
        if refused {
            let error = made.unwrap_err();
            assert!(
                matches!(error, BackupError::Database(DatabaseError::Exposed { .. })),
                "{error:?}"
            );
        } else {
            let by = made.unwrap().by;
            assert!(by.contains("asks for a file of this machine"), "{by}");
        }
        never_heard_the_password(&server);
        assert!(!server.has_heard(b"content of a file"));
    }
}

#[tokio::test]
async fn the_program_that_dumps_gets_the_password_and_nothing_else_that_is_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, database) = filled(Schema::Installed);
    let seen = tempfile::tempdir().unwrap();
    let program = seen.path().join("dump");
    let script = "#!/bin/sh\ncd \"${0%/*}\"\nenv >env\nreadlink /proc/self/fd/0 >name\n\
                  stat -Lc %a /proc/self/fd/0 >mode\ntr '\\0' ' ' </proc/$$/cmdline >words\n\
                  ls -a DIR >files\ncat /dev/stdin >options\nexit 1\n";
    let script = script.replace("DIR", &dir.path().to_string_lossy());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = dir.path().join("dump.gz");
    let made = access(&database)
        .backup(
            &["db_tars".to_owned()],
            &file,
            Some(&Tool::at(&program)),
            WAIT,
        )
        .await
        .unwrap();
    assert!(
        made.by.starts_with("tarsops, as dump failed"),
        "{}",
        made.by
    );
    let read = |name: &str| std::fs::read_to_string(seen.path().join(name)).unwrap();
    assert!(read("options").contains("password=\"hunter2 'quoted\\\\\""));
    assert!(read("name").starts_with("/memfd:"), "{}", read("name"));
    assert_eq!(read("mode"), "400\n");
    assert!(!read("words").contains("hunter2") && read("words").contains("--single-transaction"));
    assert!(!read("files").contains("options"), "{}", read("files"));
    // Variables of the shell itself aside.
    let named: Vec<String> = read("env")
        .lines()
        .filter_map(|l| l.split_once('=').map(|(name, _)| name.to_owned()))
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_", "LANG", "TZ"].contains(&name.as_str()))
        .filter(|name| !name.starts_with("LC_"))
        .collect();
    assert_eq!(named, ["PATH"]);
    // This process has more.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
}

#[tokio::test]
async fn a_real_server_with_a_new_key_is_refused_until_its_line_is_removed() {
    let options = MariaDbOptions {
        tls: true,
        ..MariaDbOptions::default()
    };
    let (_dir, first) = start_with(options);
    let (_other, second) = start_with(options);
    for database in [&first, &second] {
        database.load(Schema::Installed).unwrap();
        database.account("ops", PASSWORD, Rights::Read).unwrap();
    }
    // One address, behind which the server is exchanged, and comes back.
    let way = sometimes(at(&first), at(&second), &[1, 2, 4]).await;
    let memory = tempfile::tempdir().unwrap();
    let file = memory.path().join("state/known");
    let access = to(&way, Tls::Prefer, Some(memory.path()));
    assert_eq!(protection(&access).await.unwrap(), Protection::FirstUse);
    for _ in 0..2 {
        let error = protection(&access).await.unwrap_err();
        assert!(
            matches!(error, DatabaseError::KeyChanged { .. }),
            "{error:?}"
        );
    }
    protection(&access).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    protection(&access).await.unwrap();
    let error = protection(&access).await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::KeyChanged { .. }),
        "{error:?}"
    );
}
