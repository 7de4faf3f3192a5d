//! Rows of the five tables, by the names of their columns (`t_*` of `db_tars.sql`). Columns that the
//! stand-ins neither read nor write are left out; in MySQL they keep their defaults.

use serde::{Deserialize, Serialize};

/// A row of `t_node_info`. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct NodeRow {
    pub id: i64,
    pub node_name: String,
    pub node_obj: String,
    pub endpoint_ip: String,
    pub endpoint_port: i64,
    pub data_dir: String,
    pub load_avg1: f32,
    pub load_avg5: f32,
    pub load_avg15: f32,
    pub last_reg_time: i64,
    pub last_heartbeat: i64,
    pub setting_state: String,
    pub present_state: String,
    pub tars_version: String,
    pub template_name: String,
    pub group_id: i64,
    pub label: Option<String>,
}

/// A row of `t_server_conf`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct ServerRow {
    pub id: i64,
    pub application: String,
    pub server_name: String,
    pub node_name: String,
    pub base_path: String,
    pub exe_path: String,
    pub template_name: String,
    pub setting_state: String,
    pub present_state: String,
    pub process_id: i64,
    pub patch_version: String,
    /// As MySQL prints it; empty for none.
    pub patch_time: String,
    pub patch_user: String,
    pub tars_version: String,
    pub server_type: String,
    pub start_script_path: String,
    pub stop_script_path: String,
    pub monitor_script_path: String,
    pub enable_group: String,
    pub ip_group_name: String,
    pub profile: String,
    pub config_center_port: i64,
    pub async_thread_num: i64,
    pub flow_state: String,
    pub run_type: String,
    pub base_image_id: i64,
}

impl Default for ServerRow {
    /// As the table's own defaults.
    fn default() -> Self {
        Self {
            id: 0,
            application: String::new(),
            server_name: String::new(),
            node_name: String::new(),
            base_path: String::new(),
            exe_path: String::new(),
            template_name: String::new(),
            setting_state: "inactive".into(),
            present_state: "inactive".into(),
            process_id: 0,
            patch_version: String::new(),
            patch_time: String::new(),
            patch_user: String::new(),
            tars_version: String::new(),
            server_type: "tars_cpp".into(),
            start_script_path: String::new(),
            stop_script_path: String::new(),
            monitor_script_path: String::new(),
            enable_group: "N".into(),
            ip_group_name: String::new(),
            profile: String::new(),
            config_center_port: 0,
            async_thread_num: 3,
            flow_state: "active".into(),
            run_type: String::new(),
            base_image_id: 0,
        }
    }
}

/// A row of `t_adapter_conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct AdapterRow {
    pub id: i64,
    pub application: String,
    pub server_name: String,
    pub node_name: String,
    pub adapter_name: String,
    pub thread_num: i64,
    pub endpoint: String,
    pub max_connections: i64,
    pub allow_ip: String,
    pub servant: String,
    pub queuecap: i64,
    pub queuetimeout: i64,
    pub protocol: String,
    pub handlegroup: String,
}

/// A row of `t_registry_info`. The time is milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct RegistryRow {
    pub id: i64,
    pub locator_id: String,
    pub servant: String,
    pub endpoint: String,
    pub last_heartbeat: i64,
    pub present_state: String,
    pub tars_version: String,
}

/// A row of `t_profile_template`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the columns explain themselves")]
pub struct TemplateRow {
    pub id: i64,
    pub template_name: String,
    pub parents_name: String,
    pub profile: String,
}
