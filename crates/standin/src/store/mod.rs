//! What the stand-ins of tarsregistry and tarsAdminRegistry keep: tables of `db_tars`.
//!
//! Behind one small trait stand the real tables in MySQL ([`MySql`]) and, for machines without a
//! database server, a JSON file with a lock ([`JsonFile`]). What an operation does to the rows is
//! what the framework does to them (TarsFramework `RegistryServer/DbHandle.cpp`,
//! `AdminRegistryServer/DbProxy.cpp`). The store knows no protocol and answers nobody.

mod file;
mod mysql;
mod publish;
mod rows;

pub use file::{JsonFile, Tables};
pub use mysql::MySql;
pub use publish::{NoticeRow, PatchRow, Publications, TaskItemRow, TaskRow};
pub use rows::{AdapterRow, NodeRow, RegistryRow, ServerRow, TemplateRow};

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why the store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written; to whoever asks, the database is down.
    #[error("cannot access the tables in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database gave no answer in time.
    #[error("the database gave no answer in {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The database refused.
    #[error("the database failed")]
    Database(#[from] mysql_async::Error),
    /// A row holds something else than its table promises.
    #[error("a row of {table} cannot be read")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A row with this key is there already.
    #[error("{0} is there already")]
    Duplicate(String),
}

/// Where the tables are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// A JSON file, made when the cluster is made.
    File(PathBuf),
    /// A MySQL or MariaDB server that has the tables already.
    MariaDb {
        /// Where it listens.
        address: SocketAddr,
        /// The user.
        user: String,
        /// The user's password, in the clear: this is for servers that are thrown away.
        password: String,
        /// The name of the database, `db_tars`.
        name: String,
    },
}

impl Database {
    /// The store behind it. Nothing is asked yet.
    ///
    /// # Errors
    /// When no runtime for the database client can be made.
    pub fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(match self {
            Self::File(path) => Box::new(JsonFile::new(path)),
            Self::MariaDb {
                address,
                user,
                password,
                name,
            } => Box::new(MySql::new(
                &address.ip().to_string(),
                address.port(),
                user,
                password,
                name,
            )?),
        })
    }
}

/// A server on a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey {
    /// Application.
    pub application: String,
    /// Server.
    pub server: String,
    /// Node.
    pub node: String,
}

impl ServerKey {
    /// The server `server` of `application` on `node`.
    #[must_use]
    pub fn new(application: &str, server: &str, node: &str) -> Self {
        Self {
            application: application.to_owned(),
            server: server.to_owned(),
            node: node.to_owned(),
        }
    }
}

/// A change of one row of `t_server_conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What the server should be.
    Setting(String),
    /// What it is, and its process.
    Present(String, i64),
    /// The library version that it reported.
    Library(String),
    /// What was published, and by whom; the time is now.
    Patch(String, String),
    /// Whether it takes traffic.
    Flow(bool),
}

/// Tables of `db_tars`, with those of [`Publications`]. Rows come in the order of their numbers.
pub trait Store: Publications + Send + Sync {
    /// `t_node_info`.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn nodes(&self) -> Result<Vec<NodeRow>, StoreError>;
    /// `t_server_conf`.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn servers(&self) -> Result<Vec<ServerRow>, StoreError>;
    /// `t_adapter_conf`.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn adapters(&self) -> Result<Vec<AdapterRow>, StoreError>;
    /// `t_registry_info`, in the order of the endpoints.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn registries(&self) -> Result<Vec<RegistryRow>, StoreError>;
    /// `t_profile_template`.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn templates(&self) -> Result<Vec<TemplateRow>, StoreError>;

    /// Replace a node's row by what it says of itself: a new number, active now, label and group
    /// gone; only the name of its template stays. False, and nothing is changed, where an active
    /// node of that name has another `node_obj` (`DbHandle.cpp`, `registerNode`).
    ///
    /// # Errors
    /// A [`StoreError`].
    fn register_node(&self, node: &NodeRow) -> Result<bool, StoreError>;
    /// A node is alive: its row, if there is one, becomes active. How many rows that were.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn keep_alive(&self, node: &str, load: [f32; 3]) -> Result<u64, StoreError>;
    /// A node says that it stops: it and its servers are inactive.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn stop_node(&self, node: &str) -> Result<(), StoreError>;
    /// Nodes silent for longer than this are inactive, and their servers without a process.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn expire_nodes(&self, silence: Duration) -> Result<(), StoreError>;
    /// Write rows of `t_registry_info` as active now. With `renumber` each is deleted and made
    /// again, so that it gets a new number: AdminRegistry does that, tarsregistry does not.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn put_registries(&self, rows: &[RegistryRow], renumber: bool) -> Result<(), StoreError>;
    /// Registries silent for longer than this are inactive.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn expire_registries(&self, silence: Duration) -> Result<(), StoreError>;
    /// Change a server's row; nothing happens where there is none.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn set_server(&self, which: &ServerKey, change: &Change) -> Result<(), StoreError>;
    /// Write a row of `t_server_conf`.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] where it is there and is not to be replaced.
    fn insert_server(&self, row: &ServerRow, replace: bool) -> Result<(), StoreError>;
    /// Write a row of `t_adapter_conf`.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] where it is there and is not to be replaced.
    fn insert_adapter(&self, row: &AdapterRow, replace: bool) -> Result<(), StoreError>;
    /// Write a template if none has its name, as the installer does.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn insert_template(&self, row: &TemplateRow) -> Result<(), StoreError>;
    /// Delete a server's row and its adapters'.
    ///
    /// # Errors
    /// A [`StoreError`].
    fn delete_server(&self, which: &ServerKey) -> Result<(), StoreError>;
}
