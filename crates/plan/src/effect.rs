//! What an action does to an inventory: the simulation that the laws of the planner run on.
//!
//! It says what will be observed once an action has succeeded, and nothing else. It shares no code
//! with the scripts that do the work on hosts; the end-to-end tests compare the two.

use tarsops_model::inventory::Inventory;

use crate::actions::Action;
pub use crate::actions::{Images, are_made};

/// The inventory after `action` has succeeded.
#[must_use]
pub fn after(inventory: &Inventory, action: &Action) -> Inventory {
    let mut out = inventory.clone();
    apply(&mut out, action);
    out
}

/// Changes `inventory` to what will be seen once `action` has succeeded.
pub fn apply(inventory: &mut Inventory, action: &Action) {
    apply_with(inventory, action, &Images::default());
}

/// As [`apply`], with the before-images that a rollback draws upon.
pub fn apply_with(inventory: &mut Inventory, action: &Action, images: &Images) {
    action.kind().effect(inventory, images);
}
