//! Deleting rows that nobody stands behind, and writing them down before.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Row, TxOpts, Value};
use std::time::Duration;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::NodeName;

use super::{Access, DatabaseError};

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
}

impl Which {
    fn condition(&self) -> String {
        if self.prefix {
            // Not LIKE, which takes `_` and `%` in the value for patterns.
            format!("LEFT(`{}`, CHAR_LENGTH(?)) = ?", self.column)
        } else {
            format!("`{}` = ?", self.column)
        }
    }

    fn parameters(&self) -> Params {
        let value = Value::from(self.value.as_str());
        let times = if self.prefix { 2 } else { 1 };
        Params::Positional(vec![value; times])
    }
}

impl Access {
    /// The rows as `INSERT` statements, whole: they may hold credentials.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn dump(&self, all: &[Which], deadline: Duration) -> Result<String, DatabaseError> {
        let (mut conn, _) = self.connect(deadline).await?;
        let mut out = String::new();
        for which in all {
            let reading = rows(&mut conn, which, &mut out);
            tokio::time::timeout(deadline, reading)
                .await
                .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
                .map_err(|e| self.error(&e))?;
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(out)
    }

    /// Deletes the rows in one transaction; how many there were.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is deleted then, unless the connection was lost at the very end.
    pub async fn delete(&self, all: &[Which], deadline: Duration) -> Result<u64, DatabaseError> {
        let (mut conn, _) = self.connect(deadline).await?;
        let deleting = async {
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
        let count = tokio::time::timeout(deadline, deleting)
            .await
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
            .map_err(|e| self.error(&e))?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(count)
    }
}

impl Access {
    /// Gives the row of `node` the label and the group, where it has neither; whether it had none.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn put_labels(
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
        let statement = format!(
            "UPDATE db_tars.t_node_info SET {} WHERE node_name = ? AND {}",
            set.join(", "),
            bare.join(" AND ")
        );
        let (mut conn, _) = self.connect(deadline).await?;
        let writing = async {
            let parameters = Params::Positional(values);
            conn.exec_drop(statement, parameters).await?;
            Ok::<_, mysql_async::Error>(conn.affected_rows() > 0)
        };
        let written = tokio::time::timeout(deadline, writing)
            .await
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
            .map_err(|e| self.error(&e))?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(written)
    }
}

async fn rows(conn: &mut Conn, which: &Which, out: &mut String) -> Result<(), mysql_async::Error> {
    let query = format!(
        "SELECT * FROM db_tars.{} WHERE {}",
        which.table,
        which.condition()
    );
    let found: Vec<Row> = conn.exec(query, which.parameters()).await?;
    for row in found {
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
