//! The framework of a world, as an apply asks it and changes its rows.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, FrameworkFacts, NodeLabels, ServerRow};
use tarsops_model::names::{Endpoint, NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Action, Cell, NewServers, RowEdit, Table};
use tarsops_plan::reset_rows::RowImage;
use tokio::time::sleep;

use super::state::{Shared, State};
use tarsops_framework::{Order, Read, Unedited, Write};

/// Asks the framework of a world, for one run.
pub(super) struct SimWatch {
    pub(super) shared: Shared,
    pub(super) run: RunId,
}

impl SimWatch {
    async fn pause(&self) {
        let pause = self.shared.lock().delay(2, 20);
        sleep(pause).await;
    }

    async fn asked(
        &self,
        ask: impl FnOnce(&State) -> FrameworkFacts,
    ) -> Option<Box<FrameworkFacts>> {
        self.pause().await;
        Some(Box::new(ask(&self.shared.lock())))
    }

    /// Why the database takes no change, if it does not.
    fn fault(state: &State) -> Option<String> {
        if state.faults.database_is_down() {
            Some("the database did not answer".to_owned())
        } else if state.faults.read_only {
            Some("the database is read-only".to_owned())
        } else {
            None
        }
    }
}

const UNKNOWN: &str = "this world has no such change of rows";

impl Read for SimWatch {
    fn node<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            self.pause().await;
            let mut state = self.shared.lock();
            let facts = state.facts_of(node, None);
            if facts.node_row(node).unknown().is_some() {
                state.unread.insert(node.clone());
            }
            Some(Box::new(facts))
        })
    }

    fn registry<'a>(
        &'a self,
        node: &'a NodeName,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(self.asked(|state| state.facts_of(node, Some(Component::Tarsregistry))))
    }

    fn server<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(self.asked(move |state| state.facts_of(node, Some(component))))
    }

    fn all(&self) -> BoxFuture<'_, Option<Box<FrameworkFacts>>> {
        Box::pin(self.asked(State::facts))
    }

    fn answers<'a>(&'a self, registry: &'a Endpoint) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.pause().await;
            let state = self.shared.lock();
            state.machines.iter().any(|(node, machine)| {
                machine.registry.host == registry.host
                    && state.answer(node, Component::Tarsregistry).is_alive()
            })
        })
    }

    fn rows<'a>(&'a self, _: &'a Action) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }

    fn own_rows<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Vec<RowImage>, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }
}

impl Write for SimWatch {
    fn load<'a>(&'a self, node: &'a NodeName, _: Component) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.pause().await;
            let state = self.shared.lock();
            match state.admin_fault() {
                Some(why) => Err(why),
                None if state.machines.contains_key(node) => Ok(()),
                None => Err("there is no such node".to_owned()),
            }
        })
    }

    fn label<'a>(
        &'a self,
        node: &'a NodeName,
        labels: &'a NodeLabels,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            self.pause().await;
            let mut state = self.shared.lock();
            if let Some(why) = Self::fault(&state) {
                return Err(why);
            }
            state.writes(&self.run, "a label");
            let row = state
                .nodes
                .get_mut(node.as_str())
                .ok_or("there is no such row")?;
            if labels.row == Some(row.id) {
                return Ok(false);
            }
            let empty = row.label.as_deref().unwrap_or_default().is_empty()
                && row.group.is_none_or(|group| group == -1);
            if empty {
                row.label.clone_from(&labels.label);
                row.group = labels.group_id.or(row.group);
            }
            Ok(empty)
        })
    }

    fn deactivate<'a>(&'a self, _: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }

    fn put_back<'a>(
        &'a self,
        _: &'a str,
        _: &'a NodeName,
        _: Component,
    ) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }

    fn delete<'a>(&'a self, _: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }

    fn add<'a>(&'a self, _: &'a NewServers) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }

    fn take_out<'a>(&'a self, _: &'a NewServers) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Err(UNKNOWN.to_owned()) })
    }

    fn edit<'a>(&'a self, all: &'a [RowEdit]) -> BoxFuture<'a, Result<Vec<bool>, Unedited>> {
        Box::pin(async move {
            self.pause().await;
            let mut state = self.shared.lock();
            if let Some(why) = Self::fault(&state) {
                return Err(Unedited::Failed(why));
            }
            state.writes(&self.run, "rows");
            // All of them or none.
            let mut rows = (state.servers.clone(), state.adapters.clone());
            let mut changed = Vec::new();
            for edit in all {
                changed.push(make(&mut rows.0, &mut rows.1, edit).map_err(Unedited::Moved)?);
            }
            (state.servers, state.adapters) = rows;
            Ok(changed)
        })
    }

    fn order<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
        order: Order,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.pause().await;
            {
                let mut state = self.shared.lock();
                if let Some(why) = state.admin_fault() {
                    return Err(why);
                }
                state.writes(&self.run, "an order");
                let facts = state.facts_of(node, None);
                if facts.ping(node) != Observed::Present(true) {
                    return Err("the node is not connected".to_owned());
                }
            }
            if order != Order::Start {
                let mut state = self.shared.lock();
                state.stop(node, component);
                if order == Order::Stop
                    && let Some(row) = state.row_mut(component, node)
                {
                    row.setting = Some("inactive".to_owned());
                }
            }
            sleep(Duration::from_millis(800)).await;
            if order != Order::Stop {
                let mut state = self.shared.lock();
                if let Some(row) = state.row_mut(component, node) {
                    row.setting = Some("active".to_owned());
                }
                state.start(&self.shared, node, component);
            }
            Ok(())
        })
    }
}

