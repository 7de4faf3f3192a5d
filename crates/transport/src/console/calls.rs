//! The calls, typed.

use std::io::SeekFrom;
use std::path::PathBuf;

use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::Instant;

use super::rows::Counted;
use super::{
    AdapterRow, Ask, Console, ConsoleError, DeployedServer, NodeRow, Notices, PatchRow, ServerRow,
    ServerState, Task, Template, Uploaded, Versions,
};
use tarsops_wire::interface::PING_SUCCEEDED;

/// Bytes that a package may have; the console answers more with an error page.
pub const MAX_PACKAGE: u64 = 100 << 20;

/// A server on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Which {
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// The node's name.
    pub node_name: String,
}

/// What `deploy_server` is told. Nothing of it is validated by the console: neither that the node
/// or the template exists nor that the port is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeployForm {
    /// The application.
    pub application: String,
    /// The server's name.
    pub server_name: String,
    /// `tars_cpp` for all of the framework's.
    pub server_type: String,
    /// The template.
    pub template_name: String,
    /// Where its binary is; empty for tarsnode's own place.
    pub exe_path: String,
    /// Who may operate it, by semicolons.
    pub operator: String,
    /// Who may develop it, by semicolons.
    pub developer: String,
    /// Its adapters. A row of a server is written for each node that is named here.
    pub adapters: Vec<AdapterForm>,
}

/// An adapter in a [`DeployForm`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdapterForm {
    /// The node's name.
    pub node_name: String,
    /// The servant's last name, such as `StatObj`.
    pub obj_name: String,
    /// Where it listens.
    pub bind_ip: String,
    /// The port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub port_type: String,
    /// `tars` or `not_tars`.
    pub protocol: String,
    /// Threads.
    pub thread_num: u32,
    /// Connections at most.
    pub max_connections: u32,
    /// Calls that may wait. The console fails without it.
    pub queuecap: u32,
    /// How long they may wait, in milliseconds. The console fails without it.
    pub queuetimeout: u32,
}

/// What `update_server` is told: all that it writes. Of these fields a missing one fails, or counts
/// as a yes, so all are sent. One that is none is sent as null, which leaves the column as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerUpdate {
    /// The row's number.
    pub id: i64,
    /// Whether it is a backup.
    #[serde(rename = "isBak")]
    pub is_bak: bool,
    /// The template.
    pub template_name: Option<String>,
    /// `tars_cpp` and others.
    pub server_type: Option<String>,
    /// Whether it belongs to a set.
    pub enable_set: bool,
    /// The set's name.
    pub set_name: Option<String>,
    /// The set's area.
    pub set_area: Option<String>,
    /// The set's group; a number or `*` where it belongs to a set.
    pub set_group: Option<String>,
    /// Threads for calls whose answers are awaited.
    pub async_thread_num: Option<i64>,
    /// Where it works.
    pub base_path: Option<String>,
    /// Where its binary is.
    pub exe_path: Option<String>,
    /// The script that starts it.
    pub start_script_path: Option<String>,
    /// The script that stops it.
    pub stop_script_path: Option<String>,
    /// The script that watches it.
    pub monitor_script_path: Option<String>,
    /// The configuration of this one server.
    pub profile: Option<String>,
    /// Whether it belongs to a group of addresses.
    pub enable_group: bool,
    /// The group's name; the console empties it where it belongs to none.
    pub ip_group_name: Option<String>,
    /// How it runs.
    pub run_type: Option<String>,
    /// The image it runs in.
    pub base_image_id: Option<i64>,
}

impl From<&ServerRow> for ServerUpdate {
    /// An update that changes nothing.
    fn from(row: &ServerRow) -> Self {
        let row = row.clone();
        Self {
            id: row.id,
            is_bak: row.bak_flag,
            template_name: row.template_name,
            server_type: row.server_type,
            enable_set: row.enable_set,
            set_name: row.set_name,
            set_area: row.set_area,
            set_group: row.set_group,
            async_thread_num: row.async_thread_num,
            base_path: row.base_path,
            exe_path: row.exe_path,
            start_script_path: row.start_script_path,
            stop_script_path: row.stop_script_path,
            monitor_script_path: row.monitor_script_path,
            profile: row.profile,
            enable_group: row.enable_group,
            ip_group_name: row.ip_group_name,
            run_type: row.run_type,
            base_image_id: row.base_image_id,
        }
    }
}

