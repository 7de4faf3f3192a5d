//! The stand-in of tarsAdminRegistry.
//!
//! AdminRegObj answers from the tables and from the nodes that are connected: a node comes by itself,
//! stays on its connection, and commands are pushed to it there (TarsFramework
//! `AdminRegistryServer/`). Its lies are the framework's: see [`nodes`] for those about nodes that
//! are not connected, and [`admin_obj`] for those about a database that is down.

mod admin_obj;
mod nodes;
mod publish;
mod rows;
mod tasks;

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::conf::Endpoint;
use super::log::chain;
use super::own::{Named, Own};
use crate::store::{RegistryRow, Store, StoreError};

const ADMIN: &str = "tars.tarsAdminRegistry.AdminRegObj";
/// What the framework's own build appends to the library's version (`SERVER_VERSION`).
const BUILD: &str = "_B003";

/// What all of it shares.
struct Admin {
    own: Own,
    store: Arc<dyn Store>,
    nodes: nodes::Nodes,
    tasks: tasks::Tasks,
}

impl Admin {
    /// What became of work on the store; that it failed is logged, and told by its absence.
    fn done<T>(&self, what: &str, outcome: Result<T, StoreError>) -> Option<T> {
        outcome
            .inspect_err(|error| {
                self.own
                    .log
                    .write(&format!("ERROR|{what}: {}", chain(error)))
            })
            .ok()
    }

    /// Its own rows: the locator of each is where it listens itself (`DbProxy.cpp`,
    /// `updateRegistryInfo2Db`).
    fn registry_rows(&self) -> Vec<RegistryRow> {
        self.own
            .endpoints
            .iter()
            .filter_map(|(servant, text)| {
                let endpoint = Endpoint::parse(text).ok()?;
                Some(RegistryRow {
                    locator_id: format!("{}:{}", endpoint.host, endpoint.port),
                    servant: servant.clone(),
                    endpoint: text.clone(),
                    tars_version: format!("{}{BUILD}", self.own.library),
                    ..RegistryRow::default()
                })
            })
            .collect()
    }

    fn reap(&self) {
        let timings = self.own.timings;
        let mut checked: Option<Instant> = None;
        loop {
            thread::sleep(timings.admin);
            self.write_rows();
            if checked.is_none_or(|at| at.elapsed() >= timings.registry_timeout) {
                checked = Some(Instant::now());
                let outcome = self.store.expire_registries(timings.registry_timeout);
                self.done("cannot look for silent registries", outcome);
            }
        }
    }

    fn write_rows(&self) {
        if self.own.is_silent() {
            return;
        }
        let outcome = self.store.put_registries(&self.registry_rows(), true);
        self.done("cannot write my rows", outcome);
    }
}

/// The servant of this AdminRegistry; its background work begins.
pub(super) fn servants(own: Own, store: Arc<dyn Store>) -> Vec<Named> {
    let admin = Arc::new(Admin {
        own,
        store,
        nodes: nodes::Nodes::default(),
        tasks: tasks::Tasks::default(),
    });
    admin.write_rows();
    let reaper = Arc::clone(&admin);
    thread::spawn(move || reaper.reap());
    let watched = Arc::clone(&admin);
    thread::spawn(move || watched.nodes.forget_the_silent());
    vec![(ADMIN.to_owned(), Arc::new(admin_obj::AdminRegObj(admin)))]
}
