//! The framework's database: reading what the cluster is, in three states.
//!
//! What is read is present, *proven* absent, or unknown. A lost connection, a privilege that is
//! missing, a table that cannot be seen and an empty answer are never absence: the one decision that
//! would destroy a cluster is to believe that it has no database. All tables are read from one
//! snapshot. Columns differ between releases and after the management platform has started once, so
//! columns that are missing are none and those that are more are not asked for.
//!
//! The password is in no message, no argument and no log; it goes into the connection and nowhere
//! else.

mod backup;
mod bounded;
mod change;
mod edit;
mod frames;
mod guard;
mod insert;
mod kept;
mod known;
mod link;
mod login;
mod patches;
mod peer;
mod relay;
mod rows;
mod templates;

pub use backup::{BackupError, Dump, Tool};
pub use bounded::{BYTES, ROWS};
pub use change::{Which, WholeRow};
pub use edit::{Edited, Edition};
pub use insert::{Insertion, NewValue};
pub use kept::{Owner, SavedRowError};
pub use known::{FINGERPRINT, KnownError, KnownServers};
pub use link::Link;
pub use patches::{NewPatch, Patched};
pub use templates::{Decide, NewText, TemplateText, WriteError};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder};
use tarsops_model::desired::Tls;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{
    DATABASES, DatabaseFacts, NodeRow, Protection, RegistryRow, ServerRow,
};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tokio::time::Instant;

use crate::rpc::Route;

/// The account that the framework's installer makes (`deploy/tars-install.sh`).
pub const INSTALLER_USER: &str = "tarsAdmin";
/// And its password, which everybody knows.
const INSTALLER_PASSWORD: &str = "Tars@2019";
/// Results of a server for a user or password that it does not take: `ER_ACCESS_DENIED_ERROR`,
/// `ER_ACCESS_DENIED_NO_PASSWORD_ERROR` for an account that no password opens,
/// `ER_ACCOUNT_HAS_BEEN_LOCKED` as MySQL and MariaDB number it, `ER_HOST_NOT_PRIVILEGED` and
/// `ER_HOST_IS_BLOCKED` for the address that we come from, and `ER_MUST_CHANGE_PASSWORD` and
/// `ER_MUST_CHANGE_PASSWORD_LOGIN` for a password that has expired.
const ACCESS_DENIED: [u16; 8] = [1045, 1698, 3118, 4151, 1130, 1129, 1820, 1862];

/// Results for a user who may log in and not do this: `ER_DBACCESS_DENIED_ERROR`,
/// `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`,
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
const NO_RIGHT: [u16; 4] = [1044, 1142, 1143, 1227];
/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const HELD: [u16; 2] = [1205, 1213];

/// `ER_OPTION_PREVENTS_STATEMENT`, which other options give, too, and `ER_READ_ONLY_MODE`.
fn is_closed(e: &mysql_async::ServerError) -> bool {
    e.code == 1290 && e.message.contains("read-only") || e.code == 1836
}

/// `ER_DISK_FULL` and `ER_RECORD_FILE_FULL`, and files that cannot be written for `ENOSPC`.
fn is_full(e: &mysql_async::ServerError) -> bool {
    [1021, 1114].contains(&e.code) || e.message.contains("No space left on device")
}

/// After how many idle seconds the client library takes a connection for lost; ours never idle.
const IDLE: usize = 28_800;
/// How many bytes one question may be answered with, on the wire: twice what its values may have
/// ([`BYTES`]).
const ANSWER: u64 = 2 * BYTES as u64;

/// What every connection of ours relies on, whatever the server's own settings and its `init_connect` say:
/// how texts are encoded and quoted, that a value which does not fit is an error, and that statements
/// take effect when they are done. Heartbeats are written in the server's own time zone, so ours is that
/// one.
const PINNED: &str = "SET NAMES utf8mb4, \
    SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', \
    SESSION time_zone = @@GLOBAL.time_zone, SESSION autocommit = 1, \
    SESSION completion_type = 'NO_CHAIN', SESSION sql_safe_updates = 0, \
    SESSION sql_select_limit = 18446744073709551615, SESSION foreign_key_checks = 1, \
    SESSION unique_checks = 1, SESSION sql_quote_show_create = 1";

