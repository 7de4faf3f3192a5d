//! Tasks: commands for several servers, carried out in the background and asked after by a number
//! (TarsFramework `AdminRegistryServer/ExecuteTask.cpp`). They live in memory; only those that publish,
//! and nothing else, are kept in the tables, without their words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tarsops_wire::codec::Pairs;

use super::super::lies::Lie;
use super::super::shapes::{TaskItemReq, TaskItemRsp, TaskReq, TaskRsp};
use super::Admin;
use super::nodes::Command;
use super::publish::parameter;
use crate::clock::local_time;
use crate::store::{Change, ServerKey, TaskItemRow, TaskRow};

/// `EMTaskStatus` and `EMTaskItemStatus` of `AdminReg.tars`, where both have the same numbers.
mod status {
    pub(super) const NOT_START: i32 = 0;
    /// The package is being looked up and prepared, or the turn has not come.
    pub(super) const PREPARE: i32 = 1;
    pub(super) const RUNNING: i32 = 2;
    pub(super) const SUCCESS: i32 = 3;
    pub(super) const FAILED: i32 = 4;
    /// One before it failed.
    pub(super) const CANCEL: i32 = 5;
    /// Of a task: its items do not stand alike, be it in the middle or at the end.
    pub(super) const PARTIAL: i32 = 6;

    pub(super) fn item(status: i32) -> &'static str {
        match status {
            PREPARE => "EM_I_PREPARE",
            RUNNING => "EM_I_RUNNING",
            SUCCESS => "EM_I_SUCCESS",
            FAILED => "EM_I_FAILED",
            CANCEL => "EM_I_CANCEL",
            _ => "EM_I_NOT_START",
        }
    }
}

/// The tasks of this process.
#[derive(Default)]
pub(super) struct Tasks(Mutex<HashMap<String, TaskRsp>>);

impl Tasks {
    fn held(&self) -> MutexGuard<'_, HashMap<String, TaskRsp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a task stands; none that is not known.
    pub(super) fn find(&self, task: &str) -> Option<TaskRsp> {
        self.held().get(task).cloned()
    }

    fn set(
        &self,
        task: &str,
        index: usize,
        change: impl FnOnce(&mut TaskItemRsp),
    ) -> Option<TaskItemRsp> {
        let mut held = self.held();
        let held = held.get_mut(task)?;
        let item = held.items.get_mut(index)?;
        change(item);
        item.status_info = status::item(item.status).into();
        let item = item.clone();
        held.status = overall(&held.items);
        Some(item)
    }
}

fn overall(items: &[TaskItemRsp]) -> i32 {
    let first = items.first().map_or(status::NOT_START, |item| item.status);
    if items.iter().all(|item| item.status == first) {
        first
    } else {
        status::PARTIAL
    }
}

/// Whether a task is kept: all of it publishes.
fn is_kept(task: &TaskReq) -> bool {
    let mut items = task.items.iter();
    !task.items.is_empty() && items.all(|item| item.command.contains("patch_tars"))
}

fn row(item: &TaskItemRsp) -> TaskItemRow {
    let pairs = item.request.parameters.0.iter();
    let parameters: Vec<String> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
    TaskItemRow {
        item_no: item.request.item.clone(),
        application: item.request.application.clone(),
        server_name: item.request.server.clone(),
        node_name: item.request.node.clone(),
        command: item.request.command.clone(),
        parameters: parameters.join("&"),
        start_time: item.start.clone(),
        end_time: item.end.clone(),
        status: i64::from(item.status),
        log: item.log.clone(),
    }
}

/// What is told of a task that only the tables know.
fn remembered(task: TaskRow) -> TaskRsp {
    let number = task.task_no;
    let items = task.items.into_iter().map(|item| {
        let pairs = item
            .parameters
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let status = i32::try_from(item.status).unwrap_or_default();
        TaskItemRsp {
            request: TaskItemReq {
                task: number.clone(),
                item: item.item_no,
                application: item.application,
                server: item.server_name,
                node: item.node_name,
                command: item.command,
                parameters: Pairs(pairs.collect()),
                ..TaskItemReq::default()
            },
            start: item.start_time,
            end: item.end_time,
            status,
            status_info: status::item(status).into(),
            ..TaskItemRsp::default()
        }
    });
    let items: Vec<TaskItemRsp> = items.collect();
    TaskRsp {
        status: overall(&items),
        items,
        task: number.clone(),
        serial: task.serial,
        user: task.user_name,
        created: task.create_time,
        log: String::new(),
    }
}

impl Admin {
    /// How a task stands, by memory or else by the tables; none that is not known.
    pub(super) fn find_task(&self, task: &str) -> Option<TaskRsp> {
        self.tasks.find(task).or_else(|| {
            let kept = self.done("cannot read a task", self.store.task(task));
            kept.flatten().map(remembered)
        })
    }

