//! The tables of `db_tars`, whatever columns they have.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{
    ADDITIONS, AdapterRow, Confidential, NodeRow, RegistryRow, Rows, ServerRow, TemplateRow,
};
use tarsops_model::observed::Observed;

use super::bounded;

/// A column as it is asked for.
struct Column {
    name: &'static str,
    /// The expression around it; `{}` stands for the column.
    as_: &'static str,
    /// Whether a row means nothing without it.
    key: bool,
}

const fn text(name: &'static str) -> Column {
    Column {
        name,
        as_: "CAST({} AS CHAR)",
        key: false,
    }
}
const fn key(name: &'static str) -> Column {
    Column {
        name,
        as_: "CAST({} AS CHAR)",
        key: true,
    }
}
const fn age(name: &'static str) -> Column {
    Column {
        name,
        as_: "CAST(TIMESTAMPDIFF(SECOND, {}, NOW()) AS CHAR)",
        key: false,
    }
}

type Tables = BTreeMap<String, BTreeSet<String>>;
type Cells = std::vec::IntoIter<Option<String>>;

/// Reads the tables from one snapshot.
pub(super) async fn read(conn: &mut Conn) -> Result<Rows, mysql_async::Error> {
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    let mut tables = Tables::new();
    let columns = "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
                   WHERE TABLE_SCHEMA = 'db_tars'";
    for (table, column) in
        bounded::query::<(String, String)>(conn, "columns of db_tars", columns).await?
    {
        tables.entry(table).or_default().insert(column);
    }
    let nodes = table(
        conn,
        &tables,
        "t_node_info",
        &[
            key("node_name"),
            text("node_obj"),
            text("endpoint_ip"),
            text("present_state"),
            text("setting_state"),
            text("tars_version"),
            text("group_id"),
            text("label"),
            age("last_heartbeat"),
        ],
        |c| NodeRow {
            name: word(c),
            node_obj: next(c),
            endpoint_ip: next(c),
            present: next(c),
            setting: next(c),
            version: next(c),
            group_id: number(c),
            label: next(c),
            heartbeat_age: number(c),
        },
    )
    .await?;
    let servers = table(
        conn,
        &tables,
        "t_server_conf",
        &[
            key("application"),
            key("server_name"),
            key("node_name"),
            text("setting_state"),
            text("present_state"),
            text("process_id"),
            text("patch_version"),
            text("tars_version"),
            text("template_name"),
            text("server_type"),
            text("exe_path"),
        ],
        |c| ServerRow {
            application: word(c),
            server: word(c),
            node: word(c),
            setting: next(c),
            present: next(c),
            pid: number(c),
            patch_version: next(c),
            library: next(c),
            template: next(c),
            kind: next(c),
            exe_path: next(c).filter(|path| !path.is_empty()),
        },
    )
    .await?;
    let adapters = table(
        conn,
        &tables,
        "t_adapter_conf",
        &[
            key("application"),
            key("server_name"),
            key("node_name"),
            key("adapter_name"),
            text("servant"),
            text("endpoint"),
            text("protocol"),
            text("thread_num"),
            text("max_connections"),
            text("queuecap"),
            text("queuetimeout"),
        ],
        |c| AdapterRow {
            application: word(c),
            server: word(c),
            node: word(c),
            adapter: word(c),
            servant: next(c),
            endpoint: next(c),
            protocol: next(c),
            threads: number(c),
            connections: number(c),
            queue: number(c),
            queue_timeout: number(c),
        },
    )
    .await?;
    let registries = table(
        conn,
        &tables,
        "t_registry_info",
        &[
            key("locator_id"),
            key("servant"),
            text("endpoint"),
            text("present_state"),
            text("tars_version"),
            age("last_heartbeat"),
        ],
        |c| RegistryRow {
            locator: word(c),
            servant: word(c),
            endpoint: next(c),
            present: next(c),
            library: next(c),
            heartbeat_age: number(c),
        },
    )
    .await?;
    let templates = table(
        conn,
        &tables,
        "t_profile_template",
        &[key("template_name"), text("parents_name"), text("profile")],
        |c| {
            let (name, parent, text) = (word(c), next(c), next(c));
            TemplateRow {
                name,
                parent,
                digest: text.as_ref().map(|t| Digest::of(t.as_bytes()).to_string()),
                text: text.map(Confidential::new),
            }
        },
    )
    .await?;
    let mut columns = BTreeMap::new();
    for addition in ADDITIONS {
        let table = addition.table;
        if !columns.contains_key(table) {
            let listed = tables.get(table).cloned().unwrap_or_default();
            columns.insert(table.to_owned(), columns_of(conn, table, listed).await?);
        }
    }
    conn.query_drop("COMMIT").await?;
    Ok(Rows {
        nodes: nodes.map(|all| all.into_iter().map(|r| (r.name.clone(), r)).collect()),
        servers,
        adapters,
        registries,
        templates,
        columns,
    })
}

