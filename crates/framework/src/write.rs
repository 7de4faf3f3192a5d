//! What an apply changes in the framework: its rows, and what AdminRegistry has servers do.

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::NodeName;
use tarsops_plan::action::{Action, NewServers, RowEdit};

/// Changes the framework's rows, and gives AdminRegistry orders.
pub trait Write: Send + Sync {
    /// Has the tarsnode of `node` write the configuration of `component` again, from the database's
    /// template and the profile of its row (`NodeServer/CommandLoad.cpp`).
    ///
    /// # Errors
    /// One lowercase clause.
    fn load<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Gives the row of `node` a label and a group where it has none; whether it had none.
    ///
    /// # Errors
    /// One lowercase clause.
    fn label<'a>(
        &'a self,
        node: &'a NodeName,
        labels: &'a NodeLabels,
    ) -> BoxFuture<'a, Result<bool, String>>;

    /// Takes the servers among the rows out of name resolution; how many were in it.
    ///
    /// # Errors
    /// One lowercase clause.
    fn deactivate<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<u64, String>>;

    /// Puts the rows of `component` on `node` back that were written down before they were deleted;
    /// how many. What was written down is a claim: no row of others is written.
    ///
    /// # Errors
    /// One lowercase clause.
    fn put_back<'a>(
        &'a self,
        dump: &'a str,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Result<u64, String>>;

    /// Deletes the rows; how many there were.
    ///
    /// # Errors
    /// One lowercase clause.
    fn delete<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<u64, String>>;

    /// Writes rows of servers, each only where no row has its key; how many were written.
    ///
    /// # Errors
    /// One lowercase clause; nothing was written then.
    fn add<'a>(&'a self, new: &'a NewServers) -> BoxFuture<'a, Result<u64, String>>;

    /// Deletes rows that [`Write::add`] wrote and nobody has put to use since; how many.
    ///
    /// # Errors
    /// One lowercase clause; nothing was deleted then.
    fn take_out<'a>(&'a self, new: &'a NewServers) -> BoxFuture<'a, Result<u64, String>>;

    /// Changes rows, each only while it says what it said, all of them or none; which of them it
    /// changed. One that says already what it should is left.
    ///
    /// # Errors
    /// Why not; nothing was changed then.
    fn edit<'a>(&'a self, all: &'a [RowEdit]) -> BoxFuture<'a, Result<Vec<bool>, Unedited>>;

    /// Has AdminRegistry start, stop or restart a server of the framework. What it answers is not
    /// always what happens.
    ///
    /// # Errors
    /// One lowercase clause.
    fn order<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
        order: Order,
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// What AdminRegistry is told to do with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To start it, which sets it active.
    Start,
    /// To stop it, which sets it inactive.
    Stop,
    /// To stop it and start it, which sets it active.
    Restart,
}

/// Why rows were not changed; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unedited {
    /// One says something else than when it was looked at.
    Moved(String),
    /// The database did not do it.
    Failed(String),
    /// It went away before it said whether it did it.
    InDoubt(String),
}
