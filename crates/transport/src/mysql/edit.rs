//! Changing single rows by their fields, each only while it still says what it said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, TxOpts, Value};
use tokio::time::Instant;

use super::insert::{NewValue, columns};
use super::{Access, DatabaseError, again_after, bound_waits};

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// The table in `db_tars`.
    pub table: &'static str,
    /// The columns that tell its rows apart, and their values.
    pub key: Vec<(String, String)>,
    /// What the row must say, by column; none where no row may be there.
    pub before: Option<Vec<(String, NewValue)>>,
    /// What it should say, by column; none where it goes.
    pub after: Option<Vec<(String, NewValue)>>,
}

/// What came of changing rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// All of them say what they should; whether each was changed.
    Done(Vec<bool>),
    /// One says something else by now, and none was changed.
    Moved(String),
    /// The connection was lost when they were about to be changed: either all say what they should, or
    /// none was changed. Why, as a [`DatabaseError`] says it.
    InDoubt(String),
}

/// A statement and its values.
type Statement = (String, Vec<Value>);

fn value(value: &NewValue) -> Value {
    match value {
        NewValue::Text(text) => Value::from(text.as_str()),
        NewValue::Number(number) => Value::from(*number),
        // Never compared: the time of another moment would be another one.
        NewValue::Null | NewValue::Now => Value::NULL,
    }
}

impl Edition {
    fn of_key(&self) -> Result<Statement, String> {
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        for (column, text) in &self.key {
            // An empty part of a key would be everybody's.
            if text.is_empty() {
                let table = self.table;
                return Err(format!(
                    "it is not specified whose row of {table} is meant ({column})"
                ));
            }
            parts.push(format!("`{column}` = ?"));
            values.push(Value::from(text.as_str()));
        }
        if self.key.len() < 3 {
            return Err(format!(
                "it is not specified which row of {} is meant",
                self.table
            ));
        }
        Ok((parts.join(" AND "), values))
    }

    /// The condition that the row is there and says all of this.
    fn says(&self, columns: &[(String, NewValue)]) -> Result<Statement, String> {
        let (mut condition, mut values) = self.of_key()?;
        let known = columns.iter().filter(|(column, to)| {
            *to != NewValue::Now && !self.key.iter().any(|(name, _)| name == column)
        });
        for (column, to) in known {
            condition.push_str(&format!(" AND `{column}` <=> ?"));
            values.push(value(to));
        }
        Ok((condition, values))
    }

    /// The statement that changes it; a row that comes has the columns that the table `has`.
    fn statement(&self, has: &BTreeSet<String>) -> Result<Statement, String> {
        let table = self.table;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                let mut values: Vec<Value> = after.iter().map(|(_, to)| value(to)).collect();
                let set: Vec<String> = after.iter().map(|(c, _)| format!("`{c}` = ?")).collect();
                let (condition, more) = self.says(before)?;
                values.extend(more);
                let set = set.join(", ");
                Ok((
                    format!("UPDATE db_tars.{table} SET {set} WHERE {condition}"),
                    values,
                ))
            }
            (None, Some(after)) => {
                let after: Vec<_> = after.iter().filter(|(c, _)| has.contains(c)).collect();
                let mut values = Vec::new();
                let mut marks = Vec::new();
                for (_, to) in &after {
                    if *to == NewValue::Now {
                        marks.push("NOW()");
                    } else {
                        marks.push("?");
                        values.push(value(to));
                    }
                }
                let names: Vec<String> = after.iter().map(|(c, _)| format!("`{c}`")).collect();
                let (condition, more) = self.of_key()?;
                values.extend(more);
                Ok((
                    format!(
                        "INSERT INTO db_tars.{table} ({}) SELECT {} FROM DUAL WHERE NOT EXISTS \
                         (SELECT 1 FROM db_tars.{table} WHERE {condition})",
                        names.join(", "),
                        marks.join(", ")
                    ),
                    values,
                ))
            }
            (Some(before), None) => {
                let (condition, values) = self.says(before)?;
                Ok((
                    format!("DELETE FROM db_tars.{table} WHERE {condition}"),
                    values,
                ))
            }
            (None, None) => Err(format!("no value is given for a row of {table}")),
        }
    }

    /// The statement that counts the row, if it says what it should, or at all where it goes.
    fn look(&self) -> Result<Statement, String> {
        let (condition, values) = match &self.after {
            // One that came says what tells it apart: who wrote it may have another schema.
            Some(after) if self.before.is_none() => {
                let told =
                    |c: &&(String, NewValue)| ["servant", "endpoint"].contains(&c.0.as_str());
                self.says(&after.iter().filter(told).cloned().collect::<Vec<_>>())?
            }
            Some(after) => self.says(after)?,
            None => self.of_key()?,
        };
        let table = self.table;
        Ok((
            format!("SELECT COUNT(*) FROM db_tars.{table} WHERE {condition}"),
            values,
        ))
    }

    fn name(&self) -> String {
        let parts: Vec<&str> = self.key.iter().map(|(_, value)| value.as_str()).collect();
        format!("the row {} of {}", parts.join(" "), self.table)
    }
}

