//! Asking about one node or registry, for health gates.

use std::collections::BTreeMap;

use tarsops_model::component::Component;
use tarsops_model::console::ConsoleTables;
use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::framework::{
    AdminFacts, Answer, DatabaseFacts, FrameworkFacts, Rows, server_key,
};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_transport::QUERY;
use tarsops_transport::mysql::Access;
use tarsops_transport::rpc::RpcClient;

use crate::answers::{answer, ping, view_of};
use crate::ask::ping_all;
use crate::calls::Admin;
use crate::common::CALL;
use crate::questions::Questions;
use crate::ways::Ways;

/// Asks about one node again and again, for the gates of an apply.
pub struct NodeWatch {
    ways: Ways,
    admin: Option<RpcClient>,
    database: Option<Access>,
}

impl NodeWatch {
    /// Asks AdminRegistry and the database, as far as the spec lets them be asked.
    #[must_use]
    pub fn new(desired: &Desired, ways: Ways, database: Option<Access>) -> Self {
        let admin = desired
            .admin()
            .filter(|_| ways.rpc != Rpc::Off)
            .map(|(node, at)| ways.client(node, at));
        Self {
            ways,
            admin,
            database,
        }
    }

    /// Whether the registry `at` on `node` answers, and what the database's rows say of it.
    pub async fn registry(&self, node: &NodeName, at: &Endpoint) -> FrameworkFacts {
        let asked = async {
            if self.ways.rpc == Rpc::Off {
                return Answer::Silent("the spec says `rpc: none`".to_owned());
            }
            let client = self.ways.client(node, at.clone());
            answer(client.ping(QUERY, CALL).await, self.ways.is_direct())
        };
        let rows = async {
            let access = self.database.as_ref()?;
            Some(access.registry_rows(CALL).await.map_err(|e| e.to_string()))
        };
        let (asked, rows) = tokio::join!(asked, rows);
        let database = match rows {
            None => Observed::Absent,
            Some(Err(why)) => Observed::Unknown(why),
            Some(Ok(registries)) => Observed::Present(partly(Rows {
                registries: Observed::Present(registries),
                ..no_rows()
            })),
        };
        FrameworkFacts {
            servants: BTreeMap::new(),
            registries: [(at.clone(), asked)].into(),
            admin: not_asked(),
            database,
            console: Observed::Absent,
        }
    }

    /// Whether the servants of `component` answer on `node`, what their server's row says, and what
    /// AdminRegistry says of it.
    pub async fn server(
        &self,
        desired: &Desired,
        node: &NodeName,
        component: Component,
    ) -> FrameworkFacts {
        let all = Questions::of(desired, &[node.clone()].into());
        let questions = Questions {
            servants: all
                .servants
                .into_iter()
                .filter(|(c, n, ..)| *c == component && n == node)
                .collect(),
            ..Questions::default()
        };
        let servants = async {
            if self.ways.rpc == Rpc::Off {
                return BTreeMap::new();
            }
            ping_all(&questions, &self.ways).await
        };
        let admin = async {
            let Some(client) = &self.admin else {
                return Observed::Absent;
            };
            let view = view_of(&Admin::new(client, CALL), component, node, false).await;
            Observed::Present(AdminFacts {
                version: not_asked(),
                nodes: not_asked(),
                connections: BTreeMap::new(),
                pings: BTreeMap::new(),
                servers: [(server_key(component, node), view)].into(),
            })
        };
        let rows = async {
            let Some(access) = &self.database else {
                return Observed::Absent;
            };
            match access.node_rows(node, CALL).await {
                Ok((_, servers)) => Observed::Present(partly(Rows {
                    servers,
                    ..no_rows()
                })),
                Err(e) => Observed::Unknown(e.to_string()),
            }
        };
        let (servants, admin, database) = tokio::join!(servants, admin, rows);
        FrameworkFacts {
            servants,
            registries: BTreeMap::new(),
            admin,
            database,
            console: Observed::Absent,
        }
    }

    /// What the framework says of `node` now. Only its row, its servers' states and its ping are
    /// asked for.
    pub async fn node(&self, node: &NodeName) -> FrameworkFacts {
        let ping = async {
            let Some(client) = &self.admin else {
                return Observed::Absent;
            };
            let heard = ping(&Admin::new(client, CALL), node).await;
            Observed::Present(AdminFacts {
                version: not_asked(),
                nodes: not_asked(),
                connections: BTreeMap::new(),
                pings: [(node.clone(), heard)].into(),
                servers: BTreeMap::new(),
            })
        };
        let row = async {
            let Some(access) = &self.database else {
                return Observed::Absent;
            };
            match access.node_rows(node, CALL).await {
                Ok((row, servers)) => Observed::Present(partly(Rows {
                    nodes: Observed::Present(
                        row.map(|r| (r.name.clone(), r)).into_iter().collect(),
                    ),
                    servers,
                    ..no_rows()
                })),
                Err(e) => Observed::Unknown(e.to_string()),
            }
        };
        let (admin, database) = tokio::join!(ping, row);
        FrameworkFacts {
            servants: BTreeMap::new(),
            registries: BTreeMap::new(),
            admin,
            database,
            console: Observed::Absent,
        }
    }
}

fn not_asked<T>() -> Observed<T> {
    Observed::Unknown("it was not asked".to_owned())
}

fn no_rows() -> Rows {
    Rows {
        nodes: not_asked(),
        servers: not_asked(),
        adapters: not_asked(),
        registries: not_asked(),
        templates: not_asked(),
        columns: BTreeMap::new(),
        console: ConsoleTables::default(),
    }
}

/// A database of which only some rows were asked for.
fn partly(rows: Rows) -> DatabaseFacts {
    DatabaseFacts {
        server: String::new(),
        protection: not_asked(),
        clock_skew: 0,
        read_only: not_asked(),
        databases: BTreeMap::new(),
        rows: Observed::Present(rows),
        default_login: not_asked(),
    }
}
