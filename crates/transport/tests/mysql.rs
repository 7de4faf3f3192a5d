//! The reader against a real MariaDB: what is present, what is proven absent, and everything that
//! must stay unknown. The tests fail where `mariadbd` is missing.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use support::database::{
    Act, PASSWORD, WAIT, access, at, between, clock, filled, start, start_with,
};
use support::server::in_time;
use support::{forward, through};
use tarsops_model::desired::Tls;
use tarsops_model::framework::{DATABASES, DatabaseFacts, Protection, Rows};
use tarsops_model::observed::Observed;
use tarsops_standin::database::{INSTALLER, MariaDbOptions, Rights, Schema};
use tarsops_transport::mysql::{Access, DatabaseError, KnownServers, Secret};

async fn read(access: &Access) -> Result<DatabaseFacts, DatabaseError> {
    access.read(&clock, false, WAIT).await
}

fn present<T>(observed: Observed<T>) -> T {
    match observed {
        Observed::Present(value) => value,
        Observed::Absent => panic!("absent"),
        Observed::Unknown(why) => panic!("{why}"),
    }
}

async fn rows(access: &Access) -> Rows {
    present(read(access).await.unwrap().rows)
}

#[tokio::test]
async fn everything_is_read_of_both_schemas_alike() {
    let mut both = Vec::new();
    for schema in [Schema::Installed, Schema::AfterConsole] {
        let (_dir, database) = filled(schema);
        let facts = read(&access(&database)).await.unwrap();
        assert!(facts.server.contains("MariaDB"), "{}", facts.server);
        assert_eq!(facts.protection, Observed::Present(Protection::None));
        assert!(facts.clock_skew.abs() <= 1);
        assert_eq!(facts.read_only, Observed::Present(false));
        database.root_sql("SET GLOBAL read_only = 1").unwrap();
        let closed = read(&access(&database)).await.unwrap();
        assert_eq!(closed.read_only, Observed::Present(true));
        assert_eq!(facts.databases.len(), DATABASES.len());
        for (name, word) in &facts.databases {
            let expected = if name == "db_tars" {
                Observed::Present(())
            } else {
                Observed::Absent
            };
            assert_eq!(word, &expected, "{name}");
        }
        assert_eq!(
            facts.default_login,
            Observed::Unknown("it was not tried".to_owned())
        );
        both.push(present(facts.rows));
    }
    let [installed, after] = both.as_slice() else {
        unreachable!()
    };
    let nodes: Vec<_> = present(installed.nodes.clone()).into_values().collect();
    let seen: Vec<_> = nodes
        .iter()
        .map(|n| {
            (
                n.name.as_str(),
                n.present.as_deref().unwrap(),
                n.version.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("10.77.0.1", "active", "3.0.17"),
            ("10.77.0.2", "active", "3.0.17"),
            ("10.77.0.3", "inactive", "3.0.16")
        ]
    );
    assert_eq!(
        (nodes[0].group_id, nodes[0].label.as_deref()),
        (Some(-1), None)
    );
    assert!((900..960).contains(&nodes[2].heartbeat_age.unwrap()));
    let servers = present(installed.servers.clone());
    let log = &servers[0];
    assert_eq!(
        (
            log.application.as_str(),
            log.server.as_str(),
            log.node.as_str(),
            log.pid
        ),
        ("tars", "tarslog", "10.77.0.1", Some(461))
    );
    assert_eq!(log.kind.as_deref(), Some("tars_cpp"));
    assert_eq!(
        (servers.len(), servers[3].present.as_deref()),
        (4, Some("inactive"))
    );
    assert_eq!(present(installed.adapters.clone()).len(), 3);
    let registries = present(installed.registries.clone());
    assert_eq!(
        registries[1].endpoint.as_deref(),
        Some("tcp -h 10.77.0.1 -p 17890 -t 60000")
    );
    let templates = present(installed.templates.clone());
    assert_eq!(templates[2].parent.as_deref(), Some("tars.default"));
    assert_eq!(templates[2].digest.as_deref().map(str::len), Some(64));
    // The ages differ by the time between the two.
    assert_eq!(present(after.servers.clone()), servers);
    assert_eq!(
        present(after.adapters.clone()),
        present(installed.adapters.clone())
    );
    assert_eq!(present(after.templates.clone()), templates);
    assert_eq!(present(after.nodes.clone()).len(), 3);
}

#[tokio::test]
async fn columns_that_are_missing_are_none_and_more_do_not_matter() {
    let (_dir, database) = filled(Schema::Installed);
    database
        .root_sql(
            "USE db_tars; ALTER TABLE t_node_info ADD COLUMN future_thing text FIRST, \
             DROP COLUMN label, DROP COLUMN group_id, DROP COLUMN endpoint_ip; \
             ALTER TABLE t_registry_info DROP COLUMN last_heartbeat; \
             ALTER TABLE t_adapter_conf DROP KEY application, DROP COLUMN adapter_name; \
             DROP TABLE t_profile_template; TRUNCATE t_server_conf;",
        )
        .unwrap();
    let rows = rows(&access(&database)).await;
    let nodes: Vec<_> = present(rows.nodes).into_values().collect();
    assert_eq!((nodes.len(), nodes[0].name.as_str()), (3, "10.77.0.1"));
    assert_eq!(
        (&nodes[0].label, nodes[0].group_id, &nodes[0].endpoint_ip),
        (&None, None, &None)
    );
    assert_eq!(nodes[0].version.as_deref(), Some("3.0.17"));
    assert_eq!(present(rows.registries)[0].heartbeat_age, None);
    // An empty table that was read is empty; one that is not there is unknown, and so is one
    // without its key.
    assert_eq!(rows.servers, Observed::Present(vec![]));
    assert_eq!(
        rows.templates,
        Observed::Unknown(
            "the table t_profile_template is not there, or our user may not see it".to_owned()
        )
    );
    let Observed::Unknown(why) = rows.adapters else {
        panic!("{:?}", rows.adapters)
    };
    assert!(why.contains("no column adapter_name"), "{why}");
}

#[tokio::test]
async fn a_database_is_absent_only_for_whoever_may_see_them_all() {
    let (_dir, database) = start();
    database
        .account("seer", PASSWORD, Rights::ShowDatabases)
        .unwrap();
    database
        .account("blind", PASSWORD, Rights::Nothing)
        .unwrap();
    let seer = Access {
        user: "seer".to_owned(),
        ..access(&database)
    };
    let blind = Access {
        user: "blind".to_owned(),
        ..access(&database)
    };
    let facts = read(&seer).await.unwrap();
    assert!(
        facts
            .databases
            .values()
            .all(|word| *word == Observed::Absent)
    );
    assert_eq!(facts.rows, Observed::Absent);
    let facts = read(&blind).await.unwrap();
    assert!(
        facts
            .databases
            .values()
            .all(|word| matches!(word, Observed::Unknown(_)))
    );
    assert!(
        matches!(facts.rows, Observed::Unknown(_)),
        "{:?}",
        facts.rows
    );

    // It is there, and neither of them may look into it.
    database.load(Schema::Installed).unwrap();
    let facts = read(&seer).await.unwrap();
    assert_eq!(facts.databases["db_tars"], Observed::Present(()));
    let rows = present(facts.rows);
    assert!(matches!(rows.nodes, Observed::Unknown(_)), "{rows:?}");
    assert!(matches!(rows.servers, Observed::Unknown(_)));
    assert!(matches!(rows.adapters, Observed::Unknown(_)));
    assert!(matches!(rows.registries, Observed::Unknown(_)));
    assert!(matches!(rows.templates, Observed::Unknown(_)));
    let facts = read(&blind).await.unwrap();
    assert!(matches!(facts.databases["db_tars"], Observed::Unknown(_)));
    let one: tarsops_model::names::NodeName = "10.77.0.1".parse().unwrap();
    assert!(blind.node_rows(&one, WAIT).await.is_err());

    // May read one table of it, and not see the other databases.
    database
        .root_sql("GRANT SELECT ON db_tars.t_node_info TO blind@'%'")
        .unwrap();
    let facts = read(&blind).await.unwrap();
    assert_eq!(facts.databases["db_tars"], Observed::Present(()));
    assert!(matches!(facts.databases["tars_stat"], Observed::Unknown(_)));
    let rows = present(facts.rows);
    assert_eq!(rows.nodes, Observed::Present([].into()));
    assert!(matches!(rows.servers, Observed::Unknown(_)));
}

#[tokio::test]
async fn a_node_has_a_row_or_none() {
    let (_dir, database) = filled(Schema::AfterConsole);
    let access = access(&database);
    let row = access
        .node_rows(&"10.77.0.3".parse().unwrap(), WAIT)
        .await
        .unwrap()
        .0
        .unwrap();
    assert_eq!(
        (row.name.as_str(), row.present.as_deref()),
        ("10.77.0.3", Some("inactive"))
    );
    assert!(row.heartbeat_age.unwrap() >= 900);
    assert_eq!(
        access
            .node_rows(&"10.77.0.4".parse().unwrap(), WAIT)
            .await
            .unwrap()
            .0,
        None
    );
}

const MIDDLE: &str = "FROM db_tars.t_server_conf";

#[tokio::test]
async fn all_tables_are_of_one_moment() {
    let (_dir, database) = filled(Schema::Installed);
    let database = Arc::new(database);
    let changed = Arc::clone(&database);
    let address = between(
        at(&database),
        MIDDLE,
        Arc::new(move || {
            changed
                .root_sql(
                    "USE db_tars; DELETE FROM t_registry_info; DELETE FROM t_profile_template; \
                     DELETE FROM t_server_conf; DELETE FROM t_node_info;",
                )
                .unwrap();
            true
        }),
    )
    .await;
    let seen = rows(&Access {
        address,
        ..access(&database)
    })
    .await;
    assert_eq!(present(seen.nodes).len(), 3);
    assert_eq!(present(seen.servers).len(), 4);
    assert_eq!(present(seen.registries).len(), 4);
    assert_eq!(present(seen.templates).len(), 3);
    let now = rows(&access(&database)).await;
    assert_eq!(now.registries, Observed::Present(vec![]));
}

#[tokio::test]
async fn a_connection_that_is_lost_in_the_middle_is_an_error() {
    let (_dir, database) = filled(Schema::Installed);
    for needle in [
        "VERSION()",
        "information_schema.SCHEMATA",
        "USER_PRIVILEGES",
        "information_schema.COLUMNS",
        MIDDLE,
        "COMMIT",
    ] {
        let address = between(at(&database), needle, Arc::new(|| false)).await;
        let error = read(&Access {
            address,
            ..access(&database)
        })
        .await
        .unwrap_err();
        assert!(
            matches!(
                error,
                DatabaseError::Unreachable { .. } | DatabaseError::Failed { .. }
            ),
            "{needle}: {error:?}"
        );
    }
}

fn signal(pid: i32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_server_that_stands_still_in_the_middle_is_an_error_in_time() {
    let (_dir, database) = filled(Schema::Installed);
    let pid = database.pid().unwrap();
    let stop: Act = Arc::new(move || {
        signal(pid, "-STOP");
        true
    });
    let address = between(at(&database), MIDDLE, stop).await;
    let deadline = Duration::from_secs(2);
    let slow = Access {
        address,
        ..access(&database)
    };
    let error = in_time(deadline * 2, slow.read(&clock, true, deadline)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DatabaseError::TimedOut(_)), "{error:?}");
    // It takes connections, and says nothing to them.
    let one = "10.77.0.1".parse().unwrap();
    let error = access(&database)
        .node_rows(&one, Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(matches!(error, DatabaseError::TimedOut(_)), "{error:?}");
    database.thaw();
    rows(&access(&database)).await;
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_is_an_error() {
    let (_dir, database) = filled(Schema::Installed);
    let pid = database.pid().unwrap();
    let kill: Act = Arc::new(move || {
        signal(pid, "-KILL");
        true
    });
    let address = between(at(&database), MIDDLE, kill).await;
    let error = read(&Access {
        address,
        ..access(&database)
    })
    .await
    .unwrap_err();
    assert!(
        matches!(
            error,
            DatabaseError::Unreachable { .. } | DatabaseError::Failed { .. }
        ),
        "{error:?}"
    );
    let error = read(&access(&database)).await.unwrap_err();
    assert!(
        matches!(error, DatabaseError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}

#[tokio::test]
async fn tls_is_used_where_it_is_offered_and_never_done_without_where_it_is_required() {
    let (_dir, plain) = start();
    plain.account("ops", PASSWORD, Rights::Read).unwrap();
    for (tls, allowed) in [(Tls::Prefer, true), (Tls::Off, true), (Tls::Require, false)] {
        let access = Access {
            tls: tls.clone(),
            ..access(&plain)
        };
        match (read(&access).await, allowed) {
            (Ok(facts), true) => assert_eq!(facts.protection, Observed::Present(Protection::None)),
            (Err(DatabaseError::NoTls(_)), false) => {}
            (other, _) => panic!("{tls:?}: {other:?}"),
        }
    }
    drop(plain);
    let options = MariaDbOptions {
        tls: true,
        ..MariaDbOptions::default()
    };
    let (_dir, offers) = start_with(options);
    let (_other_dir, stranger) = start_with(options);
    offers.account("ops", PASSWORD, Rights::Read).unwrap();
    offers.root_sql("ALTER USER ops@'%' REQUIRE SSL").unwrap();
    let ca = offers.ca().unwrap();
    let memory = tempfile::tempdir().unwrap();
    for (tls, by) in [
        (Tls::Prefer, Protection::FirstUse),
        (Tls::Require, Protection::FirstUse),
        (Tls::Verify { ca: ca.clone() }, Protection::Authority),
    ] {
        let facts = read(&Access {
            tls: tls.clone(),
            known: Some(KnownServers::at(memory.path().join("known"))),
            ..access(&offers)
        })
        .await
        .unwrap();
        assert_eq!(facts.protection, Observed::Present(by), "{tls:?}");
    }
    let off = read(&Access {
        tls: Tls::Off,
        ..access(&offers)
    })
    .await
    .unwrap_err();
    assert!(matches!(off, DatabaseError::Denied { .. }), "{off:?}");
    // Somebody else's authority, in its place or by itself.
    let wrong = Tls::Verify {
        ca: stranger.ca().unwrap(),
    };
    let error = read(&Access {
        tls: wrong,
        ..access(&offers)
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let missing = Tls::Verify {
        ca: "/nowhere/ca.pem".into(),
    };
    let error = read(&Access {
        tls: missing,
        ..access(&offers)
    })
    .await
    .unwrap_err();
    assert!(
        matches!(error, DatabaseError::NoAuthority { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn through_ssh_the_server_is_verified_by_its_own_name() {
    let options = MariaDbOptions {
        ip: "127.0.0.2".parse().unwrap(),
        tls: true,
        ..MariaDbOptions::default()
    };
    let (dir, database) = start_with(options);
    database.load(Schema::Installed).unwrap();
    database.account("ops", PASSWORD, Rights::Read).unwrap();
    let socket = dir.path().join("tunnel");
    let tunnel = forward(&socket, at(&database));
    let ca = database.ca().unwrap();
    // The way there begins at 127.0.0.1, which the certificate does not name.
    for (tls, by) in [
        (Tls::Verify { ca: ca.clone() }, Protection::Authority),
        // What the authority vouched for is known from then on.
        (Tls::Require, Protection::Known),
        (Tls::Prefer, Protection::Known),
    ] {
        let access = Access {
            tls,
            known: Some(KnownServers::at(dir.path().join("known"))),
            way: through(socket.clone()),
            ..access(&database)
        };
        let facts = read(&access).await.unwrap();
        assert_eq!(facts.protection, Observed::Present(by));
        assert_eq!(facts.databases["db_tars"], Observed::Present(()));
    }
    let renamed = Access {
        address: format!("10.0.0.9:{}", database.address().port())
            .parse()
            .unwrap(),
        tls: Tls::Verify { ca },
        way: through(socket),
        ..access(&database)
    };
    let error = read(&renamed).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    tunnel.abort();
    // No SSH connection, no word about the database.
    let way = through(std::path::PathBuf::new());
    let error = read(&Access {
        way,
        ..access(&database)
    })
    .await
    .unwrap_err();
    assert!(
        matches!(error, DatabaseError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn through_ssh_without_tls_it_works_as_well() {
    let (dir, database) = filled(Schema::Installed);
    let socket = dir.path().join("tunnel");
    let tunnel = forward(&socket, at(&database));
    let access = Access {
        way: through(socket),
        ..access(&database)
    };
    assert_eq!(present(rows(&access).await.nodes).len(), 3);
    tunnel.abort();
}

#[tokio::test]
async fn whether_everybody_is_let_in_is_found_out() {
    let (_dir, database) = filled(Schema::Installed);
    let try_it =
        async |access: &Access| access.read(&clock, true, WAIT).await.unwrap().default_login;
    let access = access(&database);
    assert_eq!(try_it(&access).await, Observed::Present(false));
    database
        .account(INSTALLER.0, "another", Rights::All)
        .unwrap();
    assert_eq!(try_it(&access).await, Observed::Present(false));
    database.root_sql("DROP USER tarsAdmin@'%'").unwrap();
    database.installer_account().unwrap();
    assert_eq!(try_it(&access).await, Observed::Present(true));
    let as_installer = Access {
        user: INSTALLER.0.to_owned(),
        password: Secret::new(INSTALLER.1),
        ..access.clone()
    };
    assert_eq!(try_it(&as_installer).await, Observed::Present(true));
    database
        .root_sql("ALTER USER tarsAdmin@'%' ACCOUNT LOCK")
        .unwrap();
    assert_eq!(try_it(&access).await, Observed::Present(false));
}