impl Access {
    /// Changes rows in one transaction, each only while it says what it said; one that says already
    /// what it should is left.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is changed then.
    pub async fn edit(&self, all: &[Edition], deadline: Duration) -> Result<Edited, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let new: BTreeSet<&'static str> = all
            .iter()
            .filter(|edition| edition.before.is_none())
            .map(|edition| edition.table)
            .collect();
        let reading = async {
            let mut has = BTreeMap::new();
            for table in new {
                has.insert(table, columns(&mut conn, table).await?);
            }
            Ok(has)
        };
        let has = self.within(until, reading).await?;
        let none = BTreeSet::new();
        let statements: Vec<(Statement, Statement)> = all
            .iter()
            .map(|edition| {
                let has = has.get(edition.table).unwrap_or(&none);
                Ok((edition.statement(has)?, edition.look()?))
            })
            .collect::<Result<_, String>>()
            .map_err(|why| DatabaseError::Failed {
                at: self.address.clone(),
                why,
            })?;
        let committing = AtomicBool::new(false);
        let editing = async {
            bound_waits(&mut conn, deadline).await?;
            loop {
                match edit_all(&mut conn, all, &statements, &committing).await {
                    Err(e) if again_after(&e).await => {}
                    other => return other,
                }
            }
        };
        let edited = match self.within(until, editing).await {
            Err(e) if committing.load(Ordering::Relaxed) => Edited::InDoubt(e.to_string()),
            other => other?,
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(edited)
    }
}

async fn edit_all(
    conn: &mut Conn,
    all: &[Edition],
    statements: &[(Statement, Statement)],
    committing: &AtomicBool,
) -> Result<Edited, mysql_async::Error> {
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    let mut all_changed = Vec::with_capacity(all.len());
    for (edition, ((statement, values), (look, key))) in all.iter().zip(statements) {
        transaction
            .exec_drop(statement, Params::Positional(values.clone()))
            .await?;
        let changed = transaction.affected_rows() > 0;
        all_changed.push(changed);
        if changed {
            continue;
        }
        let found: Option<u64> = transaction
            .exec_first(look, Params::Positional(key.clone()))
            .await?;
        if (found.unwrap_or(0) > 0) != edition.after.is_some() {
            transaction.rollback().await?;
            return Ok(Edited::Moved(format!(
                "{} has changed since it was read",
                edition.name()
            )));
        }
    }
    committing.store(true, Ordering::Relaxed);
    let committed = transaction.commit().await;
    // Whoever says so has not done it.
    if matches!(committed, Err(mysql_async::Error::Server(_))) {
        committing.store(false, Ordering::Relaxed);
    }
    committed?;
    Ok(Edited::Done(all_changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(before: Option<&str>, after: Option<&str>) -> Edition {
        let says = |to: &str| vec![("protocol".to_owned(), NewValue::Text(to.to_owned()))];
        let key = ["application", "server_name", "node_name", "adapter_name"];
        Edition {
            table: "t_adapter_conf",
            key: key.map(|c| (c.to_owned(), format!("its-{c}"))).into(),
            before: before.map(says),
            after: after.map(says),
        }
    }

    #[test]
    fn a_row_is_changed_only_while_it_says_what_it_said() {
        let (text, values) = edition(Some("not_tars"), Some("tars"))
            .statement(&BTreeSet::new())
            .unwrap();
        assert_eq!(
            text,
            "UPDATE db_tars.t_adapter_conf SET `protocol` = ? WHERE `application` = ? AND \
             `server_name` = ? AND `node_name` = ? AND `adapter_name` = ? AND `protocol` <=> ?"
        );
        assert_eq!(values.len(), 6);
        assert_eq!(values[0], Value::from("tars"));
        let (text, _) = edition(Some("tars"), None)
            .statement(&BTreeSet::new())
            .unwrap();
        assert!(text.starts_with("DELETE") && text.ends_with("`protocol` <=> ?"));
        assert!(edition(None, None).statement(&BTreeSet::new()).is_err());
    }

    #[test]
    fn a_key_that_is_everybodys_is_refused() {
        let mut whole = edition(Some("a"), Some("b"));
        whole.key[1].1.clear();
        assert!(whole.statement(&BTreeSet::new()).is_err());
        let mut short = edition(Some("a"), None);
        short.key.truncate(2);
        assert!(short.statement(&BTreeSet::new()).is_err());
    }
}
