//! The framework's tables, as JSON with the columns in the order asked for.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, Row, Value};
use serde_json::Map;

use crate::store::Database;

/// A row.
pub(super) type Object = Map<String, serde_json::Value>;

/// `t_server_conf` as `server_nodes` tells it: every column.
pub(super) const RAW_SERVERS: &str = "id, application, server_name, node_group, node_name, \
     DATE_FORMAT(registry_timestamp, '%Y-%m-%dT%H:%i:%s.000Z') AS registry_timestamp, base_path, \
     exe_path, template_name, bak_flag, setting_state, present_state, flow_state, process_id, \
     patch_version, DATE_FORMAT(patch_time, '%Y-%m-%dT%H:%i:%s.000Z') AS patch_time, patch_user, \
     tars_version, DATE_FORMAT(posttime, '%Y-%m-%dT%H:%i:%s.000Z') AS posttime, lastuser, \
     server_type, start_script_path, stop_script_path, monitor_script_path, enable_group, \
     enable_set, set_name, set_area, set_group, ip_group_name, profile, config_center_port, \
     async_thread_num, server_important_type, source, run_type, base_image_id";

/// `t_server_conf` as most calls tell it.
pub(super) const SERVERS: &str = "id, application, server_name, node_name, server_type, enable_set, \
     set_name, set_area, set_group, setting_state, present_state, bak_flag, template_name, profile, \
     async_thread_num, base_path, exe_path, start_script_path, stop_script_path, \
     monitor_script_path, DATE_FORMAT(patch_time, '%Y-%m-%d %H:%i:%s') AS patch_time, patch_version, \
     patch_user, process_id, DATE_FORMAT(posttime, '%Y-%m-%d %H:%i:%s') AS posttime, enable_group, \
     IFNULL(ip_group_name, '') AS ip_group_name, flow_state, run_type, base_image_id, source";

/// And as `deploy_server` does.
pub(super) const DEPLOYED: &str = "id, application, server_name, node_name, server_type, enable_set, \
     set_name, set_area, set_group, setting_state, present_state, bak_flag, template_name, profile, \
     async_thread_num, base_path, exe_path, start_script_path, stop_script_path, \
     monitor_script_path, DATE_FORMAT(patch_time, '%Y-%m-%dT%H:%i:%s.000Z') AS patch_time, \
     patch_version, process_id, DATE_FORMAT(posttime, '%Y-%m-%d %H:%i:%s') AS posttime, run_type";

/// `t_adapter_conf`.
pub(super) const ADAPTERS: &str = "id, application, server_name, node_name, adapter_name, thread_num, \
     endpoint, max_connections, allow_ip, servant, queuecap, queuetimeout, \
     DATE_FORMAT(posttime, '%Y-%m-%d %H:%i:%s') AS posttime, protocol, handlegroup";

/// `t_profile_template`.
pub(super) const TEMPLATES: &str = "id, template_name, parents_name, profile, \
     DATE_FORMAT(posttime, '%Y-%m-%d %H:%i:%s') AS posttime";

/// Letters and numbers that calls other than `server_nodes` make a yes or no of.
const FLAGS: [&str; 3] = ["enable_set", "bak_flag", "enable_group"];

pub(super) struct Tables(Pool);

impl Tables {
    /// None where they are not in MySQL. Nothing is asked yet.
    pub(super) fn new(database: &Database) -> Option<Self> {
        let Database::MariaDb {
            address,
            user,
            password,
            name,
        } = database
        else {
            return None;
        };
        // No connection is kept that nobody uses: a database that was stopped is not to be remembered.
        let constraints = PoolConstraints::new(0, 10).unwrap_or_default();
        let options: Opts = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some(user))
            .pass(Some(password))
            .db_name(Some(name))
            .prefer_socket(false)
            .pool_opts(PoolOpts::default().with_constraints(constraints))
            .into();
        Some(Self(Pool::new(options)))
    }

    /// What the console makes of the tables when it starts, as far as anybody here depends on it: reports
    /// have no table before (`fixtures/db/db_tars_console.sql` has all of it).
    pub(super) async fn prepare(&self) -> Result<(), mysql_async::Error> {
        let statement = "CREATE TABLE IF NOT EXISTS t_server_notifys (\
             id int(11) NOT NULL AUTO_INCREMENT, application varchar(128) DEFAULT '', \
             server_name varchar(128) DEFAULT NULL, container_name varchar(128) DEFAULT '', \
             node_name varchar(128) NOT NULL DEFAULT '', set_name varchar(16) DEFAULT NULL, \
             set_area varchar(16) DEFAULT NULL, set_group varchar(16) DEFAULT NULL, \
             server_id varchar(100) DEFAULT NULL, thread_id varchar(20) DEFAULT NULL, \
             command varchar(50) DEFAULT NULL, result text, notifytime datetime DEFAULT NULL, \
             PRIMARY KEY (id)) ENGINE=InnoDB DEFAULT CHARSET=utf8";
        self.execute(statement, Vec::new()).await.map(drop)
    }

    pub(super) async fn conn(&self) -> Result<Conn, mysql_async::Error> {
        self.0.get_conn().await
    }

    /// Rows with the columns as they are.
    pub(super) async fn raw(
        &self,
        query: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Object>, mysql_async::Error> {
        let mut conn = self.conn().await?;
        let rows: Vec<Row> = conn.exec(query, Params::from(values)).await?;
        Ok(rows.into_iter().map(object).collect())
    }

    /// Rows whose flags are a yes or no.
    pub(super) async fn rows(
        &self,
        query: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Object>, mysql_async::Error> {
        let mut rows = self.raw(query, values).await?;
        for row in &mut rows {
            for flag in FLAGS {
                if let Some(value) = row.get_mut(flag) {
                    *value = (*value == "Y" || value.as_i64().is_some_and(|n| n != 0)).into();
                }
            }
        }
        Ok(rows)
    }

    /// The row of a server by its number.
    pub(super) async fn server(&self, id: &str) -> Result<Option<Object>, mysql_async::Error> {
        let query = format!("SELECT {SERVERS} FROM t_server_conf WHERE id = ?");
        let rows = self.rows(&query, vec![id.into()]).await?;
        Ok(rows.into_iter().next())
    }

    /// Changes something; how many rows it found.
    pub(super) async fn execute(
        &self,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<u64, mysql_async::Error> {
        let mut conn = self.conn().await?;
        conn.exec_drop(statement, Params::from(values)).await?;
        Ok(conn.affected_rows())
    }
}

fn object(row: Row) -> Object {
    let columns = row.columns();
    let names = columns.iter().map(|column| column.name_str().into_owned());
    names.zip(row.unwrap().into_iter().map(json)).collect()
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::NULL => serde_json::Value::Null,
        Value::Int(number) => number.into(),
        Value::UInt(number) => number.into(),
        // By way of a text: the digits that it has, and none that a wider number would add.
        Value::Float(number) => number.to_string().parse::<f64>().unwrap_or_default().into(),
        Value::Double(number) => number.into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into(),
        other => other.as_sql(true).trim_matches('\'').into(),
    }
}

/// A value of JSON for the database.
pub(super) fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::NULL,
        serde_json::Value::Bool(yes) => Value::Int(i64::from(*yes)),
        other => super::ask::text(other).into(),
    }
}
