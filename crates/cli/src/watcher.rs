//! The framework as an apply asks it: for gates, and to change its rows.

use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_apply::execute::{Order, Unedited};
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::framework::{FrameworkFacts, NodeLabels};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_plan::action::{Action, Cell, Folder, NewServers, RowEdit, Via};
use tarsops_plan::claims::is_endpoint_on;
use tarsops_probe::truth::{self, NodeWatch, Questions, Ways};
use tarsops_transport::QUERY;
use tarsops_transport::calls::Admin;
use tarsops_transport::console::Console;
use tarsops_transport::mysql::{Access, Edited, Edition, Insertion, NewValue, Owner, Which};
use tarsops_transport::rpc::{RpcClient, Way};

use crate::context::now;
use crate::publisher;

/// Asks the framework about single nodes.
pub struct Watcher {
    pub(crate) watch: NodeWatch,
    pub(crate) asks: bool,
    pub(crate) questions: Questions,
    pub(crate) desired: Desired,
    pub(crate) ways: Ways,
    pub(crate) database: Option<Access>,
    pub(crate) console: Option<Console>,
}

/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(20);
/// How long AdminRegistry may take for a start or a stop: it waits for the node, which waits for the
/// process.
const ORDER: Duration = Duration::from_secs(30);

impl Watcher {
    /// The way to the database, where the spec names one that can be used.
    pub fn access(&self) -> Option<Access> {
        self.database.clone()
    }

    fn database(&self) -> Result<&Access, String> {
        self.database
            .as_ref()
            .ok_or_else(|| "the database cannot be used".to_owned())
    }
}

/// The rows that an action is about.
fn rows_of(action: &Action) -> Vec<Which> {
    let row = |table, column, value: String, prefix| Which {
        table,
        column,
        value,
        prefix,
        also: vec![],
    };
    // The installer's rows of a component of the framework.
    let server = |table, component: Component, node: &str| Which {
        table,
        column: "node_name",
        value: node.to_owned(),
        prefix: false,
        also: vec![
            ("application", "tars".to_owned()),
            ("server_name", component.name().to_owned()),
        ],
    };
    // A registry is resolved from those of its server as well.
    let registry = |at: &Endpoint, node: &str| {
        vec![
            server("t_adapter_conf", Component::Tarsregistry, node),
            server("t_server_conf", Component::Tarsregistry, node),
            row("t_registry_info", "locator_id", at.to_string(), false),
        ]
    };
    match action {
        Action::ForgetNode { node, ip } => vec![
            row("t_adapter_conf", "node_name", node.to_string(), false),
            row("t_server_conf", "node_name", node.to_string(), false),
            row("t_registry_info", "locator_id", format!("{ip}:"), true),
            row("t_node_info", "node_name", node.to_string(), false),
        ],
        Action::ForgetRegistry {
            registry: at, node, ..
        } => registry(at, node),
        Action::ForgetServers { node, servers } => {
            let tables = ["t_adapter_conf", "t_server_conf"];
            let of = |table| {
                let each = servers.iter();
                each.map(move |component| server(table, *component, node.as_str()))
            };
            tables.into_iter().flat_map(of).collect()
        }
        Action::ChangeHost(change) if change.folder() == Folder::Remove => change
            .registry()
            .iter()
            .flat_map(|at| registry(at, change.node.as_str()))
            .collect(),
        _ => vec![],
    }
}

/// New rows as the database takes them.
fn insertions(new: &NewServers) -> Vec<Insertion> {
    new.rows
        .iter()
        .map(|row| Insertion {
            table: row.table.name(),
            key: row.table.key(),
            columns: row.columns.iter().map(cell).collect(),
        })
        .collect()
}

fn cell((name, cell): &(String, Cell)) -> (String, NewValue) {
    let value = match cell {
        Cell::Text(text) => NewValue::Text(text.clone()),
        Cell::Number(number) => NewValue::Number(*number),
        Cell::Now => NewValue::Now,
        Cell::Null => NewValue::Null,
    };
    (name.clone(), value)
}

/// Changes of rows as the database takes them.
fn editions(all: &[RowEdit]) -> Vec<Edition> {
    let cells = |all: &Vec<(String, Cell)>| all.iter().map(cell).collect();
    all.iter()
        .map(|edit| Edition {
            table: edit.table.name(),
            key: edit.key.clone(),
            before: edit.before.as_ref().map(cells),
            after: edit.after.as_ref().map(cells),
        })
        .collect()
}

