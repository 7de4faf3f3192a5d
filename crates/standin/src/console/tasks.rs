//! Tasks: given to tarsAdminRegistry under a number that the console makes up, and asked after there.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tarsops_wire::Writer;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{TaskItemReq, TaskReq, TaskRsp, field, texts};

use super::ask::{Answer, Ask, Fault, text, truthy};
use super::{State, UID};
use crate::standin::lies::Lie;

/// 32 hexadecimal digits that nobody had before.
fn number() -> String {
    let mut random = [0u8; 16];
    let _ = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a command needs, as texts.
fn parameters(said: Option<&Value>) -> Vec<(String, String)> {
    let Some(Value::Object(said)) = said else {
        return Vec::new();
    };
    said.iter()
        .map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("bak_flag", value) => {
                    let number: i64 = text(value).parse().unwrap_or_default();
                    (number & 1).to_string()
                }
                (_, value) => text(value),
            };
            (key.clone(), value)
        })
        .collect()
}

impl State {
    pub(super) async fn add_task(self: &Arc<Self>, ask: &Ask) -> Answer {
        let items = match ask.parameters.get("items") {
            Some(Value::Array(items)) if items.is_empty() => {
                return Err(Fault::Said("parameters error".into(), "参数错误".into()));
            }
            Some(Value::Array(items)) => items,
            _ => return Err(Fault::System),
        };
        let task_no = number();
        let mut asked = Vec::new();
        for item in items {
            let id = item.get("server_id").map(text).ok_or(Fault::System)?;
            let row = self.tables.server(&id).await?.ok_or(Fault::System)?;
            let part = |name: &str| row.get(name).map_or(String::new(), text);
            asked.push(TaskItemReq {
                task_no: task_no.clone(),
                item_no: number(),
                application: part("application"),
                server_name: part("server_name"),
                node_name: part("node_name"),
                set_name: String::new(),
                command: item.get("command").map_or("undefined".into(), text),
                user_name: UID.to_owned(),
                parameters: Pairs(parameters(item.get("parameters"))),
            });
        }
        let each = ask.number("eachnum");
        let task = TaskReq {
            items: asked,
            task_no: task_no.clone(),
            serial: truthy(ask.parameters.get("serial")),
            user_name: UID.to_owned(),
            elegant: truthy(ask.parameters.get("elegant")),
            each_num: i32::try_from(each.max(1)).unwrap_or(1),
        };
        let mut arguments = Writer::new();
        arguments.put(1, &task);
        let answer = self
            .admin("addTaskReq", arguments.finish())
            .await
            .map_err(|_| Fault::System)?;
        let taken = field::<i32>(&answer, 0).is_ok_and(|ret| ret == Some(0));
        if !taken || self.lies.tells(Lie::AddTaskFails) {
            return Err(Fault::System);
        }
        Ok(task_no.into())
    }

    pub(super) async fn task(self: &Arc<Self>, ask: &Ask) -> Answer {
        let answer = self
            .admin("getTaskRsp", texts(&[&ask.text("task_no")]))
            .await
            .map_err(|_| Fault::System)?;
        if !field::<i32>(&answer, 0).is_ok_and(|ret| ret == Some(0)) {
            return Err(Fault::System);
        }
        let task: Option<TaskRsp> = field(&answer, 2).map_err(|_| Fault::System)?;
        let task = task.ok_or(Fault::System)?;
        let items: Vec<Value> = task
            .items
            .iter()
            .map(|item| {
                json!({
                    "task_no": item.req.task_no,
                    "item_no": item.req.item_no,
                    "application": item.req.application,
                    "server_name": item.req.server_name,
                    "node_name": item.req.node_name,
                    "command": item.req.command,
                    "start_time": item.start_time,
                    "end_time": item.end_time,
                    "status": item.status,
                    "status_info": item.status_info,
                    "execute_info": item.execute_log,
                    "percent": item.percent,
                })
            })
            .collect();
        Ok(json!({
            "task_no": task.task_no,
            "serial": task.serial,
            "status": task.status,
            "create_time": task.create_time,
            "userName": task.user_name,
            "items": items,
        }))
    }
}
