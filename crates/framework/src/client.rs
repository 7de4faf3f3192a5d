//! The client of a framework that a spec describes.

mod reads;
mod writes;

use std::collections::BTreeSet;
use std::time::Duration;

use tarsops_model::desired::{Desired, Rpc};
use tarsops_model::names::NodeName;
use tarsops_transport::console::Console;
use tarsops_transport::mysql::Access;
use tarsops_transport::rpc::RpcClient;

use crate::node::NodeWatch;
use crate::questions::Questions;
use crate::ways::Ways;

/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(20);

/// Reads and changes one framework: its servants, its database and its management platform.
pub struct Client {
    pub(crate) desired: Desired,
    pub(crate) ways: Ways,
    pub(crate) database: Option<Access>,
    pub(crate) console: Option<Console>,
    pub(crate) nodes: NodeWatch,
    questions: Questions,
    clock: fn() -> i64,
}

impl Client {
    /// A client for the framework of `desired`. What is `None` is not used; `clock` gives this machine's
    /// time in seconds since 1970.
    #[must_use]
    pub fn new(
        desired: Desired,
        ways: Ways,
        database: Option<Access>,
        console: Option<Console>,
        clock: fn() -> i64,
    ) -> Self {
        let nodes: BTreeSet<NodeName> = desired.hosts().map(|(n, _)| n.clone()).collect();
        Self {
            nodes: NodeWatch::new(&desired, ways.clone(), database.clone()),
            questions: Questions::of(&desired, &nodes),
            desired,
            ways,
            database,
            console,
            clock,
        }
    }

    /// The way to the database, where the spec names one that can be used.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        self.database.clone()
    }

    /// Whether the spec lets anything of the framework be asked.
    fn asks(&self) -> bool {
        self.desired.rpc != Rpc::Off || self.database.is_some()
    }

    fn database(&self) -> Result<&Access, String> {
        self.database
            .as_ref()
            .ok_or_else(|| "the database cannot be used".to_owned())
    }

    pub(crate) fn console(&self) -> Result<&Console, String> {
        self.console
            .as_ref()
            .ok_or_else(|| "the management platform cannot be used".to_owned())
    }

    /// AdminRegistry, where the spec lets it be asked.
    pub(crate) fn admin(&self) -> Result<RpcClient, String> {
        let (node, at) = self
            .desired
            .admin()
            .filter(|_| self.desired.rpc != Rpc::Off)
            .ok_or_else(|| "there is no AdminRegistry to ask".to_owned())?;
        Ok(self.ways.client(node, at))
    }

    /// Tarspatch, where the spec lets it be asked.
    pub(crate) fn patch(&self) -> Result<RpcClient, String> {
        let (node, at) = self
            .desired
            .patch()
            .filter(|_| self.desired.rpc != Rpc::Off)
            .ok_or_else(|| "there is no tarspatch to ask".to_owned())?;
        Ok(self.ways.client(node, at))
    }
}
