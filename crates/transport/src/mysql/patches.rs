//! Packages of servers as the framework's database knows them, and what nodes have said of them.
//!
//! No call of the framework writes a row of `t_server_patchs`: the management platform does, and who
//! publishes without one. AdminRegistry keeps the newest rows of each server only, and deletes the
//! files of the others (`AdminRegistryServer/DbProxy.cpp`, `updatePatchByPatchId`).

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row, TxOpts};
use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tokio::time::Instant;

use super::{Access, DatabaseError, again_after, bounded};

/// `ER_NO_SUCH_TABLE`: the management platform, which makes the table, has never started.
const NO_SUCH_TABLE: u16 = 1146;
/// Words of a node that are taken at most.
const WORDS: usize = 8;

/// A package that the database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// Its number.
    pub id: i64,
    /// The file's name in tarspatch's folder of uploads.
    pub tgz: String,
}

/// A package that is made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPatch {
    /// Whose.
    pub component: Component,
    /// The file's name in tarspatch's folder of uploads.
    pub tgz: String,
    /// Its MD5, in small letters.
    pub md5: String,
    /// Its version, as people read it.
    pub version: String,
    /// What is written beside it.
    pub comment: String,
}

fn server_of(component: Component) -> String {
    format!("tars.{component}")
}

async fn write(conn: &mut Conn, server: &str, new: &NewPatch) -> Result<u64, mysql_async::Error> {
    let mut transaction = conn.start_transaction(TxOpts::default()).await?;
    transaction
        .exec_drop(
            "UPDATE db_tars.t_server_patchs SET default_version = 0 \
             WHERE server = ? AND default_version <> 0",
            (server,),
        )
        .await?;
    transaction
        .exec_drop(
            "INSERT INTO db_tars.t_server_patchs (server, version, tgz, update_text, md5, \
             publish, upload_time, upload_user, posttime, lastuser, package_type, \
             default_version) \
             VALUES (?, ?, ?, ?, ?, 0, NOW(), 'tarsops', NOW(), 'tarsops', 0, 1)",
            (server, &new.version, &new.tgz, &new.comment, &new.md5),
        )
        .await?;
    let id = transaction.last_insert_id().unwrap_or_default();
    transaction.commit().await?;
    Ok(id)
}

impl Access {
    /// The newest package of a server whose archive has this MD5.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn patch(
        &self,
        component: Component,
        md5: &str,
        deadline: Duration,
    ) -> Result<Option<Patched>, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let reading = async {
            let found: Option<(i64, Option<String>)> = conn
                .exec_first(
                    "SELECT id, tgz FROM db_tars.t_server_patchs \
                     WHERE server = ? AND md5 = ? ORDER BY id DESC LIMIT 1",
                    (server_of(component), md5),
                )
                .await?;
            Ok::<_, mysql_async::Error>(found)
        };
        let found = self.within(until, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(found.and_then(|(id, tgz)| Some(Patched { id, tgz: tgz? })))
    }

    /// Makes a package known, as the default of its server, as an upload through the platform does.
    ///
    /// # Errors
    /// A [`DatabaseError`]; nothing is written then, unless the connection was lost at the very end.
    pub async fn add_patch(
        &self,
        new: &NewPatch,
        deadline: Duration,
    ) -> Result<i64, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let server = server_of(new.component);
        let writing = async {
            loop {
                match write(&mut conn, &server, new).await {
                    // Several servers are published at once.
                    Err(e) if again_after(&e).await => {}
                    other => return other,
                }
            }
        };
        let id = self.within(until, writing).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        match i64::try_from(id) {
            Ok(id) if id > 0 => Ok(id),
            _ => Err(DatabaseError::Failed {
                at: self.address.clone(),
                why: "the new row of t_server_patchs has no number".to_owned(),
            }),
        }
    }

    /// Has a package that cannot be published be known under no MD5 any more; its row stays.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn spoil_patch(
        &self,
        component: Component,
        id: i64,
        deadline: Duration,
    ) -> Result<(), DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let writing = async {
            super::bound_waits(&mut conn, deadline).await?;
            conn.exec_drop(
                "UPDATE db_tars.t_server_patchs SET md5 = '' WHERE id = ? AND server = ?",
                (id, server_of(component)),
            )
            .await
        };
        self.within(until, writing).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(())
    }

    /// What was reported of a server on a node within the last `within`, newest first. Answers to
    /// `tars.viewversion` are left out: each such question adds one.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn notices(
        &self,
        component: Component,
        node: &NodeName,
        within: Duration,
        deadline: Duration,
    ) -> Result<Vec<String>, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let reading = async {
            let statement = format!(
                "SELECT result FROM db_tars.t_server_notifys \
                 WHERE application = 'tars' AND server_name = ? AND node_name = ? \
                 AND notifytime >= NOW() - INTERVAL ? SECOND \
                 AND result NOT LIKE '%viewversion%' ORDER BY id DESC LIMIT {WORDS}"
            );
            let values = (component.name(), node.as_str(), within.as_secs() + 1);
            let about = "notices of a server";
            let rows: Vec<Row> = match bounded::exec(&mut *conn, about, statement, values).await {
                Err(mysql_async::Error::Server(e)) if e.code == NO_SUCH_TABLE => Vec::new(),
                other => other?,
            };
            Ok::<_, mysql_async::Error>(rows)
        };
        let rows = self.within(until, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(rows
            .into_iter()
            .filter_map(|mut row| row.take::<Option<String>, _>(0).flatten())
            .collect())
    }

    /// Gives the row of a server the package back that runs again, where it still names the one that
    /// was rolled back; whether it did.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn patch_back(
        &self,
        component: Component,
        node: &NodeName,
        from: &str,
        to: &str,
        deadline: Duration,
    ) -> Result<bool, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect(deadline).await?;
        let writing = async {
            conn.exec_drop(
                "UPDATE db_tars.t_server_conf SET patch_version = ? WHERE application = 'tars' \
                 AND server_name = ? AND node_name = ? AND patch_version = ?",
                (to, component.name(), node.as_str(), from),
            )
            .await?;
            Ok::<_, mysql_async::Error>(conn.affected_rows() > 0)
        };
        let changed = self.within(until, writing).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        Ok(changed)
    }
}
