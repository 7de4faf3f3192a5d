//! What an apply asks of those who publish programs.

use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;
use tarsops_plan::action::Via;
use tokio::sync::OwnedMutexGuard;

/// A package that those who publish know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its number (`t_server_patchs.id`).
    pub id: i64,
    /// The archive's name in tarspatch's folder.
    pub tgz: String,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One lowercase clause.
    pub text: String,
    /// Whether it is sure that nothing happens any more.
    pub nothing_happened: bool,
}

/// How a task stands for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It waits.
    Waiting,
    /// It is being done.
    Running,
    /// It ended, and whether it says that all went well, with its words.
    Final {
        /// Whether it calls itself a success.
        success: bool,
        /// Its words.
        words: String,
    },
}

/// Those who publish: the management platform, or Tars itself.
pub trait Publish: Send + Sync {
    /// Makes a program known as a package, once for all nodes.
    fn package<'a>(
        &'a self,
        via: Via,
        component: Component,
        version: Version,
        binary: &'a Path,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Package, Fault>>;

    /// Sees to it that a package whose file is damaged is made again rather than known again.
    ///
    /// # Errors
    /// One lowercase clause.
    fn discard<'a>(
        &'a self,
        via: Via,
        component: Component,
        version: Version,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Has tarspatch lay the package ready, which shows whether it finds it.
    ///
    /// # Errors
    /// One lowercase clause.
    fn prepare<'a>(
        &'a self,
        component: Component,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Begins the task; its number.
    fn begin<'a>(
        &'a self,
        via: Via,
        node: &'a NodeName,
        component: Component,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<String, Fault>>;

    /// How the task stands.
    ///
    /// # Errors
    /// One lowercase clause.
    fn standing<'a>(&'a self, via: Via, task: &'a str) -> BoxFuture<'a, Result<Standing, String>>;

    /// What was reported of the server on the node within the last `within`, newest first; nothing
    /// where that cannot be asked.
    fn notices<'a>(
        &'a self,
        via: Via,
        node: &'a NodeName,
        component: Component,
        within: Duration,
    ) -> BoxFuture<'a, Vec<String>>;

    /// The server's row, so far as it says what it should be and which package it names; none where
    /// rows cannot be read.
    fn row<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Option<ServerRow>>;

    /// Has the server's row name `to` again where it names `from`.
    ///
    /// # Errors
    /// One lowercase clause.
    fn name_again<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
        from: &'a str,
        to: &'a str,
    ) -> BoxFuture<'a, Result<bool, String>>;

    /// Waits for its turn at `what`: one package of a server at a time, and one rollback on a host.
    fn turn(&self, what: &str) -> BoxFuture<'_, OwnedMutexGuard<()>>;
}