impl tarsops_apply::execute::Watch for Watcher {
    fn node<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            if self.asks {
                Some(Box::new(self.watch.node(node).await))
            } else {
                None
            }
        })
    }

    fn registry<'a>(
        &'a self,
        node: &'a NodeName,
        registry: &'a Endpoint,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            if self.asks {
                Some(Box::new(self.watch.registry(node, registry).await))
            } else {
                None
            }
        })
    }

    fn server<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            if self.asks {
                let facts = self.watch.server(&self.desired, node, component).await;
                Some(Box::new(facts))
            } else {
                None
            }
        })
    }

    fn load<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let (own, at) = self
                .desired
                .admin()
                .filter(|_| self.desired.rpc != Rpc::Off)
                .ok_or_else(|| "there is no AdminRegistry to ask".to_owned())?;
            let client = self.ways.client(own, at);
            let admin = Admin::new(&client, truth::CALL);
            let loaded = admin
                .load_server("tars", component.name(), node.as_str())
                .await;
            loaded.map_err(|e| e.to_string())
        })
    }

    fn label<'a>(
        &'a self,
        node: &'a NodeName,
        labels: &'a NodeLabels,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let put = self.database()?.put_labels(node, labels, STATEMENT).await;
            put.map_err(|e| e.to_string())
        })
    }

    fn all(&self) -> BoxFuture<'_, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            if !self.asks {
                return None;
            }
            let database = self.database.clone().map(Ok);
            let (desired, questions) = (&self.desired, &self.questions);
            let facts = truth::ask(desired, questions, &self.ways, database, &now, false).await;
            Some(Box::new(facts))
        })
    }

    fn answers<'a>(&'a self, registry: &'a Endpoint) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let client = RpcClient::new(registry.clone(), Way::Direct);
            client.ping(QUERY, truth::CALL).await.is_ok()
        })
    }

    fn rows<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            let which = rows_of(action);
            let dump = self.database()?.dump(&which, STATEMENT).await;
            dump.map_err(|e| e.to_string())
        })
    }

    fn retire<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let which = rows_of(action);
            let retired = self.database()?.retire(&which, STATEMENT).await;
            retired.map_err(|e| e.to_string())
        })
    }

    fn put_back<'a>(
        &'a self,
        dump: &'a str,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let host = self.desired.host(node);
            let owner = Owner {
                server: component.name(),
                node: node.as_str(),
                ip: host.ok_or("the spec has no such node")?.ip,
                is_endpoint: is_endpoint_on,
            };
            let put = self.database()?.put_back(dump, &owner, STATEMENT).await;
            put.map_err(|e| e.to_string())
        })
    }

    fn delete<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let which = rows_of(action);
            let deleted = self.database()?.delete(&which, STATEMENT).await;
            deleted.map_err(|e| e.to_string())
        })
    }

    fn add<'a>(&'a self, new: &'a NewServers) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            if new.via == Via::Console {
                let console = self.console.as_ref();
                let console = console.ok_or("the management platform cannot be used")?;
                return publisher::deploy(console, new).await;
            }
            let rows = insertions(new);
            let added = self.database()?.insert(&rows, STATEMENT).await;
            added.map_err(|e| e.to_string())
        })
    }

    fn take_out<'a>(&'a self, new: &'a NewServers) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let rows = insertions(new);
            let gone = self.database()?.take_out(&rows, STATEMENT).await;
            gone.map_err(|e| e.to_string())
        })
    }

    fn edit<'a>(&'a self, all: &'a [RowEdit]) -> BoxFuture<'a, Result<Vec<bool>, Unedited>> {
        Box::pin(async move {
            let database = self.database().map_err(Unedited::Failed)?;
            match database.edit(&editions(all), STATEMENT).await {
                Ok(Edited::Done(changed)) => Ok(changed),
                Ok(Edited::Moved(why)) => Err(Unedited::Moved(why)),
                Ok(Edited::InDoubt(why)) => Err(Unedited::InDoubt(why)),
                Err(e) => Err(Unedited::Failed(e.to_string())),
            }
        })
    }

    fn order<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
        order: Order,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let (at, endpoint) = self
                .desired
                .admin()
                .ok_or_else(|| "the spec places AdminRegistry nowhere".to_owned())?;
            let client = self.ways.client(at, endpoint);
            let admin = Admin::new(&client, ORDER);
            let (name, node) = (component.name(), node.as_str());
            let done = match order {
                Order::Start => admin.start_server("tars", name, node).await,
                Order::Stop => admin.stop_server("tars", name, node).await,
                Order::Restart => admin.restart_server("tars", name, node).await,
            };
            done.map_err(|e| e.to_string())
        })
    }
}
