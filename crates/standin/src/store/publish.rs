//! What publishing reads and writes: packages, reports and tasks (TarsFramework
//! `AdminRegistryServer/DbProxy.cpp`).

use mysql_async::prelude::Queryable as _;
use mysql_async::{Value, params};
use serde::{Deserialize, Serialize};

use super::{JsonFile, MySql, StoreError};

/// A row of `t_server_patchs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct PatchRow {
    pub id: i64,
    /// `APPLICATION.SERVER`.
    pub server: String,
    pub tgz: String,
    pub md5: String,
    pub publish: i64,
    pub publish_user: String,
    pub upload_user: String,
    pub default_version: i64,
    pub comment: String,
}

/// A row of `t_server_notifys`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct NoticeRow {
    pub application: String,
    pub server_name: String,
    pub node_name: String,
    pub server_id: String,
    pub thread_id: String,
    pub command: String,
    pub result: String,
    pub notifytime: String,
}

/// A task with what is kept of it: `t_task` and the rows of `t_task_item` that belong to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct TaskRow {
    pub task_no: String,
    pub serial: bool,
    pub user_name: String,
    pub create_time: String,
    pub items: Vec<TaskItemRow>,
}

/// A row of `t_task_item`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct TaskItemRow {
    pub item_no: String,
    pub application: String,
    pub server_name: String,
    pub node_name: String,
    pub command: String,
    /// `key=value&key=value`.
    pub parameters: String,
    pub start_time: String,
    pub end_time: String,
    pub status: i64,
    pub log: String,
}

/// The tables that publishing needs.
pub trait Publications {
    /// The package with this number, as it was written by whoever asks: a text that is no number is
    /// none.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn patch(&self, id: &str) -> Result<Option<PatchRow>, StoreError>;
    /// Write a package; its number comes back.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn add_patch(&self, row: &PatchRow) -> Result<i64, StoreError>;
    /// A package was published by `user`.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn published(&self, id: &str, user: &str) -> Result<(), StoreError>;
    /// Keep a report.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn add_notice(&self, row: &NoticeRow) -> Result<(), StoreError>;
    /// All reports, oldest first.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn notices(&self) -> Result<Vec<NoticeRow>, StoreError>;
    /// Keep a task that begins.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn add_task(&self, task: &TaskRow) -> Result<(), StoreError>;
    /// Note how an item stands: its times, status and log.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn set_task_item(&self, item: &TaskItemRow) -> Result<(), StoreError>;
    /// A task that was kept.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn task(&self, task_no: &str) -> Result<Option<TaskRow>, StoreError>;
}

impl Publications for JsonFile {
    fn patch(&self, id: &str) -> Result<Option<PatchRow>, StoreError> {
        let Ok(id) = id.parse::<i64>() else {
            return Ok(None);
        };
        let rows = self.read()?.t_server_patchs;
        Ok(rows.into_iter().find(|row| row.id == id))
    }

    fn add_patch(&self, row: &PatchRow) -> Result<i64, StoreError> {
        self.change(|tables| {
            let id = tables.next_id();
            let row = PatchRow { id, ..row.clone() };
            tables.t_server_patchs.push(row);
            id
        })
    }

    fn published(&self, id: &str, user: &str) -> Result<(), StoreError> {
        self.change(|tables| {
            for row in &mut tables.t_server_patchs {
                if row.id.to_string() == id {
                    row.publish = 1;
                    row.publish_user = user.to_owned();
                }
            }
        })
    }

    fn add_notice(&self, row: &NoticeRow) -> Result<(), StoreError> {
        self.change(|tables| tables.t_server_notifys.push(row.clone()))
    }

    fn notices(&self) -> Result<Vec<NoticeRow>, StoreError> {
        Ok(self.read()?.t_server_notifys)
    }

    fn add_task(&self, task: &TaskRow) -> Result<(), StoreError> {
        self.change(|tables| tables.t_task.push(task.clone()))
    }

    fn set_task_item(&self, item: &TaskItemRow) -> Result<(), StoreError> {
        self.change(|tables| {
            let items = tables.t_task.iter_mut().flat_map(|task| &mut task.items);
            for row in items.filter(|row| row.item_no == item.item_no) {
                row.clone_from(item);
            }
        })
    }

    fn task(&self, task_no: &str) -> Result<Option<TaskRow>, StoreError> {
        let tasks = self.read()?.t_task;
        Ok(tasks.into_iter().find(|task| task.task_no == task_no))
    }
}

const PATCHES: &str = "SELECT id, server, tgz, md5, IFNULL(publish, 0) AS publish, publish_user, \
     upload_user, default_version, update_text AS comment FROM t_server_patchs WHERE id = ?";

