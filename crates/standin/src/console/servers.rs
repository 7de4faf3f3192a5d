//! Servers: their rows, their adapters, what their nodes say of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{TxOpts, Value as Sql};
use serde_json::{Value, json};
use tarsops_wire::interface::{ServerStateDesc, field, texts};

use super::State;
use super::ask::{Answer, Ask, Fault, text, truthy};
use super::tables::{ADAPTERS, DEPLOYED, Object, RAW_SERVERS, SERVERS, value};

/// How long a ping may take.
const PING: Duration = Duration::from_secs(2);

/// A place in the console's tree, such as `1tars.5tarsstat`: application and server.
pub(super) fn place(tree: &str) -> (Option<&str>, Option<&str>) {
    let part = |kind: char| tree.split('.').find_map(|part| part.strip_prefix(kind));
    (part('1'), part('5'))
}

/// Columns of a form that are written as they are, and what they are without it.
const COLUMNS: [(&str, &str); 10] = [
    ("application", ""),
    ("server_name", ""),
    ("base_path", ""),
    ("exe_path", ""),
    ("template_name", ""),
    ("server_type", "tars_cpp"),
    ("start_script_path", ""),
    ("stop_script_path", ""),
    ("monitor_script_path", ""),
    ("run_type", ""),
];

/// Columns of `update_server` that are written as they are.
const UPDATED: [&str; 13] = [
    "template_name",
    "server_type",
    "set_name",
    "set_area",
    "set_group",
    "async_thread_num",
    "base_path",
    "exe_path",
    "start_script_path",
    "stop_script_path",
    "monitor_script_path",
    "profile",
    "run_type",
];

