//! Rows that AdminRegistry writes for whoever asks (TarsFramework `AdminRegistryServer/DbProxy.cpp`).

use super::super::shapes::{AdapterConf, ServerConf};
use super::Admin;
use crate::store::{AdapterRow, ServerRow};

impl Admin {
    /// `insertServerConf`: its field `profile` is the name of a template.
    pub(super) fn insert_server(&self, conf: ServerConf, replace: bool) -> i32 {
        let row = ServerRow {
            application: conf.application,
            server_name: conf.server,
            node_name: conf.node,
            base_path: conf.base,
            exe_path: conf.exe,
            setting_state: conf.setting,
            template_name: conf.template,
            server_type: conf.kind,
            tars_version: self.own.library.clone(),
            start_script_path: conf.start_script,
            stop_script_path: conf.stop_script,
            monitor_script_path: conf.monitor_script,
            enable_group: conf.enable_group,
            ip_group_name: conf.group_name,
            ..ServerRow::default()
        };
        let outcome = self.store.insert_server(&row, replace);
        self.done("cannot insert a server", outcome)
            .map_or(-1, |()| 0)
    }

    /// `insertAdapterConf`.
    pub(super) fn insert_adapter(
        &self,
        [application, server, node]: [String; 3],
        conf: AdapterConf,
        replace: bool,
    ) -> i32 {
        let row = AdapterRow {
            application,
            server_name: server,
            node_name: node,
            adapter_name: conf.name,
            thread_num: i64::from(conf.threads),
            endpoint: conf.endpoint,
            max_connections: i64::from(conf.connections),
            servant: conf.servant,
            queuecap: i64::from(conf.queue),
            queuetimeout: i64::from(conf.timeout),
            protocol: conf.protocol,
            ..AdapterRow::default()
        };
        let outcome = self.store.insert_adapter(&row, replace);
        self.done("cannot insert an adapter", outcome)
            .map_or(-1, |()| 0)
    }
}