/// How long the server waits for locks at most, in seconds, so that the server does not continue after us.
fn lock_wait(deadline: Duration) -> u64 {
    (deadline.as_secs() / 2).clamp(1, 10)
}

/// Has the server give up waiting for tables and rows that somebody holds, before we do.
async fn bound_waits(conn: &mut Conn, deadline: Duration) -> Result<(), mysql_async::Error> {
    let wait = lock_wait(deadline);
    conn.query_drop(format!(
        "SET SESSION lock_wait_timeout = {wait}, SESSION innodb_lock_wait_timeout = {wait}"
    ))
    .await
}

/// Waits a moment if the server has ended a transaction for another one's sake (1213), and all of it:
/// it may be begun again then. Whether it did.
async fn again_after(error: &mysql_async::Error) -> bool {
    const DEADLOCK: u16 = 1213;
    let again = matches!(error, mysql_async::Error::Server(e) if e.code == DEADLOCK);
    if again {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    again
}

/// A secret that shows in no message.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How the database is reached.
#[derive(Clone)]
pub struct Access {
    /// Where it listens.
    pub address: Endpoint,
    /// Whether and how the connection is encrypted.
    pub tls: Tls,
    /// Digest of the server's public key (SPKI), if the spec has it.
    pub fingerprint: Option<Digest>,
    /// Where keys of servers are remembered; without it a server that neither the spec's fingerprint
    /// nor its authority proves is refused TLS.
    pub known: Option<KnownServers>,
    /// Directly, or through a node.
    pub way: Route,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

/// A server's key that is not the one of the file of known servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// Digest of the key that it had.
    pub known: Digest,
    /// Digest of the key that it shows.
    pub offered: Digest,
    /// The file of known servers.
    pub file: PathBuf,
    /// The line of the server there, from 1.
    pub line: usize,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it shows sha256:{}, and {} line {} has sha256:{}",
            self.offered,
            self.file.display(),
            self.line,
            self.known
        )
    }
}