    /// Begins a task, and returns at once whatever comes of it.
    pub(super) fn begin(self: &Arc<Self>, mut task: TaskReq) {
        let items = task.items.iter().map(|item| TaskItemRsp {
            request: item.clone(),
            status: status::NOT_START,
            status_info: status::item(status::NOT_START).into(),
            ..TaskItemRsp::default()
        });
        let begun = TaskRsp {
            items: items.collect(),
            task: task.task.clone(),
            serial: task.serial,
            user: task.user.clone(),
            status: status::NOT_START,
            created: local_time(),
            log: String::new(),
        };
        if is_kept(&task) {
            let kept = self.store.add_task(&TaskRow {
                task_no: begun.task.clone(),
                serial: begun.serial,
                user_name: begun.user.clone(),
                create_time: begun.created.clone(),
                items: begun.items.iter().map(row).collect(),
            });
            self.done("cannot keep a task", kept);
        }
        self.tasks.held().insert(task.task.clone(), begun);
        if self.own.lies.tells(Lie::TaskNeverBegun) {
            return;
        }
        let admin = Arc::clone(self);
        thread::spawn(move || {
            if let Err((which, words)) = admin.prepare_task(&mut task) {
                for index in 0..task.items.len() {
                    admin.end(&task, index, status::FAILED, |item| {
                        if which.is_none_or(|which| which == index) {
                            item.log.clone_from(&words);
                        }
                    });
                }
                return;
            }
            let task = Arc::new(task);
            let mut runs = Vec::new();
            let mut well = true;
            for index in 0..task.items.len() {
                if !well {
                    admin.end(&task, index, status::CANCEL, |_| {});
                    continue;
                }
                let (admin, task_of_run) = (Arc::clone(&admin), Arc::clone(&task));
                let run = thread::spawn(move || admin.run_item(&task_of_run, index));
                if task.serial {
                    well = run.join().unwrap_or(false);
                } else {
                    runs.push(run);
                }
            }
            runs.into_iter().for_each(|run| drop(run.join()));
        });
    }

    fn prepare_task(&self, task: &mut TaskReq) -> Result<(), (Option<usize>, String)> {
        for index in 0..task.items.len() {
            if task.items[index].command.contains("patch") {
                self.note(task, index, |item| {
                    item.status = status::PREPARE;
                    item.start = local_time();
                });
            }
        }
        self.prepare_all(&mut task.items)
    }

    /// Notes how an item stands.
    fn note(&self, task: &TaskReq, index: usize, change: impl FnOnce(&mut TaskItemRsp)) {
        if let Some(item) = self.tasks.set(&task.task, index, change)
            && is_kept(task)
        {
            let noted = self.store.set_task_item(&row(&item));
            self.done("cannot note a task", noted);
        }
    }

    /// Notes that an item has come to its end.
    fn end(
        &self,
        task: &TaskReq,
        index: usize,
        status: i32,
        change: impl FnOnce(&mut TaskItemRsp),
    ) {
        if self.own.lies.tells(Lie::TaskStuck) {
            return;
        }
        self.note(task, index, |item| {
            item.status = status;
            item.end = local_time();
            change(item);
        });
    }

    /// Carries out an item; whether that went well.
    fn run_item(&self, task: &TaskReq, index: usize) -> bool {
        self.note(task, index, |item| {
            item.status = status::RUNNING;
            item.start = local_time();
        });
        let (ret, log) = self.carry_out(task, index);
        let status = match ret {
            0 => status::SUCCESS,
            _ => status::FAILED,
        };
        self.end(task, index, status, |item| item.log = log);
        ret == 0
    }

    fn carry_out(&self, task: &TaskReq, index: usize) -> (i32, String) {
        let item = &task.items[index];
        let key = ServerKey::new(&item.application, &item.server, &item.node);
        match item.command.as_str() {
            "start" => self.start_and_wait(&key),
            "stop" => self.stop_and_wait(&key),
            "restart" => self.restart_and_wait(&key),
            "patch_tars" => {
                let (ret, log) = self.patch_and_wait(item, |percent| {
                    self.tasks
                        .set(&task.task, index, |item| item.percent = percent);
                });
                if ret != 0 || parameter(item, "bak_flag") == "1" {
                    return (ret, log);
                }
                self.restart_and_wait(&key)
            }
            "undeploy_tars" => self.undeploy(&key),
            _ => (-1, "command not support!".to_owned()),
        }
    }

    /// Changes a server's row; that it cannot is only logged, as with the framework.
    pub(super) fn set(&self, key: &ServerKey, change: &Change) {
        self.done("cannot change a server", self.store.set_server(key, change));
    }

    fn command_and_wait(&self, key: &ServerKey, function: &str) -> (i32, String) {
        let words = [key.application.as_str(), key.server.as_str()];
        let outcome = self.ask(&Command {
            node: &key.node,
            function,
            words: &words,
        });
        let (ret, words) = outcome.plain();
        (ret, String::from_utf8_lossy(&words).into_owned())
    }

    /// What was set inactive is active afterwards.
    fn restart_and_wait(&self, key: &ServerKey) -> (i32, String) {
        let (ret, log) = self.command_and_wait(key, "stopServer");
        if ret != 0 {
            return (ret, log);
        }
        self.set(key, &Change::Flow(true));
        self.start_and_wait(key)
    }

    fn start_and_wait(&self, key: &ServerKey) -> (i32, String) {
        self.set(key, &Change::Setting("active".into()));
        self.command_and_wait(key, "startServer")
    }

    fn stop_and_wait(&self, key: &ServerKey) -> (i32, String) {
        if (key.application.as_str(), key.server.as_str()) == ("tars", "tarsAdminRegistry") {
            // It would have to stop itself (`EM_TARS_CAN_NOT_EXECUTE`).
            return (1011, "can not stop tars.tarsAdminRegistry".to_owned());
        }
        self.set(key, &Change::Setting("inactive".into()));
        self.command_and_wait(key, "stopServer")
    }

    /// Stops a server, and deletes its rows whether that worked or not.
    pub(super) fn undeploy(&self, key: &ServerKey) -> (i32, String) {
        let (_, log) = self.stop_and_wait(key);
        match self.done("cannot delete a server", self.store.delete_server(key)) {
            Some(()) => (0, log),
            None => (-1, log),
        }
    }
}
