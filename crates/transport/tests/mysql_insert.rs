//! New rows in a real MariaDB: only where none is, only into columns that are there, and out again
//! only while nobody has put them to use.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::database::{PASSWORD, WAIT, access, filled};
use tarsops_standin::database::{Rights, Schema};
use tarsops_transport::mysql::{Access, Insertion, NewValue};

const NODE: &str = "10.9.9.9";

fn text(value: &str) -> NewValue {
    NewValue::Text(value.to_owned())
}

fn row(
    table: &'static str,
    key: &'static [&'static str],
    more: Vec<(&str, NewValue)>,
) -> Insertion {
    let mut columns = vec![
        ("application", text("tars")),
        ("server_name", text("tarsconfig")),
        ("node_name", text(NODE)),
        ("posttime", NewValue::Now),
        ("no_such_column", text("x")),
    ];
    columns.extend(more);
    Insertion {
        table,
        key,
        columns: columns
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn rows() -> Vec<Insertion> {
    vec![
        row(
            "t_server_conf",
            &["application", "server_name", "node_name"],
            vec![
                ("exe_path", text("/a'b\\c")),
                ("setting_state", text("inactive")),
                ("present_state", text("inactive")),
                ("process_id", NewValue::Number(0)),
                ("lastuser", text("admin")),
            ],
        ),
        row(
            "t_adapter_conf",
            &["application", "server_name", "node_name", "adapter_name"],
            vec![
                ("adapter_name", text("tars.tarsconfig.ConfigObjAdapter")),
                ("endpoint", text("tcp -h 10.9.9.9 -t 60000 -p 18193")),
                ("thread_num", NewValue::Number(10)),
            ],
        ),
    ]
}

#[tokio::test]
async fn rows_come_once_and_go_while_nobody_uses_them() {
    for schema in [Schema::Installed, Schema::AfterConsole] {
        let (_dir, database) = filled(schema);
        database.account("writer", PASSWORD, Rights::All).unwrap();
        let access = Access {
            user: "writer".to_owned(),
            ..access(&database)
        };
        let sql = |statement: &str| database.root_sql(statement).unwrap();
        let count = "SELECT (SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '10.9.9.9') + \
                     (SELECT COUNT(*) FROM db_tars.t_adapter_conf WHERE node_name = '10.9.9.9')";
        let others = "SELECT (SELECT COUNT(*) FROM db_tars.t_server_conf) + \
                      (SELECT COUNT(*) FROM db_tars.t_adapter_conf)";
        let before = sql(others);
        assert_eq!(access.insert(&rows(), WAIT).await.unwrap(), 2);
        assert_eq!(sql(count), "2\n");
        let found = sql(
            "SELECT exe_path, setting_state, process_id, lastuser, posttime > NOW() - INTERVAL 1 MINUTE \
             FROM db_tars.t_server_conf WHERE node_name = '10.9.9.9'",
        );
        assert_eq!(found, "/a'b\\\\c\tinactive\t0\tadmin\t1\n");
        // What is there is not touched.
        sql("UPDATE db_tars.t_server_conf SET lastuser = 'somebody' WHERE node_name = '10.9.9.9'");
        assert_eq!(access.insert(&rows(), WAIT).await.unwrap(), 0);
        let user = "SELECT lastuser FROM db_tars.t_server_conf WHERE node_name = '10.9.9.9'";
        assert_eq!(sql(user), "somebody\n");
        // In use they stay; at another endpoint the adapter is somebody else's.
        sql(
            "UPDATE db_tars.t_server_conf SET setting_state = 'active' WHERE node_name = '10.9.9.9'",
        );
        assert_eq!(access.take_out(&rows(), WAIT).await.unwrap(), 0);
        sql(
            "UPDATE db_tars.t_server_conf SET setting_state = 'inactive' WHERE node_name = '10.9.9.9'; \
             UPDATE db_tars.t_adapter_conf SET endpoint = 'tcp -h 10.9.9.9 -t 60000 -p 1' WHERE node_name = '10.9.9.9'",
        );
        assert_eq!(access.take_out(&rows(), WAIT).await.unwrap(), 1);
        assert_eq!(sql(count), "1\n");
        sql("DELETE FROM db_tars.t_adapter_conf WHERE node_name = '10.9.9.9'");
        assert_eq!(access.insert(&rows(), WAIT).await.unwrap(), 2);
        assert_eq!(access.take_out(&rows(), WAIT).await.unwrap(), 2);
        assert_eq!(sql(others), before);
        // One that cannot be written takes the others with it.
        let mut wrong = rows();
        wrong[1].columns.retain(|(name, _)| name != "adapter_name");
        assert!(access.insert(&wrong, WAIT).await.is_err());
        let mut late = rows();
        late[1]
            .columns
            .push(("max_connections".to_owned(), text("many")));
        let refused = access.insert(&late, WAIT).await;
        if refused.is_err() {
            assert_eq!(sql(others), before);
        }
    }
}