/// Why the database could not be used; one lowercase clause.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It did not answer in time.
    #[error("the database {0} gave no answer in time")]
    TimedOut(Endpoint),
    /// There is no way to it.
    #[error("the database {at} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        at: Endpoint,
        /// Why.
        why: String,
    },
    /// It does not take our user or password.
    #[error("the database {at} does not let {user} in: {why}")]
    Denied {
        /// Where.
        at: Endpoint,
        /// Who.
        user: String,
        /// Its words.
        why: String,
    },
    /// It offers no TLS, and the spec requires it.
    #[error(
        "the database {0} offers no TLS, which the spec requires; set up TLS there, or change `database`"
    )]
    NoTls(Endpoint),
    /// It offers no TLS, and did before.
    #[error(
        "the database {at} offers no TLS and did before ({} line {line}): somebody may be in between; if TLS was switched off there, remove that line", .file.display()
    )]
    Downgraded {
        /// Where.
        at: Endpoint,
        /// The file of known servers.
        file: PathBuf,
        /// The line of the server there.
        line: usize,
    },
    /// It has another key than before.
    #[error(
        "the database {at} has another key than before: {change}; somebody may be in between; if its key was changed, compare the new one on the server and remove that line"
    )]
    KeyChanged {
        /// Where.
        at: Endpoint,
        /// Which key it had and which it shows.
        change: Box<KeyChange>,
    },
    /// It has another key than the spec says.
    #[error(
        "the database {at} has the key sha256:{offered}, and `database.fingerprint` is sha256:{wanted}; somebody may be in between; if its key was changed, compare the new one on the server and change the spec"
    )]
    WrongKey {
        /// Where.
        at: Endpoint,
        /// Digest of the key of the spec.
        wanted: Digest,
        /// Digest of the key that it shows.
        offered: Digest,
    },
    /// Its key cannot be remembered.
    #[error(
        "the database {at} shows the key sha256:{offered}, which nothing here can remember; compare it on the server and set `database.fingerprint`, or set HOME"
    )]
    NoMemory {
        /// Where.
        at: Endpoint,
        /// Digest of the key that it shows.
        offered: Digest,
    },
    /// The keys of known servers cannot be relied on.
    #[error("the keys of known databases cannot be used: {0}")]
    Known(KnownError),
    /// It does not prove who it is.
    #[error(
        "the database {at} does not prove its identity: {why}; see its certificate, and `database.ca` if the spec has it"
    )]
    NoProof {
        /// Where.
        at: Endpoint,
        /// Why.
        why: String,
    },
    /// Its certificate is not valid at this time.
    #[error(
        "the certificate of the database {at} is not valid now: {why}; renew it there, compare the clock of this machine, or pin the key with `database.fingerprint: sha256:{offered}` in place of `ca`, once compared on the server"
    )]
    Expired {
        /// Where.
        at: Endpoint,
        /// Since or until when.
        why: String,
        /// Digest of the key that it shows.
        offered: Digest,
    },
    /// Its certificate is not from the authority of the spec.
    #[error(
        "the certificate of the database {at} is not from the authority in `database.ca`; name the file of the authority that issued it, or pin the key with `database.fingerprint: sha256:{offered}` in place of `ca`, once compared on the server"
    )]
    ForeignAuthority {
        /// Where.
        at: Endpoint,
        /// Digest of the key that it shows.
        offered: Digest,
    },
    /// Its certificate is another server's.
    #[error(
        "the certificate of the database {at} is for another name: {why}; use a name of the certificate in `database.address`, or pin the key with `database.fingerprint: sha256:{offered}` in place of `ca`, once compared on the server"
    )]
    OtherName {
        /// Where.
        at: Endpoint,
        /// Which names it has.
        why: String,
        /// Digest of the key that it shows.
        offered: Digest,
    },
    /// It and we have no version of TLS in common.
    #[error(
        "no TLS can be agreed on with the database {at}: {why}; tarsops speaks TLS 1.2 and 1.3: see `tls_version` and `ssl_cipher` there; `database.tls: none` connects without TLS, and then others can read the connection"
    )]
    NoCommonTls {
        /// Where.
        at: Endpoint,
        /// Why.
        why: String,
    },
    /// Its account needs a kind of login that we do not have.
    #[error(
        "the account {user} of the database {at} logs in by {plugin}, which tarsops does not have; use an account with ed25519 (MariaDB), caching_sha2_password (MySQL) or mysql_native_password"
    )]
    NoPlugin {
        /// Where.
        at: Endpoint,
        /// Who.
        user: String,
        /// The plugin, as the server calls it.
        plugin: String,
    },
    /// Its answer has a form that we do not know.
    #[error(
        "the answer of the database {at} is not understood: {why}; please report it with the version of the server"
    )]
    NotUnderstood {
        /// Where.
        at: Endpoint,
        /// What failed.
        why: String,
    },
    /// It asks for the password in a form that others can read.
    #[error(
        "the database {at} asks for the password {how}, which is refused: an attacker on the network could read it; set up TLS there, or use an account with mysql_native_password"
    )]
    Exposed {
        /// Where.
        at: Endpoint,
        /// In which form.
        how: String,
    },
    /// It does not speak the protocol of a database.
    #[error("the server at {at} is no database that tarsops knows: it {why}")]
    Protocol {
        /// Where.
        at: Endpoint,
        /// What it does.
        why: String,
    },
    /// Its answer is larger than it may be.
    #[error(
        "the database {at} sends too much: its answer about {about} has more than {limit}; see what fills it"
    )]
    TooMuch {
        /// Where.
        at: Endpoint,
        /// What it was asked for.
        about: String,
        /// How much it may say.
        limit: String,
    },
    /// The certificate by which it is to prove itself cannot be read here.
    #[error("the authority's certificate {} for the database {at} cannot be read: {why}", .ca.display())]
    NoAuthority {
        /// Where.
        at: Endpoint,
        /// The file.
        ca: PathBuf,
        /// Why.
        why: String,
    },
    /// It lets our user in, and not do this.
    #[error("the database {at} does not let {user} do this: {why}; grant it")]
    NoRight {
        /// Where.
        at: Endpoint,
        /// Who.
        user: String,
        /// Its words.
        why: String,
    },
    /// It takes no changes.
    #[error(
        "the database {at} takes no changes: {why}; name the primary in `database.address`, or end the read-only state"
    )]
    ReadOnly {
        /// Where.
        at: Endpoint,
        /// Its words.
        why: String,
    },
    /// Its disk is full.
    #[error("the database {at} has no space: {why}; free space on its disk")]
    Full {
        /// Where.
        at: Endpoint,
        /// Its words.
        why: String,
    },
    /// Somebody else holds what is to be read or changed.
    #[error(
        "another session locks a table or a row of the database {at}: {why}; `SHOW FULL PROCESSLIST` there shows which"
    )]
    Held {
        /// Where.
        at: Endpoint,
        /// Its words.
        why: String,
    },
    /// Something else.
    #[error("the database {at} failed: {why}")]
    Failed {
        /// Where.
        at: Endpoint,
        /// Its words.
        why: String,
    },
}

