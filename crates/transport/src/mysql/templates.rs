//! Writing templates, and adding columns.
//!
//! A text is compared, written and read again within one transaction that holds its row, so whoever
//! edits it in the management platform meanwhile is either before us, and we refuse, or waits. Who
//! decides what is written is the caller; this room only makes sure that all of it happens, or nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::TxOpts;
use mysql_async::prelude::Queryable as _;
use tarsops_model::framework::{ADDITIONS, Addition, Confidential};
use tokio::time::Instant;

use super::guard::caught;
use super::{Access, DatabaseError, bound_waits};

/// `ER_DUP_FIELDNAME`: somebody else has added the column.
const COLUMN_THERE: u16 = 1060;

/// A template as it is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateText {
    /// `parents_name`.
    pub parent: String,
    /// `profile`; it holds credentials.
    pub text: Confidential,
}

/// What becomes of a template's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewText {
    /// Its text is replaced.
    Write(Confidential),
    /// The row comes.
    Insert(TemplateText),
    /// The row goes.
    Delete,
}

/// Why a template was not written, or a column not added; one lowercase clause.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Whoever asked does not want it any more; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The database failed before anything counted; nothing was changed.
    #[error(transparent)]
    Database(DatabaseError),
    /// The connection was lost while the change was being made final, so it may have been made.
    #[error("{0}, and whether the change was made is not known")]
    InDoubt(DatabaseError),
}

enum Failed {
    Refused(String),
    Mysql(mysql_async::Error),
}

impl From<mysql_async::Error> for Failed {
    fn from(e: mysql_async::Error) -> Self {
        Self::Mysql(e)
    }
}

/// Decides what becomes of a row, given what it is; a reason why nothing should.
pub type Decide<'d> = dyn Fn(Option<&TemplateText>) -> Result<NewText, String> + Sync + 'd;

impl Access {
    /// Reads one template; none where there is no such row.
    ///
    /// # Errors
    /// A [`DatabaseError`]; also where our user may not read the table.
    pub async fn template(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<Option<TemplateText>, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let found = self.within(until, read(&mut *conn, name, "")).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(found)
    }

    /// Changes one template in one transaction. `decide` sees the row while nobody else can write it.
    ///
    /// # Errors
    /// A [`WriteError`], which says whether anything may have been changed.
    pub async fn change_template(
        &self,
        name: &str,
        decide: &Decide<'_>,
        deadline: Duration,
    ) -> Result<(), WriteError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await.map_err(WriteError::Database)?;
        let committing = AtomicBool::new(false);
        let work = async {
            // A text that is cut short without a word would be the worst of all ends.
            conn.query_drop("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
                .await?;
            bound_waits(&mut conn, deadline).await?;
            let mut transaction = conn.start_transaction(TxOpts::default()).await?;
            let before = read(&mut transaction, name, " FOR UPDATE").await?;
            let new = decide(before.as_ref()).map_err(Failed::Refused)?;
            write(&mut transaction, name, before.as_ref(), &new).await?;
            let after = read(&mut transaction, name, "").await?;
            let wanted = match &new {
                NewText::Write(text) => Some(text),
                NewText::Insert(all) => Some(&all.text),
                NewText::Delete => None,
            };
            if after.as_ref().map(|t| &t.text) != wanted {
                return Err(Failed::Refused(
                    "the database keeps another text than it was given".to_owned(),
                ));
            }
            committing.store(true, Ordering::SeqCst);
            transaction.commit().await?;
            Ok::<(), Failed>(())
        };
        let ended = tokio::time::timeout_at(until, caught(work)).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        let error = match ended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Failed::Refused(why))) => return Err(WriteError::Refused(why)),
            // The server itself refused to commit: it has rolled back.
            Ok(Err(Failed::Mysql(e @ mysql_async::Error::Server(_)))) => {
                return Err(WriteError::Database(self.error(&e)));
            }
            Ok(Err(Failed::Mysql(e))) => self.error(&e),
            Err(_) => DatabaseError::TimedOut(self.address.clone()),
        };
        Err(if committing.load(Ordering::SeqCst) {
            WriteError::InDoubt(error)
        } else {
            WriteError::Database(error)
        })
    }

    /// Adds a column to a table, and nothing where it is there already.
    ///
    /// # Errors
    /// A [`WriteError`]; also for a column that no release has added.
    pub async fn add_column(
        &self,
        addition: &Addition,
        deadline: Duration,
    ) -> Result<(), WriteError> {
        if !ADDITIONS.contains(addition) {
            return Err(WriteError::Refused(format!(
                "no release has added {}.{}",
                addition.table, addition.column
            )));
        }
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await.map_err(WriteError::Database)?;
        let altering = AtomicBool::new(false);
        let work = async {
            bound_waits(&mut conn, deadline).await?;
            altering.store(true, Ordering::SeqCst);
            conn.query_drop(format!(
                "ALTER TABLE db_tars.`{}` ADD COLUMN `{}` {}",
                addition.table, addition.column, addition.definition
            ))
            .await
        };
        let ended = tokio::time::timeout_at(until, caught(work)).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        let error = match ended {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(mysql_async::Error::Server(e))) if e.code == COLUMN_THERE => return Ok(()),
            Ok(Err(e @ mysql_async::Error::Server(_))) => {
                return Err(WriteError::Database(self.error(&e)));
            }
            Ok(Err(e)) => self.error(&e),
            Err(_) => DatabaseError::TimedOut(self.address.clone()),
        };
        Err(if altering.load(Ordering::SeqCst) {
            WriteError::InDoubt(error)
        } else {
            WriteError::Database(error)
        })
    }
}

