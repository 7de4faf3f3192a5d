//! The tables in one JSON file.
//!
//! A lock beside the file (`flock`) orders the processes that use it; the file is replaced in one
//! rename, so whoever reads without the lock sees a whole one. It is made by [`JsonFile::create`]
//! alone: a file that is missing is a database that is down, and nobody may heal that by writing an
//! empty one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{
    AdapterRow, Change, NodeRow, NoticeRow, PatchRow, RegistryRow, ServerKey, ServerRow, Store,
    StoreError, TaskRow, TemplateRow,
};

/// Everything that the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tables {
    /// The last number that a row got; one counter serves all tables.
    pub last_id: i64,
    /// Nodes.
    pub t_node_info: Vec<NodeRow>,
    /// Servers.
    pub t_server_conf: Vec<ServerRow>,
    /// Adapters.
    pub t_adapter_conf: Vec<AdapterRow>,
    /// Registries.
    pub t_registry_info: Vec<RegistryRow>,
    /// Templates.
    pub t_profile_template: Vec<TemplateRow>,
    /// Packages.
    pub t_server_patchs: Vec<PatchRow>,
    /// Reports.
    pub t_server_notifys: Vec<NoticeRow>,
    /// Tasks with their items.
    pub t_task: Vec<TaskRow>,
}

impl Tables {
    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }
}

/// The tables in a JSON file.
#[derive(Clone, Debug)]
pub struct JsonFile {
    path: PathBuf,
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl JsonFile {
    /// The tables in the file at `path`, which need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Make the file with these tables, replacing one that is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, tables: &Tables) -> Result<Self, StoreError> {
        let file = Self::new(path);
        file.write(tables).map_err(|source| file.failed(source))?;
        Ok(file)
    }

    /// Everything in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Tables, StoreError> {
        let bytes = fs::read(&self.path).map_err(|source| self.failed(source))?;
        serde_json::from_slice(&bytes).map_err(|source| self.failed(source.into()))
    }

    /// Change what is in it, alone.
    ///
    /// # Errors
    /// When it cannot be read or written; nothing is changed then.
    pub fn change<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> Result<T, StoreError> {
        let lock = self.path.with_extension("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(lock)
            .map_err(|source| self.failed(source))?;
        lock.lock().map_err(|source| self.failed(source))?;
        let mut tables = self.read()?;
        let outcome = work(&mut tables);
        self.write(&tables).map_err(|source| self.failed(source))?;
        Ok(outcome)
    }

    fn write(&self, tables: &Tables) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(tables)?)?;
        fs::rename(&fresh, &self.path)
    }

    fn failed(&self, source: io::Error) -> StoreError {
        StoreError::File {
            path: self.path.clone(),
            source,
        }
    }
}

fn same(row: &ServerRow, which: &ServerKey) -> bool {
    (&row.application, &row.server_name, &row.node_name)
        == (&which.application, &which.server, &which.node)
}

