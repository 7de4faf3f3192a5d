//! The tables in MySQL: the real ones, whose other columns keep their defaults.
//!
//! Callers are threads, so the client runs on a small runtime of its own, one call at a time. A
//! connection is kept, asked before each use whether it still lives, and made again where it does not;
//! what cannot be done in a few seconds has failed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, Value, params};
use serde::de::DeserializeOwned;

use super::{
    AdapterRow, Change, NodeRow, RegistryRow, ServerKey, ServerRow, Store, StoreError, TemplateRow,
};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// `ER_DUP_ENTRY`.
const DUPLICATE: u16 = 1062;

/// The tables in MySQL.
pub struct MySql {
    options: Opts,
    live: Mutex<Live>,
}

struct Live {
    runtime: tokio::runtime::Runtime,
    conn: Option<Conn>,
}

impl std::fmt::Debug for MySql {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = (self.options.ip_or_hostname(), self.options.tcp_port());
        f.debug_tuple("MySql").field(&host).finish()
    }
}

impl MySql {
    /// The tables in the database `name` of the server at `host` and `port`. Nothing is asked yet.
    ///
    /// # Errors
    /// When no runtime can be made.
    pub fn new(
        host: &str,
        port: u16,
        user: &str,
        password: &str,
        name: &str,
    ) -> Result<Self, StoreError> {
        let options = OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(user))
            .pass(Some(password))
            .db_name(Some(name))
            .prefer_socket(false)
            .into();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Database(error.into()))?;
        Ok(Self {
            options,
            live: Mutex::new(Live {
                runtime,
                conn: None,
            }),
        })
    }

    pub(super) fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
    ) -> Result<T, StoreError> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = live.conn.take();
        let options = self.options.clone();
        let outcome = live.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, async {
                let alive = match kept {
                    Some(mut conn) => conn.ping().await.is_ok().then_some(conn),
                    None => None,
                };
                let mut conn = match alive {
                    Some(conn) => conn,
                    None => Conn::new(options).await?,
                };
                let outcome = work(&mut conn).await?;
                Ok((conn, outcome))
            })
            .await
        });
        match outcome {
            Ok(Ok((conn, outcome))) => {
                live.conn = Some(conn);
                Ok(outcome)
            }
            Ok(Err(error)) => Err(StoreError::Database(error)),
            Err(_) => Err(StoreError::TimedOut(PATIENCE)),
        }
    }

    pub(super) fn execute(
        &self,
        statement: &str,
        values: impl Into<Params>,
    ) -> Result<u64, StoreError> {
        let values = values.into();
        self.run(async |conn| {
            conn.exec_drop(statement, values).await?;
            Ok(conn.affected_rows())
        })
    }

    fn insert(
        &self,
        what: String,
        statement: &str,
        values: impl Into<Params>,
    ) -> Result<(), StoreError> {
        match self.execute(statement, values) {
            Err(StoreError::Database(mysql_async::Error::Server(error)))
                if error.code == DUPLICATE =>
            {
                Err(StoreError::Duplicate(what))
            }
            other => other.map(drop),
        }
    }

    /// Rows of a table, read by the names of their columns.
    fn read<T: DeserializeOwned>(
        &self,
        table: &'static str,
        query: &str,
    ) -> Result<Vec<T>, StoreError> {
        self.read_with(table, query, Vec::new())
    }

    pub(super) fn read_with<T: DeserializeOwned>(
        &self,
        table: &'static str,
        query: &str,
        values: Vec<Value>,
    ) -> Result<Vec<T>, StoreError> {
        let values = Params::from(values);
        let rows: Vec<Row> = self.run(async |conn| conn.exec(query, values).await)?;
        rows.into_iter()
            .map(|row| {
                let mut object = serde_json::Map::new();
                let columns = row.columns();
                for (column, value) in columns.iter().zip(row.unwrap()) {
                    // What is NULL takes the row's default.
                    if let Some(value) = json(value) {
                        object.insert(column.name_str().into_owned(), value);
                    }
                }
                serde_json::from_value(object.into())
                    .map_err(|source| StoreError::Row { table, source })
            })
            .collect()
    }
}

fn json(value: Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::NULL => return None,
        Value::Int(number) => number.into(),
        Value::UInt(number) => number.into(),
        Value::Float(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into(),
        other => other.as_sql(true).trim_matches('\'').into(),
    })
}

const NODES: &str = "SELECT id, node_name, node_obj, endpoint_ip, endpoint_port, data_dir, load_avg1, \
     load_avg5, load_avg15, CAST(UNIX_TIMESTAMP(last_reg_time) * 1000 AS SIGNED) AS last_reg_time, \
     CAST(UNIX_TIMESTAMP(last_heartbeat) * 1000 AS SIGNED) AS last_heartbeat, setting_state, \
     present_state, tars_version, template_name, group_id, label FROM t_node_info ORDER BY id";

const SERVERS: &str = "SELECT id, application, server_name, node_name, base_path, exe_path, \
     template_name, setting_state, present_state, process_id, patch_version, \
     CAST(patch_time AS CHAR) AS patch_time, patch_user, tars_version, server_type, \
     start_script_path, stop_script_path, monitor_script_path, enable_group, ip_group_name, profile, \
     config_center_port, async_thread_num, flow_state, run_type, base_image_id \
     FROM t_server_conf ORDER BY id";

