//! Packages: uploaded, listed, made the default, deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use mysql_async::Value as Sql;
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};
use tarsops_wire::interface::texts;

use super::ask::{Answer, Ask, Fault};
use super::{State, UID};

const LISTED: &str = "default_version, id, server, tgz, \
     IFNULL(DATE_FORMAT(publish_time, '%Y-%m-%d %H:%i:%s'), '') AS publish_time, \
     update_text AS comment, DATE_FORMAT(posttime, '%Y-%m-%d %H:%i:%s') AS posttime, \
     DATE_FORMAT(upload_time, '%Y-%m-%d %H:%i:%s') AS upload_time, upload_user";

const UPLOADED: &str = "id, server, tgz, update_text AS comment, \
     DATE_FORMAT(posttime, '%Y-%m-%d %H:%i:%s') AS posttime";

/// Names that would lead out of the folder of uploads. The real one takes them.
fn is_odd(name: &str) -> bool {
    name.contains('/') || name.contains("..") || name.is_empty()
}

async fn store(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    tokio::fs::write(folder.join(name), bytes).await
}

impl State {
    /// Takes any file for a package of any server, and makes it the default.
    pub(super) async fn upload(&self, ask: &Ask) -> Answer {
        let file = ask.file.as_ref().ok_or(Fault::System)?;
        let (application, server) = (ask.text("application"), ask.text("module_name"));
        if is_odd(&application) || is_odd(&server) {
            return Err(Fault::System);
        }
        let md5 = format!("{:x}", md5::compute(&file.bytes));
        if ask.some("md5").is_some_and(|said| said != md5) {
            return Err(Fault::System);
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let full = format!("{application}.{server}");
        let tgz = format!("{full}_{}_{}.tgz", file.field, since.as_millis());
        let folder = self.options.uploads.join(&application).join(&server);
        store(&folder, &tgz, &file.bytes)
            .await
            .map_err(|_| Fault::System)?;
        let mut conn = self.tables.conn().await?;
        let comment = ask.some("comment").unwrap_or_default();
        conn.exec_drop(
            "INSERT INTO t_server_patchs (server, tgz, md5, update_text, posttime, upload_time, \
             upload_user) VALUES (?, ?, ?, ?, NOW(), NOW(), ?)",
            (&full, &tgz, &md5, comment, UID),
        )
        .await?;
        let id = conn.last_insert_id().unwrap_or_default();
        drop(conn);
        self.make_default(&full, id.into()).await?;
        let query = format!("SELECT {UPLOADED} FROM t_server_patchs WHERE id = ?");
        let rows = self.tables.raw(&query, vec![id.into()]).await?;
        let row = rows.into_iter().next();
        row.map(Value::Object).ok_or(Fault::System)
    }

    /// Of the server no other is the default any more, whether there is such a package or not.
    async fn make_default(&self, server: &str, id: Sql) -> Result<u64, mysql_async::Error> {
        self.tables
            .execute(
                "UPDATE t_server_patchs SET default_version = 0 \
                 WHERE server = ? AND default_version = 1",
                vec![server.into()],
            )
            .await?;
        self.tables
            .execute(
                "UPDATE t_server_patchs SET default_version = 1 WHERE id = ?",
                vec![id],
            )
            .await
    }

    pub(super) async fn patches(&self, ask: &Ask) -> Answer {
        let server = format!("{}.{}", ask.text("application"), ask.text("module_name"));
        let query =
            format!("SELECT {LISTED} FROM t_server_patchs WHERE server = ? ORDER BY id DESC");
        let rows = self.tables.raw(&query, vec![server.into()]).await?;
        let count = rows.len();
        Ok(json!({ "count": count, "rows": page(rows, ask) }))
    }

    pub(super) async fn set_default(&self, ask: &Ask) -> Answer {
        let server = format!("{}.{}", ask.text("application"), ask.text("module_name"));
        let changed = self.make_default(&server, ask.text("id").into()).await?;
        Ok(json!([changed]))
    }

    /// Has tarsAdminRegistry have tarspatch delete the file, and deletes the row, also that of a package
    /// that runs.
    pub(super) async fn delete_patch(self: &Arc<Self>, ask: &Ask) -> Answer {
        let id = ask.text("id");
        let rows = self
            .tables
            .raw(
                "SELECT server, tgz FROM t_server_patchs WHERE id = ?",
                vec![id.as_str().into()],
            )
            .await?;
        if let Some(row) = rows.first() {
            let part = |name: &str| {
                let value = row.get(name).and_then(Value::as_str);
                value.unwrap_or_default().to_owned()
            };
            let (server, tgz) = (part("server"), part("tgz"));
            let (application, server) = server.split_once('.').unwrap_or((&server, ""));
            self.admin("deletePatchFile", texts(&[application, server, &tgz]))
                .await
                .map_err(|_| Fault::System)?;
            self.tables
                .execute(
                    "DELETE FROM t_server_patchs WHERE id = ?",
                    vec![id.as_str().into()],
                )
                .await?;
        }
        Ok(json!({}))
    }
}

/// The page that was asked for; everything where none was.
pub(super) fn page<T>(rows: Vec<T>, ask: &Ask) -> Vec<T> {
    let (number, size) = (ask.number("curr_page"), ask.number("page_size"));
    if number == 0 || size == 0 {
        return rows;
    }
    let usize_of = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let before = usize_of((number - 1).saturating_mul(size));
    rows.into_iter().skip(before).take(usize_of(size)).collect()
}