/// The columns of a table, all of them: who may not read each of them is refused `*`. A table that is
/// named so and is not there is told only to those who may see it (1146).
async fn columns_of(
    conn: &mut Conn,
    table: &str,
    listed: BTreeSet<String>,
) -> Result<Observed<BTreeSet<String>>, mysql_async::Error> {
    let query = format!("SELECT * FROM db_tars.{table} LIMIT 0");
    let seen = match conn.query_iter(query).await {
        Ok(result) => {
            let seen: Vec<String> = result
                .columns_ref()
                .iter()
                .map(|c| c.name_str().into_owned())
                .collect();
            result.drop_result().await?;
            seen
        }
        Err(mysql_async::Error::Server(e)) if e.code == 1146 => return Ok(Observed::Absent),
        Err(mysql_async::Error::Server(e)) if matches!(e.code, 1142 | 1143) => {
            return Ok(Observed::Unknown(format!(
                "the columns of {table}: {}",
                e.message
            )));
        }
        Err(other) => return Err(other),
    };
    let mut all = listed;
    all.extend(seen);
    Ok(Observed::Present(all))
}

fn next(cells: &mut Cells) -> Option<String> {
    cells.next().flatten()
}

fn word(cells: &mut Cells) -> String {
    next(cells).unwrap_or_default()
}

fn number(cells: &mut Cells) -> Option<i64> {
    next(cells).and_then(|text| text.parse().ok())
}

/// Reads one table. A table that is not listed may only be hidden from our user, and one that we
/// may not read is no reason to know nothing of the others.
async fn table<T>(
    conn: &mut Conn,
    tables: &Tables,
    name: &str,
    columns: &[Column],
    take: impl Fn(&mut Cells) -> T,
) -> Result<Observed<Vec<T>>, mysql_async::Error> {
    let Some(has) = tables.get(name) else {
        return Ok(Observed::Unknown(format!(
            "the table {name} is not there, or our user may not see it"
        )));
    };
    if let Some(missing) = columns.iter().find(|c| c.key && !has.contains(c.name)) {
        return Ok(Observed::Unknown(format!(
            "the table {name} has no column {}, or our user may not see it",
            missing.name
        )));
    }
    let list: Vec<String> = columns
        .iter()
        .map(|c| {
            if has.contains(c.name) {
                c.as_.replace("{}", &format!("`{}`", c.name))
            } else {
                "NULL".to_owned()
            }
        })
        .collect();
    let query = format!("SELECT {} FROM db_tars.{name}", list.join(", "));
    let rows: Vec<Row> = match bounded::query(conn, &format!("rows of {name}"), &query).await {
        Ok(rows) => rows,
        // Denied for this table (1142) or one of its columns (1143).
        Err(mysql_async::Error::Server(e)) if matches!(e.code, 1142 | 1143) => {
            return Ok(Observed::Unknown(format!("{name}: {}", e.message)));
        }
        Err(other) => return Err(other),
    };
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let mut cells: Vec<Option<String>> = Vec::with_capacity(columns.len());
        for value in row.unwrap() {
            cells.push(match value {
                mysql_async::Value::NULL => None,
                mysql_async::Value::Bytes(bytes) => {
                    Some(String::from_utf8_lossy(&bytes).into_owned())
                }
                other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
            });
        }
        out.push(take(&mut cells.into_iter()));
    }
    Ok(Observed::Present(out))
}
