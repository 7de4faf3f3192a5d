//! Reading the framework.

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_plan::action::{Action, Table};
use tarsops_plan::reset_rows::RowImage;
use tarsops_transport::QUERY;
use tarsops_transport::rpc::{Route, RpcClient};

use super::{Client, STATEMENT};
use crate::ask::ask;
use crate::common::CALL;
use crate::read::Read;
use crate::statements::{own_rows_of, rows_of};

impl Read for Client {
    fn node<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            if self.asks() {
                Some(Box::new(self.nodes.node(node).await))
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
            if self.asks() {
                Some(Box::new(self.nodes.registry(node, registry).await))
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
            if self.asks() {
                let facts = self.nodes.server(&self.desired, node, component).await;
                Some(Box::new(facts))
            } else {
                None
            }
        })
    }

    fn all(&self) -> BoxFuture<'_, Option<Box<FrameworkFacts>>> {
        Box::pin(async move {
            if !self.asks() {
                return None;
            }
            let database = self.database.clone().map(Ok);
            let (desired, questions) = (&self.desired, &self.questions);
            let facts = ask(desired, questions, &self.ways, database, &self.clock, false).await;
            Some(Box::new(facts))
        })
    }

    fn answers<'a>(&'a self, registry: &'a Endpoint) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let client = RpcClient::new(registry.clone(), Route::Direct);
            client.ping(QUERY, CALL).await.is_ok()
        })
    }

    fn rows<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            let which = rows_of(action);
            let dump = self.database()?.dump(&which, STATEMENT).await;
            dump.map_err(|e| e.to_string())
        })
    }

    fn own_rows<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<RowImage>, String>> {
        Box::pin(async move {
            let which = own_rows_of(node);
            let (tables, which): (Vec<_>, Vec<_>) = which.into_iter().unzip();
            let found = self.database()?.whole(&which, STATEMENT).await;
            let found = found.map_err(|e| e.to_string())?;
            let of = |(table, rows): (Table, Vec<_>)| {
                let row = move |columns| RowImage { table, columns };
                rows.into_iter().map(row)
            };
            Ok(tables.into_iter().zip(found).flat_map(of).collect())
        })
    }
}
