//! Rows of a real MariaDB changed by their fields: only while they say what they said, all or none.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;

use support::database::{PASSWORD, WAIT, access, at, between, filled};
use tarsops_standin::database::{Rights, Schema};
use tarsops_transport::mysql::{Access, Edited, Edition, NewValue};

type Columns = Option<Vec<(String, NewValue)>>;

fn text(column: &str, value: &str) -> (String, NewValue) {
    (column.to_owned(), NewValue::Text(value.to_owned()))
}

fn number(column: &str, value: i64) -> (String, NewValue) {
    (column.to_owned(), NewValue::Number(value))
}

fn adapter(name: &str, before: Columns, after: Columns) -> Edition {
    let key = [
        ("application", "tars"),
        ("server_name", "tarsstat"),
        ("node_name", "10.9.9.9"),
        ("adapter_name", name),
    ];
    Edition {
        table: "t_adapter_conf",
        key: key.map(|(c, v)| (c.to_owned(), v.to_owned())).into(),
        before,
        after,
    }
}

const OWN: &str = "tars.tarsstat.StatObjAdapter";
const AT: &str = "tcp -h 10.9.9.9 -t 60000 -p 18293";
const ELSEWHERE: &str = "tcp -h 10.9.9.9 -t 60000 -p 1";

fn new_row(name: &str) -> Columns {
    Some(vec![
        text("application", "tars"),
        text("server_name", "tarsstat"),
        text("node_name", "10.9.9.9"),
        text("adapter_name", name),
        text("servant", "tars.tarsstat.StatObj"),
        text("endpoint", ELSEWHERE),
        number("thread_num", 5),
        ("registry_timestamp".to_owned(), NewValue::Now),
        text("no_such_column", "x"),
    ])
}

#[tokio::test]
async fn rows_change_while_they_say_what_they_said() {
    for schema in [Schema::Installed, Schema::AfterConsole] {
        let (_dir, database) = filled(schema);
        database.account("writer", PASSWORD, Rights::All).unwrap();
        let access = Access {
            user: "writer".to_owned(),
            ..access(&database)
        };
        let sql = |statement: &str| database.root_sql(statement).unwrap();
        let others = "SELECT COUNT(*) FROM db_tars.t_adapter_conf WHERE node_name <> '10.9.9.9'";
        let before = sql(others);
        let own = "SELECT adapter_name, endpoint, thread_num, protocol FROM db_tars.t_adapter_conf \
                   WHERE node_name = '10.9.9.9' ORDER BY adapter_name";
        let edit = async |all: &[Edition]| access.edit(all, WAIT).await.unwrap();

        // It comes once.
        let come = adapter(OWN, None, new_row(OWN));
        assert_eq!(
            edit(std::slice::from_ref(&come)).await,
            Edited::Done(vec![true])
        );
        assert_eq!(
            edit(std::slice::from_ref(&come)).await,
            Edited::Done(vec![false])
        );
        sql("UPDATE db_tars.t_adapter_conf SET protocol = NULL WHERE node_name = '10.9.9.9'");
        let protocol = sql(own).contains("NULL");

        // It changes while it says what it said, and once is enough.
        let null = if protocol {
            ("protocol".to_owned(), NewValue::Null)
        } else {
            text("protocol", "")
        };
        let change = adapter(
            OWN,
            Some(vec![
                text("endpoint", ELSEWHERE),
                number("thread_num", 5),
                null,
            ]),
            Some(vec![
                text("endpoint", AT),
                number("thread_num", 9),
                text("protocol", "tars"),
            ]),
        );
        assert_eq!(
            edit(std::slice::from_ref(&change)).await,
            Edited::Done(vec![true])
        );
        assert_eq!(sql(own), format!("{OWN}\t{AT}\t9\ttars\n"));
        assert_eq!(
            edit(std::slice::from_ref(&change)).await,
            Edited::Done(vec![false])
        );

        // Somebody has changed it since: nothing is done, to no row.
        sql("UPDATE db_tars.t_adapter_conf SET thread_num = 7 WHERE node_name = '10.9.9.9'");
        let second = adapter("another", None, new_row("another"));
        let Edited::Moved(why) = edit(&[second, change.clone()]).await else {
            panic!("it changed what somebody else has changed")
        };
        assert!(why.contains("tars tarsstat 10.9.9.9"), "{why}");
        assert_eq!(sql(own), format!("{OWN}\t{AT}\t7\ttars\n"));

        // A row under its key is no room for a new one that is another.
        assert!(matches!(edit(&[come]).await, Edited::Moved(_)));

        // It goes while it is for the same servant at the same endpoint.
        let gone = |at: &str| {
            let told = vec![
                text("servant", "tars.tarsstat.StatObj"),
                text("endpoint", at),
            ];
            adapter(OWN, Some(told), None)
        };
        assert!(matches!(edit(&[gone(ELSEWHERE)]).await, Edited::Moved(_)));
        assert_eq!(edit(&[gone(AT)]).await, Edited::Done(vec![true]));
        assert_eq!(edit(&[gone(AT)]).await, Edited::Done(vec![false]));
        assert_eq!(sql(own), "");
        assert_eq!(sql(others), before);
        // What the database refuses changes nothing.
        let many = adapter(OWN, None, Some(vec![text("adapter_name", OWN)]));
        let wrong = adapter(OWN, Some(vec![]), Some(vec![text("no_such_column", "x")]));
        assert!(access.edit(&[many, wrong], WAIT).await.is_err());
        assert_eq!(sql(others), before);
    }
}

