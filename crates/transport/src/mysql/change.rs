//! Deleting rows that nobody stands behind, and writing them down before.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Row, TxOpts, Value};
use std::time::Duration;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::NodeName;
use tokio::time::Instant;

use super::kept::{self, Owner};
use super::{Access, DatabaseError, bound_waits, bounded};

/// What the statements of a dump rely on: how texts are encoded, that a backslash is an escape, and
/// that a 0 is a value.
const SESSION: &str =
    "SET NAMES utf8mb4, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';\n";

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// The table in `db_tars`.
    pub table: &'static str,
    /// The column that names whose row it is.
    pub column: &'static str,
    /// Its value.
    pub value: String,
    /// Whether the value is the beginning of the column's.
    pub prefix: bool,
    /// Further columns and their values, all of which must be so.
    pub also: Vec<(&'static str, String)>,
}

impl Which {
    /// Why these rows are not touched: an empty beginning is every row's.
    fn refusal(&self) -> Option<String> {
        self.value
            .is_empty()
            .then(|| format!("it is not specified whose rows of {} are meant", self.table))
    }

    fn condition(&self) -> String {
        let mut out = if self.prefix {
            // Not LIKE, which takes `_` and `%` in the value for patterns.
            format!("LEFT(`{}`, CHAR_LENGTH(?)) = ?", self.column)
        } else {
            format!("`{}` = ?", self.column)
        };
        for (column, _) in &self.also {
            out.push_str(&format!(" AND `{column}` = ?"));
        }
        out
    }

    fn parameters(&self) -> Params {
        let times = if self.prefix { 2 } else { 1 };
        let mut all = vec![Value::from(self.value.as_str()); times];
        all.extend(self.also.iter().map(|(_, v)| Value::from(v.as_str())));
        Params::Positional(all)
    }
}

