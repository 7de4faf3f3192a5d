//! Ways into an inventory that an action changes.

use tarsops_model::component::Component;
use tarsops_model::framework::{Answer, RegistryRow, Rows};
use tarsops_model::host::HostFacts;
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

pub(crate) fn with_rows(inventory: &mut Inventory, change: impl FnOnce(&mut Rows)) {
    if let Some(framework) = &mut inventory.framework
        && let Observed::Present(database) = &mut framework.database
        && let Observed::Present(rows) = &mut database.rows
    {
        change(rows);
    }
}

pub(crate) fn keep<T>(rows: &mut Observed<Vec<T>>, stays: impl FnMut(&T) -> bool) {
    if let Observed::Present(all) = rows {
        all.retain(stays);
    }
}

pub(crate) fn host_mut<'a>(
    inventory: &'a mut Inventory,
    node: &NodeName,
) -> Option<&'a mut HostFacts> {
    match inventory.resources.get_mut(&ResourceId::Host(node.clone())) {
        Some(Observed::Present(Facts::Host(host))) => Some(host),
        _ => None,
    }
}

/// A registry that lives stands in the rows and answers.
pub(crate) fn registry_alive(inventory: &mut Inventory, at: &Endpoint) {
    let locator = at.to_string();
    with_rows(inventory, |rows| {
        keep(&mut rows.registries, |r| r.locator != locator);
        if let Observed::Present(all) = &mut rows.registries {
            all.push(RegistryRow {
                locator,
                servant: "tars.tarsregistry.QueryObj".to_owned(),
                present: Some("active".to_owned()),
                heartbeat_age: Some(0),
                ..RegistryRow::default()
            });
        }
    });
    if let Some(framework) = &mut inventory.framework
        && let Some(answer) = framework.registries.get_mut(at)
    {
        *answer = Answer::Answers;
    }
}

/// The rows of a registry that is gone are gone.
pub(crate) fn forget_registry(rows: &mut Rows, at: &Endpoint, node: &str) {
    let locator = at.to_string();
    let name = Component::Tarsregistry.name();
    keep(&mut rows.registries, |r| r.locator != locator);
    keep(&mut rows.servers, |r| r.server != name || r.node != node);
    keep(&mut rows.adapters, |r| r.server != name || r.node != node);
}