const ADAPTERS: &str = "SELECT id, application, server_name, node_name, adapter_name, thread_num, \
     endpoint, max_connections, allow_ip, servant, queuecap, queuetimeout, protocol, handlegroup \
     FROM t_adapter_conf ORDER BY id";

const REGISTRIES: &str = "SELECT id, locator_id, servant, endpoint, \
     CAST(UNIX_TIMESTAMP(last_heartbeat) * 1000 AS SIGNED) AS last_heartbeat, present_state, \
     tars_version FROM t_registry_info ORDER BY endpoint";

const OF_SERVER: &str = "WHERE application = ? AND server_name = ? AND node_name = ?";

impl Store for MySql {
    fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.read("t_node_info", NODES)
    }

    fn servers(&self) -> Result<Vec<ServerRow>, StoreError> {
        self.read("t_server_conf", SERVERS)
    }

    fn adapters(&self) -> Result<Vec<AdapterRow>, StoreError> {
        self.read("t_adapter_conf", ADAPTERS)
    }

    fn registries(&self) -> Result<Vec<RegistryRow>, StoreError> {
        self.read("t_registry_info", REGISTRIES)
    }

    fn templates(&self) -> Result<Vec<TemplateRow>, StoreError> {
        self.read(
            "t_profile_template",
            "SELECT id, template_name, parents_name, profile FROM t_profile_template ORDER BY id",
        )
    }

    fn register_node(&self, node: &NodeRow) -> Result<bool, StoreError> {
        let node = node.clone();
        self.run(async |conn| {
            let old: Option<(Option<String>, Option<String>, String)> = conn
                .exec_first(
                    "SELECT present_state, node_obj, template_name FROM t_node_info \
                     WHERE node_name = ?",
                    (&node.node_name,),
                )
                .await?;
            let mut template = String::new();
            if let Some((present, object, old_template)) = old {
                if present.as_deref() == Some("active")
                    && !node.node_obj.is_empty()
                    && object.unwrap_or_default() != node.node_obj
                {
                    return Ok(false);
                }
                template = old_template;
            }
            conn.exec_drop(
                "REPLACE INTO t_node_info (node_name, node_obj, endpoint_ip, endpoint_port, \
                 data_dir, load_avg1, load_avg5, load_avg15, last_reg_time, last_heartbeat, \
                 setting_state, present_state, tars_version, template_name) VALUES \
                 (:name, :object, :ip, :port, :data, :one, :five, :fifteen, NOW(), NOW(), 'active', \
                 'active', :version, :template)",
                params! {
                    "name" => node.node_name,
                    "object" => node.node_obj,
                    "ip" => node.endpoint_ip,
                    "port" => node.endpoint_port,
                    "data" => node.data_dir,
                    "one" => node.load_avg1,
                    "five" => node.load_avg5,
                    "fifteen" => node.load_avg15,
                    "version" => node.tars_version,
                    "template" => template,
                },
            )
            .await?;
            Ok(true)
        })
    }

    fn keep_alive(&self, node: &str, load: [f32; 3]) -> Result<u64, StoreError> {
        let [one, five, fifteen] = load;
        self.execute(
            "UPDATE t_node_info SET last_heartbeat = NOW(), present_state = 'active', \
             load_avg1 = ?, load_avg5 = ?, load_avg15 = ? WHERE node_name = ?",
            (one, five, fifteen, node),
        )
    }

    fn stop_node(&self, node: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE t_node_info AS n LEFT JOIN t_server_conf AS s USING (node_name) \
             SET n.present_state = 'inactive', s.present_state = 'inactive' WHERE n.node_name = ?",
            (node,),
        )
        .map(drop)
    }

    fn expire_nodes(&self, silence: Duration) -> Result<(), StoreError> {
        self.execute(
            "UPDATE t_node_info AS n LEFT JOIN t_server_conf AS s USING (node_name) \
             SET n.present_state = 'inactive', s.present_state = 'inactive', s.process_id = 0 \
             WHERE n.last_heartbeat < DATE_SUB(NOW(6), INTERVAL ? SECOND)",
            (silence.as_secs_f64(),),
        )
        .map(drop)
    }

    fn put_registries(&self, rows: &[RegistryRow], renumber: bool) -> Result<(), StoreError> {
        let statement = if renumber {
            "REPLACE INTO t_registry_info (locator_id, servant, endpoint, last_heartbeat, \
             present_state, tars_version) VALUES (?, ?, ?, NOW(), 'active', ?)"
        } else {
            "INSERT INTO t_registry_info (locator_id, servant, endpoint, last_heartbeat, \
             present_state, tars_version) VALUES (?, ?, ?, NOW(), 'active', ?) \
             ON DUPLICATE KEY UPDATE endpoint = VALUES(endpoint), last_heartbeat = NOW(), \
             present_state = 'active', tars_version = VALUES(tars_version)"
        };
        self.run(async |conn| {
            for row in rows {
                let values = (
                    &row.locator_id,
                    &row.servant,
                    &row.endpoint,
                    &row.tars_version,
                );
                conn.exec_drop(statement, values).await?;
            }
            Ok(())
        })
    }

    fn expire_registries(&self, silence: Duration) -> Result<(), StoreError> {
        self.execute(
            "UPDATE t_registry_info SET present_state = 'inactive' \
             WHERE last_heartbeat < DATE_SUB(NOW(6), INTERVAL ? SECOND)",
            (silence.as_secs_f64(),),
        )
        .map(drop)
    }

    fn set_server(&self, which: &ServerKey, change: &Change) -> Result<(), StoreError> {
        let (set, mut values): (&str, Vec<Value>) = match change {
            Change::Setting(state) => ("setting_state = ?", vec![state.into()]),
            Change::Present(state, pid) => (
                "present_state = ?, process_id = ?",
                vec![state.into(), pid.into()],
            ),
            Change::Library(version) => ("tars_version = ?", vec![version.into()]),
            Change::Patch(version, user) => (
                "patch_version = ?, patch_user = ?, patch_time = NOW()",
                vec![version.into(), user.into()],
            ),
            Change::Flow(active) => (
                "flow_state = ?",
                vec![if *active { "active" } else { "inactive" }.into()],
            ),
        };
        let key = [&which.application, &which.server, &which.node];
        values.extend(key.map(Value::from));
        self.execute(
            &format!("UPDATE t_server_conf SET {set} {OF_SERVER}"),
            values,
        )
        .map(drop)
    }

    fn insert_server(&self, row: &ServerRow, replace: bool) -> Result<(), StoreError> {
        let verb = if replace { "REPLACE" } else { "INSERT" };
        self.insert(
            format!("{}.{} on {}", row.application, row.server_name, row.node_name),
            &format!(
                "{verb} INTO t_server_conf (application, server_name, node_name, base_path, \
                 exe_path, template_name, setting_state, present_state, process_id, patch_version, \
                 patch_time, patch_user, tars_version, posttime, lastuser, server_type, \
                 start_script_path, stop_script_path, monitor_script_path, enable_group, \
                 ip_group_name, profile) VALUES \
                 (:application, :server, :node, :base, :exe, :template, :setting, :present, :pid, \
                 :patch, NULLIF(:patch_time, ''), :patch_user, :library, NOW(), 'admin', :type, :start, :stop, \
                 :monitor, :group, :group_name, :profile)"
            ),
            params! {
                "application" => &row.application,
                "server" => &row.server_name,
                "node" => &row.node_name,
                "base" => &row.base_path,
                "exe" => &row.exe_path,
                "template" => &row.template_name,
                "setting" => &row.setting_state,
                "present" => &row.present_state,
                "pid" => row.process_id,
                "patch" => &row.patch_version,
                "patch_time" => &row.patch_time,
                "patch_user" => &row.patch_user,
                "library" => &row.tars_version,
                "type" => &row.server_type,
                "start" => &row.start_script_path,
                "stop" => &row.stop_script_path,
                "monitor" => &row.monitor_script_path,
                "group" => &row.enable_group,
                "group_name" => &row.ip_group_name,
                "profile" => &row.profile,
            },
        )
    }

    fn insert_adapter(&self, row: &AdapterRow, replace: bool) -> Result<(), StoreError> {
        let verb = if replace { "REPLACE" } else { "INSERT" };
        self.insert(
            format!("{} on {}", row.adapter_name, row.node_name),
            &format!(
                "{verb} INTO t_adapter_conf (application, server_name, node_name, adapter_name, \
                 thread_num, endpoint, max_connections, servant, queuecap, queuetimeout, posttime, \
                 lastuser, protocol) VALUES (:application, :server, :node, :adapter, :threads, \
                 :endpoint, :connections, :servant, :queue, :timeout, NOW(), 'admin', :protocol)"
            ),
            params! {
                "application" => &row.application,
                "server" => &row.server_name,
                "node" => &row.node_name,
                "adapter" => &row.adapter_name,
                "threads" => row.thread_num,
                "endpoint" => &row.endpoint,
                "connections" => row.max_connections,
                "servant" => &row.servant,
                "queue" => row.queuecap,
                "timeout" => row.queuetimeout,
                "protocol" => &row.protocol,
            },
        )
    }

    fn insert_template(&self, row: &TemplateRow) -> Result<(), StoreError> {
        self.execute(
            "INSERT IGNORE INTO t_profile_template (template_name, parents_name, profile, posttime, \
             lastuser) VALUES (?, ?, ?, NOW(), 'admin')",
            (&row.template_name, &row.parents_name, &row.profile),
        )
        .map(drop)
    }

    fn delete_server(&self, which: &ServerKey) -> Result<(), StoreError> {
        self.run(async |conn| {
            for table in ["t_server_conf", "t_adapter_conf"] {
                let key = (&which.application, &which.server, &which.node);
                conn.exec_drop(format!("DELETE FROM {table} {OF_SERVER}"), key)
                    .await?;
            }
            Ok(())
        })
    }
}
