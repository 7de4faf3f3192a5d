//! Writing rows that are not there yet, and taking them back.
//!
//! A row that is there is never touched: what is written is written only where no row has the key,
//! and what is rolled back is only what nobody has put to use since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Row, TxOpts, Value};
use tokio::time::Instant;

use super::guard::caught;
use super::{Access, DatabaseError, Link, again_after, bound_waits};

/// A value of a new row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// The database's own time.
    Now,
    /// None.
    Null,
}

/// A new row of a table in `db_tars`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertion {
    /// The table.
    pub table: &'static str,
    /// The columns that tell its rows apart.
    pub key: &'static [&'static str],
    /// Columns and their values. Those that the live table does not have are left out.
    pub columns: Vec<(String, NewValue)>,
}

impl Insertion {
    fn text(&self, column: &str) -> Option<&str> {
        self.columns
            .iter()
            .find_map(|(name, value)| match (name == column, value) {
                (true, NewValue::Text(text)) => Some(text.as_str()),
                _ => None,
            })
    }

    /// The condition of its key, and the values in it.
    fn is_its(&self) -> Result<(String, Vec<Value>), String> {
        let mut values = Vec::new();
        let mut parts = Vec::new();
        for column in self.key {
            // An empty part of a key would be everybody's.
            let value = self.text(column).filter(|v| !v.is_empty());
            let value = value.ok_or_else(|| {
                format!(
                    "it is not specified whose row of {} is meant ({column})",
                    self.table
                )
            })?;
            parts.push(format!("`{column}` = ?"));
            values.push(Value::from(value));
        }
        Ok((parts.join(" AND "), values))
    }

    /// The statement that writes the columns that the table has, where no row has the key.
    fn statement(&self, has: &BTreeSet<String>) -> Result<(String, Vec<Value>), String> {
        if let Some(lacks) = self.key.iter().find(|c| !has.contains(**c)) {
            return Err(format!("{} has no column {lacks}", self.table));
        }
        let (condition, key) = self.is_its()?;
        let (mut names, mut values, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in self.columns.iter().filter(|(n, _)| has.contains(n)) {
            names.push(format!("`{name}`"));
            values.push(match value {
                NewValue::Now => "NOW()",
                NewValue::Text(_) | NewValue::Number(_) | NewValue::Null => "?",
            });
            match value {
                NewValue::Text(text) => parameters.push(Value::from(text.as_str())),
                NewValue::Number(number) => parameters.push(Value::from(*number)),
                NewValue::Null => parameters.push(Value::NULL),
                NewValue::Now => {}
            }
        }
        parameters.extend(key);
        let table = self.table;
        Ok((
            format!(
                "INSERT INTO db_tars.{table} ({}) SELECT {} FROM DUAL \
                 WHERE NOT EXISTS (SELECT 1 FROM db_tars.{table} WHERE {condition})",
                names.join(", "),
                values.join(", ")
            ),
            parameters,
        ))
    }

    /// The statement that takes it back. Of a server whose own row is among the new ones (`new`),
    /// only while it is set inactive and counts as inactive; an adapter only with its own endpoint.
    fn removal(&self, new: &BTreeSet<&str>) -> Result<(String, Vec<Value>), String> {
        const IDLE: &str = "setting_state = 'inactive' AND present_state = 'inactive'";
        let (mut condition, mut values) = self.is_its()?;
        let server = self.text("server_name").unwrap_or_default();
        if self.table == "t_server_conf" {
            condition.push_str(&format!(" AND {IDLE}"));
        } else {
            // The platform's deploy form writes the same with a weight that says nothing.
            condition.push_str(" AND endpoint IN (?, ?)");
            let endpoint = self.text("endpoint").unwrap_or_default();
            values.push(Value::from(endpoint));
            values.push(Value::from(format!("{endpoint} -e 0")));
            if new.contains(server) {
                condition.push_str(&format!(
                    " AND EXISTS (SELECT 1 FROM db_tars.t_server_conf \
                     WHERE application = ? AND server_name = ? AND node_name = ? AND {IDLE})"
                ));
                for column in ["application", "server_name", "node_name"] {
                    values.push(Value::from(self.text(column).unwrap_or_default()));
                }
            }
        }
        let statement = format!("DELETE FROM db_tars.{} WHERE {condition}", self.table);
        Ok((statement, values))
    }
}

impl Access {
    /// Writes the rows that are not there, in one transaction; how many were written.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is written then, unless the connection was lost at the very end.
    pub async fn insert(
        &self,
        rows: &[Insertion],
        deadline: Duration,
    ) -> Result<u64, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let tables: BTreeSet<&'static str> = rows.iter().map(|r| r.table).collect();
        let reading = async {
            let mut has = BTreeMap::new();
            for table in tables {
                has.insert(table, columns(&mut conn, table).await?);
            }
            Ok::<_, mysql_async::Error>(has)
        };
        let has = self.within(until, reading).await?;
        let none = BTreeSet::new();
        let statements = rows
            .iter()
            .map(|row| row.statement(has.get(row.table).unwrap_or(&none)))
            .collect();
        self.all(conn, statements, until).await
    }

