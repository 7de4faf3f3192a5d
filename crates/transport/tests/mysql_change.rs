//! What a real MariaDB is told to forget is written down before, to the byte.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::database::{PASSWORD, WAIT, access, filled};
use tarsops_model::framework::NodeLabels;
use tarsops_standin::database::{MariaDb, Rights, Schema};
use tarsops_transport::mysql::{Access, Owner, Which};

/// Runs a dump as an operator would whose client expects another encoding.
fn restore(database: &MariaDb, dump: &str) {
    let mut client = Command::new("mariadb")
        .args([
            "--no-defaults",
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
        .write_all(dump.as_bytes())
        .unwrap();
    assert!(client.wait().unwrap().success());
}

#[tokio::test]
async fn rows_that_are_deleted_come_back_from_their_dump_to_the_byte() {
    let (_dir, database) = filled(Schema::Installed);
    database.account("admin", PASSWORD, Rights::All).unwrap();
    database
        .root_sql(
            r#"SET NAMES utf8mb4; SET time_zone = '+05:00'; USE db_tars;
            INSERT INTO t_node_info (id, node_name, label, load_avg1, last_heartbeat, modify_time) VALUES
              (100, 'gw-1', 'it''s "quoted" \\ back\\\\slash \n new \r\t tab \Z \0 null — ünïcödé 日本 % _ ; -- #', 16.2324, '2026-03-29 02:30:00', '2026-03-29 02:30:00'),
              (101, 'gw-10', '', 0.1, NULL, NULL),
              (102, 'gw_1', NULL, -1e-7, NULL, '2026-10-25 02:30:00');
            INSERT INTO t_server_conf (application, server_name, node_name, profile, source) VALUES
              ('tars', 'tarslog', 'gw-1', REPEAT('<tars>\n', 5000), CONCAT('x', CHAR(7), 'y'));
            INSERT INTO t_registry_info (locator_id, servant) VALUES
              ('gw-1:17890', 'AdminObj'), ('gw-1:17890', 'tars.tarsregistry.QueryObj'), ('gw-1x:17890', 'AdminObj');"#,
        )
        .unwrap();
    let tables = "t_node_info, t_server_conf, t_registry_info, t_adapter_conf";
    let sums = || {
        let sums = database
            .root_sql(&format!("USE db_tars; CHECKSUM TABLE {tables} EXTENDED"))
            .unwrap();
        let text = database
            .root_sql("SELECT HEX(label), load_avg1, HEX(CAST(load_avg1 AS CHAR)), modify_time FROM db_tars.t_node_info ORDER BY id")
            .unwrap();
        format!("{sums}{text}")
    };
    let exact = |table, column, value: &str| Which {
        table,
        column,
        value: value.to_owned(),
        prefix: false,
        also: vec![],
    };
    let which = [
        exact("t_node_info", "node_name", "gw-1"),
        exact("t_server_conf", "node_name", "gw-1"),
        exact("t_adapter_conf", "node_name", "gw-1"),
        Which {
            prefix: true,
            ..exact("t_registry_info", "locator_id", "gw-1:")
        },
    ];
    let before = sums();
    let admin = Access {
        user: "admin".to_owned(),
        ..access(&database)
    };
    let dump = admin.dump(&which, WAIT).await.unwrap();
    assert_eq!(dump.matches("INSERT INTO").count(), 4, "{dump}");
    assert_eq!(admin.delete(&which, WAIT).await.unwrap(), 4);
    assert_ne!(sums(), before);
    assert_eq!(admin.delete(&which, WAIT).await.unwrap(), 0);
    let left = database
        .root_sql("SELECT node_name FROM db_tars.t_node_info WHERE id >= 100; SELECT locator_id FROM db_tars.t_registry_info WHERE locator_id LIKE 'gw%'")
        .unwrap();
    assert_eq!(left, "gw-10\ngw_1\ngw-1x:17890\n");
    restore(&database, &dump);
    assert_eq!(sums(), before);
}

#[tokio::test]
async fn what_may_not_be_deleted_stays_whole() {
    let (_dir, database) = filled(Schema::Installed);
    database.account("admin", PASSWORD, Rights::All).unwrap();
    let count = || {
        database
            .root_sql("SELECT COUNT(*) FROM db_tars.t_node_info")
            .unwrap()
    };
    let node = Which {
        table: "t_node_info",
        column: "node_name",
        value: "10.77.0.3".to_owned(),
        prefix: false,
        also: vec![],
    };
    // Our reader may not delete.
    let error = access(&database)
        .delete(std::slice::from_ref(&node), WAIT)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("denied"), "{error}");
    // The second statement fails, so the first did nothing.
    let admin = Access {
        user: "admin".to_owned(),
        ..access(&database)
    };
    let bad = Which {
        table: "t_nowhere",
        ..node.clone()
    };
    assert!(admin.delete(&[node.clone(), bad], WAIT).await.is_err());
    // An empty name would be everybody's.
    for prefix in [true, false] {
        let all = Which {
            value: String::new(),
            prefix,
            ..node.clone()
        };
        let error = admin
            .delete(&[node.clone(), all.clone()], WAIT)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("not specified whose rows"),
            "{error}"
        );
        assert!(admin.dump(&[all], WAIT).await.is_err());
    }
    assert_eq!(count(), "3\n");
    assert_eq!(admin.delete(&[node], WAIT).await.unwrap(), 1);
    assert_eq!(count(), "2\n");
    assert!(Path::new(&database.log()).exists());
}

