//! Publishing as an apply does it: through the management platform, or through tarspatch, the
//! database and AdminRegistry themselves.

mod archive;
mod console;
mod reports;
mod tars;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;
use tarsops_plan::action::Via;
use tarsops_transport::console::ItemStatus;
use tarsops_transport::mysql::Access;
use tokio::sync::{OnceCell, OwnedMutexGuard};

use self::archive::pack;
use self::reports::reported;
use crate::calls::{Admin, Patch};
use crate::client::Client;
use crate::common::APPLICATION;
use crate::publish::{Fault, Package, Publish, Standing};

/// How long a question or a statement may take.
const CALL: Duration = Duration::from_secs(10);
/// How long tarspatch may take to lay a package ready: AdminRegistry gives it as long
/// (`patch.prepare_patch_timeout`).
const PREPARE: Duration = Duration::from_secs(10);
/// Who publishes, in the framework's rows.
const USER: &str = "tarsops";

type Known = Arc<OnceCell<Package>>;

/// Publishes by either way.
pub struct Publisher<'a> {
    client: &'a Client,
    spool: PathBuf,
    packages: Mutex<BTreeMap<(Component, Version), Known>>,
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl<'a> Publisher<'a> {
    /// Publishes what `client` can reach; archives are made in `spool`.
    #[must_use]
    pub fn new(client: &'a Client, spool: &Path) -> Self {
        Self {
            client,
            spool: spool.to_path_buf(),
            packages: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    fn database(&self) -> Option<&'a Access> {
        self.client.database.as_ref()
    }

    async fn make(
        &self,
        via: Via,
        component: Component,
        version: Version,
        binary: &Path,
        digest: &Digest,
    ) -> Result<Package, Fault> {
        let archive = self.spool.join(format!("{component}-{version}.tgz"));
        let (from, into) = (binary.to_path_buf(), archive.clone());
        let packed = tokio::task::spawn_blocking(move || pack(component, &from, &into)).await;
        let md5 = packed
            .map_err(|e| e.to_string())
            .and_then(|packed| packed.map_err(|e| format!("{}: {e}", archive.display())))
            .map_err(|why| {
                surely(format!(
                    "the archive of {component} cannot be created: {why}"
                ))
            })?;
        let comment = format!("tarsops {version} {}", digest.short());
        if let Some(package) = self.known(via, component, &md5, &comment).await {
            return Ok(package);
        }
        let made = match via {
            Via::Console => self.upload(component, &archive, comment).await,
            Via::Tars => self.send(component, version, &archive, md5, comment).await,
        };
        let _ = std::fs::remove_file(&archive);
        made
    }

    /// The same archive, if it was uploaded before and tarspatch still has it.
    async fn known(
        &self,
        via: Via,
        component: Component,
        md5: &str,
        comment: &str,
    ) -> Option<Package> {
        let package = if let Some(access) = self.database() {
            let found = access.patch(component, md5, CALL).await.ok()??;
            Package {
                id: found.id,
                tgz: found.tgz,
            }
        } else if via == Via::Console {
            let all = self.client.console().ok()?;
            let all = all.server_patch_list(APPLICATION, component.name()).await;
            let found = all.ok()?;
            let found = found
                .into_iter()
                .find(|p| p.comment.as_deref() == Some(comment))?;
            Package {
                id: found.id,
                tgz: found.tgz,
            }
        } else {
            return None;
        };
        let there = self.lay_ready(component, &package.tgz).await;
        there.is_ok().then_some(package)
    }

    async fn lay_ready(&self, component: Component, tgz: &str) -> Result<(), String> {
        let client = self.client.patch()?;
        let patch = Patch::new(&client, PREPARE);
        let ready = patch.prepare(APPLICATION, component.name(), tgz).await;
        ready.map_err(|e| e.to_string())
    }
}

const fn surely(text: String) -> Fault {
    Fault {
        text,
        nothing_happened: true,
    }
}

/// How an item of a task stands, by the numbers of `AdminReg.tars` (`EMTaskItemStatus`).
fn standing(status: i32, words: String) -> Standing {
    match status {
        3 => Standing::Final {
            success: true,
            words,
        },
        4 | 5 => Standing::Final {
            success: false,
            words,
        },
        2 => Standing::Running,
        _ => Standing::Waiting,
    }
}

impl Publish for Publisher<'_> {
    fn package<'a>(
        &'a self,
        via: Via,
        component: Component,
        version: Version,
        binary: &'a Path,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Package, Fault>> {
        Box::pin(async move {
            let known = {
                let mut all = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(all.entry((component, version)).or_default())
            };
            let made = known
                .get_or_try_init(|| self.make(via, component, version, binary, digest))
                .await?;
            Ok(made.clone())
        })
    }

    fn discard<'a>(
        &'a self,
        via: Via,
        component: Component,
        version: Version,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.packages
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&(component, version));
            if let Some(access) = self.database() {
                let spoiled = access.spoil_patch(component, package.id, CALL).await;
                return spoiled.map_err(|e| e.to_string());
            }
            match via {
                // What nobody can publish any more is no loss.
                Via::Console => {
                    let deleted = self
                        .client
                        .console()?
                        .delete_patch_package(package.id)
                        .await;
                    deleted.map_err(|e| e.to_string())
                }
                Via::Tars => Err("the database cannot be reached".to_owned()),
            }
        })
    }

    fn prepare<'a>(
        &'a self,
        component: Component,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.lay_ready(component, &package.tgz))
    }

    fn begin<'a>(
        &'a self,
        via: Via,
        node: &'a NodeName,
        component: Component,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async move {
            match via {
                Via::Console => self.begin_at_console(node, component, package).await,
                Via::Tars => self.begin_at_tars(node, component, package).await,
            }
        })
    }

    fn standing<'a>(&'a self, via: Via, task: &'a str) -> BoxFuture<'a, Result<Standing, String>> {
        Box::pin(async move {
            match via {
                Via::Console => {
                    let told = self.client.console()?.task(task).await;
                    let told = told.map_err(|e| e.to_string())?;
                    let item = told.items.into_iter().next();
                    let item = item.ok_or_else(|| "the task has no part".to_owned())?;
                    let words = item.execute_info.unwrap_or_default();
                    Ok(match item.status {
                        ItemStatus::Success => standing(3, words),
                        ItemStatus::Failed | ItemStatus::Cancel => standing(4, words),
                        ItemStatus::Running => standing(2, words),
                        ItemStatus::Prepare | ItemStatus::Other(_) => standing(0, words),
                    })
                }
                Via::Tars => {
                    let client = self.client.admin()?;
                    let told = Admin::new(&client, CALL).task(task).await;
                    let told = told.map_err(|e| e.to_string())?;
                    let item = told.items.into_iter().next();
                    let item = item.ok_or_else(|| "AdminRegistry has no such task".to_owned())?;
                    Ok(standing(item.status, item.execute_log))
                }
            }
        })
    }

    fn notices<'a>(
        &'a self,
        via: Via,
        node: &'a NodeName,
        component: Component,
        within: Duration,
    ) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move {
            if let Some(access) = self.database() {
                let read = access.notices(component, node, within, CALL).await;
                return read.unwrap_or_default();
            }
            let (Via::Console, Ok(console)) = (via, self.client.console()) else {
                return Vec::new();
            };
            let page = console
                .server_notify_list(APPLICATION, component.name(), 1, 8)
                .await;
            let own = format!("{APPLICATION}.{component}_{node}");
            let rows = page.map(|page| page.rows).unwrap_or_default();
            reported(rows.into_iter().filter(|n| n.server_id == own), within)
        })
    }

    fn row<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Option<ServerRow>> {
        Box::pin(async move {
            let client = self.client;
            let facts = client.nodes.server(&client.desired, node, component).await;
            let rows = facts.rows();
            let servers = rows.present()?.servers.present()?;
            let own = servers
                .iter()
                .find(|r| r.application == APPLICATION && r.server == component.name())?;
            Some(own.clone())
        })
    }

    fn name_again<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
        from: &'a str,
        to: &'a str,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let Some(access) = self.database() else {
                return Ok(false);
            };
            let done = access.patch_back(component, node, from, to, CALL).await;
            done.map_err(|e| e.to_string())
        })
    }

    fn turn(&self, what: &str) -> BoxFuture<'_, OwnedMutexGuard<()>> {
        let turn = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(what.to_owned()).or_default())
        };
        Box::pin(turn.lock_owned())
    }
}
