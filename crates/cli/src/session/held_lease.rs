//! The lease that a look has found on the master.

use tarsops_model::host::LeaseFacts;
use tarsops_model::inventory::Facts;
use tarsops_model::observed::Observed;
use tarsops_probe::Report;

/// The lease that somebody holds, if it was seen.
pub fn lease_in(report: &Report) -> Option<LeaseFacts> {
    report.inventory.resources.values().find_map(|o| match o {
        Observed::Present(Facts::Host(h)) => h.lease.clone().filter(LeaseFacts::is_held),
        _ => None,
    })
}
