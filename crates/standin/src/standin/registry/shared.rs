//! What the objects of a registry share, and its background work.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use super::super::conf::Endpoint;
use super::super::log::chain;
use super::super::own::Own;
use super::objects::Objects;
use crate::store::{RegistryRow, Store, StoreError};

pub(super) const QUERY: &str = "tars.tarsregistry.QueryObj";

/// What both objects share.
pub(super) struct Registry {
    pub(super) own: Own,
    pub(super) store: Arc<dyn Store>,
    pub(super) objects: RwLock<Arc<Objects>>,
}

impl Registry {
    pub(super) fn objects(&self) -> Arc<Objects> {
        Arc::clone(&self.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What became of work on the store; that it failed is logged, and told by its absence.
    pub(super) fn done<T>(&self, what: &str, outcome: Result<T, StoreError>) -> Option<T> {
        outcome
            .inspect_err(|error| {
                self.own
                    .log
                    .write(&format!("ERROR|{what}: {}", chain(error)))
            })
            .ok()
    }

    /// Its own rows: the locator of all three is where QueryObj listens (`DbHandle.cpp`,
    /// `updateRegistryInfo2Db`).
    pub(super) fn rows(&self) -> Vec<RegistryRow> {
        let query = self.own.endpoints.iter().find(|(name, _)| name == QUERY);
        let Some(Ok(locator)) = query.map(|(_, text)| Endpoint::parse(text)) else {
            return Vec::new();
        };
        self.own
            .endpoints
            .iter()
            .map(|(servant, endpoint)| RegistryRow {
                locator_id: format!("{}:{}", locator.host, locator.port),
                servant: servant.clone(),
                endpoint: endpoint.clone(),
                tars_version: self.own.library.clone(),
                ..RegistryRow::default()
            })
            .collect()
    }

    pub(super) fn write_rows(&self) {
        if self.own.is_silent() {
            return;
        }
        self.done(
            "cannot write my rows",
            self.store.put_registries(&self.rows(), false),
        );
    }

    pub(super) fn load(&self) {
        if let Some(objects) = self.done("cannot read the objects", Objects::read(&*self.store)) {
            let mut held = self.objects.write().unwrap_or_else(PoisonError::into_inner);
            *held = Arc::new(objects);
        }
    }

    pub(super) fn reap(&self) {
        let timings = self.own.timings;
        let mut checked: Option<Instant> = None;
        loop {
            thread::sleep(timings.registry);
            self.write_rows();
            self.load();
            if checked.is_none_or(|at| at.elapsed() >= timings.registry_timeout) {
                checked = Some(Instant::now());
                let outcome = self.store.expire_registries(timings.registry_timeout);
                self.done("cannot look for silent registries", outcome);
            }
        }
    }

    pub(super) fn check_nodes(&self) {
        let timings = self.own.timings;
        loop {
            let outcome = self.store.expire_nodes(timings.node_timeout);
            self.done("cannot look for silent nodes", outcome);
            thread::sleep(timings.node_check);
        }
    }
}