/// A package to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The application.
    pub application: String,
    /// The server's name.
    pub module_name: String,
    /// What is written beside it.
    pub comment: String,
    /// The archive. The console takes anything; what is in it is to be judged before.
    pub path: PathBuf,
}

/// What a server is told by a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `patch_tars`: the package is put in place and the server restarted; it is active afterwards,
    /// also if it was not before.
    Patch {
        /// The package's number.
        patch_id: i64,
        /// What is written beside it.
        update_text: String,
    },
    /// `start`, which also sets the server active.
    Start,
    /// `stop`, which also sets the server inactive, even where it fails.
    Stop,
    /// `restart`.
    Restart,
    /// `undeploy_tars`: the server is stopped and its rows are deleted.
    Undeploy,
}

/// A part of a [`TaskForm`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFormItem {
    /// The number of the server's row, read just before.
    pub server_id: i64,
    /// What it is told.
    pub command: Command,
}

/// What `add_task` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskForm {
    /// Whether one item waits for the one before, and is not tried where that failed.
    pub serial: bool,
    /// Whether calls are led away from a server before it is restarted.
    pub elegant: bool,
    /// How many at a time are, if so.
    pub eachnum: u32,
    /// The items, at least one. Two different packages of one server must never run at once, even on
    /// different nodes.
    pub items: Vec<TaskFormItem>,
}

impl TaskForm {
    fn body(&self) -> Value {
        let item = |item: &TaskFormItem| {
            let (command, parameters) = match &item.command {
                Command::Patch {
                    patch_id,
                    update_text,
                } => (
                    "patch_tars",
                    json!({ "patch_id": patch_id, "bak_flag": 0, "update_text": update_text }),
                ),
                Command::Start => ("start", json!({})),
                Command::Stop => ("stop", json!({})),
                Command::Restart => ("restart", json!({})),
                Command::Undeploy => ("undeploy_tars", json!({})),
            };
            json!({ "server_id": item.server_id, "command": command, "parameters": parameters })
        };
        json!({
            "serial": self.serial,
            "elegant": self.elegant,
            "eachnum": self.eachnum,
            "items": self.items.iter().map(item).collect::<Vec<_>>(),
        })
    }
}

