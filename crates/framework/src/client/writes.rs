//! Changing the framework.

use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::NodeName;
use tarsops_plan::action::{Action, NewServers, RowEdit, Via};
use tarsops_plan::claims::is_endpoint_on;
use tarsops_transport::mysql::{Edited, Owner};

use super::{Client, STATEMENT};
use crate::calls::Admin;
use crate::common::{APPLICATION, CALL};
use crate::deploy::deploy;
use crate::statements::{editions, insertions, rows_of};
use crate::write::{Order, Unedited, Write};

/// How long AdminRegistry may take for a start or a stop: it waits for the node, which waits for the
/// process.
const ORDER: Duration = Duration::from_secs(30);

impl Write for Client {
    fn load<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let client = self.admin()?;
            let admin = Admin::new(&client, CALL);
            let loaded = admin
                .load_server(APPLICATION, component.name(), node.as_str())
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
            let put = self
                .database()?
                .restore_labels(node, labels, STATEMENT)
                .await;
            put.map_err(|e| e.to_string())
        })
    }

    fn deactivate<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let which = rows_of(action);
            let retired = self.database()?.deactivate(&which, STATEMENT).await;
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
                return deploy(self.console()?, new).await;
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
                Order::Start => admin.start_server(APPLICATION, name, node).await,
                Order::Stop => admin.stop_server(APPLICATION, name, node).await,
                Order::Restart => admin.restart_server(APPLICATION, name, node).await,
            };
            done.map_err(|e| e.to_string())
        })
    }
}