/// Makes one change of a row; whether it was not made before.
fn make(
    servers: &mut BTreeMap<NodeName, Vec<ServerRow>>,
    adapters: &mut Vec<AdapterRow>,
    edit: &RowEdit,
) -> Result<bool, String> {
    let key = |column| edit.of_key(column).unwrap_or_default();
    let (application, server, node) = (key("application"), key("server_name"), key("node_name"));
    match edit.table {
        Table::TServerConf => {
            let own = |r: &ServerRow| r.application == application && r.server == server;
            let at = NodeName::new(node).map_err(|e| e.to_string())?;
            one(
                servers.entry(at).or_default(),
                own,
                edit,
                server_column,
                || ServerRow {
                    application: application.to_owned(),
                    server: server.to_owned(),
                    node: node.to_owned(),
                    ..ServerRow::default()
                },
            )
        }
        Table::TAdapterConf => {
            let name = key("adapter_name");
            let own = |r: &AdapterRow| r.adapter == name && r.server == server && r.node == node;
            one(adapters, own, edit, adapter_column, || AdapterRow {
                application: application.to_owned(),
                server: server.to_owned(),
                node: node.to_owned(),
                adapter: name.to_owned(),
                ..AdapterRow::default()
            })
        }
    }
}

/// A column of a row: read, or written where a value comes along.
type Column<T> = fn(&mut T, &str, Option<&Cell>) -> Option<Cell>;

fn one<T>(
    all: &mut Vec<T>,
    own: impl Fn(&T) -> bool,
    edit: &RowEdit,
    column: Column<T>,
    blank: impl FnOnce() -> T,
) -> Result<bool, String> {
    let says = |row: &mut T, wanted: &[(String, Cell)]| {
        wanted.iter().all(|(name, cell)| {
            matches!(cell, Cell::Now) || column(row, name, None).is_none_or(|now| now == *cell)
        })
    };
    let at = all.iter().position(own);
    let is_after = match (at, &edit.after) {
        (Some(at), Some(after)) => says(&mut all[at], after),
        (None, None) => true,
        _ => false,
    };
    if is_after {
        return Ok(false);
    }
    let is_before = match (at, &edit.before) {
        (Some(at), Some(before)) => says(&mut all[at], before),
        (None, None) => true,
        _ => false,
    };
    if !is_before {
        return Err("a row says something else than when it was looked at".to_owned());
    }
    match (at, &edit.after) {
        (Some(at), None) => drop(all.remove(at)),
        (at, Some(after)) => {
            let at = at.unwrap_or_else(|| {
                all.push(blank());
                all.len() - 1
            });
            for (name, cell) in after {
                column(&mut all[at], name, Some(cell));
            }
        }
        (None, None) => {}
    }
    Ok(true)
}

fn text(field: &mut Option<String>, new: Option<&Cell>) -> Cell {
    if let Some(new) = new {
        *field = match new {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        };
    }
    field.clone().map_or(Cell::Null, Cell::Text)
}

fn number(field: &mut Option<i64>, new: Option<&Cell>) -> Cell {
    if let Some(new) = new {
        *field = match new {
            Cell::Number(number) => Some(*number),
            _ => None,
        };
    }
    field.map_or(Cell::Null, Cell::Number)
}

fn server_column(row: &mut ServerRow, name: &str, new: Option<&Cell>) -> Option<Cell> {
    Some(match name {
        "setting_state" => text(&mut row.setting, new),
        "template_name" => text(&mut row.template, new),
        "patch_version" => text(&mut row.patch_version, new),
        "server_type" => text(&mut row.kind, new),
        "exe_path" => text(&mut row.exe_path, new),
        _ => return None,
    })
}

fn adapter_column(row: &mut AdapterRow, name: &str, new: Option<&Cell>) -> Option<Cell> {
    Some(match name {
        "servant" => text(&mut row.servant, new),
        "endpoint" => text(&mut row.endpoint, new),
        "protocol" => text(&mut row.protocol, new),
        "thread_num" => number(&mut row.threads, new),
        "max_connections" => number(&mut row.connections, new),
        "queuecap" => number(&mut row.queue, new),
        "queuetimeout" => number(&mut row.queue_timeout, new),
        _ => return None,
    })
}
