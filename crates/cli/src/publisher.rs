//! Publishing as an apply does it: through the management platform, or through tarspatch, the
//! database and AdminRegistry themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::civil::DateTime;
use tarsops_apply::publish::{Fault, Package, Publish, Standing};
use tarsops_model::component::Component;
use tarsops_model::desired::Rpc;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;
use tarsops_plan::action::{NewServers, Table, Via};
use tarsops_transport::calls::{Admin, Patch};
use tarsops_transport::console::{
    AdapterForm, Command, Console, DeployForm, ItemStatus, Notice, TaskForm, TaskFormItem, Upload,
};
use tarsops_transport::mysql::{Access, NewPatch};
use tarsops_transport::rpc::{CallError, RpcClient};
use tarsops_wire::Bytes;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{FileContent, TaskItemReq, TaskReq};
use tokio::sync::{OnceCell, OwnedMutexGuard};

use crate::watcher::Watcher;

/// How long a question or a statement may take.
const CALL: Duration = Duration::from_secs(10);
/// How long tarspatch may take to lay a package ready: AdminRegistry gives it as long
/// (`patch.prepare_patch_timeout`).
const PREPARE: Duration = Duration::from_secs(10);
/// Bytes of one part of an upload to tarspatch, as much as its own clients send.
const PART: usize = 1 << 20;
/// The application of the framework's servers.
const APPLICATION: &str = "tars";
/// Who publishes, in the framework's rows.
const USER: &str = "tarsops";

/// Reports are dated to the second.
const SECOND: Duration = Duration::from_secs(1);

type Known = Arc<OnceCell<Package>>;

