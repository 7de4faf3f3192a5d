//! The stand-in of tarsregistry.
//!
//! QueryObj answers from a copy of the tables that is read again every 13 s and outlives a lost
//! database; RegistryObj goes to the tables themselves (TarsFramework `RegistryServer/`). In the
//! background it writes its own three rows and declares silent nodes inactive.

mod objects;
mod query;
mod registry_obj;
mod shared;

pub(super) use registry_obj::descriptors;

use std::sync::{Arc, RwLock};
use std::thread;

use self::shared::{QUERY, Registry};
use super::own::{Named, Own};
use crate::store::Store;

const REGISTRY: &str = "tars.tarsregistry.RegistryObj";

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
