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
mod change;
mod edit;
mod insert;
mod patches;
mod rows;
mod templates;

pub use backup::{BackupError, Dump, Tool};
pub use change::Which;
pub use edit::{Edited, Edition};
pub use insert::{Insertion, NewValue};
pub use patches::{NewPatch, Patched};
pub use templates::{Decide, NewText, TemplateText, WriteError};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, SslOpts};
use tarsops_model::desired::Tls;
use tarsops_model::framework::{DATABASES, DatabaseFacts, NodeRow, RegistryRow, ServerRow};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tokio::net::{TcpListener, UnixStream};
use tokio::time::Instant;

use crate::rpc::Way;

/// The account that the framework's installer makes (`deploy/tars-install.sh`).
pub const INSTALLER_USER: &str = "tarsAdmin";
/// And its password, which everybody knows.
const INSTALLER_PASSWORD: &str = "Tars@2019";
/// Results of a server for a user or password that it does not take: `ER_ACCESS_DENIED_ERROR`,
/// `ER_ACCESS_DENIED_NO_PASSWORD_ERROR` for an account that no password opens, and
/// `ER_ACCOUNT_HAS_BEEN_LOCKED` as MySQL and MariaDB number it.
const ACCESS_DENIED: [u16; 4] = [1045, 1698, 3118, 4151];

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