/// Publishes by either way.
pub struct Publisher<'a> {
    watch: &'a Watcher,
    spool: PathBuf,
    packages: Mutex<BTreeMap<(Component, Version), Known>>,
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl<'a> Publisher<'a> {
    /// Publishes what `watch` can reach; archives are made in `spool`.
    pub fn new(watch: &'a Watcher, spool: &Path) -> Self {
        Self {
            watch,
            spool: spool.to_path_buf(),
            packages: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    fn console(&self) -> Result<&'a Console, String> {
        self.watch
            .console
            .as_ref()
            .ok_or_else(|| "the management platform cannot be used".to_owned())
    }

    fn database(&self) -> Option<&'a Access> {
        self.watch.database.as_ref()
    }

    fn admin(&self) -> Result<RpcClient, String> {
        let (node, at) = self
            .watch
            .desired
            .admin()
            .filter(|_| self.watch.desired.rpc != Rpc::Off)
            .ok_or_else(|| "there is no AdminRegistry to ask".to_owned())?;
        Ok(self.watch.ways.client(node, at))
    }

    fn patch(&self) -> Result<RpcClient, String> {
        let (node, at) = self
            .watch
            .desired
            .patch()
            .filter(|_| self.watch.desired.rpc != Rpc::Off)
            .ok_or_else(|| "there is no tarspatch to ask".to_owned())?;
        Ok(self.watch.ways.client(node, at))
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
            .map_err(|why| surely(format!("the archive of {component} cannot be made: {why}")))?;
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
            let all = self.console().ok()?;
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

    async fn upload(
        &self,
        component: Component,
        archive: &Path,
        comment: String,
    ) -> Result<Package, Fault> {
        let upload = Upload {
            application: APPLICATION.to_owned(),
            module_name: component.name().to_owned(),
            comment,
            path: archive.to_path_buf(),
        };
        let console = self.console().map_err(surely)?;
        // A package that nobody publishes does no harm, so none of its failures leaves a doubt.
        let uploaded = console
            .upload_patch_package(&upload)
            .await
            .map_err(|e| surely(format!("the platform does not take the package: {e}")))?;
        Ok(Package {
            id: uploaded.id,
            tgz: uploaded.tgz,
        })
    }

    async fn send(
        &self,
        component: Component,
        version: Version,
        archive: &Path,
        md5: String,
        comment: String,
    ) -> Result<Package, Fault> {
        let access = self
            .database()
            .ok_or_else(|| surely("the database cannot be used".to_owned()))?;
        let client = self.patch().map_err(surely)?;
        let patch = Patch::new(&client, CALL);
        let bytes = std::fs::read(archive)
            .map_err(|e| surely(format!("the archive of {component} cannot be read: {e}")))?;
        // A name of its own: what another upload left half done is not continued.
        let now = jiff::Timestamp::now().as_millisecond();
        let tgz = format!("{APPLICATION}.{component}_suse_{now}.tgz");
        let mut parts = bytes.chunks(PART).peekable();
        let mut first = true;
        while let Some(content) = parts.next() {
            let part = FileContent {
                md5: md5.clone(),
                name: tgz.clone(),
                first_chunk: first,
                last_chunk: parts.peek().is_none(),
                content: Bytes(content.to_vec()),
            };
            first = false;
            let there = patch
                .upload(APPLICATION, component.name(), &part)
                .await
                .map_err(|e| surely(format!("tarspatch does not take the package: {e}")))?;
            if there {
                break;
            }
        }
        let new = NewPatch {
            component,
            tgz: tgz.clone(),
            md5,
            version: version.to_string(),
            comment,
        };
        let id = access.add_patch(&new, CALL).await.map_err(|e| {
            surely(format!(
                "tarspatch has the package, and its row could not be written: {e}"
            ))
        })?;
        Ok(Package { id, tgz })
    }

    async fn lay_ready(&self, component: Component, tgz: &str) -> Result<(), String> {
        let client = self.patch()?;
        let patch = Patch::new(&client, PREPARE);
        let ready = patch.prepare(APPLICATION, component.name(), tgz).await;
        ready.map_err(|e| e.to_string())
    }

    async fn begin_at_console(
        &self,
        node: &NodeName,
        component: Component,
        package: &Package,
    ) -> Result<String, Fault> {
        let console = self.console().map_err(surely)?;
        let rows = console
            .server_nodes(APPLICATION, component.name())
            .await
            .map_err(|e| surely(e.to_string()))?;
        let row = rows
            .into_iter()
            .find(|r| r.node_name == node.as_str())
            .ok_or_else(|| {
                surely(format!(
                    "the management platform has no {component} on {node}"
                ))
            })?;
        let form = TaskForm {
            serial: true,
            elegant: false,
            eachnum: 1,
            items: vec![TaskFormItem {
                server_id: row.id,
                command: Command::Patch {
                    patch_id: package.id,
                    update_text: USER.to_owned(),
                },
            }],
        };
        console.add_task(&form).await.map_err(|e| Fault {
            nothing_happened: e.is_sure_that_nothing_happened(),
            text: e.to_string(),
        })
    }

    async fn begin_at_tars(
        &self,
        node: &NodeName,
        component: Component,
        package: &Package,
    ) -> Result<String, Fault> {
        let client = self.admin().map_err(surely)?;
        let number = format!(
            "tarsops{:x}{:x}",
            jiff::Timestamp::now().as_microsecond(),
            package.id
        );
        let parameters = [
            ("patch_id", package.id.to_string()),
            ("bak_flag", "0".to_owned()),
            ("update_text", USER.to_owned()),
        ];
        let parameters: Vec<(String, String)> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let item = TaskItemReq {
            task_no: number.clone(),
            item_no: format!("{number}1"),
            application: APPLICATION.to_owned(),
            server_name: component.name().to_owned(),
            node_name: node.to_string(),
            set_name: String::new(),
            command: "patch_tars".to_owned(),
            user_name: USER.to_owned(),
            parameters: Pairs(parameters),
        };
        let task = TaskReq {
            items: vec![item],
            task_no: number.clone(),
            serial: true,
            user_name: USER.to_owned(),
            elegant: false,
            each_num: 1,
        };
        match Admin::new(&client, CALL).add_task(&task).await {
            Ok(()) => Ok(number),
            Err(e @ (CallError::Refused { .. } | CallError::Unreachable { .. })) => {
                Err(surely(e.to_string()))
            }
            // Its number is ours, so it can be asked after whatever was answered.
            Err(e) => {
                tracing::debug!(%node, %component, "addTaskReq: {e}");
                Ok(number)
            }
        }
    }
}

const fn surely(text: String) -> Fault {
    Fault {
        text,
        nothing_happened: true,
    }
}

/// Makes the archive of a program, and gives its MD5.
fn pack(component: Component, binary: &Path, into: &Path) -> std::io::Result<String> {
    let program = File::open(binary)?;
    let size = program.metadata()?.len();
    let file = BufWriter::new(File::create(into)?);
    let file = tarsops_package::publishable(component.name(), program, size, file)?;
    file.into_inner()?.sync_all()?;
    let mut archive = File::open(into)?;
    let mut digest = md5::Context::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = archive.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.consume(&buffer[..read]);
    }
    Ok(format!("{:x}", digest.finalize()))
}

