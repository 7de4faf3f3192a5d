//! What an apply reads of the framework.

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_plan::action::Action;
use tarsops_plan::reset_rows::RowImage;

/// Reads the framework's servants and its database; changes nothing.
pub trait Read: Send + Sync {
    /// What the framework says of `node` now; none where nobody can be asked.
    fn node<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Option<Box<FrameworkFacts>>>;

    /// What the framework says of a registry on `node`: whether it answers, and its rows.
    fn registry<'a>(
        &'a self,
        node: &'a NodeName,
        registry: &'a Endpoint,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>>;

    /// What the framework says of `component` on `node`: whether its servants answer, its row, and
    /// AdminRegistry's view of it.
    fn server<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>>;

    /// Everything that the framework says now; none where nobody can be asked.
    fn all(&self) -> BoxFuture<'_, Option<Box<FrameworkFacts>>>;

    /// Whether a registry answers there.
    fn answers<'a>(&'a self, registry: &'a Endpoint) -> BoxFuture<'a, bool>;

    /// The rows that `action` deletes, as SQL that would bring them back.
    ///
    /// # Errors
    /// One lowercase clause.
    fn rows<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<String, String>>;

    /// The rows of the framework's own servers and adapters on `node`, with all their columns.
    ///
    /// # Errors
    /// One lowercase clause.
    fn own_rows<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Vec<RowImage>, String>>;
}