impl Store for JsonFile {
    fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        Ok(self.read()?.t_node_info)
    }

    fn servers(&self) -> Result<Vec<ServerRow>, StoreError> {
        Ok(self.read()?.t_server_conf)
    }

    fn adapters(&self) -> Result<Vec<AdapterRow>, StoreError> {
        Ok(self.read()?.t_adapter_conf)
    }

    fn registries(&self) -> Result<Vec<RegistryRow>, StoreError> {
        let mut rows = self.read()?.t_registry_info;
        rows.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        Ok(rows)
    }

    fn templates(&self) -> Result<Vec<TemplateRow>, StoreError> {
        Ok(self.read()?.t_profile_template)
    }

    fn register_node(&self, node: &NodeRow) -> Result<bool, StoreError> {
        self.change(|tables| {
            let old = tables
                .t_node_info
                .iter()
                .position(|row| row.node_name == node.node_name);
            let mut row = NodeRow {
                id: tables.next_id(),
                last_reg_time: now(),
                last_heartbeat: now(),
                setting_state: "active".into(),
                present_state: "active".into(),
                template_name: String::new(),
                group_id: -1,
                label: None,
                ..node.clone()
            };
            if let Some(old) = old {
                let old = tables.t_node_info.remove(old);
                let taken = !node.node_obj.is_empty()
                    && old.present_state == "active"
                    && old.node_obj != node.node_obj;
                if taken {
                    tables.t_node_info.push(old);
                    return false;
                }
                row.template_name = old.template_name;
            }
            tables.t_node_info.push(row);
            true
        })
    }

    fn keep_alive(&self, node: &str, load: [f32; 3]) -> Result<u64, StoreError> {
        self.change(|tables| {
            let mut count = 0;
            for row in &mut tables.t_node_info {
                if row.node_name == node {
                    row.last_heartbeat = now();
                    row.present_state = "active".into();
                    [row.load_avg1, row.load_avg5, row.load_avg15] = load;
                    count += 1;
                }
            }
            count
        })
    }

    fn stop_node(&self, node: &str) -> Result<(), StoreError> {
        self.change(|tables| {
            let mut known = false;
            for row in &mut tables.t_node_info {
                if row.node_name == node {
                    row.present_state = "inactive".into();
                    known = true;
                }
            }
            for row in &mut tables.t_server_conf {
                if known && row.node_name == node {
                    row.present_state = "inactive".into();
                }
            }
        })
    }

    fn expire_nodes(&self, silence: Duration) -> Result<(), StoreError> {
        let before = now().saturating_sub(millis(silence));
        // Most looks find nothing, and then nothing is written.
        if self.nodes()?.iter().all(|row| row.last_heartbeat >= before) {
            return Ok(());
        }
        self.change(|tables| {
            for node in &mut tables.t_node_info {
                if node.last_heartbeat < before {
                    node.present_state = "inactive".into();
                    for row in &mut tables.t_server_conf {
                        if row.node_name == node.node_name {
                            row.present_state = "inactive".into();
                            row.process_id = 0;
                        }
                    }
                }
            }
        })
    }

    fn put_registries(&self, rows: &[RegistryRow], renumber: bool) -> Result<(), StoreError> {
        self.change(|tables| {
            for row in rows {
                let old = tables.t_registry_info.iter().position(|old| {
                    (&old.locator_id, &old.servant) == (&row.locator_id, &row.servant)
                });
                let old = old.map(|old| tables.t_registry_info.remove(old));
                let id = match old {
                    Some(old) if !renumber => old.id,
                    _ => tables.next_id(),
                };
                tables.t_registry_info.push(RegistryRow {
                    id,
                    last_heartbeat: now(),
                    present_state: "active".into(),
                    ..row.clone()
                });
            }
            tables.t_registry_info.sort_by_key(|row| row.id);
        })
    }

    fn expire_registries(&self, silence: Duration) -> Result<(), StoreError> {
        let before = now().saturating_sub(millis(silence));
        let rows = self.read()?.t_registry_info;
        if rows.iter().all(|row| row.last_heartbeat >= before) {
            return Ok(());
        }
        self.change(|tables| {
            for row in &mut tables.t_registry_info {
                if row.last_heartbeat < before {
                    row.present_state = "inactive".into();
                }
            }
        })
    }

    fn set_server(&self, which: &ServerKey, change: &Change) -> Result<(), StoreError> {
        self.change(|tables| {
            for row in &mut tables.t_server_conf {
                if !same(row, which) {
                    continue;
                }
                match change {
                    Change::Setting(state) => row.setting_state.clone_from(state),
                    Change::Present(state, pid) => {
                        row.present_state.clone_from(state);
                        row.process_id = *pid;
                    }
                    Change::Library(version) => row.tars_version.clone_from(version),
                    Change::Patch(version, user) => {
                        row.patch_version.clone_from(version);
                        row.patch_user.clone_from(user);
                        row.patch_time = crate::clock::local_time();
                    }
                    Change::Flow(active) => {
                        row.flow_state = if *active { "active" } else { "inactive" }.into();
                    }
                }
            }
        })
    }

    fn insert_server(&self, row: &ServerRow, replace: bool) -> Result<(), StoreError> {
        let which = ServerKey::new(&row.application, &row.server_name, &row.node_name);
        let done = self.change(|tables| {
            let old = tables.t_server_conf.iter().position(|r| same(r, &which));
            match old {
                Some(_) if !replace => return false,
                Some(old) => drop(tables.t_server_conf.remove(old)),
                None => {}
            }
            let id = tables.next_id();
            tables.t_server_conf.push(ServerRow { id, ..row.clone() });
            true
        })?;
        if done {
            return Ok(());
        }
        Err(StoreError::Duplicate(format!(
            "{}.{} on {}",
            row.application, row.server_name, row.node_name
        )))
    }

    fn insert_adapter(&self, row: &AdapterRow, replace: bool) -> Result<(), StoreError> {
        let key = |row: &AdapterRow| {
            (
                row.application.clone(),
                row.server_name.clone(),
                row.node_name.clone(),
                row.adapter_name.clone(),
            )
        };
        let done = self.change(|tables| {
            let old = tables
                .t_adapter_conf
                .iter()
                .position(|r| key(r) == key(row));
            match old {
                Some(_) if !replace => return false,
                Some(old) => drop(tables.t_adapter_conf.remove(old)),
                None => {}
            }
            let id = tables.next_id();
            tables.t_adapter_conf.push(AdapterRow { id, ..row.clone() });
            true
        })?;
        if done {
            return Ok(());
        }
        Err(StoreError::Duplicate(format!(
            "{} on {}",
            row.adapter_name, row.node_name
        )))
    }

    fn insert_template(&self, row: &TemplateRow) -> Result<(), StoreError> {
        self.change(|tables| {
            if tables
                .t_profile_template
                .iter()
                .all(|old| old.template_name != row.template_name)
            {
                let id = tables.next_id();
                tables
                    .t_profile_template
                    .push(TemplateRow { id, ..row.clone() });
            }
        })
    }

    fn delete_server(&self, which: &ServerKey) -> Result<(), StoreError> {
        self.change(|tables| {
            tables.t_server_conf.retain(|row| !same(row, which));
            tables.t_adapter_conf.retain(|row| {
                (&row.application, &row.server_name, &row.node_name)
                    != (&which.application, &which.server, &which.node)
            });
        })
    }
}