const NOTICES: &str = "SELECT application, server_name, node_name, server_id, thread_id, command, \
     result, CAST(notifytime AS CHAR) AS notifytime FROM t_server_notifys ORDER BY id";

const TASKS: &str = "SELECT task_no, user_name, CAST(create_time AS CHAR) AS create_time \
     FROM t_task WHERE task_no = ?";

const ITEMS: &str = "SELECT item_no, application, server_name, node_name, command, parameters, \
     CAST(start_time AS CHAR) AS start_time, CAST(end_time AS CHAR) AS end_time, \
     IFNULL(status, 0) AS status, log FROM t_task_item WHERE task_no = ? ORDER BY id";

impl Publications for MySql {
    fn patch(&self, id: &str) -> Result<Option<PatchRow>, StoreError> {
        let Ok(id) = id.parse::<i64>() else {
            return Ok(None);
        };
        let rows = self.read_with("t_server_patchs", PATCHES, vec![id.into()])?;
        Ok(rows.into_iter().next())
    }

    fn add_patch(&self, row: &PatchRow) -> Result<i64, StoreError> {
        let row = row.clone();
        self.run(async |conn| {
            conn.exec_drop(
                "INSERT INTO t_server_patchs (server, tgz, update_text, md5, publish, upload_time, \
                 upload_user, posttime, lastuser, default_version) VALUES (:server, :tgz, :comment, \
                 :md5, :publish, NOW(), :user, NOW(), :user, :default)",
                params! {
                    "server" => row.server,
                    "tgz" => row.tgz,
                    "comment" => row.comment,
                    "md5" => row.md5,
                    "publish" => row.publish,
                    "user" => row.upload_user,
                    "default" => row.default_version,
                },
            )
            .await?;
            let id = conn.last_insert_id().unwrap_or_default();
            Ok(i64::try_from(id).unwrap_or_default())
        })
    }

    fn published(&self, id: &str, user: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE t_server_patchs SET publish = 1, publish_user = ?, publish_time = NOW(), \
             lastuser = ? WHERE id = ?",
            (user, user, id),
        )
        .map(drop)
    }

    fn add_notice(&self, row: &NoticeRow) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO t_server_notifys (application, server_name, node_name, server_id, \
             thread_id, command, result, notifytime) VALUES (?, ?, ?, ?, ?, ?, ?, NOW())",
            (
                &row.application,
                &row.server_name,
                &row.node_name,
                &row.server_id,
                &row.thread_id,
                &row.command,
                &row.result,
            ),
        )
        .map(drop)
    }

    fn notices(&self) -> Result<Vec<NoticeRow>, StoreError> {
        self.read_with("t_server_notifys", NOTICES, Vec::new())
    }

    fn add_task(&self, task: &TaskRow) -> Result<(), StoreError> {
        let task = task.clone();
        self.run(async |conn| {
            // The console ties items to their task: the task comes first.
            conn.exec_drop(
                "INSERT INTO t_task (task_no, serial, user_name, create_time) \
                 VALUES (?, ?, ?, NOW())",
                (&task.task_no, task.serial, &task.user_name),
            )
            .await?;
            for item in &task.items {
                conn.exec_drop(
                    "INSERT INTO t_task_item (task_no, item_no, application, server_name, \
                     node_name, command, parameters) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        &task.task_no,
                        &item.item_no,
                        &item.application,
                        &item.server_name,
                        &item.node_name,
                        &item.command,
                        &item.parameters,
                    ),
                )
                .await?;
            }
            Ok(())
        })
    }

    fn set_task_item(&self, item: &TaskItemRow) -> Result<(), StoreError> {
        self.execute(
            "UPDATE t_task_item SET start_time = NULLIF(?, ''), end_time = NULLIF(?, ''), \
             status = ?, log = ? WHERE item_no = ?",
            (
                &item.start_time,
                &item.end_time,
                item.status,
                &item.log,
                &item.item_no,
            ),
        )
        .map(drop)
    }

    fn task(&self, task_no: &str) -> Result<Option<TaskRow>, StoreError> {
        let key = || vec![Value::from(task_no)];
        let tasks: Vec<TaskRow> = self.read_with("t_task", TASKS, key())?;
        let Some(mut task) = tasks.into_iter().next() else {
            return Ok(None);
        };
        // A number in the table, and read by itself: JSON does not make it a yes or no.
        let serial: Option<i64> = self.run(async |conn| {
            conn.exec_first("SELECT serial FROM t_task WHERE task_no = ?", (task_no,))
                .await
        })?;
        task.serial = serial == Some(1);
        task.items = self.read_with("t_task_item", ITEMS, key())?;
        Ok(Some(task))
    }
}