fn capital(state: &str) -> String {
    let mut letters = state.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

impl State {
    async fn servers_of(
        &self,
        columns: &str,
        (application, server): (&str, Option<&str>),
    ) -> Result<Vec<Object>, mysql_async::Error> {
        let mut query = format!("SELECT {columns} FROM t_server_conf WHERE application = ?");
        let mut values: Vec<Sql> = vec![application.into()];
        if let Some(server) = server {
            query.push_str(" AND server_name = ?");
            values.push(server.into());
        }
        query.push_str(" ORDER BY id");
        match columns {
            RAW_SERVERS => self.tables.raw(&query, values).await,
            _ => self.tables.rows(&query, values).await,
        }
    }

    pub(super) async fn server_exist(&self, ask: &Ask) -> Answer {
        let (application, server) = (ask.text("application"), ask.text("server_name"));
        let rows = self
            .servers_of("node_name", (&application, Some(&server)))
            .await?;
        let mut nodes = rows
            .iter()
            .filter_map(|row| row.get("node_name")?.as_str())
            .peekable();
        let found = match ask.parameters.get("node_names") {
            Some(Value::Array(names)) => nodes.any(|node| names.iter().any(|name| name == node)),
            // Of a text it is asked whether the name is a part of it.
            Some(Value::String(names)) => nodes.any(|node| names.contains(node)),
            _ if nodes.peek().is_none() => false,
            _ => return Err(Fault::System),
        };
        Ok(found.into())
    }

    pub(super) async fn server_list(&self, ask: &Ask) -> Answer {
        let tree = ask.text("tree_node_id");
        let (application, server) = place(&tree);
        let rows = self
            .servers_of(SERVERS, (application.unwrap_or_default(), server))
            .await?;
        Ok(json!(rows))
    }

    pub(super) async fn server_nodes(&self, ask: &Ask) -> Answer {
        let (application, server) = (ask.text("application"), ask.text("server_name"));
        let rows = self
            .servers_of(RAW_SERVERS, (&application, Some(&server)))
            .await?;
        Ok(json!(rows))
    }

    /// What a node says to a ping by way of tarsAdminRegistry; none where it says nothing.
    pub(super) async fn ping(self: &Arc<Self>, node: &str) -> Option<String> {
        let patience = PING.min(self.patience());
        let asked = self.admin_within(patience, "pingNode", texts(&[node]));
        let answer = asked.await.ok()?;
        match field::<i32>(&answer, 0) {
            Ok(Some(1)) => field(&answer, 2).ok().flatten(),
            _ => None,
        }
    }

    pub(super) async fn server_state(self: &Arc<Self>, ask: &Ask) -> Answer {
        let Some(Value::Array(asked)) = ask.parameters.get("queryState") else {
            return Err(Fault::System);
        };
        let mut all = Vec::new();
        let mut pinged: HashMap<String, bool> = HashMap::new();
        for which in asked {
            let Value::Object(which) = which else {
                return Err(Fault::System);
            };
            let part = |name: &str| which.get(name).map_or("undefined".into(), text);
            let node = part("node_name");
            let key = [part("application"), part("server_name"), node.clone()];
            let alive = match pinged.get(&node) {
                Some(alive) => *alive,
                None => self.ping(&node).await.is_some(),
            };
            pinged.insert(node, alive);
            let mut state = None;
            if alive {
                let key = texts(&[&key[0], &key[1], &key[2]]);
                let answer = self.admin("getServerState", key).await;
                state = answer.ok().and_then(|answer| {
                    let ret: i32 = field(&answer, 0).ok()??;
                    let desc: ServerStateDesc = field(&answer, 4).ok()??;
                    Some((ret, desc))
                });
            }
            let mut told = which.clone();
            told.insert("is_node_ok".into(), state.is_some().into());
            let mut ret = -1;
            if let Some((number, desc)) = state {
                ret = number;
                let states = [
                    ("setting_state_in_reg", &desc.setting_state_in_reg),
                    ("present_state_in_node", &desc.present_state_in_node),
                    ("present_state_in_reg", &desc.present_state_in_reg),
                ];
                for (name, state) in states {
                    told.insert(name.into(), capital(state).into());
                }
            }
            told.insert("query_ret_code".into(), ret.into());
            all.push(Value::Object(told));
        }
        Ok(all.into())
    }

    /// Writes rows for every node that an adapter names. Over rows that are there they become as new:
    /// inactive, without a process, a package or a configuration.
    pub(super) async fn deploy_server(&self, ask: &Ask) -> Answer {
        let Some(Value::Array(adapters)) = ask.parameters.get("adapters") else {
            return Err(Fault::System);
        };
        let set = truthy(ask.parameters.get("enable_set"));
        let mut names = vec![
            "node_name",
            "enable_set",
            "set_name",
            "set_area",
            "set_group",
        ];
        names.extend(COLUMNS.map(|(name, _)| name));
        let common = |node: &str| -> Vec<Sql> {
            let mut values: Vec<Sql> = vec![node.into(), if set { "Y" } else { "N" }.into()];
            for part in ["set_name", "set_area", "set_group"] {
                let part = ask.parameters.get(part).filter(|_| set);
                values.push(part.map_or(Sql::NULL, value));
            }
            for (column, usual) in COLUMNS {
                let said = ask.parameters.get(column).filter(|said| !said.is_null());
                values.push(said.map_or_else(|| usual.into(), value));
            }
            values
        };
        let assigned: Vec<String> = names.iter().map(|n| format!("{n} = VALUES({n})")).collect();
        // What is reset has the same value in a row that is new.
        let reset = "setting_state = 'inactive', present_state = 'inactive', process_id = 0, \
                     patch_version = '', patch_time = '1970-01-01 00:00:00', patch_user = '', \
                     tars_version = '', profile = '', async_thread_num = 3, bak_flag = 0, \
                     enable_group = 'N', ip_group_name = '', source = '', base_image_id = 0, \
                     lastuser = '', posttime = NOW()";
        let places = vec!["?"; names.len()].join(", ");
        let statement = format!(
            "INSERT INTO t_server_conf ({}, patch_time, posttime, profile, source, ip_group_name, \
             lastuser) VALUES ({places}, '1970-01-01 00:00:00', NOW(), '', '', '', '') \
             ON DUPLICATE KEY UPDATE {}, {reset}",
            names.join(", "),
            assigned.join(", "),
        );
        let (application, server) = (ask.text("application"), ask.text("server_name"));
        let mut nodes: Vec<String> = Vec::new();
        let mut conn = self.tables.conn().await?;
        let mut work = conn.start_transaction(TxOpts::default()).await?;
        for adapter in adapters {
            let part = |name: &str| adapter.get(name).filter(|value| !value.is_null());
            let said = |name: &str| part(name).map_or("undefined".into(), text);
            let node = part("node_name").map_or_else(|| ask.text("node_name"), text);
            if !nodes.contains(&node) {
                work.exec_drop(&statement, common(&node)).await?;
                nodes.push(node.clone());
            }
            let (Some(queue), Some(wait)) = (part("queuecap"), part("queuetimeout")) else {
                work.rollback().await?;
                return Err(Fault::System);
            };
            let auth = part("auth").map_or("0".into(), text);
            let servant = format!("{application}.{server}.{}", said("obj_name"));
            let endpoint = format!(
                "{} -h {} -t 60000 -p {} -e {auth}",
                said("port_type"),
                said("bind_ip"),
                said("port"),
            );
            let or = |name: &str, usual: &str| part(name).map_or_else(|| usual.into(), value);
            let values: Vec<Sql> = vec![
                application.as_str().into(),
                server.as_str().into(),
                node.into(),
                format!("{servant}Adapter").into(),
                or("thread_num", "1"),
                endpoint.into(),
                or("max_connections", "1000"),
                or("allow_ip", ""),
                servant.into(),
                value(queue),
                value(wait),
                or("protocol", "tars"),
                or("handlegroup", ""),
            ];
            work.exec_drop(
                "REPLACE INTO t_adapter_conf (application, server_name, node_name, adapter_name, \
                 thread_num, endpoint, max_connections, allow_ip, servant, queuecap, queuetimeout, \
                 protocol, handlegroup, lastuser, posttime) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', NOW())",
                values,
            )
            .await?;
        }
        work.commit().await?;
        let rows = self
            .servers_of(DEPLOYED, (&application, Some(&server)))
            .await?;
        let rows: Vec<Object> = rows
            .into_iter()
            .filter(|row| {
                nodes
                    .iter()
                    .any(|node| row.get("node_name") == Some(&json!(node)))
            })
            .collect();
        Ok(json!({ "server_conf": rows, "tars_node_rst": [] }))
    }

    /// Writes what is told and no null. A yes or no that is missing is what stands there, and that is a
    /// letter, so a yes.
    pub(super) async fn update_server(&self, ask: &Ask) -> Answer {
        let id = ask.text("id");
        let Some(row) = self.tables.server(&id).await? else {
            return Err(Fault::System);
        };
        let told = |name: &str| ask.parameters.get(name);
        let flag = |name: &str| told(name).is_none_or(|value| truthy(Some(value)));
        let (set, group) = (flag("enable_set"), flag("enable_group"));
        if set {
            let number = told("set_group").or_else(|| row.get("set_group")).map(text);
            if number.is_none_or(|number| number.parse::<i64>().is_err()) {
                return Err(Fault::Said(
                    "Set group must be a number or *".into(),
                    "Set组必须为数字或*号".into(),
                ));
            }
        }
        let mut columns = vec!["bak_flag", "enable_set", "enable_group"];
        let letter = |yes: bool| if yes { "Y" } else { "N" };
        let mut values: Vec<Sql> = vec![
            i64::from(truthy(told("isBak"))).into(),
            letter(set).into(),
            letter(group).into(),
        ];
        let mut write = |column: &'static str, value: Sql| {
            columns.push(column);
            values.push(value);
        };
        for column in UPDATED {
            if let Some(said) = told(column).filter(|said| !said.is_null()) {
                write(column, value(said));
            }
        }
        if let Some(image) = told("base_image_id").filter(|image| !image.is_null()) {
            write("base_image_id", value(image));
        }
        match told("ip_group_name") {
            _ if !group => write("ip_group_name", "".into()),
            Some(name) if !name.is_null() => write("ip_group_name", value(name)),
            _ => {}
        }
        let assigned: Vec<String> = columns.iter().map(|name| format!("{name} = ?")).collect();
        values.push(id.as_str().into());
        let statement = format!(
            "UPDATE t_server_conf SET {}, posttime = NOW() WHERE id = ?",
            assigned.join(", ")
        );
        self.tables.execute(&statement, values).await?;
        let row = self.tables.server(&id).await?;
        row.map(Value::Object).ok_or(Fault::System)
    }

    async fn adapters(&self, condition: &str, values: Vec<Sql>) -> Answer {
        let query = format!("SELECT {ADAPTERS} FROM t_adapter_conf WHERE {condition} ORDER BY id");
        Ok(json!(self.tables.raw(&query, values).await?))
    }

    pub(super) async fn adapters_of_id(&self, ask: &Ask) -> Answer {
        let Some(row) = self.tables.server(&ask.text("id")).await? else {
            return Err(Fault::System);
        };
        let part = |name: &str| row.get(name).map_or(Sql::NULL, value);
        let key = ["application", "server_name", "node_name"].map(part);
        let condition = "application = ? AND server_name = ? AND node_name = ?";
        self.adapters(condition, key.to_vec()).await
    }

    pub(super) async fn adapters_of_name(&self, ask: &Ask) -> Answer {
        let key: Vec<Sql> = vec![
            ask.text("application").into(),
            ask.text("server_name").into(),
        ];
        self.adapters("application = ? AND server_name = ?", key)
            .await
    }

    pub(super) async fn send_command(self: &Arc<Self>, ask: &Ask) -> Answer {
        let (ids, command) = (ask.text("server_ids"), ask.text("command"));
        let mut told = Vec::new();
        for id in ids.split(',') {
            let Some(row) = self.tables.server(id).await? else {
                continue;
            };
            let part = |name: &str| row.get(name).map_or(String::new(), text);
            let key = [part("application"), part("server_name"), part("node_name")];
            let arguments = texts(&[&key[0], &key[1], &key[2], &command]);
            let (ret, words) = match self.admin("notifyServer", arguments).await {
                Ok(answer) => {
                    let words: Option<String> = field(&answer, 5).ok().flatten();
                    (
                        field::<i32>(&answer, 0).ok().flatten().unwrap_or(-1),
                        json!(words.unwrap_or_default()),
                    )
                }
                // An error that it could not write down.
                Err(_) => (-1, json!({})),
            };
            told.push(json!({
                "application": key[0],
                "server_name": key[1],
                "node_name": key[2],
                "ret_code": ret,
                "err_msg": words,
            }));
        }
        if told.is_empty() {
            return Err(Fault::System);
        }
        Ok(told.into())
    }
}
