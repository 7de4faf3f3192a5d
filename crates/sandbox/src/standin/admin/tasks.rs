//! Tasks: commands for several servers, carried out in the background and asked after by a number
//! (TarsFramework `AdminRegistryServer/ExecuteTask.cpp`). They live in memory, as start and stop tasks
//! do there; nothing is published here, so a patch always fails, and says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::super::log::local_time;
use super::super::shapes::{TaskItemReq, TaskItemRsp, TaskReq, TaskRsp};
use super::Admin;
use super::nodes::Command;
use crate::store::{Change, ServerKey};

/// `EMTaskStatus` and `EMTaskItemStatus` of `AdminReg.tars`, where both have the same numbers.
mod status {
    pub(super) const NOT_START: i32 = 0;
    pub(super) const RUNNING: i32 = 2;
    pub(super) const SUCCESS: i32 = 3;
    pub(super) const FAILED: i32 = 4;
    /// Of a task: some items are at their end, or all and not all well.
    pub(super) const PARTIAL: i32 = 6;

    pub(super) fn item(status: i32) -> &'static str {
        match status {
            RUNNING => "EM_I_RUNNING",
            SUCCESS => "EM_I_SUCCESS",
            FAILED => "EM_I_FAILED",
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

    fn set(&self, task: &str, index: usize, change: impl FnOnce(&mut TaskItemRsp)) {
        if let Some(held) = self.held().get_mut(task)
            && let Some(item) = held.items.get_mut(index)
        {
            change(item);
            item.status_info = status::item(item.status).into();
            held.status = overall(&held.items);
        }
    }
}

fn overall(items: &[TaskItemRsp]) -> i32 {
    let all = |status| items.iter().all(|item| item.status == status);
    let ended = |item: &TaskItemRsp| matches!(item.status, status::SUCCESS | status::FAILED);
    if all(status::NOT_START) {
        status::NOT_START
    } else if all(status::SUCCESS) {
        status::SUCCESS
    } else if all(status::FAILED) {
        status::FAILED
    } else if items.iter().any(ended) {
        status::PARTIAL
    } else {
        status::RUNNING
    }
}

impl Admin {
    /// Begins a task, and returns at once whatever comes of it.
    pub(super) fn begin(self: &Arc<Self>, task: TaskReq) {
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
            user: task.user,
            status: status::NOT_START,
            created: local_time(),
            log: String::new(),
        };
        self.tasks.held().insert(task.task.clone(), begun);
        let admin = Arc::clone(self);
        thread::spawn(move || {
            let runs = task.items.into_iter().enumerate().map(|(index, item)| {
                let (admin, number) = (Arc::clone(&admin), task.task.clone());
                thread::spawn(move || admin.run_item(&number, index, &item))
            });
            if task.serial {
                runs.for_each(|run| drop(run.join()));
            } else {
                let runs: Vec<_> = runs.collect();
                runs.into_iter().for_each(|run| drop(run.join()));
            }
        });
    }

    fn run_item(&self, task: &str, index: usize, item: &TaskItemReq) {
        self.tasks.set(task, index, |running| {
            running.status = status::RUNNING;
            running.start = local_time();
        });
        let (ret, log) = self.carry_out(item);
        self.tasks.set(task, index, |ended| {
            ended.status = if ret == 0 {
                status::SUCCESS
            } else {
                status::FAILED
            };
            ended.end = local_time();
            ended.log = log;
            ended.percent = if ret == 0 { 100 } else { 0 };
        });
    }

    fn carry_out(&self, item: &TaskItemReq) -> (i32, String) {
        let key = ServerKey::new(&item.application, &item.server, &item.node);
        match item.command.as_str() {
            "start" => self.start_and_wait(&key),
            "stop" => self.stop_and_wait(&key),
            "restart" => {
                let (ret, log) = self.command_and_wait(&key, "stopServer");
                if ret != 0 {
                    return (ret, log);
                }
                self.set(&key, &Change::Flow(true));
                self.start_and_wait(&key)
            }
            "undeploy_tars" => self.undeploy(&key),
            other => (-1, format!("the stand-in cannot carry out '{other}'")),
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