/// Whoever loses the connection at the very end does not know what came of it, and says so.
#[tokio::test]
async fn a_change_whose_end_is_not_heard_is_in_doubt() {
    let (_dir, database) = filled(Schema::Installed);
    database.account("writer", PASSWORD, Rights::All).unwrap();
    let access = Access {
        user: "writer".to_owned(),
        address: between(at(&database), "COMMIT", Arc::new(|| false)).await,
        ..access(&database)
    };
    let come = [adapter(OWN, None, new_row(OWN))];
    let edited = access.edit(&come, WAIT).await.unwrap();
    assert!(
        matches!(&edited, Edited::InDoubt(why) if !why.is_empty()),
        "{edited:?}"
    );
    // Any time before, it is an error like another.
    let early = Access {
        address: between(at(&database), "INSERT", Arc::new(|| false)).await,
        ..access
    };
    assert!(early.edit(&come, WAIT).await.is_err());
}

#[tokio::test]
async fn whole_rows_tell_a_row_that_was_replaced() {
    let (_dir, database) = filled(Schema::AfterConsole);
    database.account("writer", PASSWORD, Rights::All).unwrap();
    let access = Access {
        user: "writer".to_owned(),
        ..access(&database)
    };
    // As an installer writes it: the row is deleted and written anew.
    let replace = |more: &str, values: &str| {
        let sql = format!(
            "REPLACE INTO db_tars.t_server_conf (application, server_name, node_name, template_name, \
             setting_state, patch_time, posttime{more}) VALUES ('tars', 'tarsstat', '10.9.9.9', \
             'tars.tarsstat', 'active', NOW(), NOW(){values})"
        );
        database.root_sql(&sql).unwrap();
    };
    replace(", profile, async_thread_num", ", 'mine\\n日本', 7");
    let which = [tarsops_transport::mysql::Which {
        table: "t_server_conf",
        column: "node_name",
        value: "10.9.9.9".to_owned(),
        prefix: false,
        also: vec![("application", "tars".to_owned())],
    }];
    let read = async || {
        let mut all = access.whole(&which, WAIT).await.unwrap();
        let mut of = all.remove(0);
        of.retain(|row| row["server_name"].as_deref() == Some("tarsstat"));
        assert_eq!(of.len(), 1);
        of.remove(0)
    };
    let before = read().await;
    assert_eq!(before["profile"].as_deref(), Some("mine\n日本"));
    assert_eq!(before["async_thread_num"].as_deref(), Some("7"));
    assert!(!before.contains_key("patch_time"), "a time");
    replace("", "");
    let now = read().await;
    assert_ne!(before["id"], now["id"]);
    assert_ne!(before["async_thread_num"], now["async_thread_num"]);
    // And back again, by the values that were read.
    let cells = |row: &tarsops_transport::mysql::WholeRow| -> Columns {
        let of = |column: &str| {
            let value = row[column].clone().map_or(NewValue::Null, NewValue::Text);
            (column.to_owned(), value)
        };
        Some(vec![of("profile"), of("async_thread_num")])
    };
    let key = [
        ("application", "tars"),
        ("server_name", "tarsstat"),
        ("node_name", "10.9.9.9"),
    ];
    let back = Edition {
        table: "t_server_conf",
        key: key.map(|(c, v)| (c.to_owned(), v.to_owned())).into(),
        before: cells(&now),
        after: cells(&before),
    };
    let done = access.edit(&[back], WAIT).await.unwrap();
    assert_eq!(done, Edited::Done(vec![true]));
    let last = read().await;
    assert_eq!(last["profile"], before["profile"]);
    assert_eq!(last["async_thread_num"], before["async_thread_num"]);
}
