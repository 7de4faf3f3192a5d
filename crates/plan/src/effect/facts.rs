//! Ways into an inventory that an action changes.

use tarsops_model::framework::Rows;
use tarsops_model::host::HostFacts;
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

pub(super) fn with_rows(inventory: &mut Inventory, change: impl FnOnce(&mut Rows)) {
    if let Some(framework) = &mut inventory.framework
        && let Observed::Present(database) = &mut framework.database
        && let Observed::Present(rows) = &mut database.rows
    {
        change(rows);
    }
}

pub(super) fn keep<T>(rows: &mut Observed<Vec<T>>, stays: impl FnMut(&T) -> bool) {
    if let Observed::Present(all) = rows {
        all.retain(stays);
    }
}

pub(super) fn host_mut<'a>(
    inventory: &'a mut Inventory,
    node: &NodeName,
) -> Option<&'a mut HostFacts> {
    match inventory.resources.get_mut(&ResourceId::Host(node.clone())) {
        Some(Observed::Present(Facts::Host(host))) => Some(host),
        _ => None,
    }
}
