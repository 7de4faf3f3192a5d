//! The tables of `db_tars`, whatever columns they have.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
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
    let columns = "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS \
                   WHERE TABLE_SCHEMA = 'db_tars'";
    for (table, column) in
        bounded::query::<(String, String)>(conn, "columns of db_tars", columns).await?
    {
        tables.entry(table).or_default().insert(column);
    }
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