impl Access {
    /// The rows as `INSERT` statements, whole: they may hold credentials. Whatever client and server
    /// run them, they mean the same.
    ///
    /// # Errors
    /// A [`DatabaseError`]; also for a [`Which`] that would be every row.
    pub async fn dump(&self, all: &[Which], deadline: Duration) -> Result<String, DatabaseError> {
        self.meant(all)?;
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let mut out = String::from(SESSION);
        let reading = async {
            // Times that depend on a zone are read as they are written again.
            conn.query_drop("SET time_zone = '+00:00'").await?;
            for which in all {
                rows(&mut conn, which, &mut out).await?;
            }
            Ok(())
        };
        self.within(until, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(out)
    }

    /// The rows with all their columns, in the order of `all`: the columns of each as text, none for NULL.
    /// They may hold credentials. Columns that are times are left out.
    ///
    /// # Errors
    /// A [`DatabaseError`]; also for a [`Which`] that would be every row.
    pub async fn whole(
        &self,
        all: &[Which],
        deadline: Duration,
    ) -> Result<Vec<Vec<WholeRow>>, DatabaseError> {
        self.meant(all)?;
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let reading = async {
            let mut out = Vec::new();
            for which in all {
                let found = found(&mut conn, which).await?;
                out.push(found.into_iter().map(whole).collect());
            }
            Ok(out)
        };
        let out = self.within(until, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(out)
    }

    /// Deletes the rows in one transaction; how many there were.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is deleted then, unless the connection was lost at the very end.
    /// Also for a [`Which`] that would be every row.
    pub async fn delete(&self, all: &[Which], deadline: Duration) -> Result<u64, DatabaseError> {
        self.meant(all)?;
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let deleting = async {
            bound_waits(&mut conn, deadline).await?;
            let mut transaction = conn.start_transaction(TxOpts::default()).await?;
            let mut count = 0;
            for which in all {
                let statement = format!(
                    "DELETE FROM db_tars.{} WHERE {}",
                    which.table,
                    which.condition()
                );
                transaction.exec_drop(statement, which.parameters()).await?;
                count += transaction.affected_rows();
            }
            transaction.commit().await?;
            Ok::<u64, mysql_async::Error>(count)
        };
        let count = self.within(until, deleting).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(count)
    }

    /// Takes the servers among the rows out of name resolution, before they are deleted: a registry
    /// forgets a row that is changed within seconds, and one that is only deleted within an hour
    /// (`RegistryServer/DbHandle.cpp`, loadObjectIdCache). How many
    /// rows were active.
    ///
    /// # Errors
    /// A [`DatabaseError`]; also for a [`Which`] that would be every row.
    pub async fn deactivate(
        &self,
        all: &[Which],
        deadline: Duration,
    ) -> Result<u64, DatabaseError> {
        self.meant(all)?;
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let retiring = async {
            bound_waits(&mut conn, deadline).await?;
            let mut count = 0;
            for which in all.iter().filter(|w| w.table == "t_server_conf") {
                let statement = format!(
                    "UPDATE db_tars.t_server_conf \
                     SET setting_state = 'inactive', present_state = 'inactive' WHERE {}",
                    which.condition()
                );
                conn.exec_drop(statement, which.parameters()).await?;
                count += conn.affected_rows();
            }
            Ok::<u64, mysql_async::Error>(count)
        };
        let count = self.within(until, retiring).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(count)
    }

    /// Puts rows of a server and its adapters back that [`Access::dump`] wrote down, as far as no row
    /// has taken their place; how many. The text is read, and never run. Other lines of it are passed
    /// over: rows of registries and nodes are written by those who stand behind them.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is restored then. Also for a text in which a row of a server or an
    /// adapter is not as it is written down, or is not the `owner`'s.
    pub async fn put_back(
        &self,
        dump: &str,
        owner: &Owner<'_>,
        deadline: Duration,
    ) -> Result<u64, DatabaseError> {
        let rows = kept::rows(dump, owner).map_err(|e| DatabaseError::Failed {
            at: self.address.clone(),
            why: e.to_string(),
        })?;
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let writing = async {
            bound_waits(&mut conn, deadline).await?;
            conn.query_drop(SESSION.trim_end().trim_end_matches(';'))
                .await?;
            let mut transaction = conn.start_transaction(TxOpts::default()).await?;
            let mut count = 0;
            for row in &rows {
                let (statement, values) = row.statement();
                let values = Params::Positional(values);
                transaction.exec_drop(statement, values).await?;
                count += transaction.affected_rows();
            }
            transaction.commit().await?;
            Ok::<u64, mysql_async::Error>(count)
        };
        let count = self.within(until, writing).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(count)
    }

    fn meant(&self, all: &[Which]) -> Result<(), DatabaseError> {
        match all.iter().find_map(Which::refusal) {
            None => Ok(()),
            Some(why) => Err(DatabaseError::Failed {
                at: self.address.clone(),
                why,
            }),
        }
    }
}

impl Access {
    /// Gives the row of `node` the label and the group, where it has neither and is another row than the
    /// one that had them; whether that was so.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn restore_labels(
        &self,
        node: &NodeName,
        labels: &NodeLabels,
        deadline: Duration,
    ) -> Result<bool, DatabaseError> {
        // A column that nothing is written into may not even be there.
        let (mut set, mut bare, mut values) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(label) = &labels.label {
            set.push("label = ?");
            bare.push("(label IS NULL OR label = '')");
            values.push(Value::from(label.as_str()));
        }
        if let Some(group) = labels.group_id {
            set.push("group_id = ?");
            bare.push("(group_id IS NULL OR group_id = -1)");
            values.push(Value::from(group));
        }
        if set.is_empty() {
            return Ok(false);
        }
        values.push(Value::from(node.as_str()));
        if let Some(row) = labels.row {
            bare.push("id <> ?");
            values.push(Value::from(row));
        }
        let statement = format!(
            "UPDATE db_tars.t_node_info SET {} WHERE node_name = ? AND {}",
            set.join(", "),
            bare.join(" AND ")
        );
        let (mut conn, _) = self.connect(deadline).await?;
        let writing = async {
            bound_waits(&mut conn, deadline).await?;
            let parameters = Params::Positional(values);
            conn.exec_drop(statement, parameters).await?;
            Ok::<_, mysql_async::Error>(conn.affected_rows() > 0)
        };
        let written = self.within(Instant::now() + deadline, writing).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(written)
    }
}

/// A row by its columns; none for NULL.
pub type WholeRow = BTreeMap<String, Option<String>>;

async fn found(conn: &mut Conn, which: &Which) -> Result<Vec<Row>, mysql_async::Error> {
    let query = format!(
        "SELECT * FROM db_tars.{} WHERE {}",
        which.table,
        which.condition()
    );
    let about = format!("rows of {}", which.table);
    bounded::exec(conn, &about, query, which.parameters()).await
}

fn whole(row: Row) -> WholeRow {
    let names: Vec<String> = row
        .columns_ref()
        .iter()
        .map(|c| c.name_str().into_owned())
        .collect();
    let text = |value: Value| match value {
        Value::NULL => Some(None),
        Value::Bytes(bytes) => Some(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Value::Int(number) => Some(Some(number.to_string())),
        Value::UInt(number) => Some(Some(number.to_string())),
        Value::Float(number) => Some(Some(number.to_string())),
        Value::Double(number) => Some(Some(number.to_string())),
        Value::Date(..) | Value::Time(..) => None,
    };
    let cells = names.into_iter().zip(row.unwrap());
    cells
        .filter_map(|(name, v)| Some((name, text(v)?)))
        .collect()
}

async fn rows(conn: &mut Conn, which: &Which, out: &mut String) -> Result<(), mysql_async::Error> {
    for row in found(conn, which).await? {
        let names: Vec<String> = row
            .columns_ref()
            .iter()
            .map(|c| format!("`{}`", c.name_str()))
            .collect();
        let values: Vec<String> = row.unwrap().iter().map(literal).collect();
        out.push_str(&format!(
            "INSERT INTO db_tars.{} ({}) VALUES ({});\n",
            which.table,
            names.join(", "),
            values.join(", ")
        ));
    }
    Ok(())
}

fn literal(value: &Value) -> String {
    value.as_sql(false)
}