/// The calls, in the order in which one would make them. Each is named as the console names it.
impl Console {
    /// The versions of the console and of the framework. The one call that needs no ticket, has no
    /// envelope, and is not under `/api`. It fails with a page while AdminRegistry is silent, after
    /// up to 30 s.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn web_version(&self) -> Result<Versions, ConsoleError> {
        let ask = Ask {
            under: "",
            ..Ask::get("web_version", Vec::new())
        };
        let body = self.ask(&ask).await?;
        self.read(ask.name, &body)
    }

    /// Whether the database has the server on any of the nodes.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn server_exist(
        &self,
        application: &str,
        server_name: &str,
        node_names: &[String],
    ) -> Result<bool, ConsoleError> {
        // A list: of a text the console would ask whether the node's name is a part of it.
        let body = json!({
            "application": application,
            "server_name": server_name,
            "node_names": node_names,
        });
        self.call(Ask::post("server_exist", body).that_reads())
            .await
    }

    /// The rows of a server, one for each node. No rows and no error mean that there are none: this
    /// call fails where the database does.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn server_nodes(
        &self,
        application: &str,
        server_name: &str,
    ) -> Result<Vec<ServerRow>, ConsoleError> {
        let query = vec![("application", application), ("server_name", server_name)];
        self.call(Ask::get("server_nodes", query)).await
    }

    /// The adapters of the server whose row has the number `server_id`.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn adapter_conf_list(&self, server_id: i64) -> Result<Vec<AdapterRow>, ConsoleError> {
        let id = server_id.to_string();
        self.call(Ask::get("adapter_conf_list", vec![("id", &id)]))
            .await
    }

    /// What the nodes say of servers, in the order asked.
    ///
    /// # Errors
    /// A [`ConsoleError`]. A node that does not answer is none, but stands in the answer.
    pub async fn server_state(&self, of: &[Which]) -> Result<Vec<ServerState>, ConsoleError> {
        let name = "server_state";
        // POST, although it only reads: GET is answered with 405.
        let ask = Ask::post(name, json!({ "queryState": of })).that_reads();
        let said: Vec<ServerState> = self.call(ask).await?;
        let same = |(said, asked): (&ServerState, &Which)| {
            said.application == asked.application
                && said.server_name == asked.server_name
                && said.node_name == asked.node_name
        };
        if said.len() != of.len() || !said.iter().zip(of).all(same) {
            return Err(self.garbled(name, "it is about other servers than was asked"));
        }
        Ok(said)
    }

    /// Writes the rows of a server and its adapters, inactive; nothing is started. **Over a server that
    /// exists it is an outage**: states, process number, package and configuration are reset, and it
    /// leaves name resolution while its process runs on. [`Console::server_exist`] comes first.
    ///
    /// # Errors
    /// A [`ConsoleError`]. It is never repeated.
    pub async fn deploy_server(
        &self,
        form: &DeployForm,
    ) -> Result<Vec<DeployedServer>, ConsoleError> {
        #[derive(serde::Deserialize)]
        struct Deployed {
            server_conf: Vec<DeployedServer>,
        }
        let name = "deploy_server";
        let mut body =
            serde_json::to_value(form).map_err(|e| self.garbled(name, &e.to_string()))?;
        // What the console's own page sends, and nobody here has a use for.
        body["enable_set"] = json!(false);
        for key in ["set_name", "set_area", "set_group"] {
            body[key] = json!("");
        }
        for adapter in body["adapters"].as_array_mut().into_iter().flatten() {
            adapter["allow_ip"] = json!("");
            adapter["handlegroup"] = json!("");
            adapter["auth"] = json!(0);
        }
        let deployed: Deployed = self.call(Ask::post(name, body)).await?;
        Ok(deployed.server_conf)
    }

    /// Writes a server's row, and gives it as it is afterwards. The server learns of it when it is
    /// started the next time.
    ///
    /// # Errors
    /// A [`ConsoleError`]. It is never repeated.
    pub async fn update_server(&self, update: &ServerUpdate) -> Result<ServerRow, ConsoleError> {
        let name = "update_server";
        let body = serde_json::to_value(update).map_err(|e| self.garbled(name, &e.to_string()))?;
        self.call(Ask::post(name, body)).await
    }

    /// Uploads a package. Each upload is a new row, also of the same file, and becomes the default; an
    /// unknown server is no error. The file is read twice: for its digest, and when it is sent.
    ///
    /// # Errors
    /// A [`ConsoleError`]; [`ConsoleError::File`] for a file that cannot be read, is empty, which the
    /// console would take, or too large, which it would not. It is never repeated.
    pub async fn upload_patch_package(&self, upload: &Upload) -> Result<Uploaded, ConsoleError> {
        let name = "upload_patch_package";
        let until = Instant::now() + self.upload_deadline;
        let file_error = |why: String| ConsoleError::File {
            path: upload.path.clone(),
            why,
        };
        let (file, size, md5) = opened(&upload.path).await.map_err(file_error)?;
        let part = Part::stream_with_length(Body::from(file), size)
            .file_name(format!("{}.tgz", upload.module_name))
            .mime_str("application/x-compressed-tar")
            .map_err(|e| file_error(super::deepest(&e)))?;
        let form = Form::new()
            .text("application", upload.application.clone())
            .text("module_name", upload.module_name.clone())
            .text("md5", md5)
            .text("comment", upload.comment.clone())
            .part("suse", part);
        let ask = Ask {
            body: None,
            ..Ask::post(name, Value::Null)
        };
        let request = self.request(&ask).multipart(form);
        let body = self
            .send(name, request, until, self.upload_deadline)
            .await?;
        self.data(name, &body)
    }

    /// The packages of a server, newest first.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn server_patch_list(
        &self,
        application: &str,
        module_name: &str,
    ) -> Result<Vec<PatchRow>, ConsoleError> {
        let query = vec![("application", application), ("module_name", module_name)];
        self.listed(Ask::get("server_patch_list", query)).await
    }

    /// Makes a package the default of its server. No means that there is no such package; then the
    /// server has no default any more.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn set_patch_package_default(
        &self,
        id: i64,
        application: &str,
        module_name: &str,
    ) -> Result<bool, ConsoleError> {
        let body = json!({ "id": id, "application": application, "module_name": module_name });
        let changed: Vec<i64> = self
            .call(Ask::post("set_patch_package_default", body))
            .await?;
        Ok(changed.iter().any(|rows| *rows > 0))
    }

    /// Deletes a package and its file, also one that runs and one that is not there, without a word.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn delete_patch_package(&self, id: i64) -> Result<(), ConsoleError> {
        let ask = Ask::post("delete_patch_package", json!({ "id": id }));
        self.call::<Value>(ask).await.map(drop)
    }

    /// Begins a task, and gives its number at once, whatever becomes of it. What is told of it by
    /// [`Console::task`] is not what happened: the binaries tell that.
    ///
    /// # Errors
    /// A [`ConsoleError`]. It is never repeated, and after most errors it may be carried out all the
    /// same, see [`ConsoleError::is_sure_that_nothing_happened`].
    pub async fn add_task(&self, task: &TaskForm) -> Result<String, ConsoleError> {
        self.call(Ask::post("add_task", task.body())).await
    }

    /// How a task stands. Only tasks with a package are kept when AdminRegistry restarts; of others it
    /// then says "system error", as of one that never was.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn task(&self, task_no: &str) -> Result<Task, ConsoleError> {
        let name = "task";
        let task: Task = self
            .call(Ask::get(name, vec![("task_no", task_no)]))
            .await?;
        if task.task_no != task_no {
            return Err(self.garbled(name, "it is about another task than was asked"));
        }
        Ok(task)
    }

    /// What a server and its nodes have reported, newest first: where the cause of a failed
    /// publication stands. Pages count from 1.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn server_notify_list(
        &self,
        application: &str,
        server_name: &str,
        page: u32,
        page_size: u32,
    ) -> Result<Notices, ConsoleError> {
        // The name of the server's place in the console's tree: 1 is an application, 5 a server.
        let place = format!("1{application}.5{server_name}");
        let (page, page_size) = (page.to_string(), page_size.to_string());
        let query = vec![
            ("tree_node_id", place.as_str()),
            ("curr_page", &page),
            ("page_size", &page_size),
        ];
        self.call(Ask::get("server_notify_list", query)).await
    }

    /// All nodes that the database has.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn list_tars_node(&self) -> Result<Vec<NodeRow>, ConsoleError> {
        self.listed(Ask::get("list_tars_node", Vec::new())).await
    }

    /// Whether the node answers AdminRegistry now. No is also what is said when AdminRegistry is silent.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn check_tars_node(&self, node_name: &str) -> Result<bool, ConsoleError> {
        let said: Value = self
            .call(Ask::get("check_tars_node", vec![("node_name", node_name)]))
            .await?;
        Ok(said == PING_SUCCEEDED)
    }

    /// The template of exactly that name.
    ///
    /// # Errors
    /// A [`ConsoleError`].
    pub async fn query_profile_template(
        &self,
        template_name: &str,
    ) -> Result<Option<Template>, ConsoleError> {
        let query = vec![("template_name", template_name)];
        let like: Vec<Template> = self.call(Ask::get("query_profile_template", query)).await?;
        // The console searches for names that contain it.
        Ok(like.into_iter().find(|t| t.template_name == template_name))
    }

    /// All rows of a list that was asked for without pages.
    async fn listed<T: serde::de::DeserializeOwned>(
        &self,
        ask: Ask<'_>,
    ) -> Result<Vec<T>, ConsoleError> {
        let name = ask.name;
        let Counted { count, rows } = self.call(ask).await?;
        if rows.len() < count {
            let why = format!("it counts {count} rows and has {}", rows.len());
            return Err(self.garbled(name, &why));
        }
        Ok(rows)
    }
}

/// An archive, open at its start, with its size and the digest of what is in it.
async fn opened(path: &std::path::Path) -> Result<(File, u64, String), String> {
    let mut file = File::open(path).await.map_err(|e| e.to_string())?;
    let meta = file.metadata().await.map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut digest = md5::Context::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer).await.map_err(|e| e.to_string())?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > MAX_PACKAGE {
            return Err(format!("it has more than {MAX_PACKAGE} bytes"));
        }
        digest.consume(&buffer[..read]);
    }
    if size == 0 {
        return Err("it is empty".to_owned());
    }
    file.seek(SeekFrom::Start(0))
        .await
        .map_err(|e| e.to_string())?;
    Ok((file, size, format!("{:x}", digest.finalize())))
}
