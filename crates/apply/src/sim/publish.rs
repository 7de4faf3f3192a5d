//! Those who publish in a world: tarspatch, AdminRegistry and the node, as one task.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_framework::{Fault, Package, Publish, Standing};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::version::Version;
use tarsops_plan::action::Via;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::sleep;

use super::part::File;
use super::state::{Shared, Task};

/// How long a node takes for a publication.
const TAKES: Duration = Duration::from_millis(2500);

/// Publishes in a world.
pub(super) struct SimPublish {
    shared: Shared,
    run: RunId,
    /// The digest of each package.
    packages: StdMutex<BTreeMap<i64, Digest>>,
    turns: StdMutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl SimPublish {
    pub(super) fn new(shared: Shared, run: RunId) -> Self {
        Self {
            shared,
            run,
            packages: StdMutex::default(),
            turns: StdMutex::default(),
        }
    }

    fn fault(&self) -> Option<Fault> {
        let state = self.shared.lock();
        let why = state.admin_fault().or_else(|| {
            state
                .faults
                .database_is_down()
                .then(|| "the database did not answer".to_owned())
        });
        why.map(|text| Fault {
            text,
            nothing_happened: true,
        })
    }
}

/// What happens on the node, whether or not anybody waits for it.
async fn carry_out(
    shared: Shared,
    node: NodeName,
    component: Component,
    digest: Digest,
    task: String,
    package: i64,
) {
    sleep(TAKES).await;
    let path = format!("{component}/bin/{component}");
    {
        let mut state = shared.lock();
        if state.faults.is_silent(&node) {
            state.tasks.insert(
                task,
                Task {
                    success: Some(false),
                },
            );
            return;
        }
        state.stop(&node, component);
        if let Some(part) = state.machine(&node).parts.get_mut(&component) {
            part.files.insert(
                path,
                File {
                    digest,
                    mode: 0o755,
                },
            );
        }
        if let Some(row) = state.row_mut(component, &node) {
            row.patch_version = Some(package.to_string());
            row.setting = Some("active".to_owned());
        }
        state.start(&shared, &node, component);
    }
    sleep(TAKES).await;
    let mut state = shared.lock();
    let up = state.is_up(&node, component);
    let liar = state.faults.liar;
    state.tasks.insert(
        task,
        Task {
            success: Some(up != liar),
        },
    );
}

impl Publish for SimPublish {
    fn package<'a>(
        &'a self,
        _: Via,
        component: Component,
        _: Version,
        _: &'a Path,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Package, Fault>> {
        Box::pin(async move {
            sleep(Duration::from_millis(200)).await;
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            let mut packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
            let known = packages
                .iter()
                .find(|(_, d)| *d == digest)
                .map(|(id, _)| *id);
            let id = known.unwrap_or_else(|| {
                let id = 100 + i64::try_from(packages.len()).unwrap_or(0);
                packages.insert(id, *digest);
                id
            });
            Ok(Package {
                id,
                tgz: format!("tars.{component}_{id}.tgz"),
            })
        })
    }

    fn discard<'a>(
        &'a self,
        _: Via,
        _: Component,
        _: Version,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
            packages.remove(&package.id);
            Ok(())
        })
    }

    fn prepare<'a>(&'a self, _: Component, _: &'a Package) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            sleep(Duration::from_millis(300)).await;
            self.fault().map_or(Ok(()), |fault| Err(fault.text))
        })
    }

    fn begin<'a>(
        &'a self,
        _: Via,
        node: &'a NodeName,
        component: Component,
        package: &'a Package,
    ) -> BoxFuture<'a, Result<String, Fault>> {
        Box::pin(async move {
            sleep(Duration::from_millis(50)).await;
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            let digest = {
                let packages = self.packages.lock().unwrap_or_else(PoisonError::into_inner);
                packages.get(&package.id).copied()
            };
            let Some(digest) = digest else {
                return Err(Fault {
                    text: "there is no such package".to_owned(),
                    nothing_happened: true,
                });
            };
            let (task, liar) = {
                let mut state = self.shared.lock();
                state.writes(&self.run, "a publication");
                let task = format!("t{}", state.tasks.len() + 1);
                state.tasks.insert(task.clone(), Task { success: None });
                let liar = state.faults.liar && state.rng.bool();
                (task, liar)
            };
            tokio::spawn(carry_out(
                self.shared.clone(),
                node.clone(),
                component,
                digest,
                task.clone(),
                package.id,
            ));
            // "system error", and it is carried out all the same.
            if liar {
                return Err(Fault {
                    text: "system error".to_owned(),
                    nothing_happened: false,
                });
            }
            Ok(task)
        })
    }

    fn standing<'a>(&'a self, _: Via, task: &'a str) -> BoxFuture<'a, Result<Standing, String>> {
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            if let Some(fault) = self.fault() {
                return Err(fault.text);
            }
            let state = self.shared.lock();
            Ok(match state.tasks.get(task).and_then(|t| t.success) {
                None => Standing::Running,
                Some(success) => Standing::Final {
                    success,
                    words: if success { "succ" } else { "failed" }.to_owned(),
                },
            })
        })
    }

    fn notices<'a>(
        &'a self,
        _: Via,
        _: &'a NodeName,
        _: Component,
        _: Duration,
    ) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async { vec![] })
    }

    fn row<'a>(
        &'a self,
        node: &'a NodeName,
        component: Component,
    ) -> BoxFuture<'a, Option<ServerRow>> {
        Box::pin(async move {
            let state = self.shared.lock();
            if state.faults.database_is_down() {
                return None;
            }
            state.row(component, node).cloned()
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
            let mut state = self.shared.lock();
            if state.faults.database_is_down() || state.faults.read_only {
                return Err("the database takes no changes".to_owned());
            }
            state.writes(&self.run, "a version");
            let row = state
                .row_mut(component, node)
                .ok_or("there is no such row")?;
            let names = row.patch_version.as_deref() == Some(from);
            if names {
                row.patch_version = Some(to.to_owned());
            }
            Ok(names)
        })
    }

    fn turn(&self, what: &str) -> BoxFuture<'_, OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(what.to_owned()).or_default())
        };
        Box::pin(turn.lock_owned())
    }
}