async fn read<C: mysql_async::prelude::Queryable>(
    conn: &mut C,
    name: &str,
    lock: &str,
) -> Result<Option<TemplateText>, mysql_async::Error> {
    let query = format!(
        "SELECT CAST(template_name AS CHAR), CAST(parents_name AS CHAR), CAST(profile AS CHAR) \
         FROM db_tars.t_profile_template WHERE template_name = ?{lock}"
    );
    type Text = Option<String>;
    let rows: Vec<(String, Text, Text)> =
        super::bounded::exec(conn, "a template", query, (name,)).await?;
    // Names that differ in their case only are one to the database, and not to Tars.
    Ok(rows
        .into_iter()
        .find(|(found, _, _)| found == name)
        .map(|(_, parent, text)| TemplateText {
            parent: parent.unwrap_or_default(),
            text: Confidential::new(text.unwrap_or_default()),
        }))
}

async fn write<C: mysql_async::prelude::Queryable>(
    conn: &mut C,
    name: &str,
    before: Option<&TemplateText>,
    new: &NewText,
) -> Result<(), Failed> {
    // A table that knows no transactions holds no row for us either, so the text is asked for again.
    const SAME: &str =
        "template_name = ? AND CONVERT(profile USING utf8mb4) COLLATE utf8mb4_bin = ?";
    match (before, new) {
        (Some(before), NewText::Write(text)) => {
            let statement = format!(
                "UPDATE db_tars.t_profile_template \
                 SET profile = ?, posttime = NOW(), lastuser = 'tarsops' WHERE {SAME}"
            );
            let values = (text.expose(), name, before.text.expose());
            conn.exec_drop(statement, values).await?;
        }
        (Some(before), NewText::Delete) => {
            let statement = format!("DELETE FROM db_tars.t_profile_template WHERE {SAME}");
            conn.exec_drop(statement, (name, before.text.expose()))
                .await?;
        }
        (None, NewText::Insert(all)) => {
            let statement = "INSERT INTO db_tars.t_profile_template \
                 (template_name, parents_name, profile, posttime, lastuser) \
                 VALUES (?, ?, ?, NOW(), 'tarsops')";
            let values = (name, all.parent.as_str(), all.text.expose());
            conn.exec_drop(statement, values).await?;
        }
        (Some(_), NewText::Insert(_)) => {
            return Err(Failed::Refused("it is there already".to_owned()));
        }
        (None, _) => return Err(Failed::Refused("it is not there any more".to_owned())),
    }
    Ok(())
}