impl From<KnownError> for DatabaseError {
    fn from(error: KnownError) -> Self {
        Self::Known(error)
    }
}

impl Access {
    /// To the relay's socket, which alone speaks with the server.
    fn options(&self, socket: &std::path::Path) -> Opts {
        OptsBuilder::default()
            .socket(Some(socket.to_string_lossy()))
            .user(Some(&self.user))
            .pass(Some(self.password.expose()))
            // Otherwise the server would be asked for both, and choose how much we take.
            .max_allowed_packet(Some(frames::PACKET))
            .wait_timeout(Some(IDLE))
            .prefer_socket(false)
            .into()
    }

    fn error(&self, error: &mysql_async::Error) -> DatabaseError {
        use mysql_async::{Error, IoError};
        let at = self.address.clone();
        match error {
            Error::Server(e) if ACCESS_DENIED.contains(&e.code) => DatabaseError::Denied {
                at,
                user: self.user.clone(),
                why: e.message.clone(),
            },
            Error::Server(e) if NO_RIGHT.contains(&e.code) => DatabaseError::NoRight {
                at,
                user: self.user.clone(),
                why: e.message.clone(),
            },
            Error::Server(e) if is_closed(e) => DatabaseError::ReadOnly {
                at,
                why: e.message.clone(),
            },
            Error::Server(e) if is_full(e) => DatabaseError::Full {
                at,
                why: e.message.clone(),
            },
            Error::Server(e) if HELD.contains(&e.code) => DatabaseError::Held {
                at,
                why: e.message.clone(),
            },
            Error::Other(other) => {
                if let Some(much) = other.downcast_ref::<bounded::TooMuch>() {
                    DatabaseError::TooMuch {
                        at,
                        about: much.about.clone(),
                        limit: much.limit.clone(),
                    }
                } else if let Some(panicked) = other.downcast_ref::<guard::Panicked>() {
                    DatabaseError::NotUnderstood {
                        at,
                        why: panicked.to_string(),
                    }
                } else {
                    DatabaseError::Failed {
                        at,
                        why: other.to_string(),
                    }
                }
            }
            Error::Driver(mysql_async::DriverError::UnknownAuthPlugin { name }) => {
                DatabaseError::NoPlugin {
                    at,
                    user: self.user.clone(),
                    plugin: name.clone(),
                }
            }
            // What the client library itself says of packets.
            Error::Io(IoError::Io(e)) if e.kind() == io::ErrorKind::Other => {
                DatabaseError::Protocol {
                    at,
                    why: format!(
                        "sends what is not taken: {e} (a packet has at most {} MiB)",
                        frames::PACKET >> 20
                    ),
                }
            }
            Error::Io(e) => DatabaseError::Unreachable {
                at,
                why: e.to_string(),
            },
            other => DatabaseError::Failed {
                at,
                why: other.to_string(),
            },
        }
    }