    /// Takes rows back that [`Access::insert`] wrote and nobody has put to use since, in one
    /// transaction; how many were deleted.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is deleted then, unless the connection was lost at the very end.
    pub async fn take_out(
        &self,
        rows: &[Insertion],
        deadline: Duration,
    ) -> Result<u64, DatabaseError> {
        let until = Instant::now() + deadline;
        let new: BTreeSet<&str> = rows
            .iter()
            .filter(|r| r.table == "t_server_conf")
            .filter_map(|r| r.text("server_name"))
            .collect();
        // Adapters first: whether they may go is told by the row of their server.
        let (servers, adapters): (Vec<_>, Vec<_>) =
            rows.iter().partition(|r| r.table == "t_server_conf");
        let statements = adapters
            .into_iter()
            .chain(servers)
            .map(|row| row.removal(&new))
            .collect();
        let (conn, _) = self.connect(deadline).await?;
        self.all(conn, statements, until).await
    }

    /// Carries out statements in one transaction; how many rows they changed.
    async fn all(
        &self,
        mut conn: Link,
        statements: Result<Vec<(String, Vec<Value>)>, String>,
        until: Instant,
    ) -> Result<u64, DatabaseError> {
        let statements = statements.map_err(|why| DatabaseError::Failed {
            at: self.address.clone(),
            why,
        })?;
        let left = until.saturating_duration_since(Instant::now());
        let writing = async {
            bound_waits(&mut conn, left).await?;
            loop {
                match carry_out(&mut conn, &statements).await {
                    Err(e) if again_after(&e).await => {}
                    other => return other,
                }
            }
        };
        let count = self.within(until, writing).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(count)
    }

    pub(super) async fn within<T>(
        &self,
        until: Instant,
        work: impl Future<Output = Result<T, mysql_async::Error>> + Send,
    ) -> Result<T, DatabaseError> {
        tokio::time::timeout_at(until, caught(work))
            .await
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
            .map_err(|e| self.error(&e))
    }
}

/// Carries out statements in one transaction; how many rows they changed.
async fn carry_out(
    conn: &mut Conn,
    statements: &[(String, Vec<Value>)],
) -> Result<u64, mysql_async::Error> {
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    let mut count = 0;
    for (statement, values) in statements {
        let values = Params::Positional(values.clone());
        transaction.exec_drop(statement, values).await?;
        count += transaction.affected_rows();
    }
    transaction.commit().await?;
    Ok(count)
}

/// The columns that a table has.
pub(super) async fn columns(
    conn: &mut Conn,
    table: &str,
) -> Result<BTreeSet<String>, mysql_async::Error> {
    let about = format!("the columns of {table}");
    let statement = format!("SHOW COLUMNS FROM db_tars.{table}");
    let found: Vec<Row> = super::bounded::query(conn, &about, &statement).await?;
    Ok(found
        .into_iter()
        .filter_map(|mut row| row.take::<String, _>(0))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(server: &str) -> Insertion {
        let text = |t: &str| NewValue::Text(t.to_owned());
        Insertion {
            table: "t_server_conf",
            key: &["application", "server_name", "node_name"],
            columns: vec![
                ("application".to_owned(), text("tars")),
                ("server_name".to_owned(), text(server)),
                ("node_name".to_owned(), text("10.0.0.2")),
                ("process_id".to_owned(), NewValue::Number(0)),
                ("posttime".to_owned(), NewValue::Now),
                ("run_type".to_owned(), text("")),
            ],
        }
    }

    #[test]
    fn only_columns_that_are_there_are_written_and_only_where_no_row_is() {
        let has: BTreeSet<String> = [
            "application",
            "server_name",
            "node_name",
            "process_id",
            "posttime",
        ]
        .map(str::to_owned)
        .into();
        let (statement, values) = row("tarsconfig").statement(&has).unwrap();
        assert_eq!(
            statement,
            "INSERT INTO db_tars.t_server_conf (`application`, `server_name`, `node_name`, \
             `process_id`, `posttime`) SELECT ?, ?, ?, ?, NOW() FROM DUAL WHERE NOT EXISTS \
             (SELECT 1 FROM db_tars.t_server_conf WHERE `application` = ? AND `server_name` = ? \
             AND `node_name` = ?)"
        );
        assert_eq!(values.len(), 7);
        let mut less = has;
        less.remove("node_name");
        assert!(row("tarsconfig").statement(&less).is_err());
    }

    #[test]
    fn a_key_that_is_everybodys_is_refused() {
        let has = BTreeSet::new();
        assert!(row("").is_its().is_err());
        assert!(row("").removal(&BTreeSet::new()).is_err());
        assert!(row("").statement(&has).is_err());
    }
}