#[tokio::test]
async fn labels_are_restored_where_none_are() {
    let (_dir, database) = filled(Schema::Installed);
    database.account("admin", PASSWORD, Rights::All).unwrap();
    let admin = Access {
        user: "admin".to_owned(),
        ..access(&database)
    };
    let node = "10.77.0.3".parse().unwrap();
    let row = || {
        database
            .root_sql("SELECT COALESCE(label, '-'), group_id FROM db_tars.t_node_info WHERE node_name = '10.77.0.3'")
            .unwrap()
    };
    // As a registration leaves it.
    database
        .root_sql("UPDATE db_tars.t_node_info SET label = NULL, group_id = -1")
        .unwrap();
    let labels = |label: Option<&str>, group_id| NodeLabels {
        label: label.map(str::to_owned),
        group_id,
        row: None,
    };
    let text = "{\"idc\":\"s'z\\\\\", \"ü\": 1}";
    let given = labels(Some(text), Some(7));
    assert!(admin.restore_labels(&node, &given, WAIT).await.unwrap());
    let escaped = text.replace('\\', "\\\\");
    assert_eq!(row(), format!("{escaped}\t7\n"));
    // Whoever has set something meanwhile keeps it.
    let late = labels(Some("other"), Some(9));
    assert!(!admin.restore_labels(&node, &late, WAIT).await.unwrap());
    assert_eq!(row(), format!("{escaped}\t7\n"));
    assert!(
        !admin
            .restore_labels(&node, &labels(None, None), WAIT)
            .await
            .unwrap()
    );
    // The row that the labels were saved from is about to be replaced: nothing is written there.
    let id = database
        .root_sql("SELECT id FROM db_tars.t_node_info WHERE node_name = '10.77.0.3'")
        .unwrap();
    let (id, bare) = (
        id.trim().parse::<i64>().unwrap(),
        "UPDATE db_tars.t_node_info SET label = NULL, group_id = -1",
    );
    database.root_sql(bare).unwrap();
    let of_row = |row| NodeLabels {
        row: Some(row),
        ..given.clone()
    };
    assert!(
        !admin
            .restore_labels(&node, &of_row(id), WAIT)
            .await
            .unwrap()
    );
    assert_eq!(row(), "-\t-1\n");
    assert!(
        admin
            .restore_labels(&node, &of_row(id - 1), WAIT)
            .await
            .unwrap()
    );
    assert_eq!(row(), format!("{escaped}\t7\n"));
    // The others have none.
    let rest = database
        .root_sql("SELECT COUNT(*) FROM db_tars.t_node_info WHERE label IS NOT NULL")
        .unwrap();
    assert_eq!(rest, "1\n");
    // A release without the column has no labels to lose, and a group all the same.
    database
        .root_sql("ALTER TABLE db_tars.t_node_info DROP COLUMN label; UPDATE db_tars.t_node_info SET group_id = -1")
        .unwrap();
    assert!(
        admin
            .restore_labels(&node, &labels(None, Some(3)), WAIT)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_server_is_retired_deleted_and_put_back_alone() {
    let (_dir, database) = filled(Schema::AfterConsole);
    database.account("admin", PASSWORD, Rights::All).unwrap();
    let admin = Access {
        user: "admin".to_owned(),
        ..access(&database)
    };
    let server = |table| Which {
        table,
        column: "node_name",
        value: "10.77.0.2".to_owned(),
        prefix: false,
        also: vec![
            ("application", "tars".to_owned()),
            ("server_name", "tarsregistry".to_owned()),
        ],
    };
    database
        .root_sql("INSERT INTO db_tars.t_server_conf (application, server_name, node_name, setting_state, present_state, template_name, profile, server_type, posttime) VALUES ('tars', 'tarsregistry', '10.77.0.2', 'active', 'active', 'tars.tarsregistry', 'a\\nb', 'tars_cpp', NOW()), ('tars', 'tarsconfig', '10.77.0.2', 'active', 'active', 't', '', 'tars_cpp', NOW()) ON DUPLICATE KEY UPDATE setting_state = 'active', present_state = 'active', profile = VALUES(profile)")
        .unwrap();
    let states = || {
        database
            .root_sql("SELECT server_name, setting_state, present_state FROM db_tars.t_server_conf WHERE node_name = '10.77.0.2' AND server_name IN ('tarsregistry', 'tarsconfig') ORDER BY server_name")
            .unwrap()
    };
    let both = "tarsconfig\tactive\tactive\ntarsregistry\tactive\tactive\n";
    assert_eq!(states(), both);
    let which = [server("t_adapter_conf"), server("t_server_conf")];
    let dump = admin.dump(&which, WAIT).await.unwrap();
    assert_eq!(admin.deactivate(&which, WAIT).await.unwrap(), 1);
    assert_eq!(
        states(),
        "tarsconfig\tactive\tactive\ntarsregistry\tinactive\tinactive\n"
    );
    assert_eq!(admin.deactivate(&which, WAIT).await.unwrap(), 0);
    assert!(admin.delete(&which, WAIT).await.unwrap() >= 1);
    assert_eq!(states(), "tarsconfig\tactive\tactive\n");
    // Nothing but servers and adapters is written, whatever the text says.
    let text = format!(
        "{dump}DROP DATABASE db_tars;\nINSERT INTO db_tars.t_node_info (node_name) VALUES ('x');\n"
    );
    let owner = Owner {
        server: "tarsregistry",
        node: "10.77.0.2",
        ip: [10, 77, 0, 2].into(),
        is_endpoint: |text, ip| text.contains(&format!("-h {ip} ")),
    };
    // A statement behind a row is not run, nor the row.
    let forged = text.replacen(");\nDROP", "); DROP DATABASE db_tars; SELECT (1);\nDROP", 1);
    assert_ne!(forged, text);
    let refused = admin.put_back(&forged, &owner, WAIT).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("not a row as tarsops writes it")
    );
    let other = Owner {
        node: "10.77.0.3",
        ..owner
    };
    assert!(admin.put_back(&text, &other, WAIT).await.is_err());
    assert_eq!(states(), "tarsconfig\tactive\tactive\n");
    assert!(admin.put_back(&text, &owner, WAIT).await.unwrap() >= 1);
    assert_eq!(states(), both);
    let profile = "SELECT HEX(profile) FROM db_tars.t_server_conf WHERE node_name = '10.77.0.2' AND server_name = 'tarsregistry'";
    assert_eq!(database.root_sql(profile).unwrap(), "610A62\n");
    assert_eq!(admin.put_back(&text, &owner, WAIT).await.unwrap(), 0);
    let strangers = database
        .root_sql("SELECT COUNT(*) FROM db_tars.t_node_info WHERE node_name = 'x'")
        .unwrap();
    assert_eq!(strangers, "0\n");
}