    /// Opens a connection; what protects it is beside it.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn connect(&self, deadline: Duration) -> Result<(Link, Protection), DatabaseError> {
        self.open(deadline, Some(ANSWER)).await
    }

    /// As [`Self::connect`], with no limit for what one question is answered with.
    async fn connect_for_a_dump(
        &self,
        deadline: Duration,
    ) -> Result<(Link, Protection), DatabaseError> {
        self.open(deadline, None).await
    }

    async fn open(
        &self,
        deadline: Duration,
        answer: Option<u64>,
    ) -> Result<(Link, Protection), DatabaseError> {
        let open = async {
            let mut entrance = relay::open(self, deadline, answer).await?;
            let options = self.options(&entrance.socket);
            let conn = guard::caught(async {
                let mut conn = Conn::new(options).await?;
                conn.query_drop(PINNED).await?;
                Ok::<_, mysql_async::Error>(conn)
            });
            let conn = conn.await;
            match (conn, entrance.outcome().await) {
                (_, Err(Some(refused))) => Err(refused),
                (Ok(conn), Ok(by)) => Ok((Link::new(conn, entrance.relay), by)),
                (Err(e), Ok(_) | Err(None)) => Err(self.error(&e)),
                (Ok(_), Err(None)) => Err(DatabaseError::Unreachable {
                    at: self.address.clone(),
                    why: "the relay to it ended".to_owned(),
                }),
            }
        };
        tokio::time::timeout(deadline, open)
            .await
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
    }

    /// Reads everything that tarsops knows of the database. `now` is the control machine's clock in
    /// seconds since 1970; `try_default` also tries the installer's account. All of it together takes
    /// no longer than `deadline`.
    ///
    /// # Errors
    /// A [`DatabaseError`]; then nothing is known, least of all that anything is absent.
    pub async fn read(
        &self,
        now: &(dyn Fn() -> i64 + Sync),
        try_default: bool,
        deadline: Duration,
    ) -> Result<DatabaseFacts, DatabaseError> {
        let until = Instant::now() + deadline;
        let (mut conn, by) = self.connect(deadline).await?;
        let reading = async {
            let asked = now();
            let (clock, server): (i64, String) = conn
                .query_first("SELECT CAST(UNIX_TIMESTAMP() AS SIGNED), VERSION()")
                .await?
                .ok_or_else(|| mysql_async::Error::Other("it has no clock".into()))?;
            let clock_skew = skew(clock, asked, now());
            let read_only = is_read_only(&mut conn).await;
            let databases = databases(&mut conn).await?;
            let rows = match databases.get("db_tars") {
                Some(Observed::Present(())) => Observed::Present(rows::read(&mut conn).await?),
                Some(Observed::Absent) => Observed::Absent,
                Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
                None => Observed::Unknown("it was not looked for".to_owned()),
            };
            Ok::<_, mysql_async::Error>(DatabaseFacts {
                server,
                protection: Observed::Present(by),
                clock_skew,
                read_only,
                databases,
                rows,
                default_login: Observed::Unknown("it was not tried".to_owned()),
            })
        };
        let mut facts = self.within(until, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        if try_default {
            let left = until.saturating_duration_since(Instant::now());
            facts.default_login = self.lets_installer_in(left).await;
        }
        Ok(facts)
    }

    /// The row of one node, and the states of its servers; these are unknown where our user may not
    /// read their table.
    ///
    /// # Errors
    /// A [`DatabaseError`]; also where our user may not read the table of nodes.
    pub async fn node_rows(
        &self,
        node: &NodeName,
        deadline: Duration,
    ) -> Result<(Option<NodeRow>, Observed<Vec<ServerRow>>), DatabaseError> {
        let (mut conn, _) = self.connect(deadline).await?;
        let reading = async {
            // All columns, as a release may have no label and no group.
            let row: Option<mysql_async::Row> = conn
                .exec_first(
                    "SELECT *, CAST(TIMESTAMPDIFF(SECOND, last_heartbeat, NOW()) AS SIGNED) \
                     AS heartbeat_age FROM db_tars.t_node_info WHERE node_name = ?",
                    (node.as_str(),),
                )
                .await?;
            type Word = Option<String>;
            type Server = (String, String, Word, Word, Word);
            let servers: Result<Vec<Server>, mysql_async::Error> = bounded::exec(
                &mut *conn,
                "the servers of a node",
                "SELECT CAST(application AS CHAR), CAST(server_name AS CHAR), \
                     CAST(setting_state AS CHAR), CAST(present_state AS CHAR), \
                     CAST(patch_version AS CHAR) FROM db_tars.t_server_conf WHERE node_name = ?",
                (node.as_str(),),
            )
            .await;
            let servers = match servers {
                Ok(all) => Observed::Present(all),
                Err(mysql_async::Error::Server(e)) => Observed::Unknown(e.message),
                Err(other) => return Err(other),
            };
            Ok((row, servers))
        };
        let (row, servers) = self.within(Instant::now() + deadline, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        let row = row.map(|mut row| NodeRow {
            name: cell(&mut row, "node_name").unwrap_or_default(),
            id: cell(&mut row, "id"),
            present: cell(&mut row, "present_state"),
            label: cell(&mut row, "label"),
            group_id: cell(&mut row, "group_id"),
            heartbeat_age: cell(&mut row, "heartbeat_age"),
            ..NodeRow::default()
        });
        let server = |(application, server, setting, present, patch_version)| ServerRow {
            application,
            server,
            node: node.to_string(),
            setting,
            present,
            patch_version,
            ..ServerRow::default()
        };
        Ok((
            row,
            servers.map(|all| all.into_iter().map(server).collect()),
        ))
    }

    /// The rows of registries.
    ///
    /// # Errors
    /// A [`DatabaseError`]; also where our user may not read the table.
    pub async fn registry_rows(
        &self,
        deadline: Duration,
    ) -> Result<Vec<RegistryRow>, DatabaseError> {
        let (mut conn, _) = self.connect(deadline).await?;
        type Row = (String, String, Option<String>, Option<i64>);
        let reading = bounded::query::<Row>(
            &mut *conn,
            "registries",
            "SELECT CAST(locator_id AS CHAR), CAST(servant AS CHAR), CAST(present_state AS CHAR), \
             CAST(TIMESTAMPDIFF(SECOND, last_heartbeat, NOW()) AS SIGNED) \
             FROM db_tars.t_registry_info",
        );
        let rows = self.within(Instant::now() + deadline, reading).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        let row = |(locator, servant, present, heartbeat_age)| RegistryRow {
            locator,
            servant,
            present,
            heartbeat_age,
            ..RegistryRow::default()
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn lets_installer_in(&self, deadline: Duration) -> Observed<bool> {
        if self.user == INSTALLER_USER && self.password.expose() == INSTALLER_PASSWORD {
            return Observed::Present(true);
        }
        let with_default = Self {
            user: INSTALLER_USER.to_owned(),
            password: Secret::new(INSTALLER_PASSWORD),
            ..self.clone()
        };
        match with_default.connect(deadline).await {
            Ok((conn, _)) => {
                let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
                Observed::Present(true)
            }
            Err(DatabaseError::Denied { .. }) => Observed::Present(false),
            Err(other) => Observed::Unknown(other.to_string()),
        }
    }
}

/// The value of a column; none where it is NULL, of another kind, or not there.
fn cell<T: mysql_async::prelude::FromValue>(row: &mut mysql_async::Row, column: &str) -> Option<T> {
    row.take_opt::<Option<T>, _>(column)?.ok()?
}

/// Whether the server refuses changes of ordinary accounts. Servers call it 0, OFF, 1, ON, or by the
/// name of a degree.
async fn is_read_only(conn: &mut Conn) -> Observed<bool> {
    // In a transaction that may write: a proxy that splits reads from writes asks the writer then.
    let asked = async {
        conn.query_drop("START TRANSACTION").await?;
        let word = conn
            .query_first::<String, _>("SELECT CAST(@@GLOBAL.read_only AS CHAR)")
            .await;
        conn.query_drop("ROLLBACK").await?;
        word
    };
    match asked.await {
        Ok(Some(word)) => Observed::Present(!matches!(word.as_str(), "0" | "OFF")),
        Ok(None) => Observed::Unknown("the server does not say whether it is read-only".to_owned()),
        Err(error) => Observed::Unknown(format!("whether it is read-only: {error}")),
    }
}

/// Which of the framework's databases exist. One that is not listed is absent only for a user who
/// may see them all.
async fn databases(conn: &mut Conn) -> Result<BTreeMap<String, Observed<()>>, mysql_async::Error> {
    let listed = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
    let listed: BTreeSet<String> = bounded::query::<String>(conn, "databases", listed)
        .await?
        .into_iter()
        .collect();
    // Quotes around user and host are the view's own.
    let sees_all: Option<String> = conn
        .query_first(
            "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES \
             WHERE REPLACE(GRANTEE, '\\'', '') = CURRENT_USER() \
             AND PRIVILEGE_TYPE = 'SHOW DATABASES'",
        )
        .await?;
    // The view is there on every server; an answer without it is no answer.
    let whole = listed.contains("information_schema");
    Ok(DATABASES
        .iter()
        .map(|name| {
            let word = if listed.contains(*name) {
                Observed::Present(())
            } else if sees_all.is_some() && whole {
                Observed::Absent
            } else {
                Observed::Unknown(
                    format!(
                        "{name} is not listed, and our user may not see all databases: it needs SELECT on it, or the privilege SHOW DATABASES"
                    ),
                )
            };
            ((*name).to_owned(), word)
        })
        .collect())
}

/// How far its clock is ahead, as far as that is proven: it read its clock at some moment between
/// `asked` and `now`. All in seconds; what it says may be any number.
fn skew(clock: i64, asked: i64, now: i64) -> i64 {
    let ahead = clock.saturating_sub(now).max(0);
    ahead.saturating_add(clock.saturating_sub(asked).min(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_waits_for_locks_no_longer_than_we_do() {
        for (seconds, waits) in [(1, 1), (6, 3), (300, 10)] {
            assert_eq!(lock_wait(Duration::from_secs(seconds)), waits);
        }
    }

    #[test]
    fn a_secret_does_not_show() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn the_password_is_in_no_error() {
        let access = Access {
            address: "10.0.0.9:3306".parse().unwrap(),
            tls: Tls::Prefer,
            fingerprint: None,
            known: None,
            way: Route::Direct,
            user: "tarsAdmin".to_owned(),
            password: Secret::new("hunter2"),
        };
        let denied = mysql_async::Error::Server(mysql_async::ServerError {
            code: ACCESS_DENIED[0],
            message: "Access denied for user 'tarsAdmin'@'h' (using password: YES)".to_owned(),
            state: "28000".to_owned(),
        });
        let said = format!("{0} {0:?}", access.error(&denied));
        assert!(said.contains("does not let tarsAdmin in"), "{said}");
        assert!(!said.contains("hunter2"));
    }

    #[test]
    fn any_clock_can_be_compared() {
        assert_eq!(skew(1005, 1000, 1010), 0);
        assert_eq!(skew(1013, 1000, 1010), 3);
        assert_eq!(skew(990, 1000, 1010), -10);
        assert_eq!(skew(i64::MIN, 1000, 1010), i64::MIN);
        assert_eq!(skew(i64::MAX, -1000, -990), i64::MAX);
    }
}
