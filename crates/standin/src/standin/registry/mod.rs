//! The stand-in of tarsregistry.
//!
//! QueryObj answers from a copy of the tables that is read again every 13 s and outlives a lost
//! database; RegistryObj goes to the tables themselves (TarsFramework `RegistryServer/`). In the
//! background it writes its own three rows and declares silent nodes inactive.

mod objects;
mod query;
mod registry_obj;

pub(super) use registry_obj::descriptors;

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use self::objects::Objects;
use super::component::{Named, Own};
use super::conf::Endpoint;
use crate::store::{RegistryRow, Store, StoreError};

const QUERY: &str = "tars.tarsregistry.QueryObj";
const REGISTRY: &str = "tars.tarsregistry.RegistryObj";

/// What both objects share.
struct Registry {
    own: Own,
    store: Arc<dyn Store>,
    objects: RwLock<Arc<Objects>>,
}

impl Registry {
    fn objects(&self) -> Arc<Objects> {
        Arc::clone(&self.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What became of work on the store; that it failed is logged, and told by its absence.
    fn done<T>(&self, what: &str, outcome: Result<T, StoreError>) -> Option<T> {
        outcome
            .inspect_err(|error| {
                self.own
                    .log
                    .write(&format!("ERROR|{what}: {}", told(error)))
            })
            .ok()
    }

    /// Its own rows: the locator of all three is where QueryObj listens (`DbHandle.cpp`,
    /// `updateRegistryInfo2Db`).
    fn rows(&self) -> Vec<RegistryRow> {
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

    fn write_rows(&self) {
        if self.own.is_silent() {
            return;
        }
        self.done(
            "cannot write my rows",
            self.store.put_registries(&self.rows(), false),
        );
    }

    fn load(&self) {
        if let Some(objects) = self.done("cannot read the objects", Objects::read(&*self.store)) {
            let mut held = self.objects.write().unwrap_or_else(PoisonError::into_inner);
            *held = Arc::new(objects);
        }
    }

    fn reap(&self) {
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

    fn check_nodes(&self) {
        let timings = self.own.timings;
        loop {
            let outcome = self.store.expire_nodes(timings.node_timeout);
            self.done("cannot look for silent nodes", outcome);
            thread::sleep(timings.node_check);
        }
    }
}

/// An error with its causes.
pub(super) fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// The servants of this registry; its background work begins.
pub(super) fn servants(own: Own, store: Arc<dyn Store>) -> Vec<Named> {
    let registry = Arc::new(Registry {
        own,
        store,
        objects: RwLock::default(),
    });
    // Whoever can connect finds the objects: the first look is before the first answer.
    registry.write_rows();
    registry.load();
    let reaper = Arc::clone(&registry);
    thread::spawn(move || reaper.reap());
    let checker = Arc::clone(&registry);
    thread::spawn(move || checker.check_nodes());
    vec![
        (
            QUERY.to_owned(),
            Arc::new(query::QueryObj(Arc::clone(&registry))),
        ),
        (
            REGISTRY.to_owned(),
            Arc::new(registry_obj::RegistryObj(registry)),
        ),
    ]
}