/// How long the server waits for locks at most, in seconds, so that the server does not go on after us.
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
/// it may be begun anew then. Whether it did.
async fn again_after(error: &mysql_async::Error) -> bool {
    const DEADLOCK: u16 = 1213;
    let again = matches!(error, mysql_async::Error::Server(e) if e.code == DEADLOCK);
    if again {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    again
}

/// Servers that have offered this process no TLS.
static PLAIN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

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
    /// Directly, or through a node.
    pub way: Way,
    /// The user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

/// Why the database could not be used; one lowercase clause.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It did not answer in time.
    #[error("the database {0} gave no answer in time")]
    TimedOut(Endpoint),
    /// There is no way to it.
    #[error("there is no way to the database {at}: {why}")]
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
    #[error("the database {0} offers no TLS, which the spec requires")]
    NoTls(Endpoint),
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
    #[error("the database {at} has no room: {why}; make room on its disk")]
    Full {
        /// Where.
        at: Endpoint,
        /// Its words.
        why: String,
    },
    /// Somebody else holds what is to be read or changed.
    #[error(
        "somebody holds a table or a row of the database {at}: {why}; `SHOW FULL PROCESSLIST` there says who"
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

impl Access {
    fn options(&self, host: &str, port: u16, tls: bool) -> Opts {
        let ssl = tls.then(|| match &self.tls {
            // By the name that the spec has, also where the way there begins on this machine; and by
            // this authority, not by those that browsers know.
            Tls::Verify { ca } => SslOpts::default()
                .with_root_certs(vec![PathBuf::from(ca).into()])
                .with_disable_built_in_roots(true)
                .with_danger_tls_hostname_override(Some(self.address.host.to_string())),
            // Encrypted, and no proof of who is at the other end: what `require` means elsewhere.
            _ => SslOpts::default()
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true),
        });
        OptsBuilder::default()
            .ip_or_hostname(host)
            .tcp_port(port)
            .user(Some(&self.user))
            .pass(Some(self.password.expose()))
            .prefer_socket(false)
            .ssl_opts(ssl)
            .into()
    }

    /// Where a client on this machine connects to.
    async fn entrance(&self) -> Result<(String, u16), DatabaseError> {
        let Way::Through { connect, node } = &self.way else {
            return Ok((self.address.host.to_string(), self.address.port));
        };
        let unreachable = |why: String| DatabaseError::Unreachable {
            at: self.address.clone(),
            why,
        };
        let socket = connect
            .tunnel(node, &self.address)
            .await
            .map_err(|fault| unreachable(format!("via {node}: {fault}")))?;
        // The server sees a TCP connection, so the client must make one too: over a Unix socket it
        // would send a password in another form. The entrance lets one in and is gone.
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|e| unreachable(format!("no port on this machine: {e}")))?;
        let port = listener
            .local_addr()
            .map_err(|e| unreachable(e.to_string()))?
            .port();
        tokio::spawn(async move {
            let Ok(Ok((mut here, _))) =
                tokio::time::timeout(Duration::from_secs(10), listener.accept()).await
            else {
                return;
            };
            drop(listener);
            if let Ok(mut there) = UnixStream::connect(&socket).await {
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        });
        Ok(("127.0.0.1".to_owned(), port))
    }

    fn error(&self, error: &mysql_async::Error) -> DatabaseError {
        use mysql_async::Error;
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
            Error::Driver(DriverError::NoClientSslFlagFromServer) => DatabaseError::NoTls(at),
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

    fn place(&self) -> String {
        match &self.way {
            Way::Direct => self.address.to_string(),
            Way::Through { node, .. } => format!("{} through {node}", self.address),
        }
    }

    fn is_plain(&self) -> bool {
        let known = PLAIN.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&self.place())
    }

    fn remember_plain(&self) {
        let mut known = PLAIN.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(self.place());
    }

    /// Opens a connection; whether it is encrypted by TLS stands beside it.
    ///
    /// # Errors
    /// A [`DatabaseError`].
    pub async fn connect(&self, deadline: Duration) -> Result<(Conn, bool), DatabaseError> {
        let timed_out = || DatabaseError::TimedOut(self.address.clone());
        let open = async {
            if let Tls::Verify { ca } = &self.tls
                && let Err(why) = tokio::fs::read(ca).await
            {
                return Err(DatabaseError::NoAuthority {
                    at: self.address.clone(),
                    ca: ca.clone(),
                    why: why.to_string(),
                });
            }
            // Asked once: each try leaves a connection without a login in the server's counters.
            let plain = self.tls == Tls::Prefer && self.is_plain();
            let first = !matches!(self.tls, Tls::Off) && !plain;
            let (host, port) = self.entrance().await?;
            match Conn::new(self.options(&host, port, first)).await {
                Ok(conn) => Ok((conn, first)),
                Err(e) => match self.error(&e) {
                    DatabaseError::NoTls(_) if self.tls == Tls::Prefer => {
                        self.remember_plain();
                        let (host, port) = self.entrance().await?;
                        let conn = Conn::new(self.options(&host, port, false)).await;
                        conn.map(|c| (c, false)).map_err(|e| self.error(&e))
                    }
                    other => Err(other),
                },
            }
        };
        tokio::time::timeout(deadline, open)
            .await
            .map_err(|_| timed_out())?
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
        let (mut conn, tls) = self.connect(deadline).await?;
        let reading = async {
            let asked = now();
            let (clock, server): (i64, String) = conn
                .query_first("SELECT CAST(UNIX_TIMESTAMP() AS SIGNED), VERSION()")
                .await?
                .ok_or_else(|| mysql_async::Error::Other("it has no clock".into()))?;
            // It read its clock at some moment between asking and now.
            let clock_skew = (clock - now()).max(0) + (clock - asked).min(0);
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
                tls,
                clock_skew,
                read_only,
                databases,
                rows,
                default_login: Observed::Unknown("it was not tried".to_owned()),
            })
        };
        let read = tokio::time::timeout_at(until, reading).await;
        let mut facts = read
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
            .map_err(|e| self.error(&e))?;
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
            let servers: Result<Vec<Server>, mysql_async::Error> = conn
                .exec(
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
        let (row, servers) = tokio::time::timeout(deadline, reading)
            .await
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
            .map_err(|e| self.error(&e))?;
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        let row = row.map(|mut row| NodeRow {
            name: cell(&mut row, "node_name").unwrap_or_default(),
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
        let reading = conn.query::<(String, String, Option<String>, Option<i64>), _>(
            "SELECT CAST(locator_id AS CHAR), CAST(servant AS CHAR), CAST(present_state AS CHAR), \
             CAST(TIMESTAMPDIFF(SECOND, last_heartbeat, NOW()) AS SIGNED) \
             FROM db_tars.t_registry_info",
        );
        let rows = tokio::time::timeout(deadline, reading)
            .await
            .map_err(|_| DatabaseError::TimedOut(self.address.clone()))?
            .map_err(|e| self.error(&e))?;
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
    let listed: BTreeSet<String> = conn
        .query::<String, _>("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")
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
            way: Way::Direct,
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
}