/// What reports say, newest first, as far as they may be of a publication that began `within` ago.
///
/// The platform tells them without a zone and cannot be asked since when, so they are only compared
/// with each other; and what is older than a success belongs to an earlier publication.
fn reported(rows: impl Iterator<Item = Notice>, within: Duration) -> Vec<String> {
    let mut newest: Option<DateTime> = None;
    let mut out = Vec::new();
    for row in rows {
        let when: Option<DateTime> = row.notifytime.parse().ok();
        newest = newest.or(when);
        let age = newest
            .zip(when)
            .map(|(newest, when)| newest.duration_since(when));
        let words = row.result.unwrap_or_default();
        let succeeded = words.starts_with("patch ") && words.contains(" succ, version");
        if age.is_some_and(|age| age.unsigned_abs() > within + SECOND) {
            break;
        }
        if !words.is_empty() && !words.contains("viewversion") {
            out.push(words);
        }
        if succeeded {
            break;
        }
    }
    out
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
                    let deleted = self.console()?.delete_patch_package(package.id).await;
                    deleted.map_err(|e| e.to_string())
                }
                Via::Tars => Err("there is no way to the database".to_owned()),
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
                    let told = self.console()?.task(task).await;
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
                    let client = self.admin()?;
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
            let (Via::Console, Ok(console)) = (via, self.console()) else {
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
            let facts = self
                .watch
                .watch
                .server(&self.watch.desired, node, component)
                .await;
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

/// Fills in the platform's deploy form from the rows that shall come; how many rows that were. The
/// form resets what is there, so it is asked for first.
///
/// # Errors
/// One lowercase clause.
pub async fn deploy(console: &Console, new: &NewServers) -> Result<u64, String> {
    let server = new
        .rows
        .iter()
        .find(|r| r.table == Table::TServerConf)
        .ok_or_else(|| "the form is of a whole server".to_owned())?;
    let text = |column| server.text(column).unwrap_or_default().to_owned();
    let (name, node) = (text("server_name"), new.node.to_string());
    let exists = console
        .server_exist(APPLICATION, &name, std::slice::from_ref(&node))
        .await
        .map_err(|e| e.to_string())?;
    if exists {
        return Err(format!(
            "the management platform has {name} on {node} already, and its form would reset it"
        ));
    }
    let mut adapters = Vec::new();
    for row in new.rows.iter().filter(|r| r.table == Table::TAdapterConf) {
        let servant = row.text("servant").unwrap_or_default();
        let endpoint = row.text("endpoint").unwrap_or_default();
        let after = |flag: &str| {
            let mut words = endpoint.split_whitespace();
            words.find(|word| *word == flag)?;
            words.next()
        };
        let number = |column| {
            let value = row.number(column).and_then(|n| u32::try_from(n).ok());
            value.ok_or_else(|| format!("the row of {servant} has no {column}"))
        };
        adapters.push(AdapterForm {
            node_name: node.clone(),
            obj_name: servant.rsplit('.').next().unwrap_or_default().to_owned(),
            bind_ip: after("-h").unwrap_or_default().to_owned(),
            port: after("-p")
                .and_then(|p| p.parse().ok())
                .ok_or_else(|| format!("the row of {servant} has no port"))?,
            port_type: "tcp".to_owned(),
            protocol: row.text("protocol").unwrap_or("tars").to_owned(),
            thread_num: number("thread_num")?,
            max_connections: number("max_connections")?,
            queuecap: number("queuecap")?,
            queuetimeout: number("queuetimeout")?,
        });
    }
    let form = DeployForm {
        application: APPLICATION.to_owned(),
        server_name: name,
        server_type: text("server_type"),
        template_name: text("template_name"),
        exe_path: text("exe_path"),
        operator: String::new(),
        developer: String::new(),
        adapters,
    };
    let done = console.deploy_server(&form).await;
    done.map_err(|e| e.to_string())?;
    Ok(new.rows.len() as u64)
}

#[cfg(test)]
mod tests;
