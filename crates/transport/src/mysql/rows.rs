//! The tables of `db_tars`, whatever columns they have.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use tarsops_model::console::{ConsoleTables, Models};
use tarsops_model::framework::{ADDITIONS, NodeRow, Rows, ServerRow};
use tarsops_model::observed::Observed;
use tarsops_model::tables::{ColumnKind, TableRow};

use super::bounded;

type Tables = BTreeMap<String, BTreeSet<String>>;

/// Reads the tables from one snapshot.
pub(super) async fn read(conn: &mut Conn) -> Result<Rows, mysql_async::Error> {
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    let mut tables = Tables::new();
    // Those that a console changes at its start; db_tars is one of them.
    let columns = "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
                   WHERE TABLE_SCHEMA IN ('db_tars', 'db_tars_web', 'db_user_system', 'db_cache_web', 'db_base')";
    let mut all = Models::new();
    for (database, table, column) in
        bounded::query::<(String, String, String)>(conn, "columns of tables", columns).await?
    {
        if database == "db_tars" {
            let columns = tables.entry(table.clone()).or_default();
            columns.insert(column.clone());
        }
        let mine = all.entry(database).or_default().entry(table).or_default();
        mine.insert(column);
    }
    let without_patch_time = without_patch_time(conn, &tables).await?;
    let nodes = table::<NodeRow>(conn, &tables).await?;
    let servers = table::<ServerRow>(conn, &tables).await?.map(|mut all| {
        for row in &mut all {
            row.exe_path = row.exe_path.take().filter(|path| !path.is_empty());
        }
        all
    });
    let adapters = table(conn, &tables).await?;
    let registries = table(conn, &tables).await?;
    let templates = table(conn, &tables).await?;
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
        console: ConsoleTables {
            columns: Observed::Present(all),
            without_patch_time,
        },
    })
}

/// How many rows of servers have no time of their patch.
async fn without_patch_time(
    conn: &mut Conn,
    tables: &Tables,
) -> Result<Observed<u64>, mysql_async::Error> {
    let has = tables.get("t_server_conf");
    if !has.is_some_and(|columns| columns.contains("patch_time")) {
        let why = "t_server_conf has no patch_time, or our user may not see it";
        return Ok(Observed::Unknown(why.to_owned()));
    }
    let query = "SELECT COUNT(*) FROM db_tars.t_server_conf WHERE patch_time IS NULL";
    match bounded::query::<u64>(conn, "rows without a patch_time", query).await {
        Ok(rows) => Ok(Observed::Present(rows.first().copied().unwrap_or_default())),
        Err(mysql_async::Error::Server(e)) if matches!(e.code, 1142 | 1143) => {
            Ok(Observed::Unknown(format!("patch_time: {}", e.message)))
        }
        Err(other) => Err(other),
    }
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

/// Reads one table. A table that is not listed may only be hidden from our user, and one that we
/// may not read is no reason to know nothing of the others.
async fn table<T: TableRow>(
    conn: &mut Conn,
    tables: &Tables,
) -> Result<Observed<Vec<T>>, mysql_async::Error> {
    let (name, columns) = (T::TABLE, T::COLUMNS);
    let Some(has) = tables.get(name) else {
        return Ok(Observed::Unknown(format!(
            "the table {name} is not there, or our user may not see it"
        )));
    };
    if let Some(missing) = columns
        .iter()
        .find(|c| c.kind == ColumnKind::Key && !has.contains(c.name))
    {
        return Ok(Observed::Unknown(format!(
            "the table {name} has no column {}, or our user may not see it",
            missing.name
        )));
    }
    let list: Vec<String> = columns
        .iter()
        .map(|c| {
            let name = c.name;
            match c.kind {
                _ if !has.contains(name) => "NULL".to_owned(),
                ColumnKind::Key | ColumnKind::Text => format!("CAST(`{name}` AS CHAR)"),
                ColumnKind::Age => {
                    format!("CAST(TIMESTAMPDIFF(SECOND, `{name}`, NOW()) AS CHAR)")
                }
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
        let mut cells = cells.into_iter();
        out.push(T::from_cells(|| cells.next().flatten()));
    }
    Ok(Observed::Present(out))
}
